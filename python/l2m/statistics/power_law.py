"""Power laws and logarithms through curves, with errors that hold what they promise."""

import dataclasses
import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m import _core
from l2m.base.records import Record, frame
from l2m.errors import InputError
from l2m.statistics.jackknife import jackknife_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from l2m.statistics.curve_comparison import CurveComparison

Floats = NDArray[np.float64]
PARAMETERS = ("amplitude", "exponent", "offset")
METHODS = ("ols", "wls", "gls", "robust", "nonlinear")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Curve(Record):
    """Base of the fitted curves: the data, the parameters with their covariance, and what follows from them.

    Attributes:
        x, y, stderr, covariance: the data.
        best: the parameters, in the order of `names`.
        errors: covariance of the parameters (of the logarithm of a power law's amplitude).
        degrees: degrees of freedom of the t interval: points - parameters, or jackknife groups - 1.
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
        "best": "parameters",
        "errors": "parameters parameters",
        "refits": "groups parameters",
        "group_weights": "groups",
    }

    x: Floats
    y: Floats
    stderr: Floats | None
    covariance: Floats | None
    best: Floats
    errors: Floats
    degrees: float
    refits: Floats | None
    group_weights: Floats | None
    resolved: bool

    def _curve(self, parameters: Floats, x: Floats) -> Floats:
        raise NotImplementedError

    def _gradient(self, x: Floats) -> Floats:
        """(points, parameters) derivatives in the coordinates of `errors`."""
        raise NotImplementedError

    @property
    def _logarithmic(self) -> bool:
        """Whether the curve is a straight line in log-log, so that its band is one of factors."""
        return False

    def predict(self, x: ArrayLike) -> Floats:
        """The best fit at `x`, of the same shape."""
        return self._curve(self.best, np.asarray(x, float))

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
        """Of one of the parameters `names`."""
        index = self._index(name)
        return math.sqrt(self.errors[index, index]) if self.errors[index, index] >= 0 else math.nan

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Estimate -+ Student's t times the standard error of the parameter `name`."""
        index = self._index(name)
        reach = self._quantile(level) * math.sqrt(self.errors[index, index])
        return float(self.best[index] - reach), float(self.best[index] + reach)

    def _moves(self, n: int, seed: int) -> Floats:
        """(n, parameters) draws of multivariate Student's t with the covariance `errors`, around 0."""
        generator = np.random.default_rng(seed)
        values, vectors = np.linalg.eigh(self.errors)
        normals = generator.standard_normal((n, len(self.names))) @ (vectors * np.sqrt(np.maximum(values, 0))).T
        return np.asarray(normals * np.sqrt(self.degrees / generator.chisquare(self.degrees, (n, 1))))

    def _prediction_error(self, x: Floats) -> Floats:
        best = self._curve(self.best, x)
        if self.refits is not None:
            curves = np.array([self._curve(refit, x) for refit in self.refits])
            if self._logarithmic:
                curves, best = np.log(curves), np.log(best)
            return jackknife_errors(curves, best, self.group_weights)[0]
        gradient = self._gradient(x)
        error = np.sqrt(np.einsum("ij,jk,ik->i", gradient, self.errors, gradient))
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
        error, _ = jackknife_errors(residuals, self.y - self._curve(self.best, self.x), self.group_weights)
        return np.asarray(self._quantile(1 - (1 - level) / self.x.size) * error)

    def _quantile(self, level: float) -> float:
        if not 0 < level < 1:
            raise InputError(f"level: {level}; expected between 0 and 1")
        return _student(0.5 + level / 2, self.degrees)

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise InputError(f"name: {name!r}; expected one of {', '.join(self.names)}")
        return self.names.index(name)

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


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PowerLaw(Curve):
    """y = amplitude * x**exponent + offset.

    Attributes:
        amplitude, exponent, offset: the best fit; exponent nan where no law is resolved.
        resolved: False where the data do not tell the law's term from zero: its size at the centre of the data (the
            geometric mean of x) is within 2 standard errors of 0, or jackknife refits fail. `best` keeps the fit.
        errors: (3, 3) covariance of log|amplitude|, exponent, offset.
        others: see `Curve`.
    """

    kind: ClassVar[str] = "power law"
    names: ClassVar[tuple[str, ...]] = PARAMETERS

    amplitude: float
    exponent: float
    offset: float

    def _curve(self, parameters: Floats, x: Floats) -> Floats:
        amplitude, exponent, offset = parameters
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(amplitude * x**exponent + offset)

    def _gradient(self, x: Floats) -> Floats:
        term = self._curve(self.best, x) - self.best[2]
        return np.stack([term, term * np.log(x), np.ones_like(x)], axis=1)

    @property
    def _logarithmic(self) -> bool:
        return self.settings["space"] == "log" and not self.settings["offset"]

    def _scaled(self, factor: float) -> dict[str, Any]:
        scale, only = np.array([factor, 1, factor]), np.array([1, 1, factor])
        low, high = self.settings["offset_bounds"]
        return {
            "y": self.y * factor,
            "stderr": None if self.stderr is None else self.stderr * factor,
            "covariance": None if self.covariance is None else self.covariance * factor**2,
            "best": self.best * scale,
            "errors": self.errors * np.outer(only, only),
            "refits": None if self.refits is None else self.refits * scale,
            "amplitude": self.amplitude * factor,
            "offset": self.offset * factor,
            "settings": {**self.settings, "offset_bounds": (low * factor, high * factor)},
        }

    def standard_error(self, name: str) -> float:
        """Of "exponent", "offset" or "amplitude" (there amplitude times the error of its logarithm)."""
        error = super().standard_error(name)
        return abs(float(self.best[0])) * error if name == "amplitude" else error

    def interval(
        self, name: str = "exponent", level: float = 0.95, method: Literal["t", "percentile", "bca"] = "t"
    ) -> tuple[float, float]:
        """Interval of "amplitude", "exponent" or "offset".

        Args:
            level: coverage asked for.
            method: "t", estimate -+ Student's t times the standard error (of the logarithm for the amplitude);
                "percentile" or "bca" of the bootstrap (`bootstrap()`). docs/power-laws.md gives the measured coverage.

        Returns:
            (low, high); (-inf, inf) for the exponent where no law is resolved.

        Raises:
            InputError: another name or method; percentile or BCa of a law with jackknife replicates.
        """
        index = self._index(name)
        if method not in ("t", "percentile", "bca"):
            raise InputError(f"method: {method!r}; expected 't', 'percentile' or 'bca'")
        if not self.resolved and index < 2:
            return -math.inf, math.inf
        if method != "t":
            return self._bootstrap_interval(index, level, method)
        if index > 0:
            return super().interval(name, level)
        reach = self._quantile(level) * math.sqrt(self.errors[0, 0])
        low, high = sorted(float(self.best[0]) * math.exp(sign * reach) for sign in (-1, 1))
        return low, high

    def draws(self, n: int = 1000, seed: int = 0) -> Floats:
        """Parameters that carry the law's uncertainty over to what is computed from it.

        Multivariate Student's t around (log|amplitude|, exponent, offset) with the covariance `errors` and `degrees`
        degrees of freedom: the quantiles of each column are the ends of `interval(name, level)`.

        Returns:
            (n, 3): amplitude, exponent, offset.

        Raises:
            InputError: no law is resolved, so that nothing bounds the exponent.
        """
        if not self.resolved:
            raise InputError("draws: no power law is resolved in this curve; expected one with a bounded exponent")
        moves = self._moves(n, seed)
        amplitudes = self.best[0] * np.exp(moves[:, 0])
        return np.stack([amplitudes, self.best[1] + moves[:, 1], self.best[2] + moves[:, 2]], axis=1)

    def bootstrap(
        self, resample: Literal["pairs", "residuals", "parametric"] = "pairs", n: int | None = None
    ) -> Floats:
        """Refits of resampled curves; one seed (that of the fit), one answer.

        Args:
            resample: "pairs" draws points; "residuals" adds standardised residuals (scaled by
                sqrt(points / (points - parameters))) to the fitted curve; "parametric" adds normal errors: of the
                covariance or stderr given, else of the residuals' size.
            n: how many; None: as many as the fit was asked for.

        Returns:
            (n, 3): amplitude, exponent, offset.

        Raises:
            InputError: a law with jackknife replicates (its points are not independent), or pairs with a covariance.
        """
        if self.refits is not None:
            raise InputError("bootstrap: the law has jackknife replicates; expected interval(name, level, 't')")
        count = int(self.settings["bootstrap"] if n is None else n)
        if resample not in ("pairs", "residuals", "parametric"):
            raise InputError(f"resample: {resample!r}; expected 'pairs', 'residuals' or 'parametric'")
        if resample == "pairs" and self.settings["method"] == "gls":
            raise InputError("resample: 'pairs' with a covariance; expected 'residuals' or 'parametric'")
        problem = _Problem.of(self)
        return problem.bootstrap(self.best, resample, count, int(self.settings["seed"]))

    @cached_property
    def _replicates(self) -> Floats:
        return self.bootstrap("parametric" if self.settings["method"] == "gls" else "pairs")

    def _bootstrap_interval(self, index: int, level: float, method: str) -> tuple[float, float]:
        self._quantile(level)  # refuses a level outside (0, 1)
        draws = self._replicates[:, index]
        draws = draws[np.isfinite(draws)]
        if draws.size < 100:
            raise InputError(f"bootstrap: {draws.size} replicates; expected at least 100 for an interval")
        tail = (1 - level) / 2
        tails = np.array([tail, 1 - tail])
        if method == "bca":
            tails = self._bca(draws, index, tails)
        low, high = np.quantile(draws, tails)
        return float(low), float(high)

    def _bca(self, draws: Floats, index: int, tails: Floats) -> Floats:
        """Efron's (1987) bias-corrected and accelerated tail probabilities; the acceleration by leaving points out."""
        from statistics import NormalDist  # brings decimal and fractions: 3 ms that `import l2m` need not take

        normal = NormalDist()
        below = (
            np.count_nonzero(draws < self.best[index]) + 0.5 * np.count_nonzero(draws == self.best[index])
        ) / draws.size
        bias = normal.inv_cdf(min(max(below, 0.5 / draws.size), 1 - 0.5 / draws.size))
        left_out = _Problem.of(self).leave_one_out()[:, index]
        away = np.nanmean(left_out) - left_out[np.isfinite(left_out)]
        square = float(np.sum(away**2))
        acceleration = float(np.sum(away**3)) / (6 * square**1.5) if square > 0 else 0.0
        corrected = []
        for tail in tails:
            z = bias + normal.inv_cdf(float(tail))
            corrected.append(normal.cdf(bias + z / (1 - acceleration * z)))
        return np.array(corrected)

    def compare(self) -> "CurveComparison":
        """Against the other curves that pass for a power law: see `l2m.compare_curves`."""
        from l2m.statistics.curve_comparison import compare_law

        return compare_law(self)

    def explain(self) -> str:
        """The law in words, with its intervals and what they rest on."""
        source = (
            f"jackknife over {len(self.refits)} groups"
            if self.refits is not None
            else f"{self.x.size} points, {self.settings['method']}"
        )
        note = f" {self.settings['note']}" if "note" in self.settings else ""
        if not self.resolved:
            return (
                f"No power law is resolved: the term that varies with x is within 2 standard errors of 0 ({source}); "
                f"its exponent is not bounded by these data.{note}"
            )
        low, high = self.interval("exponent")
        offset = f" {'-' if self.offset < 0 else '+'} {abs(self.offset):.4g}" if self.settings["offset"] else ""
        return (
            f"y = {self.amplitude:.4g} x^{self.exponent:.3f}{offset}; exponent {low:.3f} to {high:.3f} "
            f"(95 %; {source}, Student's t with {self.degrees:g} degrees of freedom).{note}"
        )


def fit_or_reason(curve: Any, **options: Any) -> tuple["PowerLaw | None", str]:
    """A curve's own fit (`curve.fit(**options)`) with its words, or None and why there is none."""
    try:
        law: PowerLaw = curve.fit(**options)
    except InputError as error:
        return None, f"no law fitted: {error}"
    return law, law.explain()


def fit_power_law(
    x: ArrayLike,
    y: ArrayLike,
    *,
    stderr: ArrayLike | None = None,
    covariance: ArrayLike | None = None,
    offset: bool | Literal["free", "bounded"] = False,
    offset_bounds: tuple[float, float] | None = None,
    method: Literal["ols", "wls", "gls", "robust", "nonlinear"] = "ols",
    bootstrap: int = 10_000,
    seed: int = 0,
    replicates: ArrayLike | None = None,
    group_weights: ArrayLike | None = None,
) -> PowerLaw:
    """Fit y = amplitude * x**exponent + offset to a curve.

    Without offset: "ols", "robust" (Huber's weights, 95 % efficient) fit log y by log x and refuse y <= 0; "wls"
    (weights 1/stderr^2) and "gls" (the covariance) do so where all y are positive, with errors carried over to log y,
    and fit y itself where some are not; "nonlinear" always fits y itself, weighted where stderr is given.

    Args:
        x: (points,) positive.
        y: (points,).
        stderr: (points,) standard errors of y. They weigh the fit in "wls" and "nonlinear", and size the parametric
            bootstrap; their common scale does not change the t interval.
        covariance: (points, points) covariance of y, for "gls".
        offset: True or "free": y itself is fitted, with any sign of exponent, amplitude and offset, weighted as the
            method says. "bounded": the paper's form, least squares of log(y - C) with 0 < C < min(y) (section 2), with
            "ols" only.
        offset_bounds: (low, high) for the offset; equal ends fix it. Default: none for "free", (0, min y) for
            "bounded".
        method: see above.
        bootstrap: replicates of `PowerLaw.bootstrap` and its intervals; they are drawn when asked for.
        seed: of the bootstrap.
        replicates: (groups, points) delete-one-group jackknife values of y. The whole law is refitted in each; its
            standard errors are sqrt((G-1)/G sum (theta_g - mean)^2) and its intervals Student's t with G - 1 degrees of
            freedom.
        group_weights: (groups,) fraction of the data that each replicate leaves out, for unequal groups (delete-m_j;
            Busing, Meijer & van der Leeden 1999).

    Raises:
        InputError: non-positive x; NaN or infinity; y <= 0 in a log-log fit (they are named); fewer points or fewer
            different x than parameters; all y equal; zero or negative stderr; a covariance that is not positive
            definite; a method without the errors it needs.
    """
    problem = _Problem.check(x, y, stderr, covariance, offset, offset_bounds, method, replicates, group_weights)
    if bootstrap < 0 or seed < 0:
        raise InputError(f"{'bootstrap' if bootstrap < 0 else 'seed'}: {min(bootstrap, seed)}; expected 0 or more")
    best = problem.fit(problem.y[None])[0]
    if not np.isfinite(best[1:]).all():
        raise InputError(
            f"y: no finite least-squares solution for values from {problem.y.min():g} to {problem.y.max():g}; "
            "expected values that a power law can describe"
        )
    logs = float(np.log(problem.x).mean())
    free = problem.parameters

    def centred(laws: Floats) -> Floats:
        return laws[..., 0] * np.exp(laws[..., 1] * logs)

    refits, table, degrees = None, problem.replicates, float(problem.x.size - free)
    if table is None:
        errors = problem.errors(best)
        size_error = _term_error(best, errors, logs)
    else:
        refits, degrees = problem.fit(table), float(len(table) - 1)
        with np.errstate(all="ignore"):
            _, errors = jackknife_errors(_coordinates(refits), _coordinates(best), problem.group_weights)
            stderr, _ = jackknife_errors(centred(refits)[:, None], centred(best)[None], problem.group_weights)
            size_error = float(stderr[0])
    size = float(centred(best))
    # The term of a log-log fit is positive by construction.
    resolved = problem.model == "log-log" or bool(abs(size) > 2 * size_error)
    if refits is not None and not (np.isfinite(refits).all() and (np.sign(refits[:, 0]) == np.sign(best[0])).all()):
        resolved = False
    if problem.model != "log-log" and not problem.inside(best[1]):
        resolved = False
    return PowerLaw(
        problem.x,
        problem.y,
        problem.stderr,
        problem.covariance,
        best,
        errors,
        degrees,
        refits,
        problem.group_weights,
        resolved,
        float(best[0]),
        float(best[1]) if resolved else math.nan,
        float(best[2]),
        settings={
            "method": method,
            "offset": problem.offset,
            "offset_bounds": problem.bounds,
            "space": "log" if problem.model.startswith("log") else "linear",
            "bootstrap": bootstrap,
            "seed": seed,
        },
    )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Logarithm(Curve):
    """y = slope * log(x) + intercept.

    Attributes:
        slope, intercept: the best fit.
        others: see `Curve`.
    """

    kind: ClassVar[str] = "logarithm"
    names: ClassVar[tuple[str, ...]] = ("slope", "intercept")
    information_fields: ClassVar[tuple[str, ...]] = ("y", "stderr", "best", "refits", "slope", "intercept")
    squared_fields: ClassVar[tuple[str, ...]] = ("covariance", "errors")

    slope: float
    intercept: float

    def _curve(self, parameters: Floats, x: Floats) -> Floats:
        return np.asarray(parameters[0] * np.log(x) + parameters[1])

    def _gradient(self, x: Floats) -> Floats:
        return np.stack([np.log(x), np.ones_like(x)], axis=1)

    def draws(self, n: int = 1000, seed: int = 0) -> Floats:
        """(n, 2) slopes and intercepts from the multivariate Student's t whose quantiles are the intervals' ends."""
        return self.best + self._moves(n, seed)

    def explain(self) -> str:
        """The curve in words, with the interval of its slope."""
        low, high = self.interval("slope")
        return (
            f"y = {self.slope:.4g} log(x) {'-' if self.intercept < 0 else '+'} {abs(self.intercept):.4g}; "
            f"slope {low:.4g} to {high:.4g} (95 %)."
        )


def fit_logarithm(
    x: ArrayLike,
    y: ArrayLike,
    *,
    stderr: ArrayLike | None = None,
    replicates: ArrayLike | None = None,
    group_weights: ArrayLike | None = None,
) -> Logarithm:
    """Least squares of y = slope * log(x) + intercept, weighted by 1/stderr^2 where given; arguments as `fit_power_law`.

    Raises:
        InputError: as `fit_power_law`.
    """
    method = "ols" if stderr is None else "nonlinear"
    problem = _Problem.check(x, y, stderr, None, "free", None, method, replicates, group_weights, parameters=2)
    scale = np.ones(problem.x.size) if problem.stderr is None else problem.stderr
    design = np.stack([np.log(problem.x), np.ones(problem.x.size)], axis=1) / scale[:, None]
    best = np.asarray(np.linalg.lstsq(design, problem.y / scale, rcond=None)[0], float)
    refits: Floats | None = None
    degrees = float(problem.x.size - 2)
    if problem.replicates is None:
        residual = problem.y / scale - design @ best
        errors = (residual @ residual / degrees if degrees else math.nan) * _inverse_gram(design)
    else:
        refits = np.asarray(np.linalg.lstsq(design, problem.replicates.T / scale[:, None], rcond=None)[0].T, float)
        errors, degrees = jackknife_errors(refits, best, problem.group_weights)[1], float(len(refits) - 1)
    return Logarithm(
        problem.x,
        problem.y,
        problem.stderr,
        None,
        best,
        errors,
        degrees,
        refits,
        problem.group_weights,
        True,
        float(best[0]),
        float(best[1]),
        settings={"method": method, "space": "linear"},
    )


@dataclasses.dataclass(frozen=True)
class _Problem:
    """A checked curve and how it is fitted."""

    x: Floats
    y: Floats
    stderr: Floats | None
    covariance: Floats | None
    offset: str
    bounds: tuple[float, float]
    method: str
    model: str
    replicates: Floats | None = None
    group_weights: Floats | None = None

    @classmethod
    def of(cls, law: PowerLaw) -> "_Problem":
        settings = law.settings
        space, offset = settings["space"], settings["offset"]
        model = f"{space}-offset" if offset else ("log-log" if space == "log" else "linear")
        low, high = settings["offset_bounds"]
        return cls(law.x, law.y, law.stderr, law.covariance, offset, (low, high), settings["method"], model)

    @classmethod
    def check(
        cls,
        x: ArrayLike,
        y: ArrayLike,
        stderr: ArrayLike | None,
        covariance: ArrayLike | None,
        offset: bool | str,
        offset_bounds: tuple[float, float] | None,
        method: str,
        replicates: ArrayLike | None,
        group_weights: ArrayLike | None,
        parameters: int | None = None,
    ) -> "_Problem":
        if method not in METHODS:
            raise InputError(f"method: {method!r}; expected one of {', '.join(METHODS)}")
        kind = {False: "", True: "free", "free": "free", "bounded": "bounded"}.get(offset)
        if kind is None:
            raise InputError(f"offset: {offset!r}; expected False, True, 'free' or 'bounded'")
        abscissae = _vector("x", x)
        size = abscissae.size
        ordinates = _vector("y", y, size)
        needed = parameters or (3 if kind else 2)
        _refuse("x", abscissae, abscissae <= 0, "positive numbers")
        different = np.unique(abscissae).size
        if different < needed:
            found = f"{size} points" if size < needed else f"{different} different values in {size} points"
            raise InputError(f"x: {found}; expected at least {needed}, the parameters of the curve")
        if (ordinates == ordinates[0]).all():
            raise InputError(f"y: all {size} values are {ordinates[0]:g}; expected values that differ")
        errors = None if stderr is None else _vector("stderr", stderr, size)
        if errors is not None:
            _refuse("stderr", errors, errors <= 0, "positive numbers")
        matrix = None if covariance is None else _matrix("covariance", covariance, (size, size))
        if matrix is not None:
            if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=0):
                raise InputError("covariance: not symmetric; expected a symmetric positive definite matrix")
            try:
                np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:
                raise InputError(
                    f"covariance: smallest eigenvalue {np.linalg.eigvalsh(matrix)[0]:.3g}; "
                    "expected a positive definite matrix"
                ) from None
        if method == "wls" and errors is None:
            raise InputError("stderr: none; expected standard errors of y for method='wls'")
        if method == "gls" and matrix is None:
            raise InputError("covariance: none; expected the covariance of y for method='gls'")
        table = None if replicates is None else _matrix("replicates", replicates, (-1, size))
        if table is not None and len(table) < 2:
            raise InputError(f"replicates: {len(table)} groups; expected at least 2")
        weights = None
        if group_weights is not None:
            if table is None:
                raise InputError("group_weights: given without replicates; expected both")
            weights = _vector("group_weights", group_weights, len(table))
            _refuse("group_weights", weights, (weights <= 0) | (weights >= 1), "fractions between 0 and 1")
            if not math.isclose(weights.sum(), 1, rel_tol=1e-6):
                raise InputError(f"group_weights: a sum of {weights.sum():g}; expected 1")
        low, high = offset_bounds or ((0.0, math.inf) if kind == "bounded" else (-math.inf, math.inf))
        if offset_bounds is not None and not kind:
            raise InputError("offset_bounds: given without an offset; expected offset=True")
        if math.isnan(low) or math.isnan(high) or low > high:
            raise InputError(f"offset_bounds: ({low}, {high}); expected low <= high")
        bounds = (float(low), float(high))
        everything = ordinates if table is None else np.concatenate([ordinates, table.ravel()])
        if kind == "bounded":
            if method != "ols":
                raise InputError(f"method: {method!r} with offset='bounded'; expected 'ols' (or offset='free')")
            _refuse("y", ordinates, ordinates <= low, f"values above the offset's lower bound {low:g}")
            model = "log-offset"
        elif kind:
            model = "linear-offset"
        elif method == "nonlinear" or (method in ("wls", "gls") and (everything <= 0).any()):
            model = "linear"
        else:
            advice = "positive values for a fit in log-log (method='nonlinear', 'wls' or offset=True take any)"
            _refuse("y", ordinates, ordinates <= 0, advice)
            if table is not None:
                _refuse("replicates", table.ravel(), table.ravel() <= 0, advice)
            model = "log-log"
        return cls(abscissae, ordinates, errors, matrix, kind, bounds, method, model, table, weights)

    @property
    def parameters(self) -> int:
        return 3 if self.offset else 2

    @cached_property
    def weights(self) -> Floats | None:
        """1 / variance in the space of the fit; None: equal."""
        if self.stderr is None or self.method not in ("wls", "nonlinear"):
            return None
        return (self.y / self.stderr) ** 2 if self.model == "log-log" else self.stderr**-2.0

    @cached_property
    def matrix(self) -> Floats | None:
        """The covariance in the space of the fit; None unless it weighs the fit."""
        if self.method != "gls" or self.covariance is None:
            return None
        return self.covariance / np.outer(self.y, self.y) if self.model == "log-log" else self.covariance

    def fitter(self, kept: NDArray[np.bool_] | None = None) -> _core.CurveFitter:
        rows = np.ones(self.x.size, bool) if kept is None else kept
        return _core.CurveFitter(
            self.x[rows],
            self.model,
            weights=None if self.weights is None else self.weights[rows],
            covariance=None if self.matrix is None else np.ascontiguousarray(self.matrix[np.ix_(rows, rows)]),
            bounds=self.bounds,
            robust=self.method == "robust",
        )

    def ordinates(self, y: Floats) -> Floats:
        return np.log(y) if self.model == "log-log" else y

    def fit(self, rows: Floats) -> Floats:
        """(rows, 3) laws of (rows, points) ordinates."""
        return self.fitter().fit(np.ascontiguousarray(self.ordinates(rows)))

    def leave_one_out(self) -> Floats:
        laws = np.full((self.x.size, 3), np.nan)
        for point in range(self.x.size):
            kept = np.arange(self.x.size) != point
            if np.unique(self.x[kept]).size >= self.parameters:
                laws[point] = self.fitter(kept).fit(self.ordinates(self.y[None, kept]))[0]
        return laws

    def residuals(self, law: Floats) -> tuple[Floats, Floats, Floats]:
        """(fitted, residual, standard deviation up to a common factor) in the space of the fit."""
        fitted = law[0] * self.x ** law[1]
        target = self.y - law[2] if self.model == "log-offset" else self.y
        if self.model.startswith("log"):
            fitted, target = np.log(fitted), np.log(target)
        else:
            fitted = fitted + law[2]
        scale = np.ones(self.x.size) if self.weights is None else self.weights**-0.5
        return fitted, target - fitted, scale

    def inside(self, exponent: float) -> bool:
        """False for an exponent so large that the law touches one point only: the end of the searched range."""
        logs = np.sort(np.unique(np.log(self.x)))
        gap = min(logs[1] - logs[0], logs[-1] - logs[-2])
        return bool(abs(exponent) * gap < 20)

    def errors(self, law: Floats) -> Floats:
        """Covariance of log|A|, b, C from the slopes at the solution, scaled by the residuals (points - parameters)."""
        free, size = self.parameters, self.x.size
        _, residual, scale = self.residuals(law)
        logs = np.log(self.x)
        if self.model.startswith("log"):
            columns = [np.ones(size), logs, 1 / (self.y - law[2])]
        else:
            term = law[0] * self.x ** law[1]
            columns = [term, term * logs, np.ones(size)]
        at_bound = free == 3 and law[2] in self.bounds
        active = 2 if at_bound else free
        design = np.stack(columns[:active], axis=1)
        if self.method == "robust":
            covariance = _huber_covariance(design, residual)
        else:
            if self.matrix is not None:
                factor = np.linalg.cholesky(self.matrix)
                design, residual = np.linalg.solve(factor, design), np.linalg.solve(factor, residual)
            else:
                design, residual = design / scale[:, None], residual / scale
            degrees = size - free
            dispersion = residual @ residual / degrees if degrees else math.nan
            covariance = dispersion * _inverse_gram(design)
        errors = np.zeros((3, 3))
        errors[:active, :active] = covariance
        return errors

    def bootstrap(self, law: Floats, resample: str, replicates: int, seed: int) -> Floats:
        if resample == "pairs":
            target = self.ordinates(self.y)
            return self.fitter().bootstrap(target, target, resample=resample, replicates=replicates, seed=seed)
        fitted, residual, scale = self.residuals(law)
        size = self.x.size
        inflation = math.sqrt(size / max(size - self.parameters, 1))
        spread = inflation * math.sqrt(float(np.mean((residual / scale) ** 2)))
        normal, matrix = None, None
        if resample == "parametric":
            if self.covariance is not None:
                logs = self.model.startswith("log")
                matrix = self.covariance / np.outer(self.y - law[2], self.y - law[2]) if logs else self.covariance
            elif self.stderr is not None:
                normal = self.stderr / np.abs(self.y - law[2]) if self.model.startswith("log") else self.stderr
            else:
                normal = spread * scale
        return self.fitter().bootstrap(
            self.ordinates(self.y),
            fitted,
            resample={"parametric": "normal" if matrix is None else "correlated"}.get(resample, resample),
            replicates=replicates,
            seed=seed,
            base=float(law[2]),
            residuals=(residual / scale - np.mean(residual / scale)) * inflation,
            scale=scale if normal is None else normal,
            covariance=None if matrix is None else np.ascontiguousarray(matrix),
        )


def _inverse_gram(design: Floats) -> Floats:
    """(X'X)^-1 through a QR decomposition of columns of length 1; inf where they do not tell parameters apart."""
    length = np.sqrt(np.sum(design**2, axis=0))
    if not (np.isfinite(length).all() and (length > 0).all()):
        return np.full((design.shape[1],) * 2, math.inf)
    triangle = np.linalg.qr(design / length, mode="r")
    if np.abs(np.diag(triangle)).min() < 1e-12:
        return np.full((design.shape[1],) * 2, math.inf)
    inverse = np.linalg.inv(triangle)
    covariance: Floats = inverse @ inverse.T / np.outer(length, length)
    return covariance


def _huber_covariance(design: Floats, residual: Floats) -> Floats:
    """Asymptotic covariance of Huber's estimate with its small-sample correction (Huber 1981, equation 7.6.5, "H1")."""
    size, parameters = design.shape
    scale = np.median(np.abs(residual)) / 0.6744897501960817  # the normal's upper quartile
    if scale == 0:
        return np.zeros((parameters, parameters))
    z = residual / scale
    bounded, inside = np.clip(z, -1.345, 1.345), np.abs(z) <= 1.345
    share = inside.mean()
    correction = 1 + parameters / size * (inside.var() / share**2)
    dispersion = (
        correction**2 * (bounded @ bounded / (size - parameters)) * scale**2 / share**2
        if size > parameters
        else math.nan
    )
    return np.asarray(dispersion * _inverse_gram(design))


def _coordinates(laws: Floats) -> Floats:
    """log|A|, b, C."""
    return np.stack([np.log(np.abs(laws[..., 0])), laws[..., 1], laws[..., 2]], axis=-1)


def _term_error(law: Floats, errors: Floats, log_centre: float) -> float:
    """Standard error of A x^b at the centre of the data."""
    gradient = np.array([1, log_centre])
    relative = float(gradient @ errors[:2, :2] @ gradient)
    size = abs(law[0]) * math.exp(min(law[1] * log_centre, 700.0))
    return size * math.sqrt(relative) if relative >= 0 else math.inf


def _student(probability: float, degrees: float) -> float:
    if degrees < 1:
        return math.nan
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def _vector(name: str, values: ArrayLike, size: int | None = None) -> Floats:
    try:
        vector = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name}: not numbers; expected one dimension of numbers") from None
    if vector.ndim != 1 or (size is not None and vector.size != size):
        expected = "one dimension" if size is None else f"{size} values, one a point"
        raise InputError(f"{name}: an array of shape {vector.shape}; expected {expected}")
    _refuse(name, vector, ~np.isfinite(vector), "finite numbers")
    return vector


def _matrix(name: str, values: ArrayLike, shape: tuple[int, int]) -> Floats:
    matrix = np.array(values, dtype=float)
    if matrix.ndim != 2 or any(want not in (-1, have) for want, have in zip(shape, matrix.shape, strict=True)):
        wanted = " x ".join("groups" if want < 0 else str(want) for want in shape)
        raise InputError(f"{name}: an array of shape {matrix.shape}; expected {wanted}")
    _refuse(name, matrix.ravel(), ~np.isfinite(matrix.ravel()), "finite numbers")
    return matrix


def _refuse(name: str, values: Floats, bad: NDArray[np.bool_], expected: str) -> None:
    """Name the values that are bad, the first five of them."""
    where = np.flatnonzero(bad)
    if where.size:
        shown = ", ".join(f"{values[i]:g} at position {i}" for i in where[:5])
        more = f" and {where.size - 5} more" if where.size > 5 else ""
        raise InputError(f"{name}: {shown}{more}; expected {expected}")
