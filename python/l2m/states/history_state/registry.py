"""The registry of families: a formula per family, under the `model_type`s it serves, and the fields a formula reads."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from l2m.errors import InputError
from l2m.states.history_state.state import Memory

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


class MissingField(Exception):
    """A config lacks a field the formula needs; its name is the argument."""


class Config:
    """Fields of one model's config, read as attributes; a missing one raises `MissingField`.

    A mapping holds what a config file says; where a field is left out, `defaults` stand in: values, or functions of the
    config. A `transformers` config object knows its own defaults.
    """

    def __init__(self, source: Any, defaults: Mapping[str, Any] | None = None) -> None:
        self._source = source
        self._defaults = defaults or {}

    def __getattr__(self, name: str) -> Any:
        for key in (name, *ALIASES.get(name, ())):
            if isinstance(self._source, Mapping):
                if key in self._source:
                    return self._source[key]
            elif hasattr(self._source, key):
                return getattr(self._source, key)
        if name in self._defaults:
            value = self._defaults[name]
            return value(self) if callable(value) else value
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

    def of_layer(self, layer: int) -> "Config":
        """The config of one layer: itself, but for models whose layers differ (a `per_layer_config`)."""
        if getattr(self._source, "is_heterogeneous", False):
            return Config(self._source.per_layer_config[layer], self._defaults)
        return self


Formula = Callable[[Config], Iterator[Memory]]


@dataclasses.dataclass(frozen=True)
class Family:
    """A formula and where it comes from.

    `defaults` completes a config file without help; None: its class in `transformers` has to (where that is installed;
    else the file must leave nothing out).
    """

    formula: Formula
    source: str
    defaults: Mapping[str, Any] | None


FAMILIES: dict[str, Family] = {}
"""model_type -> its family."""


def family(*model_types: str, source: str, defaults: Mapping[str, Any] | None = None) -> Callable[[Formula], Formula]:
    """Register a formula under `model_types`; a later registration replaces an earlier one.

        @family("my_model", source="our paper, eq. 3", defaults={"state_size": 16})
        def my_model(config):
            for layer in range(config.num_hidden_layers):
                yield recurrent(layer, config.hidden_size * config.state_size)

    Args:
        model_types: values of `model_type` in a config.
        source: paper or code the formula is taken from.
        defaults: of fields that configs may leave out; a function of the config computes one from others.
    """

    def register(formula: Formula) -> Formula:
        for model_type in model_types:
            FAMILIES[model_type] = Family(formula, source, defaults)
        return formula

    return register


def head_dim(c: Config) -> int:
    """Width of a head: its own field, else hidden_size / num_attention_heads.

    Raises:
        InputError: the heads do not divide the width.
    """
    width = c.get("head_dim")
    if width is not None:
        return int(width)
    return divided(c, "hidden_size", "num_attention_heads")


def divided(c: Config, whole: str, parts: str) -> int:
    """One field divided by another, which must leave no remainder."""
    size, count = getattr(c, whole), getattr(c, parts)
    if not count or size % count:
        raise InputError(f"config: {whole} {size} with {parts} {count}; expected a multiple of {parts}")
    return int(size // count)


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
