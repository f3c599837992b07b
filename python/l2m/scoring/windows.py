"""Which pieces of a corpus are scored: disjoint windows of one length that begin at sentence starts.

Windows are numbered in rounds: first one window of every document that is long enough, then a second of each that has
room for one, and so on. So the first N windows are the same whatever N is asked for later, and a store can grow.

Where they begin (`window_starts`):

    anywhere   A document is cut into as many equal slots as it has room for windows, and every slot holds one: at a place
               drawn inside it, moved to the nearest sentence start. The seed draws the order of the slots.
    head       The first window begins with the document, and each later one at the first sentence start after the one
               before. First windows are title pages, tables of contents and licenses: beta of 70 books came out 0.11 lower.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from l2m.corpora.corpus import Corpus
from l2m.errors import InputError

STARTS = ("anywhere", "head")
# Tokens read to find where a sentence starts: some before the place, so that it is seen how the last one ended.
_BEFORE, SENTENCE_REACH = 64, 192
# Of code and verse `nupunkt` makes one sentence: there a blank line is what ends one.
_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
# Enough that the model knows it is in the middle of a text, short enough that a hundred fit into memory with their states.
CONTEXT_TOKENS = 64


def room(tokens: NDArray[np.int64], length: int, reach: int = SENTENCE_REACH) -> NDArray[np.int64]:
    """Windows that documents of so many tokens have room for, each with up to `reach` tokens before its sentence starts."""
    return np.where(tokens < length, 0, (tokens + reach) // (length + reach))


class Windows:
    """Windows of `length` positions, each (document, start), and their partners in the shuffled passes.

    Args:
        data: a corpus; or an array (n, length) of ids or real numbers, whose rows are windows of n separate documents.
        length: positions per window.
        count: how many windows; None for one a document.
        seed: draws where windows begin, the partners and the contexts.
        decoder: a `tokenizers.Tokenizer` that turns ids into text, to find sentence starts; None: windows begin where they
            are drawn, or, from the head, follow each other without a gap.
        starts: "anywhere" or "head"; see the module.

    Attributes:
        document, start: int64, (windows,).

    Raises:
        InputError: no document is long enough, or fewer windows exist than asked for.
    """

    def __init__(
        self,
        data: Corpus | NDArray[Any],
        length: int,
        *,
        count: int | None = None,
        seed: int = 0,
        decoder: Any = None,
        starts: str = "anywhere",
    ) -> None:
        self.data, self.length, self.seed, self._decoder, self._rule = data, length, seed, decoder, starts
        if count is not None and count < 1:
            raise InputError(f"windows: {count}; expected 1 or more")
        # The start of each window that was looked up, by (round, document); the slots of each document, in drawn order.
        self._found: dict[tuple[int, int], int] = {}
        self._slots: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        if isinstance(data, Corpus):
            sizes = np.diff(data.offsets)
            if not (sizes >= length).any():
                longest = int(sizes.max(initial=0))
                raise InputError(f"corpus: its longest document has {longest} tokens; one window needs {length}")
            self._room = room(sizes, length, 0 if decoder is None else SENTENCE_REACH)
            self._rounds = self._round_documents(count)
        else:
            if data.ndim != 2 or data.shape[1] != length or not data.size:
                raise InputError(f"corpus: an array of shape {data.shape}; expected (windows, {length})")
            self._rounds = [np.arange(len(data))]
        held = sum(map(len, self._rounds))
        wanted = len(self._rounds[0]) if count is None else count
        if wanted > held:
            raise InputError(f"windows: {wanted}; the corpus has room for {held} of {length} positions")
        table = [(number, int(d)) for number, documents in enumerate(self._rounds) for d in documents][:wanted]
        self.document = np.array([document for _, document in table], np.int64)
        self.start = np.array([self._start(number, document) for number, document in table], np.int64)

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

        The partner comes from the same round where there is one, so that windows from the head have partners about as deep
        in their documents; the draws of one window for shuffle 0, 1, ... differ as long as there are documents left.

        Raises:
            InputError: the corpus has no other document with a window.
        """
        sizes = np.cumsum([0, *map(len, self._rounds)])
        chosen = []
        for index in indices:
            own = int(self.document[index])
            for number in range(int(np.searchsorted(sizes, index, "right")) - 1, -1, -1):
                documents = self._rounds[number]
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
            partner = int(documents[drawn[-1] + (others < len(documents) and drawn[-1] >= place)])
            chosen.append((partner, self._start(number, partner)))
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
            lengths = np.diff(self.data.offsets)[first]
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
            document = int(first[place])
            start = int(random.integers(lengths[place] - size + 1))
            drawn.append((document, self.data[document][start : start + size]))
        return np.stack([piece for _, piece in drawn]), np.array([document for document, _ in drawn], np.int64)

    def text_sizes(self, indices: Sequence[int] | NDArray[np.int64]) -> dict[str, list[int] | None]:
        """ "bytes" and "characters" of text in each window; None where ids cannot be turned into text."""
        if self._decoder is None:
            return {"bytes": None, "characters": None}
        texts = [self._decoder.decode(ids.tolist(), skip_special_tokens=False) for ids in self.tokens(indices)]
        return {"bytes": [len(text.encode()) for text in texts], "characters": [len(text) for text in texts]}

    def _take(self, places: Sequence[tuple[int, int]]) -> NDArray[Any]:
        if not isinstance(self.data, Corpus):
            return np.stack([self.data[row] for row, _ in places])
        return np.stack([self.data[document][start : start + self.length] for document, start in places])

    def _round_documents(self, count: int | None) -> list[NDArray[np.int64]]:
        """The documents that have a window in each round, as many rounds as `count` windows need."""
        rounds: list[NDArray[np.int64]] = []
        while not rounds or (count is not None and sum(map(len, rounds)) < count):
            number = len(rounds)
            if self._rule == "head":
                documents = range(len(self._room)) if not number else rounds[-1]
                following = np.array([d for d in documents if self._follows(number, int(d))], np.int64)
            else:
                following = np.flatnonzero(self._room > number)
            if not following.size:
                break
            rounds.append(following)
        return rounds

    def _follows(self, number: int, document: int) -> bool:
        """Whether a document has room for one more window after those from its head; keeps where it begins."""
        tokens = self.data[document]
        earliest = self._found[number - 1, document] + self.length if number else 0
        if earliest + self.length > len(tokens):
            return False
        starts = self._sentence_starts(tokens, earliest, earliest + SENTENCE_REACH) if earliest else []
        start = self._found[number, document] = int(next(iter(starts), earliest))
        return start + self.length <= len(tokens)

    def _start(self, number: int, document: int) -> int:
        """Where the window of this round begins in a document."""
        if not isinstance(self.data, Corpus):
            return 0
        if (number, document) not in self._found:
            self._found[number, document] = self._drawn_start(number, document)
        return self._found[number, document]

    def _drawn_start(self, number: int, document: int) -> int:
        assert isinstance(self.data, Corpus)
        tokens, slots = self.data[document], int(self._room[document])
        if document not in self._slots:
            random = np.random.default_rng([self.seed, document, 2])
            self._slots[document] = random.permutation(slots), random.random(slots)
        order, places = self._slots[document]
        slot = int(order[number])
        low, high = (len(tokens) * edge // slots for edge in (slot, slot + 1))
        high -= self.length  # the last start at which the window ends inside its slot
        place = low + int(places[number] * (high - low + 1))
        after = self._sentence_starts(tokens, place, min(high + 1, place + SENTENCE_REACH))
        if after:
            return after[0]
        before = self._sentence_starts(tokens, max(low, place - SENTENCE_REACH), place)
        return before[-1] if before else place

    def _sentence_starts(self, tokens: NDArray[Any], begin: int, stop: int) -> list[int]:
        """The tokens from `begin` to `stop` that begin a sentence or follow a blank line; a document's first token does.

        Only the text around the place is decoded: ids are never made from text.
        """
        if self._decoder is None or begin >= stop:
            return []
        import nupunkt

        first = max(0, begin - _BEFORE)
        ids = tokens[first : max(stop, begin + SENTENCE_REACH)].tolist()
        text = self._decoder.decode(ids, skip_special_tokens=False)
        starts = {start for start, _ in nupunkt.sent_spans(text)} | {m.end() for m in _BLANK_LINE.finditer(text)}
        found = []
        end = len(self._decoder.decode(ids[: begin - first], skip_special_tokens=False))
        for position in range(begin - first, min(stop - first, len(ids))):
            start, end = end, len(self._decoder.decode(ids[: position + 1], skip_special_tokens=False))
            # A token carries the blank before its word, so the sentence starts at its first other character.
            word = start + len(text[start:end]) - len(text[start:end].lstrip())
            if word < end and word in starts:
                found.append(first + position)
        return found
