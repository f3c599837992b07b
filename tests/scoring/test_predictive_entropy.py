"""The entropy of a model's own predictions: kept by runs, exact on exact scorers, refused where a scorer cannot give it."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.truth.gaussian import HierarchicalGaussian
from l2m.truth.imperfect import LinearGaussian
from l2m.truth.sources import GaussianSource, LatentForest, Mixture
from scored import LENGTH, SOURCES, files_of
from tiny_models import VOCABULARY, random_model

EXACT = {**SOURCES, "forest": LatentForest(0.6, trees=24)}


def by_enumeration(source, tokens):
    """Slow and obvious: each possible next token scored after each prefix, (length,)."""
    entropies = []
    for i in range(len(tokens)):
        prefix = np.tile(tokens[:i], (source.vocab_size, 1))
        rows = np.concatenate([prefix, np.arange(source.vocab_size)[:, None]], 1).astype(np.int64)
        log_q = source.log_prob(rows)[0][:, -1]
        entropies.append(-np.sum(np.exp(log_q) * log_q))
    return np.array(entropies)


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_scorer_gives_the_entropy_of_its_law(name):
    """In one call or in pieces, whatever the prefix; the values are those of `log_prob` to the last bit."""
    source = EXACT[name]
    tokens = source.sample(3, 12, seed=0)
    values, entropy, _ = source.log_prob_and_entropy(tokens)
    assert (values == source.log_prob(tokens)[0]).all()
    for row in range(3):  # sums of at most 48 terms in float64
        np.testing.assert_allclose(entropy[row], by_enumeration(source, tokens[row]), atol=1e-12)
    _, first, state = source.log_prob_and_entropy(tokens[:, :7])
    _, second, _ = source.log_prob_and_entropy(tokens[:, 7:], state)
    np.testing.assert_allclose(np.concatenate([first, second], 1), entropy, atol=1e-12)


def test_the_gaussian_language_gives_the_entropy_of_its_law():
    law = HierarchicalGaussian(3)
    source, z = GaussianSource(law), law.sample(4, seed=0)[0]
    _, entropy, _ = source.log_prob_and_entropy(z)
    assert (entropy == law.entropy()).all()
    _, first, state = source.log_prob_and_entropy(z[:, :20])
    _, second, _ = source.log_prob_and_entropy(z[:, 20:], state)
    assert (np.concatenate([first, second], 1) == law.entropy()).all()
    # A Y inside the sequence, of which nothing is known: log-densities have this mean (4 standard errors of 4,000).
    y = law.sample(4000, seed=1)[0][:, 16:32]
    values, inside, _ = source.log_prob_and_entropy(y, source.begin(16))
    assert np.abs((values + inside).mean(0)).max() < 4 * (values.std(0) / np.sqrt(4000)).max()
    _, wider, _ = LinearGaussian(law, 64, temperature=4.0).log_prob_and_entropy(z)
    np.testing.assert_allclose(wider - entropy, np.log(2), atol=1e-9)  # twice the standard deviation


@pytest.mark.parametrize("name", ["markov", "latent", "copy"])
def test_the_mean_nll_of_an_exact_scorer_is_its_entropy(name, tmp_path):
    """Within 4 standard errors at every one of 7 bins: chance fails one of 3 such tests once in 750."""
    source = SOURCES[name]
    ids = source.sample(2000, LENGTH, seed=7)
    scores = scoring.score(ids, source, out=tmp_path, length=LENGTH, shuffles=0, splits=[2], ratios=[2], entropy=True)
    curve = l2m.position_nll(scores, per_octave=1)
    # A bin without any chance (the first copies are uniform) leaves the rounding of float32.
    assert (np.abs(curve.overconfidence) <= 4 * curve.overconfidence_stderr + 1e-6).all()
    np.testing.assert_allclose(curve.nll - curve.entropy, curve.overconfidence, atol=1e-12)
    assert curve.settings["entropy"] == pytest.approx(scores.entropy.mean(dtype=float))
    if name == "copy":  # before the first copy every symbol is as likely: there the two are the same to the last bit
        assert (scores.entropy[:, :5] == -scores.conditional[:, :5]).all()


def test_an_overconfident_scorer_is_seen(tmp_path):
    """A Gaussian predictor whose variances are halved: NLL - entropy = 1/2, whatever the position: E z^2 / 2 rises from 1/2 to 1."""
    law = HierarchicalGaussian(3)
    z = law.sample(1000, seed=2)[0]
    scorer = LinearGaussian(law, 64, temperature=0.5)
    scores = scoring.score(z, scorer, out=tmp_path, length=64, shuffles=0, splits=[2], ratios=[2], entropy=True)
    curve = l2m.position_nll(scores, per_octave=2)
    assert (np.abs(curve.overconfidence - 0.5) < 4 * curve.overconfidence_stderr).all()


@pytest.mark.parametrize(
    ("family", "dtype"), [("llama", "float32"), ("llama", "float64"), ("gemma2", "float32"), ("mamba", "float32")]
)
def test_entropies_of_a_language_model_are_those_of_its_full_logits(family, dtype, tmp_path):
    """Against log-softmax by hand, in double precision: with the head over all positions, and in pieces."""
    import torch

    from l2m.scoring.language_model import LanguageModel, _of_targets_and_entropy

    model = random_model(family).to(getattr(torch, dtype))
    ids = np.random.default_rng(0).integers(3, VOCABULARY, (4, 48)).astype(np.uint16)
    with torch.no_grad():
        inputs = torch.cat([torch.ones(4, 1, dtype=torch.int64), torch.tensor(ids[:, :-1].astype(np.int64))], 1)
        log_q = torch.log_softmax(model(inputs, use_cache=False).logits.double(), -1)
    by_hand = -(log_q.exp() * log_q).sum(-1).numpy()
    scorer = LanguageModel.of_instance(model, start_token=1)
    values, entropy, _ = scorer.log_prob_and_entropy(ids)
    assert (values == scorer.log_prob(ids)[0]).all()
    # Logits of float32 passes agree to 1e-5 (see test_language_model), and the entropy changes by a few of these.
    tolerance = 1e-4 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(entropy, by_hand, atol=tolerance)
    targets, options = torch.tensor(ids.astype(np.int64)), {"use_cache": False}
    with torch.inference_mode():
        for step in (5, 48):
            pieces, _ = scorer._in_pieces(inputs, targets, options, _of_targets_and_entropy, step=step)
            np.testing.assert_allclose(pieces[..., 1].numpy(), by_hand, atol=tolerance)
        whole, _ = scorer._at_once(inputs, targets, options, _of_targets_and_entropy)
    np.testing.assert_allclose(whole[..., 1].numpy(), by_hand, atol=tolerance)


def test_ids_without_odds_have_no_share_in_the_entropy():
    import torch

    from l2m.scoring.language_model import _of_targets_and_entropy

    logits = torch.tensor([[[0.0, 0.0, -torch.inf, -200.0]]])
    assert _of_targets_and_entropy(logits, torch.zeros(1, 1, dtype=torch.int64))[0, 0, 1] == pytest.approx(np.log(2))


def test_entropy_is_kept_when_asked_and_changes_nothing_else(tmp_path):
    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(18, LENGTH, seed=1)))
    options = {"length": LENGTH, "splits": [4, 16], "ratios": [2, 3]}
    plain = scoring.score(corpus, source, out=tmp_path / "plain", **options)
    both = scoring.score(corpus, source, out=tmp_path / "both", entropy=True, **options)
    without, having = files_of(tmp_path / "plain"), files_of(tmp_path / "both")
    extra = {name for name in having if name.name.startswith("entropy-")}
    changed = {name for name in without if having.get(name) != without[name]}
    assert len(extra) == 3
    assert [name.name[:6] for name in changed] == ["asked-"]  # all log-probabilities are the same bytes
    assert plain.noise_floor == both.noise_floor
    # A store that was made without it reads the windows once more, and ends with the same.
    scoring.score(corpus, source, out=tmp_path / "plain", entropy=True, **options)
    grown = files_of(tmp_path / "plain")
    assert {name: grown[name] for name in having} == having
    assert (l2m.Scores.open(tmp_path / "plain").subset([3, 5]).entropy == both.entropy[[3, 5]]).all()


def test_missing_entropies_are_named(tmp_path, caplog):
    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(18, LENGTH, seed=1)))
    options = {"out": tmp_path, "length": LENGTH, "shuffles": 0, "splits": [4], "ratios": [2]}
    scores = scoring.score(corpus, source, **options)
    assert l2m.position_nll(scores).entropy is None
    with pytest.raises(l2m.InputError, match=r"holds no entropies of predictions; .*--entropy"):
        l2m.position_nll(scores, entropy=True)
    assert not caplog.records
    scoring.score(corpus, source, entropy=True, **options)
    for victim in (tmp_path / "passes").glob("entropy-000008-*"):
        victim.unlink()
    scores = l2m.Scores.open(tmp_path)
    assert l2m.position_nll(scores).entropy is None
    assert "10 of 18 windows have the entropies of their predictions; they are left out" in caplog.text
    assert l2m.position_nll(scores, entropy=True).settings["windows"] == 10
    assert l2m.position_nll(scores, entropy=False).settings["windows"] == 18
    assert l2m.position_nll(scoring.score(corpus, source, entropy=True, **options)).settings["windows"] == 18


def test_a_scorer_that_cannot_is_refused_in_one_line(tmp_path):
    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(18, LENGTH, seed=1)))
    options = {"out": tmp_path, "length": LENGTH, "entropy": True}
    with pytest.raises(l2m.InputError, match=r"entropy: .*mixed with uniform") as caught:
        scoring.score(corpus, Mixture(source, 0.2), **options)
    assert "\n" not in str(caught.value)
    with pytest.raises(l2m.InputError, match="prefixes"):
        scoring.score(corpus, source, prefix=[[1, 2], [3]], **options)
    with pytest.raises(l2m.InputError, match="entropy: 'yes'"):
        scoring.score(corpus, source, **{**options, "entropy": "yes"})
    assert not tmp_path.exists() or not list(tmp_path.iterdir())
    # One prefix is a scorer like any other.
    scores = scoring.score(corpus, source, prefix=[[1, 2]], **options)
    np.testing.assert_allclose(
        scores.entropy[0, 0], source.log_prob_and_entropy(np.array([[1, 2, 0]]))[1][0, 2], rtol=1e-6
    )


def test_quantiles_are_those_of_single_tokens(tmp_path):
    source = SOURCES["markov"]
    scores = scoring.score(
        source.sample(400, LENGTH, seed=3), source, out=tmp_path, length=LENGTH, shuffles=0, splits=[2], ratios=[2]
    )
    curve = l2m.position_nll(scores, per_octave=1, levels=[0.1, 0.5])
    by_hand = np.quantile(-scores.conditional[:, 7:15].astype(float), [0.1, 0.5])
    np.testing.assert_allclose(curve.quantiles[:, 3], by_hand, rtol=1e-12)
    assert list(curve.columns())[-2:] == ["q10", "q50"]
    assert curve.to("bits").quantiles[1, 3] == pytest.approx(by_hand[1] / np.log(2))
    for wrong in ([1.5], "half", [np.nan]):
        with pytest.raises(l2m.InputError, match="levels"):
            l2m.position_nll(scores, levels=wrong)
