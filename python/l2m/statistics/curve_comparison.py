"""Is it a power law at all? The same curve by every shape that passes for one, with likelihoods, and what the points say."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base.records import Record, frame
from l2m.errors import InputError
from l2m.statistics.power_law import PowerLaw, fit_power_law

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

Floats = NDArray[np.float64]

DECADE = math.log(10)
INDISTINCT = 4.0
"""AICc differences below this leave a model with considerable support (Burnham & Anderson 2002, section 2.6)."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
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
        slope_x, slope, slope_stderr: local exponents d log y / d log x between neighbouring points (nan where one is <= 0).
        dropped: (cases,) points left out, negative from the end (-2: the last two), positive from the start.
        exponent, exponent_stderr: (cases,) of the power law without them.
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
        head = f"{'model':<24}{'k':>3}{'log L':>10}{'AICc':>10}{'weight':>8}{'BIC':>10}{'weight':>8}{'CV error':>11}"
        columns = (self.models, self.parameters, self.log_likelihood, self.aicc, self.aicc_weight)
        rows = zip(*columns, self.bic, self.bic_weight, self.cross_validated, strict=True)
        lines = [
            f"{name:<24}{k:>3}{likelihood:>10.2f}{aicc:>10.2f}{weight:>8.3f}{bic:>10.2f}{other:>8.3f}{error:>11.4g}"
            for name, k, likelihood, aicc, weight, bic, other, error in rows
        ]
        return "\n".join([head, *lines, self.verdict])

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
    """Constant, logarithm, exponential, stretched exponential, power law, power law with cutoff and broken power law.

    Log y is fitted where all y are positive, else y itself; weighted by stderr where given.

    Args:
        x, y, stderr: (points,), as for `l2m.fit_power_law`.
        offset: include the power law with offset.

    Raises:
        InputError: as `l2m.fit_power_law`; fewer than 4 points.
    """
    positive = bool((np.asarray(y, float) > 0).all())
    method: Literal["ols", "wls", "nonlinear"] = ("ols" if stderr is None else "wls") if positive else "nonlinear"
    law = fit_power_law(x, y, stderr=stderr, method=method)
    return _compare(law, stderr is not None, offset)


def compare_law(law: PowerLaw) -> CurveComparison:
    """Compare in the space and with the weights of the law."""
    weighted = law.settings["method"] in ("wls", "nonlinear") and law.stderr is not None
    return _compare(law, weighted, bool(law.settings["offset"]))


@dataclasses.dataclass(frozen=True)
class _Model:
    """A curve linear in its coefficients for given shape parameters.

    `columns(shape, x)` gives (what is subtracted from the target, the columns); `grid`: start values of each shape parameter.
    """

    name: str
    parameters: int
    columns: Callable[[Floats, Floats], tuple[Floats | float, list[Floats]]]
    grid: tuple[Floats, ...] = ()
    signs: tuple[int, ...] = ()
    """Sign each coefficient must have, 0: any."""


def _models(x: Floats, space: str, offset: bool) -> list[_Model]:
    logs = np.log(x)
    centre, span, largest = float(logs.mean()), float(np.ptp(logs)), float(x.max())
    inner = np.unique(logs)
    breaks = np.linspace(inner[1], inner[-2], 25) if inner.size > 3 else inner[1:-1]
    powers = np.concatenate([np.linspace(-12, -0.5, 24), np.linspace(0.5, 12, 24)]) / span
    rates = np.concatenate([-np.geomspace(30, 0.01, 24), np.geomspace(0.01, 30, 24)]) / largest
    shapes = np.geomspace(0.1, 2.5, 14)

    def u(x: Floats) -> Floats:
        return np.asarray(np.log(x) - centre)

    def ones(x: Floats) -> Floats:
        return np.ones_like(x)

    def curved(b: float, x: Floats) -> Floats:
        return u(x) if abs(b) < 1e-9 else np.expm1(b * u(x)) / b

    def hinge(place: float, x: Floats) -> Floats:
        return np.maximum(np.log(x) - place, 0)

    if space == "log":

        def inside(share: float, curve: Floats, everywhere: Floats) -> Floats:
            """log(1 + r curve), with r between where the curve would reach 0 at one end and at the other."""
            low, high = -1 / everywhere.max(), -1 / everywhere.min()
            return np.asarray(np.log(np.maximum(1 + (low + share * (high - low)) * curve, 1e-300)))

        shares = np.array([0.002, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.99, 0.998])
        models = [
            _Model("constant", 1, lambda _, x: (0.0, [ones(x)])),
            _Model("logarithm", 2, lambda s, x: (inside(s[0], u(x), logs - centre), [ones(x)]), (shares,)),
            _Model("exponential", 2, lambda _, x: (0.0, [ones(x), x / largest])),
            _Model("power law", 2, lambda _, x: (0.0, [ones(x), u(x)])),
            _Model("stretched exponential", 3, lambda s, x: (0.0, [ones(x), (x / largest) ** s[0]]), (shapes,)),
            _Model("power law with cutoff", 3, lambda _, x: (0.0, [ones(x), u(x), x / largest]), (), (0, 0, -1)),
            _Model("broken power law", 4, lambda s, x: (0.0, [ones(x), u(x), hinge(s[0], x)]), (breaks,)),
        ]
        if offset:
            models.append(
                _Model(
                    "power law with offset",
                    3,
                    lambda s, x: (inside(s[1], curved(s[0], x), curved(s[0], np.exp(logs))), [ones(x)]),
                    (powers[::3], shares),
                )
            )
        return models

    def power(b: float, x: Floats) -> Floats:
        return np.asarray(np.exp(np.clip(b * u(x), -600, 600)))

    def decay(k: float, x: Floats, shape: float = 1.0) -> Floats:
        return np.asarray(np.exp(np.clip(k * ((x / largest) ** shape - (k > 0)), -600, 600)))

    slow = rates * largest
    models = [
        _Model("constant", 1, lambda _, x: (0.0, [ones(x)])),
        _Model("logarithm", 2, lambda _, x: (0.0, [ones(x), u(x)])),
        _Model("exponential", 2, lambda s, x: (0.0, [decay(s[0], x)]), (slow,)),
        _Model("power law", 2, lambda s, x: (0.0, [power(s[0], x)]), (powers,)),
        _Model("stretched exponential", 3, lambda s, x: (0.0, [decay(s[0], x, s[1])]), (slow[::3], shapes[::2])),
        _Model(
            "power law with cutoff",
            3,
            lambda s, x: (0.0, [power(s[0], x) * decay(-abs(s[1]), x)]),
            (powers[::3], np.geomspace(0.01, 30, 10)),
        ),
        _Model(
            "broken power law",
            4,
            lambda s, x: (0.0, [power(s[0], x) * np.exp(np.clip(s[1] * hinge(s[2], x), -600, 600))]),
            (powers[::6], powers[::6], breaks[::4]),
        ),
    ]
    if offset:
        models.append(_Model("power law with offset", 3, lambda s, x: (0.0, [ones(x), curved(s[0], x)]), (powers,)))
    return models


def _solve(model: _Model, shape: Floats, x: Floats, target: Floats, scale: Floats) -> tuple[float, Floats, Floats]:
    """(weighted sum of squares, coefficients, residuals in units of `scale`) for one shape."""
    with np.errstate(all="ignore"):
        shift, columns = model.columns(shape, x)
        design = np.stack(columns, axis=1) / scale[:, None]
        wanted = (target - shift) / scale
    if not (np.isfinite(design).all() and np.isfinite(wanted).all()):
        return math.inf, np.zeros(len(columns)), np.full(x.size, math.inf)
    coefficients = np.asarray(np.linalg.lstsq(design, wanted, rcond=None)[0], float)
    if any(sign and sign * value < 0 for sign, value in zip(model.signs, coefficients, strict=False)):
        held = [index for index, sign in enumerate(model.signs) if not sign]  # the bound is active: that column is 0
        coefficients = np.zeros(len(columns))
        coefficients[held] = np.linalg.lstsq(design[:, held], wanted, rcond=None)[0]
    residual = np.asarray(wanted - design @ coefficients, float)
    return float(residual @ residual), coefficients, residual


def _fit(
    model: _Model, x: Floats, target: Floats, scale: Floats, start: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """(shape, coefficients, residuals in units of `scale`) of least squares: a scan of the grid, then a local search."""
    if not model.grid:
        _, coefficients, residual = _solve(model, np.zeros(0), x, target, scale)
        return np.zeros(0), coefficients, residual
    from scipy.optimize import least_squares

    if start is not None:
        starts = [start]
    else:
        mesh = np.stack([axis.ravel() for axis in np.meshgrid(*model.grid, indexing="ij")], axis=1)
        order = np.argsort([_solve(model, shape, x, target, scale)[0] for shape in mesh])
        starts = list(mesh[order[: 1 if len(model.grid) == 1 else 3]])
    low, high = np.array([(axis.min(), axis.max()) for axis in model.grid]).T
    margin = 1e-9 * (high - low)  # the solver wants its start inside the bounds

    def residuals(shape: Floats) -> Floats:
        return _solve(model, shape, x, target, scale)[2]

    best: tuple[float, Floats, Floats, Floats] | None = None
    for begin in starts:
        found = least_squares(
            residuals,
            np.clip(begin, low + margin, high - margin),
            bounds=(low, high),
            x_scale=high - low,
            xtol=1e-12,
            ftol=1e-12,
            gtol=1e-14,
            max_nfev=100,
        )
        square, coefficients, residual = _solve(model, found.x, x, target, scale)
        if best is None or square < best[0]:
            best = square, np.asarray(found.x), coefficients, residual
    assert best is not None
    return best[1:]


def _compare(law: PowerLaw, weighted: bool, offset: bool) -> CurveComparison:
    space = "log" if law.settings["space"] == "log" and (law.y > 0).all() else "linear"
    size = law.x.size
    if size < 4:
        raise InputError(f"x: {size} points; expected at least 4 to compare models")
    target = np.log(law.y) if space == "log" else law.y
    scale = np.ones(size)
    if weighted and law.stderr is not None:
        scale = law.stderr / law.y if space == "log" else law.stderr
    rows: list[tuple[str, int, float, float, float, float, Floats]] = []
    for model in _models(law.x, space, offset):
        shape, _, residual = _fit(model, law.x, target, scale)
        # A perfect fit has no scale: its residuals are rounding.
        spread = max(float(residual @ residual) / size, (1e-15 * float(np.abs(target / scale).max())) ** 2)
        likelihood = -0.5 * size * (math.log(2 * math.pi * spread) + 1) - float(np.log(scale).sum())
        k = model.parameters + 1
        aicc = -2 * likelihood + 2 * k + (2 * k * (k + 1) / (size - k - 1) if size > k + 1 else math.inf)
        bic = -2 * likelihood + k * math.log(size)
        left_out = _left_out(model, shape, law.x, target, scale)
        rows.append((model.name, model.parameters, likelihood, aicc, bic, left_out, residual * scale))
    rows.sort(key=lambda row: row[3])
    names = tuple(row[0] for row in rows)
    criteria, bic_values = np.array([row[3] for row in rows]), np.array([row[4] for row in rows])
    dropped, exponent, exponent_stderr = _drops(law, weighted)
    slopes = _local_slopes(law)
    return CurveComparison(
        names,
        np.array([row[1] for row in rows]),
        np.array([row[2] for row in rows]),
        criteria,
        _weights(criteria),
        bic_values,
        _weights(bic_values),
        np.array([row[5] for row in rows]),
        np.array([row[6] for row in rows]),
        law.x,
        law.y,
        *slopes,
        dropped,
        exponent,
        exponent_stderr,
        _verdict(names, criteria, law),
        settings={"space": space, "weighted": weighted, "offset": offset},
    )


def _weights(criterion: Floats) -> Floats:
    if not np.isfinite(criterion).any():
        return np.full(criterion.size, math.nan)
    weight = np.exp(-(criterion - criterion.min()) / 2)
    return np.asarray(weight / weight.sum())


def _left_out(model: _Model, shape: Floats, x: Floats, target: Floats, scale: Floats) -> float:
    """Root mean squared error at points left out, one at a time; shapes refined from the full fit."""
    if x.size - 1 <= model.parameters:
        return math.nan
    errors = []
    for point in range(x.size):
        kept = np.arange(x.size) != point
        refined, coefficients, _ = _fit(model, x[kept], target[kept], scale[kept], shape)
        shift, columns = model.columns(refined, x[[point]])
        missed = target[point] - np.sum(shift) - sum(c * v[0] for c, v in zip(coefficients, columns, strict=True))
        errors.append(float(missed / scale[point]))
    return float(np.sqrt(np.mean(np.square(errors))))


def _local_slopes(law: PowerLaw) -> tuple[Floats, Floats, Floats]:
    order = np.argsort(law.x, kind="stable")
    x, y = np.log(law.x[order]), law.y[order]
    with np.errstate(all="ignore"):
        logs = np.where(y > 0, np.log(np.where(y > 0, y, 1)), math.nan)
        if law.stderr is not None:
            error = law.stderr[order] / np.abs(y)
        else:
            fitted = law.predict(law.x[order])
            spread = math.sqrt(float(np.sum((y - fitted) ** 2 / fitted**2)) / max(law.degrees, 1))
            error = np.full(x.size, spread)
        step = np.diff(x)
        slope, slope_error = np.diff(logs) / step, np.hypot(error[1:], error[:-1]) / step
    return np.exp((x[1:] + x[:-1]) / 2), slope, slope_error


def _drops(law: PowerLaw, weighted: bool) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The exponent without the first or last one, two, ... points, up to a third of them."""
    order = np.argsort(law.x, kind="stable")
    cases, values, errors = [], [], []
    offset = law.settings["offset"] or False
    for count in [*range(-(order.size // 3), 0), *range(1, order.size // 3 + 1)]:
        kept = order[count:] if count > 0 else order[:count]
        try:
            less = fit_power_law(
                law.x[kept],
                law.y[kept],
                stderr=law.stderr[kept] if weighted and law.stderr is not None else None,
                covariance=None if law.covariance is None else law.covariance[np.ix_(kept, kept)],
                offset=offset,
                offset_bounds=law.settings["offset_bounds"] if offset else None,
                method=law.settings["method"],
            )
        except InputError:
            continue
        cases.append(count)
        values.append(less.exponent)
        errors.append(less.standard_error("exponent"))
    return np.array(cases, np.int64), np.array(values), np.array(errors)


def _verdict(names: tuple[str, ...], aicc: Floats, law: PowerLaw) -> str:
    decades = float(np.ptp(np.log(law.x))) / DECADE
    ours = {"power law", "power law with offset"} if law.settings["offset"] else {"power law"}
    rivals = [name for name, value in zip(names, aicc, strict=True) if value - aicc[0] < INDISTINCT]
    place = next((k for k, name in enumerate(names) if name in ours), None)
    others = [name for name in rivals if name not in ours]
    if place is None or not np.isfinite(aicc[0]):
        words = "There are too few points to compare models."
    elif aicc[place] - aicc[0] >= INDISTINCT:
        words = f"Not a power law: {_either(others)} fits better (AICc lower by {aicc[place] - aicc[0]:.1f})."
    elif others:
        words = f"A power law fits, but these points do not tell it from {_either(others)}."
    else:
        margin = next((value - aicc[0] for name, value in zip(names, aicc, strict=True) if name not in ours), math.inf)
        words = f"A power law fits best; the next other model is worse by {margin:.1f} in AICc."
    if decades < 1:
        words += (
            f" But x spans only {decades:.1f} decades: over less than one, most smooth curves pass for each other, and no "
            "verdict here is worth much."
        )
    return words


def _either(names: list[str]) -> str:
    articles = [f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in names]
    return articles[0] if len(articles) == 1 else f"{', '.join(articles[:-1])} or {articles[-1]}"
