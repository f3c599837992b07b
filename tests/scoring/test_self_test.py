"""The self-test: what it refuses and works around."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.scoring.windows import Windows
from scored import LENGTH, SOURCES, full_pass


class Peeking:
    """Not causal: every value knows the last token."""

    def log_prob(self, tokens, state=None):
        return -1.0 - 0.1 * np.broadcast_to(tokens[:, -1:], tokens.shape), None


def test_a_model_that_sees_the_future_is_refused(tmp_path):
    corpus = l2m.Corpus(list(SOURCES["markov"].sample(4, LENGTH, seed=1)))
    with pytest.raises(l2m.InputError, match="causal"):
        scoring.score(corpus, Peeking(), out=tmp_path, length=LENGTH)


class OfLength:
    """The odds change for every token of an input longer than 40, as a long rope's frequencies do."""

    def log_prob(self, tokens, state=None):
        read = (state or 0) + tokens.shape[1]
        return np.full(tokens.shape, -1.0 - 0.5 * (read > 40)), read


def test_a_model_that_changes_with_the_length_of_its_input_is_refused(tmp_path):
    """The position is beyond the first 64 tokens of a window, and beyond its half; a shorter window is fine."""
    corpus = l2m.Corpus(list(SOURCES["markov"].sample(4, LENGTH, seed=1)))
    with pytest.raises(l2m.InputError, match="score differently in a longer input") as refused:
        scoring.score(corpus, OfLength(), out=tmp_path / "long", length=LENGTH)
    assert "expected a shorter length" in str(refused.value)
    scoring.score(corpus, OfLength(), out=tmp_path / "short", length=32)


def test_a_long_rope_that_switches_inside_the_window_is_found(tmp_path):
    """Phi-3's long rope takes other frequencies for inputs beyond the original context: 48 of 128 tokens here."""
    import torch
    import transformers

    torch.manual_seed(0)
    rope = {
        "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4, "long_factor": [9.0] * 4,
        "original_max_position_embeddings": 48, "factor": 4.0,
    }  # fmt: skip
    config = transformers.Phi3Config(
        vocab_size=97, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        intermediate_size=48, bos_token_id=1, pad_token_id=0, max_position_embeddings=192,
        original_max_position_embeddings=48, rope_parameters=rope,
    )  # fmt: skip
    model = transformers.Phi3ForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    rows = np.random.default_rng(0).integers(3, 97, (2, 128))
    with pytest.raises(l2m.InputError, match="longer input"):
        scoring.score(rows, model, out=tmp_path / "long", length=128)
    scores = scoring.score(rows[:, :40], model, out=tmp_path / "short", length=40)
    np.testing.assert_allclose(scores.conditional[0], full_pass(model, [], rows[0, :40]), atol=1e-5)


class Window:
    """A scorer whose state forgets what is further back than 40 tokens, though a full pass knows it."""

    settings = {"name": "window"}  # noqa: RUF012

    def log_prob(self, tokens, state=None):
        before, lost = state if state is not None else (np.zeros((len(tokens), 1)), 0)
        lost = 1.0 if state is not None and lost + tokens.shape[1] > 40 else 0.0
        sums = np.cumsum(np.concatenate([before, tokens], 1), 1)[:, :-1]
        return -1.0 - sums % 3 - 0.5 * lost, (sums[:, -1:] + tokens[:, -1:], tokens.shape[1])


def test_a_state_that_fails_beyond_the_first_tokens_is_computed_in_full(tmp_path, caplog):
    corpus = l2m.Corpus(list(SOURCES["markov"].sample(4, 128, seed=1)))
    scores = scoring.score(corpus, Window(), out=tmp_path, length=128)
    assert "shuffled passes are computed in full" in caplog.text
    (test,) = scores.self_tests()
    assert test["recomputed_in_full"]
    assert test["length"] == 128
    split = 64
    whole = Window().log_prob(
        np.concatenate([corpus[0][:split], Windows(corpus, 128).partners([0], 0)[0][0, split:]])[None]
    )
    np.testing.assert_allclose(scores.shuffled(split, 0)[0], whole[0][0, split:])


class Crowded:
    """In a batch, every sequence is a little off."""

    def log_prob(self, tokens, state=None):
        return np.full(tokens.shape, -1.0 - 0.01 * (len(tokens) > 1)), 0


def test_a_batch_that_disturbs_its_sequences_is_scored_one_by_one(tmp_path, caplog):
    corpus = l2m.Corpus(list(SOURCES["markov"].sample(4, LENGTH, seed=1)))
    scores = scoring.score(corpus, Crowded(), out=tmp_path, length=LENGTH)
    assert "one by one" in caplog.text
    assert (scores.conditional == -1).all()
    (test,) = scores.self_tests()
    assert test["one_by_one"]
    assert not test["recomputed_in_full"]


def test_the_noise_floor_knows_the_precision_of_the_numbers(tmp_path):
    """Two ways that agree to the last bit are still only as good as float32, in which log-probabilities are kept."""
    source = SOURCES["markov"]
    scores = scoring.score(l2m.Corpus(list(source.sample(4, LENGTH, seed=1))), source, out=tmp_path, length=LENGTH)
    exact, _ = source.log_prob(source.sample(4, LENGTH, seed=1))
    off = np.abs(scores.conditional - exact).max()
    assert 0 < off <= scores.noise_floor < 1e-6


def test_the_noise_floor_is_what_float32_misses_of_float64(tiny_model, tmp_path):
    """Logits in the hundreds: two float32 passes agree to the last bit or nearly, and miss float64 by more."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        model.lm_head.weight *= 3000
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ids = np.random.default_rng(0).integers(6, 290, (2, 64))
    ids[:, 0] = 5
    scores = scoring.score(ids, model, out=tmp_path, length=64, shuffles=0, start_token=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    (report,) = scores.self_tests()
    inputs = torch.tensor([[0, *ids[0, :31]]])
    with torch.no_grad():
        single, double = (
            torch.log_softmax(logits.double()[0], 1)[torch.arange(32), torch.tensor(ids[0, :32])]
            for logits in (model(inputs).logits, model.double()(inputs).logits)
        )
    missed = float((single - double).abs().max())
    assert missed > 1e-6
    # Another float32 pass rounds otherwise: the floor is of the size of what is missed.
    assert missed / 3 < report["differences"]["single against double precision"] < 3 * missed
    assert scores.noise_floor >= report["differences"]["single against double precision"]
