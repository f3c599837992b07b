"""Configs of one model of each kind, as their files have them, for the tests that need a model."""

SMOLLM2 = {
    "model_type": "llama", "num_hidden_layers": 30, "hidden_size": 576, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
}  # fmt: skip
MAMBA_130M = {
    "model_type": "mamba", "num_hidden_layers": 24, "hidden_size": 768, "state_size": 16, "expand": 2,
    "conv_kernel": 4, "vocab_size": 50280,
}  # fmt: skip
MISTRAL_7B = {
    "model_type": "mistral", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
    "num_key_value_heads": 8, "sliding_window": 4096, "vocab_size": 32000,
}  # fmt: skip
JAMBA = {
    "model_type": "jamba", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
    "num_key_value_heads": 8, "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_expand": 2, "mamba_d_state": 16,
    "mamba_d_conv": 4, "vocab_size": 65536,
}  # fmt: skip
