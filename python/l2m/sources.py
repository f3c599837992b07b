"""Where documents come from: files, folders, strings, iterators. Everything becomes a stream of `Document`."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from l2m.errors import InputError

Sources: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Document]"


@dataclass(frozen=True)
class Document:
    """One text with the name it is known by."""

    id: str
    text: str


def read_documents(sources: Sources, *, glob: str = "*") -> Iterator[Document]:
    """The documents of `sources`, in order.

    Args:
        sources: a path, a text, or an iterable of paths, texts and documents. A `str` is a path where such a file or folder
            exists or where it looks like one (a single word with a separator or a short suffix); any other `str` is a text.
            Files of a folder come sorted by path; hidden files and `__pycache__` are passed over, and so are empty ones.
        glob: which files of a folder, matched against the file's name.

    Raises:
        InputError: no such file, a file named alone that is empty, a file that is not UTF-8 (with the offset), a folder
            without a matching file.
    """
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    for number, source in enumerate(sources):
        if isinstance(source, Document):
            yield source
        elif isinstance(source, str) and not _names_a_path(source):
            yield Document(f"text-{number}", source)
        else:
            yield from _read_path(Path(source), glob)


def total_bytes(sources: Sources, *, glob: str = "*") -> int:
    """Size of all files behind `sources`; 0 where it cannot be known beforehand (iterators, texts)."""
    if not isinstance(sources, (str, os.PathLike, list, tuple)):
        return 0
    items = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    paths = [Path(item) for item in items if not isinstance(item, Document) and os.path.exists(item)]
    return sum(file.stat().st_size for path in paths for file in (_files(path, glob) if path.is_dir() else [path]))


def _names_a_path(source: str) -> bool:
    try:
        if os.path.exists(source):
            return True
    except ValueError:  # a NUL byte
        return False
    one_word = len(source) < 4096 and not any(character.isspace() for character in source)
    return one_word and (os.sep in source or 0 < len(Path(source).suffix) <= 6)


def _files(folder: Path, glob: str) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        found += [Path(parent, name) for name in names if not name.startswith(".") and Path(name).match(glob)]
    return sorted(found)


def _read_path(path: Path, glob: str) -> Iterator[Document]:
    if not path.is_dir():
        document = Document(path.name, _read_text(path))
        if not document.text:
            raise InputError(f"{path}: empty file; expected text")
        yield document
        return
    files = _files(path, glob)
    if not files:
        raise InputError(f"{path}: a folder with no file that matches {glob!r}")
    for file in files:
        document = Document(str(file.relative_to(path)), _read_text(file))
        if document.text:
            yield document


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise InputError(f"{path}: not UTF-8: byte 0x{byte:02x} at offset {error.start}; expected UTF-8 text") from None
