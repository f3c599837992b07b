"""The documentation site: Sphinx, MyST-NB (tutorials run at build), furo. `make docs` builds it; warnings are errors."""

import ast
import re
from pathlib import Path

import l2m

project, author = "l2m", "the l2m contributors"
version = release = l2m.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
extensions += ["sphinx-mathjax-offline"]  # formulas are drawn without a network
templates_path, html_static_path = ["_templates"], ["_static"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
html_theme, html_title = "furo", f"l2m {release}"
html_css_files = ["tables.css"]

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_execution_in_temp = True

autosummary_generate = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_custom_sections = [("Warns", "Raises")]

# Blocks of a shell are no language that Pygments knows whole; attributes of one name in two records are clear on their own page.
suppress_warnings = ["misc.highlighting_failure", "ref.python"]


def public_names() -> list[str]:
    """The names of `l2m`, from its stub."""
    stub = ast.parse(Path(l2m.__file__).with_suffix(".pyi").read_text("utf-8"))
    return sorted(alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names)


ARRAY_LIKE = re.compile(r"~?[\w.]*_Buffer \| ~?[\w.]*_SupportsArray.*?_NestedSequence\[complex \| bytes \| str\]")
"""What numpy's ArrayLike is made of, ten lines of a signature."""


def short_signature(app, what, name, obj, options, signature, returns):
    return ARRAY_LIKE.sub("ArrayLike", signature or "") or None, returns


def setup(app):
    """Write api.md from the public names, so that none can be missing."""
    kinds = {"Functions": [], "Results and inputs": [], "Values": []}
    for name in public_names():
        thing = getattr(l2m, name)
        kind = "Results and inputs" if isinstance(thing, type) else "Functions" if callable(thing) else "Values"
        if not name.startswith("_"):
            kinds[kind].append(name)
    text = '# API\n\nThe public names of `l2m`. Information is in nats unless a record says otherwise; `.to("bits")` converts.\n'
    for kind, names in kinds.items():
        rows = "\n".join(f"   l2m.{name}" for name in names)
        if kind == "Values":
            text += (
                f"\n## {kind}\n\n"
                + "\n".join(f"- `l2m.{name}`: {', '.join(getattr(l2m, name))}" for name in names)
                + "\n"
            )
        else:
            text += f"\n## {kind}\n\n```{{eval-rst}}\n.. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{rows}\n```\n"
    path = Path(app.srcdir) / "api.md"
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
    app.connect("autodoc-process-signature", short_signature)
