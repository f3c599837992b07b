"""The one reader of model configs: what a field is called, what it may hold, what replaces it where it is left out.

Every formula reads its fields through `Config`, so a value is checked here and nowhere else: a null is a field left out,
counts are whole numbers above 0, and a list that names layers has an entry for every layer.
"""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from l2m.errors import InputError

# How the same field is called in the configs of different families.
ALIASES: dict[str, tuple[str, ...]] = {
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "num_key_value_heads": ("num_kv_heads",),
    "hidden_size": ("n_embd", "d_model", "n_embed"),
    "max_position_embeddings": ("n_positions", "n_ctx", "max_seq_len", "seq_length"),
    "layer_types": ("layers_block_type",),
    "dtype": ("torch_dtype",),
}

TEXT_PARTS = ("text_config", "language_config", "llm_config", "thinker_config")
"""Where configs of models that also see or hear keep their language model; the first that is there is read."""

LARGEST = 10**9
MOST_LAYERS = 100_000

# Fields by what they may hold.
LAYER_COUNTS = ("num_hidden_layers", "decoder_layers", "num_decoder_layers", "num_blocks", "num_layers")
_COUNTS = {
    *("num_attention_heads", "num_key_value_heads", "hidden_size", "head_dim", "v_head_dim", "attention_head_dim"),
    *("sliding_window", "attention_chunk_size", "attention_window_size", "vocab_size", "max_position_embeddings"),
    *("kv_lora_rank", "qk_rope_head_dim", "index_head_dim", "intermediate_size", "state_size", "conv_kernel"),
    *("n_groups", "num_heads", "num_v_heads", "num_kv_heads", "mamba_d_state", "mamba_d_conv", "mamba_n_groups"),
    *("mamba_ngroups", "mamba_num_heads", "mamba_head_dim", "mamba_d_ssm", "mamba_d_head", "mamba_n_heads"),
    *("ssm_state_size", "conv_L_cache", "lru_width", "conv1d_width", "attention_hidden_size", "embedding_dim"),
    *("linear_num_heads", "linear_head_dim", "linear_num_key_heads", "linear_key_head_dim", "linear_num_value_heads"),
    *("linear_value_head_dim", "linear_conv_kernel_dim", "cca_time0", "cca_time1", "expand_ratio", "conv_size"),
    *("attn_layer_period", "full_attention_interval", "sliding_window_pattern", "order", "short_kernel"),
    *("d_state", "d_ssm", "ngroups", "num_heads_kv", "window_size", "segment_length"),
}
_COUNTS_FROM_ZERO = {"attn_layer_offset", "global_layers", "window_layers", "max_window_layers", "d_conv"}
_FACTORS = {"expand", "mamba_expand", "expand_k", "expand_v", "qk_dim_factor", "v_dim_factor"}
_SWITCHES = {
    *("use_sliding_window", "new_decoder_architecture", "multi_query", "use_short_conv"),
    *("is_decoder", "is_encoder_decoder", "linear"),
}
_PRECISION = ("dtype", *ALIASES["dtype"])
_MOST_PARTS = 4
_PER_LAYER = {"layer_types", "indexer_types", "kv_sharing_modes"}


class MissingField(Exception):
    """A config lacks a field the formula needs; its name is the argument."""


class Config:
    """Fields of one model's config, read as attributes and checked; a missing one raises `MissingField`.

    Args:
        source: a mapping, which holds what a config file says, or a `transformers` config, which knows its own defaults.
        defaults: what a mapping's missing fields mean: values, or functions of the config.
        nulls: fields in which null says something else than leaving them out does (such as "no window").
    """

    def __init__(self, source: Any, defaults: Mapping[str, Any] | None = None, nulls: Sequence[str] = ()) -> None:
        self._source = source
        self._defaults = defaults or {}
        self._nulls = nulls

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        names = (name, *ALIASES.get(name, ()))
        if name == "dtype" and not isinstance(self._source, Mapping):
            names = (name,)  # a `transformers` config has `torch_dtype` too, and warns when it is read
        for key in names:
            value = self._value(key)
            if value is not None:
                return self._checked(name, value, key)
        if name in self._nulls and any(self._has(key) for key in names):
            return None
        if name in self._defaults:
            value = self._defaults[name]
            value = value(self) if callable(value) else value
            return None if value is None else self._checked(name, value, name)
        raise MissingField(name)

    def get(self, name: str, *default: Any) -> Any:
        """The field, or the `default` given where it is missing or null.

        Without a `default`: None where the model has no such field; a file that leaves it out raises `MissingField`,
        because its class may have a value for it.
        """
        try:
            value = getattr(self, name)
        except MissingField:
            if isinstance(self._source, Mapping) and not default:
                raise
            value = None
        return default[0] if value is None and default else value

    def part(self, name: str, defaults: Mapping[str, Any] | None = None) -> "Config":
        """The fields of a mapping within the config; one that is missing, null or empty has only the `defaults`.

        Raises:
            InputError: something else than a mapping.
        """
        value = self.get(name, {})
        if not isinstance(value, Mapping):
            raise InputError(f"config: {name} {_shown(value)}; expected an object with fields")
        return Config(value, defaults)

    def layer_indices(self, name: str) -> tuple[int, ...]:
        """A list of layers by their number, from 0."""
        value, layers = getattr(self, name), self.num_hidden_layers
        if not isinstance(value, (list, tuple)):
            raise InputError(f"config: {name} {_shown(value)}; expected a list of layer numbers")
        for index in value:
            if not _is_whole(index) or not 0 <= index < layers:
                raise InputError(f"config: {name} holds {_shown(index)}; expected layer numbers from 0 to {layers - 1}")
        return tuple(value)

    def of_layer(self, layer: int) -> "Config":
        """The config of one layer: itself, but for models whose layers differ (a `per_layer_config`; `per_layer` here)."""
        if isinstance(self._source, Mapping) and "per_layer" in self._source:
            return Config(self._source["per_layer"][layer], self._defaults, self._nulls)
        if getattr(self._source, "is_heterogeneous", False):
            return Config(self._source.per_layer_config[layer], self._defaults)
        return self

    def _has(self, key: str) -> bool:
        return key in self._source if isinstance(self._source, Mapping) else hasattr(self._source, key)

    def _value(self, key: str) -> Any:
        return self._source.get(key) if isinstance(self._source, Mapping) else getattr(self._source, key, None)

    def _checked(self, name: str, value: Any, key: str) -> Any:
        """`value` of the field `name`, which this config calls `key`."""

        def refuse(expected: str) -> InputError:
            return InputError(f"config: {key} {_shown(value)}; expected {expected}")

        if name in LAYER_COUNTS:
            if not _is_whole(value) or not 1 <= value <= MOST_LAYERS:
                raise refuse(f"a whole number from 1 to {MOST_LAYERS:,}")
        elif name in _COUNTS or name in _COUNTS_FROM_ZERO:
            low = 1 if name in _COUNTS else 0
            if not _is_whole(value) or not low <= value <= LARGEST:
                raise refuse(f"a whole number from {low} to {LARGEST:,}")
        elif name in _FACTORS:
            if not _is_number(value) or not value > 0:
                raise refuse("a number above 0")
        elif name in _SWITCHES:
            if not isinstance(value, bool):
                raise refuse("true or false")
        elif name in _PER_LAYER:
            if not isinstance(value, (list, tuple)) or not all(kind is None or isinstance(kind, str) for kind in value):
                raise refuse("a list with one name for each layer")
            if len(value) != self.num_hidden_layers:
                raise InputError(
                    f"config: {key} has {len(value)} entries; expected {self.num_hidden_layers} (num_hidden_layers)"
                )
        elif isinstance(value, float) and not math.isfinite(value):
            raise refuse("a finite number")
        return value


def text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of the language model within one that also sees or hears; the same config where it is one itself.

    A precision that only the outer config names is the inner one's too.

    Raises:
        InputError: a part that is no object, or parts within parts without end.
    """
    for _ in range(_MOST_PARTS):
        inner = next((_inner(config, name) for name in TEXT_PARTS if config.get(name)), None)
        if inner is None:
            return config
        precision = {name: config[name] for name in _PRECISION if config.get(name) is not None}
        own = any(inner.get(name) is not None for name in _PRECISION)
        config = inner if own else {**inner, **precision}
    raise InputError(f"config: text parts nested more than {_MOST_PARTS} deep; expected one within another at the most")


def _inner(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = config[name]
    if not isinstance(inner, Mapping):
        raise InputError(f"config: {name} {_shown(inner)}; expected an object with fields")
    return inner


def divided(c: Config, whole: str, parts: str) -> int:
    """One field divided by another.

    Raises:
        InputError: the division leaves a remainder.
    """
    size, count = getattr(c, whole), getattr(c, parts)
    if size % count:
        raise InputError(f"config: {whole} {size} with {parts} {count}; expected a multiple of {parts}")
    return int(size // count)


def scaled(c: Config, factor: str, field: str) -> int:
    """One field times a factor, which may be a fraction: expand * hidden_size, as the classes cut it to whole numbers."""
    return int(getattr(c, factor) * getattr(c, field))


def head_dim(c: Config) -> int:
    """Width of a head: its own field, else hidden_size / num_attention_heads.

    Raises:
        InputError: the heads do not divide the width.
    """
    width = c.get("head_dim")
    return int(width) if width is not None else divided(c, "hidden_size", "num_attention_heads")


def key_value_heads(c: Config) -> int:
    """Heads whose keys and values are cached: their own field, else every attention head."""
    heads = c.get("num_key_value_heads")
    if heads is None:
        return int(c.num_attention_heads)
    divided(c, "num_attention_heads", "num_key_value_heads")
    return int(heads)


def key_value_numbers(c: Config) -> int:
    """Numbers a layer caches per token: a key and a value for every key-value head."""
    return 2 * key_value_heads(c) * head_dim(c)


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST  # nan is not


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
