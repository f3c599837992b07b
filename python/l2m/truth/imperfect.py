"""Scorers that are wrong by a stated amount, on sources whose law is exact: what the estimators make of a model's faults.

Each follows `l2m.scoring.Scorer` for a source of `l2m.truth.sources`; `settings` states the fault. benches/exponent_study.py
runs every estimator on them.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.errors import InputError
from l2m.truth.frontier import factor_of, truncated
from l2m.truth.gaussian import HierarchicalGaussian
from l2m.truth.sources import LatentForest

Floats = NDArray[np.float64]


class WrongStart:
    """A scorer that finds the first tokens of every pass too unlikely: half of `nats` on the first, a quarter on the second, ...

    As a language model does after its start token where the text begins in the middle of a sentence.
    """

    def __init__(self, scorer: Any, nats: float) -> None:
        self.scorer, self.nats = scorer, checks.real("nats", nats, 0)
        self.vocab_size = getattr(scorer, "vocab_size", None)
        self.settings = {**scorer.settings, "wrong_start": self.nats}
        if hasattr(scorer, "begin"):  # a scorer that has it is taken for one that is not the same everywhere
            self.begin = lambda position: (scorer.begin(position), 0)

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[Floats, Any]:
        inner, read = state or (None, 0)
        values, inner = self.scorer.log_prob(tokens, inner)
        n = tokens.shape[1]
        return values - self.nats * 0.5 ** (1.0 + read + np.arange(n)), (inner, read + n)


class ForgetfulForest:
    """The exact scorer of a latent forest with less memory, or too sure or unsure of itself.

    Args:
        forest: the source.
        window: it sees only so many tokens back; None: all.
        kept: it keeps one number, the balance of ones and zeros, for each of the `kept` most frequent trees; None: for all.
        temperature: its probabilities are raised to 1 / temperature and normalised.
    """

    def __init__(
        self, forest: LatentForest, *, window: int | None = None, kept: int | None = None, temperature: float = 1.0
    ) -> None:
        self.forest, self.vocab_size = forest, forest.vocab_size
        self.window = None if window is None else checks.whole("window", window, 1)
        self.kept = None if kept is None else checks.whole("kept", kept, 0)
        self.temperature = checks.real("temperature", temperature, 0)
        if not self.temperature or (window is not None and self.temperature != 1):
            raise InputError(f"temperature: {temperature} with window={window}; expected above 0, and 1 with a window")
        self.settings = {**forest.settings, "window": window, "kept": kept, "temperature": self.temperature}

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[Floats, Any]:
        new = tokens.astype(np.int64)
        both = new if state is None else np.concatenate([state, new], 1)
        asked = new if self.temperature == 1 else both
        d = self.forest.balance(both, asked.shape[1], self.window)
        if self.kept is not None:
            d = np.where(asked >> 1 < self.kept, d, 0)
        values = self.forest.log_leaf(asked, d)
        if self.temperature != 1:
            values = (values / self.temperature - self._log_total(asked, d))[:, -new.shape[1] :]
        return values, both

    def _log_total(self, tokens: NDArray[np.int64], d: NDArray[np.int64]) -> Floats:
        """Log of the sum over all tokens of probability^(1 / temperature), before each token, from the first on."""
        t, forest = self.temperature, self.forest
        every = np.arange(self.vocab_size)
        first = np.exp(forest.log_leaf(every, np.zeros_like(every)) / t).sum()

        def both_leaves(d: NDArray[np.int64]) -> Floats:
            one, zero = (forest.log_leaf(tokens & ~1 | leaf, d) for leaf in (1, 0))
            return np.asarray(np.exp(one / t) + np.exp(zero / t))

        after = d + 2 * (tokens & 1) - 1
        if self.kept is not None:
            after = np.where(tokens >> 1 < self.kept, after, 0)
        change = both_leaves(after) - both_leaves(d)
        return np.asarray(np.log(first + np.cumsum(change, 1) - change))


class LinearGaussian:
    """A Gaussian law's values predicted linearly from less than the whole past.

    Args:
        law: the source; windows begin where its sequences do.
        length: of the windows.
        numbers: it keeps the state of so many numbers that `law.frontier` finds; None: everything.
        window: it sees only so many values back; None: all.
        temperature: its variances are multiplied by this.
    """

    def __init__(
        self,
        law: HierarchicalGaussian,
        length: int,
        *,
        numbers: int | None = None,
        window: int | None = None,
        temperature: float = 1.0,
    ) -> None:
        if numbers is not None and window is not None:
            raise InputError(f"numbers, window: {numbers}, {window}; expected one of them")
        self.length = checks.whole("length", length, 1, law.length)
        self.numbers = None if numbers is None else checks.whole("numbers", numbers, 0)
        self.window = None if window is None else checks.whole("window", window, 0)
        self.temperature = checks.real("temperature", temperature, 0)
        positions = np.arange(self.length)
        self._covariance = np.asarray(law.correlation(positions[:, None], positions))
        self.settings = {**law.settings, "numbers": numbers, "window": window, "temperature": self.temperature}
        self.predictor = lru_cache(maxsize=32)(self._predictor)

    def begin(self, position: int) -> Any:
        """The state before the value at `position` of a window of which nothing is known yet."""
        return position, None

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[Floats, Any]:
        start, before = state or self.begin(0)
        known = tokens if before is None else np.concatenate([before, tokens], 1)
        weights, std = self.predictor(start)
        n, new = known.shape[1], slice(known.shape[1] - tokens.shape[1], known.shape[1])
        error = (tokens - known @ weights[new, :n].T) / std[new]
        return -0.5 * error**2 - np.log(std[new]) - 0.5 * math.log(2 * math.pi), (start, known)

    def log_prob_and_entropy(self, tokens: NDArray[Any], state: Any = None) -> tuple[Floats, Floats, Any]:
        """`log_prob`, and the differential entropy of each prediction."""
        values, (start, known) = self.log_prob(tokens, state)
        n = known.shape[1]
        entropy = np.log(self.predictor(start)[1][n - tokens.shape[1] : n]) + 0.5 * math.log(2 * math.pi * math.e)
        return values, np.tile(entropy, (len(tokens), 1)), (start, known)

    def _predictor(self, start: int) -> tuple[Floats, Floats]:
        """Of the values from `start` on: (n, n) weights of the earlier values in each mean, and standard deviations (n,)."""
        covariance = self._covariance[start:, start:]
        n = len(covariance)
        weights, variance = np.zeros((n, n)), np.ones(n)
        if self.numbers is not None:
            exact = np.square(np.diag(np.linalg.cholesky(covariance)))
            trace: list[tuple[Floats, float, Floats]] = []
            truncated(factor_of(covariance), exact, np.full(n, self.numbers), trace)
            state = np.zeros((0, n))  # the numbers kept, each as weights of the values seen
            for t, (c, given_state, projection) in enumerate(trace):
                weights[t], variance[t] = c @ state, given_state
                innovation = -weights[t]
                innovation[t] = 1
                state = projection.T @ np.vstack([state, innovation / math.sqrt(given_state)])
        elif self.window is None:
            # Z = L e with independent e: the mean of Z_t is Z_t less its own innovation L_tt e_t.
            root = np.linalg.cholesky(covariance)
            variance = np.square(np.diag(root))
            weights = np.eye(n) - np.diag(root)[:, None] * np.linalg.inv(root)
        else:
            for t in range(n):
                seen = slice(max(0, t - self.window), t)
                weights[t, seen] = np.linalg.solve(covariance[seen, seen], covariance[seen, t])
                variance[t] = covariance[t, t] - weights[t, seen] @ covariance[seen, t]
        return weights, np.sqrt(variance * self.temperature)
