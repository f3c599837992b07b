"""What commands print: words for people, or one JSON object."""

import json as json_module
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from l2m.errors import InputError


def print_result(result: Mapping[str, Any], json: bool, words: str) -> None:
    """Print `result` as one JSON object where `json` is asked for, else `words`."""
    print(json_module.dumps(_plain(result), ensure_ascii=False, allow_nan=False) if json else words)


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
        for line in cells:
            first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            print("  ".join([first.lstrip().ljust(widths[0]), *others]))


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
