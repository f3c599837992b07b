"""corpus.json, which makes a folder a corpus: what it must hold, and the files it vouches for."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2m.base.files import file_hash, read_sealed, write_sealed
from l2m.base.npy import require_file
from l2m.errors import InputError

SCHEMA = 1
NAME = "corpus.json"
REQUIRED = ("tokens.npy", "offsets.npy", "documents.jsonl")
FILES = (*REQUIRED, "words.txt")
"""All files that a corpus may have beside its manifest."""
LARGEST_VOCABULARY = 1 << 32
HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of corpus.json.

    Attributes:
        vocab_size: the number of possible ids.
        tokens: the number of tokens.
        hash: `Corpus.hash`.
        tokenizer: what made the ids: its name, its hash and what it left out.
        source: hash of the documents it was made of; None where it was not made of documents.
        files: name -> BLAKE3 of each file.
    """

    vocab_size: int
    tokens: int
    hash: str
    tokenizer: Mapping[str, Any]
    source: str | None
    files: Mapping[str, str]

    def verify(self, folder: Path, *, checksums: bool) -> None:
        """Compare the files of `folder` with what is written here.

        Raises:
            InputError: naming the file that is missing, no regular file, or has another checksum.
        """
        for name, checksum in self.files.items():
            if not (folder / name).exists():
                raise InputError(f"{folder / name}: missing; tokenize the corpus again")
            require_file(folder / name)
            if checksums and file_hash(folder / name) != checksum:
                raise InputError(
                    f"{folder / name}: its checksum differs from corpus.json: damaged or cut short; tokenize the corpus again"
                )


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a corpus folder.

    Raises:
        InputError: no such file, damaged, of another schema, or not what a manifest holds (the entry is named).
    """
    path = folder / NAME
    # Versions before 0.2 wrote no checksum of the manifest itself.
    value = read_sealed(path, unsealed=True)
    if value.get("kind", "corpus") != "corpus":
        raise InputError(f"{path}: kind {_short(value['kind'])}; expected 'corpus'")
    schema = value.get("schema")
    if isinstance(schema, bool) or schema != SCHEMA:
        raise InputError(f"{path}: corpus schema {_short(schema)}; this version of l2m reads {SCHEMA}")
    entries = {"vocab_size", "tokens", "hash", "tokenizer", "files"}
    if missing := sorted(entries - set(value)):
        raise InputError(f"{path}: {missing[0]} is missing; expected a manifest that l2m tokenize wrote")
    if unknown := sorted(set(value) - entries - {"kind", "schema", "source"}):
        raise InputError(f"{path}: {_short(unknown[0])} is unknown; expected a manifest that l2m tokenize wrote")
    check = _Checks(path, value)
    check("vocab_size", _whole(LARGEST_VOCABULARY), f"a whole number from 0 to {LARGEST_VOCABULARY:,}")
    check("tokens", _whole((1 << 62) - 1), "a whole number, 0 or more")
    check("hash", _is_hash, "64 hexadecimal digits")
    check("source", lambda source: source is None or _is_hash(source), "64 hexadecimal digits")
    check("tokenizer", _is_tokenizer, "an object with the name of a tokenizer, its hash and what it left out")
    check("files", lambda files: isinstance(files, dict), "an object of file names and checksums")
    for name, checksum in value["files"].items():
        if name not in FILES:
            raise InputError(f"{path}: files holds {_short(name)}; expected only {', '.join(FILES)}")
        if not _is_hash(checksum):
            raise InputError(f"{path}: checksum {_short(checksum)} of {name}; expected 64 hexadecimal digits")
    if absent := [name for name in REQUIRED if name not in value["files"]]:
        raise InputError(f"{path}: files lacks {absent[0]}; expected {', '.join(REQUIRED)}")
    return Manifest(
        vocab_size=value["vocab_size"],
        tokens=value["tokens"],
        hash=value["hash"],
        tokenizer=value["tokenizer"],
        source=value.get("source"),
        files=value["files"],
    )


def write_manifest(
    folder: Path, *, vocab_size: int, tokenizer: Mapping[str, Any], tokens: int, hash: str, source: str | None = None
) -> None:
    """Write corpus.json over the files of `folder`: from here on it is a corpus."""
    files = {name: file_hash(folder / name) for name in FILES if (folder / name).exists()}
    manifest = {
        "kind": "corpus",
        "schema": SCHEMA,
        "vocab_size": vocab_size,
        "tokens": tokens,
        "hash": hash,
        "tokenizer": dict(tokenizer),
        **({} if source is None else {"source": source}),
        "files": files,
    }
    write_sealed(folder / NAME, manifest)


def is_corpus(folder: str | os.PathLike[str]) -> bool:
    """Whether `folder` holds a finished corpus."""
    return os.path.exists(os.path.join(folder, NAME))


@dataclass(frozen=True)
class _Checks:
    path: Path
    value: Mapping[str, Any]

    def __call__(self, name: str, holds: Callable[[Any], bool], expected: str) -> None:
        if not holds(self.value.get(name)):
            raise InputError(f"{self.path}: {name} is {_short(self.value.get(name))}; expected {expected}")


def _whole(high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and HASH.fullmatch(value) is not None


def _is_tokenizer(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return False
    texts = all(isinstance(value.get(name, ""), str) for name in ("hash", "encoder"))
    filters, pairs = value.get("filters", {}), value.get("duplicates", [])
    skipped = value.get("skipped", [])
    return (
        texts
        and isinstance(filters, dict)
        and all(_whole(1 << 62)(filters.get(name, 0)) for name in ("short", "sampled_out"))
        and isinstance(pairs, list)
        and all(isinstance(pair, list) and len(pair) == 2 and _are_texts(pair) for pair in pairs)
        and isinstance(skipped, list)
        and _are_texts(skipped)
    )


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        text = "a number too large to print"
    return text if len(text) <= 80 else text[:77] + "..."
