"""A logarithm through a curve."""

import dataclasses
import math
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.statistics.fit_problem import FitProblem, inverse_gram
from l2m.statistics.fitted_curve import Curve
from l2m.statistics.jackknife import jackknife_errors

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Logarithm(Curve):
    """y = slope * log(x) + intercept.

    Attributes:
        slope, intercept: the best fit.
        others: see `Curve`.
    """

    kind: ClassVar[str] = "logarithm"
    names: ClassVar[tuple[str, ...]] = ("slope", "intercept")
    information_fields: ClassVar[tuple[str, ...]] = ("y", "stderr", "parameters", "refits")
    squared_fields: ClassVar[tuple[str, ...]] = ("covariance", "parameter_covariance")

    derived: ClassVar[tuple[str, ...]] = names

    @property
    def slope(self) -> float:
        return float(self.parameters[0])

    @property
    def intercept(self) -> float:
        return float(self.parameters[1])

    def _curve(self, parameters: Floats, x: Floats) -> Floats:
        return np.asarray(parameters[0] * np.log(x) + parameters[1])

    def _gradient(self, x: Floats) -> Floats:
        return np.stack([np.log(x), np.ones_like(x)], axis=1)

    def draws(self, n: int = 1000, seed: int = 0) -> Floats:
        """(n, 2) slopes and intercepts from the multivariate Student's t whose quantiles are the intervals' ends."""
        return self.parameters + self._moves(n, seed)

    def explain(self) -> str:
        """The curve in words, with the interval of its slope."""
        low, high = self.interval("slope")
        return f"{self.equation}; slope {low:.4g} to {high:.4g} (95 %)."

    @property
    def equation(self) -> str:
        return f"y = {self.slope:.4g} log(x) {'-' if self.intercept < 0 else '+'} {abs(self.intercept):.4g}"

    @property
    def _slope(self) -> str:
        return "slope"


def fit_logarithm(
    x: ArrayLike,
    y: ArrayLike,
    *,
    stderr: ArrayLike | None = None,
    replicates: ArrayLike | None = None,
    group_weights: ArrayLike | None = None,
) -> Logarithm:
    """Least squares of y = slope * log(x) + intercept, weighted by 1/stderr^2 where given; arguments as `fit_power_law`.

    Returns:
        The curve, with intervals of its parameters and a band.

    Raises:
        InputError: as `fit_power_law`.

    Example:
        >>> x = np.array([1.0, 2, 4, 8, 16])
        >>> l2m.fit_logarithm(x, 3 * np.log(x) + 1 + 0.1 * np.cos(x))
        Logarithm(y = 2.961 log(x) + 1.022, slope 2.9 to 3.02)
    """
    method = "ols" if stderr is None else "nonlinear"
    problem = FitProblem.check(
        x,
        y,
        stderr=stderr,
        offset="free",
        method=method,
        replicates=replicates,
        group_weights=group_weights,
        parameters=2,
    )
    scale = np.ones(problem.x.size) if problem.stderr is None else problem.stderr
    design = np.stack([np.log(problem.x), np.ones(problem.x.size)], axis=1) / scale[:, None]
    best = np.asarray(np.linalg.lstsq(design, problem.y / scale, rcond=None)[0], float)
    refits: Floats | None = None
    degrees = float(problem.x.size - 2)
    if problem.replicates is None:
        residual = problem.y / scale - design @ best
        covariance = (residual @ residual / degrees if degrees else math.nan) * inverse_gram(design)
    else:
        refits = np.asarray(np.linalg.lstsq(design, problem.replicates.T / scale[:, None], rcond=None)[0].T, float)
        covariance, degrees = jackknife_errors(refits, best, problem.group_weights)[1], float(len(refits) - 1)
    return Logarithm(
        x=problem.x,
        y=problem.y,
        stderr=problem.stderr,
        covariance=None,
        parameters=best,
        parameter_covariance=covariance,
        degrees_of_freedom=degrees,
        refits=refits,
        group_weights=problem.group_weights,
        resolved=True,
        settings={"method": method, "space": "linear"},
    )
