"""What commands print: words for people, or one JSON object."""

import json as json_module
import math
from collections.abc import Mapping
from typing import Any

from l2m.errors import InputError


def print_result(result: Mapping[str, Any], json: bool, words: str) -> None:
    """Print `result` as one JSON object where `json` is asked for, else `words`."""
    print(json_module.dumps(_plain(result), ensure_ascii=False, allow_nan=False) if json else words)


def plain(value: float) -> float | None:
    """A number that JSON knows: None for nan and infinity."""
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return plain(value) if isinstance(value, float) else value


def read_shard(shard: str) -> tuple[int, int]:
    """(index, shards) of "I/N".

    Raises:
        InputError: not of that form, or an index that is not below N.
    """
    index, _, shards = shard.partition("/")
    if not (index.isdecimal() and shards.isdecimal() and int(index) < int(shards)):
        raise InputError(f"shard: {shard!r}; expected I/N with I from 0 to N - 1, for instance 0/16")
    return int(index), int(shards)
