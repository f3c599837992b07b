"""Documents that repeat others: the two-point information they add at long distance is copying, not language."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from l2m._core import shingle_hashes

_WIDTH = 48
_THRESHOLD = 0.2
_MOST_SHINGLES = 4_000_000
_MOST_PARTNERS = 8


def near_duplicates(texts: Iterable[str], *, width: int = _WIDTH, threshold: float = _THRESHOLD) -> dict[int, int]:
    """Which texts to leave out: copy -> the kept text, longer or equal, that it repeats.

    A text is left out where over `threshold` of its distinct shingles (runs of `width` bytes, white space left out; 48 bytes
    are about 12 English tokens) stand in one kept text with at least as many shingles. Texts shorter than a shingle are
    left out only as exact copies. In Python's `pydoc_data.topics` such texts hold 19 % of the tokens and double the
    two-point information at d = 64.

    Beyond 4 million shingles only those are compared whose hash lies below a bound, the same bound for every text
    (FracMinHash, Irber et al. 2022), which keeps the estimated containment unbiased.
    """
    finder = NearDuplicateFinder(width=width)
    for text in texts:
        finder.add(text)
    return finder.find(threshold)


class NearDuplicateFinder:
    """Collects shingles text by text in bounded memory; `find` compares them."""

    def __init__(self, *, width: int = _WIDTH) -> None:
        self._width = width
        self._bound = 2**64 - 1
        self._hashes: list[NDArray[np.uint64]] = []
        self._held = 0

    def add(self, text: str) -> None:
        hashes = shingle_hashes(text, self._width, self._bound)
        self._hashes.append(hashes)
        self._held += hashes.size
        while self._held > _MOST_SHINGLES and self._bound:
            self._bound //= 2
            self._hashes = [self._below_bound(held) for held in self._hashes]
            self._held = sum(held.size for held in self._hashes)

    def _below_bound(self, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return hashes[: max(1, int(np.searchsorted(hashes, np.uint64(self._bound), "right")))].copy()

    def find(self, threshold: float = _THRESHOLD) -> dict[int, int]:
        """copy -> kept original, by position in the order of `add`."""
        if not self._hashes:
            return {}
        texts = len(self._hashes)
        sizes = np.array([held.size for held in self._hashes])
        by_size = np.argsort(-sizes, kind="stable")
        hashes = np.concatenate([self._hashes[text] for text in by_size])
        owner = np.repeat(np.arange(texts), sizes[by_size])  # a text's rank: 0 has the most shingles

        # Sorted by hash and stable: inside a run of equal hashes the largest texts come first.
        order = np.argsort(hashes, kind="stable")
        hashes, owner = hashes[order], owner[order]
        starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
        start = np.repeat(starts, np.diff(np.append(starts, hashes.size)))
        place = np.arange(hashes.size) - start
        pairs = []
        for partner in range(_MOST_PARTNERS):
            later = np.flatnonzero(place > partner)
            pairs.append(owner[later] * texts + owner[start[later] + partner])
        pair, shared = np.unique(np.concatenate(pairs), return_counts=True)

        dropped: dict[int, int] = {}
        for rank, larger, common in zip(*np.divmod(pair, texts), shared, strict=True):
            copy, original = int(by_size[rank]), int(by_size[larger])
            if copy not in dropped and original not in dropped and common > threshold * sizes[copy]:
                dropped[copy] = original
        return dict(sorted(dropped.items()))
