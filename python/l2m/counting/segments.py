"""Which documents are counted, and how they are cut into jackknife groups."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.errors import InputError

Integers = NDArray[np.int64]

ENOUGH_GROUPS = 8
"""A distance enters a fit only if at least this many jackknife groups contribute pairs; fewer documents: blocks instead."""

FIXED_SHARE = 0.5
"""The documents of a fit hold at least this share of all tokens: fits reach as far as that allows."""

SUBSAMPLES = {"eighth": 8, "quarter": 4, "half": 2}
"""Into how many parts the corpus is cut for each row of a subsample curve."""


@dataclass(frozen=True, kw_only=True)
class Segments:
    """First tokens of pairs, ordered by jackknife group. A segment is a document or a block of one.

    Attributes:
        start, end: int64, first tokens are start <= position < end.
        limit: int64, where the document ends: second tokens lie before it.
        group: int64, ascending.
        groups: number of groups.
        unit: what a group consists of: "documents", "blocks" (of equally many tokens) or "none" (one group).
    """

    start: Integers
    end: Integers
    limit: Integers
    group: Integers
    groups: int
    unit: str

    @property
    def arrays(self) -> tuple[Integers, Integers, Integers, Integers]:
        """As the Rust core takes them."""
        return self.start, self.end, self.limit, self.group

    def contributing(self, distance: int) -> int:
        """Groups that have pairs at this distance."""
        return int(np.unique(self.group[np.minimum(self.end, self.limit - distance) > self.start]).size)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Documents of a corpus, the distances at which they are counted, and their jackknife groups.

    Attributes:
        starts, ends: int64, positions of the documents in the corpus.
        distances: int, as asked for or as chosen.
        segments: how the documents are cut.
        tokens: number of tokens that are counted.
    """

    starts: Integers
    ends: Integers
    distances: list[int]
    segments: Segments
    tokens: int

    @classmethod
    def of(
        cls, starts: Integers, ends: Integers, *, groups: int | None, distances: Sequence[int] | None = None
    ) -> Self:
        """The documents at these positions.

        Args:
            groups: jackknife groups at most; None: no groups.
            distances: None: 1, 2, 4, ..., 8192, as far as at least 8 groups have pairs.

        Raises:
            InputError: no distances were given, and no document has two tokens.
        """
        segments = cut_into_groups(starts, ends, groups, min(distances) if distances else 1)
        lengths = ends - starts
        return cls(
            starts=starts, ends=ends, segments=segments, tokens=int(lengths.sum()),
            distances=list(distances) if distances else _default_distances(lengths, segments),
        )  # fmt: skip

    @property
    def lengths(self) -> Integers:
        """Tokens of each document."""
        return self.ends - self.starts

    def fixed(self, groups: int | None) -> "Selection | None":
        """The documents of a fit: those longer than the largest distance at which documents that long hold half of all
        tokens and fill 8 groups, at the distances that all of them reach. None if these are all documents with a pair, or no
        distance qualifies."""
        needed = ENOUGH_GROUPS if self.segments.unit == "documents" else 1
        lengths = self.lengths
        for distance in sorted(self.distances, reverse=True):
            long = lengths > distance
            if long.sum() >= needed and lengths[long].sum() >= FIXED_SHARE * self.tokens:
                if (lengths > min(self.distances)).sum() == long.sum():
                    return None
                reach = int(lengths[long].min())
                shorter = [d for d in self.distances if d < reach]
                return Selection.of(self.starts[long], self.ends[long], groups=groups, distances=shorter)
        return None

    def subsamples(self) -> "dict[str, Selection]":
        """Eighths, quarters and halves of whole documents (of blocks, if there are fewer than 8 documents), without groups.

        A quarter is two eighths and a half two quarters, so that the rows differ in size alone.

        Raises:
            InputError: fewer than 8 tokens.
        """
        smallest = max(SUBSAMPLES.values())
        eighths = cut_into_groups(self.starts, self.ends, smallest, min(self.distances))
        if eighths.groups < smallest:
            raise InputError(f"subsamples: a corpus of {self.tokens} tokens; expected at least {smallest}")
        parts = {}
        for name, number in SUBSAMPLES.items():
            for part in range(number):
                mine = eighths.group * number // smallest == part
                start, end, limit, _ = (side[mine] for side in eighths.arrays)
                segments = Segments(
                    start=start, end=end, limit=limit, group=np.zeros(start.size, np.int64), groups=1, unit="none"
                )
                parts[f"{name}{part}"] = Selection(
                    starts=self.starts, ends=self.ends, distances=self.distances, segments=segments,
                    tokens=int((end - start).sum()),
                )  # fmt: skip
        return parts


def between(distance: Integers, lowest: int | None, highest: int | None) -> NDArray[np.bool_]:
    """(distances,) Which of them a fit from `min_distance` to `max_distance` uses; None: no bound.

    Raises:
        InputError: a bound that is no whole number of 1 or more.
    """
    kept = np.ones(distance.size, np.bool_)
    if lowest is not None:
        kept &= distance >= checks.whole("min_distance", lowest, 1)
    if highest is not None:
        kept &= distance <= checks.whole("max_distance", highest, 1)
    return kept


def jackknife_of(replicates: NDArray[np.float64], group_pairs: NDArray[Any], kept: NDArray[np.bool_]) -> dict[str, Any]:
    """What `fit_power_law` takes of the groups at the distances kept: "replicates" and "group_weights".

    A group without pairs at any of them left nothing out: it is no replicate.
    """
    sizes = group_pairs[:, kept].sum(axis=1).astype(float)
    present = sizes > 0
    return {"replicates": replicates[np.ix_(present, kept)], "group_weights": sizes[present] / sizes.sum()}


def cut_into_groups(starts: Integers, ends: Integers, groups: int | None, nearest: int) -> Segments:
    """The documents at these positions in jackknife groups.

    Groups are whole documents, the longest first into the lightest group. If fewer than 8 documents have pairs at distance
    `nearest`, they are contiguous blocks of equal size.
    """
    lengths = ends - starts
    some = np.flatnonzero(lengths > 0)
    starts, ends, lengths = starts[some], ends[some], lengths[some]
    if groups is None or some.size == 0:
        return Segments(
            start=starts, end=ends, limit=ends.copy(), group=np.zeros(some.size, np.int64), groups=1, unit="none"
        )
    contributing = int((lengths > nearest).sum())
    if contributing >= ENOUGH_GROUPS:
        number = min(groups, contributing)
        group = np.zeros(some.size, np.int64)
        heap = [(0, index) for index in range(number)]
        for document in np.argsort(-lengths, kind="stable"):
            weight, lightest = heap[0]
            group[document] = lightest
            heapq.heapreplace(heap, (weight + int(lengths[document]), lightest))
        order = np.argsort(group, kind="stable")
        return Segments(
            start=starts[order], end=ends[order], limit=ends[order], group=group[order], groups=number, unit="documents"
        )
    total = int(lengths.sum())
    number = max(1, min(groups, total))
    # In coordinates that leave out what lies between the documents, a border inside a document cuts it into two segments with
    # the same limit.
    before = np.concatenate([[0], np.cumsum(lengths)])
    cuts = np.arange(number) * total // number
    borders = np.unique(np.concatenate([before[:-1], cuts]))
    document = np.searchsorted(before, borders, side="right") - 1
    shift = starts[document] - before[document]
    stops = np.minimum(np.append(borders[1:], total), before[document + 1])
    return Segments(
        start=borders + shift, end=stops + shift, limit=ends[document],
        group=(np.searchsorted(cuts, borders, side="right") - 1).astype(np.int64), groups=number, unit="blocks",
    )  # fmt: skip


def _default_distances(lengths: Integers, segments: Segments) -> list[int]:
    powers = [1 << power for power in range(14) if (lengths > 1 << power).any()]
    if not powers:
        raise InputError(
            f"corpus: {lengths.sum()} tokens in {lengths.size} documents, without any pair;"
            " expected a document of two tokens or more"
        )
    needed = ENOUGH_GROUPS if segments.groups >= ENOUGH_GROUPS else 1
    return [power for power in powers if segments.contributing(power) >= needed] or powers
