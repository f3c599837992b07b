"""Linear attention, gated recurrences and short convolutions, and their hybrids with attention."""

from collections.abc import Iterator

from l2m.states.history_state.config import Config, head_dim
from l2m.states.history_state.families.attention import latent_numbers
from l2m.states.history_state.families.layers import FLOAT32, every, layered, transformers_family
from l2m.states.history_state.state import Memory, convolution, recurrent


def delta_rule(c: Config, layer: int) -> Iterator[Memory]:
    """Gated DeltaNet (Yang et al. 2024, arXiv 2412.06464): a matrix per value head, convolutions over q, k and v."""
    keys = c.linear_num_key_heads * c.linear_key_head_dim
    values = c.linear_num_value_heads * c.linear_value_head_dim
    yield recurrent(layer, values * c.linear_key_head_dim, bits=FLOAT32)
    yield convolution(layer, 2 * keys + values, c.linear_conv_kernel_dim)


@transformers_family(
    "qwen3_next",
    defaults={
        "full_attention_interval": 4, "layer_types": every("full_attention_interval", first="linear_attention"),
        "head_dim": 256, "num_key_value_heads": 2, "linear_num_key_heads": 16, "linear_key_head_dim": 128,
        "linear_num_value_heads": 32, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "sliding_window": None,
    },
)  # fmt: skip
@transformers_family("qwen3_5_text", "qwen3_5_moe_text", "olmo_hybrid", "lara_mini")
def gated_deltanet_hybrid(c: Config) -> Iterator[Memory]:
    """Gated DeltaNet layers with attention among them."""
    return layered(c, linear=delta_rule)


def _delta_attention(c: Config, layer: int) -> Iterator[Memory]:
    width = c.linear_num_heads * c.linear_head_dim
    yield recurrent(layer, width * c.linear_head_dim, bits=FLOAT32)
    yield convolution(layer, 3 * width, c.linear_conv_kernel_dim)


@transformers_family("kimi_linear", "bailing_hybrid")
def kimi_linear(c: Config) -> Iterator[Memory]:
    """Kimi delta attention (Kimi Team 2025, arXiv 2510.26692) with latent attention among it."""
    return layered(c, cached=latent_numbers, linear=_delta_attention)


def _lightning(c: Config, layer: int) -> Iterator[Memory]:
    yield recurrent(layer, c.num_attention_heads * head_dim(c) ** 2)


@transformers_family("minimax")
def minimax(c: Config) -> Iterator[Memory]:
    """Lightning attention (a matrix per head) with global attention among it (MiniMax 2025, arXiv 2501.08313)."""
    return layered(c, linear=_lightning)


def _short_convolution(c: Config, layer: int) -> Iterator[Memory]:
    yield convolution(layer, c.hidden_size, c.conv_L_cache)


@transformers_family("lfm2", "lfm2_moe", "lfm3")
def lfm2(c: Config) -> Iterator[Memory]:
    """Gated short convolutions with attention among them."""
    return layered(c, linear=_short_convolution)


def _gated_recurrence(c: Config, layer: int) -> Iterator[Memory]:
    width = c.get("lru_width", c.hidden_size)
    yield recurrent(layer, width, bits=FLOAT32)
    yield convolution(layer, width, c.conv1d_width, stored=c.conv1d_width - 1)


@transformers_family("recurrent_gemma")
def recurrent_gemma(c: Config) -> Iterator[Memory]:
    """Griffin: gated linear recurrences with local attention among them (De et al. 2024, arXiv 2402.19427)."""
    return layered(c, linear=_gated_recurrence)


def _compressed_projection(c: Config, layer: int) -> Iterator[Memory]:
    columns = (c.cca_time0 - 1) + (c.cca_time1 - 1)  # two convolutions, one after the other
    width = (c.num_attention_heads + c.num_key_value_heads) * c.head_dim
    yield convolution(layer, width, columns + 1, stored=columns)
    yield recurrent(layer, c.num_key_value_heads * c.head_dim // 2)


@transformers_family("zaya")
def zaya(c: Config) -> Iterator[Memory]:
    """Compressed convolutional attention: a convolution and half of the last token's values, besides the cache."""
    return layered(c, linear=_compressed_projection)


@transformers_family("rwkv", defaults={"attention_hidden_size": None})
def rwkv(c: Config) -> Iterator[Memory]:
    """RWKV-4 (Peng et al. 2023, arXiv 2305.13048): two token shifts; a weighted average's three running terms."""
    for layer in range(c.num_hidden_layers):
        yield recurrent(layer, 2 * c.hidden_size)
        yield recurrent(layer, 3 * c.get("attention_hidden_size", c.hidden_size), bits=FLOAT32)


def _multiple(size: float, of: int) -> int:
    return int((size + of - 1) // of) * of


@transformers_family(
    "xlstm",
    defaults={
        "hidden_size": lambda c: c.embedding_dim, "num_hidden_layers": lambda c: c.num_blocks, "num_heads": 8,
        "qk_dim_factor": 0.5, "v_dim_factor": 1.0,
    },
)  # fmt: skip
def xlstm(c: Config) -> Iterator[Memory]:
    """mLSTM (Beck et al. 2024, arXiv 2405.04517): per head a matrix memory, a normaliser and a stabiliser."""
    keys = _multiple(c.hidden_size * c.qk_dim_factor, 64) // c.num_heads
    values = _multiple(c.hidden_size * c.v_dim_factor, 64) // c.num_heads
    for layer in range(c.num_hidden_layers):
        yield recurrent(layer, c.num_heads * (keys * values + keys + 1))
