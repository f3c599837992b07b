"""Where a power law begins: the first points of a curve may follow one of their own."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from l2m.statistics.power_law import PowerLaw

Floats = NDArray[np.float64]

TOLERATED = 0.1
"""A law may miss a value by this share of it. What the estimators leave is as large: 11 to 16 % of the two-point information at
1e8 pairs."""
SPARE_POINTS = 2
"""A law is fitted to at least so many points more than it has parameters: fewer would hide that it misses them."""


def misfit(law: PowerLaw, replicates: Floats, size: Floats | None = None, level: float = 0.95) -> dict[float, float]:
    """The points a law does not describe: off by more than 10 % of the value and by more than chance allows.

    Args:
        law: fitted with these jackknife replicates.
        replicates: (groups, points) of its y.
        size: (points,) what the share is of; None: the absolute value of y.
        level: probability that chance passes over no point of a true law.

    Returns:
        x -> by which share of the size the law lies too high there.
    """
    size = np.abs(law.y) if size is None else size
    away = law.predict(law.x) - law.y
    beyond = (np.abs(away) > law.misfit_error(replicates, level)) & (np.abs(away) > TOLERATED * size)
    with np.errstate(divide="ignore"):
        share = away / size
    return {float(x): float(part) for x, part in zip(law.x[beyond], share[beyond], strict=True)}


def starts_of(points: Sequence[float] | NDArray[np.generic], parameters: int) -> list[float]:
    """The points at which a law of so many parameters may begin, ascending: the first, and all that leave enough to judge it."""
    ordered = sorted(float(point) for point in points)
    return ordered[: max(1, len(ordered) - parameters - SPARE_POINTS + 1)]


def first_that_holds(starts: Sequence[float], fit: Callable[[float], PowerLaw]) -> PowerLaw:
    """The law from the first start at which it misses no point; that from the first start of all where each misses some.

    Args:
        fit: the law from a start, with the points it misses in `settings["missed"]`.
    """
    first = fit(starts[0])
    if not first.resolved or first.holds:
        return first
    return next((law for law in map(fit, starts[1:]) if law.holds), first)


def with_start_error(law: PowerLaw, later: Sequence[PowerLaw]) -> PowerLaw:
    """A law whose errors also cover the choice of its first point.

    Which start is the first that holds depends on the noise of the data, and a law that is only nearly true gives another exponent
    from each. With b, V the exponent and its variance from the chosen start and b_k, V_k from later ones, (b_k - b)^2 is V_k - V
    on average where the law is true (Hausman 1978). The mean of what is above that, weighted by 1 / V_k, is the variance of the
    choice (by moments, as DerSimonian & Laird 1986 between studies). All errors grow by one factor, as the Particle Data
    Group scales those of measurements that disagree.

    Args:
        law: from the chosen start.
        later: from the starts after it.

    Returns:
        The law; `settings["start_scale"]` is the factor, 1 where later starts agree.
    """
    others = [other for other in later if other.holds]
    variance = law.standard_error("exponent") ** 2
    scale = 1.0
    if law.holds and law.refits is not None and others and variance > 0:
        variances = np.array([other.standard_error("exponent") ** 2 for other in others])
        moves = np.array([other.exponent - law.exponent for other in others])
        weights = 1 / variances
        excess = float(weights @ (moves**2 - (variances - variance)) / weights.sum())
        scale = float(np.sqrt(1 + max(excess, 0.0) / variance))
    return law.scaled_errors(scale, start_scale=scale)


def misfit_words(missed: dict[float, float], symbol: str) -> str:
    """The worst of the points missed, in a sentence; empty without any."""
    if not missed:
        return ""
    worst = max(missed, key=lambda x: abs(missed[x]))
    side = "high" if missed[worst] > 0 else "low"
    return f"The law does not describe the curve: at {symbol} = {worst:,.0f} it is {abs(missed[worst]):.0%} too {side}."
