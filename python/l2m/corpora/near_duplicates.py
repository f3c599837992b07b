"""Documents that repeat others: the two-point information they add at long distance is copying, not language."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m._core import Sketches
from l2m.base.checks import integers, real, whole
from l2m.base.hub import one_line
from l2m.corpora.documents import type_words
from l2m.errors import InputError

_WIDTH = 48
_IDS_WIDTH = 12
_THRESHOLD = 0.2
_MOST_WIDTH = 1 << 20
_LARGEST_ID = (1 << 32) - 1


def near_duplicates(
    texts: Iterable[str] | Iterable[ArrayLike], *, width: int | None = None, threshold: float = _THRESHOLD
) -> dict[int, int]:
    """Which texts to leave out: copy -> the kept text, longer or equal, that it repeats.

    A text is left out when more than `threshold` of its distinct shingles (runs of `width` bytes without white space; 48
    bytes are about 12 English tokens) occur in one kept text that has at least as many shingles. A text shorter than a
    shingle is left out only as an exact copy. In Python's `pydoc_data.topics` such texts hold 19 % of the tokens and double
    the two-point information at d = 64.

    Beyond 4 million shingles only those are compared whose hash lies below a bound, the same bound for every text
    (FracMinHash, Irber et al. 2022), which keeps the estimated containment unbiased, and at least the 16 smallest of every
    text. So among millions of short texts a short copy of a part of a far longer one may stay. Of the texts that share a
    shingle only the 8 largest are compared with the others, but equal texts are always found. Memory: 32 MB, and at most
    128 bytes a text.

    Args:
        texts: texts, or documents of token ids (arrays of integers, 0 to 2^32 - 1).
        width: symbols of a shingle, 1 to 2^20: bytes of texts (default: 48), or ids (default: 12).
        threshold: a fraction, 0 to 1.

    Returns:
        Number of each copy -> number of the kept text that it repeats.

    Raises:
        InputError: an entry that is missing (None, NaN) or no text, texts beside ids, ids out of range; the index is named.

    Example:
        >>> text = ' '.join(map(str, range(2000)))
        >>> l2m.near_duplicates([text, 'another one', text + ' and more'])
        {0: 2}
    """
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable) or hasattr(texts, "columns"):
        raise InputError(f"texts: {type(texts).__name__}; expected texts, or arrays of token ids")
    threshold = real("threshold", threshold, 0, 1)
    documents = list(texts)
    texts_only = [document for document in documents if isinstance(document, str)]
    finder = NearDuplicateFinder(width=width)
    if texts_only or not documents:
        for index, document in enumerate(documents):
            if not isinstance(document, str):
                raise InputError(f"texts: {type_words(document)} at index {index}; expected a text, as the others are")
            try:
                document.encode()
            except UnicodeEncodeError as error:
                raise InputError(
                    f"texts: half a surrogate pair at index {index}, character {error.start}; expected text"
                ) from None
        finder.add(texts_only)
    else:
        for index, document in enumerate(documents):
            if document is None or isinstance(document, (bytes, int, float)):
                raise InputError(f"texts: {type_words(document)} at index {index}; expected a text, or token ids")
        finder.add([integers(f"texts[{i}]", ids, high=_LARGEST_ID) for i, ids in enumerate(documents)])
    return finder.find(threshold)


class NearDuplicateFinder:
    """Sketches documents in bounded memory; `find` compares them. Sketches of parts of a corpus add up to the whole's."""

    def __init__(self, *, width: int | None = None) -> None:
        """
        Args:
            width: symbols of a shingle; None: 48 bytes, or 12 ids.
        """
        self._width = None if width is None else whole("width", width, 1, _MOST_WIDTH)
        self._sketches = Sketches()

    def add(self, documents: Sequence[str] | Sequence[NDArray[np.integer]]) -> None:
        """Add texts, or documents of token ids from 0 to 2^32 - 1."""
        texts = [document for document in documents if isinstance(document, str)]
        if texts:
            self._sketches.add_texts(texts, self._width or _WIDTH)
        else:
            ids = [np.ascontiguousarray(document, np.uint32) for document in documents]
            self._sketches.add_ids(ids, self._width or _IDS_WIDTH)

    def absorb(self, other: Self) -> None:
        """Add the documents of `other` behind these."""
        self._sketches.absorb(other._sketches)

    def find(self, threshold: float = _THRESHOLD) -> dict[int, int]:
        """copy -> kept original, by position in the order of `add`."""
        return dict(self._sketches.find(threshold))

    def save(self, file: IO[bytes]) -> None:
        """Write the sketches; `load` reads them."""
        bound, sizes, hashes = self._sketches.parts()
        np.savez(file, bound=np.uint64(bound), sizes=sizes, hashes=hashes)

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote.

        Raises:
            InputError: another file, or a damaged one.
        """
        finder = cls()
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                finder._sketches = Sketches(int(arrays["bound"]), arrays["sizes"], arrays["hashes"])
        except Exception as error:  # of zipfile, zlib and numpy: they have no common type
            raise InputError(f"{path}: not readable as sketches ({one_line(error)}); expected what l2m wrote") from None
        return finder
