"""Tiny models of every causal class of the installed `transformers`, with random weights, for the matrices."""

import inspect
from typing import Any

VOCABULARY = 97
MOST_PARAMETERS = 60_000_000

# What a class needs besides its own defaults to be built, or to be built small.
NEEDS: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"] * 2, "num_hidden_layers": 4},
    "xlstm": {"num_hidden_layers": 2, "hidden_size": 256, "num_heads": 2},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid", "linear_attention"], "num_hidden_layers": 3},
    "nemotron_h": {"layers_block_type": ["linear_attention", "moe", "full_attention", "mlp", "linear_attention"]},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_routed_experts": 4, "moe_intermediate_size": 64},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "dory": {"n_input_layers": 2, "n_output_layers": 2},
    "dbrx": {"attn_config": {"kv_n_heads": 4, "rope_theta": 1e4, "clip_qkv": 8.0}},
    "gpt_neo": {"num_layers": 4, "attention_types": [[["global", "local"], 2]]},
    "gemma3n_text": {"num_hidden_layers": 10, "num_kv_shared_layers": 4}
    | {"hidden_size": 128, "vocab_size": 256, "vocab_size_per_layer_input": 256, "intermediate_size": [64] * 10}
    | {"num_attention_heads": 4, "head_dim": 32, "activation_sparsity_pattern": [0.0] * 10, "laurel_rank": 8}
    | {"hidden_size_per_layer_input": 16},
    "jetmoe": {"hidden_size": 128, "num_key_value_heads": 2, "kv_channels": 48, "num_local_experts": 4}
    | {"num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 256},
    "longcat_flash": {"hidden_size": 128, "ffn_hidden_size": 64, "expert_ffn_hidden_size": 32, "num_layers": 2}
    | {"num_attention_heads": 4, "n_routed_experts": 8, "moe_topk": 2, "vocab_size": 256, "q_lora_rank": 32}
    | {"zero_expert_num": 2},
    "rembert": {"hidden_size": 96, "num_attention_heads": 4, "vocab_size": 256, "intermediate_size": 64}
    | {"input_embedding_size": 32, "output_embedding_size": 32},
    "cohere_compass_text": {
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4} for kind in ("full_attention", "sliding_attention")
        }
    },
    "qwen4_exp_text": {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 64},
    "glm4_moe": {"head_dim": 64},
    "hunyuan_v1_dense": {"head_dim": 64},
    "hunyuan_v1_moe": {"head_dim": 64, "num_experts": 4, "moe_topk": 1},
    "ministral": {"head_dim": 64, "num_key_value_heads": 8},
    "nemotron": {"num_key_value_heads": 8},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"], "num_hidden_layers": 3},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"], "num_hidden_layers": 3},
}

# Sizes by the names that configs give them; a class takes those it knows.
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "hidden_size": 64, "d_model": 64, "n_embd": 64, "dim": 64, "word_embed_proj_dim": 64, "embedding_size": 64,
    "intermediate_size": 96, "ffn_dim": 96, "n_inner": 96, "ffn_hidden_size": 96, "decoder_ffn_dim": 96, "encoder_ffn_dim": 96,
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "decoder_layers": 2, "encoder_layers": 2,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "decoder_attention_heads": 4, "encoder_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128, "n_positions": 128, "n_ctx": 128,
    "sliding_window": 16, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 4,
    "num_local_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
    "kv_lora_rank": 8, "q_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8,
    "state_size": 8, "mamba_d_state": 8, "ssm_state_size": 8, "vocab_size_per_layer_input": VOCABULARY,
}  # fmt: skip
# Steps back towards the class's defaults, for classes whose sizes depend on each other.
KEPT: tuple[tuple[str, ...], ...] = (
    (),
    ("head_dim", "num_key_value_heads"),
    ("head_dim", "num_key_value_heads", "num_attention_heads", "hidden_size", "intermediate_size"),
    tuple(name for name in SMALL if "vocab" not in name and "token" not in name and "layer" not in name),
    tuple(name for name in SMALL if "vocab" not in name),
)


def model_types() -> dict[str, str]:
    """Every causal model type of the installed transformers, and its class."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return dict(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()))


def tiny_model(model_type: str, **changes: Any) -> Any:
    """A model of the type with random weights; `changes` to its config go before everything else.

    Raises:
        ValueError: none of the sizes fits the class; the last reason is told.
    """
    import torch
    import transformers

    config_class = transformers.CONFIG_MAPPING[model_type]
    accepted = set(inspect.signature(config_class.__init__).parameters)
    reason = "no sizes fit"
    for kept in KEPT:
        sizes = {name: value for name, value in SMALL.items() if name in accepted and name not in kept}
        try:
            config = config_class(**{**sizes, **NEEDS.get(model_type, {}), **changes})
            for name, value in (("is_encoder_decoder", False), ("is_decoder", True), ("add_cross_attention", False)):
                if hasattr(config, name):
                    setattr(config, name, value)
            with torch.device("meta"):
                size = sum(p.numel() for p in transformers.AutoModelForCausalLM.from_config(config).parameters())
            if size > MOST_PARAMETERS:
                reason = f"{size:,} parameters"
                continue
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.dim() > 1:
                        parameter.normal_(0, 0.1)
                model(input_ids=torch.arange(1, 9)[None], use_cache=False)
        except Exception as error:  # whatever a class raises for sizes that do not fit each other
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            continue
        return model
    raise ValueError(reason)
