"""Configs of well-known models, so that they can be compared offline; each with its source (benches/write_catalogue.py)."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any


@cache
def catalogue() -> tuple[Mapping[str, Any], ...]:
    """All entries: `name` as on the hub, `config` (the fields its formula reads), `source` and `where` in it."""
    from importlib.resources import files  # it imports tempfile and shutil: a tenth of `import l2m`

    return tuple(json.loads(files("l2m.states.history_state").joinpath("catalogue.json").read_text(encoding="utf-8")))


def find(name: str) -> Mapping[str, Any] | None:
    """The entry of this hub name, or of this last part of one; capitals do not matter."""
    wanted = name.lower()
    for entry in catalogue():
        full = entry["name"].lower()
        if wanted in (full, full.split("/")[-1]):
            return entry
    return None
