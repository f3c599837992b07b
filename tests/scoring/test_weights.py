"""The one reader of weights: exactly those of the checkpoint, from files that are hashed, without running anybody's code."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.scoring.language_model import LanguageModel
from texts import some_texts


@pytest.fixture
def copy(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    return folder


def change_weights(folder, change):
    from safetensors.torch import load_file, save_file

    weights = change(load_file(folder / "model.safetensors"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder, **changes):
    config = {**json.loads((folder / "config.json").read_text()), **changes}
    (folder / "config.json").write_text(json.dumps(config))


def renamed(prefix):
    return lambda weights: {prefix + name: value for name, value in weights.items()}


def without(*parts):
    return lambda weights: {n: v for n, v in weights.items() if not any(part in n for part in parts)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed("_orig_mod."), "no weights for"),
        (renamed("module."), "no weights for"),
        (without("lm_head"), "no weights for lm_head.weight"),
        (without("layers.1."), "no weights for model.layers.1."),
        (without("norm.weight"), "no weights for"),
        (lambda w: {**w, "model.layers.2.self_attn.q_proj.weight": w["lm_head.weight"].clone()}, "has no place for"),
        (lambda w: {**w, "lm_head.weight": w["lm_head.weight"][:-1].clone()}, "lm_head.weight|mismatch"),
    ],
)
def test_weights_that_are_not_the_models_are_named(change, message, copy):
    change_weights(copy, change)
    with pytest.raises(l2m.InputError, match=message):
        scoring.resolve_model(copy).load(device="cpu")


def test_tied_weights_are_no_gap(copy):
    change_config(copy, tie_word_embeddings=True)
    change_weights(copy, without("lm_head"))
    model = scoring.resolve_model(copy).load(device="cpu")
    assert (model.lm_head.weight == model.model.embed_tokens.weight).all()


def test_a_config_with_fewer_layers_is_not_the_models(copy):
    change_config(copy, num_hidden_layers=1, layer_types=None)
    with pytest.raises(l2m.InputError, match=r"no place for: model\.layers\.1"):
        scoring.resolve_model(copy).load(device="cpu")


def pickled(folder):
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def pointer(name):
    return lambda folder: (folder / name).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )


def index_of(file):
    def change(folder):
        (folder / "model.safetensors").rename(folder / "part.safetensors")
        weights = {"weight_map": {"lm_head.weight": "part.safetensors", "model.norm.weight": file}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(weights))

    return change


def adapter(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "other/model"}))


def cut(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


HOSTILE = {
    "a pickle": (pickled, "pickle"),
    "an adapter": (adapter, "an adapter"),
    "a pointer as weights": (pointer("model.safetensors"), "LFS pointer"),
    "a pointer as config": (pointer("config.json"), "LFS pointer"),
    "a pointer as tokenizer": (pointer("tokenizer.json"), "tokenizer.json"),
    "weights above": (index_of("../other.safetensors"), "same folder"),
    "weights by absolute path": (index_of("/etc/other.safetensors"), "same folder"),
    "weights in a folder below": (index_of("deep/other.safetensors"), "same folder"),
    "a pickle in the index": (index_of("part.bin"), "same folder"),
    "an index without files": (
        lambda f: (index_of("x")(f), (f / "model.safetensors.index.json").write_text("[]")),
        "map",
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "without weights"),
    "cut": (cut, "cannot be loaded"),
    "empty": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "cannot be loaded"),
    "other file of weights": (
        lambda f: change_config(f, transformers_weights="../x.safetensors"),
        "transformers_weights",
    ),
    "a kernel from the hub": (lambda f: change_config(f, attn_implementation="someone/kernel"), "attn_implementation"),
    "gptq": (lambda f: change_config(f, quantization_config={"quant_method": "gptq", "bits": 4}), "model"),
    "awq": (lambda f: change_config(f, quantization_config={"quant_method": "awq", "bits": 4}), "model"),
    "bitsandbytes": (
        lambda f: change_config(f, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        "model",
    ),
    "a list of configs": (lambda f: (f / "config.json").write_text("[1, 2]"), "config.json"),
    "an unknown type": (lambda f: change_config(f, model_type="nonsense"), "cannot be"),
    "T5": (lambda f: change_config(f, model_type="t5", is_encoder_decoder=True), "encoder-decoder"),
    "layers as text": (lambda f: change_config(f, num_hidden_layers="many"), "cannot be"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_folders_are_one_line(name, copy, tmp_path):
    change, message = HOSTILE[name]
    corpus = l2m.Corpus([np.arange(3, 67)] * 2)
    change(copy)
    with pytest.raises(l2m.InputError, match=message) as refused:
        scoring.score(corpus, copy, out=tmp_path / "scores", length=32, device="cpu")
    assert "\n" not in str(refused.value)


def test_a_list_as_bos_token_stands_back(copy):
    change_config(copy, bos_token_id=[0, 1])
    (copy / "tokenizer_config.json").write_text("{}")
    number, name, why = scoring.resolve_model(copy).start_token()
    assert (number, name) == (0, "<|endoftext|>")
    assert "stands in" in why


CANARY = """
import pathlib
pathlib.Path({canary!r}).write_text("it ran")
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
class Configuration(LlamaConfig):
    model_type = "ours"
class Model(LlamaForCausalLM):
    config_class = Configuration
class Tokens(PreTrainedTokenizerFast):
    pass
"""


@pytest.mark.parametrize("which", ["model", "tokenizer", "both"])
@pytest.mark.parametrize("known", [True, False])
def test_code_of_a_model_folder_never_runs_by_itself(which, known, copy, tmp_path):
    """Not even for who answers yes on the terminal."""
    canary = tmp_path / "canary"
    (copy / "code.py").write_text(CANARY.format(canary=str(canary)))
    if which != "tokenizer":
        classes = {"AutoConfig": "code.Configuration", "AutoModelForCausalLM": "code.Model"}
        change_config(copy, auto_map=classes, **({} if known else {"model_type": "ours"}))
    if which != "model":
        (copy / "tokenizer.json").rename(copy / "other.json")  # so that the tokenizer's class is asked for
        tokenizer = {"auto_map": {"AutoTokenizer": ["code.Tokens", "code.Tokens"]}, "tokenizer_class": "Tokens"}
        (copy / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (tmp_path / "text.txt").write_text(some_texts(1)[0])
    command = [
        *(sys.executable, "-m", "l2m", "score", tmp_path / "text.txt", "--model", copy, "--out", tmp_path / "scores"),
        *("--length", "32", "--device", "cpu", "--shuffles", "0"),
    ]
    ran = subprocess.run([str(word) for word in command], input="y\n" * 99, capture_output=True, text=True, timeout=300)
    assert not canary.exists()
    assert "Traceback" not in ran.stderr
    if which != "model" or not known:
        assert ran.returncode == 2
        assert ran.stderr.count("\n") == 1
    assert "[y/N]" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "experts_implementation"])
@pytest.mark.parametrize("value", ["owner/kernel", "owner/kernel@main:f", {"": "owner/kernel"}])
@pytest.mark.parametrize("nested", [False, True])
def test_no_command_takes_a_kernel_from_the_hub(key, value, nested, copy):
    """A kernel is code, and transformers fetches the one that a config names."""
    from l2m.training.models.presets import backbone_config

    change_config(copy, **({"text_config": {"model_type": "llama", key: value}} if nested else {key: value}))
    for read in (
        lambda: scoring.resolve_model(copy).load(device="cpu"),
        lambda: backbone_config(str(copy), 16),
        lambda: backbone_config(str(copy / "config.json"), 16),
        lambda: l2m.history_state(copy),
    ):
        with pytest.raises(l2m.InputError, match=rf"config.json: {key} .*owner/kernel.*; expected none"):
            read()


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "generation_config.json", "special_tokens_map.json", "chat_template.jinja", "any"]
)
@pytest.mark.parametrize("how", ["pipe", "device", "large"])
def test_what_never_ends_in_a_model_folder_is_named(name, how, copy):
    path = copy / name
    path.unlink(missing_ok=True)
    if how == "pipe":
        os.mkfifo(path)
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif name != "any":
        path.touch()
        os.truncate(path, 1 << 40)
    if how == "large" and name == "any":
        path.write_bytes(b"neither read nor named")
        scoring.resolve_model(copy)
        return
    for read in (scoring.resolve_model, l2m.history_state):
        with pytest.raises(l2m.InputError, match=f"{name}'?: (a pipe or a device|1,099,511,627,776 bytes)"):
            read(copy)


def test_code_runs_where_it_is_asked_for_by_name_and_is_part_of_the_hash(copy, tmp_path):
    canary = tmp_path / "canary"
    (copy / "code.py").write_text(CANARY.format(canary=str(canary)))
    change_config(
        copy, auto_map={"AutoConfig": "code.Configuration", "AutoModelForCausalLM": "code.Model"}, model_type="ours"
    )
    trusted = scoring.resolve_model(copy, trust_remote_code=True)
    assert trusted.load(device="cpu").config.model_type == "ours"
    assert canary.exists()
    assert trusted.hash != scoring.resolve_model(copy).hash


def test_models_in_memory_that_cannot_be_scored(tmp_path):
    import transformers

    rows = np.random.default_rng(0).integers(3, 90, (2, 32))
    sizes = {
        "vocab_size": 97,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 48,
    }
    bare = transformers.LlamaModel(transformers.LlamaConfig(**sizes, bos_token_id=1))
    t5 = transformers.T5ForConditionalGeneration(
        transformers.T5Config(vocab_size=97, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4, bos_token_id=1)
    )
    whole = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, bos_token_id=1))
    for model, start, message in (
        (bare, None, "no logits"),
        (t5, None, "encoder-decoder"),
        (whole, 97, "start_token: 97; LlamaForCausalLM knows ids from 0 to 96"),
        (whole, -1, "start_token: -1"),
        (whole, "x", "start_token: 'x'"),
        (whole, True, "start_token: True"),
    ):
        with pytest.raises(l2m.InputError, match=message):
            scoring.score(rows, model, out=tmp_path / "scores", length=32, start_token=start)
    object.__setattr__(whole.config, "bos_token_id", [1, 2])  # as code of others may leave it
    with pytest.raises(l2m.InputError, match=r"start_token: \[1, 2\]"):
        LanguageModel.of_instance(whole)


def test_a_planted_model_in_the_cache_is_not_used(tmp_path, monkeypatch):
    """Folders under a GGUF file's hash: planted, edited, cut; each is made again, with a warning."""
    from l2m.base.cache import kept_folder

    made = []

    def make(folder):
        made.append(folder)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights")

    kept = tmp_path / "models" / "hash"
    kept.mkdir(parents=True)
    (kept / "config.json").write_text("planted")
    for number, damage in enumerate(
        (
            lambda: None,  # planted before
            lambda: (kept / "model.safetensors").write_bytes(b"other"),
            lambda: (kept / "model.safetensors").unlink(),
            lambda: (kept / "more.py").write_text("code"),
            lambda: (kept / "files.json").write_text("[]"),
            lambda: (shutil.rmtree(kept), kept.symlink_to(tmp_path)),
        ),
        1,
    ):
        damage()
        assert kept_folder(kept, make) == kept
        assert len(made) == number
        assert (kept / "model.safetensors").read_bytes() == b"weights"
        assert kept_folder(kept, make) == kept
        assert len(made) == number
    assert [path.name for path in kept.parent.iterdir()] == ["hash"]
    assert not os.path.islink(kept)
