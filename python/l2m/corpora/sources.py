"""Where documents come from: text, JSON lines, tables, token dumps, hub datasets, iterators. All become a stream of `Document`.

`find_units` lists what can be read by itself (a file, a shard of a dataset), `Reader.documents` reads one such unit. The
split is what sharding, resuming and clusters rest on: units are small to describe, in a fixed order, and need no state.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as new
from glob import glob as expand_glob
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from l2m.errors import InputError

Sources: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str] | Document]"

DATASETS: dict[str, tuple[str, str | None]] = {
    "pg19": ("emozilla/pg19", None),
    "wikipedia": ("wikimedia/wikipedia", "20231101.en"),
    "fineweb": ("HuggingFaceFW/fineweb", "sample-10BT"),
}
"""Short names of hub datasets: name, and the subset read where none is named."""

FORMATS = ("auto", "text", "jsonl", "parquet", "arrow", "npy", "bin")
_SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".npy": "npy", ".bin": "bin",
}  # fmt: skip
_COMPRESSIONS = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2", ".zst": "zstd"}
_TABLES = ("parquet", "arrow")
_READ_BYTES = 1 << 16  # one piece of a compressed file: where it is broken is known to within this
_TABLE_ROWS = 64  # of books that is 30 MB, and at 1 kB a row the cost of a batch is still hidden
_SEQUENCE_DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2", 9: "<u4"}  # Megatron's codes


@dataclass(frozen=True)
class Document:
    """One text with the name it is known by, or the token ids of one where a source holds ids."""

    id: str
    text: str = ""
    ids: NDArray[np.integer] | None = None


@dataclass(frozen=True)
class FileUnit:
    """One file. `id` begins the names of its documents; `alone`: named by the user, so that an empty one is an error."""

    path: str
    id: str
    size: int
    modified: float
    alone: bool = False


@dataclass(frozen=True)
class DatasetUnit:
    """One shard of a hub dataset's split."""

    name: str
    subset: str | None
    split: str
    shard: int
    shards: int
    size: int = 0


@dataclass(frozen=True, eq=False)
class TextUnit:
    """Documents handed over in memory or by an iterator, which can be read once."""

    documents: Iterable[Document]
    size: int = 0


Unit: TypeAlias = FileUnit | DatasetUnit | TextUnit


def read_documents(
    sources: Sources, *, glob: str = "*", split: str = "train", subset: str | None = None, **options: Any
) -> Iterator[Document]:
    """The documents of `sources`, in order (see `find_units` and `Reader` for the options)."""
    reader = Reader(**options)
    for unit in find_units(sources, glob=glob, split=split, subset=subset):
        yield from reader.documents(unit)


def find_units(sources: Sources, *, glob: str = "*", split: str = "train", subset: str | None = None) -> Iterator[Unit]:
    """What `sources` name, unit by unit, in the order in which it is read.

    Args:
        sources: a path, pattern, URL, dataset or text, or an iterable of them and of documents. A `str` is a path where such a
            file or folder exists or where it looks like one (a single word with a separator or a short suffix); with "://"
            anything that `fsspec` opens; a hub dataset where it is one of `DATASETS` or reads owner/name and no such
            path exists; any other `str` is a text. Files of a folder come sorted by path; hidden files and
            `__pycache__` are passed over, and so are empty ones.
        glob: which files of a folder, matched against the file's name.
        split, subset: of hub datasets.

    Raises:
        InputError: no such file or dataset, a folder or pattern without a matching file.
    """
    if isinstance(sources, (str, os.PathLike)):
        sources = [sources]
    for number, source in enumerate(sources):
        if isinstance(source, Document):
            yield TextUnit([source])
        elif isinstance(source, str) and source in DATASETS:
            yield from _dataset_units(source, subset, split)
        elif isinstance(source, str) and "://" in source and " " not in source:
            yield from _remote_units(source, glob)
        elif isinstance(source, str) and not _names_a_path(source):
            yield TextUnit([Document(f"text-{number}", source)])
        elif isinstance(source, (str, os.PathLike)):
            yield from _path_units(os.fspath(source), glob, split, subset)
        else:
            raise InputError(f"sources: {type(source).__name__} at place {number}; expected paths, texts and documents")


def _names_a_path(source: str) -> bool:
    try:
        if os.path.exists(source):
            return True
    except ValueError:  # a NUL byte
        return False
    one_word = len(source) < 4096 and not any(character.isspace() for character in source)
    return one_word and (os.sep in source or 0 < len(Path(source).suffix) <= 8)


def _path_units(path: str, glob: str, split: str, subset: str | None) -> Iterator[Unit]:
    if os.path.isdir(path):
        if os.path.exists(os.path.join(path, "index.json")) and _shard_library(path):
            yield FileUnit(path, os.path.basename(path), *_size(path), alone=True)
            return
        files = _files(Path(path), glob)
        if not files:
            raise InputError(f"{path}: a folder with no file that matches {glob!r}")
        yield from (FileUnit(str(file), str(file.relative_to(path)), *_size(file)) for file in files)
    elif os.path.exists(path):
        yield FileUnit(path, os.path.basename(path), *_size(path), alone=True)
    elif any(character in path for character in "*?["):
        found = sorted(file for file in expand_glob(path, recursive=True) if os.path.isfile(file))
        if not found:
            raise InputError(f"{path}: no file matches this pattern")
        folder = os.path.dirname(path[: min(path.find(mark) for mark in "*?[" if mark in path)])
        yield from (FileUnit(file, os.path.relpath(file, folder or "."), *_size(file)) for file in found)
    elif path.count("/") == 1 and not path.startswith((".", "/", "~")) and not Path(path).suffix:
        yield from _dataset_units(path, subset, split)
    else:
        raise InputError(f"{path}: no such file or folder")


def _files(folder: Path, glob: str) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        here = set(names)
        for name in names:
            side_file = name.endswith(".idx") and f"{name[:-4]}.bin" in here
            if not name.startswith(".") and not side_file and Path(name).match(glob):
                found.append(Path(parent, name))
    return sorted(found)


def _size(path: str | Path) -> tuple[int, float]:
    status = os.stat(path)
    return status.st_size, status.st_mtime


def _remote_units(url: str, glob: str) -> Iterator[Unit]:
    fsspec = optional_library("fsspec", url)
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
        if any(character in path for character in "*?["):
            files = sorted(filesystem.glob(path))
        elif filesystem.isdir(path):
            names = sorted(filesystem.find(path))
            files = [name for name in names if Path(name).match(glob) and not Path(name).name.startswith(".")]
        else:
            files = [path]
        sizes = [int(filesystem.info(file)["size"] or 0) for file in files]
    except FileNotFoundError:
        raise InputError(f"{url}: no such file or folder") from None
    except (ImportError, ValueError, OSError) as error:  # a protocol without its package; no access
        raise InputError(f"{url}: {error}") from None
    if not files:
        raise InputError(f"{url}: no file matches")
    alone = len(files) == 1 and files[0] == path
    for file, size in zip(files, sizes, strict=True):
        name = Path(file).name if alone else file.removeprefix(path.rstrip("/") + "/")
        yield FileUnit(filesystem.unstrip_protocol(file), name, size, 0.0, alone)


def _dataset_units(name: str, subset: str | None, split: str) -> Iterator[Unit]:
    if name == "deepmind/pg19":
        raise InputError(
            "deepmind/pg19: a loading script, which datasets >= 4 does not run; use emozilla/pg19 (parquet)"
        )
    repository, default = DATASETS.get(name, (name, None))
    subset = subset or default
    shards = _open_dataset(repository, subset, split).num_shards
    yield from (DatasetUnit(repository, subset, split, shard, shards) for shard in range(shards))


def _open_dataset(name: str, subset: str | None, split: str) -> Any:
    if not os.path.exists(name):
        from l2m.base.hub import require_hub

        require_hub("dataset", name)
    datasets = optional_library("datasets", name)
    try:
        return datasets.load_dataset(name, subset, split=split, streaming=True)
    except Exception as error:  # its errors have no common type: not found, gated, a script, an unknown split or subset
        raise InputError(f"dataset: {name!r}, subset {subset!r}, split {split!r}: {error}") from None


def optional_library(name: str, wanted_for: str, install: str = "'l2m[data]'") -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{wanted_for}: needs the package {name}: pip install {install}") from None


@dataclass
class Reader:
    """Reads units.

    Args:
        field: the field of JSON lines, or the column of tables and datasets, that holds the text (or, in tables, lists of
            token ids).
        id_field: the field or column with the document's name; where there is none, names are FILE:NUMBER from 0.
        format: one of `FORMATS`; "auto" goes by the file's suffix (.jsonl, .ndjson, .parquet, .arrow, .feather, .ipc, .npy,
            .bin, each also .gz, .xz, .bz2 or .zst where it is a stream; anything else is one UTF-8 text).
        separator: the id between documents in .npy and .bin token dumps; it belongs to no document.
        dtype: of .bin token dumps that do not say it themselves (nanoGPT's are uint16).
        on_error: "stop" raises at the first unreadable file, line or row; "skip" notes it in `skipped` and goes on.

    Attributes:
        consumed: bytes of the sources read so far (compressed ones as stored).
        skipped: what was left out, one line each.

    Raises:
        InputError: a missing field or column, another type than text, a broken compressed file (with the offset), a line that
            is not JSON, a file that is not UTF-8 (with the offset), or an argument that is none of its values.
    """

    field: str = "text"
    id_field: str = "id"
    format: str = "auto"
    separator: int | None = None
    dtype: str = "uint16"
    on_error: str = "stop"
    consumed: int = new(default=0, init=False)
    skipped: list[str] = new(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InputError(f"format: {self.format!r}; expected one of {', '.join(FORMATS)}")
        if self.on_error not in ("stop", "skip"):
            raise InputError(f"on_error: {self.on_error!r}; expected 'stop' or 'skip'")
        if self.dtype not in ("uint8", "uint16", "uint32", "int32", "int64"):
            raise InputError(f"dtype: {self.dtype!r}; expected uint8, uint16, uint32, int32 or int64")

    def documents(self, unit: Unit) -> Iterator[Document]:
        """The documents of one unit, in order; without texts that are empty."""
        if isinstance(unit, TextUnit):
            yield from (document for document in unit.documents if document.text or document.ids is not None)
            return
        source = self._dataset(unit) if isinstance(unit, DatasetUnit) else self._file(unit)
        try:
            for document in source:
                if document.text or (document.ids is not None and document.ids.size):
                    yield document
        except InputError as error:
            self.problem(str(error))

    def problem(self, message: str) -> None:
        """Raise, or note and go on, as `on_error` says."""
        if self.on_error == "stop":
            raise InputError(message) from None
        self.skipped.append(message)

    def _file(self, unit: FileUnit) -> Iterator[Document]:
        before = self.consumed
        stem, suffix = os.path.splitext(unit.path)
        compression = _COMPRESSIONS.get(suffix.lower())
        kind = _SUFFIXES.get((os.path.splitext(stem)[1] if compression else suffix).lower(), "text")
        kind = kind if self.format == "auto" else self.format
        if compression and kind not in ("text", "jsonl"):
            raise InputError(f"{unit.path}: {kind} inside {compression}; expected {kind} files as they are")
        if os.path.isdir(unit.path):
            yield from self._shards(unit)
        elif kind == "text":
            text = _decode(b"".join(self._content(unit, compression)), unit.path)
            if not text and unit.alone:
                raise InputError(f"{unit.path}: empty file; expected text")
            yield Document(unit.id, text)
        elif kind == "jsonl":
            yield from self._json_lines(unit, self._content(unit, compression))
        elif kind in _TABLES:
            yield from self._table(unit, kind)
        else:
            yield from self._token_dump(unit, kind)
        self.consumed = before + unit.size

    def _content(self, unit: FileUnit, compression: str | None) -> Iterator[bytes]:
        with _open(unit.path) as file:
            if compression is None:
                while chunk := file.read(1 << 24):
                    self.consumed += len(chunk)
                    yield chunk
            else:
                for read, chunk in _decompress(file, unit.path, compression):
                    self.consumed += read
                    yield chunk

    def _json_lines(self, unit: FileUnit, content: Iterator[bytes]) -> Iterator[Document]:
        for number, (offset, line, whole) in enumerate(_lines(content)):
            if not line.strip():
                continue
            where = f"{unit.path}: line {number + 1} (byte {offset})"
            try:
                value = json.loads(line)
            except ValueError as error:
                cut = "" if whole else ", the last, has no line end: the file is cut short?"
                self.problem(f"{where}{cut}: not JSON ({error}); expected one object a line")
                continue
            if not isinstance(value, dict):
                self.problem(f"{where}: {type(value).__name__}; expected an object with the field {self.field!r}")
            elif self.field not in value:
                self.problem(f"{where}: no field {self.field!r}; there are {_listed(value)}")
            elif not isinstance(value[self.field], str):
                self.problem(f"{where}: field {self.field!r} is {_json_type(value[self.field])}; expected a string")
            else:
                yield Document(str(value.get(self.id_field, f"{unit.id}:{number}")), value[self.field])

    def _table(self, unit: FileUnit, kind: str) -> Iterator[Document]:
        optional_library("pyarrow", unit.path)
        import pyarrow as pa

        with _open(unit.path) as file:
            try:
                schema, batches, rows = _open_table(file, kind)
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"{unit.path}: not a readable {kind} file ({error})") from None
            self._check_column(unit.path, schema.names, None)
            type_ = schema.field(self.field).type
            lists = pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_)
            texts = pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)
            if not texts and not (lists and pa.types.is_integer(type_.value_type)):
                raise InputError(
                    f"{unit.path}: column {self.field!r} holds {type_}; expected text, or lists of token ids"
                )
            columns = [name for name in dict.fromkeys((self.field, self.id_field)) if name in schema.names]
            number, before = 0, self.consumed
            try:
                for batch in batches(columns):
                    names = batch.column(self.id_field).to_pylist() if self.id_field in columns else None
                    for row, value in enumerate(batch.column(self.field)):
                        id = f"{unit.id}:{number}" if names is None else str(names[row])
                        number += 1
                        if not value.is_valid:
                            self.problem(f"{unit.path}: row {number - 1}: column {self.field!r} is null; expected text")
                        elif lists:
                            yield Document(id, ids=value.values.to_numpy(zero_copy_only=False))
                        else:
                            yield Document(id, value.as_py())
                    self.consumed = before + unit.size * number // max(rows, number)
            except (pa.ArrowException, OSError) as error:
                raise InputError(f"{unit.path}: broken after row {number} ({error})") from None

    def _dataset(self, unit: DatasetUnit) -> Iterator[Document]:
        rows = _open_dataset(unit.name, unit.subset, unit.split).shard(num_shards=unit.shards, index=unit.shard)
        for number, row in enumerate(rows):
            where = f"{unit.name}: split {unit.split!r}, shard {unit.shard}"
            self._check_column(where, row.keys(), number)
            id = str(row.get(self.id_field, f"{unit.split}:{unit.shard}:{number}"))
            value = row[self.field]
            if isinstance(value, str):
                yield Document(id, value)
            elif isinstance(value, list) and all(isinstance(item, int) for item in value):
                yield Document(id, ids=np.array(value, np.int64))
            else:
                self.problem(f"{where}, row {number}: column {self.field!r} is {_json_type(value)}; expected text")

    def _check_column(self, where: str, columns: Iterable[str], row: int | None) -> None:
        columns = list(columns)
        if self.field not in columns:
            at = "" if row is None else f", row {row}"
            raise InputError(f"{where}{at}: no column {self.field!r}; there are {_listed(columns)}")

    def _token_dump(self, unit: FileUnit, kind: str) -> Iterator[Document]:
        path = unit.path
        if "://" in path:
            raise InputError(f"{path}: token dumps are memory-mapped; expected a local file")
        if kind == "npy":
            try:
                ids = np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, OSError) as error:
                raise InputError(f"{path}: not a readable .npy file ({error})") from None
            if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2):
                raise InputError(f"{path}: {ids.dtype} of shape {ids.shape}; expected integers, one or two axes")
        elif os.path.exists(f"{os.path.splitext(path)[0]}.idx"):
            yield from _megatron(path, unit.id)
            return
        else:
            ids = _flat_dump(path, np.dtype(self.dtype))
        if ids.ndim == 2:
            yield from (Document(f"{unit.id}:{row}", ids=ids[row]) for row in range(len(ids)))
        elif self.separator is None:
            yield Document(unit.id, ids=ids)
        else:
            yield from _separated(unit.id, ids, self.separator)

    def _shards(self, unit: FileUnit) -> Iterator[Document]:
        """A folder of litdata or MosaicML shards, read by their own library."""
        library = _shard_library(unit.path)
        if library == "streaming":
            rows: Iterable[Any] = optional_library("streaming", unit.path, "mosaicml-streaming").LocalDataset(
                local=unit.path
            )
        else:
            rows = optional_library("litdata", unit.path, "litdata").StreamingDataset(unit.path)
        for number, row in enumerate(rows):
            value = row.get(self.field) if isinstance(row, dict) else row
            if isinstance(row, dict):
                self._check_column(unit.path, row.keys(), number)
            id = str(row.get(self.id_field, f"{unit.id}:{number}")) if isinstance(row, dict) else f"{unit.id}:{number}"
            if isinstance(value, bytes):
                value = np.frombuffer(value, self.dtype)
            if isinstance(value, str):
                yield Document(id, value)
            elif value is not None and np.asarray(value).dtype.kind in "iu" and np.ndim(value) == 1:
                yield Document(id, ids=np.asarray(value))
            else:
                self.problem(f"{unit.path}: row {number}: {_json_type(value)}; expected text or token ids")


def _shard_library(folder: str) -> str | None:
    try:
        with open(os.path.join(folder, "index.json"), encoding="utf-8") as file:
            index = json.load(file)
    except (OSError, ValueError):
        return None
    if isinstance(index, dict) and "chunks" in index and "config" in index:
        return "litdata"
    if isinstance(index, dict) and isinstance(index.get("shards"), list) and "version" in index:
        return "streaming"
    return None


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "") if names else "none"


def _json_type(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"


def _decode(content: bytes, path: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise InputError(f"{path}: not UTF-8: byte 0x{byte:02x} at offset {error.start}; expected UTF-8 text") from None


@contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    if "://" in path:
        with optional_library("fsspec", path).open(path, "rb") as file:
            yield file
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 (an error of the body is not one of opening)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    with file:
        yield file


class _Decompressor(Protocol):
    """What zlib, lzma, bz2 and zstd have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _decompressor(compression: str, path: str) -> Callable[[], _Decompressor]:
    if compression == "gzip":
        import zlib

        return lambda: zlib.decompressobj(16 + zlib.MAX_WBITS)
    if compression == "xz":
        import lzma

        return lzma.LZMADecompressor
    if compression == "bzip2":
        import bz2

        return bz2.BZ2Decompressor
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
    except ImportError:
        zstd = optional_library("backports.zstd", path)
    make: Callable[[], _Decompressor] = zstd.ZstdDecompressor
    return make


def _decompress(file: IO[bytes], path: str, compression: str) -> Iterator[tuple[int, bytes]]:
    """(bytes read, bytes they hold) of a file of one or more compressed members side by side."""
    make = _decompressor(compression, path)
    member: _Decompressor | None = None
    begins = offset = 0
    while chunk := file.read(_READ_BYTES):
        read = len(chunk)
        content = []
        while chunk:
            if member is None:
                chunk = chunk.lstrip(b"\0")  # padding after a member, which gzip and xz pass over too
                if not chunk:
                    break
                member, begins = make(), offset + read - len(chunk)
            try:
                content.append(member.decompress(chunk))
            except Exception as error:  # zlib.error, LZMAError, OSError, ZstdError, EOFError
                raise InputError(
                    f"{path}: broken {compression} data between bytes {offset + read - len(chunk)} and {offset + read}, in "
                    f"the member that begins at byte {begins} ({error})"
                ) from None
            chunk = member.unused_data if member.eof else b""
            if member.eof:
                member = None
        offset += read
        yield read, b"".join(content)
    if member is not None:
        raise InputError(
            f"{path}: cut short: the {compression} member that begins at byte {begins} has no end at {offset}"
        )


def _lines(content: Iterator[bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """(offset, line, whether it has a line end) in a stream of bytes."""
    offset = 0
    pending: list[bytes] = []
    for chunk in content:
        lines = chunk.split(b"\n")
        for end in lines[:-1]:
            line = b"".join([*pending, end])
            pending = []
            yield offset, line, True
            offset += len(line) + 1
        if lines[-1]:
            pending.append(lines[-1])
    if pending:
        yield offset, b"".join(pending), False


def _open_table(file: IO[bytes], kind: str) -> tuple[Any, Callable[[list[str]], Iterator[Any]], int]:
    """The schema, a function from columns to record batches, and the number of rows (0: not known)."""
    import pyarrow as pa

    if kind == "parquet":
        from pyarrow import parquet

        table = parquet.ParquetFile(file, pre_buffer=False)
        return (
            table.schema_arrow,
            lambda columns: table.iter_batches(_TABLE_ROWS, columns=columns),
            table.metadata.num_rows,
        )
    try:
        reader = pa.ipc.open_file(file)
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
    except pa.ArrowInvalid:  # the streaming format, which `datasets` writes
        file.seek(0)
        reader = pa.ipc.open_stream(file)
        batches = iter(reader)
    return reader.schema, lambda columns: (batch.select(columns) for batch in batches), 0


def _flat_dump(path: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A .bin file: ids alone (nanoGPT), or after the 1,024-byte header of llm.c and its descendants."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        header = np.frombuffer(file.read(12), "<i4") if size >= 1024 else np.zeros(3, np.int32)
    offset = 0
    if header[0] in (20240520, 20240801) and header[1] in (1, 7):
        dtype, offset = np.dtype("<u2" if header[1] == 1 else "<u4"), 1024
        if size != offset + int(header[2]) * dtype.itemsize:
            raise InputError(
                f"{path}: {size} bytes; its header says {header[2]} ids of {dtype.itemsize} bytes: cut short?"
            )
    if (size - offset) % dtype.itemsize:
        raise InputError(f"{path}: {size} bytes; not a whole number of {dtype} ids: cut short, or another dtype?")
    if size == offset:
        raise InputError(f"{path}: empty file; expected token ids")
    return np.memmap(path, dtype.newbyteorder("<"), "r", offset)


def _megatron(path: str, id: str) -> Iterator[Document]:
    """Megatron-LM's indexed dataset: PATH.bin with ids, PATH.idx with the sizes and the documents' first sequences."""
    index = f"{os.path.splitext(path)[0]}.idx"
    with open(index, "rb") as file:
        content = file.read()
    if content[:9] != b"MMIDIDX\0\0" or len(content) < 34:
        raise InputError(f"{index}: not a Megatron index (it begins with {content[:9]!r})")
    code, sequences, bounds = content[17], *(int(n) for n in np.frombuffer(content, "<u8", 2, 18))
    if code not in _SEQUENCE_DTYPES:
        raise InputError(f"{index}: dtype code {code}; expected one of {_listed(map(str, _SEQUENCE_DTYPES))}")
    if len(content) < 34 + 12 * sequences + 8 * bounds:
        raise InputError(f"{index}: {len(content)} bytes for {sequences} sequences, {bounds} bounds: cut short")
    dtype = np.dtype(_SEQUENCE_DTYPES[code])
    sizes = np.frombuffer(content, "<i4", sequences, 34)
    starts = np.frombuffer(content, "<i8", bounds, 34 + 12 * sequences)
    ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    if os.path.getsize(path) != int(ends[-1]) * dtype.itemsize:
        raise InputError(
            f"{path}: {os.path.getsize(path)} bytes; {index} says {ends[-1]} ids of {dtype.itemsize} bytes"
        )
    if not ends[-1]:
        raise InputError(f"{path}: empty file; expected token ids")
    ids = np.memmap(path, dtype, "r")
    for number, (start, stop) in enumerate(pairwise(starts)):
        yield Document(f"{id}:{number}", ids=ids[ends[start] : ends[stop]])


def _separated(id: str, ids: NDArray[Any], separator: int) -> Iterator[Document]:
    number = start = 0
    for begin in range(0, ids.size, 1 << 22):
        for end in np.flatnonzero(ids[begin : begin + (1 << 22)] == separator) + begin:
            if end > start:
                yield Document(f"{id}:{number}", ids=ids[start:end])
                number += 1
            start = int(end) + 1
    if start < ids.size:
        yield Document(f"{id}:{number}", ids=ids[start:])
