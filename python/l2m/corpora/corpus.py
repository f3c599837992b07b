"""A corpus: token ids of all documents side by side, and where each document begins."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base import checks
from l2m.base.files import atomic_write, clear_temporaries
from l2m.base.npy import read_npy, require_file
from l2m.corpora.manifest import LARGEST_VOCABULARY, Manifest, read_manifest, write_manifest
from l2m.errors import InputError

_LARGEST_ID = LARGEST_VOCABULARY - 1
_CHUNK_IDS = 1 << 22


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
        self._path = path
        self._content = np.memmap(path, np.uint8, "r") if require_file(path) else np.zeros(0, np.uint8)
        steps = range(0, self._content.size, 1 << 24)
        ends = [np.flatnonzero(self._content[start : start + (1 << 24)] == ord("\n")) + start + 1 for start in steps]
        self._bounds = np.concatenate([[0], *ends])
        if self._bounds[-1] != self._content.size:
            raise InputError(f"{path}: the last line has no line end: damaged or cut short")

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
        try:
            line = json.loads(self._content[self._bounds[numbers] : self._bounds[numbers + 1]].tobytes())
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self._path}: line {numbers + 1}: not JSON ({error})") from None
        if not _is_document(line):
            raise InputError(f"{self._path}: line {numbers + 1}: expected an object with a text as id")
        document: Mapping[str, Any] = line
        return document


IDS = "token ids: l2m.tokenize(texts, tokenizer) makes a corpus of texts, l2m.Corpus.open(folder) reads one"
"""What is expected where a corpus is meant and a text was given."""


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
        words: the vocabulary, by id, of a corpus that was tokenized into words in memory; in a folder it is words.txt. Else None.

    Raises:
        InputError: ids that are not integers, missing or masked, negative or above 2^32 - 1, or not below `vocab_size`; offsets
            that decrease or do not span the tokens; documents without an id, or not one for each.
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
        checks.no_text("tokens", tokens, IDS)
        if isinstance(tokens, (list, tuple)) and tokens and np.ndim(tokens[0]) == 1:
            if offsets is not None:
                raise InputError(
                    "offsets: given with a list of documents; expected offsets only with one array of tokens"
                )
            parts = [_ids(f"tokens[{number}]", part) for number, part in enumerate(tokens)]
            offsets = np.concatenate([[0], np.cumsum([part.size for part in parts])])
            tokens = np.concatenate(parts)
            if tokens.dtype.kind == "f":  # what NumPy makes of uint64 and int64 together
                tokens = np.concatenate([part.astype(np.int64) for part in parts])
        self.tokens = _narrow(_ids("tokens", tokens))
        self.offsets = _bounds(offsets, self.tokens.size)
        largest = int(self.tokens.max()) if self.tokens.size else -1
        if vocab_size is None:
            vocab_size = largest + 1
        self.vocab_size = checks.whole("vocab_size", vocab_size, 0, LARGEST_VOCABULARY)
        if largest >= self.vocab_size:
            raise InputError(f"vocab_size: {self.vocab_size}; expected {largest + 1} or more, as id {largest} occurs")
        self.documents: Sequence[Mapping[str, Any]] = _documents(documents, len(self))
        self.tokenizer: dict[str, Any] = _tokenizer(tokenizer)
        self.folder: str | None = None
        self.words: tuple[str, ...] | None = None
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
            self._hash = token_hash(self.offsets, self._pieces())
        return self._hash

    def select(self, documents: Sequence[int]) -> "Corpus":
        """The corpus of these documents only, in this order; -1 is the last.

        Raises:
            InputError: numbers of documents that are not there, or no numbers.
        """
        numbers = checks.integers("documents", documents, low=-len(self), high=len(self) - 1).tolist()
        parts = [self[index] for index in numbers]
        return Corpus(
            np.concatenate(parts) if parts else self.tokens[:0],
            np.concatenate([[0], np.cumsum([part.size for part in parts])]).astype(np.int64),
            self.vocab_size,
            documents=[self.documents[index] for index in numbers],
            tokenizer=self.tokenizer,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the folder: tokens.npy, offsets.npy, documents.jsonl, and last corpus.json, which makes it a corpus.

        Raises:
            InputError: the name of a document holds half a surrogate pair, which UTF-8 cannot write.
        """
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        clear_temporaries(folder)
        with atomic_write(folder / "documents.jsonl") as file:
            file.writelines(map(document_line, self.documents))
        with atomic_write(folder / "tokens.npy") as file:
            np.save(file, self.tokens, allow_pickle=False)
        with atomic_write(folder / "offsets.npy") as file:
            np.save(file, self.offsets, allow_pickle=False)
        write_manifest(
            folder, vocab_size=self.vocab_size, tokenizer=self.tokenizer, tokens=self.tokens.size, hash=self.hash
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Self:
        """Memory-map a saved corpus.

        Args:
            path: the folder, or a URL of one (s3://, gs://, ...), which is downloaded once into the cache folder: L2M_CACHE, else
                ~/.cache/l2m.
            verify: compare the files with the checksums in corpus.json, and the ids with the vocabulary (about 1 s per 4 GB).

        Raises:
            InputError: not a corpus folder, another schema, or a file that is damaged, cut short or not what a corpus holds.
        """
        if not (isinstance(path, str) and "://" in path):
            corpus = cls._read(checks.path("path", path), verify)
            corpus.folder = os.path.abspath(path)
            return corpus
        from l2m.corpora.remote import fetch

        folder = fetch(path)
        try:
            corpus = cls._read(folder, verify)
        except InputError:
            # The copy was right when it was made: it was damaged since. A new one, unless what was uploaded is no corpus.
            shutil.rmtree(folder)
            try:
                corpus = cls._read(fetch(path), verify)
            except InputError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise InputError(str(error).replace(str(folder), path.rstrip("/"))) from None
        corpus.folder = path
        return corpus

    @classmethod
    def _read(cls, folder: Path, verify: bool) -> Self:
        manifest = read_manifest(folder)
        manifest.verify(folder, checksums=verify)
        # Not through __init__, which reads every id; here that is only done to verify.
        corpus = cls.__new__(cls)
        corpus.tokens = read_npy(folder / "tokens.npy", ("<u2", "<u4"))
        corpus.offsets = np.array(read_npy(folder / "offsets.npy", ("<i8",)))
        corpus.documents = _Lines(folder / "documents.jsonl")
        corpus.vocab_size = manifest.vocab_size
        corpus.tokenizer = dict(manifest.tokenizer)
        corpus._hash = manifest.hash
        corpus._require_whole(folder, manifest)
        if verify and corpus.tokens.size:
            largest = max(int(piece.max()) for piece in corpus._pieces())
            if largest >= corpus.vocab_size:
                raise InputError(f"{folder}: token id {largest}; its vocab_size is {corpus.vocab_size}: damaged")
        return corpus

    def _require_whole(self, folder: Path, manifest: Manifest) -> None:
        """Refuse files that do not fit each other."""
        if self.tokens.size != manifest.tokens:
            raise InputError(
                f"{folder / 'tokens.npy'}: {self.tokens.size:,} tokens; corpus.json names {manifest.tokens:,}: damaged"
            )
        try:
            _bounds(self.offsets, self.tokens.size)
        except InputError as error:
            raise InputError(f"{folder / 'offsets.npy'}: damaged ({error})") from None
        if len(self.documents) != len(self):
            raise InputError(
                f"{folder / 'documents.jsonl'}: {len(self.documents):,} lines for {len(self):,} documents: damaged"
            )

    def _pieces(self) -> Iterable[NDArray[np.unsignedinteger]]:
        starts = range(0, self.tokens.size, _CHUNK_IDS)
        return (self.tokens[start : start + _CHUNK_IDS] for start in starts)


def token_hash(offsets: NDArray[np.integer], pieces: Iterable[NDArray[np.integer]]) -> str:
    """`Corpus.hash` of the ids in these pieces, side by side."""
    from blake3 import blake3

    digest = blake3(offsets.astype("<i8").tobytes())
    for piece in pieces:
        digest.update(piece.astype("<u4").tobytes())
    return digest.hexdigest()


def document_line(document: Mapping[str, Any]) -> bytes:
    """A document's line in documents.jsonl.

    Raises:
        InputError: a name that UTF-8 cannot write, or an entry that JSON cannot.
    """
    try:
        return json.dumps(dict(document), ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        raise InputError(f"documents: {document['id']!r} holds half a surrogate pair; expected text") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"documents: {document['id']!r} cannot be saved as JSON ({error})") from None


def _is_document(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("id"), str)


def _documents(documents: Sequence[Mapping[str, Any]] | None, size: int) -> Sequence[Mapping[str, Any]]:
    if documents is None:
        return _Numbered(size)
    documents = list(documents)
    if len(documents) != size:
        raise InputError(f"documents: {len(documents)} entries; expected one for each of the {size} documents")
    for number, document in enumerate(documents):
        if not _is_document(document):
            raise InputError(f"documents: entry {number} is {str(document)[:80]}; expected a mapping with a text as id")
    return documents


def _tokenizer(tokenizer: Mapping[str, Any] | None) -> dict[str, Any]:
    if tokenizer is None:
        return {"name": "ids"}
    if not isinstance(tokenizer, Mapping) or not isinstance(tokenizer.get("name"), str):
        raise InputError(f"tokenizer: {str(tokenizer)[:80]}; expected a mapping with a name")
    return dict(tokenizer)


def _ids(argument: str, tokens: ArrayLike | Sequence[ArrayLike]) -> NDArray[np.integer]:
    """Ids in their own integer type, all from 0 to 2^32 - 1."""
    array = checks.plain_array(argument, tokens)  # type: ignore[arg-type]
    if array.size == 0 and array.ndim == 1:
        return np.zeros(0, np.uint16)  # an empty list would be floats
    if array.dtype.kind not in "iu":
        raise InputError(f"{argument}: dtype {array.dtype}; expected integer ids")
    if array.ndim == 1 and array.dtype in (np.uint16, np.uint32):
        return array
    return checks.integers(argument, array, high=_LARGEST_ID)


def _narrow(tokens: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    """The ids as uint16 where they fit, else uint32; as they are where they have one of the two types."""
    if tokens.size == 0:
        return np.zeros(0, np.uint16)
    if tokens.dtype in (np.uint16, np.uint32) and tokens.dtype.isnative:
        return tokens  # type: ignore[return-value]
    return tokens.astype(np.uint16 if int(tokens.max()) < 1 << 16 else np.uint32)


def _bounds(offsets: ArrayLike | None, size: int) -> NDArray[np.int64]:
    if offsets is None:
        return np.array([0, size], np.int64)
    bounds = checks.plain_array("offsets", offsets)
    if bounds.ndim != 1 or bounds.size < 2 or bounds.dtype.kind not in "iu":
        raise InputError(f"offsets: {bounds.dtype} of shape {bounds.shape}; expected documents + 1 integers")
    if bounds[0] != 0 or bounds[-1] != size:
        raise InputError(f"offsets: from {bounds[0]} to {bounds[-1]}; expected from 0 to {size}, the number of tokens")
    falls = np.flatnonzero(bounds[1:] < bounds[:-1])  # not np.diff, which wraps for unsigned integers
    if falls.size:
        where = int(falls[0])
        raise InputError(
            f"offsets: {bounds[where]} is followed by {bounds[where + 1]}; expected bounds that do not decrease"
        )
    return bounds.astype(np.int64)
