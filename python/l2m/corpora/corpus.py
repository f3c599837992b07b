"""A corpus: token ids of all documents side by side, and where each document begins."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base.files import atomic_write, file_hash, read_json, write_json
from l2m.errors import InputError

SCHEMA = 1
_FILES = ("tokens.npy", "offsets.npy", "documents.jsonl", "words.txt")


class _Numbered(Sequence[Mapping[str, Any]]):
    """Documents that were given no name."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | list[Mapping[str, Any]]:
        numbers = range(self._size)[index]
        return {"id": str(numbers)} if isinstance(numbers, int) else [{"id": str(number)} for number in numbers]


class _Lines(Sequence[Mapping[str, Any]]):
    """The lines of documents.jsonl, read when they are asked for: a corpus may have many millions."""

    def __init__(self, path: Path) -> None:
        self._content = np.memmap(path, np.uint8, "r") if os.path.getsize(path) else np.zeros(0, np.uint8)
        steps = range(0, self._content.size, 1 << 24)
        ends = [np.flatnonzero(self._content[start : start + (1 << 24)] == ord("\n")) + start + 1 for start in steps]
        self._bounds = np.concatenate([[0], *ends])

    def __len__(self) -> int:
        return self._bounds.size - 1

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | list[Mapping[str, Any]]:
        numbers = range(len(self))[index]
        if not isinstance(numbers, int):
            return [self[number] for number in numbers]
        line: Mapping[str, Any] = json.loads(self._content[self._bounds[numbers] : self._bounds[numbers + 1]].tobytes())
        return line


class Corpus:
    """Token ids with document bounds.

    Args:
        tokens: one integer array of all documents side by side, or a list of arrays, one a document.
        offsets: (documents + 1) positions where documents begin, first 0, last len(tokens). None: one document.
        vocab_size: number of possible ids; default one above the largest id.
        documents: one mapping a document, at least {"id": str}.
        tokenizer: what made the ids: {"name": ..., "hash": ...}.

    Attributes:
        tokens: uint16 or uint32, memory-mapped when opened from a folder. Never written.
        offsets: int64, (documents + 1).
        folder: absolute path or URL it was opened from; None for a corpus made in memory.

    Raises:
        InputError: ids that are not integers, negative or above 2^32 - 1; offsets that decrease or do not span the tokens.
    """

    def __init__(
        self,
        tokens: ArrayLike | Sequence[ArrayLike],
        offsets: ArrayLike | None = None,
        vocab_size: int | None = None,
        *,
        documents: Sequence[Mapping[str, Any]] | None = None,
        tokenizer: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(tokens, (list, tuple)) and tokens and np.ndim(tokens[0]) == 1:
            if offsets is not None:
                raise InputError(
                    "offsets: given beside a list of documents; expected offsets only with one array of tokens"
                )
            # An empty list would be floats.
            parts = [np.asarray(part) if len(part) else np.zeros(0, np.uint16) for part in tokens]
            offsets = np.concatenate([[0], np.cumsum([part.size for part in parts])])
            tokens = np.concatenate(parts)
        self.tokens = _ids(np.asanyarray(tokens))
        self.offsets = _bounds(offsets, self.tokens.size)
        largest = int(self.tokens.max()) if vocab_size is None and self.tokens.size else -1
        self.vocab_size = largest + 1 if vocab_size is None else int(vocab_size)
        self.documents: Sequence[Mapping[str, Any]] = (
            _Numbered(len(self))
            if documents is None
            else documents
            if isinstance(documents, _Lines)
            else list(documents)
        )
        if len(self.documents) != len(self):
            raise InputError(
                f"documents: {len(self.documents)} entries; expected one for each of the {len(self)} documents"
            )
        self.tokenizer = dict(tokenizer or {"name": "ids"})
        self.folder: str | None = None
        self._hash: str | None = None

    def __len__(self) -> int:
        """The number of documents."""
        return self.offsets.size - 1

    def __getitem__(self, index: int) -> NDArray[np.unsignedinteger]:
        """The token ids of one document, a view."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"document {index} of {len(self)}")
        index %= len(self)
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def __repr__(self) -> str:
        return (
            f"Corpus({self.tokens.size:,} tokens, {len(self):,} documents, vocab_size={self.vocab_size:,}, "
            f"tokenizer={self.tokenizer['name']!r})"
        )

    @property
    def hash(self) -> str:
        """BLAKE3 over ids (as little-endian uint32) and offsets: the same for the same tokens, whatever folder and width."""
        if self._hash is None:
            starts = range(0, self.tokens.size, 1 << 22)
            self._hash = token_hash(self.offsets, (self.tokens[start : start + (1 << 22)] for start in starts))
        return self._hash

    def select(self, documents: Sequence[int]) -> "Corpus":
        """The corpus of these documents only, in this order."""
        parts = [self[index] for index in documents]
        return Corpus(
            np.concatenate(parts) if parts else self.tokens[:0],
            np.concatenate([[0], np.cumsum([part.size for part in parts])]).astype(np.int64),
            self.vocab_size,
            documents=[self.documents[index] for index in documents],
            tokenizer=self.tokenizer,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the folder: tokens.npy, offsets.npy, documents.jsonl, and last corpus.json, which makes it a corpus."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / "tokens.npy") as file:
            np.save(file, self.tokens, allow_pickle=False)
        with atomic_write(folder / "offsets.npy") as file:
            np.save(file, self.offsets, allow_pickle=False)
        with atomic_write(folder / "documents.jsonl") as file:
            file.writelines(
                json.dumps(dict(document), ensure_ascii=False).encode() + b"\n" for document in self.documents
            )
        write_manifest(
            folder, vocab_size=self.vocab_size, tokenizer=self.tokenizer, tokens=self.tokens.size, hash=self.hash
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Self:
        """Memory-map a saved corpus.

        Args:
            path: the folder, or a URL of one (s3://, gs://, ...), which is fetched once into ~/.cache/l2m/corpora.
            verify: compare the files with the checksums in corpus.json first (about 1 s per 5 GB).

        Raises:
            InputError: not a corpus folder, a newer schema, or a file that is damaged or cut short.
        """
        folder = _fetched(path) if isinstance(path, str) and "://" in path else Path(path)
        manifest = read_json(folder / "corpus.json")
        if manifest.get("schema") != SCHEMA:
            raise InputError(f"{folder}: corpus schema {manifest.get('schema')!r}; this version of l2m reads {SCHEMA}")
        for name, checksum in manifest["files"].items():
            file = folder / name
            if not file.exists():
                raise InputError(f"{file}: missing; tokenize the corpus again")
            if verify and file_hash(file) != checksum:
                raise InputError(
                    f"{file}: its checksum differs from corpus.json: damaged or cut short; tokenize the corpus again"
                )
        corpus = cls(
            np.load(folder / "tokens.npy", mmap_mode="r", allow_pickle=False),
            np.load(folder / "offsets.npy", allow_pickle=False),
            manifest["vocab_size"],
            documents=_Lines(folder / "documents.jsonl"),
            tokenizer=manifest["tokenizer"],
        )
        corpus.folder = path if isinstance(path, str) and "://" in path else os.path.abspath(path)
        corpus._hash = manifest.get("hash")
        return corpus


def _fetched(url: str) -> Path:
    """A copy of a remote corpus on this machine, made unless it is there; the manifest comes last and names its version."""
    from l2m.base.optional import optional_library

    fsspec = optional_library("fsspec", url)
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        content = filesystem.cat_file(f"{path.rstrip('/')}/corpus.json")
    except FileNotFoundError:
        raise InputError(f"{url}: no corpus.json; expected a folder that l2m tokenize wrote") from None
    except (ImportError, ValueError, OSError) as error:  # a protocol without its package; no access
        raise InputError(f"{url}: {error}") from None
    from blake3 import blake3

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "l2m" / "corpora" / blake3(content).hexdigest()
    if not (folder / "corpus.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in json.loads(content)["files"]:
            with filesystem.open(f"{path.rstrip('/')}/{name}", "rb") as source, atomic_write(folder / name) as target:
                shutil.copyfileobj(source, target, 1 << 24)
        with atomic_write(folder / "corpus.json") as file:
            file.write(content)
    return folder


def token_hash(offsets: NDArray[np.integer], pieces: Iterable[NDArray[np.integer]]) -> str:
    """`Corpus.hash` of the ids in these pieces, side by side."""
    from blake3 import blake3

    digest = blake3(offsets.astype("<i8").tobytes())
    for piece in pieces:
        digest.update(piece.astype("<u4").tobytes())
    return digest.hexdigest()


def write_manifest(
    folder: Path, *, vocab_size: int, tokenizer: Mapping[str, Any], tokens: int, hash: str, **extra: Any
) -> None:
    """Write corpus.json over the files of `folder`: from here on it is a corpus."""
    files = {name: file_hash(folder / name) for name in _FILES if (folder / name).exists()}
    manifest = {
        "kind": "corpus",
        "schema": SCHEMA,
        "vocab_size": vocab_size,
        "tokens": tokens,
        "hash": hash,
        "tokenizer": dict(tokenizer),
    }
    write_json(folder / "corpus.json", {**manifest, **extra, "files": files})


def _ids(tokens: NDArray[Any]) -> NDArray[np.unsignedinteger]:
    if tokens.ndim != 1:
        raise InputError(f"tokens: an array of shape {tokens.shape}; expected one dimension")
    if tokens.size == 0:
        return np.zeros(0, np.uint16)
    if tokens.dtype.kind not in "iu":
        raise InputError(f"tokens: dtype {tokens.dtype}; expected integer ids")
    if tokens.dtype in (np.uint16, np.uint32) and tokens.dtype.isnative:
        return tokens
    smallest, largest = int(tokens.min()), int(tokens.max())
    if smallest < 0 or largest >= 1 << 32:
        raise InputError(f"tokens: ids from {smallest} to {largest}; expected 0 to 2^32 - 1")
    return tokens.astype(np.uint16 if largest < 1 << 16 else np.uint32)


def _bounds(offsets: ArrayLike | None, size: int) -> NDArray[np.int64]:
    if offsets is None:
        return np.array([0, size], np.int64)
    bounds = np.asarray(offsets)
    if bounds.ndim != 1 or bounds.size < 2 or bounds.dtype.kind not in "iu":
        raise InputError(f"offsets: {bounds.dtype} of shape {bounds.shape}; expected documents + 1 integers")
    bounds = bounds.astype(np.int64)
    if bounds[0] != 0 or bounds[-1] != size:
        raise InputError(f"offsets: from {bounds[0]} to {bounds[-1]}; expected from 0 to {size}, the number of tokens")
    if (np.diff(bounds) < 0).any():
        where = int(np.flatnonzero(np.diff(bounds) < 0)[0])
        raise InputError(
            f"offsets: {bounds[where]} is followed by {bounds[where + 1]}; expected bounds that do not decrease"
        )
    return bounds
