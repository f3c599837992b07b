"""What commands print: words for people, or one JSON object."""

import json as json_module
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, redirect_stdout
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any, TextIO

from l2m.errors import InputError

NO_LIMIT = 10_000
"""Columns where nothing has a width, as in a pipe."""


def print_result(result: Mapping[str, Any], json: bool, words: str) -> None:
    """Print `result` as one JSON object where `json` is asked for, else `words`."""
    if json:
        print(json_module.dumps(_plain(result), ensure_ascii=False, allow_nan=False))
    else:
        print_words(words)


def print_words(words: str) -> None:
    """Print lines for people, none wider than the terminal."""
    print("\n".join(part for line in words.split("\n") for part in _wrapped(line)))


def columns() -> int:
    """Columns of the terminal, or COLUMNS; without either there is no limit."""
    return get_terminal_size(fallback=(NO_LIMIT, 24)).columns


def _wrapped(line: str) -> list[str]:
    """A line as lines of the terminal, which end between words; those after the first are indented."""
    width = columns()
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    # Paths, names of models and "two-point" are copied and searched for as they are: no break within them.
    return wrap(
        line, width, subsequent_indent=indent, replace_whitespace=False, break_long_words=False, break_on_hyphens=False
    )


def only_results_on_stdout() -> AbstractContextManager[TextIO]:
    """For work on Ray, which reports lost machines on stdout."""
    return redirect_stdout(sys.stderr)


def plain(value: float) -> float | None:
    """A number that JSON knows: None for nan and infinity."""
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return plain(value) if isinstance(value, float) else value


def print_table(rows: list[dict[str, Any]], form: str, words: list[dict[str, str]]) -> None:
    """Print rows of equal keys.

    Args:
        rows: every column, under its name.
        form: "csv", "markdown" or "json" (one object) of `rows`; or "words", for people.
        words: the columns that people read, as text.
    """
    if form == "json":
        print_result({"rows": rows}, True, "")
    elif form == "csv":
        import csv

        writer = csv.DictWriter(sys.stdout, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    elif form == "markdown":
        from l2m.base.numbers import short

        cells = [list(rows[0]), ["---"] * len(rows[0]), *([short(value) for value in row.values()] for row in rows)]
        print("\n".join(f"| {' | '.join(line)} |" for line in cells))
    else:
        cells = [list(words[0]), *(list(row.values()) for row in words)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        if sum(widths) + 2 * (len(widths) - 1) > columns():
            print("\n\n".join(map(_card, words)))
            return
        for line in cells:
            first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            print("  ".join([first.lstrip().ljust(widths[0]), *others]))


def _card(row: Mapping[str, str]) -> str:
    """A row of a table that is wider than the terminal: its first cell as a title, the others that hold something below."""
    (_, title), *cells = row.items()
    width = max(len(name) for name, _ in cells)
    return "\n".join([title, *(f"  {name:<{width}}  {cell}" for name, cell in cells if cell)])


FIGURES = (".svg", ".png", ".pdf")


def require_figure(path: Path) -> None:
    """Refuse a name that no figure can have.

    Raises:
        InputError: naming --figure.
    """
    if path.suffix not in FIGURES:
        raise InputError(f"--figure: {path}; expected a name that ends in .svg, .png or .pdf")


def write_figure(path: Path, draw: Callable[[], Any]) -> None:
    """Write what `draw` draws, in the format of the file's name."""
    from l2m.base.files import atomic_write

    drawn = draw().figure
    with atomic_write(path) as file:
        drawn.savefig(file, format=path.suffix[1:], dpi=150)
