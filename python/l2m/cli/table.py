"""Tables of numbers from text files."""

import dataclasses
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MISSING = ("na", "n/a", "#n/a", "nan", "null", "none", "inf", "infinity", "-", ".", "?")
_NOT_FINITE = ("nan", "inf", "infinity")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def is_number(field: str) -> bool:
    """Whether a field is written as a finite number, however large: 1e400 is one, nan and 1_000 are not."""
    return _NUMBER.fullmatch(field) is not None


def is_name(field: str) -> bool:
    """Whether a field may be the name of a column: neither a number, nor what stands for one that is missing or misspelt."""
    return field.lower() not in _MISSING and not field.lstrip("+-.")[:1].isdigit()


STDIN = Path("<stdin>")
"""Standard input, which the command line writes as `-`."""


def is_of_shell(file: Path) -> bool:
    """Whether a file is `<(command)` of a shell: its writer ends; another named pipe might have none."""
    return file.parent == Path("/dev/fd")


def read_bytes(file: Path) -> bytes:
    """The bytes of a regular file of at most 2 GiB, of standard input (`STDIN`), or of `<(command)` of a shell.

    Raises:
        InputError: no such file, another kind, a larger one; standard input that is a terminal.
    """
    import sys

    from l2m.corpora.documents import MOST_BYTES, regular_size, too_long
    from l2m.errors import InputError

    if file == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise InputError("-: standard input is a terminal; expected a pipe or a file")
        content, size = sys.stdin.buffer.read(MOST_BYTES + 1), 0
    elif is_of_shell(file):
        with file.open("rb") as pipe:
            content, size = pipe.read(MOST_BYTES + 1), 0
    else:
        size, _ = regular_size(file)
        content = b"" if size > MOST_BYTES else file.read_bytes()
    if max(size, len(content)) > MOST_BYTES:
        raise InputError(f"{file}: {too_long('one text')}")
    return content


def decoded(file: Path, content: bytes) -> str:
    """The UTF-8 text of a file, with its line ends as they are.

    Raises:
        InputError: not UTF-8.
    """
    from l2m.errors import InputError

    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start} is not UTF-8; expected text") from None


def lines_of(text: str) -> list[str]:
    """Lines, which end in \\n, \\r\\n or \\r."""
    return re.split(r"\r\n|\n|\r", text.rstrip("\r\n"))


def cells(line: str) -> list[str]:
    """Fields of a line: split at commas, semicolons, tabs or spaces, whichever of them comes first in this order.

    A separator within a pair of quotation marks is part of its field.
    """
    import csv

    separator = next((mark for mark in (",", ";", "\t") if mark in line), None)
    if separator is None:
        return line.split()
    fields = line.split(separator)
    if '"' in line and line.count('"') % 2 == 0:
        with suppress(csv.Error):  # a field of more than 128 KiB
            fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    return [field.strip() for field in fields]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of numbers.

    Attributes:
        file: where it was read.
        names: of the columns; None without a line of names.
        columns: each (rows,).
    """

    file: Path
    names: list[str] | None
    columns: "list[NDArray[np.float64]]"

    def column(self, which: str, what: str) -> "NDArray[np.float64]":
        """A column by its number from 1, else by its name.

        Raises:
            InputError: no such column, or a name that several columns have.
        """
        from l2m.errors import InputError

        if which.isascii() and which.isdecimal() and 1 <= int(which[:9]) <= len(self.columns) and len(which) < 10:
            return self.columns[int(which) - 1]
        names = self.names or [str(place + 1) for place in range(len(self.columns))]
        places = [place for place, name in enumerate(names) if name == which]
        if len(places) > 1:
            numbers = " and ".join(str(place + 1) for place in places)
            raise InputError(f"{self.file}: columns {numbers} are both named {which!r}; expected a number for {what}")
        if not places:
            raise InputError(f"{self.file}: no column {which!r} for {what}; it has {', '.join(names)}")
        return self.columns[places[0]]


def read_table(file: Path) -> Table:
    """A table of numbers, with or without a first line of names; empty lines and lines after # are skipped.

    A first column without a name that numbers the rows, as pandas writes it, is left out.

    Raises:
        InputError: no such file, no rows, or a line that does not hold as many numbers as the others.
    """
    import numpy as np

    from l2m.errors import InputError

    names: list[str] | None = None
    rows: list[list[float]] = []
    for number, line in enumerate(lines_of(decoded(file, read_bytes(file))), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = cells(line)
        if not all(is_number(field) or field.lower().lstrip("+-") in _NOT_FINITE for field in fields):
            if rows or names is not None or not is_name(fields[0]):
                raise InputError(f"{file}: line {number} holds {line.strip()[:60]!r}; expected numbers")
            names = fields
            continue
        values = [float(field) for field in fields]
        width = len(names) if names is not None else len(rows[0]) if rows else len(values)
        if len(values) != width:
            raise InputError(f"{file}: line {number} holds {len(values)} numbers; expected {width}")
        rows.append(values)
    if not rows:
        raise InputError(f"{file}: no rows of numbers; expected a table")
    columns = list(np.array(rows).T)
    if names is not None and names[0] == "" and len(names) > 1 and np.array_equal(columns[0], np.arange(len(rows))):
        return Table(file, names[1:], columns[1:])
    return Table(file, names, columns)
