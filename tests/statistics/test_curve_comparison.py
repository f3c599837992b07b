"""The comparison of curves: the right one is picked, its criteria, and when there are too few points to tell."""

import math

import numpy as np
import pytest

import l2m
from l2m.statistics.curve_models import PLACES, curve_models, fit_model, profile_interval

X = 2.0 ** np.arange(13)


def noisy(seed=0, size=0.1, amplitude=2.27, exponent=0.76):
    return amplitude * X**exponent * np.exp(size * np.random.default_rng(seed).standard_normal(X.size))


def decaying(seed=0, size=0.002):
    return 1.1 * X**-0.91 + 0.05 + size * np.random.default_rng(seed).standard_normal(X.size)


ERRORS = 0.1 * noisy() * np.random.default_rng(9).uniform(0.5, 2, X.size)


CURVES = {
    "logarithm": 1 + 0.8 * np.log(X),
    "exponential": 5 * np.exp(-X / 1200),
    "power law": 2 * X**-0.6,
    "stretched exponential": 5 * np.exp(-((X / 300) ** 0.5)),
    "power law with cutoff": 2 * X**-0.5 * np.exp(-X / 1500),
    "broken power law": 2 * np.where(X < 60, X**-0.2, 60**0.7 * X**-0.9),
    "exponential plus power law": X**-0.4 + 5 * np.exp(-X / 5),
}


@pytest.mark.parametrize("space", ["log", "linear"])
@pytest.mark.parametrize("name", CURVES)
def test_the_right_curve_is_picked(name, space):
    normal = np.random.default_rng(12).standard_normal(13)
    if space == "log":
        comparison = l2m.compare_curves(X, CURVES[name] * np.exp(0.02 * normal))
    else:
        errors = 0.02 * CURVES[name] + 0.002
        y = CURVES[name] + errors * normal
        comparison = l2m.fit_power_law(X, y, stderr=errors, method="nonlinear").compare()
    assert comparison.best == name
    assert comparison.aicc_weight.sum() == pytest.approx(1)
    assert comparison.bic_weight.sum() == pytest.approx(1)
    if name != "power law":
        assert comparison.verdict.startswith("Not a power law")
    # That a curve falls exponentially is said where each curve that fits does, and of none that rises or has a power law's tail.
    told = "faster than any power law" in comparison.verdict
    assert told <= (name in ("exponential", "stretched exponential", "power law with cutoff"))
    assert told or name != "exponential"
    # What cannot be told apart may take the left-out point better; the worst shapes cannot.
    assert comparison.cross_validated[0] < 3 * np.nanmin(comparison.cross_validated)


def test_a_constant_and_an_offset_are_told():
    random = np.random.default_rng(0)
    told = [
        "constant" in l2m.compare_curves(X, 3 * np.exp(0.02 * random.standard_normal(13))).verdict for _ in range(30)
    ]
    # A curve with more freedom wins by chance where noise bends the points its way: AICc keeps that below a half.
    assert np.mean(told) > 0.5
    law = l2m.fit_power_law(X, decaying(), offset=True)
    assert law.compare().best == "power law with offset"


def test_criteria_against_statsmodels():
    import statsmodels.api as sm

    comparison = l2m.compare_curves(X, noisy())
    theirs = sm.OLS(np.log(noisy()), sm.add_constant(np.log(X))).fit()
    place = comparison.models.index("power law")
    assert comparison.log_likelihood[place] == pytest.approx(theirs.llf, rel=1e-12)
    assert comparison.bic[place] == pytest.approx(
        theirs.bic + math.log(13), rel=1e-12
    )  # the scale counts as a parameter
    assert comparison.aicc[place] == pytest.approx(theirs.aic + 2 + 2 * 3 * 4 / (13 - 4), rel=1e-12)
    left_out = theirs.resid / (1 - theirs.get_influence().hat_matrix_diag)
    assert comparison.cross_validated[place] == pytest.approx(math.sqrt(np.mean(left_out**2)), rel=1e-9)
    assert comparison.residuals[place] == pytest.approx(theirs.resid, abs=1e-12)
    slopes = np.diff(np.log(noisy())) / math.log(2)
    assert comparison.slope == pytest.approx(slopes)
    without = l2m.fit_power_law(X[2:], noisy()[2:])
    assert comparison.exponent[comparison.dropped == 2] == pytest.approx(without.exponent)


def test_less_than_a_decade_makes_no_verdict():
    x = np.linspace(1, 6, 12)
    y = 2 * x**-0.5 * np.exp(0.01 * np.random.default_rng(0).standard_normal(12))
    verdict = l2m.compare_curves(x, y).verdict
    assert "only 0.8 decades" in verdict
    with pytest.raises(l2m.InputError, match="at least 4"):
        l2m.compare_curves(x[:3], y[:3])


def test_figures_are_drawn():
    for record in (
        l2m.fit_power_law(X, noisy(), stderr=ERRORS, method="wls"),
        l2m.fit_power_law(X, decaying(size=0.05) - 0.1, offset=True),
        l2m.fit_logarithm(X, decaying()),
        l2m.fit_power_law(X, noisy()).compare(),
        l2m.block_entropies("abracadabra" * 20, 4),
    ):
        axes = record.plot()
        assert axes.lines
        assert axes.get_legend() is not None
    frame = l2m.fit_power_law(X, noisy()).to_frame()
    assert list(frame.columns) == ["x", "y", "stderr", "fit", "low", "high"]
    assert list(l2m.fit_power_law(X, noisy()).compare().to_frame().columns)[:2] == ["parameters", "log_likelihood"]


def coverage(name, curve, place, *, size=0.05, number, seed=0):
    """Share of noisy curves whose 95 % interval holds the planted place."""
    random, held = np.random.default_rng(seed), 0
    model = next(model for model in curve_models(X, "log", False) if model.name == name)
    for _ in range(number):
        target = np.log(curve) + size * random.standard_normal(X.size)
        shape, _, _ = fit_model(model, X, target, np.ones(X.size))
        low, high = np.exp(profile_interval(model, PLACES[name], shape, X, target, np.ones(X.size)))
        held += low <= place <= high
    return held / number


def broken(place):
    return 2 * np.where(place > X, X**-0.2, place**0.7 * X**-0.9)


def test_the_interval_of_a_break_covers_it():
    # 0.95 less and more three standard errors of a share of 300.
    assert 0.91 < coverage("broken power law", broken(60), 60, number=300) < 0.99


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.02, 0.1])
@pytest.mark.parametrize("place", [20, 60, 128])
def test_the_interval_of_a_break_covers_at_its_level(place, size):
    assert 0.93 <= coverage("broken power law", broken(place), place, size=size, number=2_000) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("length", [3, 8])
def test_the_interval_of_an_exponential_covers_at_its_level(length):
    curve = X**-0.4 + 5 * np.exp(-X / length)
    assert 0.93 <= coverage("exponential plus power law", curve, length, number=1_000) <= 0.97


def test_places_on_the_axis_are_named_with_their_interval():
    noise = np.exp(0.02 * np.random.default_rng(12).standard_normal(13))
    told = l2m.compare_curves(X, CURVES["broken power law"] * noise)
    value, low, high = told.break_x
    assert low < 60 < high < 1.5 * low
    assert f"The break is at x = {value:.3g} (95 %: {low:.3g} to {high:.3g})." in told.verdict
    told = l2m.compare_curves(X, CURVES["exponential plus power law"] * noise)
    value, low, high = told.decay_length
    assert low < 5 < high < 2 * low
    assert "The exponential falls by a factor e over x = " in told.verdict
    fields = {name: field for name, field in told.to_dict().items() if name not in ("break_x", "decay_length")}
    assert np.isnan(l2m.CurveComparison.from_dict(fields).break_x).all()  # a record of before
