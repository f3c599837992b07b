"""Scoring: exact sources through the same code as language models, the real backend, the store under every misfortune."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.bipartite import bipartite
from l2m.scoring.exact import CopySource, LatentSource, MarkovSource

LENGTH = 64


def strong_chain(symbols=6, seed=1):
    """A chain with I near 1 nat, so that 3,000 windows give a standard error below 2 % of it."""
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.full(symbols, 0.2), symbols) + 0.01
    return MarkovSource(p / p.sum(1, keepdims=True))


SOURCES = {
    "markov": strong_chain(),
    "latent": LatentSource(np.linspace(0.02, 0.98, 9)),
    "copy": CopySource(8, 5, 0.2),
}


def measured(source, tmp_path, *, windows=3000, scorer=None, **options):
    ids = source.sample(windows, LENGTH, seed=3)
    return scoring.score(l2m.Corpus(list(ids)), scorer or source, out=tmp_path / "scores", length=LENGTH, **options)


@pytest.mark.parametrize("name", SOURCES)
def test_exact_sources_give_their_closed_form(name, tmp_path):
    source = SOURCES[name]
    scores = measured(source, tmp_path)
    for ratio in (2, 3, 4):
        direct, vclub = bipartite(scores, ratio=ratio), bipartite(scores, estimator="vclub", ratio=ratio)
        assert direct.split.tolist() == [split for split in (2, 4, 8, 16, 32) if ratio * split <= LENGTH]
        for curve, truth in ((direct, source.bipartite_information), (vclub, source.vclub)):
            expected = np.array([truth(split, ratio * split) for split in curve.split])
            z = (curve.information - expected) / np.where(expected == 0, 1, curve.stderr)
            assert np.abs(z).max() < 4, (name, ratio, curve.settings["estimator"], z)
