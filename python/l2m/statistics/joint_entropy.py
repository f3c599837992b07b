"""What follows from entropies: joint tables, divergences between count tables, block entropies and the entropy rate."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base import checks
from l2m.base.records import Record, span
from l2m.errors import InputError
from l2m.statistics.entropy import Estimate, entropy, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class JointEntropy(Record):
    """Entropies of a contingency table and their combinations.

    Attributes:
        entropy_x, entropy_y, entropy_xy: of the row sums, the column sums and the cells.
        conditional_x, conditional_y: H(X|Y) = H(XY) - H(Y), H(Y|X).
        mutual: I(X;Y) = H(X) + H(Y) - H(XY). Biased upwards by plug-in; other estimators may give values below 0.
        variation: H(X|Y) + H(Y|X), the variation of information (Meila 2007).
        normalized: 2 I / (H(X) + H(Y)), between 0 and 1 for the plug-in; 1 where both entropies vanish. No unit.
    """

    kind: ClassVar[str] = "joint entropy"

    entropy_x: Estimate
    entropy_y: Estimate
    entropy_xy: Estimate
    conditional_x: Estimate
    conditional_y: Estimate
    mutual: Estimate
    variation: Estimate
    normalized: float

    def _brief(self) -> str:
        return f"I = {self.mutual.value:.4g} ± {self.mutual.stderr:.2g} {self.unit}, normalized {self.normalized:.3g}"

    def columns(self) -> dict[str, NDArray[Any]]:
        """One row a quantity: its name, value and stderr in `unit`."""
        found = {name: value for name, value in self._fields().items() if isinstance(value, Estimate)}
        return {
            "quantity": np.array(list(found)),
            "value": np.array([value.value for value in found.values()]),
            "stderr": np.array([value.stderr for value in found.values()]),
        }


def joint_entropy(table: ArrayLike, estimator: str = "grassberger") -> JointEntropy:
    """Joint, conditional and mutual information of a table of counts.

    Standard errors by the delta method: each sample of cell (x, y) moves the value by its log-probabilities.

    Args:
        table: (rows, columns) non-negative integers; rows are values of X, columns of Y.
        estimator: one of `l2m.ENTROPY_ESTIMATORS`, for all three entropies.

    Returns:
        The entropies, conditional entropies and the mutual information, each with its standard error.

    Raises:
        InputError: a table without two dimensions, without samples, or with entries that are not counts.

    Example:
        >>> l2m.joint_entropy([[30, 5], [4, 41]]).mutual
        Estimate(0.3335 ± 0.073 nats, grassberger)
    """
    cells = checks.plain_array("table", table)
    if cells.ndim != 2:
        raise InputError(f"table: an array of shape {cells.shape}; expected rows x columns")
    counts = whole_numbers(cells, "table").reshape(cells.shape)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    x, y, xy = (entropy(part, estimator) for part in (rows, columns, counts))
    p = counts / counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        cell, row, column = (
            np.where(part > 0, -np.log(part), 0.0) for part in (p, rows / counts.sum(), columns / counts.sum())
        )
    row, column = row[:, None] + 0 * p, column[None, :] + 0 * p

    def combined(value: float, influence: Floats) -> Estimate:
        mean = float(np.sum(p * influence))
        variance = float(np.sum(p * (influence - mean) ** 2)) / int(counts.sum())
        return Estimate(value, math.sqrt(variance), x.estimator)

    mutual = x.value + y.value - xy.value
    total = x.value + y.value
    return JointEntropy(
        x,
        y,
        xy,
        combined(xy.value - y.value, cell - column),
        combined(xy.value - x.value, cell - row),
        combined(mutual, row + column - cell),
        combined(2 * xy.value - total, 2 * cell - row - column),
        2 * mutual / total if total > 0 else 1.0,
        settings={"estimator": x.estimator, "samples": int(counts.sum())},
    )


def kullback_leibler(p: ArrayLike, q: ArrayLike, *, pseudocount: float = 0.0) -> Estimate:
    """Kullback-Leibler divergence sum p log(p/q) between the distributions that two count tables sampled, plug-in.

    Args:
        p, q: counts of the same symbols in the same order.
        pseudocount: added to every count of both tables. Without it the value is inf where a symbol of p is absent from q.

    Returns:
        The value, and its standard error by the delta method over both samples (nan where the value is inf).

    Raises:
        InputError: tables of different shapes, without samples, or with entries that are not counts; a negative pseudocount.

    Example:
        >>> l2m.kullback_leibler([30, 5, 5], [20, 10, 10])
        Estimate(0.1308 ± 0.11 nats, plug-in)
    """
    first, second = _tables(p, q, pseudocount)
    a, b = first / first.sum(), second / second.sum()
    kept = a > 0
    if (b[kept] == 0).any():
        missing = int((b[kept] == 0).sum())
        words = f"{missing} symbols of p do not occur in q: the plug-in divergence is infinite"
        return Estimate(math.inf, math.nan, "plug-in", warning=words)
    ratio = np.log(a[kept] / b[kept])
    value = float(np.sum(a[kept] * ratio))
    of_p = float(np.sum(a[kept] * (ratio - value) ** 2)) / first.sum()
    of_q = float(np.sum(a[kept] ** 2 / b[kept]) - 1) / second.sum()
    return Estimate(value, math.sqrt(max(of_p + of_q, 0.0)), "plug-in")


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> Estimate:
    """Jensen-Shannon divergence H((p+q)/2) - (H(p) + H(q))/2 with equal weights, plug-in; between 0 and log 2.

    Args:
        p, q: counts of the same symbols in the same order.

    Returns:
        The divergence, and its standard error by the delta method.

    Raises:
        InputError: as `kullback_leibler`.

    Example:
        >>> l2m.jensen_shannon([30, 5, 5], [20, 10, 10])
        Estimate(0.03382 ± 0.029 nats, plug-in)
    """
    first, second = _tables(p, q, 0.0)
    a, b = first / first.sum(), second / second.sum()
    middle = (a + b) / 2
    value, variance = 0.0, 0.0
    for part, total in ((a, first.sum()), (b, second.sum())):
        kept = part > 0
        ratio = np.log(part[kept] / middle[kept])
        mean = float(np.sum(part[kept] * ratio))
        value += mean / 2
        variance += float(np.sum(part[kept] * (ratio - mean) ** 2)) / 4 / total
    return Estimate(value, math.sqrt(variance), "plug-in")


def _tables(p: ArrayLike, q: ArrayLike, pseudocount: float) -> tuple[Floats, Floats]:
    pseudocount = checks.real("pseudocount", pseudocount, 0)
    first, second = (whole_numbers(part, name).astype(float) for name, part in (("p", p), ("q", q)))
    if np.shape(p) != np.shape(q):
        raise InputError(f"q: an array of shape {np.shape(q)}; expected {np.shape(p)}, the shape of p")
    for name, part in (("p", first), ("q", second)):
        if part.sum() == 0:
            raise InputError(f"{name}: no samples; expected at least one")
    return first + pseudocount, second + pseudocount


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class BlockEntropies(Record):
    """Entropies of blocks of n successive tokens.

    Attributes:
        n: (orders,) block lengths 1, 2, ...
        block: (orders,) H_n, with `block_stderr`.
        rate: (orders,) h_n = H_n - H_(n-1), H_0 = 0: the entropy of a token given n - 1 before it; falls towards the rate.
        rate_stderr: (orders,) sqrt of the summed squares of both errors: an upper bound, the blocks share tokens.
        excess: sum over n of (h_n - h_last): what the past tells about the future, as far as these orders see it.
        coverage: (orders,) Good-Turing coverage of the blocks. Where it is low, H_n and h_n are too small.
    """

    kind: ClassVar[str] = "block entropies"
    axes: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("n", "block", "block_stderr", "rate", "rate_stderr", "coverage"), "orders"
    )
    information_fields: ClassVar[tuple[str, ...]] = ("block", "block_stderr", "rate", "rate_stderr", "excess")

    n: NDArray[np.int64]
    block: Floats
    block_stderr: Floats
    rate: Floats
    rate_stderr: Floats
    excess: float
    coverage: Floats

    def _brief(self) -> str:
        return f"n = 1 to {self.n[-1]}, entropy rate {span(self.rate, self.unit)}, excess {self.excess:.4g} {self.unit}"

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """h_n over n; open points where less than 90 % of the blocks are covered."""
        from l2m.base.plots import BLUE, new_axes

        axes = new_axes() if axes is None else axes
        axes.errorbar(self.n, self.rate, yerr=self.rate_stderr, color=BLUE, fmt="o-", markerfacecolor="white")
        covered = self.coverage >= 0.9
        axes.plot(self.n[covered], self.rate[covered], "o", color=BLUE, label="coverage of 90 % or more")
        axes.set(xlabel="block length n", ylabel=f"entropy of a token given n - 1 before ({self.unit})")
        axes.legend()
        return axes


def block_entropies(source: Any, n_max: int = 5, estimator: str = "grassberger") -> BlockEntropies:
    """Block entropies H_1 to H_n, their differences and the excess entropy.

    Args:
        source: `l2m.NgramCounts`, or one sequence of tokens (integers, a string).
        n_max: longest block.

    Returns:
        One row a block length.

    Raises:
        InputError: no tokens, tokens that are missing or neither whole numbers nor text, or n_max outside 1 to their number.

    Example:
        >>> l2m.block_entropies('abracadabra' * 20, 3).to_frame()[['n', 'block', 'rate']].round(3)
           n  block   rate
        0  1  1.414  1.414
        1  2  2.022  0.608
        2  3  2.152  0.130
    """
    n_max = checks.whole("n_max", n_max, 1)
    if hasattr(source, "fingerprint"):
        tables = [source.fingerprint(n) for n in range(1, n_max + 1)]
    else:
        symbols = np.array(list(source)) if isinstance(source, str) else checks.plain_array("source", source)
        if symbols.dtype.kind not in "USb":
            symbols = checks.integers("source", symbols, low=-(1 << 63), axes=None)
        if symbols.ndim != 1 or not 1 <= n_max <= symbols.size:
            raise InputError(f"n_max: {n_max} for tokens of shape {symbols.shape}; expected 1 to the number of tokens")
        _, ids = np.unique(symbols, return_inverse=True)
        tables, block = [], ids
        for n in range(1, n_max + 1):
            # Blocks of n as pairs of (block of n - 1, next token), renumbered: no number outgrows 64 bits.
            _, block, counts = np.unique(block, return_inverse=True, return_counts=True)
            tables.append(counts)
            if n < n_max:
                block = block[:-1] * (int(ids.max()) + 1) + ids[n:]
    values = [entropy(table, estimator) for table in tables]
    heights = np.array([0.0, *(value.value for value in values)])
    errors = np.array([0.0, *(value.stderr for value in values)])
    rate = np.diff(heights)
    return BlockEntropies(
        np.arange(1, n_max + 1),
        heights[1:],
        errors[1:],
        rate,
        np.hypot(errors[1:], errors[:-1]),
        float(np.sum(rate - rate[-1])),
        np.array([value.coverage for value in values]),
        settings={"estimator": values[0].estimator},
    )
