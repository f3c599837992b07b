"""One part of a corpus that is being made: written whole into a folder of its own, and read back only as it was written.

    OUT/parts/JOB/00003/part.json       what the part is, with the checksum of itself and of the other files
                        tokens.npy      ids side by side
                        lengths.npy     of each document
                        documents.jsonl
                        digests.bin     32 bytes a document: the hash of its content
                        sketches.npz    of near-duplicates, unless they are kept
                        words.txt       the part's own vocabulary, for words

Parts travel between machines, so whoever uses one compares the checksums first (`open_part`).
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from l2m._core import WordTable
from l2m.base.ahead import ahead
from l2m.base.files import file_hash, json_hash, read_sealed, sync_file, sync_folder, temporary_path, write_sealed
from l2m.base.npy import read_npy, read_npz, require_file
from l2m.corpora.corpus import document_line
from l2m.corpora.documents import Document, FileUnit, ReadingOptions, TextUnit, Unit, printable
from l2m.corpora.encoders import Encoder, load_encoder
from l2m.corpora.manifest import HASH
from l2m.corpora.near_duplicates import NearDuplicateFinder
from l2m.corpora.sources import Reader
from l2m.errors import InputError

if TYPE_CHECKING:
    from concurrent.futures import Future

SCHEMA = 2
"""1 had no checksums."""
RECORD = "part.json"
MERGED = "merged.json"
"""Beside the parts of a job once they are a corpus: it may be removed, whole or not."""
MOST_PARTS = 10**7
COPY_IDS = 1 << 22
_BATCH_BYTES = 8 << 20
_REQUIRED = ("tokens.npy", "lengths.npy", "documents.jsonl", "digests.bin")
_OPTIONAL = ("sketches.npz", "words.txt")
_Batch = list[tuple[Document, int, bytes]]
"""Documents, their sizes in bytes and their hashes."""

_log = logging.getLogger("l2m")


@dataclass(frozen=True, kw_only=True)
class TokenizeJob:
    """What to tokenize and how, cut into parts. Plain values, unless it holds documents or an encoder in memory.

    Attributes:
        out: folder of the corpus.
        tokenizer: name of the tokenizer, or an encoder.
        reading: how the sources are read.
        duplicates, min_tokens, sample: see `l2m.tokenize`.
        parts: the units of each part.
        settings: what two runs must have in common so that their parts can be joined, JSON-ready.
        durable: whether the parts must outlive a crash of the machine.
    """

    out: str
    tokenizer: str | Encoder
    reading: ReadingOptions
    duplicates: str
    min_tokens: int
    sample: float
    parts: tuple[tuple[Unit, ...], ...]
    settings: Mapping[str, Any]
    durable: bool = True

    @cached_property
    def id(self) -> str:
        """The same for the same settings, sources (by name and size) and cut."""
        units = [[[_unit_name(unit), unit.size] for unit in part] for part in self.parts]
        return json_hash([dict(self.settings), units])[:16]

    @property
    def folder(self) -> Path:
        """Where the parts are."""
        return Path(self.out, "parts", self.id)

    def encoder(self) -> Encoder:
        """The encoder, loaded where the job only names it."""
        return load_encoder(self.tokenizer)

    def size(self, parts: Sequence[int]) -> int:
        """Bytes of the sources of these parts."""
        return sum(unit.size for part in parts for unit in self.parts[part])

    def shard(self, index: int, shards: int) -> range:
        """The parts of one of `shards` shards."""
        return range(index * len(self.parts) // shards, (index + 1) * len(self.parts) // shards)

    def left(self, parts: Sequence[int]) -> list[int]:
        """Those of `parts` that are not on disk, or were damaged there, or made from files that changed since."""
        return [part for part in parts if not self._is_done(part)]

    def modified(self, part: int) -> list[float]:
        """When each file of a part was last changed."""
        return [unit.modified for unit in self.parts[part] if isinstance(unit, FileUnit)]

    def _is_done(self, part: int) -> bool:
        folder = self.folder / f"{part:05d}"
        if any(isinstance(unit, TextUnit) for unit in self.parts[part]) or not folder.exists():
            return False
        try:
            record = open_part(folder).record
        except InputError as error:
            _log.warning("%s; the part is made again", error)
            return False
        return record.job == self.id and record.modified == self.modified(part)


def _unit_name(unit: Unit) -> str:
    if isinstance(unit, FileUnit):
        return unit.id
    if isinstance(unit, TextUnit):
        return "text"
    return f"{unit.name} {unit.subset} {unit.split} {unit.shard}/{unit.shards}"


@dataclass(frozen=True, kw_only=True)
class PartRecord:
    """The content of part.json.

    Attributes:
        job, part, parts: `TokenizeJob.id`, the number of the part, and how many there are.
        shard: "I/N" of the run that made it; None: a run of all parts.
        settings: `TokenizeJob.settings`.
        modified: when each source file was last changed.
        documents, tokens: how many.
        holds: "texts" or "ids"; None where no document was read.
        vocab_size: of the encoder.
        largest: largest id of sources that hold ids; -1 without any.
        encoder: which implementation made the ids.
        short, sampled_out: documents left out for having too few tokens, and by `sample`.
        skipped: what could not be read, a line each.
        files: name -> BLAKE3 of each file.
    """

    job: str
    part: int
    parts: int
    shard: str | None
    settings: Mapping[str, Any]
    modified: list[float]
    documents: int
    tokens: int
    holds: str | None
    vocab_size: int
    largest: int
    encoder: str
    short: int
    sampled_out: int
    skipped: list[str]
    files: Mapping[str, str]


@dataclass(frozen=True)
class Part:
    """A part on disk whose files are what its record says."""

    folder: Path
    record: PartRecord

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document."""
        return np.array(read_npy(self.folder / "lengths.npy", ("<i8",)))

    @cached_property
    def tokens(self) -> NDArray[np.unsignedinteger]:
        """Ids of all documents side by side, memory-mapped."""
        return read_npy(self.folder / "tokens.npy", ("<u2", "<u4"))

    @property
    def has_words(self) -> bool:
        return "words.txt" in self.record.files

    def words(self) -> list[str]:
        """The part's own vocabulary, in the order of its ids."""
        try:
            return (self.folder / "words.txt").read_text("utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.folder / 'words.txt'}: not UTF-8 ({error})") from None

    def lines(self) -> Iterator[bytes]:
        """A line of JSON for each document."""
        with open(self.folder / "documents.jsonl", "rb") as file:
            yield from file

    def sketches(self) -> NearDuplicateFinder:
        """The part's documents, sketched."""
        path = self.folder / "sketches.npz"
        sizes = read_npz(path, {"bound": ("<u8", 0), "sizes": ("<u4", 1), "hashes": ("<u8", 1)})["sizes"]
        if sizes.size != self.record.documents:
            raise InputError(f"{path}: sketches of {sizes.size:,} documents; expected {self.record.documents:,}")
        return NearDuplicateFinder.load(path)

    def require_whole(self) -> None:
        """Refuse files that do not fit each other.

        Raises:
            InputError: naming the file.
        """
        documents, tokens = self.record.documents, self.record.tokens
        lengths = self.lengths
        if lengths.size != documents or (lengths < 0).any() or int(lengths.sum()) != tokens:
            raise InputError(f"{self.folder / 'lengths.npy'}: not the lengths of {documents:,} documents: damaged")
        if self.tokens.size != tokens:
            raise InputError(f"{self.folder / 'tokens.npy'}: {self.tokens.size:,} tokens; expected {tokens:,}: damaged")
        if require_file(self.folder / "digests.bin") != 32 * documents:
            raise InputError(f"{self.folder / 'digests.bin'}: not the hashes of {documents:,} documents: damaged")


def read_record(folder: Path) -> PartRecord:
    """The record of a part, without a look at the other files.

    Raises:
        InputError: naming part.json: missing, damaged, of another version, or not what a part's record holds.
    """
    path = folder / RECORD
    value = read_sealed(path, unsealed=True)
    if value.get("schema") != SCHEMA:
        raise InputError(
            f"{path}: written by another version of l2m; run the same `l2m tokenize` command again to make the part again"
        )
    del value["schema"]
    expected = set(PartRecord.__dataclass_fields__)
    if set(value) != expected:
        [name, *_] = sorted(set(value) ^ expected)
        raise InputError(
            f"{path}: {name[:80]!r} is {'missing' if name in expected else 'unknown'}; expected the record of a part"
        )
    for name, holds in _CHECKS.items():
        if not holds(value[name]):
            raise InputError(f"{path}: {name} is {str(value[name])[:80]!r}; expected the record of a part")
    record = PartRecord(**value)
    if record.tokens and record.holds is None:
        raise InputError(f"{path}: {record.tokens:,} tokens of neither texts nor ids; expected the record of a part")
    if record.part != int(folder.name) or record.part >= record.parts:
        raise InputError(
            f"{path}: part {record.part} of {record.parts} in a folder named {folder.name}: moved or renamed"
        )
    return record


def open_part(folder: Path) -> Part:
    """A part whose files all have the checksums that were noted when it was written.

    Raises:
        InputError: naming the file that is missing or differs; see `read_record`.
    """
    record = read_record(folder)
    for name, checksum in record.files.items():
        require_file(folder / name)
        if file_hash(folder / name) != checksum:
            raise InputError(f"{folder / name}: damaged (its checksum differs from {RECORD})")
    part = Part(folder, record)
    part.require_whole()
    return part


def _is_whole(value: Any, low: int = 0, high: int = (1 << 62) - 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _are_files(files: Any) -> bool:
    known = {*_REQUIRED, *_OPTIONAL}
    return (
        isinstance(files, dict)
        and set(_REQUIRED) <= set(files) <= known
        and all(isinstance(checksum, str) and HASH.fullmatch(checksum) for checksum in files.values())
    )


def _are_settings(settings: Any) -> bool:
    return (
        isinstance(settings, dict)
        and {"tokenizer", "tokenizer hash", "duplicates", "min_tokens", "sample"} <= set(settings)
        and isinstance(settings["tokenizer"], str)
        and isinstance(settings["tokenizer hash"], str)
        and settings["duplicates"] in ("drop", "keep")
        and isinstance(settings.get("reading", {}), dict)
    )


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "job": lambda value: isinstance(value, str),
    "part": _is_whole,
    "parts": partial(_is_whole, low=1, high=MOST_PARTS),
    "shard": lambda value: value is None or (isinstance(value, str) and value.replace("/", "", 1).isdecimal()),
    "settings": _are_settings,
    "modified": lambda value: isinstance(value, list) and all(isinstance(time, (int, float)) for time in value),
    "documents": _is_whole,
    "tokens": _is_whole,
    "holds": lambda value: value in (None, "texts", "ids"),
    "vocab_size": partial(_is_whole, high=1 << 32),
    "largest": partial(_is_whole, low=-1, high=(1 << 32) - 1),
    "encoder": lambda value: isinstance(value, str),
    "short": _is_whole,
    "sampled_out": _is_whole,
    "skipped": lambda value: isinstance(value, list) and all(isinstance(line, str) for line in value),
    "files": _are_files,
}


def run_part(
    job: TokenizeJob, part: int, shard: str | None = None, progress: Callable[[int], None] | None = None
) -> None:
    """Read, encode and write one part.

    Args:
        shard: "I/N" of the run, for the record.
        progress: called with the bytes of the sources read so far.
    """
    folder = job.folder / f"{part:05d}"
    temporary = temporary_path(folder)
    temporary.mkdir(parents=True)
    try:
        made = _PartWriter(job, job.encoder()).write(temporary, job.parts[part], progress)
        names = [name for name in (*_REQUIRED, *_OPTIONAL) if (temporary / name).exists()]
        record = {
            "schema": SCHEMA, "job": job.id, "part": part, "parts": len(job.parts), "shard": shard,
            "settings": job.settings, "modified": job.modified(part), **made,
            "files": {name: file_hash(temporary / name) for name in names},
        }  # fmt: skip
        write_sealed(temporary / RECORD, record)
        (job.folder / MERGED).unlink(missing_ok=True)
        _put(temporary, folder)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and error.filename is None:  # a write to an open file, on a full disk, names none
            error.filename = os.fspath(folder)
        raise


def _put(temporary: Path, folder: Path) -> None:
    """Rename the finished part; where two workers made the same one, the first is kept."""
    if folder.exists():
        aside = temporary_path(folder)
        os.rename(folder, aside)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        os.rename(temporary, folder)
    except OSError:
        open_part(folder)
        shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(folder.parent)


@dataclass
class _PartWriter:
    """One part on its way: a thread reads and hashes, this one encodes and writes, a third looks for near-duplicates."""

    job: TokenizeJob
    encoder: Encoder
    reader: Reader = field(init=False)
    dtype: np.dtype[Any] = field(init=False)
    lengths: list[NDArray[np.int64]] = field(default_factory=list, init=False)
    holds: str | None = field(default=None, init=False)
    largest: int = field(default=-1, init=False)
    short: int = field(default=0, init=False)
    sampled_out: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.reader = Reader(self.job.reading)
        self.dtype = np.dtype(self.encoder.dtype)

    def write(self, folder: Path, units: Sequence[Unit], progress: Callable[[int], None] | None) -> dict[str, Any]:
        """Write the files of the part; what its record says of them."""
        from concurrent.futures import ThreadPoolExecutor

        finder = NearDuplicateFinder() if self.job.duplicates == "drop" else None
        with ExitStack() as stack:
            synced = partial(_synced, durable=self.job.durable)
            names = ("tokens.npy", "documents.jsonl", "digests.bin")
            tokens, documents, digests = (stack.enter_context(synced(folder / name)) for name in names)
            side = stack.enter_context(ThreadPoolExecutor(1))
            sketching: Future[None] | None = None
            npy_header(tokens, self.dtype, 0)
            for read in stack.enter_context(ahead(self._batches(units))):
                batch = self._encode(read, tokens)
                if sketching is not None:
                    sketching.result()
                if finder is not None and batch:
                    contents = [item.ids if item.ids is not None else item.text for item, _, _ in batch]
                    sketching = side.submit(finder.add, contents)  # type: ignore[arg-type]
                for document, size, digest in batch:
                    documents.write(document_line({"id": document.id, "bytes": size, "hash": digest.hex()}))
                    digests.write(digest)
                if progress is not None:
                    progress(self.reader.log.consumed)
            if sketching is not None:
                sketching.result()
            lengths = np.concatenate([np.zeros(0, np.int64), *self.lengths])
            tokens.seek(0)
            npy_header(tokens, self.dtype, int(lengths.sum()))
            np.save(stack.enter_context(synced(folder / "lengths.npy")), lengths)
            if finder is not None:
                finder.save(stack.enter_context(synced(folder / "sketches.npz")))
            if self.table is not None:
                stack.enter_context(synced(folder / "words.txt")).write("\n".join(self.table.words()).encode())
        return {
            "documents": int(lengths.size),
            "tokens": int(lengths.sum()),
            "holds": self.holds,
            "vocab_size": self.encoder.vocab_size,
            "largest": self.largest,
            "encoder": self.encoder.encoder,
            "short": self.short,
            "sampled_out": self.sampled_out,
            "skipped": list(map(printable, self.reader.log.skipped)),
        }

    @property
    def table(self) -> WordTable | None:
        """The vocabulary of words so far; None for other tokenizers."""
        table = getattr(self.encoder, "table", None)
        return table if isinstance(table, WordTable) else None

    def _batches(self, units: Sequence[Unit]) -> Iterator[_Batch]:
        """Documents with their size in bytes and their hash, about 8 MB at a time."""
        threshold = int(self.job.sample * 2**64)
        batch: _Batch = []
        held = 0
        for unit in units:
            for document in self.reader.documents(unit):
                try:
                    document.id.encode()
                    size, digest = _measure(document)
                except UnicodeEncodeError as error:
                    self.reader.log.problem(
                        f"document {document.id!r}: half a surrogate pair at character {error.start}"
                    )
                    continue
                except InputError as error:
                    self.reader.log.problem(str(error))
                    continue
                if int.from_bytes(digest[:8], "big") >= threshold:
                    self.sampled_out += 1
                    continue
                batch.append((document, size, digest))
                held += size
                if held >= _BATCH_BYTES:
                    yield batch
                    batch, held = [], 0
        if batch:
            yield batch

    def _encode(self, batch: _Batch, file: IO[bytes]) -> _Batch:
        """Write the ids of those documents that are long enough; give those."""
        holds = {"texts" if document.ids is None else "ids" for document, _, _ in batch}
        self.holds = self.holds or min(holds)
        if holds != {self.holds}:
            raise InputError(
                f"sources: both texts and token ids (document {batch[0][0].id!r}); expected one of the two"
            )
        if self.holds == "texts":
            ids, offsets = self.encoder.encode([document.text for document, _, _ in batch])
            lengths = np.diff(offsets)
        else:
            if self.table is not None:
                raise InputError(
                    f"tokenizer: {self.encoder.name!r} for a source that holds token ids (document {batch[0][0].id!r}); "
                    "expected text, or the tokenizer that made the ids"
                )
            self.dtype = np.dtype("<u4")
            lengths = np.array([ids_of(document) for document, _, _ in batch], np.int64)
        enough = lengths >= self.job.min_tokens
        self.short += int((~enough).sum())
        kept = [item for item, keep in zip(batch, enough, strict=True) if keep]
        if self.holds == "texts":
            pieces: list[NDArray[np.integer]] = [ids if enough.all() else ids[np.repeat(enough, lengths)]]
        else:
            pieces = [document.ids for document, _, _ in kept if document.ids is not None]
        for piece in pieces:
            for start in range(0, piece.size, COPY_IDS):
                chunk = piece[start : start + COPY_IDS]
                if self.holds == "ids":
                    self.largest = max(self.largest, int(chunk.max()))
                file.write(np.ascontiguousarray(chunk, self.dtype).data)
        self.lengths.append(lengths[enough])
        return kept


def ids_of(document: Document) -> int:
    """How many token ids a source gave for a document."""
    return 0 if document.ids is None else document.ids.size


def _measure(document: Document) -> tuple[int, bytes]:
    """Bytes and hash of a document: of its UTF-8, or of its ids as little-endian 32-bit integers."""
    if document.ids is None:
        content = document.text.encode()
        return len(content), blake3(content).digest()
    ids = np.asarray(document.ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputError(f"document {document.id!r}: {ids.dtype} of shape {ids.shape}; expected integers, one axis")
    digest = blake3()
    for start in range(0, ids.size, COPY_IDS):
        chunk = ids[start : start + COPY_IDS]
        smallest, largest = int(chunk.min()), int(chunk.max())
        if smallest < 0 or largest >= 1 << 32:
            raise InputError(f"document {document.id!r}: ids from {smallest} to {largest}; expected 0 to 2^32 - 1")
        digest.update(np.ascontiguousarray(chunk, "<u4").tobytes())
    return 4 * ids.size, digest.digest()


@contextmanager
def _synced(path: Path, *, durable: bool) -> Iterator[IO[bytes]]:
    with open(path, "wb") as file:
        yield file
        if durable:
            sync_file(file)


def npy_header(file: IO[bytes], dtype: np.dtype[Any], size: int) -> None:
    """Write the header of a .npy file of one axis: equally long for every size, so that it can be written again later."""
    # NumPy pads the header so that the first axis can grow to 21 digits.
    header = {"descr": dtype.str, "fortran_order": False, "shape": (size,)}
    np.lib.format.write_array_header_1_0(file, header)
