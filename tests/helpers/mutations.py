"""Small changes of bytes and of JSON, drawn at random: shared by the campaign and by tests/fuzz."""

import copy
import random
from collections.abc import Sequence
from typing import Any

Edit = tuple[str, float, bytes]
"""What is done, where (as a fraction of the length), and with which bytes."""
EDITS = ("flip", "overwrite", "insert", "delete", "cut", "repeat")
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 7, 2**31, 2**63, 2**64, -(2**63), 10**30, 1e308, -0.5, 2.7, "", "x", "a" * 5000, "nan", "-inf", "../../../escape",
    "/etc/hostname", "\ud800", "\0", [], {}, [[]], [1, 2], ["a"], {"a": 1}, [None], "S1000000000", "O", "<i8", ["../x"], {"kind": "bipartite_curve", "schema": 1},
)  # fmt: skip


def edit(data: bytes, edits: Sequence[Edit]) -> bytes:
    for how, where, new in edits:
        at = min(int(where * len(data)), max(len(data) - 1, 0))
        if how == "flip" and data:
            data = data[:at] + bytes([data[at] ^ (1 << (new[0] % 8 if new else 0))]) + data[at + 1 :]
        elif how == "overwrite":
            data = data[:at] + new + data[at + len(new) :]
        elif how == "insert":
            data = data[:at] + new + data[at:]
        elif how == "delete":
            data = data[:at] + data[at + 1 + len(new) :]
        elif how == "cut":
            data = data[:at]
        elif how == "repeat":
            data = data[:at] + data[at : at + 64] + data[at:]
    return data


def draw_edits(draw: random.Random) -> list[Edit]:
    news = (
        b"\0",
        b"\xff" * 4,
        b"\xff" * 8,
        b"\x00" * 8,
        b"\x7f",
        b"\xff\xff\xff\x7f",
        b"[" * 3000,
        b"9" * 400,
        b"1e999",
        b"\xed\xa0\x80",
        b"\n",
        b'"',
        b",",
        b"\r\n",
    )
    return [
        (
            draw.choice(EDITS),
            draw.random(),
            draw.choice(news) if draw.random() < 0.6 else draw.randbytes(draw.randint(1, 8)),
        )
        for _ in range(draw.randint(1, 3))
    ]


def mutate_json(value: Any, draw: random.Random, times: int = 1) -> Any:
    """`value` with some of its parts replaced, removed, repeated or added."""
    value = copy.deepcopy(value)
    for _ in range(times):
        holders = [(value, key) for value, key in _places(value)]
        if not holders:
            return draw.choice(VALUES)
        holder, key = draw.choice(holders)
        how = draw.random()
        if how < 0.65:
            holder[key] = copy.deepcopy(draw.choice(VALUES))
        elif how < 0.8:
            del holder[key]
        elif how < 0.9 and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            holder[key] = holder[key] * draw.choice((-1, 2, 1000, 0.5))
        elif isinstance(holder, dict):
            holder["unknown"] = copy.deepcopy(draw.choice(VALUES))
        else:
            holder.append(copy.deepcopy(holder[key]))
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value[:20]) if isinstance(value, list) else ()
    for key, item in items:
        found += [(value, key), *_places(item)]
    return found
