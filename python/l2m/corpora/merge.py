"""The parts of a corpus, from one folder or from one of each shard, joined into the corpus.

The corpus does not depend on the cut: ids of words are renumbered by first occurrence, and near-duplicates are found among all
documents. Parts are removed only once the corpus is whole, and first marked as merged (`merged.json`): a merge that is killed
while it removes them is finished by the next one.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from l2m._core import WordTable
from l2m.base.files import atomic_write, clear_temporaries, files_hash, read_sealed, temporary_path, write_sealed
from l2m.base.folders import lock, require_own, require_same
from l2m.corpora.corpus import Corpus, token_hash
from l2m.corpora.manifest import NAME, is_corpus, read_manifest, write_manifest
from l2m.corpora.near_duplicates import NearDuplicateFinder
from l2m.corpora.parts import COPY_IDS, MERGED, RECORD, Part, PartRecord, npy_header, open_part, read_record
from l2m.errors import InputError

_NAMED = 8
"""Missing parts and shards that a message lists."""


def merge_parts(folders: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Corpus:
    """Join the parts that shards left in `folders` (one shared folder, or one of each shard) into the corpus `out`.

    Where an earlier merge was stopped after the corpus was whole, this one removes what is left of the parts.

    Raises:
        InputError: no parts, a part that is missing, damaged or there twice (named), parts of different sources or settings (named),
            no text at all, `out` holds another corpus, or a folder is in use by another process.
    """
    out = Path(out)
    paths = [Path(folder) for folder in folders]
    require_own(out, NAME)
    with ExitStack() as stack:
        for folder in dict.fromkeys([out, *paths]):
            if folder == out or os.access(folder / "parts", os.W_OK):  # shards may be on a disk that can only be read
                stack.enter_context(in_use(folder))
        written = write_corpus(paths, out)
    return Corpus.open(out, verify=not written)  # what an earlier merge wrote may have been damaged since


def write_corpus(folders: Sequence[Path], out: Path, job: str | None = None) -> bool:
    """`merge_parts` for a caller that holds the folders; False where an earlier merge had written all.

    Args:
        job: `TokenizeJob.id` of the parts to join, whatever other parts are there; None: of the only job that is complete.
    """
    finished = _drop_merged(folders, out)
    if finished and not any(_records(folder, job) for folder in folders):
        return False
    _write(Whole(find_parts(folders, job)), out)
    hash = read_manifest(out).hash
    done = [path for folder in folders for path in _jobs(folder)]
    for path in done:
        with suppress(OSError):  # a folder that can only be read
            write_sealed(path / MERGED, {"corpus": hash})
    for path in done:
        _remove(path)
    return True


@contextmanager
def in_use(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a folder in which a corpus is being made: alone, or `shared` by shards that write different parts of it.

    Raises:
        InputError: another process holds it.
    """
    parts = folder / "parts"
    existed = folder.exists()
    try:
        with lock(folder, "parts/.lock", shared=shared):
            clear_temporaries(parts)
            for job in _jobs(folder):
                clear_temporaries(job)
            yield
    finally:
        # Nothing is left of a run that failed before it wrote anything, or of the parts of one that is done.
        for empty in (*_jobs(folder), parts, *([] if existed else [folder])):
            with suppress(OSError):
                empty.rmdir()


def holds_parts(folder: str | os.PathLike[str]) -> bool:
    """Whether `folder` holds parts of a corpus that is being made."""
    return bool(_records(Path(folder)))


def _jobs(folder: Path) -> list[Path]:
    return sorted(path for path in Path(folder, "parts").glob("[0-9a-f]*") if path.is_dir())


def _records(folder: Path, job: str | None = None) -> list[Path]:
    # A part that was being written when a run was killed has a hidden name.
    return sorted(Path(folder, "parts").glob(f"{job or '[0-9a-f]*'}/[0-9]*"))


def _remove(job: Path) -> None:
    """Remove the parts of a job: all or none are there for who looks, whenever this is stopped."""
    with suppress(OSError):  # a folder that can only be read
        aside = temporary_path(job)
        os.rename(job, aside)
        shutil.rmtree(aside, ignore_errors=True)


def _drop_merged(folders: Sequence[Path], out: Path) -> bool:
    """Remove parts that a stopped merge into `out` had marked; whether the corpus in `out` is the one they became."""
    if not is_corpus(out):
        return False
    hash = read_manifest(out).hash
    jobs = [job for folder in folders for job in _jobs(folder)]
    # Nothing is removed before all are marked: where one is not, all parts are still there, and are joined again.
    found = bool(jobs) and all(_is_merged(job, hash) for job in jobs)
    for job in jobs if found else ():
        _remove(job)
    empty = all(folder.is_dir() and (folder.samefile(out) or not _visible(folder)) for folder in folders)
    return found or empty


def _is_merged(job: Path, hash: str) -> bool:
    return (job / MERGED).exists() and read_sealed(job / MERGED) == {"corpus": hash}


def _visible(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name[0] != "." and name != "parts"]


def find_parts(folders: Sequence[Path], job: str | None = None) -> list[Part]:
    """All parts of `job`, or of the one job that is complete in `folders`, in order, their checksums compared.

    Raises:
        InputError: see `merge_parts`.
    """
    jobs: dict[str, dict[int, Path]] = {}
    records: dict[str, PartRecord] = {}
    for folder in folders:
        found = _records(folder, job)
        if not found:
            raise InputError(f"{folder}: no parts of a corpus; expected a folder that `l2m tokenize --shard` wrote")
        for path in found:
            if not path.name.isdecimal():
                raise InputError(f"{path}: expected a folder with a number as its name")
            record = read_record(path)
            first = records.setdefault(record.job, record)
            if (record.parts, record.settings) != (first.parts, first.settings):
                raise InputError(f"{path / RECORD}: another number of parts or other settings than the rest of its job")
            parts = jobs.setdefault(record.job, {})
            if record.part in parts:
                other = parts[record.part].parent.parent.parent
                raise InputError(
                    f"{folder}: part {record.part} of {record.parts} is in {other} too: the same shard twice?"
                )
            parts[record.part] = path
    if len(jobs) > 1:
        complete = [name for name, parts in jobs.items() if len(parts) == records[name].parts]
        if len(complete) != 1:
            raise InputError(_difference(jobs, records))
        jobs = {complete[0]: jobs[complete[0]]}
    [(only, parts)] = jobs.items()
    if len(parts) < records[only].parts:
        raise InputError(f"{folders[0]}: {_missing(parts, records[only].parts)}")
    return [open_part(parts[number]) for number in range(len(parts))]


def _missing(parts: dict[int, Path], total: int) -> str:
    """Which parts are missing, and the shards that make them."""
    missing = (number for number in range(total) if number not in parts)
    first = [number for number, _ in zip(missing, range(_NAMED + 1), strict=False)]
    named = ", ".join(map(str, first[:_NAMED])) + (", ..." if len(first) > _NAMED else "")
    counts = {int(shard.split("/")[1]) for part in parts.values() if (shard := read_record(part).shard)}
    hint = "run the same command again"
    if len(counts) == 1 and (count := counts.pop()):
        lost = sorted({_shard_of(part, total, count) for part in (*first, *missing)})
        hint = "run again: " + ", ".join(f"--shard {shard}/{count}" for shard in lost[:_NAMED])
    return f"of {total} parts, missing: {named}; {hint}"


def _shard_of(part: int, total: int, shards: int) -> int:
    """The shard, of those of `TokenizeJob.shard`, that makes a part."""
    return ((part + 1) * shards - 1) // total


def _difference(jobs: dict[str, dict[int, Path]], records: dict[str, PartRecord]) -> str:
    first, second = list(jobs)[:2]
    folders = [next(iter(jobs[job].values())).parent.parent.parent for job in (first, second)]
    for name, value in records[first].settings.items():
        other = records[second].settings.get(name)
        if other != value:
            return f"{folders[1]}: {name} {other!r}, but {value!r} in {folders[0]}; expected shards of one job"
    return f"{folders[1]}: other sources or another number of shards than {folders[0]}; expected shards of one job"


class Whole:
    """What the parts make together: known in full but for the ids and the documents' lines, which stay on disk.

    Attributes:
        offsets: int64, (documents kept + 1).
        vocab_size: the number of possible ids.
        made_by: `Corpus.tokenizer`.
        words: the vocabulary, for words.

    Raises:
        InputError: no token at all, both texts and ids, or ids that the tokenizer does not have.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        records = [part.record for part in parts]
        holds = {record.holds for record in records} - {None}
        if len(holds) > 1:
            raise InputError("sources: both texts and token ids; expected one of the two")
        self._lengths = np.concatenate([part.lengths for part in parts])
        if not self._lengths.sum():
            raise InputError("sources: no text in any document; expected at least one token")
        dropped = _copies(parts) if records[0].settings["duplicates"] == "drop" else {}
        self._kept = np.ones(self._lengths.size, bool)
        self._kept[list(dropped)] = False
        self.offsets = np.concatenate([[0], np.cumsum(self._lengths[self._kept])]).astype(np.int64)
        self.words, self._renumbered = _renumber_words(parts)
        self.vocab_size, self.made_by = self._vocabulary(records, "ids" if holds == {"ids"} else "texts")
        self.made_by["duplicates"] = self._names(dropped)
        settings = records[0].settings
        self.made_by["filters"] = {
            **{name: settings[name] for name in ("duplicates", "min_tokens", "sample")},
            "short": sum(record.short for record in records),
            "sampled_out": sum(record.sampled_out for record in records),
            "line_ends": "kept" if settings.get("reading", {}).get("keep_line_ends", True) else "LF",
        }
        self.made_by["skipped"] = [problem for record in records for problem in record.skipped]
        self.dtype = np.dtype("<u2" if self.vocab_size <= 1 << 16 else "<u4")

    def _vocabulary(self, records: Sequence[PartRecord], holds: str) -> tuple[int, dict[str, Any]]:
        settings = records[0].settings
        name, hash = settings["tokenizer"], settings["tokenizer hash"]
        size = max(record.vocab_size for record in records)
        if self.words is not None:
            size, hash = len(self.words), blake3(self.spelled_words).hexdigest()
        elif holds == "ids":
            largest = max(record.largest for record in records)
            if name in ("bytes", "ids"):
                name, size = "ids", largest + 1
            elif largest >= size:
                raise InputError(f"sources: token id {largest}; {name} has {size} ids: another tokenizer?")
        encoder = ", ".join(sorted({record.encoder for record in records} - {"unchecked"}))
        return size, {"name": name, "hash": hash, "encoder": encoder}

    @property
    def spelled_words(self) -> bytes:
        """The content of words.txt."""
        return b"" if self.words is None else "\n".join(self.words.words()).encode()

    def source(self) -> str:
        """Hash of what was read: of the documents' hashes, one after the other."""
        return files_hash(part.folder / "digests.bin" for part in self.parts)

    def is_one_part_as_it_is(self) -> bool:
        """Whether the ids of the only part are the corpus's."""
        one = len(self.parts) == 1 and bool(self._kept.all()) and self.words is None
        return one and self.parts[0].tokens.dtype == self.dtype

    def ids(self) -> Iterator[NDArray[np.unsignedinteger]]:
        """The ids of the kept documents, piece by piece."""
        # Runs of kept documents, as ranges of the ids of all parts; then cut where parts meet.
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self._kept, [False]])))
        runs = np.concatenate([[0], np.cumsum(self._lengths)])[edges].reshape(-1, 2)
        offset = 0
        for number, part in enumerate(self.parts):
            ids = part.tokens
            for first, last in runs[(runs[:, 1] > offset) & (runs[:, 0] < offset + ids.size)] - offset:
                stop = min(last, ids.size)
                for begin in range(max(first, 0), stop, COPY_IDS):
                    piece = ids[begin : min(begin + COPY_IDS, stop)]
                    if self._renumbered:
                        piece = _renumber(piece, self._renumbered[number], part)
                    yield np.ascontiguousarray(piece, self.dtype)
            offset += ids.size

    def documents(self) -> Iterator[bytes]:
        """The lines of the kept documents."""
        return (line for line, keep in zip(self._lines(), self._kept, strict=True) if keep)

    def _lines(self) -> Iterator[bytes]:
        for part in self.parts:
            path, count = part.folder / "documents.jsonl", 0
            for count, line in enumerate(part.lines(), 1):
                if count <= part.record.documents:
                    yield line
            if count != part.record.documents:
                raise InputError(f"{path}: {count:,} lines; expected {part.record.documents:,}: damaged")

    def _names(self, dropped: dict[int, int]) -> list[list[str]]:
        """[copy, original] by the documents' ids."""
        if not dropped:
            return []
        wanted = {*dropped, *dropped.values()}
        ids = {number: _document(line)["id"] for number, line in enumerate(self._lines()) if number in wanted}
        return [[ids[copy], ids[original]] for copy, original in dropped.items()]

    def in_memory(self) -> Corpus:
        """The corpus, independent of the parts."""
        corpus = Corpus(
            np.concatenate(list(self.ids())),
            self.offsets,
            self.vocab_size,
            documents=[_document(line) for line in self.documents()],
            tokenizer=self.made_by,
        )
        corpus.words = None if self.words is None else tuple(self.words.words())
        return corpus


def _write(whole: Whole, out: Path) -> None:
    source = whole.source()
    if is_corpus(out):
        held = read_manifest(out)
        require_same(out, _identity(held.tokenizer, held.source), _identity(whole.made_by, source))
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # All are renamed when the stack closes; the manifest, which makes it a corpus, comes last.
        file = stack.enter_context(_replaced(out / "tokens.npy", whole))
        hash = token_hash(whole.offsets, whole.ids() if file is None else _written(whole, file))
        np.save(stack.enter_context(atomic_write(out / "offsets.npy")), whole.offsets)
        stack.enter_context(atomic_write(out / "documents.jsonl")).writelines(whole.documents())
        if whole.words is not None:
            stack.enter_context(atomic_write(out / "words.txt")).write(whole.spelled_words)
    write_manifest(
        out,
        vocab_size=whole.vocab_size,
        tokenizer=whole.made_by,
        tokens=int(whole.offsets[-1]),
        hash=hash,
        source=source,
    )


def _document(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("id"), str):
        raise InputError(f"documents.jsonl: {line[:80]!s} in a part; expected an object with an id: damaged")
    return document


def _identity(tokenizer: Mapping[str, Any], source: str | None) -> dict[str, Any]:
    # Texts whose line ends were changed have another hash; versions that kept them recorded nothing of it.
    filters = {name: value for name, value in tokenizer.get("filters", {}).items() if name != "line_ends"}
    return {
        "tokenizer": tokenizer["name"], "tokenizer hash": tokenizer.get("hash"), "text (hash)": source,
        "filters": filters,
    }  # fmt: skip


@contextmanager
def _replaced(path: Path, whole: Whole) -> Iterator[IO[bytes] | None]:
    """A file to write the ids to; None where the only part's file becomes the corpus's, which spares the copy."""
    if whole.is_one_part_as_it_is():
        # A second name for the file, not another place: the part stays whole until the corpus is.
        temporary = temporary_path(path)
        try:
            os.link(whole.parts[0].folder / "tokens.npy", temporary)
        except OSError:  # another disk, or a file system without such links
            pass
        else:
            try:
                yield None
                os.replace(temporary, path)
            finally:
                # There still where both are names of one file already, which is no rename.
                temporary.unlink(missing_ok=True)
            return
    with atomic_write(path) as file:
        yield file


def _written(whole: Whole, file: IO[bytes]) -> Iterator[NDArray[np.unsignedinteger]]:
    npy_header(file, whole.dtype, int(whole.offsets[-1]))
    for piece in whole.ids():
        file.write(piece.data)
        yield piece


def _copies(parts: Iterable[Part]) -> dict[int, int]:
    finder = NearDuplicateFinder()
    for part in parts:
        finder.absorb(part.sketches())
    return finder.find()


def _renumber_words(parts: Sequence[Part]) -> tuple[WordTable | None, list[NDArray[np.uint32]]]:
    """The words of all parts in order of first occurrence, and for each part the new number of each of its ids."""
    if not parts[0].has_words:
        return None, []
    words = WordTable()
    return words, [words.add(part.words()) for part in parts]


def _renumber(ids: NDArray[np.unsignedinteger], numbers: NDArray[np.uint32], part: Part) -> NDArray[np.uint32]:
    if ids.size and int(ids.max()) >= numbers.size:
        raise InputError(f"{part.folder / 'tokens.npy'}: id {int(ids.max())} of {numbers.size:,} words: damaged")
    renumbered: NDArray[np.uint32] = numbers[ids]
    return renumbered
