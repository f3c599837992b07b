"""Writes python/l2m/states/history_state/catalogue.json: the configs of well-known models, each with its source.

    uv pip install --no-deps --target /tmp/litgpt litgpt && python benches/write_catalogue.py /tmp/litgpt

Numbers come from the configs that litgpt (Apache-2.0) carries, from the defaults of config classes in transformers that
are one published model's, and from the paper's tables; a model without such a source is left out. Only the fields that
the model's formula reads are kept.
"""

import argparse
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from typing import Any

from l2m.base.files import write_json
from l2m.states.history_state.config import Config, MissingField
from l2m.states.history_state.registry import FAMILIES

FILE = Path(__file__).parent.parent / "python" / "l2m" / "states" / "history_state" / "catalogue.json"

# Name in litgpt: the model_type its config has on the hub.
LITGPT = {
    **dict.fromkeys(("pythia-160m", "pythia-1.4b", "pythia-12b"), "gpt_neox"),
    **dict.fromkeys(("Llama-2-7b-hf", "Llama-2-70b-hf", "Llama-3-8B", "Llama-3.1-8B", "Llama-3.1-70B"), "llama"),
    **dict.fromkeys(("Llama-3.1-405B", "Llama-3.2-1B", "Llama-3.2-3B", "tiny-llama-1.1b"), "llama"),
    **dict.fromkeys(("SmolLM2-135M", "SmolLM2-360M", "SmolLM2-1.7B"), "llama"),
    **dict.fromkeys(("Mistral-7B-v0.1", "Mistral-7B-v0.3", "Mistral-Large-Instruct-2407"), "mistral"),
    "Mixtral-8x7B-v0.1": "mixtral",
    "Gemma-2b": "gemma",
    **dict.fromkeys(("Gemma-2-2b", "Gemma-2-9b", "Gemma-2-27b"), "gemma2"),
    **dict.fromkeys(("Gemma-3-1b-it", "Gemma-3-4b-it", "Gemma-3-12b-it", "Gemma-3-27b-it"), "gemma3_text"),
    **dict.fromkeys(("Qwen2.5-0.5B", "Qwen2.5-7B", "Qwen2.5-72B"), "qwen2"),
    **dict.fromkeys(("Qwen3-0.6B", "Qwen3-8B", "Qwen3-32B"), "qwen3"),
    **dict.fromkeys(("phi-2",), "phi"),
    **dict.fromkeys(("OLMo-7B-hf",), "olmo"),
    **dict.fromkeys(("OLMo-2-1124-7B",), "olmo2"),
}
# Name: the class whose defaults it is.
TRANSFORMERS = {
    "ai21labs/Jamba-v0.1": "jamba",
    "Zyphra/Zamba-7B-v1": "zamba",
    "Zyphra/Zamba2-2.7B": "zamba2",
    "Qwen/Qwen3-Next-80B-A3B": "qwen3_next",
    "deepseek-ai/DeepSeek-V3": "deepseek_v3",
    "deepseek-ai/DeepSeek-V3.2-Exp": "deepseek_v32",
    "openai/gpt-oss-120b": "gpt_oss",
    "moonshotai/Kimi-Linear-48B-A3B": "kimi_linear",
    "NX-AI/xLSTM-7b": "xlstm",
    "meta-llama/Llama-4-Scout-17B-16E": "llama4_text",
    "google/gemma-3n-E4B": "gemma3n_text",
    "allenai/Olmo-Hybrid-7B": "olmo_hybrid",
    "XiaomiMiMo/MiMo-V2-Flash": "mimo_v2_flash",
    "mistralai/Mamba-Codestral-7B-v0.1": "mamba2",
    "HuggingFaceTB/SmolLM3-3B": "smollm3",
}
PAPER = "Chen et al. 2025 (arXiv 2503.04725), table of models; Mamba: expand 2, state 16, kernel 4"
MAMBA = {"mamba-130m": (24, 768), "mamba-370m": (48, 1024), "mamba-790m": (48, 1536), "mamba-1.4b": (48, 2048)}
GPT2 = {"gpt2": (12, 768, 12), "gpt2-medium": (24, 1024, 16), "gpt2-large": (36, 1280, 20)}


class Recorder(Config):
    """A config that remembers which fields were read, and as what."""

    def __init__(self, source: Any, defaults: Any = None) -> None:
        super().__init__(source, defaults, nulls=tuple(source) if isinstance(source, dict) else ())
        self._read: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            value = super().__getattr__(name)
        except MissingField:
            self._read[name] = None
            raise
        self._read[name] = value
        return value

    def of_layer(self, layer: int) -> Config:
        if getattr(self._source, "is_heterogeneous", False):
            raise SystemExit(f"{self._source.model_type}: layers differ; expected a config of one kind")
        return self


def entry(name: str, model_type: str, source: str, config: Any, where: str) -> dict[str, Any]:
    """One model: the fields its formula reads, with vocabulary, positions and precision."""
    read = Recorder(config, FAMILIES[model_type].defaults)
    list(FAMILIES[model_type].formula(read))
    for field in ("vocab_size", "max_position_embeddings", "num_hidden_layers"):
        read.get(field, None)
    fields = dict(sorted(read._read.items()))
    return {"name": name, "source": source, "where": where, "config": {"model_type": model_type, **fields}}


def from_litgpt(folder: Path) -> list[dict[str, Any]]:
    sys.path.append(str(folder))
    spec = importlib.util.spec_from_file_location("litgpt_config", folder / "litgpt" / "config.py")
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules["litgpt_config"] = module
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    version = next(folder.glob("litgpt-*.dist-info")).name.split("-")[1].removesuffix(".dist")
    entries = []
    for name, model_type in LITGPT.items():
        lit = module.Config.from_name(name)
        config = {
            "model_type": model_type,
            "num_hidden_layers": lit.n_layer,
            "hidden_size": lit.n_embd,
            "num_attention_heads": lit.n_head,
            "num_key_value_heads": lit.n_query_groups,
            "head_dim": lit.head_size,
            "vocab_size": lit.vocab_size,
            "max_position_embeddings": lit.block_size,
            "sliding_window": lit.sliding_window_size,
            "layer_types": None,
        }
        if lit.sliding_window_size is not None and lit.sliding_window_indices is not None:
            kinds = ("full_attention", "sliding_attention")
            config["layer_types"] = [kinds[bool(windowed)] for windowed in lit.sliding_window_indices]
        hub = lit.hf_config
        full_name = f"{hub['org']}/{hub['name']}" if hub else name
        entries.append(entry(full_name, model_type, f"litgpt {version}", config, f"litgpt.Config.from_name({name!r})"))
    return entries


def from_transformers() -> list[dict[str, Any]]:
    from transformers import CONFIG_MAPPING

    version = importlib.metadata.version("transformers")
    entries = []
    for name, model_type in TRANSFORMERS.items():
        config = CONFIG_MAPPING[model_type]()
        where = f"defaults of {type(config).__name__}"
        entries.append(entry(name, model_type, f"transformers {version}", config, where))
    return entries


def from_paper() -> list[dict[str, Any]]:
    entries = []
    for name, (layers, width) in MAMBA.items():
        config = {"num_hidden_layers": layers, "hidden_size": width, "vocab_size": 50280}
        entries.append(entry(f"state-spaces/{name}", "mamba", "paper", config, PAPER))
    for name, (layers, width, heads) in GPT2.items():
        config = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "vocab_size": 50257}
        config["max_position_embeddings"] = 1024
        entries.append(entry(f"openai-community/{name}", "gpt2", "paper", config, PAPER))
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("litgpt", type=Path, help="folder that litgpt was installed into")
    arguments = parser.parse_args()
    entries = from_litgpt(arguments.litgpt) + from_transformers() + from_paper()
    entries.sort(key=lambda one: one["name"].lower().split("/")[-1])
    write_json(FILE, entries)
    print(f"{len(entries)} models -> {FILE}")


if __name__ == "__main__":
    main()
