"""Scoring: exact sources through the same code as language models, the real backend, the store under every misfortune."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.bipartite import bipartite
from l2m.scoring.exact import CopySource, LatentSource, MarkovSource, Mixture
from l2m.scoring.windows import Windows
from tiny_models import FAMILIES, LOSE_THEIR_STATE, VOCABULARY, tiny_model

LENGTH = 64


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small only wait for each other's threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def strong_chain(symbols=8, noise=0.04):
    """A cycle that goes astray now and then: I is 1.8 nats, so that 1,000 windows give a standard error below 2 % of it."""
    cycle = np.roll(np.eye(symbols), 1, axis=1)
    uneven = np.arange(1, symbols + 1) / np.arange(1, symbols + 1).sum()
    return MarkovSource((1 - noise) * cycle + noise * uneven)


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


def test_a_llama_that_is_a_markov_chain(tmp_path):
    """Loaded from safetensors by name like any model; the standard error is at most 2 % of I at every split."""
    source = SOURCES["markov"]
    source.save_pretrained(tmp_path / "model")
    ids = source.sample(1000, LENGTH, seed=5)
    corpus = l2m.Corpus(list(ids))
    scores = scoring.score(corpus, tmp_path / "model", out=tmp_path / "scores", length=LENGTH)
    exact, _ = source.log_prob(ids)
    # float32 logits up to 8 in size: 1e-6 each.
    np.testing.assert_allclose(scores.conditional, exact, atol=1e-5)
    assert scores.settings["model"]["start_token"] == source.vocab_size
    for ratio in (2, 3, 4):
        direct, vclub = bipartite(scores, ratio=ratio), bipartite(scores, estimator="vclub", ratio=ratio)
        for curve, truth in ((direct, source.bipartite_information), (vclub, source.vclub)):
            expected = np.array([truth(split, ratio * split) for split in curve.split])
            assert np.abs((curve.information - expected) / curve.stderr).max() < 4
        assert (direct.stderr < 0.02 * direct.information).all()


def test_a_wrong_scorer_is_off_by_the_known_divergences(tmp_path):
    """q = 3/4 p + 1/4 uniform on a Markov chain: only the first token of Y differs between log q(Y|X) and log q(Y)."""
    source = SOURCES["markov"]
    wrong = Mixture(source, 0.25)
    scores = measured(source, tmp_path, scorer=wrong)
    p, pi, m = source.transition, source.stationary, source.vocab_size
    given, alone = 0.75 * p + 0.25 / m, 0.75 * pi + 0.25 / m
    joint = pi[:, None] * p
    direct = (joint * np.log(given / alone)).sum()
    # = I + KL(p(y) || q(y)) - KL(p(y|x) || q(y|x))
    divergences = (pi * np.log(pi / alone)).sum() - (joint * np.log(p / given)).sum()
    assert direct == pytest.approx(source.bipartite_information(2, 4) + divergences, abs=1e-12)
    vclub = ((joint - np.outer(pi, pi)) * np.log(given)).sum()
    for estimator, expected in (("direct", direct), ("vclub", vclub)):
        curve = bipartite(scores, estimator=estimator)
        assert np.abs((curve.information - expected) / curve.stderr).max() < 4
        assert abs(curve.information[0] - source.bipartite_information(2, 4)) > 4 * curve.stderr[0]


def test_impossible_events_are_refused(tmp_path):
    """Without noise a copy source gives shuffled pairs no chance at all."""
    source = CopySource(8, 3, 0.0)
    assert source.vclub(4, 8) == np.inf
    with pytest.raises(l2m.InputError, match="-inf"):
        measured(source, tmp_path, windows=20)
    assert bipartite(measured(source, tmp_path, windows=20, shuffles=0)).information[-1] == pytest.approx(3 * np.log(8))


def full_pass(model, prefix, targets):
    """Slow and obvious: log q(targets | start token 1, prefix), one sequence, no state, all logits."""
    import torch

    both = torch.tensor([[1, *map(int, prefix), *map(int, targets)]])
    with torch.no_grad():
        logits = model(both[:, :-1], use_cache=False).logits[0].double()
    return torch.log_softmax(logits, 1)[torch.arange(both.size(1) - 1), both[0, 1:]].numpy()[len(prefix) :]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_scores_as_a_full_pass_of_one_sequence(family, tmp_path):
    """Cached against full and batch against single, to 1e-4, for every pass; families that lose their state are found out."""
    model = tiny_model(family)
    ids = np.random.default_rng(0).integers(3, VOCABULARY, (4, 48)).astype(np.uint16)
    said = []
    scores = scoring.score(
        l2m.Corpus(list(ids)), model, out=tmp_path, length=48, splits=[5, 16], ratios=[2, 3], notify=said.append
    )
    (test,) = scores.self_tests()
    assert test["recomputed_in_full"] == (family in LOSE_THEIR_STATE), (test, said)
    assert bool(said) == (family in LOSE_THEIR_STATE)
    assert test["noise_floor"] < 1e-4
    windows = Windows(l2m.Corpus(list(ids)), 48)
    other, documents = windows.partners(range(4), 0)
    assert (scores.partners[0] == documents).all()
    for row in (0, 3):
        np.testing.assert_allclose(scores.conditional[row], full_pass(model, [], ids[row]), atol=1e-4)
        for split in (5, 16):
            y, other_y = ids[row, split : 3 * split], other[row, split : 3 * split]
            np.testing.assert_allclose(scores.marginal(split)[row], full_pass(model, [], y), atol=1e-4)
            shuffled = full_pass(model, ids[row, :split], other_y)
            np.testing.assert_allclose(scores.shuffled(split, 0)[row], shuffled, atol=1e-4)
