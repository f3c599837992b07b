"""Results of a sweep as CSV: one line an instance of a flat dataclass."""

import csv
import dataclasses
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

from l2m.base.files import atomic_write
from l2m.errors import InputError

_Row = TypeVar("_Row")
_WORDS: dict[Any, str] = {int: "a whole number", float: "a number"}


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
    if not os.path.isfile(path):
        return []
    with open(path, encoding="utf-8", errors="replace", newline="") as file, suppress(csv.Error):
        return next(csv.reader(file), [])
    return []


def read_rows(kind: type[_Row], path: str | os.PathLike[str], what: str, *, former: Sequence[str] = ()) -> list[_Row]:
    """What `write_rows` wrote.

    Args:
        former: columns of tables of an earlier version, in place of all fields with a default: passed over.

    Raises:
        InputError: no such file, other columns than those of `what`, or a value of another type (its line is named).
    """
    kinds: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file")
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV file ({error})") from None
    required = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]  # type: ignore[arg-type]
    known = [sorted(kinds), *([sorted([*required, *former])] if former else [])]
    if len(lines) < 2 or sorted(lines[0]) not in known:
        raise InputError(f"{path}: not {what}; expected the columns {', '.join(kinds)}")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(lines[0]):
            raise InputError(f"{path}: line {number} has {len(line)} values; expected {len(lines[0])}")
        values = {}
        for name, text in zip(lines[0], line, strict=True):
            if name not in kinds:
                continue
            try:
                values[name] = kinds[name](text)
            except ValueError:
                raise InputError(
                    f"{path}: line {number}: {name}: {text[:80]!r}; expected {_WORDS.get(kinds[name], 'text')}"
                ) from None
        rows.append(kind(**values))
    return rows
