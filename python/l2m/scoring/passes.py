"""The passes of some windows: conditional, marginal, shuffled and contexts, as drawn in `l2m.scoring`."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2m.scoring.missing import Wanted
from l2m.scoring.scorer import checked, out_of_memory
from l2m.scoring.settings import Spans
from l2m.scoring.store import Piece
from l2m.scoring.windows import Windows

Advance = Callable[[int], None]


class Passes:
    """Runs the passes of windows.

    Args:
        scorer: see `l2m.scoring.scorer.Scorer`.
        windows: where the tokens are.
        wanted: all passes of one window, whatever the store holds of them.
        budget: tokens in one call; halved for good when memory runs out.
        recompute: never continue from a state.
    """

    def __init__(self, scorer: Any, windows: Windows, wanted: Wanted, budget: int, recompute: bool) -> None:
        self.scorer, self.windows, self.wanted = scorer, windows, wanted
        self.budget, self.recompute = budget, recompute

    def pieces(self, indices: NDArray[np.int64], lacking: Wanted, advance: Advance) -> Iterator[Piece]:
        """What these windows lack, piece by piece; `advance(tokens)` is called as it is evaluated."""
        info = {
            "windows": indices.tolist(),
            "documents": self.windows.document[indices].tolist(),
            "starts": self.windows.start[indices].tolist(),
        }
        if lacking.whole or lacking.shuffled:
            conditional, entropy, shuffled, partners = self._conditional(indices, lacking, advance)
            # The conditional piece last: with it in place a resumed run would read X once more for the others.
            for shuffle, values in shuffled.items():
                extra = {"shuffle": shuffle, "partners": partners[shuffle].tolist()}
                yield Piece("shuffled", values, {**info, **extra})
            if lacking.entropy:
                yield Piece("entropy", {"": entropy}, info)
            if lacking.conditional:
                yield Piece("conditional", {"": conditional}, {**info, **self.windows.text_sizes(indices)})
        if lacking.marginal:
            values = {str(split): np.empty((len(indices), n), np.float32) for split, n in lacking.marginal}
            begin = getattr(self.scorer, "begin", lambda position: None)
            for split, n in lacking.marginal:

                def marginal(rows: slice, split: int = split, n: int = n) -> None:
                    tokens = self.windows.tokens(indices[rows])[:, split : split + n]
                    values[str(split)][rows] = self._log_prob(tokens, begin(split))[0]
                    advance(tokens.size)

                self._in_batches(len(indices), n, marginal)
            yield Piece("marginal", values, info)
        if lacking.contexts:
            yield Piece("contexts", self._contexts(indices, lacking.contexts, advance), info)

    def _contexts(self, indices: NDArray[np.int64], spans: Spans, advance: Advance) -> dict[str, NDArray[np.float32]]:
        """log q(y1 y2 | c) of each window's Y for the first contexts c that are from other documents, (windows, contexts)."""
        count = max(count for _, count in spans)
        pieces, documents = self.windows.contexts(count)
        tokens = self.windows.tokens(indices)
        values = {str(split): np.empty((len(indices), count), np.float32) for split, _ in spans}
        given = {str(split): np.empty((len(indices), len(pieces)), np.float32) for split, _ in spans}

        def after(rows: slice) -> None:
            state = None if self.recompute else self._log_prob(pieces[rows])[1]
            for split, _ in spans:
                for window in range(len(indices)):
                    start = np.repeat(tokens[window : window + 1, split : split + 2], rows.stop - rows.start, 0)
                    whole = self._after(pieces[rows], start) if self.recompute else self._log_prob(start, state)[0]
                    given[str(split)][window, rows] = whole.sum(1)
                    advance(start.size)

        self._in_batches(len(pieces), pieces.shape[1] + 2, after)
        for window, own in enumerate(self.windows.document[indices]):
            for split, _ in spans:
                values[str(split)][window] = given[str(split)][window, documents != own][:count]
        return values

    def _conditional(
        self, indices: NDArray[np.int64], lacking: Wanted, advance: Advance
    ) -> tuple[
        NDArray[np.float32],
        NDArray[np.float32],
        dict[int, dict[str, NDArray[np.float32]]],
        dict[int, NDArray[np.int64]],
    ]:
        """The conditional pass with its entropies, left at each split by the shuffled ones, which continue from its state."""
        length = self.windows.length
        drawn = {shuffle: self.windows.partners(indices, shuffle) for shuffle, _ in lacking.shuffled}
        conditional, entropy = np.empty((2, len(indices), length), np.float32)
        shuffled = {
            shuffle: {str(split): np.empty((len(indices), n), np.float32) for split, n in parts}
            for shuffle, parts in lacking.shuffled
        }
        # Cut where all shuffled passes leave, also those that the store holds: the same cuts give the same last bits.
        stops = sorted({split for _, parts in self.wanted.shuffled for split, _ in parts})
        cuts = [0, *([] if self.recompute else stops)]
        if lacking.whole:
            cuts.append(length)

        def read(rows: slice) -> None:
            tokens, state = self.windows.tokens(indices[rows]), None
            for begin, end in pairwise(cuts):
                part, place = tokens[:, begin:end], (rows, slice(begin, end))
                if lacking.entropy:
                    conditional[place], entropy[place], state = self._log_prob_and_entropy(part, state)
                else:
                    conditional[place], state = self._log_prob(part, state)
                advance(part.size)
                if not self.recompute:
                    follow(rows, end, tokens, state)
            if self.recompute:
                for split in stops:
                    follow(rows, split, tokens, None)

        def follow(rows: slice, split: int, tokens: NDArray[Any], state: Any) -> None:
            for shuffle, parts in lacking.shuffled:
                for n in (n for at, n in parts if at == split):
                    other = drawn[shuffle][0][rows, split : split + n]
                    shuffled[shuffle][str(split)][rows] = (
                        self._after(tokens[:, :split], other) if self.recompute else self._log_prob(other, state)[0]
                    )
                    advance(other.size)

        self._in_batches(len(indices), length, read)
        return conditional, entropy, shuffled, {shuffle: documents for shuffle, (_, documents) in drawn.items()}

    def _in_batches(self, count: int, length: int, work: Callable[[slice], None]) -> None:
        """`work` on rows 0..count, as many at a time as the token budget holds; halved for good when memory runs out."""
        first = 0
        while first < count:
            size = min(count - first, max(1, self.budget // length))
            try:
                work(slice(first, first + size))
            except Exception as error:
                if size == 1 or not out_of_memory(error):
                    raise
                self.budget = size // 2 * length
                continue
            first += size

    def _after(self, prefix: NDArray[Any], tokens: NDArray[Any]) -> NDArray[np.float32]:
        """Of the tokens after a prefix, without a state that was reached before."""
        if getattr(self.scorer, "state_is_ids", False):
            return self._log_prob(tokens, prefix)[0]
        return self._log_prob(np.concatenate([prefix, tokens], 1))[0][:, prefix.shape[1] :]

    def _log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        values, state = self.scorer.log_prob(tokens, state)
        return checked(self.scorer, tokens, values), state

    def _log_prob_and_entropy(
        self, tokens: NDArray[Any], state: Any
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Any]:
        values, entropy, state = self.scorer.log_prob_and_entropy(tokens, state)
        return checked(self.scorer, tokens, values), checked(self.scorer, tokens, entropy, "an entropy"), state
