"""Power laws through curves, with errors that hold what they promise."""

import dataclasses
import itertools
import math
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base import checks
from l2m.errors import InputError
from l2m.statistics.curve_comparison import CurveComparison, compare_fit
from l2m.statistics.fit_problem import FitProblem
from l2m.statistics.fitted_curve import Curve, student_quantile

Floats = NDArray[np.float64]
PARAMETERS = ("amplitude", "exponent", "offset")
GIVEN = "given"
"""The method of a law that is known, not fitted."""
MOST_REPLICATES = 10_000_000
"""Of a bootstrap: three numbers each, 240 MB."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PowerLaw(Curve):
    """y = amplitude * x**exponent + offset.

    Attributes:
        amplitude, exponent, offset: the best fit; exponent nan where no law is resolved.
        resolved: False where the data do not tell the law's term from zero: its size at the centre of the data (the
            geometric mean of x) is within 2 standard errors of 0, or jackknife refits fail. `parameters` keeps the fit.
        holds: False also where the law misses points that it was fitted to (`settings["missed"]`, which the curves that
            choose where to begin fill in): such a law is no result, and its exponent is not to be quoted.
        parameter_covariance: (3, 3) covariance of log|amplitude|, exponent, offset.
        others: see `Curve`. A law that is known (`of`) has no points, and infinitely many degrees of freedom.
    """

    kind: ClassVar[str] = "power law"
    names: ClassVar[tuple[str, ...]] = PARAMETERS

    derived: ClassVar[tuple[str, ...]] = names

    @classmethod
    def of(
        cls,
        amplitude: float,
        exponent: float,
        *,
        amplitude_interval: tuple[float, float] | None = None,
        exponent_interval: tuple[float, float] | None = None,
        unit: Literal["nats", "bits"] = "nats",
        x: Literal["length", "split"] = "length",
        ratio: float = 2.0,
    ) -> "PowerLaw":
        """A law that is known, such as a published one: y = amplitude * x**exponent.

        Args:
            amplitude: above 0, in `unit`.
            exponent: any number; `l2m.condition` takes those within (0, 1).
            amplitude_interval, exponent_interval: (low, high) at 95 %, around the value. `draws` and `interval` follow them,
                each side by its own width: a two-piece normal, of the logarithm for the amplitude. None: exact.
            unit: of the amplitude.
            x: what x counts: "length" (past and future together) or "split" (the past alone).
            ratio: length over split.

        Raises:
            InputError: a number that is none, an amplitude at or below 0, an interval that does not hold its value.

        Example:
            >>> import l2m
            >>> l2m.PowerLaw.of(2.27, 0.76, exponent_interval=(0.70, 0.83)).interval()
            (0.7, 0.83)
        """
        amplitude = checks.real("amplitude", amplitude, 0, above=True)
        exponent = checks.real("exponent", exponent)
        checks.one_of("unit", unit, ("nats", "bits"))
        intervals: dict[str, tuple[float, float]] = {}
        for name, value, ends in (
            ("amplitude", amplitude, amplitude_interval),
            ("exponent", exponent, exponent_interval),
        ):
            if ends is None:
                continue
            pair = checks.reals(f"{name}_interval", ends).tolist()
            low, high = pair if len(pair) == 2 else (math.inf, -math.inf)
            if not low <= value <= high or (name == "amplitude" and low <= 0):
                least = ", above 0," if name == "amplitude" else ""
                raise InputError(f"{name}_interval: {ends!r}; expected (low, high){least} at 95 % around {value:g}")
            intervals[name] = (low, high)
        law = cls(
            x=np.empty(0),
            y=np.empty(0),
            stderr=None,
            covariance=None,
            parameters=np.array([amplitude, exponent, 0.0]),
            parameter_covariance=np.zeros((3, 3)),
            degrees_of_freedom=math.inf,
            refits=None,
            group_weights=None,
            resolved=True,
            unit=unit,
            settings={
                "method": GIVEN,
                "offset": False,
                "offset_bounds": (0.0, 0.0),
                "space": "log",
                "intervals": intervals,
                "x": checks.one_of("x", x, ("length", "split")),
                "symbol": "L" if x == "length" else "l",
                "ratio": checks.real("ratio", ratio, 1, above=True),
            },
        )
        return dataclasses.replace(law, parameter_covariance=np.diag(law._sides.mean(axis=0) ** 2))

    @property
    def given(self) -> bool:
        """Whether the law is known (`of`), not fitted: it has no data."""
        return bool(self.settings["method"] == GIVEN)

    @property
    def _sides(self) -> Floats:
        """(2, 3) standard deviations below and above the parameters of a law that is given, in the coordinates of its covariance."""
        sides = np.zeros((2, 3))
        for name, (low, high) in self.settings["intervals"].items():
            index = self.names.index(name)
            value = float(self.parameters[index])
            ends = (value - low, high - value) if index else (math.log(value / low), math.log(high / value))
            sides[:, index] = np.array(ends) / student_quantile(0.975, math.inf)
        return sides

    def _require_data(self, what: str) -> None:
        if self.given:
            raise InputError(f"{what}: the law was given, so that it has no points; expected a law that was fitted")

    @property
    def amplitude(self) -> float:
        return float(self.parameters[0])

    @property
    def exponent(self) -> float:
        return float(self.parameters[1]) if self.resolved else math.nan

    @property
    def offset(self) -> float:
        return float(self.parameters[2])

    @property
    def holds(self) -> bool:
        return self.resolved and not self.settings.get("missed")

    @property
    def symbol(self) -> str:
        """What x is called: "d", "L", "l" or, where nobody said, "x"."""
        return str(self.settings.get("symbol", "x"))

    def local_slopes(self, pieces: int = 4) -> list[tuple[float, float, float]]:
        """How steep the data themselves are: (from x, to x, d log y / d log x between them), in at most `pieces` parts.

        nan where y is not positive at both ends.
        """
        self._require_data("local_slopes")
        order = np.argsort(self.x, kind="stable")
        x, y = self.x[order], self.y[order]
        ends = np.unique(np.linspace(0, x.size - 1, checks.whole("pieces", pieces, 1) + 1).round().astype(int))
        slopes = []
        for start, stop in itertools.pairwise(ends):
            run = math.log(x[stop] / x[start])
            rising = y[start] > 0 and y[stop] > 0 and run > 0
            slope = math.log(y[stop] / y[start]) / run if rising else math.nan
            slopes.append((float(x[start]), float(x[stop]), slope))
        return slopes

    def no_single_law(self, of: str = "") -> str:
        """What is said in place of a law that misses: the range, and the local slopes.

        Args:
            of: what x and y are of; empty: only the range is named.
        """
        slopes = ", ".join(
            f"{'none' if math.isnan(slope) else format(slope, '.2f')} ({self.symbol} = {low:,.0f} to {high:,.0f})"
            for low, high, slope in self.local_slopes()
        )
        subject = f"{of} over " if of else ""
        return (
            f"no single law describes {subject}{self.symbol} = {self.x.min():,.0f} to {self.x.max():,.0f}; "
            f"local slopes {slopes}"
        )

    def _curve(self, parameters: Floats, x: Floats) -> Floats:
        amplitude, exponent, offset = parameters
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(amplitude * x**exponent + offset)

    def _gradient(self, x: Floats) -> Floats:
        term = self._curve(self.parameters, x) - self.parameters[2]
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
            "parameters": self.parameters * scale,
            "parameter_covariance": self.parameter_covariance * np.outer(only, only),
            "refits": None if self.refits is None else self.refits * scale,
            "settings": {
                **self.settings,
                "offset_bounds": (low * factor, high * factor),
                **({"intervals": self._intervals_times(factor)} if self.given else {}),
            },
        }

    def _intervals_times(self, factor: float) -> dict[str, tuple[float, float]]:
        intervals = {name: tuple(ends) for name, ends in self.settings["intervals"].items()}
        if "amplitude" in intervals:
            low, high = intervals["amplitude"]
            intervals["amplitude"] = (low * factor, high * factor)
        return intervals

    def scaled_errors(self, scale: float, **settings: Any) -> "PowerLaw":
        """This law with errors `scale` times as large; of the logarithm for the amplitude.

        Args:
            settings: to keep with it.
        """
        refits, best = self.refits, self.parameters
        if refits is not None:
            with np.errstate(all="ignore"):  # refits at the ends of the searched range overflow
                amplitudes = best[0] * (refits[:, :1] / best[0]) ** scale
                refits = np.concatenate([amplitudes, best[1:] + scale * (refits[:, 1:] - best[1:])], axis=1)
        return dataclasses.replace(
            self,
            refits=refits,
            parameter_covariance=self.parameter_covariance * scale**2,
            settings={**self.settings, **settings},
        )

    def standard_error(self, name: str) -> float:
        """Of "exponent", "offset" or "amplitude" (there amplitude times the error of its logarithm)."""
        error = super().standard_error(name)
        return abs(float(self.parameters[0])) * error if name == "amplitude" else error

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
            self._require_data(method)
        if self.given:
            if level == 0.95 and name in self.settings["intervals"]:
                low, high = self.settings["intervals"][name]  # to the last bit, not by way of a quantile
                return low, high
            below, above = (self._quantile(level) * self._sides[:, index]).tolist()
            value = float(self.parameters[index])
            return (value - below, value + above) if index else (value * math.exp(-below), value * math.exp(above))
        if method != "t":
            return self._bootstrap_interval(index, level, method)
        if index > 0:
            return super().interval(name, level)
        reach = self._quantile(level) * math.sqrt(self.parameter_covariance[0, 0])
        low, high = sorted(float(self.parameters[0]) * math.exp(sign * reach) for sign in (-1, 1))
        return low, high

    def draws(self, n: int = 1000, seed: int = 0) -> Floats:
        """Parameters that carry the law's uncertainty over to what is computed from it.

        Multivariate Student's t around (log|amplitude|, exponent, offset) with their covariance and degrees of freedom: the quantiles of each column are the ends of `interval(name, level)`.

        Returns:
            (n, 3): amplitude, exponent, offset.

        Raises:
            InputError: no law is resolved, so that nothing bounds the exponent.
        """
        if not self.resolved:
            raise InputError("draws: no power law is resolved in this curve; expected one with a bounded exponent")
        n, seed = checks.whole("n", n, 1, MOST_REPLICATES), checks.whole("seed", seed, 0, 2**64 - 1)
        if self.given:
            normals = np.random.default_rng(seed).standard_normal((n, 3))
            moves = normals * np.where(normals < 0, *self._sides[:, None, :])
        else:
            moves = self._moves(n, seed)
        amplitudes = self.parameters[0] * np.exp(moves[:, 0])
        return np.stack([amplitudes, self.parameters[1] + moves[:, 1], self.parameters[2] + moves[:, 2]], axis=1)

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
        self._require_data("bootstrap")
        if self.refits is not None:
            raise InputError("bootstrap: the law has jackknife replicates; expected interval(name, level, 't')")
        count = checks.whole("n", self.settings["bootstrap"] if n is None else n, 0, MOST_REPLICATES)
        if resample not in ("pairs", "residuals", "parametric"):
            raise InputError(f"resample: {resample!r}; expected 'pairs', 'residuals' or 'parametric'")
        if resample == "pairs" and self.settings["method"] == "gls":
            raise InputError("resample: 'pairs' with a covariance; expected 'residuals' or 'parametric'")
        return self._problem.bootstrap(self.parameters, resample, count, int(self.settings["seed"]))

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
            np.count_nonzero(draws < self.parameters[index]) + 0.5 * np.count_nonzero(draws == self.parameters[index])
        ) / draws.size
        bias = normal.inv_cdf(min(max(below, 0.5 / draws.size), 1 - 0.5 / draws.size))
        left_out = self._problem.leave_one_out()[:, index]
        away = np.nanmean(left_out) - left_out[np.isfinite(left_out)]
        square = float(np.sum(away**2))
        acceleration = float(np.sum(away**3)) / (6 * square**1.5) if square > 0 else 0.0
        corrected = []
        for tail in tails:
            z = bias + normal.inv_cdf(float(tail))
            corrected.append(normal.cdf(bias + z / (1 - acceleration * z)))
        return np.array(corrected)

    @property
    def _problem(self) -> FitProblem:
        """The problem that was fitted, without its replicates."""
        settings = self.settings
        space, offset = settings["space"], settings["offset"]
        low, high = settings["offset_bounds"]
        return FitProblem(
            x=self.x,
            y=self.y,
            stderr=self.stderr,
            covariance=self.covariance,
            offset=offset,
            bounds=(low, high),
            method=settings["method"],
            model=f"{space}-offset" if offset else ("log-log" if space == "log" else "linear"),
        )

    def compare(self) -> CurveComparison:
        """Against the other curves that pass for a power law, in the space and with the weights of this fit.

        See `l2m.compare_curves`.
        """
        self._require_data("compare")
        problem = self._problem
        return compare_fit(problem, self.predict(self.x), self.degrees_of_freedom, self.unit)

    @property
    def equation(self) -> str:
        offset = f" {'-' if self.offset < 0 else '+'} {abs(self.offset):.4g}" if self.settings["offset"] else ""
        return f"y = {self.amplitude:.4g} x^{self.parameters[1]:.3f}{offset}"

    @property
    def _slope(self) -> str:
        return "exponent"

    def __repr__(self) -> str:
        return f"{super().__repr__()}{', which misses the curve' if self.resolved and not self.holds else ''}"

    def explain(self) -> str:
        """The law in words, with its intervals and what they rest on."""
        if self.given:
            ends = [
                f"; {name} {low:.4g} to {high:.4g} (95 %)"
                for name, (low, high) in reversed(self.settings["intervals"].items())
            ]
            return f"{self.equation}{''.join(ends)}; a given law, not a fit."
        source = (
            f"jackknife over {len(self.refits)} groups"
            if self.refits is not None
            else f"{self.x.size} points, {self.settings['method']}"
        )
        note = f" {self.settings['note']}" if "note" in self.settings else ""
        if not self.resolved and not self.settings.get("missed"):
            return (
                f"No power law is resolved: the term that varies with x is within 2 standard errors of 0 ({source}); "
                f"its exponent is not bounded by these data.{note}"
            )
        if not self.holds:
            words = self.no_single_law()
            return f"{words[0].upper()}{words[1:]} ({source}).{note}"
        low, high = self.interval("exponent")
        return (
            f"{self.equation}; exponent {low:.3f} to {high:.3f} "
            f"(95 %; {source}, Student's t with {self.degrees_of_freedom:g} degrees of freedom).{note}"
        )


class Fittable(Protocol):
    """A curve that fits its own law."""

    def fit(self) -> PowerLaw: ...


def fit_or_reason(curve: Fittable, **options: Any) -> tuple[PowerLaw | None, str]:
    """A curve's own fit (`curve.fit(**options)`) with its words, or None and why there is none."""
    try:
        law = curve.fit(**options)
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

    Returns:
        The law, with intervals of its parameters and a band.

    Raises:
        InputError: non-positive x; NaN or infinity; y <= 0 in a log-log fit (they are named); fewer points or fewer
            different x than parameters; all y equal; zero or negative stderr; a covariance that is not positive
            definite; a method without the errors it needs.

    Example:
        >>> x = np.array([16.0, 64, 256, 1024])
        >>> law = l2m.fit_power_law(x, 2.27 * x**0.76 * [1.02, 0.99, 0.98, 1.01])
        >>> law
        PowerLaw(y = 2.301 x^0.757, exponent 0.727 to 0.787)
        >>> low, high = law.interval('exponent')
        >>> print(f'{low:.3f} to {high:.3f}')
        0.727 to 0.787
    """
    problem = FitProblem.check(
        x,
        y,
        stderr=stderr,
        covariance=covariance,
        offset=offset,
        offset_bounds=offset_bounds,
        method=method,
        replicates=replicates,
        group_weights=group_weights,
    )
    bootstrap = checks.whole("bootstrap", bootstrap, 0, MOST_REPLICATES)
    seed = checks.whole("seed", seed, 0, 2**64 - 1)
    solution = problem.solve()
    return PowerLaw(
        x=problem.x,
        y=problem.y,
        stderr=problem.stderr,
        covariance=problem.covariance,
        parameters=solution.parameters,
        parameter_covariance=solution.covariance,
        degrees_of_freedom=solution.degrees_of_freedom,
        refits=solution.refits,
        group_weights=problem.group_weights,
        resolved=solution.resolved,
        settings={
            "method": method,
            "offset": problem.offset,
            "offset_bounds": problem.bounds,
            "space": problem.space,
            "bootstrap": bootstrap,
            "seed": seed,
        },
    )
