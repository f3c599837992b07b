"""Text to token ids: a corpus folder, made part by part by one process or by many machines.

A *job* is the sources' units (files, shards of datasets) cut into parts of up to 256 MB. Each part is read, encoded and
written by itself, into a folder of its own that appears when it is whole; `merge_parts` joins them. So the same parts are
what one process works through, what it finds done after a crash, what `--shard 0/16` divides and what a cluster
distributes. The corpus does not depend on the cut: ids of words are renumbered by first occurrence, and near-duplicates
are found among all documents.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from l2m._core import WordTable
from l2m.base.files import atomic_write, file_hash, json_hash, read_json, sync_folder, write_json
from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus, token_hash, write_manifest
from l2m.corpora.documents import Document, FileUnit, ReadingOptions, TextUnit, Unit
from l2m.corpora.encoders import Encoder, load_encoder
from l2m.corpora.near_duplicates import NearDuplicateFinder
from l2m.corpora.sources import Reader, Source, Sources, find_units
from l2m.errors import InputError

_BATCH_BYTES = 8 << 20
_PART_BYTES = 256 << 20
_COPY_IDS = 1 << 22
_RAY_PARTS = 64  # at least, where there are as many files: work for 16 machines, at most 1/64 of it lost with one
_Batch = list[tuple[Document, int, bytes]]
"""Documents, their sizes in bytes and their hashes."""
_T = TypeVar("_T")


def tokenize(
    sources: Sources,
    tokenizer: str | os.PathLike[str] | Encoder = "bytes",
    out: str | os.PathLike[str] | None = None,
    *,
    duplicates: str = "drop",
    min_tokens: int = 0,
    sample: float = 1.0,
    ray: str | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> Corpus:
    """Tokenize texts into a corpus.

    Memory: some batches of 8 MB and the largest document, and 32 MB + 128 bytes a document for near-duplicates. A run that is
    stopped goes on from the last whole part (of 256 MB) when it is called again; documents in memory are read anew.

    Args:
        sources: files, folders, patterns, URLs, hub datasets, texts, or an iterable of them (see `l2m.corpora.sources.find_units`).
        tokenizer: "bytes" (UTF-8), "characters" (code points), "words" (runs of word characters, and every other character
            that is not white space; ids in order of first occurrence), or a Hugging Face tokenizer: hub name, folder, or
            tokenizer.json. No special token is added, and text that spells one is encoded as text. Or an
            `l2m.corpora.encoders.Encoder`. Sources of ids keep them; the tokenizer named is what they are said to be made with ("bytes" and "ids": not said).
        out: folder to write; None keeps the corpus in memory.
        duplicates: "drop" leaves out documents that are copies of, or share over a fifth of their shingles with, a larger
            one (`l2m.near_duplicates`); "keep" keeps them. What was dropped stands in `corpus.tokenizer["duplicates"]`.
        min_tokens: documents with fewer are left out.
        sample: the fraction of documents to keep, chosen by the hash of their content: the same whatever the order.
        ray: run the parts on a Ray cluster (`l2m.base.cluster.run_on_ray`): "auto" or its address. All its machines must see the
            sources and `out`.
        progress: called with (bytes read, bytes in all).
        reading: `glob` (which files of a folder), `split` and `subset` of hub datasets, and the arguments of
            `l2m.corpora.sources.Reader`: `field`, `id_field`, `format`, `separator`, `dtype`, `on_error`.

    Raises:
        InputError: bad sources, an unknown tokenizer, no text at all, or `out` holds a corpus made otherwise.
    """
    import tempfile

    if ray is not None and out is None:
        raise InputError("out: None with ray; expected a folder that every machine of the cluster sees")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="l2m-")) if out is None else out)
        job = plan(
            sources, tokenizer, folder, duplicates=duplicates, min_tokens=min_tokens, sample=sample,
            shards=1 if ray is None else _RAY_PARTS, **reading,
        )  # fmt: skip
        if out is None:
            run_parts(dataclasses.replace(job, durable=False), range(len(job.parts)), progress=progress)
            return _in_memory(_Whole(_find_parts([folder])))
        with _removed_if_empty(job.folder, job.folder.parent, folder):
            if ray is None:
                run_parts(job, range(len(job.parts)), progress=progress)
            else:
                _run_parts_on_ray(job, ray, progress)
            try:
                return merge_parts([folder], folder)
            except InputError:  # no text, or another corpus in `out`: going on from these parts would fail again
                shutil.rmtree(job.folder)
                raise


@dataclass(frozen=True)
class Job:
    """What to tokenize and how, cut into parts. Plain values, unless it holds documents or an encoder in memory."""

    out: str
    tokenizer: str | Encoder
    reading: dict[str, Any]
    duplicates: str
    min_tokens: int
    sample: float
    parts: tuple[tuple[Unit, ...], ...]
    settings: dict[str, Any]
    durable: bool = True
    """Whether the parts must outlive a crash of the machine."""

    @property
    def id(self) -> str:
        """The same for the same settings, sources (by name and size) and cut."""
        units = [[[_unit_name(unit), unit.size] for unit in part] for part in self.parts]
        return json_hash([self.settings, units])[:16]

    @property
    def folder(self) -> Path:
        return Path(self.out, "parts", self.id)

    def shard(self, index: int, shards: int) -> range:
        """The parts of one of `shards` shards."""
        return range(index * len(self.parts) // shards, (index + 1) * len(self.parts) // shards)

    def is_done(self, part: int) -> bool:
        """Whether the part is on disk, made from the files as they are now."""
        folder = self.folder / f"{part:05d}"
        units = self.parts[part]
        if any(isinstance(unit, TextUnit) for unit in units):
            return False
        # The ids of a corpus of one part are moved, not copied: a crash just after leaves the rest of the part here.
        if not (folder / "part.json").exists() or not (folder / "tokens.npy").exists():
            return False
        modified = [unit.modified for unit in units if isinstance(unit, FileUnit)]
        return bool(read_json(folder / "part.json")["modified"] == modified)


def plan(
    sources: Sources,
    tokenizer: str | os.PathLike[str] | Encoder,
    out: str | os.PathLike[str],
    *,
    duplicates: str = "drop",
    min_tokens: int = 0,
    sample: float = 1.0,
    shards: int = 1,
    glob: str = "*",
    split: str = "train",
    subset: str | None = None,
    **reading: Any,
) -> Job:
    """The job of `tokenize` with these arguments, cut into at least `shards` parts where there are as many units.

    Raises:
        InputError: bad arguments or sources, an unknown tokenizer, or `out` holds a corpus made with another tokenizer.
    """
    if duplicates not in ("drop", "keep"):
        raise InputError(f"duplicates: {duplicates!r}; expected 'drop' or 'keep'")
    if not 0 < sample <= 1:
        raise InputError(f"sample: {sample}; expected a fraction above 0, at most 1")
    if min_tokens < 0:
        raise InputError(f"min_tokens: {min_tokens}; expected 0 or more")
    encoder = load_encoder(tokenizer) if isinstance(tokenizer, (str, os.PathLike)) else tokenizer
    Reader(ReadingOptions(**reading))  # refuses what is no option now, and not in each part
    settings = {
        "tokenizer": encoder.name, "tokenizer hash": encoder.hash, "duplicates": duplicates, "min_tokens": min_tokens,
        "sample": sample, "reading": reading,
    }  # fmt: skip
    if os.path.exists(os.path.join(out, "corpus.json")):
        held = read_json(os.path.join(out, "corpus.json"))["tokenizer"]
        if held["name"] not in (encoder.name, "ids"):
            raise InputError(
                f"out: {out} holds a corpus with tokenizer {held['name']!r}, not {encoder.name!r}; choose another folder"
            )
    found = find_units(sources, glob=glob, split=split, subset=subset)
    # An iterator, perhaps endless in all but name, is read as it comes.
    at_once = isinstance(sources, (str, os.PathLike, Source, Sequence))
    units: list[Unit] = list(found) if at_once else [TextUnit(found)]
    total = sum(unit.size for unit in units)
    return Job(
        os.fspath(out), tokenizer if not isinstance(tokenizer, os.PathLike) else os.fspath(tokenizer), reading, duplicates, min_tokens, sample,
        tuple(_cut(units, min(_PART_BYTES, total // max(shards, 1)))), settings,
    )  # fmt: skip


def _cut(units: Iterable[Unit], size: int) -> Iterator[tuple[Unit, ...]]:
    part: list[Unit] = []
    held = 0
    for unit in units:
        if part and held + unit.size > size:
            yield tuple(part)
            part, held = [], 0
        part.append(unit)
        held += unit.size
    if part:
        yield tuple(part)


def _unit_name(unit: Unit) -> str:
    if isinstance(unit, FileUnit):
        return unit.id
    if isinstance(unit, TextUnit):
        return "text"
    return f"{unit.name} {unit.subset} {unit.split} {unit.shard}/{unit.shards}"


@dataclass(frozen=True)
class Estimate:
    """What a job will take, from a short calibration."""

    parts: int
    parts_done: int
    source_bytes: int
    tokens: int
    seconds: float
    disk_bytes: int
    memory_bytes: int


def estimate(job: Job, *, workers: int = 1) -> Estimate:
    """Predict tokens, time, disk and memory of the parts that are not done, from the first 12 MB of the sources.

    The model: time = bytes / (measured bytes a second) / workers, bytes / (measured bytes a second that are joined), and bytes of
    ids written once more / 1 GB/s where there is more than one part; disk = ids twice while parts and whole are both there; memory = the interpreter and the near-duplicate
    sketches, ten batches of text, and eight times the largest file that is read as one text. See docs/scaling.md.
    """
    import time

    left = [part for part in range(len(job.parts)) if not job.is_done(part)]
    size = sum(unit.size for part in left for unit in job.parts[part])
    units = [unit for part in left for unit in job.parts[part]]
    if any(isinstance(unit, TextUnit) for unit in units):
        raise InputError("dry-run: texts in memory; expected files, URLs or datasets")
    reader = Reader(ReadingOptions(**job.reading))
    sample: list[Document] = []
    held = 0
    started = time.perf_counter()
    for document in (document for unit in units for document in reader.documents(unit)):
        sample.append(document)
        held += len(document.text) + 4 * _size_of(document)
        if held >= 12 << 20:
            break
    stored = max(reader.log.consumed, 1)
    read = time.perf_counter() - started
    encoder = load_encoder(job.tokenizer) if isinstance(job.tokenizer, str) else job.tokenizer
    encoder.encode([document.text[:1000] for document in sample if document.text][:1])  # loads and checks, once
    # Near-duplicate sketches fill with the first megabytes, after which a byte costs less: the rate is that between two sizes.
    few = sample[: max(1, len(sample) // 3)]
    _try(job, few)  # pays for threads and memory once
    (part, joining, _), (most, most_joining, tokens) = _try(job, few), _try(job, sample)
    less = sum(len(document.text) + 4 * _size_of(document) for document in few) / max(held, 1)
    grows, joins = (max(b - a, 0.0) / max(1 - less, 0.1) for a, b in ((part, most), (joining, most_joining)))
    scale = size / stored
    tokens = int(tokens * scale)
    width = np.dtype(encoder.dtype).itemsize
    copied = tokens * width if len(job.parts) > 1 else 0
    whole = max((unit.size for unit in units if isinstance(unit, FileUnit)), default=0)
    whole = whole if held >= stored and reader.options.format in ("auto", "text") and len(sample) <= len(units) else 0
    return Estimate(
        parts=len(job.parts),
        parts_done=len(job.parts) - len(left),
        source_bytes=size,
        tokens=tokens,
        seconds=(max(most - grows, 0.0) * len(left) + (read + grows) * scale) / workers
        + max(most_joining - joins, 0.0)
        + joins * scale
        + copied / 1e9,
        disk_bytes=tokens * width + copied,
        memory_bytes=(350 << 20) + 10 * _BATCH_BYTES + 8 * whole + 128 * int(len(sample) * scale),
    )


def _try(job: Job, documents: Sequence[Document]) -> tuple[float, float, int]:
    """Seconds to make a part of these documents and to join it, and its tokens."""
    import tempfile
    import time

    with tempfile.TemporaryDirectory(prefix="l2m-") as folder:
        trial = dataclasses.replace(job, out=folder, parts=((TextUnit(documents),),), durable=False)
        started = time.perf_counter()
        run_part(trial, 0)
        made = time.perf_counter()
        part = trial.folder / "00000"
        tokens = int(read_json(part / "part.json")["tokens"])
        if tokens:
            whole = _Whole([part])
            token_hash(whole.offsets, whole.ids())
            whole.source()
            file_hash(part / "tokens.npy")
        return made - started, time.perf_counter() - made, tokens


def run_parts(
    job: Job, parts: Sequence[int], *, shard: str | None = None, progress: Progress | None = None
) -> list[int]:
    """Read, encode and write those of `parts` that are not on disk yet; their numbers."""
    left = [part for part in parts if not job.is_done(part)]
    total = sum(unit.size for part in left for unit in job.parts[part])
    done = 0
    for part in left:
        size = sum(unit.size for unit in job.parts[part])
        run_part(job, part, shard, progress and (lambda read, before=done: progress(before + read, total)))
        done += size
    return left


def _run_parts_on_ray(job: Job, address: str, progress: Progress | None) -> None:
    from l2m.base.cluster import run_on_ray

    left = [part for part in range(len(job.parts)) if not job.is_done(part)]
    if any(isinstance(unit, TextUnit) for part in job.parts for unit in part):
        raise InputError("sources: texts in memory with ray; expected files, URLs and datasets")
    job = dataclasses.replace(job, out=os.path.abspath(job.out), parts=tuple(map(_absolute, job.parts)))
    sizes = [sum(unit.size for unit in part) for part in job.parts]
    done, total = 0, sum(sizes[part] for part in left)
    for part, _ in run_on_ray(partial(run_part, job), left, address):
        done += sizes[part]
        if progress is not None:
            progress(done, total)


def _absolute(part: tuple[Unit, ...]) -> tuple[Unit, ...]:
    """Paths that mean the same in another machine's working folder."""
    return tuple(
        dataclasses.replace(unit, path=os.path.abspath(unit.path))
        if isinstance(unit, FileUnit) and "://" not in unit.path
        else unit
        for unit in part
    )


def run_part(job: Job, part: int, shard: str | None = None, progress: Callable[[int], None] | None = None) -> None:
    """Read, encode and write one part."""
    encoder = load_encoder(job.tokenizer) if isinstance(job.tokenizer, str) else job.tokenizer
    folder = job.folder / f"{part:05d}"
    # A random name: containers that share a folder may share host names and process numbers.
    temporary = job.folder / f".{part:05d}.{os.urandom(8).hex()}.tmp"
    temporary.mkdir(parents=True)
    try:
        record = _Part(job, encoder).write(temporary, job.parts[part], progress)
        record |= {"job": job.id, "part": part, "parts": len(job.parts), "shard": shard, "settings": job.settings}
        record["modified"] = [unit.modified for unit in job.parts[part] if isinstance(unit, FileUnit)]
        write_json(temporary / "part.json", record)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(temporary, folder)
        sync_folder(job.folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


class _Part:
    """One part on its way: a thread reads and hashes, this one encodes and writes, a third looks for near-duplicates."""

    def __init__(self, job: Job, encoder: Encoder) -> None:
        self.job = job
        self.encoder = encoder
        self.reader = Reader(ReadingOptions(**job.reading))
        self.dtype = np.dtype(encoder.dtype)
        self.lengths: list[NDArray[np.int64]] = []
        self.holds: str | None = None
        self.largest = -1
        self.short = self.sampled_out = 0

    def write(self, folder: Path, units: Sequence[Unit], progress: Callable[[int], None] | None) -> dict[str, Any]:
        from concurrent.futures import Future, ThreadPoolExecutor

        finder = NearDuplicateFinder() if self.job.duplicates == "drop" else None
        with ExitStack() as stack:
            names = ("tokens.npy", "documents.jsonl", "digests.bin")
            synced = partial(_synced, durable=self.job.durable)
            tokens, documents, digests = (stack.enter_context(synced(folder / name)) for name in names)
            side = stack.enter_context(ThreadPoolExecutor(1))
            sketching: Future[None] | None = None
            _npy_header(tokens, self.dtype, 0)
            for batch in stack.enter_context(_ahead(self._batches(units))):
                batch = self._encode(batch, tokens)
                if sketching is not None:
                    sketching.result()
                if finder is not None and batch:
                    contents = [item.ids if item.ids is not None else item.text for item, _, _ in batch]
                    sketching = side.submit(finder.add, contents)  # type: ignore[arg-type]
                for document, size, digest in batch:
                    line = json.dumps({"id": document.id, "bytes": size, "hash": digest.hex()}, ensure_ascii=False)
                    documents.write(line.encode() + b"\n")
                    digests.write(digest)
                if progress is not None:
                    progress(self.reader.log.consumed)
            if sketching is not None:
                sketching.result()
            lengths = np.concatenate([np.zeros(0, np.int64), *self.lengths])
            tokens.seek(0)
            _npy_header(tokens, self.dtype, int(lengths.sum()))
            np.save(stack.enter_context(synced(folder / "lengths.npy")), lengths)
            if finder is not None:
                finder.save(stack.enter_context(synced(folder / "sketches.npz")))
            if self.words is not None:
                stack.enter_context(synced(folder / "words.txt")).write("\n".join(self.words.words()).encode())
        return {
            "documents": int(lengths.size),
            "tokens": int(lengths.sum()),
            "holds": self.holds,
            "vocab_size": self.encoder.vocab_size,
            "largest": self.largest,
            "encoder": self.encoder.encoder,
            "short": self.short,
            "sampled_out": self.sampled_out,
            "skipped": self.reader.log.skipped,
        }

    @property
    def words(self) -> WordTable | None:
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
            if self.words is not None:
                raise InputError(
                    f"tokenizer: {self.encoder.name!r} for a source that holds token ids (document {batch[0][0].id!r}); "
                    "expected text, or the tokenizer that made the ids"
                )
            self.dtype = np.dtype("<u4")
            lengths = np.array([_size_of(document) for document, _, _ in batch], np.int64)
        enough = lengths >= self.job.min_tokens
        self.short += int((~enough).sum())
        kept = [item for item, keep in zip(batch, enough, strict=True) if keep]
        if self.holds == "texts":
            pieces: list[NDArray[np.integer]] = [ids if enough.all() else ids[np.repeat(enough, lengths)]]
        else:
            pieces = [document.ids for document, _, _ in kept if document.ids is not None]
        for piece in pieces:
            for start in range(0, piece.size, _COPY_IDS):
                chunk = piece[start : start + _COPY_IDS]
                if self.holds == "ids":
                    self.largest = max(self.largest, int(chunk.max()))
                file.write(np.ascontiguousarray(chunk, self.dtype).data)
        self.lengths.append(lengths[enough])
        return kept


def _size_of(document: Document) -> int:
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
    for start in range(0, ids.size, _COPY_IDS):
        chunk = ids[start : start + _COPY_IDS]
        smallest, largest = int(chunk.min()), int(chunk.max())
        if smallest < 0 or largest >= 1 << 32:
            raise InputError(f"document {document.id!r}: ids from {smallest} to {largest}; expected 0 to 2^32 - 1")
        digest.update(np.ascontiguousarray(chunk, "<u4").tobytes())
    return 4 * ids.size, digest.digest()


@contextmanager
def _synced(path: Path, *, durable: bool) -> Iterator[IO[bytes]]:
    with open(path, "wb") as file:
        yield file
        file.flush()
        if durable:
            os.fsync(file.fileno())


@contextmanager
def _ahead(items: Iterator[_T], room: int = 2) -> Iterator[Iterator[_T]]:
    """The same items, made by a thread up to `room` ahead of who takes them."""
    from queue import Full, Queue
    from threading import Event, Thread

    queue: Queue[tuple[bool, Any]] = Queue(room)
    stopped = Event()

    def put(more: bool, item: Any) -> None:
        while not stopped.is_set():
            with suppress(Full):
                queue.put((more, item), timeout=0.1)
                return

    def make() -> None:
        try:
            for item in items:
                put(True, item)
                if stopped.is_set():
                    return
            put(False, None)
        except BaseException as error:
            put(False, error)

    def take() -> Iterator[_T]:
        while True:
            more, item = queue.get()
            if more:
                yield item
            elif item is None:
                return
            else:
                raise item

    thread = Thread(target=make, daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        stopped.set()
        thread.join()


def _npy_header(file: IO[bytes], dtype: np.dtype[Any], size: int) -> None:
    # NumPy pads the header so that the first axis can grow to 21 digits: the same length for every size.
    header = {"descr": dtype.str, "fortran_order": False, "shape": (size,)}
    np.lib.format.write_array_header_1_0(file, header)


def merge_parts(folders: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Corpus:
    """Join the parts that `run_parts` left in `folders` (one shared folder, or one of each shard) into the corpus `out`.

    Raises:
        InputError: no parts, a part that is missing or there twice (named), parts of different sources or settings (named),
            no text at all, or `out` holds another corpus.
    """
    out = Path(out)
    _write(_Whole(_find_parts([Path(folder) for folder in folders])), out)
    for folder in folders:
        shutil.rmtree(Path(folder, "parts"), ignore_errors=True)
    return Corpus.open(out, verify=False)


def holds_parts(folder: str | os.PathLike[str]) -> bool:
    """Whether `folder` holds parts of a corpus that is being made."""
    return next(Path(folder, "parts").glob("*/*/part.json"), None) is not None


def _find_parts(folders: list[Path]) -> list[Path]:
    jobs: dict[str, dict[int, Path]] = {}
    records: dict[str, dict[str, Any]] = {}
    for folder in folders:
        # A part that was being written when a run was killed has a hidden name.
        found = sorted(Path(folder, "parts").glob("*/[0-9]*/part.json"))
        if not found:
            raise InputError(f"{folder}: no parts of a corpus; expected a folder that `l2m tokenize --shard` wrote")
        for path in found:
            record = records.setdefault(path.parent.parent.name, read_json(path))
            number = int(path.parent.name)
            parts = jobs.setdefault(record["job"], {})
            if number in parts:
                first = parts[number].parent.parent.parent
                raise InputError(
                    f"{folder}: part {number} of {record['parts']} is in {first} too: the same shard twice?"
                )
            parts[number] = path.parent
    if len(jobs) > 1:
        complete = [job for job, parts in jobs.items() if len(parts) == records[job]["parts"]]
        if len(complete) != 1:
            raise InputError(_difference(jobs, records))
        jobs = {complete[0]: jobs[complete[0]]}
    [(job, parts)] = jobs.items()
    total = records[job]["parts"]
    missing = [number for number in range(total) if number not in parts]
    if missing:
        shards = {
            int(name.split("/")[1]) for part in parts.values() if (name := read_json(part / "part.json")["shard"])
        }
        hint = "run the same command again"
        if len(shards) == 1:
            count = shards.pop()
            lost = sorted({next(i for i in range(count) if (i + 1) * total // count > part) for part in missing})
            hint = "run again: " + ", ".join(f"--shard {shard}/{count}" for shard in lost[:8])
        named = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
        raise InputError(f"{folders[0]}: of {total} parts, missing: {named}; {hint}")
    return [parts[number] for number in range(total)]


def _difference(jobs: dict[str, dict[int, Path]], records: dict[str, dict[str, Any]]) -> str:
    first, second = list(jobs)[:2]
    folders = [next(iter(jobs[job].values())).parent.parent.parent for job in (first, second)]
    for name, value in records[first]["settings"].items():
        other = records[second]["settings"].get(name)
        if other != value:
            return f"{folders[1]}: {name} {other!r}, but {value!r} in {folders[0]}; expected shards of one job"
    return f"{folders[1]}: other sources or another number of shards than {folders[0]}; expected shards of one job"


class _Whole:
    """What the parts make together: known in full but for the ids and the documents' lines, which stay on disk."""

    def __init__(self, parts: list[Path]) -> None:
        self.parts = parts
        records = [read_json(part / "part.json") for part in parts]
        settings = records[0]["settings"]
        holds = {record["holds"] for record in records} - {None}
        if len(holds) > 1:
            raise InputError("sources: both texts and token ids; expected one of the two")
        self.lengths = np.concatenate([np.load(part / "lengths.npy") for part in parts])
        if not self.lengths.sum():
            raise InputError("sources: no text in any document; expected at least one token")
        dropped = _copies(parts) if settings["duplicates"] == "drop" else {}
        self.kept = np.ones(self.lengths.size, bool)
        self.kept[list(dropped)] = False
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths[self.kept])]).astype(np.int64)

        self.words, self.renumbered = _renumber_words(parts)
        made_by: dict[str, Any] = {"name": settings["tokenizer"], "hash": settings["tokenizer hash"]}
        self.vocab_size = max(record["vocab_size"] for record in records)
        if self.words is not None:
            self.vocab_size, made_by["hash"] = len(self.words), blake3(self.spelled_words).hexdigest()
        elif holds == {"ids"}:
            largest = max(record["largest"] for record in records)
            if made_by["name"] in ("bytes", "ids"):
                made_by["name"], self.vocab_size = "ids", largest + 1
            elif largest >= self.vocab_size:
                raise InputError(
                    f"sources: token id {largest}; {made_by['name']} has {self.vocab_size} ids: another tokenizer?"
                )
        made_by["encoder"] = ", ".join(sorted({record["encoder"] for record in records} - {"unchecked"}))
        made_by["duplicates"] = self._named(dropped)
        made_by["filters"] = {name: settings[name] for name in ("duplicates", "min_tokens", "sample")}
        for name in ("short", "sampled_out"):
            made_by["filters"][name] = sum(record[name] for record in records)
        made_by["skipped"] = [problem for record in records for problem in record["skipped"]]
        self.made_by = made_by
        self.dtype = np.dtype("<u2" if self.vocab_size <= 1 << 16 else "<u4")
        self.tokens = [np.load(part / "tokens.npy", mmap_mode="r") for part in parts]

    @property
    def spelled_words(self) -> bytes:
        return b"" if self.words is None else "\n".join(self.words.words()).encode()

    def source(self) -> str:
        """Hash of what was read: of the documents' hashes, side by side."""
        digest = blake3()
        for part in self.parts:
            digest.update_mmap(part / "digests.bin")
        return digest.hexdigest()

    def is_one_part_as_it_is(self) -> bool:
        one = len(self.parts) == 1 and bool(self.kept.all()) and self.words is None
        return one and self.tokens[0].dtype == self.dtype

    def ids(self) -> Iterator[NDArray[np.unsignedinteger]]:
        """The ids of the kept documents, piece by piece."""
        # Runs of kept documents, as ranges of the ids of all parts side by side; then cut where parts meet.
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.kept, [False]])))
        runs = np.concatenate([[0], np.cumsum(self.lengths)])[edges].reshape(-1, 2)
        offset = 0
        for part, ids in enumerate(self.tokens):
            for first, last in runs[(runs[:, 1] > offset) & (runs[:, 0] < offset + ids.size)] - offset:
                stop = min(last, ids.size)
                for begin in range(max(first, 0), stop, _COPY_IDS):
                    piece = ids[begin : min(begin + _COPY_IDS, stop)]
                    piece = self.renumbered[part][piece] if self.renumbered else piece
                    yield np.ascontiguousarray(piece, self.dtype)
            offset += ids.size

    def documents(self) -> Iterator[bytes]:
        """The lines of the kept documents."""
        return (line for line, keep in zip(self._lines(), self.kept, strict=True) if keep)

    def _lines(self) -> Iterator[bytes]:
        for part in self.parts:
            with open(part / "documents.jsonl", "rb") as file:
                yield from file

    def _named(self, dropped: dict[int, int]) -> list[list[str]]:
        """[copy, original] by the documents' ids."""
        if not dropped:
            return []
        wanted = {*dropped, *dropped.values()}
        ids = {number: json.loads(line)["id"] for number, line in enumerate(self._lines()) if number in wanted}
        return [[ids[copy], ids[original]] for copy, original in dropped.items()]


def _in_memory(whole: _Whole) -> Corpus:
    return Corpus(
        np.concatenate(list(whole.ids())),
        whole.offsets,
        whole.vocab_size,
        documents=[json.loads(line) for line in whole.documents()],
        tokenizer=whole.made_by,
    )


def _write(whole: _Whole, out: Path) -> None:
    source = whole.source()
    _refuse_another(out, whole.made_by, source)
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # All are renamed when the stack closes; the manifest, which makes it a corpus, comes last.
        ids = whole.ids()
        if not whole.is_one_part_as_it_is():
            file = stack.enter_context(atomic_write(out / "tokens.npy"))
            _npy_header(file, whole.dtype, int(whole.offsets[-1]))
            ids = _written(ids, file)
        hash = token_hash(whole.offsets, ids)
        np.save(stack.enter_context(atomic_write(out / "offsets.npy")), whole.offsets)
        stack.enter_context(atomic_write(out / "documents.jsonl")).writelines(whole.documents())
        if whole.words is not None:
            stack.enter_context(atomic_write(out / "words.txt")).write(whole.spelled_words)
        if whole.is_one_part_as_it_is():
            os.replace(whole.parts[0] / "tokens.npy", out / "tokens.npy")
    write_manifest(
        out,
        vocab_size=whole.vocab_size,
        tokenizer=whole.made_by,
        tokens=int(whole.offsets[-1]),
        hash=hash,
        source=source,
    )


def _written(pieces: Iterator[NDArray[Any]], file: IO[bytes]) -> Iterator[NDArray[Any]]:
    for piece in pieces:
        file.write(piece.data)
        yield piece


def _copies(parts: list[Path]) -> dict[int, int]:
    finder = NearDuplicateFinder()
    for part in parts:
        finder.absorb(NearDuplicateFinder.load(part / "sketches.npz"))
    return finder.find()


def _renumber_words(parts: list[Path]) -> tuple[WordTable | None, list[NDArray[np.uint32]]]:
    """The words of all parts in order of first occurrence, and for each part the new number of each of its ids."""
    if not (parts[0] / "words.txt").exists():
        return None, []
    words = WordTable()
    return words, [words.add((part / "words.txt").read_text("utf-8").split("\n")) for part in parts]


def _refuse_another(folder: Path, made_by: Mapping[str, Any], source: str) -> None:
    if not (folder / "corpus.json").exists():
        return
    held = read_json(folder / "corpus.json")
    for setting, wanted, found in (
        ("tokenizer", made_by["name"], held["tokenizer"].get("name")),
        ("tokenizer hash", made_by["hash"], held["tokenizer"].get("hash")),
        ("text (hash)", source, held.get("source")),
        ("filters", made_by["filters"], held["tokenizer"].get("filters")),
    ):
        if wanted != found:
            raise InputError(
                f"out: {folder} holds a corpus with {setting} {found!r}, not {wanted!r}; choose another folder"
            )


@contextmanager
def _removed_if_empty(*folders: Path) -> Iterator[None]:
    """On the way out of a failure, leave no empty folder behind."""
    try:
        yield
    except BaseException:
        for folder in folders:
            with suppress(OSError):
                folder.rmdir()
        raise
