"""The fit of a curve and its figures."""

import dataclasses
import math

import numpy as np
import pytest

import l2m


def measured(information, noise, seed=0):
    """A curve as if measured: replicates with errors that all distances share, and small ones of their own."""
    random = np.random.default_rng(seed)
    size, groups = len(information), 32
    curve = l2m.two_point(list(random.integers(0, 3, (groups, 600))), [1 << k for k in range(size)])
    shared = random.standard_normal((groups, 1)) * 20 * noise + random.standard_normal((groups, size)) * noise
    errors = (shared - shared.mean(axis=0)) / math.sqrt(groups)
    stderr = np.sqrt((groups - 1) / groups * (errors**2).sum(axis=0))
    values = information + random.standard_normal(size) * noise
    return dataclasses.replace(curve, information=values, stderr=stderr, replicates=values + errors, fixed=None)


def test_a_fit_starts_where_one_law_describes_the_curve():
    distance = 2.0 ** np.arange(10)
    law = 0.2 * distance**-0.6 + 0.01
    whole = measured(law, 1e-5).fit()
    assert whole.settings["distances"][0] == 1
    assert whole.exponent == pytest.approx(-0.6, abs=0.01)
    phrase = np.where(distance < 8, 1.5 * distance**-1.5, 0)
    curve = measured(law + phrase, 1e-5)
    fitted = curve.fit()
    assert fitted.settings["distances"].tolist() == distance[3:].tolist()
    assert fitted.settings["missed"] == {}
    assert fitted.exponent == pytest.approx(-0.6, abs=0.01)
    assert "Fitted from d = 8 to 512." in fitted.explain()
    all_of_it = curve.fit(min_distance=1)
    assert all_of_it.settings["distances"].size == 10
    assert "does not describe the curve" in all_of_it.explain()
    # No law anywhere: all distances, and it says so.
    waves = measured(0.05 + 0.04 * np.sin(np.arange(10) * 2.0), 1e-5).fit()
    assert waves.settings["distances"].size == 10
    assert waves.settings["missed"]


def test_a_figure_shows_the_points_of_the_table_and_those_of_the_fit():
    random = np.random.default_rng(6)
    documents = [random.integers(0, 5, 100) for _ in range(50)] + [random.integers(0, 5, 3000) for _ in range(10)]
    curve = l2m.two_point(documents, [1, 64, 512])
    values = np.geomspace(0.1, 0.05, 3)
    curve = dataclasses.replace(
        curve, information=values, fixed=dataclasses.replace(curve.fixed, information=2 * values)
    )
    axes = curve.plot()
    shown = {container.get_label(): container.lines[0].get_ydata() for container in axes.containers}
    np.testing.assert_allclose(shown["I(d), null subtracted: all documents"], values)
    np.testing.assert_allclose(shown["I(d), null subtracted: 10 documents of the fit"], 2 * values)
    assert len(dataclasses.replace(curve, fixed=None).plot().containers) == 1


def test_a_figure_without_information_is_drawn_and_says_so():
    """pytest turns matplotlib's warning about an empty legend into an error."""
    curve = l2m.two_point(list(np.random.default_rng(0).integers(0, 9, (16, 40))), [1, 2], subsamples=True)
    assert "no distance" in dataclasses.replace(curve, information=0 * curve.information).plot_subsamples().get_title()


@pytest.mark.parametrize("bounds", [{"min_distance": 0}, {"max_distance": 1.5}, {"min_distance": "2"}])
def test_bounds_of_a_fit_are_whole_numbers(bounds):
    with pytest.raises(l2m.InputError, match=f"^{next(iter(bounds))}: "):
        measured(0.2 * 2.0 ** -np.arange(10), 1e-5).fit(**bounds)


def test_growth_with_the_sample_is_told_beside_the_errors():
    """Zipf's pairs share a part that few documents do not show: I of halves is below I of all by more than its error of sampling."""
    curve = measured(0.2 * 2.0 ** -np.arange(4.0), 1e-4)
    parts = curve.information * np.array([[0.8, 1, 1, 1], [0.9, 1, 1, 1], [0.95, 1, 1, 1]])
    parts[1, 1] *= 1.1  # no steady growth
    grown = dataclasses.replace(
        curve, stderr=np.full(4, 0.012), subsample_information=parts, subsample_stderr=0 * parts
    )
    assert grown.growing.tolist() == [True, False, False, False]
    assert "still grows with the sample at d = 1, by up to 5.0%" in grown.growth_words
    assert grown.explain().endswith(grown.growth_words)
    assert not dataclasses.replace(grown, stderr=np.full(4, 0.03)).growing.any()
    assert curve.growth_words == ""
    random = np.random.default_rng(1)
    zipf = 1 / np.arange(1, 3001) ** 1.1
    documents = [random.choice(3000, 800, p=zipf / zipf.sum()) for _ in range(32)]
    for document in documents:  # every fourth token repeats the one before
        document[1::4] = document[::4]
    assert l2m.two_point(documents, [1], subsamples=True).growing.tolist() == [True]
