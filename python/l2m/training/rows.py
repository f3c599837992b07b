"""Results of a sweep as CSV: one line an instance of a flat dataclass."""

import csv
import dataclasses
import os
from collections.abc import Sequence
from typing import Any, TypeVar

from l2m.base.files import atomic_write
from l2m.errors import InputError

_Row = TypeVar("_Row")
_READ: dict[Any, Any] = {bool: lambda text: text == "True"}


def write_rows(kind: type[_Row], rows: Sequence[_Row], path: str | os.PathLike[str]) -> None:
    """The fields of `kind`, then one line a row, atomically; floats to 6 digits."""
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        writer.writerow(names)
        for row in rows:
            values = (getattr(row, name) for name in names)
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values])


def columns(path: str | os.PathLike[str]) -> list[str]:
    """The names in a CSV file's first line; none where there is no such file."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])
    except (FileNotFoundError, IsADirectoryError):
        return []


def read_rows(kind: type[_Row], path: str | os.PathLike[str], what: str) -> list[_Row]:
    """What `write_rows` wrote.

    Raises:
        InputError: no such file, or other columns than those of `what`.
    """
    kinds: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file") from None
    if not lines or set(lines[0]) != set(kinds):
        raise InputError(f"{path}: not {what}; expected the columns {', '.join(kinds)}")
    return [kind(**{name: _READ.get(of, of)(line[name]) for name, of in kinds.items()}) for line in lines]
