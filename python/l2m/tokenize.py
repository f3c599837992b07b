"""Text to token ids: one pass that reads, encodes and writes a corpus folder."""

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from l2m.corpus import Corpus, write_manifest
from l2m.errors import InputError
from l2m.files import atomic_write, file_hash, read_json
from l2m.hub import hub_file
from l2m.near_duplicates import NearDuplicateFinder
from l2m.progress import Progress
from l2m.sources import Document, Sources, read_documents, total_bytes

_BATCH_BYTES = 16 << 20
_CHECKED_BYTES = 1 << 20

Encoded = tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]


class Encoder(Protocol):
    """Turns texts into ids: `encode(texts)` gives all ids side by side and (texts + 1) offsets."""

    name: str
    hash: str

    def encode(self, texts: list[str]) -> Encoded: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def encoder(self) -> str:
        """Which implementation made the ids."""
        ...


def tokenize(
    sources: Sources,
    tokenizer: str | os.PathLike[str] | Encoder = "bytes",
    out: str | os.PathLike[str] | None = None,
    *,
    glob: str = "*",
    duplicates: str = "drop",
    progress: Progress | None = None,
) -> Corpus:
    """Tokenize texts into a corpus.

    Args:
        sources: files, folders, texts, or an iterable of them (see `l2m.sources.read_documents`).
        tokenizer: "bytes" (UTF-8), "characters" (code points), "words" (runs of word characters, and every other character
            that is not white space; ids in order of first occurrence), or a Hugging Face tokenizer: hub name, folder, or
            tokenizer.json. No special token is added, and text that spells one is encoded as text. Or an `Encoder`.
        out: folder to write; None keeps the corpus in memory.
        glob: which files of a folder.
        duplicates: "drop" leaves out documents that are copies of, or share over a fifth of their shingles with, a larger
            one (`l2m.near_duplicates`); "keep" keeps them. What was dropped stands in `corpus.tokenizer["duplicates"]`.
        progress: called with (bytes read, bytes in all).

    Raises:
        InputError: bad sources, an unknown tokenizer, no text at all, or `out` holds a corpus made otherwise.
    """
    if duplicates not in ("drop", "keep"):
        raise InputError(f"duplicates: {duplicates!r}; expected 'drop' or 'keep'")
    encoder = load_encoder(tokenizer) if isinstance(tokenizer, (str, os.PathLike)) else tokenizer
    total = total_bytes(sources, glob=glob)
    documents = read_documents(sources, glob=glob)
    if out is not None:
        _write(Path(out), encoder, documents, duplicates, progress, total)
        return Corpus.open(out, verify=False)
    with tempfile.TemporaryDirectory(prefix="l2m-") as folder:
        _write(Path(folder), encoder, documents, duplicates, progress, total)
        corpus = Corpus.open(folder, verify=False)
        return Corpus(
            np.array(corpus.tokens),
            corpus.offsets,
            corpus.vocab_size,
            documents=corpus.documents,
            tokenizer=corpus.tokenizer,
        )


def load_encoder(tokenizer: str | os.PathLike[str]) -> Encoder:
    """The encoder of that name.

    Raises:
        InputError: not a known name, folder or file, or not to be had from the hub.
    """
    name = os.fspath(tokenizer)
    if name in _BUILT_IN:
        built_in: Encoder = _BUILT_IN[name]()
        return built_in
    return HuggingFaceEncoder(name, tokenizer_file(name))


def tokenizer_file(name: str) -> Path:
    """The tokenizer.json behind a file, a folder or a hub name (fetched into the hub's cache)."""
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        if not (path / "tokenizer.json").exists():
            raise InputError(f"{path}: no tokenizer.json in this folder; expected a Hugging Face tokenizer")
        return path / "tokenizer.json"
    return hub_file("tokenizer", name, "tokenizer.json")


class _Bytes:
    name = encoder = "bytes"
    hash = ""
    vocab_size = 256

    def encode(self, texts: list[str]) -> Encoded:
        parts = [text.encode() for text in texts]
        return np.frombuffer(b"".join(parts), np.uint8), _offsets(len(part) for part in parts)


class _Characters:
    name = encoder = "characters"
    hash = ""
    vocab_size = 0x110000

    def encode(self, texts: list[str]) -> Encoded:
        return np.frombuffer("".join(texts).encode("utf-32-le"), "<u4"), _offsets(len(text) for text in texts)


@dataclass
class _Words:
    name = encoder = "words"
    ids: dict[str, int] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        return blake3("\n".join(self.ids).encode()).hexdigest()

    @property
    def vocab_size(self) -> int:
        return len(self.ids)

    def encode(self, texts: list[str]) -> Encoded:
        parts = [re.findall(r"\w+|[^\w\s]", text) for text in texts]
        ids = self.ids
        flat = [ids.setdefault(word, len(ids)) for part in parts for word in part]
        return np.array(flat, np.uint32), _offsets(len(part) for part in parts)


class HuggingFaceEncoder:
    """`fastokens` where it gives the same ids as `tokenizers` on the first megabyte (50 times the speed), else `tokenizers`."""

    def __init__(self, name: str, file: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise InputError(f"tokenizer: {name!r} needs the extra 'text': pip install 'l2m[text]'") from None
        try:
            self._reference = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises plain Exception
            raise InputError(f"{file}: not a tokenizer.json that tokenizers can read ({error})") from None
        # Text is text: a document that spells "<|endoftext|>" holds those characters, not the control token.
        self._reference.encode_special_tokens = True
        self._reference.no_truncation()
        self._reference.no_padding()
        self._file = file
        self._fast: Any = None
        self.name = name
        self.hash = file_hash(file)
        self.encoder = "unchecked"

    @property
    def vocab_size(self) -> int:
        return 1 + max(self._reference.get_vocab(with_added_tokens=True).values(), default=-1)

    def encode(self, texts: list[str]) -> Encoded:
        if self.encoder == "unchecked":
            self._choose(texts)
        return self._encode_fast(texts) if self._fast is not None else self._encode_reference(texts)

    def _choose(self, texts: list[str]) -> None:
        sample, left = [], _CHECKED_BYTES
        for text in texts:
            sample.append(text[:left])
            left -= len(sample[-1])
            if left <= 0:
                break
        self.encoder = "tokenizers"
        try:
            from fastokens import Tokenizer

            self._fast = Tokenizer.from_file(str(self._file))
            fast = self._encode_fast(sample)
        except Exception:  # no such package, or a model it does not know: its errors have no common type
            self._fast = None
            return
        reference = self._encode_reference(sample)
        if all(np.array_equal(left, right) for left, right in zip(fast, reference, strict=True)):
            self.encoder = "fastokens"
        else:
            self._fast = None

    def _encode_fast(self, texts: list[str]) -> Encoded:
        ids, offsets = self._fast.encode_batch_flat(texts, add_special_tokens=False, split_special_tokens=True)
        return np.frombuffer(ids, "<u4"), np.frombuffer(offsets, "<u8").astype(np.int64)

    def _encode_reference(self, texts: list[str]) -> Encoded:
        parts = [encoding.ids for encoding in self._reference.encode_batch_fast(texts, add_special_tokens=False)]
        flat = np.fromiter((token for part in parts for token in part), np.uint32)
        return flat, _offsets(len(part) for part in parts)


_BUILT_IN: dict[str, type[Any]] = {"bytes": _Bytes, "characters": _Characters, "words": _Words}


def _offsets(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, np.int64))]).astype(np.int64)


def _write(
    folder: Path,
    encoder: Encoder,
    documents: Iterator[Document],
    duplicates: str,
    progress: Progress | None,
    total: int,
) -> None:
    folder_was_there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            # All three are renamed when the stack closes, so a failure before that leaves nothing behind.
            tokens_file = stack.enter_context(atomic_write(folder / "tokens.npy"))
            finder = NearDuplicateFinder() if duplicates == "drop" else None
            table, lengths = _encode_all(tokens_file, encoder, documents, finder, progress, total)
            tokens_file.flush()
            offsets = _offsets(lengths)
            made_by: dict[str, Any] = {"name": encoder.name, "hash": encoder.hash, "encoder": encoder.encoder}
            corpus = Corpus(
                np.load(tokens_file.name, mmap_mode="r"),
                offsets,
                encoder.vocab_size,
                documents=table,
                tokenizer=made_by,
            )
            dropped = finder.find() if finder is not None else {}
            made_by["duplicates"] = [[table[copy]["id"], table[original]["id"]] for copy, original in dropped.items()]
            if dropped:
                corpus = corpus.select([index for index in range(len(corpus)) if index not in dropped])
                tokens_file.seek(0)
                tokens_file.truncate()
                np.save(tokens_file, corpus.tokens)
            source = _source_hash(table)
            _refuse_another(folder, made_by, source)
            np.save(stack.enter_context(atomic_write(folder / "offsets.npy")), corpus.offsets)
            json.dump(corpus.documents, stack.enter_context(atomic_write(folder / "documents.json", "w")), indent=0)
        write_manifest(
            folder, vocab_size=corpus.vocab_size, tokenizer=made_by, tokens=int(corpus.offsets[-1]), source=source
        )
    except BaseException:
        if not folder_was_there and not any(folder.iterdir()):
            folder.rmdir()
        raise


def _encode_all(
    file: IO[bytes],
    encoder: Encoder,
    documents: Iterator[Document],
    finder: NearDuplicateFinder | None,
    progress: Progress | None,
    total: int,
) -> tuple[list[dict[str, Any]], list[int]]:
    """Stream ids to `file` as .npy; give the documents' table and lengths in tokens."""
    dtype = np.dtype("<u2" if encoder.vocab_size <= 1 << 16 and not isinstance(encoder, _Words) else "<u4")
    _npy_header(file, dtype, 0)
    table: list[dict[str, Any]] = []
    lengths: list[int] = []
    done = 0
    for batch in _batches(documents):
        ids, offsets = encoder.encode([document.text for document in batch])
        file.write(np.ascontiguousarray(ids, dtype).data)
        lengths += np.diff(offsets).tolist()
        for document in batch:
            content = document.text.encode()
            done += len(content)
            if finder is not None:
                finder.add(document.text)
            table.append({"id": document.id, "bytes": len(content), "hash": blake3(content).hexdigest()})
        if progress is not None:
            progress(done, total)
    if not sum(lengths):
        raise InputError("sources: no text in any document; expected at least one token")
    file.seek(0)
    _npy_header(file, dtype, sum(lengths))
    file.seek(0, os.SEEK_END)
    return table, lengths


def _npy_header(file: IO[bytes], dtype: np.dtype[Any], size: int) -> None:
    # NumPy pads the header so that the first axis can grow to 21 digits: the same length for every size.
    header = {"descr": dtype.str, "fortran_order": False, "shape": (size,)}
    np.lib.format.write_array_header_1_0(file, header)


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _source_hash(table: list[dict[str, Any]]) -> str:
    return blake3("".join(document["hash"] for document in table).encode()).hexdigest()


def _refuse_another(folder: Path, made_by: Mapping[str, Any], source: str) -> None:
    if not (folder / "corpus.json").exists():
        return
    held = read_json(folder / "corpus.json")
    for setting, wanted, found in (
        ("tokenizer", made_by["name"], held["tokenizer"].get("name")),
        ("tokenizer hash", made_by["hash"], held["tokenizer"].get("hash")),
        ("text (hash)", source, held.get("source")),
        ("duplicates", made_by["duplicates"], held["tokenizer"].get("duplicates")),
    ):
        if wanted != found:
            raise InputError(
                f"out: {folder} holds a corpus with {setting} {found!r}, not {wanted!r}; choose another folder"
            )
