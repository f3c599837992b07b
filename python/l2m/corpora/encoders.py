"""Tokenizers: bytes, characters, words, and the Hugging Face ones, all from texts to ids.

A new tokenizer is a class with the members of `Encoder`, and a line of `BUILT_IN` or a case in `load_encoder`.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from l2m._core import WordTable
from l2m.base.files import file_hash
from l2m.base.hub import hub_file, locate, one_line
from l2m.base.optional import require
from l2m.corpora.corpus import Corpus
from l2m.corpora.formats.streams import open_bytes
from l2m.corpora.model_tokenizers import tokenizer_of_folder, tokenizer_of_gguf
from l2m.errors import InputError

_CHECKED_LETTERS = 1 << 19

Encoded = tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]


class Encoder(Protocol):
    """Turns texts into ids: `encode(texts)` gives all ids side by side and (texts + 1) offsets."""

    name: str
    hash: str
    dtype: str
    """Little-endian type that holds every id."""

    def encode(self, texts: list[str]) -> Encoded: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def encoder(self) -> str:
        """Which implementation made the ids."""
        ...


def load_encoder(tokenizer: str | os.PathLike[str] | Encoder) -> Encoder:
    """The encoder of that name: one of `BUILT_IN`, else a Hugging Face tokenizer (see `tokenizer_file`).

    An encoder is given back as it is.

    Raises:
        InputError: not a known name, folder or file, or one that could not be downloaded from the hub.
    """
    if not isinstance(tokenizer, (str, os.PathLike)):
        if not callable(getattr(tokenizer, "encode", None)):
            raise InputError(f"tokenizer: {type(tokenizer).__name__}; expected a name, a path or an encoder")
        return tokenizer
    name = os.fspath(tokenizer)
    if not name:
        raise InputError(f"tokenizer: an empty name; expected {', '.join(BUILT_IN)}, or a Hugging Face tokenizer")
    if name in BUILT_IN:
        return BUILT_IN[name]()
    return HuggingFaceEncoder(name, tokenizer_file(name))


def tokenizer_file(name: str) -> Path:
    """The tokenizer.json behind a file, or behind a model's name (see `l2m.base.hub.locate`).

    A GGUF file's tokenizer is converted once; one on the hub is fetched into the hub's cache.
    """
    path = Path(name)
    if path.is_file() and path.suffix != ".gguf":
        return path
    if path.is_dir() and (path / "tokenizer.json").exists():
        return path / "tokenizer.json"  # a folder of a tokenizer alone is no model
    found = locate("tokenizer", name)
    if found.hub is not None:
        return hub_file("tokenizer", name, "tokenizer.json")
    folder = tokenizer_of_folder(found.folder, name) if found.folder else tokenizer_of_gguf(Path(str(found.gguf)), name)
    return folder / "tokenizer.json"


class _Bytes:
    name = encoder = "bytes"
    hash = ""
    dtype = "<u2"
    vocab_size = 256

    def encode(self, texts: list[str]) -> Encoded:
        parts = [text.encode() for text in texts]
        return np.frombuffer(b"".join(parts), np.uint8), _offsets(len(part) for part in parts)


class _Characters:
    # CPython's own codec: 300 MB/s of English on one core, twice the words; in Rust it would be the same copy.
    name = encoder = "characters"
    hash = ""
    dtype = "<u4"
    vocab_size = 0x110000

    def encode(self, texts: list[str]) -> Encoded:
        return np.frombuffer("".join(texts).encode("utf-32-le"), "<u4"), _offsets(len(text) for text in texts)


@dataclass
class _Words:
    name = encoder = "words"
    hash = ""  # that of a corpus is the hash of its vocabulary
    dtype = "<u4"
    table: WordTable = field(default_factory=WordTable)

    @property
    def vocab_size(self) -> int:
        return len(self.table)

    def encode(self, texts: list[str]) -> Encoded:
        return self.table.encode(texts)


class _Ids:
    """Sources that hold ids already."""

    name = encoder = "ids"
    hash = ""
    dtype = "<u4"
    vocab_size = 0

    def encode(self, texts: list[str]) -> Encoded:
        raise InputError("tokenizer: 'ids' for a source that holds text; expected token ids, or name a tokenizer")


class _Fast(Protocol):
    """What is used of `fastokens.Tokenizer`."""

    def encode_batch_flat(
        self, texts: list[str], *, add_special_tokens: bool, split_special_tokens: bool
    ) -> tuple[bytes, bytes]: ...


class HuggingFaceEncoder:
    """`fastokens` where it gives the same ids as `tokenizers` on half a megabyte (50 times the speed), else `tokenizers`."""

    def __init__(self, name: str, file: Path) -> None:
        require(f"tokenizer: {name!r}", "tokenizers")
        from tokenizers import Tokenizer

        with open_bytes(str(file)):
            pass  # a regular file, and no pointer to one
        try:
            self._reference = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises plain Exception
            raise InputError(f"{file}: not a tokenizer.json that tokenizers can read ({one_line(error)})") from None
        # Text is text: a document that spells "<|endoftext|>" holds those characters, not the control token.
        self._reference.encode_special_tokens = True
        self._reference.no_truncation()
        self._reference.no_padding()
        self._samples = _stop_sampling(self._reference.model)
        self._file = file
        self._fast: _Fast | None = None
        self.name = name
        self.hash = file_hash(file)
        self.encoder = "unchecked"
        self.vocab_size = 1 + max(self._reference.get_vocab(with_added_tokens=True).values(), default=-1)
        self.dtype = "<u2" if self.vocab_size <= 1 << 16 else "<u4"

    def encode(self, texts: list[str]) -> Encoded:
        if self.encoder == "unchecked":
            self._choose(texts)
        return self._encode_fast(texts) if self._fast is not None else self._encode_reference(texts)

    def spell(self, id: int) -> str:
        spelled: str = self._reference.decode([id], skip_special_tokens=False)
        return spelled

    def _choose(self, texts: list[str]) -> None:
        sample = [text[: max(_CHECKED_LETTERS // len(texts), 4096)] for text in texts[: _CHECKED_LETTERS // 4096]]
        self.encoder = "tokenizers"
        if self._samples:  # fastokens reads the file, where sampling is on
            return
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
        assert self._fast is not None
        ids, offsets = self._fast.encode_batch_flat(texts, add_special_tokens=False, split_special_tokens=True)
        return np.frombuffer(ids, "<u4"), np.frombuffer(offsets, "<u8").astype(np.int64)

    def _encode_reference(self, texts: list[str]) -> Encoded:
        try:
            parts = [encoding.ids for encoding in self._reference.encode_batch_fast(texts, add_special_tokens=False)]
        except Exception as error:  # the library raises plain Exception: a word without an id, and no id for such
            raise InputError(f"tokenizer: {self.name!r} cannot encode this text ({one_line(error)})") from None
        flat = np.fromiter((token for part in parts for token in part), np.uint32)
        return flat, _offsets(len(part) for part in parts)


def _stop_sampling(model: object) -> bool:
    """Switch off what gives other ids at each run (BPE's dropout, Unigram's sampling); whether any was on."""
    was_on = False
    for setting in ("dropout", "alpha", "nbest_size"):
        if getattr(model, setting, None):
            setattr(model, setting, None)
            was_on = True
    return was_on


BUILT_IN: dict[str, Callable[[], Encoder]] = {"bytes": _Bytes, "characters": _Characters, "words": _Words, "ids": _Ids}


def _offsets(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, np.int64))]).astype(np.int64)


def spell(corpus: Corpus, ids: list[int]) -> list[str | None]:
    """What the ids of a corpus stand for; None for each where the tokenizer is not at hand."""
    name = corpus.tokenizer["name"]
    if name == "bytes":
        return [bytes([id]).decode("ascii", "backslashreplace") if id < 256 else None for id in ids]
    if name == "characters":
        return [chr(id) if id < 0x110000 else None for id in ids]
    if name == "words":
        kept = None if corpus.folder is None else Path(corpus.folder) / "words.txt"
        if kept is not None and kept.exists():
            listed: Sequence[str] = kept.read_text("utf-8", "replace").split("\n")
        else:
            listed = corpus.words or ()
        return [listed[id] if id < len(listed) else None for id in ids]
    try:
        encoder = load_encoder(name)
    except InputError:
        return [None] * len(ids)
    if not isinstance(encoder, HuggingFaceEncoder) or encoder.hash != corpus.tokenizer.get("hash"):
        return [None] * len(ids)
    return [encoder.spell(id) for id in ids]
