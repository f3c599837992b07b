"""What the formulas of `transformers` models share: layers of several kinds, in the order a config names them."""

from collections.abc import Callable, Iterator
from functools import partial

from l2m.errors import InputError
from l2m.states.history_state.config import Config, key_value_numbers
from l2m.states.history_state.registry import family
from l2m.states.history_state.state import Memory, attention

transformers_family = partial(family, source="transformers 5, the cache of the model's class")

FLOAT32 = 32.0
"""Recurrent states that are kept in float32 whatever the model's precision."""

# Layer types, as `transformers` names them (cache_utils.DYNAMIC_LAYER_TYPE_MAPPING), and older names on the hub.
FULL = ("full_attention", "attention", "indexed_attention")
WINDOWED = ("sliding_attention", "chunked_attention")
LINEAR = ("linear_attention", "mamba", "recurrent", "conv")
BOTH = ("hybrid", "hybrid_sliding")
NOTHING = ("mlp", "moe", "dummy")

LayerNumbers = Callable[[Config], int]
LayerMemories = Callable[[Config, int], Iterator[Memory]]


def layered(
    c: Config, cached: LayerNumbers = key_value_numbers, linear: LayerMemories | None = None
) -> Iterator[Memory]:
    """Memories as `layer_types` says: `cached` numbers per token where there is attention, `linear` elsewhere."""
    types = c.get("layer_types")
    if types is None:
        windowed = "sliding_attention" if c.get("sliding_window") is not None else "full_attention"
        types = [windowed] * c.num_hidden_layers
    sharing = c.get("kv_sharing_modes", ["own"] * len(types))
    for layer, (kind, shared) in enumerate(zip(types, sharing, strict=True)):
        own = c.of_layer(layer)
        if kind in NOTHING or shared == "reuse":
            continue
        if kind in (*LINEAR, *BOTH) and linear is not None:
            yield from linear(own, layer)
        if kind in (*FULL, "hybrid"):
            yield attention(layer, cached(own))
        elif kind in (*WINDOWED, "hybrid_sliding"):
            window = own.attention_chunk_size if kind == "chunked_attention" else own.sliding_window
            yield attention(layer, cached(own), window=window)
        elif kind not in (*LINEAR, "hybrid") or linear is None:
            raise InputError(f"config: layer_types[{layer}] {kind!r}; expected a kind of layer this family has")


def every(period: int | str, *, offset: int = -1, first: str = "sliding_attention") -> Callable[[Config], list[str]]:
    """Layer types with global attention at one place of every `period` layers, `first` elsewhere."""

    def types(c: Config) -> list[str]:
        step = period if isinstance(period, int) else int(getattr(c, period))
        return ["full_attention" if i % step == offset % step else first for i in range(c.num_hidden_layers)]

    return types
