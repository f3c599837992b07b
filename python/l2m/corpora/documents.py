"""What is read and how: documents, the units they come in, and the options and the log of one reading."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from l2m.base.checks import one_of, whole
from l2m.errors import InputError

MOST_BYTES = 2 << 30
"""Limit of one document, line or value. Arrow's strings have the same; reading takes about eight times as much memory."""


@dataclass(frozen=True)
class Document:
    """One text with its name; or, where a source holds token ids, the ids of one."""

    id: str
    text: str = ""
    ids: NDArray[np.integer] | None = None


@dataclass(frozen=True)
class FileUnit:
    """One file, or a folder of shards that belong together.

    Attributes:
        id: begins the names of its documents.
        alone: the user named it, so an empty one is an error.
    """

    path: str
    id: str
    size: int
    modified: float
    alone: bool = False


@dataclass(frozen=True)
class DatasetUnit:
    """One shard of a hub dataset's split."""

    name: str
    subset: str | None
    split: str
    shard: int
    shards: int
    size: int = 0


@dataclass(frozen=True, eq=False)
class TextUnit:
    """Documents in memory, or an iterator of documents and further units, which can be read once."""

    documents: "Iterable[Document | Unit]"
    size: int = 0


Unit: TypeAlias = FileUnit | DatasetUnit | TextUnit

DTYPES = ("uint8", "uint16", "uint32", "int32", "int64")


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How files, tables and datasets are read.

    Attributes:
        field: the field of JSON, or the column of tables and datasets, that holds the text (or, in tables, lists of token
            ids).
        id_field: the field or column with the document's name; without one, names are FILE:NUMBER from 0.
        format: a name in `l2m.corpora.formats.FORMATS`, or "auto": the file's suffix decides.
        separator: the id between documents in .npy and .bin token dumps; it belongs to no document.
        dtype: of .bin token dumps that do not say it themselves (nanoGPT's are uint16).
        on_error: "stop" raises at the first unreadable file, line or row; "skip" leaves it out and counts it.
        keep_line_ends: leave the line ends of texts as they are; else CRLF and CR become LF.

    Raises:
        InputError: a value that is not one of these.
    """

    field: str = "text"
    id_field: str = "id"
    format: str = "auto"
    separator: int | None = None
    dtype: str = "uint16"
    on_error: str = "stop"
    keep_line_ends: bool = False

    def __post_init__(self) -> None:
        for name in ("field", "id_field"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise InputError(f"{name}: {getattr(self, name)!r}; expected the name of a field or column")
        one_of("on_error", self.on_error, ("stop", "skip"))
        one_of("dtype", self.dtype, DTYPES)
        if not isinstance(self.keep_line_ends, bool):
            raise InputError(f"keep_line_ends: {self.keep_line_ends!r}; expected True or False")
        if self.separator is not None:  # as an int of Python's, which JSON can hold
            object.__setattr__(self, "separator", whole("separator", self.separator, 0, (1 << 32) - 1))


@dataclass
class ReadingLog:
    """What a reading has found so far.

    Attributes:
        on_error: as in `ReadingOptions`.
        consumed: bytes of the sources read (compressed ones as stored).
        skipped: what was left out, one line each.
    """

    on_error: str = "stop"
    consumed: int = 0
    skipped: list[str] = field(default_factory=list)

    def problem(self, message: str) -> None:
        """Raise `message` as an `InputError`, or note it, as `on_error` says."""
        message = printable(message).replace("\n", "\\n").replace("\r", "\\r")  # of a file's name
        if self.on_error == "stop":
            raise InputError(message) from None
        self.skipped.append(message)


def printable(text: str) -> str:
    """Text that UTF-8 can hold: half surrogate pairs (also from file names that are not UTF-8) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def regular_size(path: str | os.PathLike[str]) -> tuple[int, float]:
    """Bytes and time of change of a regular file; links are followed.

    Raises:
        InputError: no such file, or one that is none: a pipe, socket or device has no end and is not opened.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        if os.path.islink(path) and isinstance(error, FileNotFoundError):
            raise InputError(f"{path}: a broken link to {os.readlink(path)}; expected a file") from None
        strerror = error.strerror if isinstance(error, OSError) else str(error)
        found = "no such file or folder" if isinstance(error, FileNotFoundError) else f"cannot be read: {strerror}"
        raise InputError(f"{path}: {found}") from None
    if stat.S_ISREG(status.st_mode):
        return status.st_size, status.st_mtime
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
             stat.S_IFDIR: "a folder"}  # fmt: skip
    raise InputError(f"{path}: {kinds.get(stat.S_IFMT(status.st_mode), 'no file')}; expected a regular file")


def listed(names: Iterable[object]) -> str:
    """Up to 12 names for a message."""
    names = [name if isinstance(name, str) else str(name) for name in names]
    return ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "") if names else "none"


def type_words(value: object) -> str:
    """A value of the wrong type for a message: its type and how it begins."""
    if value is None:
        return "null"
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to spell one of 4,300 digits
        return f"an integer of {value.bit_length():,} bits"
    return f"{type(value).__name__} {str(value)[:40]!r}"


def too_long(what: str) -> str:
    """What a message says of more than `MOST_BYTES`."""
    return f"{what} of more than {MOST_BYTES:,} bytes; expected shorter documents, for instance JSON lines"
