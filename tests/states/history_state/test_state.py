"""The history state as data: by hand, at any length, in any precision; laws that hold for every config."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import l2m
from model_configs import JAMBA, MAMBA_130M, MISTRAL_7B, SMOLLM2


def test_grouped_attention_by_hand() -> None:
    state = l2m.history_state(SMOLLM2)
    at = state.at(1000)
    assert at.total == at.attention == 30 * 2 * 3 * 64 * 1000
    assert (at.recurrent, at.convolution, at.bytes) == (0, 0, 2 * at.total)
    assert at.per_layer.tolist() == [2 * 3 * 64 * 1000] * 30
    assert (state.growth_exponent, state.saturation_length) == (1.0, np.inf)
    assert state.at([1, 2, 4]).total.tolist() == [11520, 23040, 46080]


def test_mamba_by_hand() -> None:
    state = l2m.history_state(MAMBA_130M)
    at = state.at(5000)
    assert at.recurrent == 24 * 2 * 768 * 16  # the paper's count: layers * 2 hidden * 16
    assert at.convolution == 24 * 2 * 768 * 4
    assert at.least == at.recurrent + 24 * 2 * 768 * 3
    assert (state.growth_exponent, state.saturation_length) == (0.0, 1.0)


def test_sliding_window_by_hand() -> None:
    state = l2m.history_state(MISTRAL_7B)
    assert state.at([4094, 4095, 4096, 10**6]).total.tolist() == [
        32 * 2 * 8 * 128 * n for n in (4094, 4095, 4095, 4095)
    ]
    assert (state.growth_exponent, state.saturation_length, state.windows) == (0.0, 4095.0, (4095,))


def test_hybrid_by_hand() -> None:
    at = l2m.history_state(JAMBA).at(100)
    assert at.attention == 4 * 2 * 8 * 128 * 100
    assert at.recurrent == 28 * 8192 * 16
    assert at.convolution == 28 * 8192 * 4
    assert np.flatnonzero(at.per_layer == 2 * 8 * 128 * 100).tolist() == [4, 12, 20, 28]
    assert l2m.history_state(JAMBA).growth_exponent == 1.0


def test_precisions() -> None:
    assert l2m.history_state(SMOLLM2, dtype="float32").at(10).bits == 32 * 115200
    mixed = l2m.history_state(JAMBA, dtype="float32", cache_dtype="int4").at(100)
    assert mixed.bits == 4 * mixed.attention + 32 * (mixed.recurrent + mixed.convolution)
    assert l2m.history_state(SMOLLM2, cache_dtype=4.5).at(10).bits == 4.5 * 115200
    with pytest.raises(l2m.InputError, match=r"cache_dtype: 'int3'; expected"):
        l2m.history_state(SMOLLM2, cache_dtype="int3")


@given(st.integers(1, 6), st.integers(1, 64), st.integers(1, 32), st.integers(2, 5), st.integers(2, 4))
def test_scaling_a_width_scales_the_state(layers: int, width: int, state: int, kernel: int, factor: int) -> None:
    base = {"num_hidden_layers": layers, "hidden_size": 16 * width, "state_size": state, "conv_kernel": kernel}
    heads = {"num_heads": width, "head_dim": 32, "n_groups": 1, "expand": 2}
    for config in ({"model_type": "mamba", "expand": 2, **base}, {"model_type": "mamba2", **base, **heads}):
        at = l2m.history_state(config).at(7)
        for field in ("hidden_size", "num_heads"):
            if field in config:
                config = {**config, field: factor * config[field]}
        wider = l2m.history_state(config).at(7)
        assert wider.recurrent == factor * at.recurrent == factor * layers * 32 * width * state
        if config["model_type"] == "mamba":
            assert wider.convolution == factor * at.convolution
        doubled = l2m.history_state({**config, "state_size": 2 * state}).at(7)
        assert doubled.recurrent == 2 * wider.recurrent


@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 4), st.integers(1, 10**6), st.integers(1, 10**6))
def test_monotone_and_linear(layers: int, heads: int, groups: int, n: int, m: int) -> None:
    config = {
        "model_type": "llama", "num_hidden_layers": layers, "hidden_size": 16 * heads * groups,
        "num_attention_heads": heads * groups, "num_key_value_heads": heads,
    }  # fmt: skip
    state = l2m.history_state(config)
    assert state.at(n + m).total == state.at(n).total + state.at(m).total
    wider = l2m.history_state({**config, "hidden_size": 3 * config["hidden_size"]})
    assert wider.at(n).total == 3 * state.at(n).total


def test_lengths_that_need_a_word() -> None:
    with pytest.warns(UserWarning, match="10,000 tokens, but the model has 8,192 positions"):
        assert l2m.history_state(SMOLLM2).at(10_000).total == 115_200_000
    with pytest.warns(UserWarning, match="length 0"):
        assert l2m.history_state(SMOLLM2).at(0).total == 0
    for bad in (-1, 1.5, "many", []):
        with pytest.raises(l2m.InputError, match="length"):
            l2m.history_state(SMOLLM2).at(bad)


def test_saved_and_loaded(tmp_path) -> None:
    state = l2m.history_state(JAMBA, cache_dtype="int8")
    state.save(tmp_path / "state.json")
    loaded = l2m.load(tmp_path / "state.json")
    assert loaded.at(500).bits == state.at(500).bits
    assert loaded.growth == "linear"
