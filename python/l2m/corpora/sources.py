"""Where documents come from: files and folders, URLs, hub datasets, texts in memory. All become a stream of `Document`.

`find_units` lists what can be read by itself (a file, a shard of a dataset), `Reader.documents` reads one such unit; how a
file is read is a matter of its format (`l2m.corpora.formats`). Sharding, resuming and clusters rest on that split: units
are small to describe, in a fixed order, and need no state.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from glob import glob as expand_glob
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from l2m.base.checks import one_of
from l2m.base.hub import one_line, require_hub
from l2m.base.optional import optional_library
from l2m.corpora.documents import (
    MOST_BYTES,
    DatasetUnit,
    Document,
    FileUnit,
    ReadingLog,
    ReadingOptions,
    TextUnit,
    Unit,
    listed,
    printable,
    regular_size,
    too_long,
    type_words,
)
from l2m.corpora.formats import FORMATS, read_file
from l2m.corpora.formats.shard_folders import shard_library
from l2m.corpora.formats.text import document_id
from l2m.errors import InputError

if TYPE_CHECKING:
    from datasets import IterableDataset

log = logging.getLogger("l2m")

DATASETS: dict[str, tuple[str, str | None]] = {
    "pg19": ("emozilla/pg19", None),
    "wikipedia": ("wikimedia/wikipedia", "20231101.en"),
    "fineweb": ("HuggingFaceFW/fineweb", "sample-10BT"),
}
"""Short names of hub datasets: name, and the subset read where none is named."""


@dataclass(frozen=True)
class Source:
    """The name of a path, pattern, URL or hub dataset: for lists, in which a `str` is a text."""

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError(f"sources: the name {self.name!r}; expected a file, folder, pattern, URL or dataset")


Sources: TypeAlias = "str | os.PathLike[str] | Source | Iterable[str | os.PathLike[str] | Source | Document]"


def find_units(sources: Sources, *, glob: str = "*", split: str = "train", subset: str | None = None) -> Iterator[Unit]:
    """What `sources` name, unit by unit, in the order in which it is read.

    Args:
        sources: one source, or an iterable of sources, texts and documents.

            In an iterable a `str` is a text, whatever it spells; a path is a `pathlib.Path`, and a URL, pattern or hub
            dataset is a `Source`.

            By itself a `str` is a source where it names one of `DATASETS`, contains "://" and no space, exists as a path,
            or is one word with a path separator or a short suffix ("books/*.txt", "owner/name"); else it is a text.

            A path may be a file, a folder (its files sorted by path; hidden files, `__pycache__` and empty files are passed
            over; links are followed, and each folder is read once), a pattern, or the name owner/name of a hub dataset
            where no such path exists. URLs are those that `fsspec` opens.
        glob: which files of a folder, matched against the file's name.
        split, subset: of hub datasets.

    Raises:
        InputError: no such file or dataset, a folder or pattern without a matching file, or something else than a source.
    """
    if not isinstance(glob, str) or not glob:
        raise InputError(f"glob: {glob!r}; expected a pattern of file names, such as '*.txt'")
    if isinstance(sources, str):
        yield from _units(Source(sources), glob, split, subset) if _is_source(sources) else [_text(0, sources)]
        return
    if isinstance(sources, (os.PathLike, Source)):
        sources = [sources]
    # Iterating over these gives numbers, keys, names of columns.
    if isinstance(sources, (bytes, Mapping)) or hasattr(sources, "columns") or not isinstance(sources, Iterable):
        raise InputError(f"sources: {type(sources).__name__}; expected a path, a text, or an iterable of them")
    named = 0
    for number, source in enumerate(sources):
        if isinstance(source, Document):
            yield TextUnit([source])
        elif isinstance(source, str):
            named += _is_file(source)
            yield _text(number, source)
        elif isinstance(source, (os.PathLike, Source)):
            yield from _units(source, glob, split, subset)
        else:
            raise InputError(f"sources: {type(source).__name__} at index {number}; expected paths, texts and documents")
    if named:
        log.warning("sources: %d of the texts also name files; for their content pass pathlib.Path(name)", named)


def _text(number: int, text: str) -> TextUnit:
    return TextUnit([Document(f"text-{number}", text)])


def _is_file(text: str) -> bool:
    try:
        return len(text) < 4096 and (os.sep in text or "." in text) and "\n" not in text and os.path.isfile(text)
    except ValueError:  # a NUL byte
        return False


def _is_source(text: str) -> bool:
    """Whether a single `str` names a source (else it is a text)."""
    if text in DATASETS or ("://" in text and " " not in text):
        return True
    try:
        if text and os.path.exists(text):
            return True
    except ValueError:  # a NUL byte
        return False
    one_word = len(text) < 4096 and not any(character.isspace() for character in text)
    return one_word and (os.sep in text or 0 < len(Path(text).suffix) <= 8)


def _units(source: os.PathLike[str] | Source, glob: str, split: str, subset: str | None) -> Iterator[Unit]:
    path = source.name if isinstance(source, Source) else os.fspath(source)
    if not isinstance(path, str):
        raise InputError(f"sources: {path!r}; expected a path of str, not of bytes")
    if isinstance(source, Source) and path in DATASETS:
        yield from _dataset_units(path, subset, split)
    elif isinstance(source, Source) and "://" in path:
        yield from _remote_units(path, glob)
    elif "\0" in path:
        raise InputError(f"sources: {path!r}: a name with a zero byte; expected a path")
    elif os.path.isdir(path):
        yield from _folder_units(path, glob)
    elif os.path.lexists(path):
        yield FileUnit(path, os.path.basename(path), *_size(path), alone=True)
    elif any(character in path for character in "*?["):
        yield from _pattern_units(path)
    elif path.count("/") == 1 and not path.startswith((".", "/", "~")) and not Path(path).suffix:
        yield from _dataset_units(path, subset, split)
    else:
        raise InputError(f"{path}: no such file or folder")


def _folder_units(path: str, glob: str) -> Iterator[Unit]:
    if shard_library(path):
        yield FileUnit(path, os.path.basename(os.path.normpath(path)), *_size(path), alone=True)
        return
    files = _files(Path(path), glob)
    if not files:
        raise InputError(f"{path}: a folder with no file that matches {glob!r}")
    yield from (FileUnit(str(file), str(file.relative_to(path)), *_size(file)) for file in files)


def _pattern_units(path: str) -> Iterator[Unit]:
    found = sorted(file for file in expand_glob(path, recursive=True) if not os.path.isdir(file))
    if not found:
        raise InputError(f"{path}: no file matches this pattern")
    folder = os.path.dirname(path[: min(path.find(mark) for mark in "*?[" if mark in path)])
    yield from (FileUnit(file, os.path.relpath(file, folder or "."), *_size(file)) for file in found)


def _files(folder: Path, glob: str) -> list[Path]:
    """The files of a folder, and folders of shards, sorted by path.

    Links to folders are followed after the folders that really are there, and none is entered twice: links may form loops.
    """
    found: list[Path] = []
    linked = [folder]
    entered: set[tuple[int, int]] = set()
    while linked:
        following, linked = sorted(linked), []
        for start in following:
            for parent, folders, names in os.walk(start, onerror=lambda error: found.append(Path(str(error.filename)))):
                here = os.stat(parent)
                if (here.st_dev, here.st_ino) in entered:
                    folders[:] = []
                    continue
                entered.add((here.st_dev, here.st_ino))
                shown = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
                links = {name for name in shown if os.path.islink(os.path.join(parent, name))}
                folders[:] = [name for name in shown if name not in links]
                linked += [Path(parent, name) for name in links]
                if "index.json" in names and Path(parent) != folder and shard_library(parent):
                    found.append(Path(parent))
                    folders[:] = []
                    continue
                beside = set(names)
                for name in names:
                    side_file = name.endswith(".idx") and f"{name[:-4]}.bin" in beside
                    if not name.startswith(".") and not side_file and Path(name).match(glob):
                        found.append(Path(parent, name))
    return sorted(found)


def _size(path: str | Path) -> tuple[int, float]:
    """0 where there is none, as of a broken link: the reader names it, or skips it."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0.0
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
    except Exception as error:  # a protocol without its package; no access; whatever a protocol raises
        raise InputError(f"{url}: {one_line(error)}") from None
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


def _open_dataset(name: str, subset: str | None, split: str) -> "IterableDataset":
    datasets = optional_library("datasets", f"dataset: {name!r}")
    if not os.path.exists(name):
        require_hub("dataset", name)
    try:
        return datasets.load_dataset(name, subset, split=split, streaming=True)
    except Exception as error:  # its errors have no common type: not found, gated, a script, an unknown split or subset
        raise InputError(f"dataset: {name!r}, subset {subset!r}, split {split!r}: {one_line(error)}") from None


class Reader:
    """Reads units as `options` say. `log` counts the bytes and lists what was skipped."""

    def __init__(self, options: ReadingOptions | None = None) -> None:
        """
        Raises:
            InputError: an unknown format.
        """
        self.options = options or ReadingOptions()
        self.log = ReadingLog(self.options.on_error)
        one_of("format", self.options.format, ("auto", *FORMATS))

    def documents(self, unit: Unit) -> Iterator[Document]:
        """The documents of one unit, in order; without texts that are empty, each without a byte order mark, lines ending in LF.

        Raises:
            InputError: a missing field or column, another type than text or ids, a broken file (with the offset), a line that
                is not JSON, a file that is not UTF-8 (with the offset), a name that UTF-8 cannot hold, or a file that is not
                regular; unless `options.on_error` is "skip".
        """
        if isinstance(unit, TextUnit):
            for item in unit.documents:
                if isinstance(item, Document):
                    yield from self._checked(item)
                else:
                    yield from self.documents(item)
            return
        source = self._dataset(unit) if isinstance(unit, DatasetUnit) else self._file(unit)
        try:
            for document in source:
                yield from self._checked(document)
        except InputError as error:
            self.log.problem(str(error))

    def _file(self, unit: FileUnit) -> Iterator[Document]:
        if unit.id != printable(unit.id):
            raise InputError(f"{unit.path}: a file name that is not UTF-8; expected one that is: rename it")
        if "://" not in unit.path and not os.path.isdir(unit.path):
            regular_size(unit.path)
        yield from read_file(unit, self.options, self.log)

    def _checked(self, document: Document) -> Iterator[Document]:
        """The document in the form that all later stages rely on; none where it is empty or at fault."""
        fault = _fault(document)
        if fault is not None:
            self.log.problem(f"document {document.id!r}: {fault}")
        elif document.ids is not None:
            if np.size(document.ids):
                yield replace(document, ids=np.asarray(document.ids))
        elif text := self._plain(document.text):
            yield document if text is document.text else replace(document, text=text)

    def _plain(self, text: str) -> str:
        """A text without its byte order mark, its lines ending in LF: the same text has the same ids on every system.

        A vocabulary made from texts with LF spells CRLF with an extra token: 0.8 to 1 % more tokens and 14.5 nats more for
        1,500 characters of a novel (SmolLM2-135M).
        """
        text = text.removeprefix("\ufeff")
        if not self.options.keep_line_ends and "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text

    def _dataset(self, unit: DatasetUnit) -> Iterator[Document]:
        field = self.options.field
        where = f"{unit.name}: split {unit.split!r}, shard {unit.shard}"
        shard = _open_dataset(unit.name, unit.subset, unit.split).shard(num_shards=unit.shards, index=unit.shard)
        rows = iter(shard)
        number = 0
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except Exception as error:  # the network, a damaged file: its errors have no common type
                raise InputError(f"{where}: broken after row {number} ({one_line(error)})") from None
            if field not in row:
                raise InputError(f"{where}, row {number}: no column {field!r}; there are {listed(row)}")
            id = document_id(row.get(self.options.id_field), f"{unit.split}:{unit.shard}:{number}")
            value = row[field]
            if isinstance(value, str):
                yield Document(id, value)
            elif isinstance(value, list) and all(type(item) is int and abs(item) < 1 << 63 for item in value):
                yield Document(id, ids=np.array(value, np.int64))
            else:
                self.log.problem(f"{where}, row {number}: column {field!r} is {type_words(value)}; expected text")
            number += 1


def _fault(document: Document) -> str | None:
    """What is wrong with a document, but for the range of its ids and half surrogate pairs, found where all are read anyway."""
    if not isinstance(document.id, str):
        return f"its name is {type_words(document.id)}; expected a string"
    if document.id != printable(document.id):
        return "half a surrogate pair in its name; expected text that UTF-8 can hold"
    if document.ids is None:
        if not isinstance(document.text, str):
            return f"its text is {type_words(document.text)}; expected a string"
        return too_long("a text") if len(document.text) > MOST_BYTES else None
    if np.ma.is_masked(document.ids):
        return "masked ids; expected an array without a mask"
    ids = np.asarray(document.ids)
    if ids.size and (ids.dtype.kind not in "iu" or ids.ndim != 1):
        return f"{ids.dtype} of shape {ids.shape}; expected integers, one axis"
    return None
