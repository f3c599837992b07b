"""The score store: one folder, one small file for each piece of work, written whole or not at all, checked when read.

    scores.json              what was asked of which model on which corpus; whoever opens the store again must agree
    asked-HASH.json          how many windows and which passes a run was asked for
    passes/NAME.scores       log-probabilities of some windows in some passes: a line of JSON, float32 values, BLAKE3
    self-test-HASH.json      what the self-test at the start of a run measured
    statistics.json          entropies of the corpus's n-grams

Every file has a checksum of itself, and a pass names the store it belongs to. Files are only ever added, under names that
follow from their content's description, so any number of processes and machines write side by side, reading needs no
merge, and an interrupted run resumes with what is missing. A damaged file costs that file alone.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from l2m.base.files import atomic_write, clear_temporaries, json_hash, read_json, read_sealed, write_sealed
from l2m.base.folders import require_own, require_same
from l2m.errors import InputError
from l2m.scoring.settings import LONGEST, MOST_CONTEXTS, MOST_SHUFFLES, Spans

SCHEMA = 1
KINDS = ("conditional", "entropy", "marginal", "shuffled", "contexts")
_MOST_WINDOWS = 10**7


class Piece(NamedTuple):
    """Token-wise log-probabilities of some windows, or the entropies of the conditional pass's predictions.

    `kind` is one of `KINDS`; `values` maps a split ("" for the conditional pass and its entropies, which have none) to an array
    whose first axis is the window. `info` describes it: "windows" (indices), "documents", "starts", for shuffled passes "shuffle" and
    "partners" (their documents), for conditional ones "bytes" and "characters" of text (or null).
    """

    kind: str
    values: dict[str, NDArray[np.float32]]
    info: dict[str, Any]

    def rows(self, place: slice) -> "Piece":
        """The piece of these windows alone."""
        info = {name: value[place] if isinstance(value, list) else value for name, value in self.info.items()}
        return Piece(self.kind, {name: array[place] for name, array in self.values.items()}, info)


class Asked(NamedTuple):
    """What the runs of a store were asked for, all together."""

    windows: int
    spans: Spans
    shuffles: int
    contexts: int
    ngrams: bool = False
    """Whether the n-grams of the corpus are counted: of ids, not of real numbers."""
    entropy: bool = False
    """Whether the entropies of the conditional pass's predictions are kept."""


class Store:
    """A folder of pieces. See the module."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.settings: dict[str, Any] = {}
        self.sealed = True
        """Whether scores.json has a checksum; versions before 0.2 wrote none."""

    @property
    def exists(self) -> bool:
        """Whether the folder holds a store."""
        return (self.folder / "scores.json").exists()

    def open(self) -> "Store":
        """Read the settings.

        Raises:
            InputError: not a score store, one of another schema, or one that was changed or damaged.
        """
        path = self.folder / "scores.json"
        self.sealed = "checksum" in _keys(path)
        manifest = read_sealed(path, unsealed=True)
        if not self.sealed and set(manifest) != {"kind", "schema", "settings"}:
            raise InputError(
                f"{path}: damaged or edited (its checksum is gone); restore it, or score into another folder"
            )
        if manifest.get("kind") != "scores" or manifest.get("schema") != SCHEMA:
            raise InputError(f"{path}: not a score store of schema {SCHEMA}")
        settings = manifest.get("settings")
        if (
            not isinstance(settings, dict)
            or not _is_whole(settings.get("length"), 4, LONGEST)
            or not _is_whole(settings.get("unit"), 1, LONGEST)
            or not isinstance(settings.get("model"), dict)
            or not isinstance(settings.get("corpus"), dict)
            or not isinstance(settings["corpus"].get("hash"), str)
        ):
            raise InputError(f"{path}: settings that no run writes; expected a score store")
        self.settings = settings
        return self

    def create(self, settings: Mapping[str, Any]) -> "Store":
        """Open the store if there is one and it was made with the same settings, else make it.

        Raises:
            InputError: the folder holds scores of another run (the first setting that differs is named), or another run.
        """
        require_own(self.folder, "scores.json")
        if self.exists:
            self.open()
            require_same(self.folder, {name: self.settings.get(name) for name in settings}, settings)
            for folder in (self.folder, self.folder / "passes"):
                clear_temporaries(folder)
            (self.folder / "passes").mkdir(exist_ok=True)
            return self
        (self.folder / "passes").mkdir(parents=True, exist_ok=True)
        self.settings = json.loads(json.dumps(settings))
        write_sealed(self.folder / "scores.json", {"kind": "scores", "schema": SCHEMA, "settings": self.settings})
        return self

    @property
    def key(self) -> str:
        """What a piece names its store by."""
        return json_hash(self.settings)[:16]

    def ask(self, asked: Asked) -> None:
        """Keep what a run was asked for, so that a reader knows what is missing."""
        value = {**asked._asdict(), "spans": [list(span) for span in asked.spans]}
        if not asked.entropy:  # so that a store of an earlier version, asked the same again, has the same file
            del value["entropy"]
        path = self.folder / f"asked-{json_hash(value)[:16]}.json"
        if not path.exists():
            write_sealed(path, value)

    def asked(self) -> Asked:
        """The most of everything that runs were asked for; zeros where no run kept it.

        Raises:
            InputError: a file was changed or damaged.
        """
        windows, longest, shuffles, contexts, ngrams, entropy = 0, dict[int, int](), 0, 0, False, False
        for path in sorted(self.folder.glob("asked-*.json")):
            value = read_sealed(path)
            spans = value.get("spans")
            if not (
                _is_whole(value.get("windows"), 1, _MOST_WINDOWS)
                and _is_whole(value.get("shuffles"), 0, MOST_SHUFFLES)
                and _is_whole(value.get("contexts"), 0, MOST_CONTEXTS)
                and isinstance(value.get("ngrams", False), bool)
                and isinstance(value.get("entropy", False), bool)
                and isinstance(spans, list)
                and all(isinstance(s, list) and len(s) == 2 and all(_is_whole(x, 1, LONGEST) for x in s) for s in spans)
            ):
                raise InputError(f"{path}: damaged; remove it and score again with the same settings")
            for split, length in spans:
                longest[split] = max(longest.get(split, 0), length)
            windows, shuffles = max(windows, value["windows"]), max(shuffles, value["shuffles"])
            contexts, ngrams = max(contexts, value["contexts"]), ngrams or value.get("ngrams", False)
            entropy = entropy or value.get("entropy", False)
        return Asked(windows, tuple(sorted(longest.items())), shuffles, contexts, ngrams, entropy)

    def add_self_test(self, report: Mapping[str, Any]) -> None:
        """Keep what a self-test measured; the same report twice is one file."""
        path = self.folder / f"self-test-{json_hash(report)[:16]}.json"
        if not path.exists():
            write_sealed(path, report)

    def self_tests(self) -> list[dict[str, Any]]:
        """All self-test reports.

        Raises:
            InputError: one was changed or damaged.
        """
        reports = []
        for path in sorted(self.folder.glob("self-test-*.json")):
            report = read_sealed(path, unsealed=not self.sealed)
            floor, differences = report.get("noise_floor"), report.get("differences")
            if path.name != f"self-test-{json_hash(report)[:16]}.json" or not (
                (floor is None or _is_real(floor)) and isinstance(differences, dict)
            ):
                raise InputError(f"{path}: damaged (its name is not that of its content); remove it and score again")
            reports.append(report)
        return reports

    def add(self, piece: Piece) -> None:
        """Write a piece, atomically."""
        header = {
            "kind": piece.kind,
            **({"store": self.key} if self.sealed else {}),
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
            InputError: a damaged file, where `damaged` is None; a whole one of another store, or that no run writes.
        """
        for path in sorted((self.folder / "passes").glob("*.scores")):
            piece = self._read(path)
            if piece is not None:
                yield piece
            elif damaged is None:
                raise InputError(
                    f"{path}: damaged or cut short (its checksum differs); score again with the same settings: "
                    "only this part is redone"
                )
            else:
                damaged.append(path)

    def _read(self, path: Path) -> Piece | None:
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        body, checksum = content[:-32], content[-32:]
        if len(content) < 33 or blake3(body).digest() != checksum:
            return None
        line, _, data = body.partition(b"\n")
        try:
            header = json.loads(line)
            store = header.pop("store", None)
            kind, arrays = header.pop("kind"), header.pop("arrays")
            piece = self._piece(kind, arrays, header, data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise InputError(f"{path}: not a piece of scores ({error}); remove it and score again") from None
        if (self.sealed and store != self.key) or path.stem != piece_name(piece.kind, piece.info, piece.values):
            raise InputError(f"{path}: belongs to another store or under another name; remove it and score again")
        return piece

    def _piece(self, kind: Any, arrays: Any, info: dict[str, Any], data: bytes) -> Piece:
        """A piece, after everything that its readers rely on was checked."""
        windows, length = info["windows"], int(self.settings["length"])
        _require(kind in KINDS, f"kind {kind!r}")
        _require(_are_whole(windows, 0, _MOST_WINDOWS) and len(set(windows)) == len(windows) > 0, "windows")
        for name in ("documents", "starts", *(("partners",) if kind == "shuffled" else ())):
            _require(_are_whole(info[name], 0, 1 << 62) and len(info[name]) == len(windows), name)
        if kind == "shuffled":
            _require(_is_whole(info["shuffle"], 0, MOST_SHUFFLES), "shuffle")
        for name in ("bytes", "characters"):
            counted = info.get(name)
            _require(counted is None or (_are_whole(counted, 0, 1 << 40) and len(counted) == len(windows)), name)
        values, start = {}, 0
        for name, shape in arrays:
            _require(_are_whole(shape, 1, LONGEST) and len(shape) == 2 and shape[0] == len(windows), "shape")
            if kind in ("conditional", "entropy"):
                _require(name == "" and shape[1] == length, "shape")
            else:
                most = MOST_CONTEXTS if kind == "contexts" else length
                _require(name.isdecimal() and 0 < int(name) < length and shape[1] <= most, "split")
            size = math.prod(shape)
            _require(start + 4 * size <= len(data), "size")
            values[name] = np.frombuffer(data, "<f4", size, start).reshape(shape)
            _require(bool(np.isfinite(values[name]).all()), "values that are not finite")
            start += 4 * size
        _require(start == len(data) and bool(values), "size")
        return Piece(kind, values, info)


def piece_name(kind: str, info: Mapping[str, Any], values: Mapping[str, NDArray[Any]]) -> str:
    """The name of a piece's file: kind, first window, and a hash of all that tells it from others."""
    shapes = {name: list(array.shape) for name, array in values.items()}
    about = json_hash({"windows": info["windows"], "shuffle": info.get("shuffle"), "shapes": shapes})
    return f"{kind}-{info['windows'][0]:06d}-{about[:16]}"


def _keys(path: Path) -> list[str]:
    value = read_json(path)
    return list(value) if isinstance(value, dict) else []


def _require(held: bool, what: str) -> None:
    if not held:
        raise ValueError(what)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _are_whole(values: Any, low: int, high: int) -> bool:
    return isinstance(values, list) and all(_is_whole(value, low, high) for value in values)


def _is_real(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0
