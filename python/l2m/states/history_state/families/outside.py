"""Formulas for families that live outside `transformers`, each with its source.

Where the library flash-linear-attention (`fla`, MIT) has the model, fields and defaults are those of its config in
version 0.6.0; `attn` names the layers that run attention instead.
"""

from collections.abc import Iterator
from typing import Any

from l2m.errors import InputError
from l2m.states.history_state.config import Config, divided, key_value_numbers, scaled
from l2m.states.history_state.registry import family
from l2m.states.history_state.state import Memory, attention, convolution, opening, recurrent


def _attention_layers(c: Config) -> dict[int, Memory]:
    """Layers that `attn` turns into softmax attention: heads as it says, its window if any."""
    own = c.part("attn", {"num_hidden_layers": c.num_hidden_layers, "num_kv_heads": None, "window_size": None})
    if not c.get("attn"):
        return {}
    layers = own.layer_indices("layers")
    heads = own.num_heads if own.num_kv_heads is None else own.num_kv_heads
    numbers = 2 * heads * (c.hidden_size // own.num_heads)
    return {layer: attention(layer, numbers, window=own.window_size) for layer in layers}


def _linear_layers(
    c: Config, keys: int, values: int, heads: int, *, least_heads: int | None = None, shifts: int = 0
) -> Iterator[Memory]:
    """A keys/heads x values/heads matrix per head, short convolutions over q, k, v where used, and `shifts` numbers."""
    attending = _attention_layers(c)
    state = keys * values // heads
    least = None if least_heads is None else state * least_heads // heads
    for layer in range(c.num_hidden_layers):
        if layer in attending:
            yield attending[layer]
            continue
        yield Memory(layer, "recurrent", "fixed", state, least_numbers=least)
        if c.get("use_short_conv"):
            yield convolution(layer, 2 * keys + values, c.conv_size)
        if shifts:
            yield recurrent(layer, shifts)


_FLA: dict[str, Any] = {"attn": None, "use_short_conv": True, "conv_size": 4, "hidden_size": 2048}


@family(
    "gated_deltanet",
    source="Yang et al. 2024, arXiv 2412.06464; fla 0.6.0",
    defaults={**_FLA, "expand_v": 2, "head_dim": 256, "num_heads": 6, "num_v_heads": None, "num_hidden_layers": 21},
)
@family(
    "kda",
    source="Kimi Team 2025, arXiv 2510.26692; fla 0.6.0",
    defaults={**_FLA, "expand_v": 1, "head_dim": 128, "num_heads": 16, "num_v_heads": None, "num_hidden_layers": 24},
)
def gated_deltanet(c: Config) -> Iterator[Memory]:
    """Gated delta rule: per value head a head_dim x (head_dim expand_v) matrix."""
    attending = _attention_layers(c)
    value_heads = c.get("num_v_heads", c.num_heads)
    keys, values = c.num_heads * c.head_dim, value_heads * scaled(c, "expand_v", "head_dim")
    for layer in range(c.num_hidden_layers):
        if layer in attending:
            yield attending[layer]
            continue
        yield recurrent(layer, c.head_dim * values)
        if c.use_short_conv:
            yield convolution(layer, 2 * keys + values, c.conv_size)


@family(
    "delta_net",
    source="Yang et al. 2024, arXiv 2406.06484; fla 0.6.0",
    defaults={**_FLA, "expand_k": 1, "expand_v": 1, "num_heads": 16, "num_hidden_layers": 24},
)
def delta_net(c: Config) -> Iterator[Memory]:
    """Delta rule: a key x value matrix per head."""
    return _linear_layers(c, scaled(c, "expand_k", "hidden_size"), scaled(c, "expand_v", "hidden_size"), c.num_heads)


@family(
    "retnet",
    source="Sun et al. 2023, arXiv 2307.08621; fla 0.6.0",
    defaults={**_FLA, "use_short_conv": False, "expand_k": 1, "expand_v": 2, "num_heads": 8, "num_hidden_layers": 24}
    | {"num_kv_heads": None},
)
@family(
    "gla",
    source="Yang et al. 2023, arXiv 2312.06635; fla 0.6.0",
    defaults={**_FLA, "use_short_conv": False, "expand_k": 0.5, "expand_v": 1, "num_heads": 4, "num_hidden_layers": 24}
    | {"num_kv_heads": None},
)
def gated_linear_attention(c: Config) -> Iterator[Memory]:
    """A key x value matrix per head, decayed by a constant (RetNet) or a gate (GLA)."""
    keys, values = scaled(c, "expand_k", "hidden_size"), scaled(c, "expand_v", "hidden_size")
    return _linear_layers(c, keys, values, c.num_heads, least_heads=c.get("num_kv_heads"))


@family(
    "rwkv6",
    source="Peng et al. 2024, arXiv 2404.05892; fla 0.6.0",
    defaults={
        "attn": None,
        "hidden_size": 2048,
        "expand_k": 0.5,
        "expand_v": 1,
        "num_heads": 4,
        "num_hidden_layers": 24,
    }
    | {"use_short_conv": False},
)
def rwkv6(c: Config) -> Iterator[Memory]:
    """RWKV-6: a key x value matrix per head, and the last token for two token shifts."""
    keys, values = scaled(c, "expand_k", "hidden_size"), scaled(c, "expand_v", "hidden_size")
    return _linear_layers(c, keys, values, c.num_heads, shifts=2 * c.hidden_size)


@family(
    "rwkv7",
    source="Peng et al. 2025, arXiv 2503.14456; fla 0.6.0",
    defaults={"attn": None, "hidden_size": 2048, "head_dim": 64, "num_hidden_layers": 24, "use_short_conv": False},
)
def rwkv7(c: Config) -> Iterator[Memory]:
    """RWKV-7: a head_dim x head_dim matrix per head, and the last token for two token shifts."""
    heads = divided(c, "hidden_size", "head_dim")
    return _linear_layers(c, c.hidden_size, c.hidden_size, heads, shifts=2 * c.hidden_size)


@family(
    "hgrn2",
    source="Qin et al. 2024, arXiv 2404.07904; fla 0.6.0",
    defaults={**_FLA, "use_short_conv": False, "expand_ratio": 128, "num_hidden_layers": 24},
)
def hgrn2(c: Config) -> Iterator[Memory]:
    """HGRN2: an expand_ratio x head width matrix per head."""
    return _linear_layers(c, c.hidden_size, c.hidden_size, divided(c, "hidden_size", "expand_ratio"))


@family(
    "log_linear_mamba2",
    source="Guo et al. 2025, arXiv 2506.04761 (section 3: floor(log2 t) + 1 states); fla 0.6.0",
    defaults={
        "hidden_size": 2048,
        "expand": 2,
        "state_size": 128,
        "n_groups": 1,
        "conv_kernel": 4,
        "num_hidden_layers": 48,
    },
)
def log_linear_mamba2(c: Config) -> Iterator[Memory]:
    """Log-linear attention: one Mamba-2 state for each level of a Fenwick tree over the past."""
    inner = scaled(c, "expand", "hidden_size")
    for layer in range(c.num_hidden_layers):
        yield Memory(layer, "recurrent", "level", inner * c.state_size)
        yield convolution(layer, inner + 2 * c.n_groups * c.state_size, c.conv_kernel)


@family(
    "growing",
    source="l2m: training.models.growing, a state of ceil(A t^P) or ceil(A ln(1 + t)) channels a head",
    defaults={"hidden_size": 128, "num_hidden_layers": 2, "num_heads": 2, "head_dim": 64, "growth": "power:0.5:4"}
    | {"linear": False, "conv_kernel": 4, "max_position_embeddings": 1024},
)
def growing(c: Config) -> Iterator[Memory]:
    """A delta rule over channels that open with the tokens read; a short convolution in layers that are not linear."""
    for layer in range(c.num_hidden_layers):
        yield opening(layer, c.num_heads * c.head_dim, c.growth)
        if not c.linear:
            yield convolution(layer, c.hidden_size, c.conv_kernel, stored=c.conv_kernel - 1)


@family(
    "memory_caching",
    source="Behrouz et al. 2026, arXiv 2602.24281 (from its abstract: checkpoints of the memory at the end of every segment)",
    defaults={"num_heads": 16, "num_hidden_layers": 24, "expand_v": 1, "segment_length": 256},
)
def memory_caching(c: Config) -> Iterator[Memory]:
    """A key x value matrix per head, and a copy of it for each segment that was read to its end."""
    matrices = c.hidden_size * scaled(c, "expand_v", "hidden_size") // c.num_heads
    for layer in range(c.num_hidden_layers):
        yield recurrent(layer, matrices)
        yield Memory(layer, "recurrent", "token", matrices, stride=c.segment_length)


@family("ttt_linear", source="Sun et al. 2024, arXiv 2407.04620, section 2.7: f(x) = x W per head", defaults={})
def ttt_linear(c: Config) -> Iterator[Memory]:
    """Test-time training, linear: a weight matrix and a bias per head are the state."""
    width = divided(c, "hidden_size", "num_heads")
    for layer in range(c.num_hidden_layers):
        yield recurrent(layer, c.num_heads * (width * width + width))


@family("ttt_mlp", source="Sun et al. 2024, arXiv 2407.04620, section 2.7: hidden width 4 x input", defaults={})
def ttt_mlp(c: Config) -> Iterator[Memory]:
    """Test-time training, a perceptron of four times the width: its weights and biases per head are the state."""
    width = divided(c, "hidden_size", "num_heads")
    for layer in range(c.num_hidden_layers):
        yield recurrent(layer, c.num_heads * (8 * width * width + 5 * width))


@family("h3", source="Fu et al. 2022, arXiv 2212.14052, algorithm 1", defaults={"state_size": 64, "head_dim": 1})
def h3(c: Config) -> Iterator[Memory]:
    """H3: a shift state per key channel, and a diagonal state for each entry of the heads' key x value matrices."""
    for layer in range(c.num_hidden_layers):
        yield recurrent(layer, c.hidden_size * c.state_size)
        yield recurrent(layer, c.hidden_size * c.head_dim * c.state_size)


@family("hyena", source="Poli et al. 2023, arXiv 2302.10866, definition 3.1", defaults={"order": 2, "short_kernel": 3})
def hyena(c: Config) -> Iterator[Memory]:
    """Hyena: filters as long as the text, so each of the `order` products needs its whole past; a short convolution."""
    for layer in range(c.num_hidden_layers):
        yield attention(layer, c.order * c.hidden_size)
        yield convolution(layer, (c.order + 1) * c.hidden_size, c.short_kernel)


@family(
    "laughing_hyena",
    source="Massaroli et al. 2023, arXiv 2310.18780, section 3",
    defaults={"order": 2, "short_kernel": 3},
)
def laughing_hyena(c: Config) -> Iterator[Memory]:
    """Hyena distilled: each long filter as a diagonal recurrence of `state_size` complex numbers (two reals each)."""
    for layer in range(c.num_hidden_layers):
        yield recurrent(layer, 2 * c.order * c.hidden_size * c.state_size)
        yield convolution(layer, (c.order + 1) * c.hidden_size, c.short_kernel)


@family(
    "mamba_ssm",
    source="mamba-ssm 2.3.2, allocate_inference_cache of its layers",
    defaults={"ssm_cfg": {}, "attn_layer_idx": [], "attn_cfg": {}},
)
def mamba_ssm(c: Config) -> Iterator[Memory]:
    """The package mamba-ssm's own configs (d_model, n_layer, ssm_cfg), which name no model_type."""
    scan = c.part("ssm_cfg", {"expand": 2, "d_conv": 4, "layer": "Mamba1", "ngroups": 1, "d_ssm": None})
    heads = c.part("attn_cfg", {"num_heads_kv": None, "head_dim": None, "d_conv": None})
    inner, attending = int(scan.expand * c.hidden_size), c.layer_indices("attn_layer_idx")
    second = scan.layer == "Mamba2"
    if scan.layer not in ("Mamba1", "Mamba2"):
        raise InputError(f"config: ssm_cfg names the layer {scan.layer!r}; expected Mamba1 or Mamba2")
    state = scan.get("d_state", 128 if second else 16)
    for layer in range(c.num_hidden_layers):
        if layer in attending:
            kept = heads.num_heads if heads.num_heads_kv is None else heads.num_heads_kv
            size = c.hidden_size // heads.num_heads if heads.head_dim is None else heads.head_dim
            yield attention(layer, 2 * kept * size)
            if heads.d_conv is not None:
                yield convolution(layer, (heads.num_heads + 2 * kept) * size, heads.d_conv)
        elif second:
            heads_width = inner if scan.d_ssm is None else scan.d_ssm
            yield recurrent(layer, heads_width * state)
            yield convolution(layer, heads_width + 2 * scan.ngroups * state, scan.d_conv)
        else:
            yield recurrent(layer, inner * state)
            yield convolution(layer, inner, scan.d_conv)


@family(
    "hybrid",
    source="l2m: a family to design with; its layers are those of llama, mistral and mamba",
    defaults={"global_layers": 0, "window_layers": 0, "sliding_window": 4096, "num_key_value_heads": None}
    | {"head_dim": None, "expand": 2, "state_size": 16, "conv_kernel": 4},
)
def hybrid(c: Config) -> Iterator[Memory]:
    """Of `num_hidden_layers`, `global_layers` with global attention, `window_layers` with windows, the rest recurrent.

    Recurrent layers keep expand * hidden_size * state_size numbers, and a short convolution.
    """
    attending = c.global_layers + c.window_layers
    if not 0 <= attending <= c.num_hidden_layers:
        raise InputError(
            f"config: {c.global_layers} global_layers and {c.window_layers} window_layers of {c.num_hidden_layers}; "
            "expected no more than there are"
        )
    for layer in range(c.num_hidden_layers):
        if layer < attending:
            yield attention(layer, key_value_numbers(c), window=None if layer < c.global_layers else c.sliding_window)
        else:
            inner = scaled(c, "expand", "hidden_size")
            yield recurrent(layer, inner * c.state_size)
            yield convolution(layer, inner, c.conv_kernel)
