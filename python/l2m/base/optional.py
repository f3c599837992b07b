"""What the extras of the distribution bring: asked for at the start of what needs it, with one line where it is missing."""

import importlib
import importlib.util
from types import ModuleType

from l2m.errors import InputError

DISTRIBUTION = "l2m-scaling"
"""On the package index; `l2m` there is somebody else's."""

EXTRA_OF = {
    "tokenizers": "text", "fastokens": "text", "huggingface_hub": "text", "nupunkt": "text",
    "torch": "lm", "transformers": "lm", "accelerate": "lm", "safetensors": "lm", "gguf": "lm",
    "matplotlib": "plots", "pandas": "frames",
    "datasets": "data", "pyarrow": "data", "fsspec": "data", "backports": "data",
    "music21": "music",
    "ray": "cluster", "httpx2": "endpoint", "orjson": "endpoint",
}  # fmt: skip
"""Package that is imported -> extra that brings it. `lm` and `endpoint` include `text`."""


RUNS_MODEL = ("torch", "transformers", "tokenizers", "nupunkt")
"""What scoring with a model imports."""

RUNS_ENDPOINT = ("tokenizers", "nupunkt", "httpx2", "orjson")
"""What scoring through a server imports: the model, and torch, are there."""

TRAINING = ("torch", "transformers", "accelerate", "safetensors")
"""What `l2m.training` imports."""


def installed(module: str) -> bool:
    """Whether a package can be imported; it is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a parent that is missing; a module without a spec
        return False


def install_hint(*modules: str) -> str:
    """`pip install 'l2m-scaling[lm,plots]'` for packages that extras bring; else the packages themselves."""
    extras = {EXTRA_OF.get(module.partition(".")[0]) for module in modules}
    if None in extras:
        return f"pip install {' '.join(modules)}"
    if extras & {"lm", "endpoint"}:
        extras.discard("text")
    return f"pip install '{DISTRIBUTION}[{','.join(sorted(map(str, extras)))}]'"


def require(what: str, *modules: str) -> None:
    """Refuse to begin `what` where packages of an extra are missing.

    Args:
        what: a command or argument; the line begins with it.
        modules: packages it will import.

    Raises:
        InputError: naming what is missing and what installs it.
    """
    missing = [module for module in modules if not installed(module)]
    if missing:
        raise InputError(f"{what}: needs {', '.join(missing)} (not installed): {install_hint(*missing)}")


def optional_library(name: str, wanted_for: str, package: str | None = None) -> ModuleType:
    """The module `name`.

    Args:
        package: what installs it, where no extra does.

    Raises:
        InputError: it is not installed; the line names `wanted_for` and how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        hint = install_hint(name) if package is None else f"pip install {package}"
        raise InputError(f"{wanted_for}: needs {name} (not installed): {hint}") from None
