"""What the package mamba-ssm allocates; run in a process of its own."""

import importlib
import sys
import types

import l2m


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
