"""How many layers a Gaussian law has and how many copies each is made of: checked, and chosen for an exponent."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.errors import InputError

Floats = NDArray[np.float64]
MAX_LAYERS = 10


def log_copies(slots: int, twos: int, threes: int) -> Floats:
    return np.asarray(np.log(np.repeat([1.0, 2.0, 3.0], [slots - twos - threes, twos, threes])))


def interleaved(logs: Floats) -> list[int]:
    """Spread the entries: each in turn brings the running sum of log c closest to a straight line."""
    left, ordered, total = list(logs), list[float](), 0.0
    for step in range(1, len(logs) + 1):
        ordered.append(min(left, key=lambda log: abs(total + log - step * logs.mean())))
        left.remove(ordered[-1])
        total += ordered[-1]
    return [round(math.exp(log)) for log in ordered]


def checked_layers(layers: int) -> int:
    if isinstance(layers, (int, np.integer)) and not isinstance(layers, bool) and 1 <= layers <= MAX_LAYERS:
        return int(layers)
    length = f" (length 4^{layers})" if isinstance(layers, (int, np.integer)) else ""
    raise InputError(
        f"layers: {layers!r}{length}; expected 1 to {MAX_LAYERS} (length 4^{MAX_LAYERS} = {4**MAX_LAYERS:,})"
    )


def checked_children(children: int | Sequence[int], layers: int) -> tuple[int, ...]:
    entries = checks.plain_array("children", children)
    if entries.ndim == 0:
        entries = np.full(layers - 1, entries)
        if np.asarray(children).dtype.kind in "iu" and int(children) not in (1, 2, 3):  # type: ignore[arg-type]
            raise InputError(f"children: {children}; expected 1, 2 or 3")
    if entries.ndim != 1 or (entries.size and entries.dtype.kind not in "iu"):
        raise InputError(f"children: {children!r}; expected 1, 2 or 3, or one of them for each layer from layer 2 on")
    if entries.size != layers - 1:
        raise InputError(f"children: {entries.size} entries; expected {layers - 1}, one for each layer from layer 2 on")
    for entry in entries:
        if entry not in (1, 2, 3):
            raise InputError(f"children: {entry}; expected 1, 2 or 3")
    return tuple(int(entry) for entry in entries)
