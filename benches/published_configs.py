"""Configs of models that neither litgpt nor a class's defaults has, each with the public file it was read in.

Only what decides sizes is here; the rest is the class's default.
"""

from typing import Any

GEMMA4 = "transformers, src/transformers/models/gemma4/convert_gemma4_weights.py"
SLIME = "THUDM/slime, scripts/models"


def _repeated(pattern: list[str], times: int) -> list[str]:
    return pattern * times


_SIX = ["sliding_attention"] * 5 + ["full_attention"]
_FOUR = ["linear_attention"] * 3 + ["full_attention"]
_QWEN3_5: dict[str, Any] = {
    "vocab_size": 248_320,
    "max_position_embeddings": 262_144,
    "head_dim": 256,
    "linear_num_key_heads": 16,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
}


def _qwen3_5(
    layers: int, width: int, inner: int, heads: int, kv: int, values: int, *, tied: bool = False
) -> dict[str, Any]:
    return _QWEN3_5 | {
        "model_type": "qwen3_5_text",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "linear_num_value_heads": values,
        "layer_types": _repeated(_FOUR, layers // 4),
        "tie_word_embeddings": tied,
    }


def _qwen3_5_moe(
    layers: int, width: int, heads: int, values: int, experts: int, chosen: int, inner: int
) -> dict[str, Any]:
    return _QWEN3_5 | {
        "model_type": "qwen3_5_moe_text",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": 2,
        "linear_num_value_heads": values,
        "num_experts": experts,
        "num_experts_per_tok": chosen,
        "moe_intermediate_size": inner,
        "shared_expert_intermediate_size": inner,
        "layer_types": _repeated(_FOUR, layers // 4),
    }


def _gemma4(layers: int, width: int, inner: int, heads: int, kv: int, **others: Any) -> dict[str, Any]:
    return {
        "model_type": "gemma4_text",
        "num_hidden_layers": layers,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "layer_types": _repeated(_SIX, layers // 6),
        "vocab_size": 262_144,
    } | others


_LARGE_GEMMA4: dict[str, Any] = {
    "hidden_size_per_layer_input": 0,
    "attention_k_eq_v": True,
    "num_kv_shared_layers": 0,
    "sliding_window": 1024,
    "max_position_embeddings": 262_144,
}
_NEMOTRON = {"M": "mamba", "E": "moe", "*": "attention"}
_QWEN_27B = _qwen3_5(64, 5120, 17_408, 24, 4, 48)
_QWEN_35B = _qwen3_5_moe(40, 2048, 16, 32, 256, 8, 512)

PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen/Qwen3.5-0.8B": (f"{SLIME}/qwen3.5-0.8B.sh", _qwen3_5(24, 1024, 3584, 8, 2, 16, tied=True)),
    "Qwen/Qwen3.5-27B": (f"{SLIME}/qwen3.5-27B.sh", _QWEN_27B),
    "Qwen/Qwen3.6-27B": ("ggml-org/llama.cpp, logs of issue 23792", _QWEN_27B),
    "Qwen/Qwen3.8-27B": ("as Qwen3.5-27B; llama.cpp logs the same sizes", _QWEN_27B),
    "Qwen/Qwen3.5-35B-A3B": (f"{SLIME}/qwen3.5-35B-A3B.sh", _QWEN_35B),
    "Qwen/Qwen3.6-35B-A3B": (f"{SLIME}/qwen36-35B-A3B.sh", _QWEN_35B),
    "Qwen/Qwen3.5-397B-A17B": (f"{SLIME}/qwen3.5-397B-A17B.sh", _qwen3_5_moe(60, 4096, 32, 64, 512, 10, 1024)),
    "google/gemma-4-E2B-it": (
        GEMMA4,
        _gemma4(35, 1536, 6144, 8, 1, num_kv_shared_layers=20, use_double_wide_mlp=True)
        | {"layer_types": _repeated(["sliding_attention"] * 4 + ["full_attention"], 7)},
    ),
    "google/gemma-4-E4B-it": (GEMMA4, _gemma4(42, 2560, 10_240, 8, 2, num_kv_shared_layers=18)),
    "google/gemma-4-31B-it": (
        GEMMA4,
        _gemma4(60, 5376, 21_504, 32, 16, num_global_key_value_heads=4, **_LARGE_GEMMA4),
    ),
    "google/gemma-4-26B-A4B-it": (
        GEMMA4,
        _gemma4(30, 2816, 2112, 16, 8, num_global_key_value_heads=2, **_LARGE_GEMMA4)
        | {"enable_moe_block": True, "num_experts": 128, "moe_intermediate_size": 704, "top_k_experts": 8},
    ),
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B": (
        f"{SLIME}/nemotron-nano-30B-A3B.sh",
        {
            "model_type": "nemotron_h",
            "hidden_size": 2688,
            "vocab_size": 131_072,
            "max_position_embeddings": 262_144,
            "layers_block_type": [_NEMOTRON[kind] for kind in "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"],
            "num_attention_heads": 32,
            "num_key_value_heads": 2,
            "head_dim": 128,
            "intermediate_size": 1856,
            "mamba_num_heads": 64,
            "mamba_head_dim": 64,
            "ssm_state_size": 128,
            "n_groups": 8,
            "n_routed_experts": 128,
            "num_experts_per_tok": 6,
            "moe_intermediate_size": 1856,
            "moe_shared_expert_intermediate_size": 3712,
        },
    ),
}
"""Name on the hub -> where it was read, and its fields."""
