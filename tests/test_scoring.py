"""Scoring: exact sources through the same code as language models, the real backend, the store under every misfortune."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.bipartite import bipartite, jackknife, jackknife_covariance
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


def test_a_store_grows_and_only_what_is_missing_runs(tmp_path):
    source = SOURCES["markov"]
    counted = Counting(source)
    corpus = l2m.Corpus(list(source.sample(12, LENGTH, seed=1)))

    def score(**options):
        counted.tokens = 0
        scores = scoring.score(corpus, counted, out=tmp_path, length=LENGTH, **options)
        return scores, counted.tokens - SELF_TEST * (counted.tokens > 0)

    base = {"windows": 8, "splits": [4, 8], "ratios": (2,), "shuffles": 0}
    scores, tokens = score(**base)
    assert tokens == 8 * (LENGTH + 4 + 8)
    before = scores.conditional.copy()
    assert score(**base)[1] == 0
    assert score(**base | {"windows": 12})[1] == 4 * (LENGTH + 4 + 8)
    assert score(**base | {"windows": 12, "splits": [4, 16]})[1] == 12 * 16
    scores, tokens = score(**base | {"windows": 12, "shuffles": 1})
    assert tokens == 12 * (8 + 4 + 8)  # X up to the last split is read again for its state
    scores, tokens = score(**base | {"windows": 12, "ratios": (2, 3)})
    assert tokens == 12 * (8 + 16)
    assert (scores.conditional[:8] == before).all()
    assert scores.splits == (4, 8, 16)
    assert scores.shuffles == 1


SELF_TEST = 2 * LENGTH + LENGTH + 2 * LENGTH + LENGTH  # full, single, prefix and continuation, continuation again


class Counting:
    """A scorer that counts the tokens it is asked for."""

    def __init__(self, scorer):
        self.scorer, self.settings, self.tokens = scorer, scorer.settings, 0

    def log_prob(self, tokens, state=None):
        self.tokens += tokens.size
        return self.scorer.log_prob(tokens, state)


def test_tokens_per_pair_at_length_2048(tmp_path):
    """The authors' scripts evaluate about 41,000 for the same numbers."""
    source = LatentSource([0.1, 0.9])
    counted = Counting(source)
    corpus = l2m.Corpus(list(source.sample(4, 2048, seed=1)))
    scoring.score(corpus, counted, out=tmp_path / "two", shuffles=0)
    before = counted.tokens
    scoring.score(corpus, counted, out=tmp_path / "all", shuffles=1)
    self_test = 6 * 64
    assert (before - self_test) / 4 == 2048 + 4090
    assert (counted.tokens - before - self_test) / 4 == 10_228


def test_averaged_contexts_correct_a_start_that_is_wrong(tmp_path):
    """A scorer whose start token says nothing: direct is too high by KL(pi || uniform); contexts mend it, but for Jensen."""
    source = SOURCES["markov"]
    blind = BlindStart(source)
    ids = source.sample(400, LENGTH, seed=2)
    scores = scoring.score(
        l2m.Corpus(list(ids)), blind, out=tmp_path, length=LENGTH, splits=[4, 8], shuffles=0, contexts=256
    )
    truth = source.bipartite_information(4, 8)
    excess = np.log(source.vocab_size) + (source.stationary * np.log(source.stationary)).sum()
    plain = bipartite(scores)
    assert np.abs((plain.information - truth - excess) / plain.stderr).max() < 4
    mended = bipartite(scores, correction="averaged")
    # Jensen: the mean over K of q(y1|c) has relative variance (1/pi - 1)/K at most, half of it in the logarithm.
    bias = ((1 - source.stationary) / 256 / 2).sum()
    assert ((mended.information - truth) < bias + 4 * mended.stderr).all()
    assert ((mended.information - truth) > -4 * mended.stderr).all()
    assert min(mended.settings["change_from_half_to_all_contexts"]) < 0
    assert mended.settings["bias"] == "upward"
    grams = bipartite(scores, correction="ngram", weight=1.0)
    gram_entropy = scores.ngram_entropy[2]
    expected = plain.information + gram_entropy + scores.marginal(4)[:, :2].sum(1).mean()
    assert grams.information[0] == pytest.approx(expected[0], abs=1e-6)
    with pytest.raises(l2m.InputError, match="64 or more"):
        scoring.score(l2m.Corpus(list(ids)), blind, out=tmp_path / "few", length=LENGTH, contexts=32)


class BlindStart:
    """An exact scorer of a Markov chain, but for the first token after the start, which it takes for uniform."""

    def __init__(self, source):
        self.source, self.settings = source, {"name": "blind start"}

    def log_prob(self, tokens, state=None):
        values, after = self.source.log_prob(tokens, state)
        if state is None:
            values[:, 0] = -np.log(self.source.vocab_size)
        return values, after


def test_the_paper_preset(tmp_path):
    scores = measured(SOURCES["copy"], tmp_path, windows=60)
    same, paper = bipartite(scores), bipartite(scores, preset="paper")
    np.testing.assert_allclose(paper.information, same.information)  # every marginal is used once either way
    assert not np.allclose(paper.pointwise, same.pointwise)
    assert paper.fit().settings["x"] == "split"
    law, at_length = same.fit(x="split"), same.fit()
    assert at_length.settings["x"] == "length"
    assert at_length.exponent == pytest.approx(law.exponent)
    assert at_length.amplitude == pytest.approx(law.amplitude * 0.5**law.exponent)


def test_errors_cover_documents_that_differ():
    """One value per document, ten windows each: the error is that of 40 values, not of 400; the jackknife of a mean is exact."""
    random = np.random.default_rng(0)
    document = np.repeat(np.arange(40), 10)
    of_document = random.normal(size=40)
    first = of_document[document][:, None]
    zero, partner = np.zeros((400, 1, 1)), document[:, None]
    estimate, replicates, groups = jackknife(first, zero, document, partner)
    assert groups == "documents"
    assert estimate[0] == pytest.approx(of_document.mean())
    stderr = np.sqrt(jackknife_covariance(replicates)[0, 0])
    assert stderr == pytest.approx(of_document.std(ddof=1) / np.sqrt(40))


def test_a_partner_drawn_often_leaves_with_its_document():
    """Slow and obvious: recompute from what is left."""
    random = np.random.default_rng(1)
    document = np.repeat(np.arange(9), 3)
    partners = (document[:, None] + random.integers(1, 9, (27, 2))) % 9
    first, second = random.normal(size=(27, 4)), random.normal(size=(27, 2, 4))
    _, replicates, _ = jackknife(first, second, document, partners)
    for group in range(9):
        kept = [(i, k) for i in range(27) for k in range(2) if document[i] != group and partners[i, k] != group]
        expected = first[document != group].mean(0) - np.mean([second[pair] for pair in kept], 0)
        np.testing.assert_allclose(replicates[group], expected)
