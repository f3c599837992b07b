"""How much context a model puts to use: the position from which its NLL is within a tolerance of its value at the end.

The position n* is the first from which no later NLL is above T: (1 + share) times the value at the end, or that value and so many
nats. The value at the end is the mean over the last quarter of an octave, 16 % of the positions.

The estimate of n* is where the isotonic regression (Barlow et al. 1972: the least squares fit that never rises) of the NLL falls
to T. Its interval is every position that a test does not exclude. If n* were n or less, the mean over a stretch that begins at n
would be T or less; if n* were above n, the mean over one that ends at n would be above T. Both differences are linear in the
means by position, so that the delete-one-document jackknife gives their errors, that of the end included. Going outward from
the estimate several tests are made, each one of Student's t: a side of a 95 % interval tests at 1.25 % in place of 2.5 %. A stretch
is as short as errors allow, 1/16 to 1/2 of an octave.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.records import Record
from l2m.errors import InputError
from l2m.statistics.fitted_curve import student_quantile
from l2m.statistics.jackknife import FEWEST_DOCUMENTS, groups_of_windows, means_without_each

Floats = NDArray[np.float64]

SHARE = 0.05
"""The tolerance, unless another is asked for."""
_END = 0.25
_STRETCHES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Octaves."""


class ByPosition(Protocol):
    """What is read of a `PositionCurve`."""

    @property
    def first(self) -> Floats: ...
    @property
    def last(self) -> Floats: ...
    @property
    def pointwise(self) -> Floats: ...
    @property
    def document(self) -> NDArray[np.int64]: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def unit(self) -> str: ...


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EffectiveContext(Record):
    """The position from which the NLL is within a tolerance of its value at the end.

    Attributes:
        position: the estimate, in `settings["axis"]`.
        low, high: its interval; `high` at the end of the window says that the data exclude nothing later.
        end, end_stderr: the NLL at the end and its standard error, nats per token.
        tolerance: how far above `end` the NLL may be, nats per token.
        share: `tolerance` over `end`, where that was asked for; else None.
        level: of the interval.
        rise, rise_stderr: how far the NLL at the end is above its lowest value, nats per token; 0 where chance may explain it.
        lowest: the position of that value.
    """

    kind: ClassVar[str] = "effective context"
    information_fields: ClassVar[tuple[str, ...]] = ("end", "end_stderr", "tolerance", "rise", "rise_stderr")

    position: float
    low: float
    high: float
    end: float
    end_stderr: float
    tolerance: float
    share: float | None
    level: float
    rise: float
    rise_stderr: float
    lowest: float

    def explain(self) -> str:
        """The result in one or two sentences."""
        axis = self.settings["axis"]
        tolerance = f"{self.tolerance:.3g} {self.unit} per token"
        if self.share is not None:
            tolerance = f"{100 * self.share:.3g} % ({tolerance})"
        words = (
            f"within {tolerance} of its value at the end, {self.end:.3f} ± {self.end_stderr:.3f}, from position {self.position:,.0f} on "
            f"({100 * self.level:g} %: {self.low:,.0f} to {self.high:,.0f} {axis})"
        )
        if self.rise:
            words += (
                f"; the NLL rises by {self.rise:.3f} ± {self.rise_stderr:.3f} {self.unit} per token after position {self.lowest:,.0f}: "
                "a shorter context serves this model better"
            )
        return words

    def _brief(self) -> str:
        return f"from position {self.position:,.0f} ({self.low:,.0f} to {self.high:,.0f}) of {self.settings['axis']}, NLL {self.end:.4g} {self.unit} a token"

    def plot(self, axes: Any = None, *, color: str | None = None) -> Any:
        """Mark the position and its interval, in a figure by position such as `PositionCurve.plot` draws."""
        from l2m.base.plots import new_axes

        axes = new_axes() if axes is None else axes
        words = f"effective context: {self.position:,.0f} ({self.low:,.0f} to {self.high:,.0f})"
        line = axes.axvline(self.position, linestyle=":", linewidth=1.2, color=color, label=words)
        axes.axvspan(self.low, self.high, color=line.get_color(), alpha=0.08, linewidth=0)
        axes.legend()
        return axes


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ContextRatio(Record):
    """The effective context of one model over that of another, on the same windows.

    Attributes:
        ratio: of the two positions.
        low, high: its interval, from the intervals of both and the correlation of their errors (MOVER: Zou & Donner 2008).
        context, other: of the two models on the windows that both have.
        level: of the interval.
    """

    kind: ClassVar[str] = "context ratio"

    ratio: float
    low: float
    high: float
    context: EffectiveContext
    other: EffectiveContext
    level: float

    def explain(self) -> str:
        """The result in one sentence."""
        return (
            f"{self.ratio:.3g} times the effective context ({100 * self.level:g} %: {self.low:.3g} to {self.high:.3g})"
        )

    def _brief(self) -> str:
        return f"{self.ratio:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclasses.dataclass(frozen=True)
class _Tolerance:
    """NLL at the end -> what may be missed: a share of it, or nats."""

    share: float | None
    nats: float | None

    @classmethod
    def of(cls, share: float | None, nats: float | None) -> "_Tolerance":
        if share is not None and nats is not None:
            raise InputError(f"share, nats: {share} and {nats}; expected one of them")
        if nats is not None:
            return cls(None, checks.real("nats", nats, 0, above=True))
        return cls(checks.real("share", SHARE if share is None else share, 0, above=True), None)

    def above(self, end: Any) -> Any:
        """The NLL that is still within the tolerance of `end`."""
        return end + self.nats if self.share is None else end * (1 + self.share)


class _Crossing:
    """Where the NLL of some windows falls to within the tolerance of its end, and what a test says of every bin.

    Args:
        values: (windows, bins).
    """

    def __init__(
        self,
        first: Floats,
        last: Floats,
        values: Floats,
        document: NDArray[np.int64],
        tolerance: _Tolerance,
        level: float,
    ):
        from scipy.optimize import isotonic_regression

        names, label, _ = groups_of_windows(document)
        self.first, self.last = first, last
        width = last - first + 1
        means = np.vstack([values.mean(0), means_without_each(values, label, names.size)])
        if names.size < FEWEST_DOCUMENTS:  # the least of many errors, each known from so few groups, would be too small
            raise InputError(f"windows: {len(values)}; the interval of an effective context needs {FEWEST_DOCUMENTS}")
        # Row 0 is of all windows, the others are without each group.
        self._sums = np.concatenate([np.zeros((len(means), 1)), np.cumsum(means * width, 1)], 1)
        self._widths = np.concatenate([[0], np.cumsum(width)])
        self._reach = student_quantile(1 - (1 - level) / 4, len(means) - 2)
        self._bins = np.arange(first.size)
        self.end = self._backward(_END)[:, -1]
        self._allowed = tolerance.above(self.end)
        falling = isotonic_regression(means[0], weights=width, increasing=False).x
        self.at = int(np.argmax(falling <= self._allowed[0])) if falling[-1] <= self._allowed[0] else first.size - 1
        room = (self._allowed[0] - self.end[0]) / 2
        for stretch in _STRETCHES:
            self._late = self._forward(stretch) - self._allowed[:, None]
            self._early = self._backward(stretch) - self._allowed[:, None]
            if self._reach * self.error(self._early[:, self.at]) <= room:
                break

    def interval(self) -> tuple[float, float]:
        """Going outward from the estimate, as far as no test excludes a position."""
        late, early = (values[0] / np.maximum(self._errors(values), 1e-300) for values in (self._late, self._early))
        before = np.flatnonzero(late[: self.at] > self._reach)
        after = np.flatnonzero(early[self.at :] < -self._reach)
        low = self.first[before[-1]] if before.size else self.first[0]
        high = self.last[self.at + after[0]] if after.size else self.last[-1]
        return float(low), float(high)

    def rise(self, level: float) -> tuple[float, float, float]:
        """(nats, error, position of the lowest mean over an octave) where the end is above it beyond chance; zeros elsewhere."""
        octaves = self._backward(1.0)
        earlier = np.flatnonzero((self.last <= self.last[-1] / 2) & (self.last >= self.last[-1] / 64))
        if not earlier.size:
            return 0.0, 0.0, float(self.last[-1])
        lowest = int(earlier[np.argmin(octaves[0, earlier])])
        above = self.end - octaves[:, lowest]
        error, tests = self.error(above), 20  # octaves that end anywhere in five: 20 keep false alarms below 1 in 20
        position = float(np.sqrt(self.last[lowest] * max(self.first[0], self.last[lowest] / 2)))
        if above[0] > student_quantile(1 - (1 - level) / 2 / tests, len(above) - 2) * error:
            return float(above[0]), error, position
        return 0.0, 0.0, float(self.last[-1])

    def error(self, values: Floats) -> float:
        """Of a number whose values are: from all windows, then without each group."""
        return float(self._errors(values[:, None])[0])

    def correlation(self, other: "_Crossing") -> float:
        """Of the errors of how far the NLL at each estimate is from what is allowed; 0 where one has no error."""
        mine, theirs = (c._early[1:, c.at] - c._early[1:, c.at].mean() for c in (self, other))
        size = math.sqrt(float(mine @ mine) * float(theirs @ theirs))
        return float(mine @ theirs) / size if size else 0.0

    @staticmethod
    def _errors(values: Floats) -> Floats:
        centred = values[1:] - values[1:].mean(0)
        return np.asarray(np.sqrt((centred**2).sum(0) * (len(centred) - 1) / len(centred)))

    def _forward(self, octaves: float) -> Floats:
        """Means over stretches that begin with each bin, and hold it."""
        stop = np.searchsorted(self.last, self.first * 2**octaves, "right")
        return self._mean(self._bins, np.maximum(stop, self._bins + 1))

    def _backward(self, octaves: float) -> Floats:
        """Means over stretches that end with each bin, and hold it."""
        start = np.searchsorted(self.first, self.last * 2**-octaves, "right")
        return self._mean(np.minimum(start, self._bins), self._bins + 1)

    def _mean(self, start: NDArray[np.int64], stop: NDArray[np.int64]) -> Floats:
        return np.asarray((self._sums[:, stop] - self._sums[:, start]) / (self._widths[stop] - self._widths[start]))


def effective_context(
    curve: ByPosition, *, share: float | None = None, nats: float | None = None, level: float = 0.95
) -> EffectiveContext:
    """See `PositionCurve.effective_context`."""
    return _found(curve, slice(None), _Tolerance.of(share, nats), _level(level))[0]


def context_ratio(
    curve: ByPosition,
    other: ByPosition,
    common: tuple[list[int], list[int]],
    *,
    share: float | None,
    nats: float | None,
    level: float,
) -> ContextRatio:
    """See `PositionCurve.context_ratio`.

    Args:
        common: the rows of the windows that both have, of each.
    """
    tolerance = _Tolerance.of(share, nats)
    (mine, of_mine), (theirs, of_theirs) = (
        _found(one, rows, tolerance, _level(level)) for one, rows in zip((curve, other), common, strict=True)
    )
    correlation = of_mine.correlation(of_theirs)
    a, b = math.log(mine.position), math.log(theirs.position)
    (low, high), (other_low, other_high) = ((math.log(c.low), math.log(c.high)) for c in (mine, theirs))

    def together_with(own: float, others: float) -> float:
        return math.sqrt(max(0.0, own**2 + others**2 - 2 * correlation * own * others))

    return ContextRatio(
        ratio=math.exp(a - b),
        low=math.exp(a - b - together_with(a - low, other_high - b)),
        high=math.exp(a - b + together_with(high - a, b - other_low)),
        context=mine,
        other=theirs,
        level=level,
        settings={**curve.settings, "over": other.settings["model"]},
        unit=curve.unit,
    )


def _found(curve: ByPosition, rows: Any, tolerance: _Tolerance, level: float) -> tuple[EffectiveContext, _Crossing]:
    if "minus" in curve.settings:
        raise InputError("effective_context: a difference of two models; expected the curve of one")
    if curve.first.size < 3:
        raise InputError(f"positions: {curve.first.size} bins; an effective context needs 3 (per_octave)")
    found = _Crossing(curve.first, curve.last, curve.pointwise[rows], curve.document[rows], tolerance, level)
    low, high = found.interval()
    rise, rise_stderr, lowest = found.rise(level)
    end = float(found.end[0])
    context = EffectiveContext(
        position=float(curve.first[found.at]),
        low=low,
        high=high,
        end=end,
        end_stderr=found.error(found.end),
        tolerance=float(tolerance.above(end) - end),
        share=tolerance.share,
        level=level,
        rise=rise,
        rise_stderr=rise_stderr,
        lowest=lowest,
        settings=dict(curve.settings),
        unit=curve.unit,
    )
    return context, found


def _level(level: float) -> float:
    return checks.real("level", level, 0.5, 0.9999)
