"""The score store: one folder, one small file for each piece of work, written whole or not at all, checked when read.

    scores.json              what was asked of which model on which corpus; whoever opens the store again must agree
    passes/NAME.scores       log-probabilities of some windows in some passes: a line of JSON, float32 values, BLAKE3
    self-test-HASH.json      what the self-test at the start of a run measured

Files are only ever added, under names that follow from their content's description, so any number of processes and
machines write side by side, reading needs no merge, and an interrupted run goes on with what is missing. A damaged file
costs that file alone.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from l2m.base.files import atomic_write, json_hash, read_json, write_json
from l2m.errors import InputError

SCHEMA = 1


class Piece(NamedTuple):
    """Token-wise log-probabilities of some windows.

    `kind` is "conditional", "marginal", "shuffled" or "contexts"; `values` maps a split ("" for the conditional pass, which has
    none) to an array whose first axis is the window. `info` describes it: "windows" (indices), "documents", "starts",
    for shuffled passes "shuffle" and "partners" (their documents).
    """

    kind: str
    values: dict[str, NDArray[np.float32]]
    info: dict[str, Any]


class Store:
    """A folder of pieces. See the module."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.settings: dict[str, Any] = {}

    @property
    def exists(self) -> bool:
        """Whether the folder holds a store."""
        return (self.folder / "scores.json").exists()

    def open(self) -> "Store":
        """Read the settings.

        Raises:
            InputError: not a score store, or one of another schema.
        """
        manifest = read_json(self.folder / "scores.json")
        if not isinstance(manifest, dict) or manifest.get("kind") != "scores" or manifest.get("schema") != SCHEMA:
            raise InputError(f"{self.folder / 'scores.json'}: not a score store of schema {SCHEMA}")
        self.settings = manifest["settings"]
        return self

    def create(self, settings: Mapping[str, Any]) -> "Store":
        """Open the store if there is one and it was made with the same settings, else make it.

        Raises:
            InputError: the folder holds scores of another run; names the first setting that differs.
        """
        if self.exists:
            self.open()
            for key in settings:
                here, there = settings[key], self.settings.get(key)
                if isinstance(here, Mapping) and isinstance(there, Mapping):
                    name = next((name for name in {**here, **there} if here.get(name) != there.get(name)), None)
                    if name is not None:
                        self._refuse(f"{key}.{name}", there.get(name), here.get(name))
                elif here != there:
                    self._refuse(key, there, here)
            return self
        (self.folder / "passes").mkdir(parents=True, exist_ok=True)
        self.settings = dict(settings)
        write_json(self.folder / "scores.json", {"kind": "scores", "schema": SCHEMA, "settings": self.settings})
        return self

    def _refuse(self, name: str, there: Any, here: Any) -> None:
        raise InputError(
            f"{self.folder}: scored with {name} = {there!r}, now {here!r}; expected the same, or another --out"
        )

    def add_self_test(self, report: Mapping[str, Any]) -> None:
        """Keep what a self-test measured; the same report twice is one file."""
        path = self.folder / f"self-test-{json_hash(report)[:16]}.json"
        if not path.exists():
            write_json(path, report)

    def self_tests(self) -> list[dict[str, Any]]:
        """All self-test reports."""
        return [read_json(path) for path in sorted(self.folder.glob("self-test-*.json"))]

    def add(self, piece: Piece) -> None:
        """Write a piece, atomically."""
        header = {
            "kind": piece.kind,
            **piece.info,
            "arrays": [[name, list(array.shape)] for name, array in piece.values.items()],
        }
        body = json.dumps(header, separators=(",", ":")).encode() + b"\n"
        body += b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in piece.values.values())
        path = self.folder / "passes" / f"{piece_name(piece.kind, piece.info, piece.values)}.scores"
        with atomic_write(path) as file:
            file.write(body)
            file.write(blake3(body).digest())

    def pieces(self, damaged: list[Path] | None = None) -> Iterator[Piece]:
        """Every piece, in the order of their names.

        Args:
            damaged: takes the paths of damaged files, which are then passed over.

        Raises:
            InputError: a damaged file, where `damaged` is None.
        """
        for path in sorted((self.folder / "passes").glob("*.scores")):
            piece = _read(path)
            if piece is not None:
                yield piece
            elif damaged is None:
                raise InputError(
                    f"{path}: damaged or cut short (its checksum differs); score again with the same settings: "
                    "only this part is redone"
                )
            else:
                damaged.append(path)


def piece_name(kind: str, info: Mapping[str, Any], values: Mapping[str, NDArray[Any]]) -> str:
    """The name of a piece's file: kind, first window, and a hash of all that tells it from others."""
    shapes = {name: list(array.shape) for name, array in values.items()}
    about = json_hash({"windows": info["windows"], "shuffle": info.get("shuffle"), "shapes": shapes})
    return f"{kind}-{info['windows'][0]:06d}-{about[:16]}"


def _read(path: Path) -> Piece | None:
    content = path.read_bytes()
    body, checksum = content[:-32], content[-32:]
    if len(content) < 33 or blake3(body).digest() != checksum:
        return None
    line, _, data = body.partition(b"\n")
    header = json.loads(line)
    values, start = {}, 0
    for name, shape in header.pop("arrays"):
        size = int(np.prod(shape, dtype=np.int64))
        values[name] = np.frombuffer(data, "<f4", size, start).reshape(shape)
        start += 4 * size
    return Piece(header.pop("kind"), values, header)
