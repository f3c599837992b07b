"""Which pieces of a corpus are scored: disjoint windows of one length that begin at sentence starts.

Windows are numbered in rounds: first one window of every document that is long enough, then a second of each that has
room for one, and so on. So the first N windows are the same whatever N is asked for later, and a store can grow.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from l2m.corpora.corpus import Corpus
from l2m.errors import InputError

# Tokens read to find where a sentence starts: some before the place, so that it is seen how the last one ended.
_BEFORE, SENTENCE_REACH = 64, 192
# Enough that the model knows it is in the middle of a text, short enough that a hundred fit into memory with their states.
CONTEXT_TOKENS = 64


class Windows:
    """Windows of `length` positions, each (document, start), and their partners in the shuffled passes.

    Args:
        data: a corpus; or an array (n, length) of ids or real numbers, whose rows are windows of n separate documents.
        length: positions per window.
        count: how many windows; None for one a document.
        seed: draws the partners.
        decoder: a `tokenizers.Tokenizer` that turns ids into text, to find sentence starts; None: windows follow each
            other without a gap, the first at the document's start.

    Attributes:
        document, start: int64, (windows,).

    Raises:
        InputError: no document is long enough, or fewer windows exist than asked for.
    """

    def __init__(
        self, data: Corpus | NDArray[Any], length: int, *, count: int | None = None, seed: int = 0, decoder: Any = None
    ) -> None:
        self.data, self.length, self.seed, self._decoder = data, length, seed, decoder
        if count is not None and count < 1:
            raise InputError(f"windows: {count}; expected 1 or more")
        if isinstance(data, Corpus):
            self._rounds = [self._round(np.zeros(len(data), np.int64))]
            if not self._rounds[0]:
                longest = int(np.diff(data.offsets).max(initial=0))
                raise InputError(f"corpus: its longest document has {longest} tokens; one window needs {length}")
            wanted = len(self._rounds[0]) if count is None else count
            while sum(map(len, self._rounds)) < wanted:
                ends = np.full(len(data), np.iinfo(np.int64).max // 2)
                for document, start in self._rounds[-1]:
                    ends[document] = start + length
                following = self._round(ends)
                if not following:
                    break
                self._rounds.append(following)
        else:
            if data.ndim != 2 or data.shape[1] != length or not data.size:
                raise InputError(f"corpus: an array of shape {data.shape}; expected (windows, {length})")
            self._rounds = [[(row, 0) for row in range(len(data))]]
            wanted = len(data) if count is None else count
        table = [entry for entries in self._rounds for entry in entries]
        if wanted > len(table):
            raise InputError(f"windows: {wanted}; the corpus has room for {len(table)} of {length} positions")
        self.document, self.start = np.array(table[:wanted], np.int64).reshape(-1, 2).T

    def __len__(self) -> int:
        return self.document.size

    @property
    def at_sentences(self) -> bool:
        """Whether windows begin at sentence starts."""
        return self._decoder is not None

    @cached_property
    def hash(self) -> str:
        """BLAKE3 of the data."""
        if isinstance(self.data, Corpus):
            return self.data.hash
        array = np.ascontiguousarray(self.data)
        return blake3(f"{array.dtype.str} {array.shape} ".encode() + array.tobytes()).hexdigest()

    def tokens(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        """The ids (or values) of these windows, (len(indices), length)."""
        return self._take([(int(self.document[i]), int(self.start[i])) for i in indices])

    def partners(
        self, indices: Sequence[int] | NDArray[np.int64], shuffle: int
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """For each window one of another document, drawn by the seed: (its ids, (len(indices), length); its document).

        The partner comes from the same round where there is one, so that it lies about as deep in its document; the
        draws of one window for shuffle 0, 1, ... differ as long as there are documents left.

        Raises:
            InputError: the corpus has no other document with a window.
        """
        tables = [np.array(entries, np.int64) for entries in self._rounds]
        sizes = np.cumsum([0, *map(len, tables)])
        chosen = []
        for index in indices:
            own = int(self.document[index])
            for number in range(int(np.searchsorted(sizes, index, "right")) - 1, -1, -1):
                documents = tables[number][:, 0]
                place = int(np.searchsorted(documents, own))
                others = len(documents) - int(place < len(documents) and documents[place] == own)
                if others:
                    break
            else:
                raise InputError("corpus: windows in one document only; shuffled pairs need two documents")
            random = np.random.default_rng([self.seed, number, own])
            drawn: list[int] = []
            while len(drawn) <= shuffle % others:
                candidate = int(random.integers(others))
                if candidate not in drawn:
                    drawn.append(candidate)
            # Counted over the other documents alone: from its own place on they stand one further.
            chosen.append(tuple(tables[number][drawn[-1] + (others < len(documents) and drawn[-1] >= place)].tolist()))
        return self._take(chosen), np.array([document for document, _ in chosen], np.int64)

    def contexts(self, count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Pieces of text from all over the corpus, up to 64 positions each: (pieces, (n, 64); their documents, (n,)).

        Drawn by the seed, documents in proportion to their size, one after the other until every document has `count`
        pieces from other documents; so the first pieces are the same whatever the count.

        Raises:
            InputError: the corpus has one document only.
        """
        size = min(CONTEXT_TOKENS, self.length)
        first = self._rounds[0]
        if isinstance(self.data, Corpus):
            lengths = np.array([self.data.offsets[d + 1] - self.data.offsets[d] for d, _ in first], np.int64)
        else:
            lengths = np.full(len(first), self.length, np.int64)
        if len(first) < 2:
            raise InputError("corpus: windows in one document only; contexts from other documents need two")
        # A document may hold nearly all of the corpus, so none is drawn with more than half of all draws.
        share = np.minimum(lengths / lengths.sum(), 0.5)
        random = np.random.default_rng([self.seed, len(first), 1])
        seen, drawn = np.zeros(len(first), np.int64), list[tuple[int, NDArray[Any]]]()
        while len(drawn) - seen.max() < count:
            place = int(random.choice(len(first), p=share / share.sum()))
            seen[place] += 1
            document = first[place][0]
            start = int(random.integers(lengths[place] - size + 1))
            drawn.append((document, self.data[document][start : start + size]))
        return np.stack([piece for _, piece in drawn]), np.array([document for document, _ in drawn], np.int64)

    def bytes(self, indices: Sequence[int] | NDArray[np.int64]) -> list[int] | None:
        """Bytes of text in each window; None where ids cannot be turned into text."""
        if self._decoder is None:
            return None
        texts = (self._decoder.decode(ids.tolist(), skip_special_tokens=False) for ids in self.tokens(indices))
        return [len(text.encode()) for text in texts]

    def _take(self, places: Sequence[tuple[int, int]]) -> NDArray[Any]:
        if not isinstance(self.data, Corpus):
            return np.stack([self.data[row] for row, _ in places])
        return np.stack([self.data[document][start : start + self.length] for document, start in places])

    def _round(self, earliest: NDArray[np.int64]) -> list[tuple[int, int]]:
        """The first window of each document that starts at or after `earliest`."""
        assert isinstance(self.data, Corpus)
        found = []
        for document in range(len(self.data)):
            size = int(self.data.offsets[document + 1] - self.data.offsets[document])
            if earliest[document] + self.length <= size:
                start = self._sentence_start(self.data[document], int(earliest[document]))
                if start + self.length <= size:
                    found.append((document, start))
        return found

    def _sentence_start(self, tokens: NDArray[Any], earliest: int) -> int:
        """The first token at or after `earliest` that begins a sentence; `earliest` itself where none is near.

        A document's first token begins one. Only the text around the place is decoded: ids are never made from text.
        """
        if earliest == 0 or self._decoder is None:
            return earliest
        import nupunkt

        first = max(0, earliest - _BEFORE)
        ids = tokens[first : earliest + SENTENCE_REACH].tolist()
        text = self._decoder.decode(ids, skip_special_tokens=False)
        starts = {begin for begin, _ in nupunkt.sent_spans(text)}
        end = len(self._decoder.decode(ids[: earliest - first], skip_special_tokens=False))
        for position in range(earliest - first, len(ids)):
            begin, end = end, len(self._decoder.decode(ids[: position + 1], skip_special_tokens=False))
            # A token carries the blank before its word, so the sentence starts at its first other character.
            word = begin + len(text[begin:end]) - len(text[begin:end].lstrip())
            if word < end and word in starts:
                return first + position
        return earliest
