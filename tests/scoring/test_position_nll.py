"""Negative log-likelihood by position."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.truth.sources import Mixture
from scored import LENGTH, SOURCES, measured


def test_nll_by_position_is_the_mean_of_its_bin(tmp_path):
    source = SOURCES["latent"]
    scores = measured(source, tmp_path, windows=400, shuffles=0)
    every, bins = l2m.position_nll(scores, per_octave=None), l2m.position_nll(scores, per_octave=1)
    np.testing.assert_allclose(every.nll, -scores.conditional.mean(0, dtype=float), rtol=1e-12)
    assert bins.first.tolist() == [1, 2, 4, 8, 16, 32, 64]
    np.testing.assert_allclose(bins.nll[3], every.nll[7:15].mean())
    # Equally likely latent values that are symmetric about one half: nothing is known of the first token.
    assert every.nll[0] == pytest.approx(np.log(2), abs=1e-7)  # float32
    assert np.isnan(bins.bits_per_byte).all()
    assert every.to("bits").nll[0] == pytest.approx(1, abs=1e-6)


def test_two_models_are_compared_window_by_window(tmp_path):
    source = SOURCES["markov"]
    ids = source.sample(200, LENGTH, seed=3)
    corpus = l2m.Corpus(list(ids), tokenizer={"name": "bytes"})
    good = scoring.score(corpus, source, out=tmp_path / "good", length=LENGTH, shuffles=0)
    poor = scoring.score(corpus, Mixture(source, 0.2), out=tmp_path / "poor", length=LENGTH, shuffles=0)
    for axis in ("tokens", "bytes"):
        one, two = l2m.position_nll(poor, axis=axis), l2m.position_nll(good, axis=axis)
        paired = one.difference(two)
        np.testing.assert_allclose(paired.nll, one.nll - two.nll, atol=1e-12)
        assert (paired.stderr < 0.8 * np.hypot(one.stderr, two.stderr)).all()
        np.testing.assert_allclose(two.bits_per_byte, two.nll / np.log(2), rtol=1e-6)  # a byte a token
    other = scoring.score(l2m.Corpus(list(ids[:9])), source, out=tmp_path / "other", length=LENGTH, shuffles=0)
    with pytest.raises(l2m.InputError, match="axis='bytes'"):
        l2m.position_nll(other).difference(l2m.position_nll(good))
