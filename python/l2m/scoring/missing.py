"""What of a request a score store still lacks."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2m.scoring.settings import ScoreSettings, Spans
from l2m.scoring.store import Store

log = logging.getLogger("l2m")


class Wanted(NamedTuple):
    """Passes that some windows lack: the conditional; per split the marginal's length; per shuffle, per split its length;
    per split the number of contexts; the entropies of the conditional pass's predictions."""

    conditional: bool
    marginal: Spans
    shuffled: tuple[tuple[int, Spans], ...]
    contexts: Spans
    entropy: bool = False

    @property
    def whole(self) -> bool:
        """Whether the conditional pass has to be run to its end."""
        return self.conditional or self.entropy

    def of_passes(self, length: int, prefixes: Sequence[int] = (0,)) -> dict[str, int]:
        """Tokens evaluated for one window in the passes of each kind.

        Args:
            prefixes: tokens of each prefix; the conditional and marginal passes begin with each of them.
        """
        first = length if self.whole else max((split for _, parts in self.shuffled for split, _ in parts), default=0)
        once, count = sum(prefixes), len(prefixes)
        return {
            "conditional": count * first + once * bool(first),
            "marginal": sum(count * n + once for _, n in self.marginal),
            "shuffled": count * sum(n for _, parts in self.shuffled for _, n in parts),
            "contexts": 2 * count * sum(n for _, n in self.contexts),
        }

    def tokens(self, length: int) -> int:
        """Tokens evaluated for one window."""
        return sum(self.of_passes(length).values())

    def __bool__(self) -> bool:
        return self.whole or bool(self.marginal) or bool(self.shuffled) or bool(self.contexts)


Work = list[tuple[NDArray[np.int64], Wanted]]
"""Windows, by index, and the passes that all of them lack: each entry is kept in files of its own."""


def wanted_of(settings: ScoreSettings) -> Wanted:
    """Every pass of one window."""
    spans = settings.spans
    contexts = tuple((split, settings.contexts) for split, _ in spans if settings.contexts)
    shuffled = tuple((shuffle, spans) for shuffle in range(settings.shuffles))
    return Wanted(True, spans, shuffled, contexts, settings.entropy)


def missing(store: Store, windows: int, wanted: Wanted, share: tuple[int, int], *, redo: bool) -> Work:
    """Work of this process: windows that lack the same passes, unit by unit.

    Args:
        redo: report damaged files and remove them, so that their part is scored again; else they are only passed over.
    """
    damaged: list[Path] = []
    held = _held(store, damaged)
    if redo:
        for path in damaged:
            log.warning(f"{path}: damaged or cut short; this part is scored again")
            path.unlink(missing_ok=True)
    unit, (own, parts) = int(store.settings["unit"]), share
    work = []
    for number, first in enumerate(range(0, windows, unit)):
        if number % parts != own:
            continue
        groups: dict[Wanted, list[int]] = {}
        for index in range(first, min(first + unit, windows)):
            groups.setdefault(_lacking(wanted, held.get(index, {})), []).append(index)
        work += [(np.array(indices, np.int64), lacking) for lacking, indices in groups.items() if lacking]
    return work


Key = tuple[str, int | None, str]
"""(kind, shuffle, split) of a pass."""


def _held(store: Store, damaged: list[Path]) -> dict[int, dict[Key, int]]:
    """For each window and pass, how many positions the store holds."""
    held: dict[int, dict[Key, int]] = {}
    for piece in store.pieces(damaged):
        for window in piece.info["windows"]:
            entry = held.setdefault(window, {})
            for split, values in piece.values.items():
                key = (piece.kind, piece.info.get("shuffle"), split)
                entry[key] = max(entry.get(key, 0), values.shape[1])
    return held


def _lacking(wanted: Wanted, held: Mapping[Key, int]) -> Wanted:
    def lacking(kind: str, shuffle: int | None, spans: Sequence[tuple[int, int]]) -> Spans:
        return tuple((split, n) for split, n in spans if held.get((kind, shuffle, str(split)), 0) < n)

    shuffled = ((shuffle, lacking("shuffled", shuffle, spans)) for shuffle, spans in wanted.shuffled)
    return Wanted(
        wanted.conditional and ("conditional", None, "") not in held,
        lacking("marginal", None, wanted.marginal),
        tuple((shuffle, spans) for shuffle, spans in shuffled if spans),
        lacking("contexts", None, wanted.contexts),
        wanted.entropy and ("entropy", None, "") not in held,
    )
