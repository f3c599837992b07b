"""The one reader of configs: nulls, ranges, per-layer lists, the text part of larger models; whole files that are damaged."""

import json
import math

import pytest

import l2m
from model_configs import JAMBA, MAMBA_130M, MISTRAL_7B, SMOLLM2

SMALL = {
    "hidden_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "sliding_window": 32, "intermediate_size": 128, "vocab_size": 97,
}  # fmt: skip


def shape(config) -> list[dict]:
    return [memory.to_dict() for memory in l2m.history_state(config).memories]


@pytest.mark.parametrize(
    "model_type",
    [
        "gemma2",
        "gemma3_text",
        "cohere2",
        "qwen2",
        "qwen3",
        "gpt_oss",
        "olmo3",
        "qwen3_next",
        "llama",
        "mistral",
        "jamba",
    ],
)
@pytest.mark.parametrize("field", ["layer_types", "head_dim", "vocab_size", "max_position_embeddings", "dtype"])
def test_null_is_a_field_left_out(model_type: str, field: str) -> None:
    config = {name: value for name, value in SMALL.items() if name != field} | {"model_type": model_type}
    assert shape({**config, field: None}) == shape(config)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model_type", ["qwen3_moe", "smollm3", "llama4_text", "granite_swa", "zamba2"])
def test_null_is_a_field_left_out_where_the_class_completes_the_config(model_type: str) -> None:
    config = {"model_type": model_type}
    nulls = dict.fromkeys(["layer_types", "layers_block_type", "head_dim", "hidden_size", "sliding_window"])
    assert shape({**config, **nulls}) == shape(config)


def test_null_within_parts_of_a_config() -> None:
    base = {"d_model": 64, "n_layer": 3, "vocab_size": 50, "ssm_cfg": {"layer": "Mamba2"}}
    nulls = {"ssm_cfg": {"layer": "Mamba2", "d_state": None, "expand": None, "ngroups": None}, "attn_cfg": None}
    assert shape({**base, **nulls, "attn_layer_idx": None}) == shape(base)


def test_a_null_that_says_something_is_read_as_its_class_reads_it() -> None:
    """Mistral 7B since version 0.2: `"sliding_window": null` is no window; left out, it is 4,096."""
    base = {name: value for name, value in MISTRAL_7B.items() if name != "sliding_window"}
    assert l2m.history_state(base).windows == (4095,)
    assert l2m.history_state({**base, "sliding_window": None}).growth == "linear"
    assert l2m.history_state({**JAMBA, "num_key_value_heads": None}).at(1).attention == 4 * 2 * 32 * 128


BAD = [True, False, "12", "", 2.7, 12.0, math.nan, math.inf, -1, 0, [], [12], {}, {"value": 3}, 10**12, 10**400]


@pytest.mark.parametrize(
    ("base", "field"),
    [
        (SMOLLM2, "num_hidden_layers"), (SMOLLM2, "num_attention_heads"), (SMOLLM2, "num_key_value_heads"),
        (SMOLLM2, "hidden_size"), (SMOLLM2, "head_dim"), (SMOLLM2, "vocab_size"), (SMOLLM2, "max_position_embeddings"),
        (MISTRAL_7B, "sliding_window"), (MAMBA_130M, "state_size"), (MAMBA_130M, "conv_kernel"),
        (JAMBA, "mamba_d_state"), (JAMBA, "attn_layer_period"),
        ({"model_type": "gla", **SMALL}, "num_heads"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", BAD, ids=repr)
def test_counts_are_whole_numbers_above_0(base, field: str, value) -> None:
    with pytest.raises(l2m.InputError, match=rf"^{base['model_type']}: {field} .*; expected a whole number") as error:
        l2m.history_state({**base, field: value})
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("value", [True, "2", math.nan, math.inf, -2, 0, [2], 10**400], ids=repr)
def test_factors_are_numbers_above_0(value) -> None:
    with pytest.raises(l2m.InputError, match=r"expand .*; expected a number above 0"):
        l2m.history_state({**MAMBA_130M, "expand": value})


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (["full_attention"] * 10, "layer_types has 10 entries; expected 6"),
        (["full_attention"] * 5, "layer_types has 5 entries; expected 6"),
        ([], "layer_types has 0 entries; expected 6"),
        (["full_attention"] * 5 + ["telepathy"], r"layer_types\[5\] 'telepathy'"),
        ([["full_attention"]] * 6, "expected a list with one name for each layer"),
        ([1] * 6, "expected a list with one name for each layer"),
        ("full_attention", "expected a list with one name for each layer"),
        ({"0": "full_attention"}, "expected a list with one name for each layer"),
    ],
)
@pytest.mark.parametrize("model_type", ["gemma3_text", "llama", "qwen3_next"])
def test_layer_types_name_every_layer(model_type: str, types, words: str) -> None:
    with pytest.raises(l2m.InputError, match=words):
        l2m.history_state({"model_type": model_type, **SMALL, "layer_types": types})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "gla", **SMALL, "num_heads": 4, "attn": {"layers": [6], "num_heads": 4}}, "layers holds 6"),
        ({"model_type": "gla", **SMALL, "num_heads": 4, "attn": {"layers": 2, "num_heads": 4}}, "list of layer numbers"),
        ({"model_type": "gla", **SMALL, "num_heads": 4, "attn": [1]}, "attn .*expected an object"),
        ({"model_type": "gla", **SMALL, "num_heads": 4, "attn": {"num_heads": 4}}, "no layers in the config"),
        ({"d_model": 64, "n_layer": 3, "ssm_cfg": {}, "attn_layer_idx": [-1]}, "attn_layer_idx holds -1"),
        ({"d_model": 64, "n_layer": 3, "ssm_cfg": [1]}, "ssm_cfg .*expected an object"),
        ({"d_model": 64, "n_layer": 3, "ssm_cfg": {"layer": "Mamba3"}}, "expected Mamba1 or Mamba2"),
        ({"model_type": "qwen2", **SMALL, "use_sliding_window": "false"}, "expected true or false"),
        ({**SMOLLM2, "torch_dtype": "float31"}, "dtype: 'float31'"),
        ({**SMOLLM2, "torch_dtype": ["float32"]}, "dtype"),
        ({"model_type": ["llama"]}, "names its model_type"),
        ({"model_type": "hybrid", **SMALL, "global_layers": -1}, "global_layers -1; expected a whole number from 0"),
    ],
)  # fmt: skip
def test_other_fields(config, words: str) -> None:
    with pytest.raises(l2m.InputError, match=words) as error:
        l2m.history_state(config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "config",
    [
        {**MISTRAL_7B, "sliding_window": 1},  # the token being read is the window
        {"model_type": "hybrid", **SMALL, "num_hidden_layers": 1, "window_layers": 1, "sliding_window": 1},
    ],
)
def test_a_state_of_no_numbers_is_refused(config) -> None:
    with pytest.raises(l2m.InputError, match="keeps nothing"):
        l2m.history_state(config)


def test_widths_without_end_are_refused() -> None:
    config = {"model_type": "minimax", **SMALL, "head_dim": 10**9, "num_attention_heads": 10**9}
    with pytest.raises(l2m.InputError):
        l2m.history_state({**config, "layer_types": ["linear_attention"] * 6})
    widest = l2m.history_state({**SMOLLM2, "head_dim": 10**9, "num_hidden_layers": 1000})
    with pytest.raises(l2m.InputError, match=r"more than 2\^62 numbers"):
        widest.at(10**12)


def test_falcon_mamba_is_as_wide_as_its_config_says() -> None:
    """falcon-mamba-7b: `expand` says 16, its inner width is 8,192 = 2 * 4,096 (transformers issue 39728)."""
    published = {
        "model_type": "falcon_mamba", "hidden_size": 4096, "intermediate_size": 8192, "expand": 16, "conv_kernel": 4,
        "num_hidden_layers": 64, "state_size": 16,
    }  # fmt: skip
    assert l2m.history_state(published).at(10).total == 64 * 8192 * (16 + 4) == 10_485_760
    assert l2m.history_state({**published, "intermediate_size": None}).at(10).total == 8 * 10_485_760
    assert l2m.history_state({**MAMBA_130M, "intermediate_size": 1000}).at(1).recurrent == 24 * 1000 * 16


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model_type", ["mamba", "falcon_mamba", "jamba", "bamba", "zamba2", "falcon_h1", "nemotron_h"])
def test_inner_widths_are_those_of_the_class(model_type: str) -> None:
    """A config that names an `intermediate_size`: it is Mamba's inner width in some classes, a perceptron's in others."""
    import state_matrix
    from l2m.states.history_state.measured import measure

    config = state_matrix.small_config(model_type)
    config.intermediate_size = 96
    assert state_matrix.compare(l2m.history_state(config), measure(config)) == ""


LLAMA_PART = {"model_type": "llama", "num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4}


@pytest.mark.parametrize("name", ["text_config", "language_config", "llm_config", "thinker_config"])
def test_the_text_part_is_read_wherever_it_is(name: str) -> None:
    whole = {"model_type": "seeing", name: LLAMA_PART, "vision_config": {"model_type": "clip_vision_model"}}
    assert shape(whole) == shape(LLAMA_PART)
    assert shape({"model_type": "hearing", "thinker_config": whole}) == shape(LLAMA_PART)


def test_a_precision_of_the_whole_is_that_of_its_text_part() -> None:
    expected = 32.0
    for key in ("dtype", "torch_dtype"):
        assert l2m.history_state({"model_type": "seeing", key: "float32", "text_config": LLAMA_PART}).bits == expected
    own = {"model_type": "seeing", "torch_dtype": "float32", "text_config": {**LLAMA_PART, "dtype": "bfloat16"}}
    assert l2m.history_state(own).bits == 16.0
    nested = {"model_type": "hearing", "dtype": "float32", "thinker_config": {"text_config": LLAMA_PART}}
    assert l2m.history_state(nested).bits == expected


TEXT = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 97,
    "intermediate_size": 96, "torch_dtype": "float32",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model_type", "text"),
    [
        *[(name, TEXT) for name in ("qwen2_vl", "qwen2_5_vl", "glm4v", "mllama")],
        ("qwen3_vl", {**TEXT, "head_dim": 16}),
        ("llava", {**TEXT, "model_type": "llama"}),
        ("gemma3", {**TEXT, "head_dim": 16, "sliding_window": 32}),
        ("kosmos-2", {"layers": 3, "embed_dim": 64, "attention_heads": 4, "vocab_size": 97}),
    ],
)
def test_models_that_also_see(model_type: str, text) -> None:
    """By a dict with a text part, by their class's object, and where files have it so by a flat dict: all alike."""
    from transformers import CONFIG_MAPPING

    heads = 4 if model_type in ("kosmos-2",) else text["num_key_value_heads"]
    text_fields = {**text}
    state = l2m.history_state({"model_type": model_type, "text_config": text_fields})
    assert state.at(20).total == state.at(20).attention == 3 * 2 * heads * 16 * 20
    config = CONFIG_MAPPING[model_type](text_config=text_fields)
    assert [memory.to_dict() for memory in l2m.history_state(config).memories] == [
        memory.to_dict() for memory in state.memories
    ]
    if model_type.startswith("qwen2"):
        flat = l2m.history_state({"model_type": model_type, **text})
        assert flat.at(20).total == state.at(20).total
        assert flat.bits == 32.0


@pytest.mark.filterwarnings("ignore")
def test_a_text_part_without_a_formula_is_measured_within_its_model() -> None:
    from transformers import CONFIG_MAPPING

    from l2m.states.history_state.registry import FAMILIES

    formula = FAMILIES.pop("paddleocr_vl_text")
    try:
        config = CONFIG_MAPPING["paddleocr_vl"]()
        measured = l2m.history_state(config)
    finally:
        FAMILIES["paddleocr_vl_text"] = formula
    assert measured.source == "measured on the meta device"
    assert measured.at([1, 7]).total.tolist() == l2m.history_state(config).at([1, 7]).total.tolist()


def test_mllama_keeps_nothing_of_text_where_it_looks_at_images() -> None:
    text = {"model_type": "mllama_text_model", **TEXT, "num_hidden_layers": 5, "cross_attention_layers": [3]}
    state = l2m.history_state({"model_type": "mllama", "text_config": text})
    assert state.at(9).per_layer.tolist() == [2 * 2 * 16 * 9] * 3 + [0] + [2 * 2 * 16 * 9]


def test_parts_without_end_are_refused() -> None:
    config: dict = {"model_type": "seeing"}
    config["text_config"] = config
    for endless in (config, {"model_type": "seeing", "text_config": [1]}, {"model_type": "seeing", "text_config": "x"}):
        with pytest.raises(l2m.InputError, match="text"):
            l2m.history_state(endless)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"null", b"[1, 2]", b"3", b'"llama"', b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 50_000,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", b'{"model_type": null}', b"{}",
        b'{"model_type": "llama", "num_hidden_layers": NaN}', b'{"model_type": "llama", "hidden_size": 1e999}',
        json.dumps({**SMOLLM2, "num_hidden_layers": [[30]]}).encode(), b'{"model_type": "llama", "text_config": 7}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_folder", [True, False])
def test_a_damaged_config_file_is_one_line(tmp_path, content: bytes, as_folder: bool) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(l2m.InputError) as error:
        l2m.history_state(tmp_path if as_folder else path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_named(tmp_path) -> None:
    (tmp_path / "config.json").mkdir()
    for name in (tmp_path, tmp_path / "config.json", "a\0b/c", ""):
        with pytest.raises(l2m.InputError):
            l2m.history_state(name)


@pytest.mark.parametrize("model_type", ["granite", "qwen3_moe", "bart", "zamba2", "seen_nowhere"])
def test_layers_without_end_are_refused_before_a_class_makes_a_list_of_them(model_type: str) -> None:
    for config in ({"model_type": model_type}, {"model_type": "llava", "text_config": {"model_type": model_type}}):
        inner = config.get("text_config", config)
        inner["num_hidden_layers"] = 10**12
        with pytest.raises(l2m.InputError, match="num_hidden_layers 1000000000000; expected a whole number"):
            l2m.history_state(config)
