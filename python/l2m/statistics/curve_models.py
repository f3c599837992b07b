"""The shapes that pass for a power law, each linear in its coefficients for given shape parameters, and their fits."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BROKEN = "broken power law"
MIXED = "exponential plus power law"
PLACES = {BROKEN: -1, MIXED: 1}
"""Models with a place on the x axis, and which shape parameter its logarithm is: the break, and the decay length."""
PROFILE_STEPS = 12
"""Between the best value and each end of its range: a profile may have several valleys."""


@dataclasses.dataclass(frozen=True)
class CurveModel:
    """A curve linear in its coefficients for given shape parameters.

    `columns(shape, x)` gives (what is subtracted from the target, the columns); `grid`: start values of each shape parameter.
    """

    name: str
    parameters: int
    columns: Callable[[Floats, Floats], tuple[Floats | float, list[Floats]]]
    grid: tuple[Floats, ...] = ()
    signs: tuple[int, ...] = ()
    """Sign each coefficient must have, 0: any."""


def curve_models(x: Floats, space: str, offset: bool) -> list[CurveModel]:
    logs = np.log(x)
    centre, span, largest = float(logs.mean()), float(np.ptp(logs)), float(x.max())
    inner = np.unique(logs)
    # A break needs two values of x on either side of it.
    breaks = np.linspace(inner[1], inner[-2], 25) if inner.size > 3 else np.zeros(1)
    powers = np.concatenate([np.linspace(-12, -0.5, 24), np.linspace(0.5, 12, 24)]) / span
    rates = np.concatenate([-np.geomspace(30, 0.01, 24), np.geomspace(0.01, 30, 24)]) / largest
    shapes = np.geomspace(0.1, 2.5, 14)
    # Shorter than half of the smallest x only one point could see the exponential; longer, no point could see it end.
    smallest = float(x.min())
    lengths = np.log(np.geomspace(smallest / 2, largest / 2, 10))

    def u(x: Floats) -> Floats:
        return np.asarray(np.log(x) - centre)

    def ones(x: Floats) -> Floats:
        return np.ones_like(x)

    def curved(b: float, x: Floats) -> Floats:
        return u(x) if abs(b) < 1e-9 else np.expm1(b * u(x)) / b

    def hinge(place: float, x: Floats) -> Floats:
        return np.maximum(np.log(x) - place, 0)

    def fading(length: float, x: Floats) -> Floats:
        """exp(-x / length), 1 at the smallest x."""
        return np.asarray(np.exp(-(x - smallest) / math.exp(length)))

    if space == "log":

        def mixed(shape: Floats, x: Floats) -> tuple[Floats, list[Floats]]:
            """log(x^b + e^w exp(-x / length)); e^w is the ratio of the two at the smallest x."""
            power, length, ratio = shape
            above = power * (np.log(x) - math.log(smallest))
            return np.logaddexp(above, ratio - (x - smallest) / math.exp(length)), [ones(x)]

        def inside(share: float, curve: Floats, everywhere: Floats) -> Floats:
            """log(1 + r curve), with r between where the curve would reach 0 at one end and at the other."""
            low, high = -1 / everywhere.max(), -1 / everywhere.min()
            return np.asarray(np.log(np.maximum(1 + (low + share * (high - low)) * curve, 1e-300)))

        shares = np.array([0.002, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 0.99, 0.998])
        models = [
            CurveModel("constant", 1, lambda _, x: (0.0, [ones(x)])),
            CurveModel("logarithm", 2, lambda s, x: (inside(s[0], u(x), logs - centre), [ones(x)]), (shares,)),
            CurveModel("exponential", 2, lambda _, x: (0.0, [ones(x), x / largest])),
            CurveModel("power law", 2, lambda _, x: (0.0, [ones(x), u(x)])),
            CurveModel("stretched exponential", 3, lambda s, x: (0.0, [ones(x), (x / largest) ** s[0]]), (shapes,)),
            CurveModel("power law with cutoff", 3, lambda _, x: (0.0, [ones(x), u(x), x / largest]), (), (0, 0, -1)),
            CurveModel(BROKEN, 4, lambda s, x: (0.0, [ones(x), u(x), hinge(s[0], x)]), (breaks,)),
            CurveModel(MIXED, 4, mixed, (powers[::8], lengths[::2], np.linspace(-5, 8, 6))),
        ]
        if offset:
            models.append(
                CurveModel(
                    "power law with offset",
                    3,
                    lambda s, x: (inside(s[1], curved(s[0], x), curved(s[0], np.exp(logs))), [ones(x)]),
                    (powers[::3], shares),
                )
            )
        return models if inner.size > 3 else [model for model in models if model.name not in PLACES]

    def power(b: float, x: Floats) -> Floats:
        return np.asarray(np.exp(np.clip(b * u(x), -600, 600)))

    def decay(k: float, x: Floats, shape: float = 1.0) -> Floats:
        return np.asarray(np.exp(np.clip(k * ((x / largest) ** shape - (k > 0)), -600, 600)))

    slow = rates * largest
    models = [
        CurveModel("constant", 1, lambda _, x: (0.0, [ones(x)])),
        CurveModel("logarithm", 2, lambda _, x: (0.0, [ones(x), u(x)])),
        CurveModel("exponential", 2, lambda s, x: (0.0, [decay(s[0], x)]), (slow,)),
        CurveModel("power law", 2, lambda s, x: (0.0, [power(s[0], x)]), (powers,)),
        CurveModel("stretched exponential", 3, lambda s, x: (0.0, [decay(s[0], x, s[1])]), (slow[::3], shapes[::2])),
        CurveModel(
            "power law with cutoff",
            3,
            lambda s, x: (0.0, [power(s[0], x) * decay(-abs(s[1]), x)]),
            (powers[::3], np.geomspace(0.01, 30, 10)),
        ),
        CurveModel(
            BROKEN,
            4,
            lambda s, x: (0.0, [power(s[0], x) * np.exp(np.clip(s[1] * hinge(s[2], x), -600, 600))]),
            (powers[::6], powers[::6], breaks[::4]),
        ),
        CurveModel(MIXED, 4, lambda s, x: (0.0, [power(s[0], x), fading(s[1], x)]), (powers[::3], lengths), (0, 1)),
    ]
    if offset:
        models.append(CurveModel("power law with offset", 3, lambda s, x: (0.0, [ones(x), curved(s[0], x)]), (powers,)))
    return models if inner.size > 3 else [model for model in models if model.name not in PLACES]


def _solve(model: CurveModel, shape: Floats, x: Floats, target: Floats, scale: Floats) -> tuple[float, Floats, Floats]:
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


def fit_model(
    model: CurveModel, x: Floats, target: Floats, scale: Floats, start: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """(shape, coefficients, residuals in units of `scale`) of least squares: a scan of the grid, then a local search.

    With a start there is no scan, and the search ends at 8 digits of the sum of squares.
    """
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
            xtol=1e-12 if start is None else 1e-6,
            ftol=1e-12 if start is None else 1e-8,
            gtol=1e-14,
            max_nfev=100,
        )
        square, coefficients, residual = _solve(model, found.x, x, target, scale)
        if best is None or square < best[0]:
            best = square, np.asarray(found.x), coefficients, residual
    assert best is not None
    return best[1:]


def profile_interval(
    model: CurveModel, place: int, shape: Floats, x: Floats, target: Floats, scale: Floats, level: float = 0.95
) -> tuple[float, float]:
    """Interval of one shape parameter by its profile: the values at which the others, refitted, give a sum of squares that an F test
    does not reject (Bates & Watts 1988, section 6.1). An end where no value in the model's range is rejected is that of the range.

    Args:
        place: of the parameter in `shape`, which is the best fit.
    """
    from scipy.special import fdtri

    free = x.size - model.parameters
    if free < 1:
        return math.nan, math.nan
    place %= len(model.grid)
    others = tuple(axis for number, axis in enumerate(model.grid) if number != place)

    def squares(value: float, start: Floats) -> tuple[float, Floats]:
        held = dataclasses.replace(
            model, grid=others, columns=lambda rest, x: model.columns(np.insert(rest, place, value), x)
        )
        rest, _, residual = fit_model(held, x, target, scale, start)
        return float(residual @ residual), rest

    best, rest = float(shape[place]), np.delete(shape, place)
    limit = squares(best, rest)[0] * (1 + float(fdtri(1, free, level)) / free)
    ends = []
    for bound in (model.grid[place].min(), model.grid[place].max()):
        inside, start, outside = best, rest, None
        near = rest
        for value in np.linspace(best, bound, PROFILE_STEPS + 1)[1:]:
            square, near = squares(float(value), near)
            if square <= limit:
                inside, start, outside = float(value), near, None
            elif outside is None:
                outside = float(value)
        while outside is not None and abs(outside - inside) > 1e-3:
            middle = (inside + outside) / 2
            if squares(middle, start)[0] <= limit:
                inside = middle
            else:
                outside = middle
        ends.append(inside)
    return ends[0], ends[1]


def left_out_error(model: CurveModel, shape: Floats, x: Floats, target: Floats, scale: Floats) -> float:
    """Root mean squared error at points left out, one at a time; shapes refined from the full fit."""
    if x.size - 1 <= model.parameters:
        return math.nan
    errors = []
    for point in range(x.size):
        kept = np.arange(x.size) != point
        refined, coefficients, _ = fit_model(model, x[kept], target[kept], scale[kept], shape)
        shift, columns = model.columns(refined, x[[point]])
        missed = target[point] - np.sum(shift) - sum(c * v[0] for c, v in zip(coefficients, columns, strict=True))
        errors.append(float(missed / scale[point]))
    return float(np.sqrt(np.mean(np.square(errors))))
