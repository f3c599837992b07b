"""Text before every pass: one prefix, and the mixture of several."""

import shutil
from typing import ClassVar

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers

import l2m
from l2m import scoring
from l2m.scoring.bipartite import bipartite
from l2m.scoring.prefix import Prefixed, Resolved, resolve
from l2m.scoring.request import Request
from l2m.scoring.run import forecast
from l2m.scoring.settings import ScoreSettings
from l2m.truth.gaussian import HierarchicalGaussian
from l2m.truth.sources import GaussianSource, LatentSource
from scored import LENGTH
from texts import some_texts

PROBABILITIES = np.linspace(0.1, 0.9, 5)


class Told:
    """Tokens 0 and 1 are independent; what a one's probability is, the token before them says: 2, 3, ... Without it, a half."""

    settings: ClassVar = {"name": "told"}
    vocab_size = 2 + PROBABILITIES.size

    def log_prob(self, tokens, state=None):
        p = np.full(len(tokens), 0.5) if state is None else state
        selectors = tokens[:, 0] >= 2
        if selectors.any():
            p = np.where(selectors, PROBABILITIES[np.maximum(tokens[:, 0].astype(int), 2) - 2], p)
        chance = np.where(tokens == 1, p[:, None], 1 - p[:, None])
        return np.log(np.where(tokens < 2, chance, 1 / self.vocab_size)), p


EACH = [[2 + k] for k in range(PROBABILITIES.size)]


def test_the_mixture_of_prefixes_is_the_source_that_draws_one_of_them(tmp_path):
    """Given its prefix each part is a law of independent tokens, without any information; the mixture has what the source has.

    The reference is the latent source, which marginalises over what is drawn. Rounding: sums of 64 logarithms in float64.
    """
    source = LatentSource(PROBABILITIES)
    mixture = Prefixed(Told(), EACH)
    ids = source.sample(1500, LENGTH, seed=3)
    exact, _ = source.log_prob(ids)
    given, state = mixture.log_prob(ids[:, :20])
    again, state = mixture.log_prob(ids[:, 20:21], state)
    rest, _ = mixture.log_prob(ids[:, 21:], state)
    assert np.abs(np.concatenate([given, again, rest], 1) - exact).max() < 1e-11
    assert np.abs(mixture.plain(ids) - exact).max() < 1e-11

    corpus = l2m.Corpus(list(ids))
    scores = scoring.score(corpus, Told(), out=tmp_path / "mixture", length=LENGTH, prefix=EACH)
    for estimator, truth in (("direct", source.bipartite_information), ("vclub", source.vclub)):
        curve = bipartite(scores, estimator=estimator)
        expected = [truth(split, 2 * split) for split in curve.split]
        assert (np.abs(curve.information - expected) < 4 * curve.stderr).all()
    one = scoring.score(corpus, Told(), out=tmp_path / "one", length=LENGTH, prefix=EACH[:1], shuffles=0)
    assert np.abs(bipartite(one).information).max() == 0


def test_a_mixture_is_at_most_log_k_worse_than_its_best_part():
    ids = np.random.default_rng(0).integers(0, 2, (50, LENGTH))
    parts = np.stack([Prefixed(Told(), [one]).log_prob(ids)[0].sum(1) for one in EACH])
    mixed = Prefixed(Told(), EACH).log_prob(ids)[0].sum(1)
    assert (mixed <= parts.max(0) + 1e-9).all()
    assert (mixed >= parts.max(0) - np.log(len(EACH)) - 1e-9).all()


@pytest.fixture(scope="module")
def prose(tiny_model):
    source = scoring.resolve_model(tiny_model)
    return source, l2m.tokenize(some_texts(4), source.encoder(), duplicates="keep")


@pytest.mark.parametrize("prefix", ["An excerpt: ", ("none", "An excerpt: ", "Once more. ")])
def test_every_pass_begins_with_the_prefix(prefix, prose, tmp_path):
    """Against one plain pass of transformers over start token, prefix and tokens, for each prefix; mixed as whole sequences."""
    import torch
    from transformers import AutoModelForCausalLM

    source, corpus = prose
    options = {"length": 32, "windows": 4, "splits": [4, 8], "ratios": [2], "device": "cpu"}
    scores = scoring.score(corpus, source, out=tmp_path, prefix=prefix, **options)
    model = AutoModelForCausalLM.from_pretrained(source.folder).double()
    several = [prefix] if isinstance(prefix, str) else list(prefix)

    def of_sequence(tokens):
        """log q of each beginning of the tokens, the empty one first."""
        parts = []
        for one in several:
            before = [] if one == "none" else source.encoder().encode([one])[0].tolist()
            both = torch.tensor([[0, *before, *map(int, tokens)]])
            with torch.no_grad():
                logits = model(both[:, :-1], use_cache=False).logits[0]
            values = torch.log_softmax(logits, 1)[torch.arange(both.size(1) - 1), both[0, 1:]].numpy()[len(before) :]
            parts.append(np.concatenate([[0], np.cumsum(values)]))
        return np.logaddexp.reduce(parts, 0) - np.log(len(parts))

    for row in range(4):
        window = corpus[int(scores.documents[row])][scores.starts[row] :][:32]
        whole = of_sequence(window)
        assert np.abs(np.diff(whole) - scores.conditional[row]).max() < 1e-4
        for split in (4, 8):
            future = np.diff(of_sequence(window[split : 2 * split]))
            assert np.abs(future - scores.marginal(split)[row]).max() < 1e-4
    assert scores.settings["prefix"] == several
    # What a shuffled pass continues has read the prefix too: with the window itself as partner it would be the conditional.
    settings = ScoreSettings(prefix=prefix, length=32, device="cpu")
    scorer = Request(corpus=corpus, model=source, settings=settings).scorer(source)
    tokens = corpus[0][:24][None]
    _, state = scorer.log_prob(tokens[:, :8])
    assert np.abs(scorer.log_prob(tokens[:, 8:], state)[0] - scorer.plain(tokens)[:, 8:]).max() < 1e-4


def test_the_prefix_is_a_setting_of_the_store(prose, tmp_path):
    source, corpus = prose
    options = {"out": tmp_path, "length": 32, "device": "cpu", "shuffles": 0, "windows": 2}
    scores = scoring.score(corpus, source, prefix="none", **options)
    assert scores.settings["prefix"] is None
    with pytest.raises(l2m.InputError, match=r"holds a run with prefix = None, not \['Once. '\]"):
        scoring.score(corpus, source, prefix="Once. ", **options)


def test_the_default_is_a_blank_line_where_the_model_can_be_given_one(prose, tmp_path):
    from transformers import AutoModelForCausalLM

    source, corpus = prose
    options = {"length": 32, "device": "cpu", "shuffles": 0, "windows": 2}
    scores = scoring.score(corpus, source, out=tmp_path / "default", **options)
    assert scores.settings["prefix"] == ["\n\n"]
    named = scoring.score(corpus, source, out=tmp_path / "named", prefix="\n\n", **options)
    assert (scores.conditional == named.conditional).all()
    bare = scoring.score(corpus, source, out=tmp_path / "bare", prefix="none", **options)
    assert (scores.conditional != bare.conditional).any()
    rows = corpus[0][:32][None]
    model = AutoModelForCausalLM.from_pretrained(source.folder)
    memory = scoring.score(rows, model, out=tmp_path / "memory", **options | {"windows": 1})
    assert memory.settings["prefix"] is None  # no tokenizer
    assert resolve(None, source, corpus, room=1) == Resolved()
    assert resolve(None, source, corpus, room=2).named == ("\n\n",)


@pytest.mark.parametrize("normalizer", [normalizers.Strip(), normalizers.Replace("\n", "#")])
def test_a_tokenizer_without_line_ends_has_no_prefix_by_default(normalizer, prose, tiny_model, tmp_path):
    words = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "<unk>": 1, "a": 2}, unk_token="<unk>"))
    words.normalizer = normalizer
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    words.save(str(folder / "tokenizer.json"))
    assert resolve(None, scoring.resolve_model(folder), prose[1]) == Resolved()


def test_a_forecast_counts_the_prefixes(prose, tmp_path):
    source, corpus = prose
    settings = ScoreSettings(
        length=32, splits=[4, 8], ratios=[2], windows=2, device="cpu", prefix=["none", "ab", "abc"]
    )
    plan = forecast(Request(corpus=corpus, model=source, settings=settings), tmp_path / "scores")
    lengths = [len(source.encoder().encode([text])[0]) for text in ("ab", "abc")]
    assert plan.details["passes"] == {
        "conditional": 2 * (3 * 32 + sum(lengths)),
        "marginal": 2 * (3 * (4 + 8) + 2 * sum(lengths)),
        "shuffled": 2 * 3 * (4 + 8),
        "contexts": 0,
    }


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ([], r"prefix: \[\]; expected a text, several, or 'none'"),
        (3, "prefix: 3; expected a text"),
        ("", r"prefix: \[''\] holds an empty one"),
        (["none", "none"], "holds the same twice"),
        ([[1, 2], [1, 2]], "holds the same twice"),
        ([[-1]], "prefix: -1"),
        ([[1.5]], "prefix: 1.5"),
        ([[99]], "prefix: token id 99; the model knows ids below 7"),
        ("some text", "prefix: the text 'some text' for a model without a tokenizer"),
    ],
)
def test_bad_prefixes_are_refused_before_anything_is_written(prefix, message, tmp_path):
    corpus = l2m.Corpus(list(LatentSource(PROBABILITIES).sample(4, LENGTH, seed=3)))
    with pytest.raises(l2m.InputError, match=message):
        scoring.score(corpus, Told(), out=tmp_path / "scores", length=LENGTH, prefix=prefix)
    assert not (tmp_path / "scores").exists()


def test_prefixes_that_models_cannot_take(prose, tmp_path):
    source, corpus = prose
    long = "a word and another. " * 200
    with pytest.raises(
        l2m.InputError, match=r"length: 64 after a prefix of \d+ tokens; the context of .* is 512 tokens"
    ):
        scoring.score(corpus, source, out=tmp_path / "a", length=64, prefix=long, device="cpu")
    law = HierarchicalGaussian(3)
    rows = law.sample(4, seed=0)[0]
    with pytest.raises(l2m.InputError, match="prefix: text before a source that is no language model"):
        scoring.score(rows, GaussianSource(law), out=tmp_path / "b", length=rows.shape[1], prefix=[[1]])


def test_a_tokenizer_that_cannot_spell_the_prefix_is_named(tmp_path):
    from l2m.truth.sources import MarkovSource

    MarkovSource([[0.9, 0.1], [0.2, 0.8]]).save_pretrained(tmp_path / "model")
    source = scoring.resolve_model(tmp_path / "model")
    corpus = l2m.tokenize(["0 1 " * 40, "1 1 0 " * 40], source.encoder(), duplicates="keep")
    with pytest.raises(l2m.InputError, match="prefix: 'An excerpt' has characters that the tokenizer"):
        scoring.score(corpus, source, out=tmp_path / "scores", length=16, prefix="An excerpt", device="cpu")
    scores = scoring.score(corpus, source, out=tmp_path / "scores", length=16, prefix="0 1", device="cpu")
    assert len(scores) == 2


def test_bytes_are_told_bytes(tmp_path):
    corpus = l2m.tokenize(some_texts(2), "bytes", duplicates="keep")

    class Bytes(Told):
        vocab_size = 256

        def log_prob(self, tokens, state=None):
            seen.append(bytes(tokens[0].astype(np.uint8)))
            return np.full(tokens.shape, -5.0), 0

    seen = []
    scoring.score(corpus, Bytes(), out=tmp_path, length=16, prefix="- \u00fc -", shuffles=0)
    assert all(part.startswith("- \u00fc -".encode()) for part in seen[:1])
