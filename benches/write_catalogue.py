"""Writes python/l2m/states/history_state/catalogue.json: the configs of well-known models, each with its source.

    uv pip install --no-deps --target /tmp/litgpt litgpt && python benches/write_catalogue.py /tmp/litgpt

Numbers come from the configs that litgpt (Apache-2.0) carries, from the defaults of config classes in transformers that
are one published model's, from files in public repositories (published_configs.py), and from the paper's tables; a model
without such a source is left out. Only the fields that the model's formula reads are kept. The weights of each are
counted once, here, on the meta device: that takes minutes, and the catalogue answers in milliseconds.
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
from l2m.states.history_state.state import BITS
from l2m.states.history_state.weights import count
from published_configs import PUBLISHED

FILE = Path(__file__).parent.parent / "python" / "l2m" / "states" / "history_state" / "catalogue.json"

# Name in litgpt: the model_type its config has on the hub.
LITGPT = {
    **dict.fromkeys(("pythia-160m", "pythia-1.4b", "pythia-12b"), "gpt_neox"),
    **dict.fromkeys(("Llama-2-7b-hf", "Llama-2-70b-hf", "Llama-3-8B", "Llama-3.1-8B", "Llama-3.1-70B"), "llama"),
    **dict.fromkeys(("Llama-3.1-405B", "Llama-3.2-1B", "Llama-3.2-3B", "Llama-3.3-70B-Instruct"), "llama"),
    **dict.fromkeys(("R1-Distill-Llama-8B", "R1-Distill-Llama-70B", "tiny-llama-1.1b"), "llama"),
    **dict.fromkeys(("Falcon3-1B-Base", "Falcon3-3B-Base", "Falcon3-7B-Base", "Falcon3-10B-Base"), "llama"),
    **dict.fromkeys(("SmolLM2-135M", "SmolLM2-360M", "SmolLM2-1.7B"), "llama"),
    **dict.fromkeys(("Mistral-7B-v0.1", "Mistral-7B-v0.3", "Mistral-Large-Instruct-2407"), "mistral"),
    "Mixtral-8x7B-v0.1": "mixtral",
    "Gemma-2b": "gemma",
    **dict.fromkeys(("Gemma-2-2b", "Gemma-2-9b", "Gemma-2-27b"), "gemma2"),
    **dict.fromkeys(("Gemma-3-1b-it", "Gemma-3-4b-it", "Gemma-3-12b-it", "Gemma-3-27b-it"), "gemma3_text"),
    **dict.fromkeys(("Qwen2.5-0.5B", "Qwen2.5-1.5B", "Qwen2.5-3B", "Qwen2.5-7B", "Qwen2.5-14B"), "qwen2"),
    **dict.fromkeys(("Qwen2.5-32B", "Qwen2.5-72B", "QwQ-32B", "Qwen2.5-Coder-32B"), "qwen2"),
    **dict.fromkeys(("Qwen3-0.6B", "Qwen3-1.7B", "Qwen3-4B", "Qwen3-8B", "Qwen3-14B", "Qwen3-32B"), "qwen3"),
    "Qwen3-4B-Instruct-2507": "qwen3",
    **dict.fromkeys(("Qwen3-30B-A3B", "Qwen3-235B-A22B", "Qwen3-30B-A3B-Instruct-2507"), "qwen3_moe"),
    "phi-2": "phi",
    **dict.fromkeys(("phi-4", "Phi-4-mini-instruct"), "phi3"),
    "OLMo-7B-hf": "olmo",
    **dict.fromkeys(("OLMo-2-1124-7B", "OLMo-2-1124-13B"), "olmo2"),
}
# Models whose output shares the input's table; litgpt's configs do not say so.
TIED = frozenset({
    *("Llama-3.2-1B", "Llama-3.2-3B", "SmolLM2-135M", "SmolLM2-360M", "SmolLM2-1.7B", "Gemma-2b", "Gemma-2-2b"),
    *("Gemma-2-9b", "Gemma-2-27b", "Gemma-3-1b-it", "Gemma-3-4b-it", "Gemma-3-12b-it", "Gemma-3-27b-it"),
    *("Qwen2.5-0.5B", "Qwen2.5-1.5B", "Qwen2.5-3B", "Qwen3-0.6B", "Qwen3-1.7B", "Qwen3-4B", "Qwen3-4B-Instruct-2507"),
    "Phi-4-mini-instruct",
})  # fmt: skip
# Name: the class whose defaults it is.
TRANSFORMERS = {
    "ai21labs/Jamba-v0.1": "jamba",
    "Zyphra/Zamba-7B-v1": "zamba",
    "Zyphra/Zamba2-2.7B": "zamba2",
    "Qwen/Qwen3-Next-80B-A3B": "qwen3_next",
    "Qwen/Qwen3.5-9B": "qwen3_5_text",
    "deepseek-ai/DeepSeek-V2-Lite": "deepseek_v2",
    "deepseek-ai/DeepSeek-V3": "deepseek_v3",
    "deepseek-ai/DeepSeek-V3.2-Exp": "deepseek_v32",
    "openai/gpt-oss-120b": "gpt_oss",
    "moonshotai/Kimi-Linear-48B-A3B": "kimi_linear",
    "NX-AI/xLSTM-7b": "xlstm",
    "meta-llama/Llama-4-Scout-17B-16E": "llama4_text",
    "google/gemma-3n-E4B": "gemma3n_text",
    "google/gemma-4-12B-it": "gemma4_unified_text",
    "allenai/Olmo-3-7B": "olmo3",
    "allenai/Olmo-Hybrid-7B": "olmo_hybrid",
    "XiaomiMiMo/MiMo-V2-Flash": "mimo_v2_flash",
    "mistralai/Mamba-Codestral-7B-v0.1": "mamba2",
    "HuggingFaceTB/SmolLM3-3B": "smollm3",
    "zai-org/GLM-4.7-Flash": "glm4_moe_lite",
    "zai-org/GLM-5": "glm_moe_dsa",
    "MiniMaxAI/MiniMax-M2": "minimax_m2",
    "mistralai/Ministral-3-8B": "ministral3",
    "LiquidAI/LFM3-1.7B": "lfm3",
    "tencent/Hy3-preview": "hy_v3",
    "baidu/ERNIE-4.5-0.3B-PT": "ernie4_5",
    "baidu/ERNIE-4.5-21B-A3B-PT": "ernie4_5_moe",
}
# Name: the class, and what its published configs change (the file it was read in).
DIFFERENT: dict[str, tuple[str, dict[str, Any], str]] = {
    "openai/gpt-oss-20b": (
        "gpt_oss", {"num_hidden_layers": 24, "num_local_experts": 32}, "model card: 24 layers, 32 experts",
    ),
    "zai-org/GLM-4.5-Air": ("glm4_moe", {"head_dim": 128}, "defaults of Glm4MoeConfig, head_dim of the hub's config"),
}  # fmt: skip
# What a source has otherwise: litgpt gives all of Gemma 3 128k positions, where the 1B model has 32k, and Mistral 7B its
# window; both as in the configs on the hub.
CORRECTED = {
    "google/gemma-3-1b-it": {"max_position_embeddings": 32_768},
    "mistralai/Mistral-7B-v0.1": {"max_position_embeddings": 32_768},
}
# Bits of checkpoints that are published quantized.
QUANTIZED = {
    "openai/gpt-oss-120b": {"expert_bits": BITS["mxfp4"]},
    "openai/gpt-oss-20b": {"expert_bits": BITS["mxfp4"]},
    **{
        name: {"bits": 8.0, "expert_bits": 8.0}
        for name in (
            *("deepseek-ai/DeepSeek-V3", "deepseek-ai/DeepSeek-V3.2-Exp"),
            *("MiniMaxAI/MiniMax-M2", "XiaomiMiMo/MiMo-V2-Flash"),
        )
    },
}
PAPER = "Chen et al. 2025 (arXiv 2503.04725), table of models; Mamba: expand 2, state 16, kernel 4"
MAMBA = {"mamba-130m": (24, 768), "mamba-370m": (48, 1024), "mamba-790m": (48, 1536), "mamba-1.4b": (48, 2048)}
GPT2 = {"gpt2": (12, 768, 12), "gpt2-medium": (24, 1024, 16), "gpt2-large": (36, 1280, 20)}


class Recorder(Config):
    """A config that remembers which fields were read, and as what."""

    def __init__(self, source: Any, defaults: Any = None) -> None:
        super().__init__(source, defaults, nulls=tuple(source) if isinstance(source, dict) else ())
        self._read: dict[str, Any] = {}
        self._layers: dict[int, Recorder] = {}

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
            return self._layers.setdefault(layer, Recorder(self._source.per_layer_config[layer], self._defaults))
        return self


def entry(name: str, model_type: str, source: str, config: Any, where: str, full: Any) -> dict[str, Any]:
    """One model: the fields its formula reads, with vocabulary and positions; its weights, of the `full` config."""
    read = Recorder(config, FAMILIES[model_type].defaults)
    list(FAMILIES[model_type].formula(read))
    for field in ("vocab_size", "max_position_embeddings", "num_hidden_layers"):
        read.get(field, None)
    fields = dict(sorted(read._read.items()))
    if read._layers:
        fields["per_layer"] = [
            dict(sorted(read._layers[layer]._read.items())) if layer in read._layers else {}
            for layer in range(fields["num_hidden_layers"])
        ]
    fields |= CORRECTED.get(name, {})
    weights = count(full) | QUANTIZED.get(name, {})
    print(
        f"{name:45} {model_type:18} {weights['parameters']:>18,}  {weights['chosen']}/{weights['choices']}", flush=True
    )
    return {
        "name": name, "source": source, "where": where, "weights": weights,
        "config": {"model_type": model_type, **fields},
    }  # fmt: skip


def class_config(model_type: str, **fields: Any) -> Any:
    """The config of a class of transformers with these fields changed."""
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type](**{name: value for name, value in fields.items() if value is not None})


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
        full = class_config(
            model_type,
            **{key: value for key, value in config.items() if key not in ("model_type", "vocab_size")},
            vocab_size=lit.padded_vocab_size,
            tie_word_embeddings=name in TIED,
            intermediate_size=lit.intermediate_size,
            **({"num_local_experts": lit.n_expert, "num_experts": lit.n_expert} if lit.n_expert else {}),
            **({"num_experts_per_tok": lit.n_expert_per_token} if lit.n_expert else {}),
            moe_intermediate_size=getattr(lit, "moe_intermediate_size", None),
            use_sliding_window=True if lit.sliding_window_size and model_type.startswith("qwen") else None,
        )
        entries.append(
            entry(full_name, model_type, f"litgpt {version}", config, f"litgpt.Config.from_name({name!r})", full)
        )
    return entries


def from_transformers() -> list[dict[str, Any]]:
    from transformers import CONFIG_MAPPING

    version = importlib.metadata.version("transformers")
    entries = []
    for name, model_type in TRANSFORMERS.items():
        config = CONFIG_MAPPING[model_type]()
        where = f"defaults of {type(config).__name__}"
        entries.append(entry(name, model_type, f"transformers {version}", config, where, config))
    for name, (model_type, changes, where) in DIFFERENT.items():
        config = class_config(model_type, **changes)
        entries.append(entry(name, model_type, "model card", config, where, config))
    for name, (where, fields) in PUBLISHED.items():
        model_type = fields["model_type"]
        config = class_config(model_type, **{key: value for key, value in fields.items() if key != "model_type"})
        entries.append(entry(name, model_type, "public repositories", config, where, config))
    return entries


def from_paper() -> list[dict[str, Any]]:
    entries = []
    for name, (layers, width) in MAMBA.items():
        config = {"num_hidden_layers": layers, "hidden_size": width, "vocab_size": 50280}
        full = class_config(
            "mamba", num_hidden_layers=layers, hidden_size=width, vocab_size=50_280, expand=2, state_size=16
        )
        entries.append(entry(f"state-spaces/{name}", "mamba", "paper", config, PAPER, full))
    for name, (layers, width, heads) in GPT2.items():
        config = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads, "vocab_size": 50257}
        config["max_position_embeddings"] = 1024
        full = class_config("gpt2", n_layer=layers, n_embd=width, n_head=heads)
        entries.append(entry(f"openai-community/{name}", "gpt2", "paper", config, PAPER, full))
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
