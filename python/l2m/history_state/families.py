"""One formula per family of models: a generator of memories from the fields of a config.

A formula is registered under the `model_type`s it serves. It reads fields as attributes of a `Config`; a field that the
config leaves out takes the default of the family (`defaults=`), which must be the one of the model's class in
`transformers`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from l2m.errors import InputError
from l2m.history_state.state import Memory, attention, convolution, recurrent

# How the same field is called in the configs of different families.
ALIASES: dict[str, tuple[str, ...]] = {
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "num_key_value_heads": ("num_kv_heads", "n_head_kv"),
    "hidden_size": ("n_embd", "d_model", "model_dim"),
    "max_position_embeddings": ("n_positions", "n_ctx", "max_seq_len", "seq_length"),
}


class MissingField(Exception):
    """A config lacks a field the formula needs; its name is the argument."""


class Config:
    """Fields of one model's config, read as attributes; a missing one raises `MissingField`."""

    def __init__(self, fields: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> None:
        self._fields = fields
        self._defaults = defaults or {}

    def __getattr__(self, name: str) -> Any:
        for key in (name, *ALIASES.get(name, ())):
            if key in self._fields:
                return self._fields[key]
        if name in self._defaults:
            return self._defaults[name]
        raise MissingField(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The field, or `default` where it is missing or null."""
        try:
            value = getattr(self, name)
        except MissingField:
            return default
        return default if value is None else value


Formula = Callable[[Config], Iterator[Memory]]


@dataclasses.dataclass(frozen=True)
class Family:
    """A formula, where it comes from, and the defaults of fields that configs leave out."""

    formula: Formula
    source: str
    defaults: Mapping[str, Any]


FAMILIES: dict[str, Family] = {}
"""model_type -> its family."""


def family(
    *model_types: str, source: str = "transformers, the model's cache", defaults: Mapping[str, Any] | None = None
) -> Callable[[Formula], Formula]:
    """Register a formula for `model_types`; a later registration replaces an earlier one.

    @l2m.family("my_model", source="our paper, eq. 3")
    def my_model(config):
        for layer in range(config.num_hidden_layers):
            yield recurrent(layer, config.hidden_size * config.state_size)
    """

    def register(formula: Formula) -> Formula:
        for model_type in model_types:
            FAMILIES[model_type] = Family(formula, source, defaults or {})
        return formula

    return register


def head_dim(c: Config) -> int:
    """Width of a head: its own field, else hidden_size / num_attention_heads."""
    width = c.get("head_dim")
    if width is not None:
        return int(width)
    if c.hidden_size % c.num_attention_heads:
        raise InputError(
            f"config: hidden_size {c.hidden_size} with num_attention_heads {c.num_attention_heads}; "
            "expected a width that the heads divide"
        )
    return int(c.hidden_size // c.num_attention_heads)


def key_value_numbers(c: Config) -> int:
    """Numbers a layer caches per token: keys and values of every key-value head."""
    heads = c.num_key_value_heads
    heads = c.num_attention_heads if heads is None else heads
    if c.num_attention_heads % heads:
        raise InputError(
            f"config: num_attention_heads {c.num_attention_heads} with num_key_value_heads {heads}; "
            "expected a multiple of the key-value heads"
        )
    return 2 * int(heads) * head_dim(c)


_HEADS: dict[str, Any] = {"num_key_value_heads": None, "head_dim": None}


@family(
    "llama", "mistral", "gpt2", "gpt_neox", "phi3", defaults={**_HEADS, "sliding_window": None, "layer_types": None}
)
def transformer(c: Config) -> Iterator[Memory]:
    """Softmax attention (multi-head, grouped or multi-query), global or windowed layer by layer."""
    types = c.layer_types or [None] * c.num_hidden_layers
    for layer, layer_type in enumerate(types):
        windowed = c.sliding_window is not None if layer_type is None else layer_type == "sliding_attention"
        yield attention(layer, key_value_numbers(c), window=c.sliding_window if windowed else None)


@family("mamba", "falcon_mamba")
def mamba(c: Config) -> Iterator[Memory]:
    """Selective state space: a state per channel (Gu & Dao 2023)."""
    for layer in range(c.num_hidden_layers):
        inner = int(c.expand * c.hidden_size)
        yield recurrent(layer, inner * c.state_size)
        yield convolution(layer, inner, c.conv_kernel)


@family("mamba2")
def mamba2(c: Config) -> Iterator[Memory]:
    """State space duality: a state per head (Dao & Gu 2024)."""
    for layer in range(c.num_hidden_layers):
        yield recurrent(layer, c.num_heads * c.head_dim * c.state_size)
        yield convolution(layer, c.num_heads * c.head_dim + 2 * c.n_groups * c.state_size, c.conv_kernel)


@family("jamba", defaults={"head_dim": None})
def jamba(c: Config) -> Iterator[Memory]:
    """Mamba layers with attention every `attn_layer_period` (Lieber et al. 2024)."""
    for layer in range(c.num_hidden_layers):
        if layer % c.attn_layer_period == c.attn_layer_offset:
            yield attention(layer, key_value_numbers(c))
        else:
            inner = int(c.mamba_expand * c.hidden_size)
            yield recurrent(layer, inner * c.mamba_d_state)
            yield convolution(layer, inner, c.mamba_d_conv)
