"""Is it a power law at all? The same curve by every shape that passes for one, with likelihoods, and what the points say."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base import checks
from l2m.base.records import Record, frame
from l2m.errors import InputError
from l2m.statistics.curve_models import (
    BROKEN,
    MIXED,
    PLACES,
    CurveModel,
    curve_models,
    fit_model,
    left_out_error,
    profile_interval,
)
from l2m.statistics.fit_problem import FitProblem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

Floats = NDArray[np.float64]

DECADE = math.log(10)
INDISTINCT = 4.0
"""AICc differences below this leave a model with considerable support (Burnham & Anderson 2002, section 2.6)."""
UNSUPPORTED = 10.0
"""AICc differences above this leave a model with essentially none (the same section)."""
EXPONENTIAL_TAILS = {"exponential", "power law with cutoff"}
"""Models that fall exponentially at large x. A stretched exponential too falls faster than any power law."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CurveComparison(Record):
    """Models of one curve side by side.

    Attributes:
        models: names, the best (lowest AICc) first.
        parameters: (models,) how many each has, the noise's scale not counted.
        log_likelihood: (models,) maximum, normal errors of one unknown scale (times stderr where given), of log y or of y
            (`settings["space"]`).
        aicc, bic: (models,) information criteria; inf where there are too few points for the correction.
        aicc_weight, bic_weight: (models,) exp(-difference/2), normalised.
        cross_validated: (models,) root mean squared error of the point left out, in the space of the fit (in standard
            errors where the fit is weighted); nan where a model has
            as many parameters as points are left.
        residuals: (models, points) in the space of the fit.
        x, y: the data.
        slope_x, slope, slope_stderr: local exponents d log y / d log x between neighbouring points (nan where one is <= 0
            or both have the same x).
        dropped: (cases,) points left out, negative from the end (-2: the last two), positive from the start.
        exponent, exponent_stderr: (cases,) of the power law without them.
        break_x: (3,) where the broken power law breaks, and its 95 % interval: best, low, high; nan where that model was
            not fitted or has no support (AICc higher than the lowest by 10 or more).
        decay_length: (3,) x over which the exponential of the exponential plus power law falls by a factor e, likewise.
        verdict: in words.
    """

    kind: ClassVar[str] = "curve comparison"
    axes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("models", "parameters", "log_likelihood", "aicc", "aicc_weight", "bic", "bic_weight"), "models"
        ),
        "cross_validated": "models",
        "residuals": "models points",
        "x": "points",
        "y": "points",
        **dict.fromkeys(("slope_x", "slope", "slope_stderr"), "slopes"),
        **dict.fromkeys(("dropped", "exponent", "exponent_stderr"), "cases"),
        **dict.fromkeys(("break_x", "decay_length"), "ends"),
    }

    models: tuple[str, ...]
    parameters: NDArray[np.int64]
    log_likelihood: Floats
    aicc: Floats
    aicc_weight: Floats
    bic: Floats
    bic_weight: Floats
    cross_validated: Floats
    residuals: Floats
    x: Floats
    y: Floats
    slope_x: Floats
    slope: Floats
    slope_stderr: Floats
    dropped: NDArray[np.int64]
    exponent: Floats
    exponent_stderr: Floats
    verdict: str
    break_x: Floats = dataclasses.field(default_factory=lambda: np.full(3, math.nan))
    decay_length: Floats = dataclasses.field(default_factory=lambda: np.full(3, math.nan))

    def _brief(self) -> str:
        return self.verdict

    def explain(self) -> str:
        """The verdict, and the models best first."""
        return str(self)

    @property
    def best(self) -> str:
        """The model of lowest AICc."""
        return self.models[0]

    def _scaled(self, factor: float) -> dict[str, Any]:
        changes: dict[str, Any] = {"y": self.y * factor}
        if self.settings["space"] == "log":  # log y moves by a constant, which every model takes up
            return changes
        shift = self.x.size * math.log(factor)  # of the log-density of all points
        changes |= {"residuals": self.residuals * factor, "log_likelihood": self.log_likelihood - shift}
        changes |= {"aicc": self.aicc + 2 * shift, "bic": self.bic + 2 * shift}
        if not self.settings["weighted"]:
            changes["cross_validated"] = self.cross_validated * factor
        return changes

    def to_frame(self) -> "DataFrame":
        """pandas DataFrame, one row a model, best first."""
        names = ("parameters", "log_likelihood", "aicc", "aicc_weight", "bic", "bic_weight", "cross_validated")
        return frame({name: getattr(self, name) for name in names}, ("model", self.models))

    def __str__(self) -> str:
        return f"{self.table()}\n{self.verdict}"

    def table(self, columns: int = 100) -> str:
        """A row a model, best first; where it would be wider than `columns`, model, AICc, its weight and the error alone."""
        cells: dict[str, list[str]] = {"model": list(self.models)}
        cells["k"] = [f"{k:>3}" for k in self.parameters]
        cells["log L"] = [f"{value:>10.2f}" for value in self.log_likelihood]
        cells["AICc"] = [f"{value:>10.2f}" for value in self.aicc]
        cells["weight"] = [f"{value:>8.3f}" for value in self.aicc_weight]
        cells["BIC"] = [f"{value:>10.2f}" for value in self.bic]
        cells["weight "] = [f"{value:>8.3f}" for value in self.bic_weight]
        cells["CV error"] = [f"{value:>11.4g}" for value in self.cross_validated]
        first = max(26, *map(len, self.models)) + 1
        if first + sum(len(column[0]) for name, column in cells.items() if name != "model") > columns:
            cells = {name: cells[name] for name in ("model", "AICc", "weight", "CV error")}
        lines = [(name.strip(), *column) for name, column in cells.items()]
        widths = [first, *(len(column[1]) for column in lines[1:])]
        return "\n".join(
            row[0].ljust(widths[0])
            + "".join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
            for row in zip(*lines, strict=True)
        )

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Residuals of every model over x, best first; a shape in them is what a model misses."""
        from l2m.base.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, new_axes

        axes = new_axes() if axes is None else axes
        space = "log y" if self.settings["space"] == "log" else "y"
        axes.set(xscale="log", xlabel="x", ylabel=f"residual of {space}")
        axes.axhline(0, color=GREY, linewidth=0.8)
        for name, residual, color in zip(self.models[:4], self.residuals, (BLUE, ORANGE, GREEN, PURPLE), strict=False):
            axes.plot(self.x, residual, "o-", color=color, linewidth=1, markersize=4, label=name)
        axes.legend()
        return axes


def compare_curves(
    x: ArrayLike, y: ArrayLike, *, stderr: ArrayLike | None = None, offset: bool = False
) -> CurveComparison:
    """Constant, logarithm, exponential, stretched exponential, power law, with cutoff, broken, and plus an exponential.

    Log y is fitted where all y are positive, else y itself; weighted by stderr where given. Intervals of the break and of the
    exponential's length take the errors of points as independent, as the likelihoods do.

    Args:
        x, y, stderr: (points,), as for `l2m.fit_power_law`.
        offset: include the power law with offset.

    Returns:
        The models, best first, and a verdict in words.

    Raises:
        InputError: as `l2m.fit_power_law`; fewer than 4 points.

    Example:
        >>> x = np.geomspace(1, 1e4, 30)
        >>> l2m.compare_curves(x, 2 * x**0.5 * np.exp(0.05 * np.random.default_rng(0).normal(size=30)))
        CurveComparison(A power law fits, but these points do not tell it from a broken power law, a power law with cutoff or an exponential plus power law.)
    """
    values = checks.plain_array("y", y)
    positive = values.dtype.kind in "iuf" and bool((values > 0).all())
    method = ("ols" if stderr is None else "wls") if positive else "nonlinear"
    problem = FitProblem.check(x, y, stderr=stderr, method=method)
    solution = problem.solve()
    amplitude, exponent, level = solution.parameters
    fitted = np.asarray(amplitude * problem.x**exponent + level)
    return _compare(problem, fitted, solution.degrees_of_freedom, "nats", weighted=stderr is not None, offset=offset)


def compare_fit(problem: FitProblem, fitted: Floats, degrees_of_freedom: float, unit: str) -> CurveComparison:
    """Compare in the space and with the weights of a fit.

    Args:
        problem: what was fitted.
        fitted: (points,) the fit at `problem.x`, with its degrees of freedom.
        unit: of y.
    """
    weighted = problem.method in ("wls", "nonlinear") and problem.stderr is not None
    return _compare(problem, fitted, degrees_of_freedom, unit, weighted=weighted, offset=bool(problem.offset))


def _compare(
    problem: FitProblem, fitted: Floats, degrees_of_freedom: float, unit: str, *, weighted: bool, offset: bool
) -> CurveComparison:
    x, y, stderr = problem.x, problem.y, problem.stderr
    space = "log" if problem.space == "log" and (y > 0).all() else "linear"
    size = x.size
    if size < 4:
        raise InputError(f"x: {size} points; expected at least 4 to compare models")
    target = np.log(y) if space == "log" else y
    scale = np.ones(size)
    if weighted and stderr is not None:
        scale = stderr / y if space == "log" else stderr
    rows: list[tuple[str, int, float, float, float, float, Floats]] = []
    shapes: dict[str, tuple[CurveModel, Floats]] = {}
    for model in curve_models(x, space, offset):
        shape, _, residual = fit_model(model, x, target, scale)
        shapes[model.name] = model, shape
        # A perfect fit has no scale: its residuals are rounding.
        spread = max(float(residual @ residual) / size, (1e-15 * float(np.abs(target / scale).max())) ** 2)
        likelihood = -0.5 * size * (math.log(2 * math.pi * spread) + 1) - float(np.log(scale).sum())
        k = model.parameters + 1
        aicc = -2 * likelihood + 2 * k + (2 * k * (k + 1) / (size - k - 1) if size > k + 1 else math.inf)
        bic = -2 * likelihood + k * math.log(size)
        left_out = left_out_error(model, shape, x, target, scale)
        rows.append((model.name, model.parameters, likelihood, aicc, bic, left_out, residual * scale))
    rows.sort(key=lambda row: row[3])
    names = tuple(row[0] for row in rows)
    places = {name: np.full(3, math.nan) for name in PLACES}
    for name, _, _, aicc, *_ in rows:
        if name in PLACES and aicc - rows[0][3] < UNSUPPORTED:
            model, shape = shapes[name]
            ends = profile_interval(model, PLACES[name], shape, x, target, scale)
            places[name] = np.exp([shape[PLACES[name]], *ends])
    criteria, bic_values = np.array([row[3] for row in rows]), np.array([row[4] for row in rows])
    dropped, exponent, exponent_stderr = _drops(problem, weighted)
    slope_x, slope, slope_stderr = _local_slopes(problem, fitted, degrees_of_freedom)
    return CurveComparison(
        models=names,
        parameters=np.array([row[1] for row in rows]),
        log_likelihood=np.array([row[2] for row in rows]),
        aicc=criteria,
        aicc_weight=_weights(criteria),
        bic=bic_values,
        bic_weight=_weights(bic_values),
        cross_validated=np.array([row[5] for row in rows]),
        residuals=np.array([row[6] for row in rows]),
        x=x,
        y=y,
        slope_x=slope_x,
        slope=slope,
        slope_stderr=slope_stderr,
        dropped=dropped,
        exponent=exponent,
        exponent_stderr=exponent_stderr,
        verdict=_verdict(names, criteria, problem, places),
        break_x=places[BROKEN],
        decay_length=places[MIXED],
        unit=unit,
        settings={"space": space, "weighted": weighted, "offset": offset},
    )


def _weights(criterion: Floats) -> Floats:
    if np.count_nonzero(np.isfinite(criterion)) < 2:
        return np.full(criterion.size, math.nan)
    weight = np.exp(-(criterion - criterion.min()) / 2)
    return np.asarray(weight / weight.sum())


def _local_slopes(problem: FitProblem, fitted: Floats, degrees_of_freedom: float) -> tuple[Floats, Floats, Floats]:
    order = np.argsort(problem.x, kind="stable")
    x, y, fitted = np.log(problem.x[order]), problem.y[order], fitted[order]
    with np.errstate(all="ignore"):
        logs = np.where(y > 0, np.log(np.where(y > 0, y, 1)), math.nan)
        if problem.stderr is not None:
            error = problem.stderr[order] / np.abs(y)
        else:
            spread = math.sqrt(float(np.sum((y - fitted) ** 2 / fitted**2)) / max(degrees_of_freedom, 1))
            error = np.full(x.size, spread)
        step = np.diff(x)
        step[step == 0] = math.nan  # x that is repeated
        slope, slope_error = np.diff(logs) / step, np.hypot(error[1:], error[:-1]) / step
    return np.exp((x[1:] + x[:-1]) / 2), slope, slope_error


def _drops(problem: FitProblem, weighted: bool) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The exponent without the first or last one, two, ... points, up to a third of them."""
    order = np.argsort(problem.x, kind="stable")
    cases, values, stderr = [], [], []
    for count in [*range(-(order.size // 3), 0), *range(1, order.size // 3 + 1)]:
        kept = order[count:] if count > 0 else order[:count]
        try:
            less = FitProblem.check(
                problem.x[kept],
                problem.y[kept],
                stderr=problem.stderr[kept] if weighted and problem.stderr is not None else None,
                covariance=None if problem.covariance is None else problem.covariance[np.ix_(kept, kept)],
                offset=problem.offset or False,
                offset_bounds=problem.bounds if problem.offset else None,
                method=problem.method,
            ).solve()
        except InputError:
            continue
        cases.append(count)
        values.append(less.parameters[1] if less.resolved else math.nan)
        variance = less.covariance[1, 1]
        stderr.append(math.sqrt(variance) if variance >= 0 else math.nan)
    return np.array(cases, np.int64), np.array(values), np.array(stderr)


def _verdict(names: tuple[str, ...], aicc: Floats, problem: FitProblem, places: Mapping[str, Floats]) -> str:
    decades = float(np.ptp(np.log(problem.x))) / DECADE
    ours = {"power law", "power law with offset"} if problem.offset else {"power law"}
    judged = [name for name, value in zip(names, aicc, strict=True) if math.isfinite(value)]
    rivals = [name for name, value in zip(names, aicc, strict=True) if value - aicc[0] < INDISTINCT]
    place = next((k for k, name in enumerate(names) if name in ours), None)
    others = [name for name in rivals if name not in ours]
    if place is None or not ours <= set(judged):
        words = f"There are too few points to compare models: {problem.x.size}."
    elif aicc[place] - aicc[0] >= INDISTINCT:
        words = f"Not a power law: {_either(others)} fits better (AICc lower by {aicc[place] - aicc[0]:.1f})."
        if names[0] in places:
            value, low, high = places[names[0]]
            what = "The break is at" if names[0] == BROKEN else "The exponential falls by a factor e over"
            words += f" {what} x = {value:.3g} (95 %: {low:.3g} to {high:.3g})."
        if set(others) <= EXPONENTIAL_TAILS | {"stretched exponential"} and _falls(problem):
            words += (
                f" It falls {'exponentially, ' if EXPONENTIAL_TAILS & set(others) else ''}faster than any power law."
            )
    elif others:
        words = f"A power law fits, but these points do not tell it from {_either(others)}."
    else:
        worse = [
            value - aicc[0] for name, value in zip(names, aicc, strict=True) if name in judged and name not in ours
        ]
        words = "A power law fits best"
        words += f"; the next other model is worse by {worse[0]:.1f} in AICc." if worse else "."
    unjudged = [name for name in names if name not in judged]
    if ours <= set(judged) and unjudged:
        words += f" {problem.x.size} points are too few for {_either(unjudged)}."
    if decades < 1:
        passes = "over less than one, most smooth curves pass for each other"
        compared = place is not None and ours <= set(judged)
        but, so = (" But x", ", and no verdict here is worth much") if compared else (" x", "")
        words += f"{but} spans only {decades:.1f} decades: {passes}{so}."
    return words


def _falls(problem: FitProblem) -> bool:
    return bool(problem.y[problem.x.argmax()] < problem.y[problem.x.argmin()])


def _either(names: list[str]) -> str:
    articles = [f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in names]
    return articles[0] if len(articles) == 1 else f"{', '.join(articles[:-1])} or {articles[-1]}"
