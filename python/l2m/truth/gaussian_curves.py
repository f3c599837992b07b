"""Exact curves of a Gaussian law as records: information against length and against distance."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base.records import Record, frame, span
from l2m.statistics.power_law import PowerLaw, fit_power_law

if TYPE_CHECKING:
    from pandas import DataFrame

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class GaussianGrowth(Record):
    """I_BP(L/2; L) against L, exact.

    Attributes:
        length: 4, 16, ..., 4^layers, int64.
        information: I_BP(L/2; L), nats, (layers,).
        end_information: I(Z_1; Z_L) of the two ends, nats, (layers,): the same for one copy and for three, 0 for two.
        local_exponents: slope of the logarithms from each length to the next, (layers - 1,).
        nominal_exponent, fitted_exponent: as of the law.
    """

    kind: ClassVar[str] = "gaussian growth"
    axes: ClassVar[Mapping[str, str]] = {"length": "lengths", "information": "lengths", "end_information": "lengths"}
    information_fields: ClassVar[tuple[str, ...]] = ("information", "end_information")

    length: NDArray[np.int64]
    information: Floats
    end_information: Floats
    local_exponents: Floats
    nominal_exponent: float
    fitted_exponent: float

    def _brief(self) -> str:
        return f"L = {span(self.length)}, I = {span(self.information, self.unit)}, exponent {self.fitted_exponent:.3f}"

    def fit(self, **options: Any) -> PowerLaw:
        """The power law through the points, for `l2m.condition`; its interval tells how far the curve is from one.

        Args:
            options: passed on to `l2m.fit_power_law`.
        """
        law = fit_power_law(self.length.astype(float), self.information, **options)
        return dataclasses.replace(law, unit=self.unit, settings={**self.settings, **law.settings, "x": "length"})

    def to_frame(self) -> "DataFrame":
        """A pandas DataFrame: length, information, end_information."""
        return frame({name: getattr(self, name) for name in ("length", "information", "end_information")})

    def plot(self, axes: Any = None, *, label: str | None = None, color: str | None = None) -> Any:
        """Information against length on log-log axes."""
        label = label or f"children {_shown(self.settings['children'])}, exponent {self.fitted_exponent:.2f}"
        axes = _plot(axes, self.length, self.information, "o-", label, color)
        axes.set_xlabel("length L")
        axes.set_ylabel(f"bipartite information I(L/2; L) ({self.unit})")
        return axes

    def plot_ends(self, axes: Any = None, *, label: str | None = None, color: str | None = None) -> Any:
        """Information between the two ends against their distance on log-log axes; zeros have no place there."""
        label = label or f"children {_shown(self.settings['children'])}, two ends"
        shown = self.end_information > 1e-30  # the square of a correlation that is rounding
        axes = _plot(axes, self.length[shown] - 1, self.end_information[shown], "s--", label, color)
        return _two_point_labels(axes, self.unit)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class GaussianTwoPoint(Record):
    """Correlation and information of two values against their distance, each averaged over all pairs, exact.

    Attributes:
        distance: d, int64, (points,).
        correlation: mean of Corr(Z_t, Z_{t+d}), (points,). Signs differ along the sequence.
        information: mean of I(Z_t; Z_{t+d}), nats, (points,).
    """

    kind: ClassVar[str] = "gaussian two-point"
    axes: ClassVar[Mapping[str, str]] = dict.fromkeys(("distance", "correlation", "information"), "distances")
    information_fields: ClassVar[tuple[str, ...]] = ("information",)

    distance: NDArray[np.int64]
    correlation: Floats
    information: Floats

    def _brief(self) -> str:
        return f"d = {span(self.distance)}, I = {span(self.information, self.unit)}"

    def to_frame(self) -> "DataFrame":
        """A pandas DataFrame: distance, correlation, information."""
        return frame({name: getattr(self, name) for name in ("distance", "correlation", "information")})

    def plot(self, axes: Any = None, *, label: str | None = None, color: str | None = None) -> Any:
        """Information against distance on log-log axes."""
        label = label or f"children {_shown(self.settings['children'])}, mean over pairs"
        axes = _plot(axes, self.distance, self.information, "o-", label, color)
        return _two_point_labels(axes, self.unit)


def vclub_curve(covariance: Floats) -> Floats:
    """vCLUB of a Gaussian with a perfect model at every split l = 0..n, nats, (n + 1,).

    1/2 [tr(Sigma^-1 (Sigma_X (+) Sigma_Y)) - n] = sum over i, j in X of (Sigma^-1)_ij Sigma_ij - l, since the rows of the
    product sum to 1.
    """
    products = np.linalg.inv(covariance) * covariance
    grown = 2 * np.tril(products).sum(1) - np.diag(products)
    return np.concatenate([[0.0], np.cumsum(grown - 1)])


MOST_DOTS = 4096
"""More dots of single positions are a black area."""


def entropy_plot(entropy: Floats, axes: Any = None) -> Any:
    """See `HierarchicalGaussian.plot_entropy`."""
    from l2m.base.plots import BLUE, GREY, new_axes

    axes = new_axes() if axes is None else axes
    position = np.arange(1, entropy.size + 1)
    shown = min(entropy.size, MOST_DOTS)
    axes.plot(
        position[:shown],
        entropy[:shown],
        ".",
        color=GREY,
        markersize=2,
        alpha=0.5,
        rasterized=True,
        label="every position",
    )
    edges = 2 ** np.arange(entropy.size.bit_length())
    means = [entropy[a - 1 : b - 1].mean() for a, b in pairwise(edges)]
    axes.plot(edges[:-1] * math.sqrt(2), means, "o-", color=BLUE, label="mean of an octave")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("position t")
    axes.set_ylabel("conditional entropy of Z given all before it (nats)")
    axes.legend()
    return axes


def _two_point_labels(axes: Any, unit: str) -> Any:
    axes.set_xlabel("distance d")
    axes.set_ylabel(f"two-point information ({unit})")
    return axes


def _plot(axes: Any, x: NDArray[Any], y: Floats, style: str, label: str, color: str | None) -> Any:
    from l2m.base.plots import BLUE, new_axes

    axes = new_axes() if axes is None else axes
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.plot(x, y, style, color=color or BLUE, label=label)
    axes.legend()
    return axes


def _shown(children: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(set(children)) if len(set(children)) == 1 else children)) or "none"
