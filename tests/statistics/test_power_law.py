"""Power-law fits against scipy and statsmodels, their intervals by coverage, and the comparison of curves."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m

X = 2.0 ** np.arange(13)


def noisy(seed=0, size=0.1, amplitude=2.27, exponent=0.76):
    return amplitude * X**exponent * np.exp(size * np.random.default_rng(seed).standard_normal(X.size))


def decaying(seed=0, size=0.002):
    return 1.1 * X**-0.91 + 0.05 + size * np.random.default_rng(seed).standard_normal(X.size)


ERRORS = 0.1 * noisy() * np.random.default_rng(9).uniform(0.5, 2, X.size)


# --- values and standard errors against statsmodels and scipy ---


def statsmodels_fit(method):
    import statsmodels.api as sm

    y, design = noisy(), sm.add_constant(np.log(X))
    covariance = np.diag(ERRORS**2) + 0.003 * np.outer(y, y)
    if method == "ols":
        return {}, sm.OLS(np.log(y), design).fit()
    if method == "wls":
        return {"stderr": ERRORS}, sm.WLS(np.log(y), design, weights=(y / ERRORS) ** 2).fit()
    if method == "gls":
        return {"covariance": covariance}, sm.GLS(np.log(y), design, sigma=covariance / np.outer(y, y)).fit()
    return {}, sm.RLM(np.log(y), design).fit(tol=1e-14, maxiter=1000)


@pytest.mark.parametrize("method", ["ols", "wls", "gls", "robust"])
def test_log_log_fits_against_statsmodels(method):
    options, theirs = statsmodels_fit(method)
    ours = l2m.fit_power_law(X, noisy(), method=method, **options)
    assert ours.exponent == pytest.approx(theirs.params[1], rel=1e-9)
    assert math.log(ours.amplitude) == pytest.approx(theirs.params[0], rel=1e-9)
    assert ours.standard_error("exponent") == pytest.approx(theirs.bse[1], rel=1e-9)
    if method != "robust":  # statsmodels reads a robust fit by the normal, we by Student's t
        assert ours.interval("exponent") == pytest.approx(theirs.conf_int()[1], rel=1e-9)
        assert np.log(ours.interval("amplitude")) == pytest.approx(theirs.conf_int()[0], rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [False, True])
def test_linear_space_fits_against_scipy(weighted, offset):
    from scipy.optimize import curve_fit

    y = decaying()
    sigma = 0.002 + 0.02 * np.abs(y) if weighted else None

    def law(x, amplitude, exponent, level=0.0):
        return amplitude * x**exponent + level

    def slopes(x, amplitude, exponent, level=0.0):
        # Given, because scipy's finite differences move its minimum by 1e-8.
        columns = [x**exponent, amplitude * x**exponent * np.log(x), np.ones_like(x)]
        return np.stack(columns[: 3 if offset else 2], axis=1)

    start = (1, -1, 0) if offset else (1, -1)
    weights = np.ones_like(X) if sigma is None else sigma
    best, covariance = curve_fit(law, X, y, start, sigma, jac=slopes, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    method = "nonlinear" if not offset else "wls" if weighted else "ols"
    ours = l2m.fit_power_law(X, y, stderr=sigma, offset=offset, method=method)
    if not offset:  # a square flat to rounding stops scipy 1e-8 from its minimum: go on to where the gradient is zero
        root = mpmath.findroot(
            lambda a, b: [sum((y_i - a * x_i**b) * x_i**b / s_i**2 for x_i, y_i, s_i in zip(X, y, weights, strict=True)),
                          sum((y_i - a * x_i**b) * x_i**b * mpmath.log(x_i) / s_i**2
                              for x_i, y_i, s_i in zip(X, y, weights, strict=True))],
            tuple(best),
        )  # fmt: skip
        best = [float(value) for value in root]
    assert ours.parameters[: len(best)] == pytest.approx(best, rel=1e-9)
    errors = [ours.standard_error(name) for name in ours.names[: len(best)]]
    assert errors == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-6)


def test_gls_in_linear_space_is_least_squares_of_the_whitened_curve():
    from scipy.optimize import least_squares

    y = decaying()
    y[-1] = -0.01
    covariance = 4e-6 * (0.5 * np.eye(X.size) + 0.5)
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    ours = l2m.fit_power_law(X, y, covariance=covariance, offset=True, method="gls")
    theirs = least_squares(
        lambda p: whiten @ (y - p[0] * X ** p[1] - p[2]), (1, -1, 0), xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    assert ours.parameters == pytest.approx(theirs.x, rel=1e-7)


@given(seed=st.integers(0, 10_000), low=st.sampled_from([0.0, 0.02]))
@settings(max_examples=25)
def test_the_bounded_form_finds_the_minimum(seed, low):
    """The paper's objective, on a fine grid of C with the line through log(y - C) solved exactly."""
    y = decaying(seed, 0.01)
    y = y - y.min() + 0.05

    def square(offset):
        t = np.log(y - offset)
        slope, level = np.polyfit(np.log(X), t, 1)
        return float(np.sum((t - level - slope * np.log(X)) ** 2))

    law = l2m.fit_power_law(X, y, offset="bounded", offset_bounds=(low, math.inf))
    assert low <= law.offset < y.min()
    reached = np.sum((np.log(y - law.offset) - np.log(law.parameters[0]) - law.parameters[1] * np.log(X)) ** 2)
    grid = min(square(y.min() - gap) for gap in np.geomspace(1e-9, y.min() - low, 2000))
    assert reached <= grid * (1 + 1e-9)


def test_the_bounded_form_enters_a_narrow_valley():
    # C = 1 sits 3e-5 under min y; a scan of C sees C = 0 lower than both neighbours of the true minimum.
    law = l2m.fit_power_law(X, 0.109375 / X + 1, offset="bounded")
    assert law.parameters == pytest.approx([0.109375, -1, 1], rel=1e-9)


def test_offset_bounds_hold_the_offset():
    y = decaying()
    free = l2m.fit_power_law(X, y, offset=True)
    held = l2m.fit_power_law(X, y, offset=True, offset_bounds=(0.0, 0.03))
    assert held.offset == 0.03 < free.offset
    fixed = l2m.fit_power_law(X, y, offset=True, offset_bounds=(0.05, 0.05))
    assert fixed.offset == 0.05
    assert fixed.exponent == pytest.approx(-0.91, abs=0.02)


@given(
    amplitude=st.floats(0.1, 10),
    exponent=st.floats(-1.5, 1.5).filter(lambda b: abs(b) > 0.1),
    offset=st.floats(0, 2),
    scale=st.floats(0.01, 100),
)
@settings(max_examples=40)
def test_exact_laws_are_found_and_units_do_not_matter(amplitude, exponent, offset, scale):
    y = amplitude * X**exponent + offset
    for kind in (True, "bounded"):
        law = l2m.fit_power_law(X, y, offset=kind)
        assert law.parameters[1] == pytest.approx(exponent, abs=1e-6)
        scaled = l2m.fit_power_law(X, scale * y, offset=kind)
        assert scaled.parameters[1] == pytest.approx(law.parameters[1], abs=1e-6)
        assert scaled.parameters[0] == pytest.approx(scale * law.parameters[0], rel=1e-4)


# --- errors ---


def test_jackknife_errors_are_their_formula():
    generator = np.random.default_rng(3)
    y = decaying()
    replicates = y + 0.003 * generator.standard_normal((20, X.size))
    law = l2m.fit_power_law(X, y, offset=True, replicates=replicates)
    refits = np.array([l2m.fit_power_law(X, row, offset=True).parameters for row in replicates])
    assert law.refits == pytest.approx(refits, rel=1e-12)
    spread = math.sqrt(19 / 20 * np.sum((refits[:, 1] - refits[:, 1].mean()) ** 2))
    assert law.standard_error("exponent") == pytest.approx(spread, rel=1e-12)
    from scipy.stats import t

    reach = t.ppf(0.975, 19) * spread
    assert law.interval("exponent") == pytest.approx((law.exponent - reach, law.exponent + reach), rel=1e-10)
    equal = l2m.fit_power_law(X, y, offset=True, replicates=replicates, group_weights=np.full(20, 1 / 20))
    assert equal.parameter_covariance == pytest.approx(law.parameter_covariance, rel=1e-9, abs=1e-15)
    with pytest.raises(l2m.InputError, match="jackknife"):
        law.bootstrap()


def test_delete_m_j_against_its_formula():
    generator = np.random.default_rng(4)
    weights = generator.uniform(0.5, 2, 12)
    weights /= weights.sum()
    y = noisy()
    replicates = y * np.exp(0.02 * generator.standard_normal((12, X.size)))
    law = l2m.fit_power_law(X, y, replicates=replicates, group_weights=weights)
    # Busing, Meijer & van der Leeden (1999), equations 6 and 7.
    theta = np.array([l2m.fit_power_law(X, row).exponent for row in replicates])
    h, full, groups = 1 / weights, l2m.fit_power_law(X, y).exponent, 12
    centre = groups * full - np.sum((1 - 1 / h) * theta)
    variance = np.mean((h * full - (h - 1) * theta - centre) ** 2 / (h - 1))
    assert law.standard_error("exponent") == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_pairs_bootstrap_against_a_loop():
    law = l2m.fit_power_law(X, noisy())
    draws = law.bootstrap("pairs", 20_000)[:, 1]
    generator = np.random.default_rng(0)
    rows = generator.integers(0, X.size, (4000, X.size))
    loop = [np.polyfit(np.log(X[row]), np.log(noisy()[row]), 1)[0] for row in rows]
    assert draws.mean() == pytest.approx(np.mean(loop), abs=5 * np.std(loop) / math.sqrt(4000))
    assert draws.std() == pytest.approx(np.std(loop), rel=0.06)  # 5 / sqrt(2 * 4000)
    percentile = law.interval("exponent", method="percentile")
    assert percentile == pytest.approx(np.quantile(law.bootstrap()[:, 1], [0.025, 0.975]), rel=1e-12)


@pytest.mark.parametrize("offset", [False, True, "bounded"])
def test_residual_and_parametric_bootstrap_agree_with_the_analytic_error(offset):
    y = noisy() if not offset else decaying(size=0.00002)
    law = l2m.fit_power_law(X, y, offset=offset)
    for resample in ("residuals", "parametric"):
        draws = law.bootstrap(resample, 4000)
        # 4 / sqrt(2 * 4000) from the draws; curvature adds a few percent with an offset
        assert draws[:, 1].std() == pytest.approx(law.standard_error("exponent"), rel=0.05 if not offset else 0.1)


def test_bca_against_scipy():
    from scipy.stats import bootstrap

    y = noisy(seed=2, size=0.3)
    law = l2m.fit_power_law(X, y, bootstrap=40_000)
    u, t = np.log(X), np.log(y)

    def slope(u, t, axis):
        u, t = u - u.mean(axis, keepdims=True), t - t.mean(axis, keepdims=True)
        return (u * t).sum(axis) / (u * u).sum(axis)

    theirs = bootstrap(
        (u, t), slope, paired=True, n_resamples=40_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    # Two sets of 40,000 draws: their 2.5 % points differ by some 2 % of the interval.
    width = theirs.high - theirs.low
    assert law.interval("exponent", method="bca") == pytest.approx(theirs, abs=0.03 * width)


def test_one_seed_one_answer():
    first, again, other = (l2m.fit_power_law(X, noisy(), seed=seed, bootstrap=3000).bootstrap() for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    longer = l2m.fit_power_law(X, noisy(), seed=1, bootstrap=5000).bootstrap()
    assert (longer[:3000] == first).all()


SIMULATIONS = 600


@pytest.mark.parametrize("case", ["ols", "wls", "offset", "bounded"])
def test_default_intervals_cover(case):
    """95 % intervals of 13 points over simulated curves. 600 of them: standard error .0089; the full run is in benches/."""
    generator = np.random.default_rng(8)
    inside = 0
    for _ in range(SIMULATIONS):
        normal = generator.standard_normal(X.size)
        if case == "ols":
            law, truth = l2m.fit_power_law(X, 2 * X**0.7 * np.exp(0.2 * normal)), 0.7
        elif case == "wls":
            errors = 0.05 * X**0.7 * (1 + np.arange(13) % 3)
            law, truth = l2m.fit_power_law(X, 2 * X**0.7 + errors * normal, stderr=errors, method="wls"), 0.7
        elif case == "offset":
            law, truth = l2m.fit_power_law(X, X**-0.7 + 0.1 + 0.01 * normal, offset=True), -0.7
        else:
            y = X**-0.7 * np.exp(0.05 * normal) + 0.02
            law, truth = l2m.fit_power_law(X, y, offset="bounded"), -0.7
        low, high = law.interval("exponent")
        inside += low <= truth <= high
    assert 0.95 - 4 * 0.0089 <= inside / SIMULATIONS <= 0.95 + 4 * 0.0089


def test_jackknife_intervals_cover_where_their_percentiles_do_not():
    generator = np.random.default_rng(5)
    inside, percentile = 0, 0
    for _ in range(400):
        # 16 groups, each with a curve of its own around the law; the estimate averages them.
        groups = (
            2 * X[:8] ** -0.5 + 0.05 * generator.standard_normal((16, 8)) + 0.03 * generator.standard_normal((16, 1))
        )
        total = groups.mean(axis=0)
        law = l2m.fit_power_law(X[:8], total, method="nonlinear", replicates=(16 * total - groups) / 15)
        low, high = law.interval("exponent")
        inside += low <= -0.5 <= high
        low, high = np.quantile(law.refits[:, 1], [0.025, 0.975])
        percentile += low <= -0.5 <= high
    assert 0.95 - 4 * 0.011 <= inside / 400 <= 0.95 + 4 * 0.011  # 4 standard errors of 400
    assert percentile / 400 < 0.6


def test_bands_and_draws_agree_with_the_intervals():
    for law in (l2m.fit_power_law(X, noisy()), l2m.fit_power_law(X, decaying(), offset=True)):
        draws = law.draws(200_000, seed=3)
        for index, name in enumerate(law.names):
            if law.parameter_covariance[index, index] > 0:
                low, high = law.interval(name)
                # 200,000 draws know their 2.5 % points to 1 % of the interval.
                assert np.quantile(draws[:, index], [0.025, 0.975]) == pytest.approx(
                    (low, high), abs=0.01 * (high - low)
                )
    import statsmodels.api as sm

    design = sm.add_constant(np.log(X))
    theirs = sm.OLS(np.log(noisy()), design).fit().get_prediction(design).conf_int()
    low, high = l2m.fit_power_law(X, noisy()).band(X)
    assert np.log(low) == pytest.approx(theirs[:, 0], rel=1e-9)
    assert np.log(high) == pytest.approx(theirs[:, 1], rel=1e-9)
    law = l2m.fit_power_law(X, decaying(), offset=True)
    assert law.predict(3.0) == pytest.approx(law.amplitude * 3**law.exponent + law.offset)
    assert law.predict([[1.0, 2.0]]).shape == (1, 2)


def test_what_is_not_resolved_says_so():
    noise = np.random.default_rng(1).standard_normal(13)
    law = l2m.fit_power_law(X, noise, offset=True)
    assert not law.resolved
    assert math.isnan(law.exponent)
    assert law.interval("exponent") == (-math.inf, math.inf)
    assert "No power law is resolved" in law.explain()
    assert np.isfinite(law.predict(X)).all()
    with pytest.raises(l2m.InputError, match="draws"):
        law.draws()


def test_non_positive_values_are_taken_in_linear_space_and_named_in_log_log():
    y = decaying(size=0.02) - 0.05
    assert (y <= 0).any()
    with pytest.raises(l2m.InputError, match=r"y: .* at position \d+.*positive values") as caught:
        l2m.fit_power_law(X, y)
    place = int(np.flatnonzero(y <= 0)[0])
    assert f"{y[place]:g} at position {place}" in str(caught.value)
    for options in ({"method": "nonlinear"}, {"method": "wls", "stderr": np.full(13, 0.02)}, {"offset": True}):
        law = l2m.fit_power_law(X, y, **options)
        assert law.parameters[1] == pytest.approx(-0.91, abs=0.2)
        assert law.settings["space"] == "linear"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": [1, 2], "y": [1, 2], "offset": True}, "x: 2 points; expected at least 3"),
        ({"x": [1], "y": [1]}, "x: 1 point;"),
        ({"x": [2, 2, 2], "y": [1, 2, 3]}, "x: 1 different values in 3 points"),
        ({"x": [1, -2, 3]}, "x: -2 at position 1"),
        ({"x": [1, 2, math.nan]}, "x: nan at position 2"),
        ({"y": [1, math.inf, 2]}, "y: inf at position 1"),
        ({"y": [2, 2, 2]}, "y: all 3 values are 2"),
        ({"y": [1, 2]}, "y: an array of shape (2,); expected 3 values"),
        ({"stderr": [1, 0, 1], "method": "wls"}, "stderr: 0 at position 1"),
        ({"stderr": [1, -1, 1]}, "stderr: -1 at position 1"),
        ({"method": "wls"}, "stderr: none"),
        ({"method": "gls"}, "covariance: none"),
        ({"covariance": np.ones((3, 3)), "method": "gls"}, "positive definite"),
        ({"covariance": np.eye(2)}, "covariance: an array of shape (2, 2); expected 3 x 3"),
        ({"covariance": [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]}, "covariance: not symmetric"),
        ({"method": "best"}, "method: 'best'"),
        ({"offset": "some"}, "offset: 'some'"),
        ({"offset": True, "offset_bounds": (1, 0)}, "offset_bounds: (1, 0)"),
        ({"offset_bounds": (0, 1)}, "offset_bounds: given without an offset"),
        ({"replicates": [[1, 2, 3]]}, "replicates: 1 groups"),
        ({"replicates": [[1, 2], [3, 4]]}, "replicates: an array of shape (2, 2); expected groups x 3"),
        ({"replicates": [[1, 2, 3], [1, -2, 3]]}, "replicates: -2 at position 4"),
        ({"replicates": np.ones((2, 3)), "group_weights": [0.5, 0.6]}, "group_weights: a sum of 1.1"),
        ({"bootstrap": -1}, "bootstrap: -1"),
    ],
)
def test_bad_input_is_named(arguments, words):
    arguments = {"x": [1, 2, 3], "y": [1, 2, 3.5], **arguments}
    with pytest.raises(l2m.InputError) as caught:
        l2m.fit_power_law(**arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_records_come_back_and_convert(tmp_path):
    y = decaying()
    replicates = y + 0.003 * np.random.default_rng(0).standard_normal((10, 13))
    for record in (
        l2m.fit_power_law(X, y, offset=True, replicates=replicates),
        l2m.fit_power_law(X, noisy(), stderr=ERRORS, method="wls"),
        l2m.fit_logarithm(X, y, replicates=replicates),
        l2m.fit_power_law(X, noisy()).compare(),
    ):
        record.save(tmp_path / "record.json")
        again = l2m.load(tmp_path / "record.json")
        assert again.to_dict() == record.to_dict()
        if not isinstance(record, l2m.CurveComparison):
            assert np.array_equal(again.band(X), record.band(X))
    law = l2m.fit_power_law(X, y, offset=True, replicates=replicates)
    bits = law.to("bits")
    assert bits.predict(X) == pytest.approx(law.predict(X) / math.log(2))
    assert bits.band(X)[0] == pytest.approx(law.band(X)[0] / math.log(2))
    assert bits.interval("exponent") == pytest.approx(law.interval("exponent"))
    assert bits.interval("offset") == pytest.approx(np.array(law.interval("offset")) / math.log(2))
    assert bits.interval("amplitude") == pytest.approx(np.array(law.interval("amplitude")) / math.log(2))


def test_logarithm_against_scipy():
    from scipy.stats import linregress, t

    y = 1 + 0.8 * np.log(X) + 0.1 * np.random.default_rng(0).standard_normal(13)
    ours, theirs = l2m.fit_logarithm(X, y), linregress(np.log(X), y)
    assert (ours.slope, ours.intercept) == pytest.approx((theirs.slope, theirs.intercept), rel=1e-12)
    reach = t.ppf(0.975, 11) * theirs.stderr
    assert ours.interval("slope") == pytest.approx((theirs.slope - reach, theirs.slope + reach), rel=1e-9)
    assert ours.kind == "logarithm"
    assert np.std(ours.draws(20_000)[:, 0]) > 0
    assert "log(x)" in ours.explain()
