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


# A tuned model has the shapes of the one it was tuned from; Meta's first names on the hub begin with its own.
_TUNED = ("-instruct", "-it", "-chat", "-base", "-hf", "-gguf")


def find(name: str) -> Mapping[str, Any] | None:
    """The entry of this hub name, or of this last part of one, else of the model it is a tuned form of.

    Capitals do not matter, nor "Meta-" and endings such as "-Instruct": Llama-3.1-8B-Instruct is meta-llama/Meta-Llama-3.1-8B.
    """
    wanted = name.lower()
    for plain in (str, _plain):
        for entry in catalogue():
            full = plain(entry["name"].lower())
            if plain(wanted) in (full, full.split("/")[-1]):
                return entry
    return None


def near(name: str) -> str:
    """`; did you mean X or Y?` where entries are spelt much like `name`; else nothing."""
    from difflib import get_close_matches

    def letters(text: str) -> str:
        return "".join(filter(str.isalnum, text.lower()))

    keys = {letters(entry["name"].split("/")[-1]): entry["name"].split("/")[-1] for entry in catalogue()}
    found = get_close_matches(letters(name.split("/")[-1]), keys, n=2, cutoff=0.75)
    return f"; did you mean {' or '.join(keys[key] for key in found)}?" if found else ""


def _plain(name: str) -> str:
    owner, slash, last = name.rpartition("/")
    last = last.removeprefix("meta-")
    while ending := next((ending for ending in _TUNED if last.endswith(ending)), ""):
        last = last.removesuffix(ending)
    return owner + slash + last
