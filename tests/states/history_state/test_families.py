"""The formulas: against the cache that transformers fills, against what packages allocate, and by hand."""

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import l2m
import state_matrix
from l2m.states.history_state import Config
from l2m.states.history_state.config import MissingField
from l2m.states.history_state.registry import FAMILIES
from model_configs import MAMBA_130M

# One of each kind of memory and of each way to write a config; docs/memory-matrix.md has them all.
CHECKED = (
    *("bert", "bart", "cohere2", "deepseek_v3", "falcon", "falcon_h1", "gemma4_text", "gpt2", "gpt_bigcode", "gpt_oss"),
    *("hy_v4", "jamba", "kimi_linear", "lfm2", "llama4_text", "longcat_flash", "mamba2", "minimax", "nemotron_h"),
    *("qwen3_next", "rwkv", "xlstm", "zamba2", "zaya"),
)


@pytest.mark.filterwarnings("ignore")  # what the model classes say while they are built
@pytest.mark.parametrize("model_type", CHECKED)
def test_formula_is_what_transformers_allocates(model_type: str) -> None:
    row = state_matrix.run(model_type)
    assert row.outcome == "formula", row.detail


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("model_type", "expected"), [("gpt2", "yes"), ("mamba", "no, by "), ("rwkv", "yes")])
def test_which_families_lose_their_state(model_type: str, expected: str) -> None:
    """Several tokens after a cache: transformers' Mamba forgets what it has read, one token at a time does not."""
    found = state_matrix.continues(model_type)
    assert found.startswith(expected)
    assert model_type != "mamba" or found.endswith("one by one yes")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_causal_model_class() -> None:
    """None differs, none is skipped; the page is as a run today would write it, but for the versions of libraries."""
    rows = [state_matrix.checked(model_type) for model_type in state_matrix.model_types()]
    assert [row for row in rows if row.outcome == "differs"] == []
    assert sum(row.outcome == "formula" for row in rows) >= 60
    written = state_matrix.PAGE.read_text(encoding="utf-8").splitlines()
    assert written[8:] == state_matrix.page(rows).splitlines()[8:]


READ_FROM_FILES = sorted(
    name
    for name, found in FAMILIES.items()
    if found.defaults is not None and found.source.startswith("transformers") and name not in state_matrix.DECODERS
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model_type", READ_FROM_FILES)
def test_a_file_that_leaves_fields_out_means_what_its_class_says(model_type: str) -> None:
    """A config file with fields left out at random: our defaults against those of the class in transformers."""
    from transformers import CONFIG_MAPPING

    full = CONFIG_MAPPING[model_type]().to_dict()
    generator, compared = np.random.default_rng(0), 0
    for _ in range(30):
        kept = {key: value for key, value in full.items() if generator.random() < 0.8 and key != "layer_types"}
        kept["model_type"] = model_type
        try:
            config = CONFIG_MAPPING[model_type].from_dict(dict(kept))
            ours = tuple(FAMILIES[model_type].formula(Config(kept, FAMILIES[model_type].defaults)))
        except (MissingField, l2m.InputError, ValueError):
            continue  # then the class completes it, or the fields left contradict each other
        theirs = tuple(FAMILIES[model_type].formula(Config(config)))
        assert [memory.to_dict() for memory in ours] == [memory.to_dict() for memory in theirs], kept
        compared += 1
    assert compared >= 3


def test_class_defaults_fill_what_a_dict_leaves_out() -> None:
    assert l2m.history_state({"model_type": "mamba"}).at(1).total == 32 * 2 * 768 * (16 + 4)


def test_outside_families_by_hand() -> None:
    """Each as its paper counts it; n = 1000 tokens where it matters."""
    base = {"num_hidden_layers": 2, "hidden_size": 64}
    cases = {
        "retnet": ({"num_heads": 4}, 2 * 4 * 16 * 32),
        "gla": ({"num_heads": 4}, 2 * 4 * 8 * 16),
        "delta_net": ({"num_heads": 4}, 2 * (4 * 16 * 16 + 3 * 64 * 4)),
        "gated_deltanet": ({"num_heads": 2, "head_dim": 16}, 2 * (2 * 16 * 32 + (32 + 32 + 64) * 4)),
        "kda": ({"num_heads": 2, "head_dim": 16}, 2 * (2 * 16 * 16 + 3 * 32 * 4)),
        "rwkv6": ({"num_heads": 4}, 2 * (4 * 8 * 16 + 2 * 64)),
        "rwkv7": ({"head_dim": 16}, 2 * (4 * 16 * 16 + 2 * 64)),
        "hgrn2": ({"expand_ratio": 16}, 2 * 16 * 64),
        "log_linear_mamba2": ({"state_size": 8}, 2 * (10 * 128 * 8 + (128 + 16) * 4)),  # floor(log2 1000) + 1 = 10
        "ttt_linear": ({"num_heads": 4}, 2 * 4 * (16 * 16 + 16)),
        "ttt_mlp": ({"num_heads": 4}, 2 * 4 * (2 * 16 * 64 + 64 + 16)),
        "h3": ({"state_size": 8}, 2 * (64 * 8 + 64 * 8)),
        "hyena": ({}, 2 * (2 * 64 * 1000 + 3 * 64 * 3)),
        "laughing_hyena": ({"state_size": 8}, 2 * (2 * 2 * 64 * 8 + 3 * 64 * 3)),
    }
    for model_type, (fields, expected) in cases.items():
        assert l2m.history_state({"model_type": model_type, **base, **fields}).at(1000).total == expected, model_type
    log_linear = l2m.history_state({"model_type": "log_linear_mamba2", **base})
    assert (log_linear.growth, log_linear.growth_exponent) == ("logarithmic", 0.0)
    levels = log_linear.at([1, 2, 3, 4, 1023, 1024]).recurrent // log_linear.at(1).recurrent
    assert levels.tolist() == [1, 2, 2, 3, 10, 11]
    hybrid = {"attn": {"layers": [1], "num_heads": 4, "window_size": 10}, "num_heads": 4}
    assert l2m.history_state({"model_type": "gla", **base, **hybrid}).at(1000).attention == 2 * 64 * 9


def test_what_mamba_ssm_allocates() -> None:
    """In a process of its own: with an empty stand-in for its CUDA module, transformers would take its kernels for real."""
    if None in (importlib.util.find_spec("mamba_ssm"), importlib.util.find_spec("triton")):
        pytest.skip("needs the extra 'mamba', and triton, which torch for the CPU does not bring")
    code = "import mamba_ssm_states; mamba_ssm_states.compare_with_mamba_ssm()"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2] / "helpers", capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_mamba_ssm_config_by_hand() -> None:
    published = {"d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {}, "rms_norm": True}
    assert l2m.history_state(published).at(9).total == l2m.history_state(MAMBA_130M).at(9).total


@pytest.mark.filterwarnings("ignore")
def test_recurrent_gemma_keeps_its_state_in_its_modules() -> None:
    """It returns no cache: the attention's is handed in, the rest is read off the modules after a real run."""
    import torch
    from transformers import DynamicCache, RecurrentGemmaConfig, RecurrentGemmaForCausalLM

    config = RecurrentGemmaConfig(
        num_hidden_layers=3, vocab_size=32, hidden_size=48, lru_width=48, intermediate_size=96, num_attention_heads=4,
        num_key_value_heads=2, attention_window_size=6, conv1d_width=5,
    )  # fmt: skip
    model, cache = RecurrentGemmaForCausalLM(config).eval(), DynamicCache(config=config)
    with torch.no_grad():
        model(input_ids=torch.ones((1, 9), dtype=torch.long), cache=cache, use_cache=True)
    kept = [getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values")]
    for module in model.modules():
        kept += [getattr(module, name, None) for name in ("recurrent_states", "conv1d_state")]
    held = sum(tensor.numel() for tensor in kept if isinstance(tensor, torch.Tensor))
    assert l2m.history_state(config).at(9).total == held == 2 * 2 * 12 * 5 + 2 * 48 * 5
