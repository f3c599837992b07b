"""The hierarchical Gaussian language: sequences whose information is known exactly, at any length.

Construction: Chen et al., Appendix C (paper section 3). The law, samples and conditionals are computed in O(L) by the Rust
core (`rust/gaussian/`).
"""

import math
import os
from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from l2m import _core
from l2m.base import checks
from l2m.base.progress import Progress
from l2m.errors import InputError
from l2m.truth.equivalent import ConstantStates, StateUse
from l2m.truth.frontier import Allowed, MemoryFrontier, frontier, smallest_state
from l2m.truth.gaussian_curves import GaussianGrowth, GaussianTwoPoint, entropy_plot, vclub_curve
from l2m.truth.gaussian_layers import checked_children, checked_layers, interleaved, log_copies

Floats = NDArray[np.float64]

MAX_DENSE = 4096
BOUNDARIES = ("weighted", "printed")


class HierarchicalGaussian:
    """The exact law of a hierarchical Gaussian sequence Z_1..Z_L, L = 4^layers, every Z_t of mean 0 and variance 1.

    Args:
        layers: 1 to 10; the length is 4^layers.
        children: copies of the layer below that a layer is made of: 1 (information grows like log L), 2 (like L^0.5), 3 (the
            paper's, like L^0.79), or a sequence with one entry for each layer from layer 2 on.
        boundary: how values at row boundaries are mixed: "weighted" (gives both laws of the paper's figure) or "printed"
            (the rule as printed, under which the information of `children=1` does not grow).

    Attributes:
        conditional_std: standard deviation of Z_t given all before it, (L,), read-only.

    Raises:
        InputError: layers out of range, children not in 1..3, a sequence of the wrong length, an unknown boundary rule.
    """

    def __init__(self, layers: int, children: int | Sequence[int] = 3, *, boundary: str = "weighted") -> None:
        self.layers = checked_layers(layers)
        self.children = checked_children(children, self.layers)
        if boundary not in BOUNDARIES:
            raise InputError(f"boundary: {boundary!r}; expected 'weighted' or 'printed'")
        self.boundary = boundary
        self.length = 4**self.layers
        self._core = _core.GaussianLaw(list(self.children), boundary)
        self.conditional_std: Floats = self._core.conditional_std()
        self.conditional_std.flags.writeable = False
        # A middle window has no fast conditionals; the factors of a few are kept, for they serve many sequences.
        self._window_factor = lru_cache(maxsize=32)(self._factor)
        self._constant_states = ConstantStates(self)

    @classmethod
    def with_exponent(cls, layers: int, beta: float, *, boundary: str = "weighted") -> Self:
        """The law whose nominal exponent is nearest to `beta`, its children interleaved as evenly as they go.

        The order matters at finite length: compare `fitted_exponent` and `local_exponents`.

        Raises:
            InputError: layers out of range (at least 2 here), beta outside 0 .. log 3 / log 4 = 0.7925.
        """
        slots = checked_layers(layers) - 1
        largest = math.log(3) / math.log(4)
        if slots == 0:
            raise InputError("layers: 1; expected at least 2: one layer is one law, with no exponent to choose")
        if not 0 <= beta <= largest + 1e-4:
            raise InputError(f"beta: {beta!r}; expected 0 to {largest:.4f} = log 3 / log 4")

        def distance(twos_threes: tuple[int, ...]) -> tuple[float, float]:
            logs = log_copies(slots, *twos_threes)
            return round(abs(logs.mean() / math.log(4) - beta), 12), float(logs.var())  # ties: the more even one

        counts = [pair for pair in product(range(slots + 1), repeat=2) if sum(pair) <= slots]
        return cls(layers, interleaved(log_copies(slots, *min(counts, key=distance))), boundary=boundary)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), boundary=self.boundary), (self.layers, self.children)

    def __repr__(self) -> str:
        children = self.children[0] if len(set(self.children)) == 1 else self.children
        return f"HierarchicalGaussian({self.layers}, {children}, boundary={self.boundary!r})  # length {self.length:,}"

    @property
    def settings(self) -> dict[str, Any]:
        """What makes the law, as JSON."""
        return {
            "name": "hierarchical Gaussian",
            "layers": self.layers,
            "children": list(self.children),
            "boundary": self.boundary,
        }

    # --- the law -------------------------------------------------------------------------------------------------------

    def entropy(self) -> Floats:
        """Conditional entropy of Z_t given all before it, nats, (L,): 1/2 log(2 pi e s_t^2). It may be negative."""
        return np.log(self.conditional_std) + 0.5 * math.log(2 * math.pi * math.e)

    def bipartite_information(self, split: ArrayLike | None = None) -> Any:
        """I_BP(l; L) = I(Z_1..Z_l; Z_{l+1}..Z_L), nats.

        Args:
            split: l in 0..L, or an integer array of any shape; None: L/2. `law.bipartite_information(range(1, L))` gives the
                whole curve in O(L). Inside one law the curve is log-periodic: fit exponents over lengths, not over splits
                (`fitted_exponent`).

        Raises:
            InputError: a split outside 0..L or not an integer.
        """
        if split is None:
            return float(self._core.half_information()[-1])
        splits = self._splits(split)
        information = self._core.bipartite_information()[splits]
        return float(information) if splits.ndim == 0 else information

    def vclub(self, split: ArrayLike | None = None) -> Any:
        """What vCLUB finds at a split with a perfect model, nats: I + KL(p(x) p(y) || p(x, y)).

        1/2 [tr(Sigma^-1 (Sigma_X (+) Sigma_Y)) - L] (paper, section 2). Splits as in `bipartite_information`; dense.

        Raises:
            InputError: as `bipartite_information`; L above 4,096.
        """
        splits = self._splits(self.length // 2 if split is None else split)
        values = vclub_curve(self.covariance())[splits]
        return float(values) if splits.ndim == 0 else values

    def _splits(self, split: ArrayLike) -> NDArray[np.int64]:
        splits = _integers("split", split)
        if splits.size and not (splits.min() >= 0 and splits.max() <= self.length):
            raise InputError(f"split: {splits.min()} to {splits.max()}; expected 0 to {self.length}")
        return splits

    @property
    def nominal_exponent(self) -> float:
        """mean(log children) / log 4: beta of I_BP(L/2; L) ~ L^beta as layers go on; nan for one layer."""
        return float(np.log(self.children).mean() / math.log(4)) if self.children else math.nan

    @property
    def local_exponents(self) -> Floats:
        """Slope of log I_BP(L/2; L) against log L from each length 4^k to the next, (layers - 1,)."""
        return np.asarray(np.diff(np.log(self._core.half_information())) / math.log(4))

    @property
    def fitted_exponent(self) -> float:
        """Least-squares slope of log I_BP(L/2; L) against log L over the lengths 4, 16, ..., 4^layers; nan for one layer."""
        logs = np.log(self._core.half_information())
        k = np.arange(self.layers) - (self.layers - 1) / 2
        return float((k @ logs) / (k @ k) / math.log(4)) if self.layers > 1 else math.nan

    def growth(self) -> GaussianGrowth:
        """I_BP(L/2; L) of the laws of length 4, 16, ..., 4^layers made of the first layers of this one, with exponents."""
        shorter = [type(self)(k, self.children[: k - 1], boundary=self.boundary) for k in range(1, self.layers)]
        return GaussianGrowth(
            length=4 ** np.arange(1, self.layers + 1),
            information=self._core.half_information(),
            end_information=np.array([law.two_point_information(0, law.length - 1) for law in (*shorter, self)]),
            local_exponents=self.local_exponents,
            nominal_exponent=self.nominal_exponent,
            fitted_exponent=self.fitted_exponent,
            settings=self.settings,
        )

    def two_point(
        self,
        distances: Sequence[int] | None = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> GaussianTwoPoint:
        """Correlation and information of two values at a distance, averaged over all pairs at it. O(L) a distance.

        Args:
            distances: 1..L-1; None: 1, 2, 4, ..., L/2.

        Raises:
            InputError: distances out of range or not integers.
        """
        chosen = 2 ** np.arange(2 * self.layers) if distances is None else _integers("distances", distances).ravel()
        if chosen.size and chosen.min() < 1:
            raise InputError(f"distances: {chosen.min()}; expected 1 to {self.length - 1}")
        correlation, information = self._core.two_point(chosen.tolist(), _threads(threads), progress)
        return GaussianTwoPoint(chosen, correlation, information, settings=self.settings)

    def two_point_information(self, i: ArrayLike, j: ArrayLike) -> Any:
        """I(Z_i; Z_j) = -1/2 log(1 - Corr^2), nats, of positions as in `correlation`; infinite for i = j."""
        with np.errstate(divide="ignore"):
            information = -0.5 * np.log1p(-np.square(self.correlation(i, j)))
        return float(information) if np.ndim(information) == 0 else information

    def correlation(self, i: ArrayLike, j: ArrayLike) -> Any:
        """Corr(Z_i, Z_j) for positions 0..L-1; integers or integer arrays that broadcast. O(log L) each.

        Raises:
            InputError: positions outside 0..L-1, or not integers; shapes that do not broadcast.
        """
        first, second = _integers("i", i), _integers("j", j)
        try:
            first, second = np.broadcast_arrays(first, second)
        except ValueError:
            raise InputError(f"i, j: shapes {first.shape} and {second.shape}; expected shapes that broadcast") from None
        values = self._core.correlation(np.ascontiguousarray(first).ravel(), np.ascontiguousarray(second).ravel())
        return float(values[0]) if first.ndim == 0 else values.reshape(first.shape)

    def covariance(self) -> Floats:
        """Cov(Z), (L, L): dense, for checks.

        Raises:
            InputError: L above 4,096 (128 MiB).
        """
        if self.length > MAX_DENSE:
            raise InputError(
                f"covariance: a {self.length:,} x {self.length:,} matrix; expected a length of at most 4,096"
            )
        rows, columns = np.tril_indices(self.length)
        dense = np.empty((self.length, self.length))
        dense[rows, columns] = dense[columns, rows] = self.correlation(rows, columns)
        return dense

    # --- what a memory can hold ----------------------------------------------------------------------------------------

    def frontier(self, state: Allowed, *, refine: int = 0, bound: bool = False, seed: int = 0) -> MemoryFrontier:
        """How well a linear recurrent model with a state of limited size predicts this law: KL by position, exactly.

        Args:
            state: numbers the state may hold: one number; an array with an entry for each position; "log:A" (A ln(1 + t)),
                "power:P:A" (A t^P, where P may be "beta"); or a callable from t to the numbers after t values. Rounded up.
            refine: gradient steps (Adam, with torch) on the projections, from the greedy truncation's; 300 to 600 suffice at L = 64.
            bound: also the proven lower bound on the mean KL of any linear state of these sizes.
            seed: of the nudge that starts the refinement.

        Returns:
            A `MemoryFrontier`; `kl` is achievable, and the greedy truncation's unless refined.

        Raises:
            InputError: L above 4,096; a growth that cannot be read; negative or fractional numbers; an array of another length.
        """
        return frontier(self, state, refine=refine, bound=bound, seed=seed)

    def smallest_state(self) -> NDArray[np.int64]:
        """The numbers a linear state must hold after t = 1..L values to lose nothing, (L,): the non-zero canonical correlations
        of the first t values and the rest.

        Raises:
            InputError: L above 4,096.
        """
        return smallest_state(self)

    def equivalent_state(self, kl: float) -> float:
        """The numbers at which the (greedy) frontier of a constant state has this mean KL: what a model of this KL makes use of.

        Between whole numbers the frontier's KL is taken as linear. 0 from the KL of no state on; the largest `smallest_state` at 0.

        Args:
            kl: mean over positions, nats a value.

        Raises:
            InputError: a KL that is negative or not finite; L above 4,096.
        """
        return self._constant_states.equivalent(kl)

    def state_use(self, numbers: float, kl: float) -> StateUse:
        """How much of its state a model uses: the numbers its KL is worth, and what of its KL the state's size does not explain.

        The frontiers, about ten, are computed once for a law: a second at L = 256, some at 1,024.

        Args:
            numbers: the model's state for one copy of the law, the same at every position.
            kl: its mean over positions, nats a value.

        Raises:
            InputError: numbers or a KL that are negative or not finite; L above 4,096.
        """
        return self._constant_states.use(numbers, kl)

    def plot_entropy(self, axes: Any = None) -> Any:
        """Conditional entropy by position, nats, with its mean over octaves of positions; a log axis of positions from 1."""
        return entropy_plot(self.entropy(), axes)

    # --- sequences -----------------------------------------------------------------------------------------------------

    def sample(
        self,
        n: int,
        *,
        seed: int,
        threads: int | None = None,
        dtype: DTypeLike = np.float64,
        first: int = 0,
        progress: Progress | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Independent sequences with their exact conditional means.

        Args:
            n: how many.
            seed: 0..2^64-1. Sequence k of a seed is the same whatever n, threads and machine.
            threads: default all cores.
            dtype: float64 or float32 (computed in float64).
            first: the number k of the first sequence.

        Returns:
            (z, mean), both (n, L): the values and E[Z_t | Z_<t]; (z - mean) / conditional_std is standard normal.

        Raises:
            InputError: n, seed, first or threads out of range, another dtype, or more values than fit.
        """
        n = _index("n", n, 0, 2**40)
        z, mean = self._sample(n, 1, 0, seed, threads, dtype, first, progress)
        return z[..., 0], mean[..., 0]

    def tokens(
        self,
        batch: int,
        *,
        seed: int,
        channels: int = 64,
        threads: int | None = None,
        dtype: DTypeLike = np.float32,
        first: int = 0,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The paper's training sequences: `channels` independent sequences side by side, one vector a position.

        Returns:
            (tokens, mean): (batch, 1 + L, channels), tokens[:, 0] = 0 being BOS and tokens[b, 1 + t, c] value t of sequence
            first + b * channels + c; and the conditional means of the values, (batch, L, channels).

        Raises:
            InputError: as `sample`.
        """
        batch, channels = _index("batch", batch, 0, 2**40), _index("channels", channels, 1, 2**20)
        return self._sample(batch, channels, 1, seed, threads, dtype, first, None)

    def _sample(
        self,
        groups: int,
        channels: int,
        head: int,
        seed: int,
        threads: int | None,
        dtype: DTypeLike,
        first: int,
        progress: Progress | None,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        seed, first = _index("seed", seed, 0, 2**64 - 1), _index("first", first, 0, 2**64 - 1)
        kind, workers = _dtype(dtype), _threads(threads)
        _require_memory("n", f"{groups * channels:,} sequences", 2 * groups * channels * self.length * kind.itemsize)
        z = np.zeros((groups, head + self.length, channels), kind)
        mean = np.zeros((groups, self.length, channels), kind)
        self._core.sample(z.reshape(-1), mean.reshape(-1), groups, channels, head, seed, first, workers, progress)
        return z, mean

    def conditional_mean(
        self, z: ArrayLike, *, threads: int | None = None, progress: Progress | None = None
    ) -> NDArray[Any]:
        """E[Z_t | Z_<t = z_<t] for given sequences.

        Args:
            z: (L,) or (..., L); float32 is answered in float32, all else in float64.

        Returns:
            An array of the shape of z. The first mean of a sequence is 0.

        Raises:
            InputError: another length, values that are not finite, or values beyond 40 in size: their probability
                is below the smallest positive float64, so z is not of this law (is its variance 1?).
        """
        return self._means(self._values("z", z), threads=threads, progress=progress)

    def _means(
        self, z: NDArray[Any], *, reverse: bool = False, threads: int | None = None, progress: Progress | None = None
    ) -> NDArray[Any]:
        return self._core.conditional_mean(z.reshape(-1), reverse, _threads(threads), progress).reshape(z.shape)

    def log_density(self, z: ArrayLike, *, start: int | None = None, threads: int | None = None) -> Any:
        """log p(z), nats: a float for one sequence, (...,) for (..., n).

        Args:
            z: whole sequences, (..., L); with `start`, windows that lie at positions start..start+n-1, whose density is
                the marginal one: nothing is known of the values around them. O(L) for windows that begin or end with the
                sequence; others are dense, n <= 4,096.

        Raises:
            InputError: as `conditional_mean`; a window that does not fit.
        """
        values = self._values("z", z) if start is None else self._window("z", z, start)
        first = start or 0
        if first and first + values.shape[-1] == self.length:  # read backwards it begins with the sequence
            values, first = np.ascontiguousarray(values[..., ::-1]), 0
        density = self.log_conditionals(values, start=first, threads=threads).sum(-1)
        return float(density) if density.ndim == 0 else density

    def log_conditionals(self, z: ArrayLike, *, start: int = 0, threads: int | None = None) -> Floats:
        """log p(z_t | the values of the window before it), nats, of the shape of z, (..., n).

        The window lies at positions start..start+n-1. O(L) for start = 0, else dense with n <= 4,096.

        Raises:
            InputError: as `log_density`.
        """
        values = self._window("z", z, start)
        n = values.shape[-1]
        if start == 0:
            std = self.conditional_std[:n]
            padding = [(0, 0)] * (values.ndim - 1) + [(0, self.length - n)]
            mean = self._means(np.pad(values, padding), threads=threads)[..., :n]
            scaled = (values.astype(np.float64) - mean) / std
        else:
            from scipy.linalg import solve_triangular

            factor = self._window_factor(start, n)
            std = np.diag(factor)
            rows = values.reshape(-1, n).astype(np.float64)
            scaled = solve_triangular(factor, rows.T, lower=True).T.reshape(values.shape)
        return np.asarray(-0.5 * scaled**2 - np.log(std) - 0.5 * math.log(2 * math.pi))

    def _factor(self, start: int, n: int) -> Floats:
        """Cholesky factor of the covariance of a window."""
        if n > MAX_DENSE:
            raise InputError(
                f"z: a window of {n:,} values from position {start:,}; expected at most 4,096 inside a sequence"
            )
        i = np.arange(start, start + n)
        return np.linalg.cholesky(self.correlation(i[:, None], i))

    def pointwise_information(self, z: ArrayLike, *, threads: int | None = None) -> Floats:
        """log p(y | x) - log p(y) of sequences at every split, nats, (..., L + 1): entry l is for X = Z_1..Z_l.

        Its mean over sequences is I_BP(l; L): the "direct" estimator with a perfect model. O(L): the law is symmetric under
        reversal, so that log p(y) is the density of a beginning, read backwards.

        Raises:
            InputError: as `conditional_mean`.
        """
        values = self._values("z", z)
        forward = self.log_conditionals(values, threads=threads)
        backward = self.log_conditionals(np.ascontiguousarray(values[..., ::-1]), threads=threads)[..., ::-1]
        information = np.zeros((*values.shape[:-1], self.length + 1))
        # log p(y|x) - log p(y) summed from the end: both sums run over the positions of Y.
        information[..., :-1] = np.cumsum((forward - backward)[..., ::-1], axis=-1)[..., ::-1]
        information[..., 0] = 0  # X is empty; the sum leaves rounding
        return information

    def kl(self, mean: ArrayLike, std: ArrayLike, *, conditional_mean: ArrayLike) -> Floats:
        """KL(p || q) of predictions against the truth, by position, nats.

        p = N(conditional_mean, conditional_std^2) is exact, q = N(mean, std^2) predicted.

        Args:
            mean, std, conditional_mean: arrays (..., L) that broadcast against each other.

        Returns:
            (..., L), never negative. Its sum over the positions of Y bounds the information missed there.

        Raises:
            InputError: a last axis that is not L, values that are not finite, a standard deviation <= 0.
        """
        predicted, truth = self._values("mean", mean), self._values("conditional_mean", conditional_mean)
        deviation = checks.reals("std", std, axes=None, finite=False)
        if not (np.isfinite(deviation).all() and (deviation > 0).all()):
            worst = float(np.nanmin(deviation)) if np.isfinite(deviation).all() else "values that are not finite"
            raise InputError(f"std: {worst}; expected finite values above 0")
        try:
            np.broadcast_shapes(predicted.shape, truth.shape, deviation.shape, (self.length,))
        except ValueError:
            shapes = f"{predicted.shape}, {deviation.shape} and {truth.shape}"
            raise InputError(
                f"mean, std, conditional_mean: shapes {shapes}; expected (..., {self.length}) that broadcast"
            ) from None
        ratio = self.conditional_std / deviation
        # log1p keeps the difference of nearly equal deviations: r^2 - 1 - log r^2 is of second order in it.
        excess = ratio**2 - 1
        return np.asarray(0.5 * (excess - np.log1p(excess) + ((truth - predicted) / deviation) ** 2))

    def filter(self, n: int | None = None) -> "GaussianFilter":
        """A reader of one sequence (n=None), or of n side by side, one value at a time."""
        return GaussianFilter(self, n)

    def _values(self, name: str, values: ArrayLike) -> NDArray[Any]:
        array = _floats(name, values)
        if array.shape[-1] != self.length:
            raise InputError(f"{name}: shape {array.shape}; expected (..., {self.length})")
        return array

    def _window(self, name: str, values: ArrayLike, start: int) -> NDArray[Any]:
        start, array = _index("start", start, 0, self.length), _floats(name, values)
        if start + array.shape[-1] > self.length:
            raise InputError(
                f"{name}: shape {array.shape} from position {start}; expected at most {self.length - start} values"
            )
        return array


class GaussianFilter:
    """Reads sequences of a law one value at a time; O(1) work a value on average, O(L) memory.

    Attributes (before a value is read, of that value): `mean`, E[Z_t | Z_<t], a float or (n,), and `std`; both None
    after the last value. `position` is t, 0 at first.
    """

    def __init__(self, law: HierarchicalGaussian, n: int | None = None) -> None:
        self._law = law
        self._n = n
        count = 1 if n is None else _index("n", n, 1, 2**32)
        _require_memory("n", f"{count:,} sequences", 8 * count * law.length)
        self._core = law._core.filter(count)

    @property
    def position(self) -> int:
        return self._core.position

    @property
    def mean(self) -> Any:
        mean = self._core.mean()
        return mean if self._n is not None or mean is None else float(mean[0])

    @property
    def std(self) -> float | None:
        position = self.position
        return float(self._law.conditional_std[position]) if position < self._law.length else None

    def step(self, z: ArrayLike) -> Any:
        """Read the next value: a float, or (n,) for n sequences.

        Returns:
            E[Z_t | Z_<t] of the value read, so that [filter.step(z_t) for z_t in z] equals `law.conditional_mean(z)`. The
            prediction of the value after it is `mean`.

        Raises:
            InputError: a wrong shape, values the law cannot give, or a step past the end.
        """
        values = checks.reals("z", z, axes=None, finite=False)
        if values.shape != (() if self._n is None else (self._n,)):
            expected = "one number" if self._n is None else f"({self._n},)"
            raise InputError(f"z: shape {values.shape}; expected {expected}")
        mean = self.mean
        self._core.step(np.ascontiguousarray(values).reshape(-1))
        return mean

    def copy(self) -> "GaussianFilter":
        """An independent reader that stands at the same position: for several continuations of one beginning."""
        other = object.__new__(GaussianFilter)
        other._law, other._n, other._core = self._law, self._n, self._core.copy()
        return other


def _integers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = checks.plain_array(name, values)
    if array.dtype.kind not in "iu" and array.size:
        raise InputError(f"{name}: dtype {array.dtype}; expected integers")
    return array.astype(np.int64)


def _index(name: str, value: int, least: int, most: int) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and least <= value <= most:
        return int(value)
    raise InputError(f"{name}: {value!r}; expected an integer from {least} to {most}")


def _floats(name: str, values: ArrayLike) -> NDArray[Any]:
    """Finite, float32 or float64, at least one axis, C order."""
    array = checks.plain_array(name, values)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name}: dtype {array.dtype}; expected real numbers")
    if array.ndim == 0:
        raise InputError(f"{name}: shape (); expected an array")
    array = np.ascontiguousarray(array, np.float32 if array.dtype == np.float32 else np.float64)
    if not np.isfinite(array).all():
        raise InputError(f"{name}: values that are not finite; expected finite numbers")
    return array


def _threads(threads: int | None) -> int | None:
    return None if threads is None else checks.threads(threads)


def _require_memory(argument: str, what: str, size: int) -> None:
    """Refuse what this machine's memory cannot hold, before it is allocated."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise InputError(
            f"{argument}: {what} take {size:,} bytes ({size / 2**30:,.1f} GiB); expected what memory holds, "
            f"{memory / 2**30:,.1f} GiB"
        )


def _dtype(dtype: DTypeLike) -> np.dtype[Any]:
    kind = np.dtype(dtype)
    if kind not in (np.float32, np.float64):
        raise InputError(f"dtype: {kind}; expected float32 or float64")
    return kind
