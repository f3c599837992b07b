"""What every fitted curve is: the data, the parameters with their covariance, predictions, bands, a figure."""

import dataclasses
import html
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base import checks
from l2m.base.records import Record, frame
from l2m.errors import InputError
from l2m.statistics.jackknife import jackknife_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Curve(Record):
    """Base of the fitted curves: the data, the parameters with their covariance, and what follows from them.

    Attributes:
        x, y, stderr, covariance: the data.
        parameters: the best fit, in the order of `names`.
        parameter_covariance: of the parameters (of the logarithm of a power law's amplitude).
        degrees_of_freedom: of the t interval: points - parameters, or jackknife groups - 1.
        refits: (groups, parameters) the parameters in every jackknife replicate; None without.
        group_weights: fraction of the data in each group; None: equal.
        resolved: False where the data do not tell a power law's term from zero.
    """

    names: ClassVar[tuple[str, ...]] = ()
    axes: ClassVar[Mapping[str, str]] = {
        "x": "points",
        "y": "points",
        "stderr": "points",
        "covariance": "points points",
        "parameters": "parameters",
        "parameter_covariance": "parameters parameters",
        "refits": "groups parameters",
        "group_weights": "groups",
    }

    x: Floats
    y: Floats
    stderr: Floats | None
    covariance: Floats | None
    parameters: Floats
    parameter_covariance: Floats
    degrees_of_freedom: float
    refits: Floats | None
    group_weights: Floats | None
    resolved: bool

    @classmethod
    def _upgraded(cls, value: dict[str, Any]) -> dict[str, Any]:
        names = {"best": "parameters", "errors": "parameter_covariance", "degrees": "degrees_of_freedom"}
        return {names.get(name, name): item for name, item in value.items()}

    def _curve(self, parameters: Floats, x: Floats) -> Floats:
        raise NotImplementedError

    def _gradient(self, x: Floats) -> Floats:
        """(points, parameters) derivatives in the coordinates of `parameter_covariance`."""
        raise NotImplementedError

    @property
    def _logarithmic(self) -> bool:
        """Whether the curve is a straight line in log-log, so that its band is one of factors."""
        return False

    def predict(self, x: ArrayLike) -> Floats:
        """The best fit at `x`, of the same shape."""
        return self._curve(self.parameters, np.asarray(x, float))

    def band(self, x: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
        """Low and high ends of the pointwise `level` interval of the curve (not of new data) at `x`.

        With jackknife replicates: their predictions' standard error and Student's t with groups - 1 degrees of freedom;
        else the delta method with points - parameters. Of log y where the fit is a line in log-log.
        """
        x = np.asarray(x, float)
        value, reach = self.predict(x), self._quantile(level) * self._prediction_error(x.ravel()).reshape(x.shape)
        if self._logarithmic:
            return value * np.exp(-reach), value * np.exp(reach)
        return value - reach, value + reach

    def standard_error(self, name: str) -> float:
        """Of one of the parameters in `names`."""
        index = self._index(name)
        return (
            math.sqrt(self.parameter_covariance[index, index])
            if self.parameter_covariance[index, index] >= 0
            else math.nan
        )

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Estimate -+ Student's t times the standard error of the parameter `name`."""
        index = self._index(name)
        reach = self._quantile(level) * math.sqrt(self.parameter_covariance[index, index])
        return float(self.parameters[index] - reach), float(self.parameters[index] + reach)

    def _moves(self, n: int, seed: int) -> Floats:
        """(n, parameters) draws of multivariate Student's t with the covariance of the parameters, around 0."""
        generator = np.random.default_rng(seed)
        values, vectors = np.linalg.eigh(self.parameter_covariance)
        normals = generator.standard_normal((n, len(self.names))) @ (vectors * np.sqrt(np.maximum(values, 0))).T
        return np.asarray(
            normals * np.sqrt(self.degrees_of_freedom / generator.chisquare(self.degrees_of_freedom, (n, 1)))
        )

    def _prediction_error(self, x: Floats) -> Floats:
        best = self._curve(self.parameters, x)
        if self.refits is not None:
            curves = np.array([self._curve(refit, x) for refit in self.refits])
            if self._logarithmic:
                curves, best = np.log(curves), np.log(best)
            return jackknife_errors(curves, best, self.group_weights)[0]
        gradient = self._gradient(x)
        error = np.sqrt(np.einsum("ij,jk,ik->i", gradient, self.parameter_covariance, gradient))
        return np.asarray(error / np.abs(best) if self._logarithmic else error)

    def misfit_error(self, replicates: Floats, level: float = 0.95) -> Floats:
        """How far from the curve a point of the fit may lie by chance: all do with probability `level` where the law is true.

        Args:
            replicates: (groups, points) the jackknife values the law was fitted with. Their residuals give the error of the
                residual, which is smaller than that of the point where the points err together.

        Returns:
            (points,) Student's t times that error, Bonferroni's share of 1 - level a point.
        """
        assert self.refits is not None
        residuals = replicates - np.array([self._curve(refit, self.x) for refit in self.refits])
        error, _ = jackknife_errors(residuals, self.y - self._curve(self.parameters, self.x), self.group_weights)
        return np.asarray(self._quantile(1 - (1 - level) / self.x.size) * error)

    def _quantile(self, level: float) -> float:
        if not 0 < checks.real("level", level) < 1:
            raise InputError(f"level: {level}; expected between 0 and 1")
        return student_quantile(0.5 + level / 2, self.degrees_of_freedom)

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise InputError(f"name: {name!r}; expected one of {', '.join(self.names)}")
        return self.names.index(name)

    @property
    def equation(self) -> str:
        """The curve as a formula."""
        raise NotImplementedError

    @property
    def _slope(self) -> str:
        """The parameter that says how the curve grows."""
        raise NotImplementedError

    def _brief(self) -> str:
        if not self.resolved:
            return f"{self.equation}, not resolved"
        low, high = self.interval(self._slope)
        if low == high:
            return self.equation
        return f"{self.equation}, {self._slope} {low:.3g} to {high:.3g}"

    def _repr_html_(self) -> str:
        """A table of the parameters with their errors and 95 % intervals, for notebooks."""
        cells = ["<th>parameter</th><th>value</th><th>standard error</th><th>95 %</th>"]
        for name, value in zip(self.names, self.parameters, strict=True):
            low, high = self.interval(name)
            error = self.standard_error(name)
            cells.append(f"<td>{name}</td><td>{value:.4g}</td><td>{error:.2g}</td><td>{low:.4g} to {high:.4g}</td>")
        rows = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<table><caption>{html.escape(repr(self))} ({self.unit})</caption>{rows}</table>"

    def to_frame(self) -> "DataFrame":
        """pandas DataFrame of the data and the fit: x, y, stderr, fit, low, high (95 %)."""
        low, high = self.band(self.x)
        stderr = np.full(self.x.size, math.nan) if self.stderr is None else self.stderr
        columns = {"x": self.x, "y": self.y, "stderr": stderr, "fit": self.predict(self.x), "low": low, "high": high}
        return frame(columns)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Data with errors, the curve and its 95 % band; log-log, or log x alone where some y are not positive."""
        from l2m.base.plots import BLUE, GREY, draw_law, new_axes

        axes = new_axes() if axes is None else axes
        positive = bool((self.y > 0).all())
        axes.set(xscale="log", yscale="log" if positive else "linear", xlabel="x", ylabel="y")
        # An error bar that reaches below 0 would leave the logarithmic axis: it ends at a thousandth of the value.
        up = np.zeros(self.x.size) if self.stderr is None else self.stderr
        down = np.minimum(up, 0.999 * self.y) if positive else up
        axes.errorbar(self.x, self.y, yerr=np.stack([down, up]), fmt="o", color=GREY, label="data")
        if not positive:
            axes.axhline(0, color=GREY, linewidth=0.8)
        draw_law(axes, self, BLUE)
        return axes


def student_quantile(probability: float, degrees: float) -> float:
    """Of Student's t; of the normal distribution for infinitely many degrees of freedom."""
    if degrees < 1:
        return math.nan
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))
