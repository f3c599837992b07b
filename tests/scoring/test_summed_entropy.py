"""The law of the next token's entropy, the information it gives summed, and whether the two agree."""

import numpy as np
import pytest

import l2m
from l2m.scoring.agreement import agreement
from l2m.scoring.bipartite import BipartiteCurve, bipartite
from l2m.scoring.position_nll import _curve
from l2m.scoring.summed_entropy import signs
from l2m.statistics.jackknife import jackknife_errors, means_without_each
from scored import SOURCES, measured

GAMMA, RATE, AMPLITUDE, LENGTH = 0.54, 2.5, 4.0, 1024
SPLITS = 2 ** np.arange(1, 10)


def costs(documents: int, seed: int, *, start: float = 0.0) -> np.ndarray:
    """-log q of windows whose entropies are H_inf + A n^-gamma exactly: exponential noise, and some texts harder than others."""
    random = np.random.default_rng(seed)
    entropy = RATE + AMPLITUDE * np.arange(1, LENGTH + 1) ** -GAMMA
    entropy[:2] += start
    noise = random.exponential(size=(documents, LENGTH)) - 1 + 0.2 * random.normal(size=(documents, 1))
    return entropy + noise


def positions(values: np.ndarray, per_octave: int = 4) -> l2m.PositionCurve:
    """As `l2m.position_nll` bins them."""
    n = np.arange(1, values.shape[1] + 1)
    _, begin = np.unique(np.floor(per_octave * np.log2(n) + 1e-9), return_index=True)
    pointwise = np.add.reduceat(values, begin, axis=1) / np.diff(np.append(begin, n.size))
    last = np.append(n[begin[1:]] - 1, n.size).astype(float)
    count = np.arange(len(values))
    settings = {"axis": "tokens", "model": "exact", "corpus": "exact"}
    per_window = {"nll": pointwise, "bits_per_byte": pointwise}
    return _curve(
        n[begin].astype(float),
        last,
        per_window,
        count,
        0 * count,
        settings,
        "nats",
        bytes_per_token=np.ones(count.size),
    )


def information(values: np.ndarray) -> BipartiteCurve:
    """Another measurement of the same information, with noise of its own: the exact one by a known law."""
    pointwise = values @ signs(SPLITS, 2, LENGTH).T
    replicates = means_without_each(pointwise, np.arange(len(values)), len(values))
    stderr, covariance = jackknife_errors(replicates)
    settings = {"estimator": "direct", "correction": "none", "ratio": 2, "x": "length", "preset": None}
    return BipartiteCurve(
        split=SPLITS, length=2 * SPLITS, information=pointwise.mean(0), stderr=stderr, covariance=covariance,
        pointwise=pointwise, document=np.arange(len(values)), replicates=replicates, groups="documents", settings=settings,
    )  # fmt: skip


@pytest.mark.parametrize("per_octave", [1, 4])
def test_the_interval_of_gamma_covers(per_octave):
    """40 simulations: at least 34 of 40 intervals of 95 % hold the truth (fewer: once in 1,000); the errors are the spread."""
    laws = [positions(costs(60, seed), per_octave).fit() for seed in range(40)]
    assert sum(law.holds for law in laws) >= 37  # chance passes over one in 100: four of 40 once in 2,000
    assert sum(low <= -GAMMA <= high for low, high in (law.interval("exponent") for law in laws)) >= 34
    gamma, errors = np.array([(-law.exponent, law.standard_error("exponent")) for law in laws]).T
    assert gamma.mean() == pytest.approx(GAMMA, abs=4 * gamma.std() / np.sqrt(40))
    assert np.sqrt(np.mean(errors**2)) / gamma.std() == pytest.approx(1, abs=0.4)  # the spread of 40 is known to 11 %
    assert laws[0].offset == pytest.approx(RATE, abs=0.15)


def test_a_wrong_start_is_left_out_and_said():
    law = positions(costs(60, 1, start=3.0)).fit()
    assert law.settings["first"] == 3
    assert "Fitted from token 3 to 1,024." in law.explain()
    assert law.exponent == pytest.approx(-GAMMA, abs=0.1)
    whole = positions(costs(60, 1, start=3.0)).fit(min_position=1)
    assert not whole.holds
    assert "no single law" in whole.explain().lower()


def test_exact_entropies_give_the_slope_of_a_finite_range():
    """gamma = 0.54: 0.62 over l = 2 .. 512, 0.46 in the limit, and 0.48 by a fit with an offset."""
    exact = np.broadcast_to(RATE + AMPLITUDE * np.arange(1, LENGTH + 1) ** -GAMMA, (30, LENGTH))
    total = np.cumsum(exact[0])
    curve = exact[0] @ signs(SPLITS, 2, LENGTH).T
    np.testing.assert_allclose(curve, [2 * total[split - 1] - total[2 * split - 1] for split in SPLITS])
    assert l2m.fit_power_law(2 * SPLITS, curve).exponent == pytest.approx(0.62, abs=0.005)
    values = costs(60, 5)
    found = agreement(information(values), positions(values))
    low, high = found.first_split, found.last_split
    assert found.agrees
    assert found.difference == pytest.approx(0, abs=0.05)
    assert f"Summed over l = {low} to {high}" in found.explain()
    assert found.limit == pytest.approx(1 - GAMMA, abs=0.1)
    assert found.free_low < found.limit < found.free_high
    assert found.to("bits").rate == pytest.approx(found.rate / np.log(2))


def test_a_constant_that_only_the_information_has_is_told():
    """5 nats more at every l, as a wrong start of Y adds them: slopes of 0.62 and less cannot agree."""
    values = costs(60, 6)
    found = agreement(information(values).shifted(5.0), positions(values))
    assert not found.agrees
    assert "do not agree" in found.explain()
    with pytest.raises(l2m.InputError, match="different windows"):
        agreement(information(values), positions(values[:50]))


def test_summed_entropies_of_stationary_sources_need_the_conditional_pass_alone(tmp_path):
    source = SOURCES["latent"]
    scores = measured(source, tmp_path, windows=800, shuffles=0)
    curve = bipartite(scores, estimator="entropy", splits=[3, 5, 32])  # l that no marginal pass was made for
    truth = [source.bipartite_information(split, 2 * split) for split in curve.split]
    assert np.abs((curve.information - truth) / curve.stderr).max() < 4
    np.testing.assert_allclose(curve.pointwise.mean(0), curve.information)
    one, other = bipartite(scores, estimator="entropy"), bipartite(scores, estimator="entropy", correction="fitted")
    if other.settings["fitted_from"] == 1:
        np.testing.assert_allclose(one.information, other.information)
    for options in ({"correction": "ngram"}, {"estimator": "direct", "correction": "fitted"}):
        with pytest.raises(l2m.InputError, match=r"^correction: "):
            bipartite(scores, **{"estimator": "entropy", **options})


def test_fitted_entropies_mend_a_wrong_start():
    """The first two tokens cost 3 nats too much each: summed, I is 6 nats too high, and right again with the law's values."""
    from l2m.scoring.summed_entropy import summed_entropy

    values = costs(80, 3, start=3.0)

    class Known(l2m.Scores):
        """A store of these values."""

        conditional, documents, length, folder, windows_asked = -values, np.arange(80), LENGTH, "store", 80
        bytes, settings = np.full(80, np.nan), {"model": {}, "corpus": {"hash": "exact"}}
        characters = bytes

        def __init__(self) -> None:
            pass

    store = Known()
    exact = (RATE + AMPLITUDE * np.arange(1, LENGTH + 1) ** -GAMMA) @ signs(SPLITS, 2, LENGTH).T
    plain, *_ = summed_entropy(store, SPLITS, 2, "none")
    mended, replicates, unit, _, notes = summed_entropy(store, SPLITS, 2, "fitted")
    stderr, _ = jackknife_errors(replicates)
    assert (unit, notes["fitted_from"]) == ("documents", 3)
    assert np.abs((mended.mean(0) - exact) / stderr).max() < 4
    # The two tokens of 80 windows are known to 0.2 nats, the law's values of them to as much.
    assert plain.mean(0) - mended.mean(0) == pytest.approx(6, abs=1)
