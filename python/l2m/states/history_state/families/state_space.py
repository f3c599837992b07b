"""State-space models, Mamba and Mamba-2, and their hybrids with attention."""

from collections.abc import Iterator

from l2m.states.history_state.config import Config, key_value_heads, scaled
from l2m.states.history_state.families.layers import FLOAT32, every, layered, transformers_family
from l2m.states.history_state.state import Memory, convolution, recurrent


def selective_scan(layer: int, inner: int, state: int, kernel: int) -> Iterator[Memory]:
    """Mamba (Gu & Dao 2023, arXiv 2312.00752): a state of `state` numbers per channel, and a short convolution."""
    yield recurrent(layer, inner * state, bits=FLOAT32)
    yield convolution(layer, inner, kernel)


def state_space_dual(layer: int, inner: int, state: int, groups: int, kernel: int) -> Iterator[Memory]:
    """Mamba-2 (Dao & Gu 2024, arXiv 2405.21060): heads * head_dim * state; the convolution also runs over B and C."""
    yield recurrent(layer, inner * state, bits=FLOAT32)
    yield convolution(layer, inner + 2 * groups * state, kernel)


@transformers_family("mamba", "falcon_mamba", defaults={"expand": 2, "state_size": 16, "conv_kernel": 4})
def mamba(c: Config) -> Iterator[Memory]:
    """Mamba layers throughout. A config may name its inner width; falcon-mamba-7b's `expand` is not what it was built with."""
    inner = c.get("intermediate_size", None) or scaled(c, "expand", "hidden_size")
    for layer in range(c.num_hidden_layers):
        yield from selective_scan(layer, inner, c.state_size, c.conv_kernel)


@transformers_family("mamba2", defaults={"conv_kernel": 4, "n_groups": 8, "state_size": 128, "head_dim": 64})
def mamba2(c: Config) -> Iterator[Memory]:
    """Mamba-2 layers throughout."""
    for layer in range(c.num_hidden_layers):
        yield from state_space_dual(layer, c.num_heads * c.head_dim, c.state_size, c.n_groups, c.conv_kernel)


def _jamba_linear(c: Config, layer: int) -> Iterator[Memory]:
    return selective_scan(layer, scaled(c, "mamba_expand", "hidden_size"), c.mamba_d_state, c.mamba_d_conv)


@transformers_family(
    "jamba",
    nulls=("num_key_value_heads",),
    defaults={
        "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_expand": 2, "mamba_d_state": 16, "mamba_d_conv": 4,
        "num_key_value_heads": 8, "head_dim": None, "sliding_window": None,
        "layer_types": lambda c: every(c.attn_layer_period, offset=c.attn_layer_offset, first="mamba")(c),
    },
)  # fmt: skip
@transformers_family("zamba")
def jamba(c: Config) -> Iterator[Memory]:
    """Mamba layers with global attention among them (Lieber et al. 2024, arXiv 2403.19887)."""
    return layered(c, linear=_jamba_linear)


def _bamba_linear(c: Config, layer: int) -> Iterator[Memory]:
    inner = c.get("mamba_d_ssm", None) or scaled(c, "mamba_expand", "hidden_size")
    return state_space_dual(layer, inner, c.mamba_d_state, c.mamba_n_groups, c.mamba_d_conv)


@transformers_family("bamba", "granitemoehybrid", "falcon_h1")
def bamba(c: Config) -> Iterator[Memory]:
    """Mamba-2 layers with global attention among them, or both in every layer (falcon_h1)."""
    return layered(c, linear=_bamba_linear)


def _zamba2_linear(c: Config, layer: int) -> Iterator[Memory]:
    inner = scaled(c, "mamba_expand", "hidden_size")
    return state_space_dual(layer, inner, c.mamba_d_state, c.mamba_ngroups, c.mamba_d_conv)


@transformers_family("zamba2")
def zamba2(c: Config) -> Iterator[Memory]:
    """Mamba-2 layers; some also run a shared attention of twice the width."""
    return layered(c, cached=lambda c: 2 * key_value_heads(c) * c.attention_head_dim, linear=_zamba2_linear)


def _nemotron_linear(c: Config, layer: int) -> Iterator[Memory]:
    inner = c.mamba_num_heads * c.mamba_head_dim
    return state_space_dual(layer, inner, c.ssm_state_size, c.n_groups, c.conv_kernel)


@transformers_family("nemotron_h")
def nemotron_h(c: Config) -> Iterator[Memory]:
    """Mamba-2, attention and feed-forward as layers of their own."""
    return layered(c, linear=_nemotron_linear)
