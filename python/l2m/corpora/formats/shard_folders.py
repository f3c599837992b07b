"""Folders of shards with an index.json: litdata's and MosaicML's, read by their own libraries.

Both can hold pickled values, which run code when they are read, and litdata's tree of a row may name a module to import. So
the index is read here first, and only encodings of texts, numbers and arrays pass.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from l2m.base.hub import one_line
from l2m.base.optional import optional_library
from l2m.corpora.documents import Document, FileUnit, ReadingLog, ReadingOptions, listed, type_words
from l2m.corpora.formats.streams import open_bytes
from l2m.corpora.formats.text import document_id
from l2m.errors import InputError

_INDEX = "index.json"
_LITDATA = (
    "str",
    "text",
    "bytes",
    "bool",
    "int",
    "float",
    "json",
    "numpy",
    "no_header_numpy",
    "tensor",
    "no_header_tensor",
)
_LITDATA_TREES = (None, "builtins.dict", "builtins.list", "builtins.tuple", "collections.OrderedDict")
_MOSAICML = ("str", "bytes", "int", "ndarray", "str_int", "str_float", "str_decimal", "json",
             *(f"{kind}{bits}" for kind, sizes in (("uint", (8, 16, 32, 64)), ("int", (8, 16, 32, 64)), ("float", (16, 32, 64))) for bits in sizes))  # fmt: skip


def shard_library(folder: str | os.PathLike[str]) -> str | None:
    """The library whose shards a folder holds: "litdata", "streaming" (MosaicML's), or None."""
    return _library(_index(os.fspath(folder)))


def read_shards(folder: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """A row is a document.

    Raises:
        InputError: an index that names an encoding other than of texts, numbers and arrays, or files outside the folder.
    """
    index = _index(folder.path)
    library = _library(index)
    where = os.path.join(folder.path, _INDEX)
    if library is None or index is None:
        raise InputError(
            f"{folder.path}: no {_INDEX} that can be read in this folder; expected litdata or MosaicML shards"
        )
    try:
        names = _checked_litdata(index, where) if library == "litdata" else _checked_mosaicml(index, where)
    except InputError:
        raise
    except (TypeError, KeyError, ValueError, IndexError, RecursionError) as error:
        raise InputError(f"{where}: not an index that {library} writes ({one_line(error)})") from None
    for name in names:
        if not isinstance(name, str) or not name or Path(name).name != name:
            raise InputError(f"{where}: names the file {name!r}; expected files inside the folder")
        if os.path.lexists(file := os.path.join(folder.path, name)):
            with open_bytes(file):
                pass  # a regular file, here
    number = 0
    rows = _rows(library, folder.path)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except InputError:
            raise
        except Exception as error:  # a damaged shard: its library's errors have no common type
            raise InputError(f"{folder.path}: broken after row {number} ({one_line(error)})") from None
        try:
            yield _document(row, folder, number, options)
        except InputError as error:
            log.problem(str(error))
        number += 1


def _rows(library: str, path: str) -> Iterator[object]:
    if library == "streaming":
        rows: Iterable[object] = optional_library("streaming", path, "mosaicml-streaming").LocalDataset(local=path)
    else:
        rows = optional_library("litdata", path, "litdata").StreamingDataset(path)
    yield from rows


def _document(row: object, folder: FileUnit, number: int, options: ReadingOptions) -> Document:
    id = f"{folder.id}:{number}"
    value = row
    if isinstance(row, Mapping):
        if options.field not in row:
            raise InputError(f"{folder.path}: row {number}: no column {options.field!r}; there are {listed(row)}")
        value, id = row[options.field], document_id(row.get(options.id_field), id)
    if isinstance(value, bytes):
        try:
            value = np.frombuffer(value, options.dtype)
        except ValueError:
            raise InputError(
                f"{folder.path}: row {number}: {len(value)} bytes; expected a whole number of {options.dtype} ids"
            ) from None
    if isinstance(value, str):
        return Document(id, value)
    try:
        ids = np.asarray(value)
    except ValueError:  # rows of unequal length
        ids = np.zeros(0)
    if ids.dtype.kind in "iu" and ids.ndim == 1:
        return Document(id, ids=ids)
    raise InputError(f"{folder.path}: row {number}: {type_words(value)}; expected text or token ids")


def _checked_litdata(index: Mapping[str, object], where: str) -> list[object]:
    """The files an index names, once its encodings are known to be harmless."""
    config = _mapping(index["config"])
    encodings = _list(config.get("data_format"))
    for encoding in encodings:
        _allow(encoding, _LITDATA, where)
    if config.get("data_spec") is not None:
        _allow_tree(_list(json.loads(str(config["data_spec"])))[1], where)
    return [_mapping(chunk)["filename"] for chunk in _list(index["chunks"])]


def _checked_mosaicml(index: Mapping[str, object], where: str) -> list[object]:
    names: list[object] = []
    for shard in map(_mapping, _list(index["shards"])):
        if shard.get("format") != "mds":
            raise InputError(f"{where}: shards of format {shard.get('format')!r}; expected 'mds'")
        for encoding in _list(shard["column_encodings"]):
            _allow(encoding, _MOSAICML, where)
        for data in ("raw_data", "zip_data"):
            if shard.get(data) is not None:
                names.append(_mapping(shard[data])["basename"])
    return names


def _allow(encoding: object, allowed: tuple[str, ...], where: str) -> None:
    """Encodings carry what they need to know behind a colon, for instance "no_header_numpy:3"."""
    if not isinstance(encoding, str) or encoding.partition(":")[0] not in allowed:
        raise InputError(
            f"{where}: values encoded as {encoding!r}, which may run code when read; expected one of "
            f"{', '.join(allowed)}"
        )


def _allow_tree(tree: object, where: str) -> None:
    """Other containers than these are found by importing what the index names."""
    node = _mapping(tree)
    if node.get("type") not in _LITDATA_TREES:
        raise InputError(
            f"{where}: rows of {node.get('type')!r}, which may run code when read; expected dicts and lists"
        )
    for child in _list(node.get("children_spec")):
        _allow_tree(child, where)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{type_words(value)} where an object belongs")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{type_words(value)} where a list belongs")
    return value


def _index(folder: str) -> Mapping[str, object] | None:
    try:
        with open_bytes(os.path.join(folder, _INDEX)) as file:
            index = json.load(file)
    except (InputError, OSError, ValueError, RecursionError):
        return None
    return index if isinstance(index, dict) else None


def _library(index: Mapping[str, object] | None) -> str | None:
    if index is not None and "chunks" in index and "config" in index:
        return "litdata"
    if index is not None and isinstance(index.get("shards"), list) and "version" in index:
        return "streaming"
    return None
