"""The line that one may quote: one beta, its interval, the range over the choices; or that no single law describes the text."""

import dataclasses
import re

import numpy as np
import pytest

import l2m
from l2m.scoring.exponents import exponent_range
from l2m.statistics.jackknife import jackknife_errors, means_without_each
from l2m.statistics.power_law import fit_or_reason

SPLIT = 2 ** np.arange(1, 10)


def curve(truth, *, noise=0.02, correction="none"):
    random = np.random.default_rng(0)
    value = truth(2.0 * SPLIT)
    errors = random.normal(size=(30, 1)) + 0.3 * random.normal(size=(30, SPLIT.size))
    pointwise = value + noise * np.sqrt(30) * np.abs(value) * errors
    replicates = means_without_each(pointwise, np.arange(30), 30)
    stderr, covariance = jackknife_errors(replicates)
    settings = {"estimator": "direct", "correction": correction, "ratio": 2, "x": "length", "preset": None}
    return l2m.BipartiteCurve(
        split=SPLIT, length=2 * SPLIT, information=pointwise.mean(0), stderr=stderr, covariance=covariance,
        pointwise=pointwise, document=np.arange(30), replicates=replicates, groups="documents", settings=settings,
    )  # fmt: skip


def measurement(bipartite, others=()):
    law, words = fit_or_reason(bipartite)
    return l2m.Measurement(
        title="Shakespeare's plays", summary={}, model={"name": "SmolLM2-135M"}, domains=(), bipartite=bipartite, law=law,
        words=words, verdicts=(), command="", note="", choices=exponent_range([bipartite, *others]),
    )  # fmt: skip


def test_one_beta_with_its_interval_and_the_range_over_the_choices(tmp_path):
    plain = curve(lambda length: 2 * length**0.6)
    found = measurement(plain, [curve(lambda length: 3 * length**0.45, correction="ngram")])
    low, high = found.law.interval("exponent")
    numbers = [float(number) for number in re.findall(r"0\.\d+", found.headline)]
    assert numbers == pytest.approx([found.law.exponent] * 2 + [low, high, *found.choices.ends], abs=0.005)
    assert found.headline.startswith("beta = 0.6")
    assert "as SmolLM2-135M reads Shakespeare's plays" in found.headline
    assert "over L = 4 to 1,024 tokens" in found.headline
    assert re.search(r"\(95 % interval [0-9.]+ to [0-9.]+ over 30 documents; ", found.headline)
    assert "\n" not in found.headline
    found.save(tmp_path / "results.json")
    assert f'"headline": "{found.headline}"' in (tmp_path / "results.json").read_text()
    assert l2m.load(tmp_path / "results.json").headline == found.headline
    assert found.to("bits").headline == found.headline


def test_a_law_that_misses_is_no_headline():
    found = measurement(curve(lambda length: 20 + 15 * np.sin(3 * np.log(length)), noise=0.005))
    assert found.law.settings["missed"]
    assert found.headline.startswith("no exponent: as SmolLM2-135M reads Shakespeare's plays, no single law describes ")
    assert "over L = 4 to 1,024; local slopes " in found.headline
    assert "beta" not in found.headline
    assert found.choices.passed_over == ("direct, L = 2 l",)
    unresolved = dataclasses.replace(found.law, resolved=False, settings={**found.law.settings, "missed": {}})
    level = dataclasses.replace(found, law=unresolved)
    assert level.headline.endswith("the future cannot be told from a constant over L = 4 to 1,024")
    none = dataclasses.replace(found, law=None, words="no law fitted: why")
    assert none.headline == "no exponent: no law fitted: why"


def test_alpha_of_a_law_that_misses_is_not_quoted():
    """On sixteen books no start was accepted and 1.66 was printed bare; it is the law from d = 1, which misses."""
    distance = 2 ** np.arange(10)
    two = l2m.two_point(list(np.random.default_rng(0).integers(0, 3, (32, 600))), distance)
    exact, wave = 0.2 * distance**-0.6 + 0.01, 0.05 + 0.04 * np.sin(np.arange(10) * 2.0)
    for values, quoted in ((exact, True), (wave, False)):
        replicates = values + 1e-5 * np.random.default_rng(1).normal(size=(32, 10))
        stderr, _ = jackknife_errors(replicates)
        measured = dataclasses.replace(two, information=values, stderr=stderr, replicates=replicates, fixed=None)
        law, words = fit_or_reason(measured)
        domain = l2m.Domain(name="books", corpus={}, curve=measured, law=law, words=words)
        if quoted:
            assert domain.headline.startswith(
                "alpha = 0.600: the information between two tokens d apart falls like d^-0.600"
            )
        else:
            assert domain.headline.startswith("no exponent: no single law describes d = 1 to 512; local slopes ")
            assert "alpha" not in domain.headline
            assert not law.holds
            assert law.explain().startswith("No single law describes d = 1 to 512; local slopes ")
