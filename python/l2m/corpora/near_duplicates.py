"""Documents that repeat others: the two-point information they add at long distance is copying, not language."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from l2m._core import Sketches

_WIDTH = 48
_IDS_WIDTH = 12
_THRESHOLD = 0.2


def near_duplicates(texts: Iterable[str], *, width: int = _WIDTH, threshold: float = _THRESHOLD) -> dict[int, int]:
    """Which texts to leave out: copy -> the kept text, longer or equal, that it repeats.

    A text is left out where over `threshold` of its distinct shingles (runs of `width` bytes, white space left out; 48 bytes
    are about 12 English tokens) stand in one kept text with at least as many shingles. Texts shorter than a shingle are
    left out only as exact copies. In Python's `pydoc_data.topics` such texts hold 19 % of the tokens and double the
    two-point information at d = 64.

    Beyond 4 million shingles only those are compared whose hash lies below a bound, the same bound for every text
    (FracMinHash, Irber et al. 2022), which keeps the estimated containment unbiased, and at least the 16 smallest of every
    text. So among millions of short texts a short copy of a part of a far longer one may stay. Memory: 32 MB, and at most
    128 bytes a text.
    """
    finder = NearDuplicateFinder(width=width)
    finder.add(list(texts))
    return finder.find(threshold)


class NearDuplicateFinder:
    """Sketches documents in bounded memory; `find` compares them. Sketches of parts of a corpus add up to the whole's."""

    def __init__(self, *, width: int = _WIDTH) -> None:
        self._width = width
        self._sketches = Sketches()

    def add(self, documents: Sequence[str] | Sequence[NDArray[np.integer]]) -> None:
        """Add texts, or documents of token ids (shingles of 12 ids)."""
        texts = [document for document in documents if isinstance(document, str)]
        if texts:
            self._sketches.add_texts(texts, self._width)
        else:
            ids = [np.ascontiguousarray(document, np.uint32) for document in documents]
            self._sketches.add_ids(ids, _IDS_WIDTH)

    def absorb(self, other: Self) -> None:
        """Add the documents of `other` behind these."""
        self._sketches.absorb(other._sketches)

    def find(self, threshold: float = _THRESHOLD) -> dict[int, int]:
        """copy -> kept original, by position in the order of `add`."""
        return dict(self._sketches.find(threshold))

    def save(self, file: IO[bytes]) -> None:
        bound, sizes, hashes = self._sketches.parts()
        np.savez(file, bound=np.uint64(bound), sizes=sizes, hashes=hashes)

    @classmethod
    def load(cls, path: Path) -> Self:
        finder = cls()
        with np.load(path, allow_pickle=False) as arrays:
            finder._sketches = Sketches(int(arrays["bound"]), arrays["sizes"], arrays["hashes"])
        return finder
