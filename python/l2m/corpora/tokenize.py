"""Text to token ids: a corpus folder, made part by part by one process or by many machines.

A *job* is the sources' units (files, shards of datasets) cut into parts of up to 256 MB (`l2m.corpora.parts`). Each part is
written by itself, into a folder of its own that appears when it is whole; `l2m.corpora.merge` joins them. So the same parts are
what one process works through, what it finds done after a crash, what `--shard 0/16` divides and what a cluster distributes.
"""

import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from l2m.base import checks
from l2m.base.files import file_hash
from l2m.base.folders import lock, require_own
from l2m.base.forecast import Forecast
from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus, token_hash
from l2m.corpora.documents import Document, FileUnit, ReadingOptions, TextUnit, Unit, printable
from l2m.corpora.encoders import Encoder, load_encoder
from l2m.corpora.manifest import NAME, is_corpus, read_manifest
from l2m.corpora.merge import Whole, find_parts, in_use, write_corpus
from l2m.corpora.parts import TokenizeJob, ids_of, open_part, run_part
from l2m.corpora.sources import Reader, Source, Sources, find_units
from l2m.errors import InputError

_PART_BYTES = 256 << 20
_RAY_PARTS = 64  # at least, where there are as many files: work for 16 machines, at most 1/64 of it lost with one
_MOST_SHARDS = 1 << 20
_CALIBRATION_BYTES = 12 << 20


@dataclass(frozen=True, kw_only=True)
class TokenizeSettings(ReadingOptions):
    """What is read of the sources, how, and what is left out: the arguments of `tokenize` that decide what comes out."""

    glob: str = "*"
    split: str = "train"
    subset: str | None = None
    duplicates: str = "drop"
    min_tokens: int = 0
    sample: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("duplicates", self.duplicates, ("drop", "keep"))
        checks.whole("min_tokens", self.min_tokens)
        checks.real("sample", self.sample, 0, 1, above=True)

    @property
    def reading(self) -> ReadingOptions:
        """How the sources are read."""
        return ReadingOptions(**{entry.name: getattr(self, entry.name) for entry in dataclasses.fields(ReadingOptions)})


def tokenize(
    sources: Sources,
    tokenizer: str | os.PathLike[str] | Encoder = "bytes",
    out: str | os.PathLike[str] | None = None,
    *,
    glob: str = "*",
    split: str = "train",
    subset: str | None = None,
    field: str = "text",
    id_field: str = "id",
    format: str = "auto",
    separator: int | None = None,
    dtype: str = "uint16",
    on_error: str = "stop",
    keep_line_ends: bool = False,
    duplicates: str = "drop",
    min_tokens: int = 0,
    sample: float = 1.0,
    ray: str | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Tokenize texts into a corpus.

    Memory: some batches of 8 MB and the largest document, and 32 MB + 128 bytes a document for near-duplicates. A run that was
    stopped resumes after the last whole part (of 256 MB) when it is called again; documents in memory are read anew.

    Args:
        sources: files, folders, patterns, URLs, hub datasets, texts, or an iterable of them (see `l2m.corpora.sources.find_units`).
        tokenizer: "bytes" (UTF-8), "characters" (code points), "words" (runs of word characters, and every other character
            that is not white space; ids in order of first occurrence), or a Hugging Face tokenizer: hub name, folder, or
            tokenizer.json. No special token is added, and text that spells one is encoded as text. Or an
            `l2m.corpora.encoders.Encoder`. If the sources already hold token ids, they are kept; `tokenizer` only records their
            origin ("bytes" and "ids" record none).
        out: folder to write; None keeps the corpus in memory.
        glob: which files of a folder.
        split, subset: of hub datasets.
        field: field of JSON lines, or column of tables and datasets, that holds the text.
        id_field: field or column with the name of a document.
        format: "auto" goes by the suffix of a file; see `l2m.corpora.sources.Reader`.
        separator: id between the documents of token dumps.
        dtype: of .bin token dumps that do not record it.
        on_error: "stop" at what cannot be read, or "skip" it: it is listed in `corpus.tokenizer["skipped"]`.
        keep_line_ends: keep CRLF and CR in texts; False: they become LF, so that a text has the same ids whichever system wrote
            it. `corpus.tokenizer["filters"]["line_ends"]` says which: "LF" or "kept". A byte order mark is always dropped.
        duplicates: "drop" leaves out documents that are copies of, or share over a fifth of their shingles with, a larger
            one (`l2m.near_duplicates`); "keep" keeps them. Dropped documents are listed in `corpus.tokenizer["duplicates"]`.
        min_tokens: documents with fewer are left out.
        sample: the fraction of documents to keep, chosen by the hash of their content: the same whatever the order.
        ray: run the parts on a Ray cluster (`l2m.base.cluster.run_on_ray`): "auto" or its address. All its machines must see the
            sources and `out`.
        progress: called with (bytes read, bytes in all).

    Returns:
        The corpus, memory-mapped from `out` where that is given.

    Raises:
        InputError: bad sources, an unknown tokenizer, no text at all, `out` holds another corpus, or another process is writing
            to it.

    Example:
        >>> l2m.tokenize(['To be, or not to be.', 'That is the question.'], 'words')
        Corpus(13 tokens, 2 documents, vocab_size=11, tokenizer='words')
    """
    if ray is not None and out is None:
        raise InputError("out: None with ray; expected a folder that every machine of the cluster sees")
    settings = TokenizeSettings(
        glob=glob, split=split, subset=subset, field=field, id_field=id_field, format=format, separator=separator, dtype=dtype,
        on_error=on_error, keep_line_ends=keep_line_ends, duplicates=duplicates, min_tokens=min_tokens, sample=sample,
    )  # fmt: skip
    if out is None:
        with tempfile.TemporaryDirectory(prefix="l2m-") as folder:
            job = dataclasses.replace(tokenize_job(sources, tokenizer, folder, settings), durable=False)
            run_parts(job, range(len(job.parts)), progress=progress)
            return Whole(find_parts([Path(folder)])).in_memory()
    job = tokenize_job(sources, tokenizer, out, settings, shards=1 if ray is None else _RAY_PARTS)
    with in_use(Path(out)):
        if ray is None:
            run_parts(job, range(len(job.parts)), progress=progress)
        else:
            _run_parts_on_ray(job, ray, progress)
        try:
            write_corpus([Path(out)], Path(out), job.id)
        except InputError:  # no text, or another corpus in `out`: to resume from these parts would fail again
            shutil.rmtree(job.folder, ignore_errors=True)
            raise
    return Corpus.open(out, verify=False)


def tokenize_job(
    sources: Sources,
    tokenizer: str | os.PathLike[str] | Encoder,
    out: str | os.PathLike[str],
    settings: TokenizeSettings | None = None,
    *,
    shards: int = 1,
) -> TokenizeJob:
    """The job of `tokenize` with these arguments, cut into at least `shards` parts where there are as many units.

    Raises:
        InputError: bad sources, an unknown tokenizer, or `out` holds a corpus made with another tokenizer.
    """
    settings = settings or TokenizeSettings()
    checks.whole("shards", shards, 1, _MOST_SHARDS)
    encoder = load_encoder(tokenizer)
    Reader(settings.reading)  # refuses an unknown format now, and not in each part
    require_own(out, NAME)
    if is_corpus(out):
        held = read_manifest(Path(out)).tokenizer["name"]
        if held not in (encoder.name, "ids"):
            raise InputError(
                f"out: {os.fspath(out)} holds a corpus with tokenizer {held!r}, not {encoder.name!r}; use another folder"
            )
    found = find_units(sources, glob=settings.glob, split=settings.split, subset=settings.subset)
    # An iterator, perhaps endless in all but name, is read as it comes.
    at_once = isinstance(sources, (str, os.PathLike, Source, Sequence))
    units: list[Unit] = list(found) if at_once else [TextUnit(found)]
    if not units:
        raise InputError("sources: none; expected at least one file, folder or text")
    total = sum(unit.size for unit in units)
    return TokenizeJob(
        out=os.fspath(out),
        tokenizer=os.fspath(tokenizer) if isinstance(tokenizer, os.PathLike) else tokenizer,
        reading=settings.reading,
        duplicates=settings.duplicates,
        min_tokens=settings.min_tokens,
        sample=settings.sample,
        parts=tuple(_cut(units, min(_PART_BYTES, total // shards))),
        settings={
            "tokenizer": printable(encoder.name), "tokenizer hash": encoder.hash, "duplicates": settings.duplicates,
            "min_tokens": settings.min_tokens, "sample": settings.sample, "reading": dataclasses.asdict(settings.reading),
        },
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


def run_shard(job: TokenizeJob, index: int, shards: int, *, progress: Progress | None = None) -> list[int]:
    """Make those parts of one shard that are not on disk yet; their numbers. Other shards may run at the same time.

    Raises:
        InputError: another process runs this shard, or merges the parts.
    """
    folder = Path(job.out)
    with in_use(folder, shared=True), lock(folder, f"parts/{job.id}/.{index}-of-{shards}.lock"):
        return run_parts(job, job.shard(index, shards), shard=f"{index}/{shards}", progress=progress)


def run_parts(
    job: TokenizeJob, parts: Sequence[int], *, shard: str | None = None, progress: Progress | None = None
) -> list[int]:
    """Read, encode and write those of `parts` that are not on disk yet; their numbers."""
    left = job.left(parts)
    total = job.size(left)
    done = 0
    for part in left:
        run_part(job, part, shard, progress and (lambda read, before=done: progress(before + read, total)))
        done += job.size([part])
    return left


def _run_parts_on_ray(job: TokenizeJob, address: str, progress: Progress | None) -> None:
    from l2m.base.cluster import run_on_ray

    left = job.left(range(len(job.parts)))
    if any(isinstance(unit, TextUnit) for part in job.parts for unit in part):
        raise InputError("sources: texts in memory with ray; expected files, URLs and datasets")
    job = dataclasses.replace(job, out=os.path.abspath(job.out), parts=tuple(map(_absolute, job.parts)))
    done, total = 0, job.size(left)
    for part, _ in run_on_ray(partial(run_part, job), left, address):
        done += job.size([part])
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


def forecast(job: TokenizeJob) -> Forecast:
    """Predict tokens, time, disk and memory of the parts that are not done, from the first 12 MB of the sources.

    The model: time = bytes / (measured bytes a second) / workers, bytes / (measured bytes a second that are joined), and bytes of
    ids written once more / 1 GB/s where there is more than one part; disk = ids twice while both the parts and the whole are
    there; memory = the interpreter and the near-duplicate sketches, ten batches of text, and eight times the largest file that is
    read as one text. See docs/scaling.md.

    Raises:
        InputError: the sources are texts in memory, or cannot be read.
    """
    left = job.left(range(len(job.parts)))
    size = job.size(left)
    units = [unit for part in left for unit in job.parts[part]]
    if any(isinstance(unit, TextUnit) for unit in units):
        raise InputError("dry-run: texts in memory; expected files, URLs or datasets")
    reader = Reader(job.reading)
    started = time.perf_counter()
    sample, held = _beginning(reader, units)
    read = time.perf_counter() - started
    stored = max(reader.log.consumed, 1)
    encoder = job.encoder()
    encoder.encode([document.text[:1000] for document in sample if document.text][:1])  # loads and checks, once
    # Near-duplicate sketches fill with the first megabytes, after which a byte costs less: the rate is that between two sizes.
    few = sample[: max(1, len(sample) // 3)]
    _try(job, few)  # pays for threads and memory once
    (part, joining, _), (most, most_joining, tokens) = _try(job, few), _try(job, sample)
    less = sum(map(_bytes_of, few)) / max(held, 1)
    grows, joins = (max(b - a, 0.0) / max(1 - less, 0.1) for a, b in ((part, most), (joining, most_joining)))
    scale = size / stored
    tokens = int(tokens * scale)
    width = np.dtype(encoder.dtype).itemsize
    copied = tokens * width if len(job.parts) > 1 else 0
    whole = max((unit.size for unit in units if isinstance(unit, FileUnit)), default=0)
    whole = whole if held >= stored and reader.options.format in ("auto", "text") and len(sample) <= len(units) else 0
    each, rate = max(most - grows, 0.0), (read + grows) * scale / max(size, 1)
    return Forecast(
        work={"source_bytes": size, "tokens": tokens},
        tasks={str(part): each + rate * job.size([part]) for part in left},
        finish=max(most_joining - joins, 0.0) + joins * scale + copied / 1e9,
        memory_bytes=(350 << 20) + 80 * (1 << 20) + 8 * whole + 128 * int(len(sample) * scale),
        disk_bytes=tokens * width + copied,
        details={"parts": len(job.parts), "parts_done": len(job.parts) - len(left)},
    )


def _beginning(reader: Reader, units: Sequence[Unit]) -> tuple[list[Document], int]:
    """The first documents, about 12 MB, and how much memory they take."""
    sample: list[Document] = []
    held = 0
    for document in (document for unit in units for document in reader.documents(unit)):
        sample.append(document)
        held += _bytes_of(document)
        if held >= _CALIBRATION_BYTES:
            break
    return sample, held


def _bytes_of(document: Document) -> int:
    return len(document.text) + 4 * ids_of(document)


def _try(job: TokenizeJob, documents: Sequence[Document]) -> tuple[float, float, int]:
    """Seconds to make a part of these documents and to join it, and its tokens."""
    with tempfile.TemporaryDirectory(prefix="l2m-") as folder:
        trial = dataclasses.replace(job, out=folder, parts=((TextUnit(documents),),), durable=False)
        started = time.perf_counter()
        run_part(trial, 0)
        made = time.perf_counter()
        part = open_part(trial.folder / "00000")
        if part.record.tokens:
            whole = Whole([part])
            token_hash(whole.offsets, whole.ids())
            whole.source()
            file_hash(part.folder / "tokens.npy")
        return made - started, time.perf_counter() - made, part.record.tokens
