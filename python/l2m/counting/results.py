"""Results of counting tasks as they are kept: plain JSON, checked before anything is built from it."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from l2m.errors import InputError
from l2m.statistics.entropy import Fingerprint


def check_rows(result: object, lengths: Mapping[str, int]) -> list[list[Any]]:
    """The lists of `result` under these names, each of the length given.

    Raises:
        InputError: other names, what is no list, or another length.
    """
    if not isinstance(result, dict) or set(result) != set(lengths):
        raise InputError(f"result: other fields than {', '.join(lengths)}")
    for name, length in lengths.items():
        if not isinstance(result[name], list) or len(result[name]) != length:
            raise InputError(f"{name}: not a list of {length}")
    return [result[name] for name in lengths]


def check_numbers(
    name: str, values: object, *, size: int | None = None, low: int = 0, high: int = (1 << 63) - 1
) -> None:
    """Refuse what is not a list of whole numbers from `low` to `high`; `size`: how many.

    Raises:
        InputError: naming what is wrong.
    """
    if not isinstance(values, list) or (size is not None and len(values) != size):
        raise InputError(f"{name}: not a list of {'numbers' if size is None else f'{size} numbers'}")
    if not all(type(value) is int and low <= value <= high for value in values):
        raise InputError(f"{name}: a value that is not a whole number from {low} to {high}")


def check_entries(counts: object, symbols: object) -> None:
    """Refuse what is not a fingerprint: ascending counts, and how many symbols occurred so often.

    Raises:
        InputError: naming what is wrong.
    """
    check_numbers("counts", counts, low=1)
    check_numbers("symbols", symbols, low=1)
    assert isinstance(counts, list)
    assert isinstance(symbols, list)
    if len(counts) != len(symbols) or any(later <= earlier for earlier, later in pairwise(counts)):
        raise InputError("counts: not ascending, or not as many as symbols")
    if sum(count * number for count, number in zip(counts, symbols, strict=True)) >= 1 << 63:
        raise InputError("counts: a sum of 2^63 or more")


def sum_of_fingerprints(entries: Iterable[tuple[list[int], list[int]]]) -> Fingerprint:
    """The fingerprint of tables over disjoint symbols, each given as (counts, symbols)."""
    total = Fingerprint(np.zeros(0, np.uint64), np.zeros(0, np.uint64))
    for counts, symbols in entries:
        total += Fingerprint(np.array(counts, np.uint64), np.array(symbols, np.uint64))
    return total
