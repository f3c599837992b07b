"""Arguments checked once, in one wording: `argument: what it held; what is expected`."""

import operator
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.errors import InputError

LARGEST = 2**63 - 1
"""Of a whole number that is handed to Rust or numpy."""
Kind = TypeVar("Kind")

THREADS_PER_CORE = 4
"""More threads than this on a core only cost memory: a million of them take 22 GB."""


def shown(value: Any) -> str:
    """A value for a message: how it is written, at most 60 characters of it."""
    if isinstance(value, int) and value.bit_length() > 200:  # Python refuses to spell one of 4,300 digits
        return f"an integer of {value.bit_length():,} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def whole(argument: str, value: Any, low: int = 0, high: int = LARGEST) -> int:
    """`value` as an int.

    Raises:
        InputError: a bool, a float, text or another type; a number below `low` or above `high`.
    """
    expected = (
        f"expected a whole number from {low} to {high:,}"
        if high < LARGEST
        else f"expected a whole number, {low} or more"
    )
    if isinstance(value, (bool, np.bool_)):
        raise InputError(f"{argument}: {value}; {expected}")
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{argument}: {shown(value)}; {expected}") from None
    if not low <= number <= high:
        raise InputError(f"{argument}: {shown(number)}; {expected}")
    return number


def wholes(argument: str, values: Any, low: int = 0, high: int = LARGEST) -> tuple[int, ...]:
    """Each of `values` as an int; see `whole`."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise InputError(f"{argument}: {shown(values)}; expected whole numbers")
    return tuple(whole(argument, value, low, high) for value in values)


def seed(value: Any) -> int:
    """A seed: 0 to 2^63 - 1."""
    return whole("seed", value)


def real(argument: str, value: Any, low: float = -np.inf, high: float = np.inf, *, above: bool = False) -> float:
    """`value` as a finite float from `low` to `high`; `above`: greater than `low`.

    Raises:
        InputError: a bool, text or another type; nan or infinity; a number out of range.
    """
    bounds = [] if low == -np.inf else [f"above {low:g}" if above else f"of at least {low:g}"]
    bounds += [] if high == np.inf else [f"at most {high:g}"]
    expected = " ".join(["expected a finite number", " and ".join(bounds)]).rstrip()
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise InputError(f"{argument}: {shown(value)}; {expected}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{argument}: {shown(value)}; {expected}") from None
    if not np.isfinite(number) or not low <= number <= high or (above and number == low):
        raise InputError(f"{argument}: {value}; {expected}")
    return number


def instance(argument: str, value: Any, kind: type[Kind], expected: str) -> Kind:
    """`value` where it is a `kind`; `expected` says how one is had.

    Raises:
        InputError: anything else.
    """
    if not isinstance(value, kind):
        raise InputError(f"{argument}: {_few(value)}; expected {expected}")
    return value


def several(argument: str, values: Any, expected: str) -> list[Any]:
    """`values` as a list, where they are one; a text or a mapping is none.

    Raises:
        InputError: anything else.
    """
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise InputError(f"{argument}: {_few(values)}; expected {expected}")
    return list(values)


def no_text(argument: str, value: Any, expected: str) -> None:
    """Refuse a text, a path, or a list of them where token ids are meant.

    Raises:
        InputError: it is one.
    """
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    if isinstance(first, (str, bytes, os.PathLike)):
        raise InputError(f"{argument}: {_few(value)}; expected {expected}")


def path(argument: str, value: Any) -> Path:
    """`value` as a path.

    Raises:
        InputError: no text and no path.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{argument}: {_few(value)}; expected a path")
    return Path(value)


def _few(value: Any) -> str:
    """A value in a few words: a text or number as `shown`, else its type."""
    plain = isinstance(value, (str, bytes, int, float, os.PathLike, type(None)))
    return shown(value) if plain else type(value).__name__


def one_of(argument: str, value: Any, choices: Collection[str]) -> str:
    """`value` where it is one of `choices`.

    Raises:
        InputError: anything else; a near name is suggested.
    """
    if isinstance(value, str) and value in choices:
        return value
    from difflib import get_close_matches

    near = get_close_matches(value, choices, 1) if isinstance(value, str) else []
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise InputError(f"{argument}: {shown(value)}; expected {', '.join(choices)}{hint}")


def cores() -> int:
    """Threads where none are named: RAYON_NUM_THREADS, else the cores this process may use."""
    value = os.environ.get("RAYON_NUM_THREADS", "")
    if value.isdecimal() and int(value):
        return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(value: Any) -> int:
    """Threads to use; None: `cores()`.

    Raises:
        InputError: not a whole number, below 1, or more than 4 for each core of this machine (and more than 64).
    """
    if value is None:
        return cores()
    most = max(64, THREADS_PER_CORE * max(cores(), os.cpu_count() or 1))
    return whole("threads", value, 1, most)


def memory(value: int | str | None, argument: str = "memory") -> int | None:
    """Bytes of "2GiB", "500 MB", "1e9" or a number; None stays None.

    Raises:
        InputError: not a size, or not positive.
    """
    if value is None:
        return None
    number: float
    if isinstance(value, str):
        text = value.strip().lower().replace(" ", "")
        digits = text.rstrip("bkmgti")
        unit = text[len(digits) :].removesuffix("b")
        powers = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
        try:
            number = float(digits) * (1024 if unit.endswith("i") else 1000) ** powers[unit.removesuffix("i")]
        except (ValueError, KeyError):
            raise InputError(f"{argument}: {shown(value)}; expected bytes, or a size such as 2GiB or 500MB") from None
    else:
        number = whole(argument, value, 1)
    if not 0 < number < 2**63:
        raise InputError(f"{argument}: {shown(value)}; expected a positive number of bytes")
    return int(number)


def plain_array(argument: str, value: ArrayLike) -> NDArray[Any]:
    """`value` as an array that hides nothing: no mask, no missing entry, no Python objects.

    Tables' columns of pandas, polars and pyarrow are taken too.

    Raises:
        InputError: masked entries, None or nulls (the first index is named), or rows of unequal length.
    """
    if isinstance(value, np.ma.MaskedArray):
        if masked := int(np.ma.getmaskarray(value).sum()):
            raise InputError(f"{argument}: {masked} masked entries; expected none: drop or fill them first")
        return np.asarray(value.data)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{argument}: cannot be read as an array ({error}); expected numbers") from None
    if array.dtype == object:
        items = array.ravel().tolist()
        for index, item in enumerate(items):
            if item is None or type(item).__name__ in ("NAType", "NaTType") or item != item:
                raise InputError(f"{argument}: entry {index} is missing; expected a value everywhere")
        with suppress(ValueError, OverflowError):
            # Integers of Python that fit 64 bits, such as a nullable column without nulls.
            array = np.array(items).reshape(array.shape)
        if array.dtype == object:
            strange = next((item for item in items if not isinstance(item, (int, float))), None)
            strange = max(items, key=abs) if strange is None else strange
            raise InputError(f"{argument}: holds {shown(strange)}; expected numbers of at most 64 bits")
    return array


def integers(
    argument: str, value: ArrayLike, *, low: int = 0, high: int = LARGEST, axes: int | None = 1
) -> NDArray[np.integer]:
    """`value` as an array of integers, each from `low` to `high`; floats must be whole numbers below 2^53.

    Args:
        axes: how many the array must have; None: any number.

    Returns:
        The array in its own integer type where it has one, without a copy; else int64.

    Raises:
        InputError: see `plain_array`; another number of axes; fractions, nan, text; entries out of range.
    """
    array = plain_array(argument, value)
    if axes is not None and array.ndim != axes:
        raise InputError(f"{argument}: shape {array.shape}; expected {axes} {'axis' if axes == 1 else 'axes'}")
    if array.dtype.kind == "f":
        bad = ~(np.abs(array) < 2.0**53) | (array != np.floor(array))
        if bad.any():
            raise InputError(f"{argument}: holds {array[bad].flat[0]:g}; expected whole numbers")
        array = array.astype(np.int64)
    elif array.dtype.kind not in "iu":
        if array.size:
            raise InputError(f"{argument}: {dtype_name(array)}; expected whole numbers")
        array = array.astype(np.int64)
    if array.size:
        smallest, largest = int(array.min()), int(array.max())
        if smallest < low or largest > high:
            found = smallest if smallest < low else largest
            limits = f"{low} to {high}" if high < LARGEST else f"{low} or more"
            raise InputError(f"{argument}: holds {found}; expected {limits}")
    return array


def reals(argument: str, value: ArrayLike, *, axes: int | None = 1, finite: bool = True) -> NDArray[np.float64]:
    """`value` as an array of float64.

    Raises:
        InputError: see `plain_array`; another number of axes; text, booleans or complex numbers; with `finite`, nan or infinity.
    """
    array = plain_array(argument, value)
    if axes is not None and array.ndim != axes:
        raise InputError(f"{argument}: shape {array.shape}; expected {axes} {'axis' if axes == 1 else 'axes'}")
    if array.dtype.kind not in "iuf" and array.size:
        raise InputError(f"{argument}: {dtype_name(array)}; expected numbers")
    array = array.astype(np.float64)
    if finite and not np.isfinite(array).all():
        raise InputError(f"{argument}: holds {array[~np.isfinite(array)].flat[0]}; expected finite numbers")
    return array


def dtype_name(array: NDArray[Any]) -> str:
    """What an array holds, in words where its dtype is not one of numbers."""
    return {"U": "text", "S": "bytes", "b": "booleans", "c": "complex numbers", "O": "Python objects"}.get(
        array.dtype.kind, str(array.dtype)
    )
