"""Scoring with the models of transformers, against plain passes."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.scoring.bipartite import bipartite
from l2m.scoring.windows import Windows
from scored import LENGTH, SOURCES, full_pass
from tiny_models import FAMILIES, LOSE_THEIR_STATE, SCORED_IN_FLOAT64, VOCABULARY, random_model


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


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_scores_as_a_full_pass_of_one_sequence(family, tmp_path, caplog):
    """Cached against full and batch against single, to 1e-4, for every pass; families that lose their state are found out."""
    model = random_model(family)
    if family in SCORED_IN_FLOAT64:
        model.double()
    ids = np.random.default_rng(0).integers(3, VOCABULARY, (4, 48)).astype(np.uint16)
    scores = scoring.score(l2m.Corpus(list(ids)), model, out=tmp_path, length=48, splits=[5, 16], ratios=[2, 3])
    said = [record.getMessage() for record in caplog.records if record.name == "l2m"]
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


def opt():
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.OPTConfig(
        vocab_size=5000, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48,
        max_position_embeddings=300, word_embed_proj_dim=32, bos_token_id=1,
    )  # fmt: skip
    return transformers.OPTForCausalLM(config).eval()


def adapted():
    """As PEFT wraps a model: its `base_model` is a tuner that holds the whole model and gives logits."""
    import torch

    model = random_model("llama")

    class Tuner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *arguments, **options):
            return self.model(*arguments, **options)

    class Adapted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.base_model = Tuner()
            self.config, self.dtype = model.config, model.dtype

        def forward(self, *arguments, cache=None, **options):
            return self.base_model(*arguments, cache=cache, **options)

        def get_input_embeddings(self):
            return model.get_input_embeddings()

    return Adapted().eval()


@pytest.mark.parametrize(("make", "in_pieces"), [(opt, False), (adapted, False), (lambda: random_model("llama"), True)])
def test_the_head_is_applied_in_pieces_only_where_that_is_equal(make, in_pieces, tmp_path, monkeypatch):
    """Pieces of a few tokens, as a large vocabulary makes them: OPT was 6.8 nats off from the first piece's end."""
    import l2m.scoring.language_model as module

    monkeypatch.setitem(module._LOGITS_AT_ONCE, "cpu", 1 << 14)
    model = make()
    rows = np.random.default_rng(1).integers(3, 97, (2, 64))
    assert module.LanguageModel.of_instance(model).head_in_pieces == in_pieces
    scores = scoring.score(rows, model, out=tmp_path, length=64, ratios=(2,))
    for row in range(2):
        np.testing.assert_allclose(scores.conditional[row], full_pass(model, [], rows[row]), atol=1e-5)
        np.testing.assert_allclose(scores.marginal(32)[row], full_pass(model, [], rows[row, 32:]), atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what the model classes say while they are built
def test_every_causal_model_class() -> None:
    """None differs, and the page has the same types and outcomes as a run today."""
    import scoring_matrix

    rows = [scoring_matrix.run(model_type) for model_type in scoring_matrix.model_types()]
    assert [row for row in rows if row.outcome == "differs"] == []
    assert sum(row.outcome == "equal" for row in rows) >= 100
    written = scoring_matrix.PAGE.read_text(encoding="utf-8")
    for row in rows:
        assert f"| {row.model_type} | {row.model_class} | {row.outcome} |" in written
