"""Running what a store lacks: the self-test, then unit after unit of a few windows, each written when it is done."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2m.base.progress import Progress
from l2m.errors import InputError
from l2m.scoring.request import TOLERANCE, Spans, Wanted, Work, settings_of
from l2m.scoring.store import Piece, Store
from l2m.scoring.windows import Windows


class Job:
    """Scoring that is ready to run: a scorer, windows, a store and what the store lacks."""

    def __init__(self, scorer: Any, windows: Windows, store: Store, wanted: Wanted, work: Work, budget: int) -> None:
        self.scorer, self.windows, self.store, self.wanted, self.work = scorer, windows, store, wanted, work
        self.budget = budget
        self._recompute = False

    def run(self, progress: Progress | None, say: Callable[[str], None]) -> None:
        """Self-test, then every unit that is missing."""
        if not self.work:
            return
        self.self_test(say)
        total = sum(len(indices) * lacking.tokens(self.windows.length) for indices, lacking in self.work)
        done = 0

        def advance(tokens: int) -> None:
            nonlocal done
            done += tokens
            if progress is not None:
                progress(done, total)

        advance(0)
        for indices, lacking in self.work:
            for piece in self._unit(indices, lacking, advance):
                self.store.add(piece)

    def self_test(self, say: Callable[[str], None]) -> None:
        """Does the model carry its state, score a batch as it scores one sequence, and look only at the past?

        A lost state is worked around by recomputing in full, a batch that disturbs its sequences by batches of one.

        Raises:
            InputError: values that are not finite, or that depend on later tokens.
        """
        settings = self.scorer_settings
        name = settings.get("name")
        tolerance = TOLERANCE.get(str(settings.get("dtype")), TOLERANCE["float32"])
        tokens = self.windows.tokens([0, min(1, len(self.windows) - 1)])
        reach = int(getattr(self.scorer, "sliding_window", 0))
        half = min(self.windows.length // 2, max(32, reach + 8 if reach < self.windows.length else 0))
        tokens = tokens[:, : min(self.windows.length, 2 * half)].copy()
        if len(self.windows) == 1:
            tokens[1] = np.roll(tokens[1], 1)
        full, _ = self._log_prob(tokens)
        single, _ = self._log_prob(tokens[:1])
        prefix, state = self._log_prob(tokens[:, :half])
        try:
            first, _ = self._log_prob(tokens[:, half:], state)
            again, _ = self._log_prob(tokens[:, half:], state)
            continued = max(_largest(full[:, half:] - first), _largest(full[:, half:] - again))
        except Exception as error:  # whatever a model's own code raises when it cannot go on
            say(f"{name}: cannot continue from a cached state ({type(error).__name__})")
            continued = np.inf
        differences = {
            "batched against single": _largest(full[:1] - single),
            "prefix of a longer pass": _largest(full[:, :half] - prefix),
            "continued from a state": continued,
        }
        if differences["prefix of a longer pass"] > tolerance:
            raise InputError(
                f"{name}: later tokens change the odds of earlier ones by "
                f"{differences['prefix of a longer pass']:.2g} nats; expected a causal model"
            )
        if continued > tolerance:
            self._recompute = True
            say(f"{name}: continuing from a state is off by {continued:.2g} nats; shuffled passes are computed in full")
        if differences["batched against single"] > tolerance:
            self.budget = 1
            say(
                f"{name}: in a batch its values move by {differences['batched against single']:.2g} nats; "
                "sequences are scored one by one"
            )
        trusted = [value for name, value in differences.items() if value <= tolerance]
        report = {
            "tokens": int(tokens.size),
            "tolerance": tolerance,
            "differences": {key: value if np.isfinite(value) else None for key, value in differences.items()},
            "noise_floor": max(trusted, default=None),
            "recomputed_in_full": self._recompute,
            "one_by_one": differences["batched against single"] > tolerance,
            "platform": getattr(self.scorer, "platform", None),
        }
        self.store.add_self_test(report)

    @property
    def scorer_settings(self) -> Mapping[str, Any]:
        return settings_of(self.scorer)

    def _unit(self, indices: NDArray[np.int64], lacking: Wanted, advance: Callable[[int], None]) -> Iterator[Piece]:
        info = {
            "windows": indices.tolist(),
            "documents": self.windows.document[indices].tolist(),
            "starts": self.windows.start[indices].tolist(),
        }
        if lacking.conditional or lacking.shuffled:
            conditional, shuffled, partners = self._conditional(indices, lacking, advance)
            # The shuffled pieces first: with the conditional one in place a resumed run would read X once more for them.
            for shuffle, values in shuffled.items():
                extra = {"shuffle": shuffle, "partners": partners[shuffle].tolist()}
                yield Piece("shuffled", values, {**info, **extra})
            if lacking.conditional:
                yield Piece("conditional", {"": conditional}, {**info, "bytes": self.windows.bytes(indices)})
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

    def _contexts(
        self, indices: NDArray[np.int64], spans: Spans, advance: Callable[[int], None]
    ) -> dict[str, NDArray[np.float32]]:
        """log q(y1 y2 | c) of each window's Y for the first contexts c that are from other documents, (windows, contexts)."""
        count = max(count for _, count in spans)
        pieces, documents = self.windows.contexts(count)
        tokens = self.windows.tokens(indices)
        values = {str(split): np.empty((len(indices), count), np.float32) for split, _ in spans}
        given = {str(split): np.empty((len(indices), len(pieces)), np.float32) for split, _ in spans}

        def after(rows: slice) -> None:
            state = None if self._recompute else self._log_prob(pieces[rows])[1]
            for split, _ in spans:
                for window in range(len(indices)):
                    start = np.repeat(tokens[window : window + 1, split : split + 2], rows.stop - rows.start, 0)
                    if self._recompute:
                        whole = self._log_prob(np.concatenate([pieces[rows], start], 1))[0][:, pieces.shape[1] :]
                    else:
                        whole = self._log_prob(start, state)[0]
                    given[str(split)][window, rows] = whole.sum(1)
                    advance(start.size)

        self._in_batches(len(pieces), pieces.shape[1] + 2, after)
        for window, own in enumerate(self.windows.document[indices]):
            for split, _ in spans:
                values[str(split)][window] = given[str(split)][window, documents != own][:count]
        return values

    def _conditional(
        self, indices: NDArray[np.int64], lacking: Wanted, advance: Callable[[int], None]
    ) -> tuple[NDArray[np.float32], dict[int, dict[str, NDArray[np.float32]]], dict[int, NDArray[np.int64]]]:
        """The conditional pass, left at each split by the shuffled ones, which go on from its state."""
        length = self.windows.length
        drawn = {shuffle: self.windows.partners(indices, shuffle) for shuffle, _ in lacking.shuffled}
        conditional = np.empty((len(indices), length), np.float32)
        shuffled = {
            shuffle: {str(split): np.empty((len(indices), n), np.float32) for split, n in parts}
            for shuffle, parts in lacking.shuffled
        }
        # Cut where all shuffled passes leave, also those that the store holds: the same cuts give the same last bits.
        stops = sorted({split for _, parts in self.wanted.shuffled for split, _ in parts})
        cuts = [0, *([] if self._recompute else stops)]
        if lacking.conditional:
            cuts.append(length)

        def read(rows: slice) -> None:
            tokens, state = self.windows.tokens(indices[rows]), None
            for begin, end in pairwise(cuts):
                conditional[rows, begin:end], state = self._log_prob(tokens[:, begin:end], state)
                advance(tokens[:, begin:end].size)
                if not self._recompute:
                    follow(rows, end, tokens, state)
            if self._recompute:
                for split in stops:
                    follow(rows, split, tokens, None)

        def follow(rows: slice, split: int, tokens: NDArray[Any], state: Any) -> None:
            for shuffle, parts in lacking.shuffled:
                for n in (n for at, n in parts if at == split):
                    other = drawn[shuffle][0][rows, split : split + n]
                    if self._recompute:
                        both = np.concatenate([tokens[:, :split], other], 1)
                        shuffled[shuffle][str(split)][rows] = self._log_prob(both)[0][:, split:]
                    else:
                        shuffled[shuffle][str(split)][rows] = self._log_prob(other, state)[0]
                    advance(other.size)

        self._in_batches(len(indices), length, read)
        return conditional, shuffled, {shuffle: documents for shuffle, (_, documents) in drawn.items()}

    def _in_batches(self, count: int, length: int, work: Callable[[slice], None]) -> None:
        """`work` on rows 0..count, as many at a time as the token budget holds; halved for good when memory runs out."""
        first = 0
        while first < count:
            size = min(count - first, max(1, self.budget // length))
            try:
                work(slice(first, first + size))
            except Exception as error:
                if size == 1 or not _out_of_memory(error):
                    raise
                self.budget = size // 2 * length
                continue
            first += size

    def _log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        values, state = self.scorer.log_prob(tokens, state)
        values = np.asarray(values)
        if values.shape != tokens.shape:
            raise InputError(
                f"scorer: log_prob gave shape {values.shape}; expected {tokens.shape}, one value per target"
            )
        if not np.isfinite(values).all():
            worst = values[~np.isfinite(values)][0]
            raise InputError(
                f"scorer: a log-probability of {worst} from {self.scorer_settings.get('name')}; expected finite values: "
                "information is infinite where the model gives an event no chance"
            )
        return values.astype(np.float32, copy=False), state


def _out_of_memory(error: Exception) -> bool:
    name, text = type(error).__name__, str(error).lower()
    return (
        name == "OutOfMemoryError"
        or isinstance(error, MemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )


def _largest(difference: NDArray[Any]) -> float:
    return float(np.abs(difference).max(initial=0.0))
