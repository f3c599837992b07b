"""Token ids as arrays on disk: .npy, nanoGPT's and llm.c's .bin, Megatron's .bin + .idx; all memory-mapped."""

import os
import warnings
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from l2m.base.hub import one_line
from l2m.corpora.documents import Document, FileUnit, ReadingLog, ReadingOptions, listed, regular_size
from l2m.corpora.formats.streams import open_bytes, refuse_pointer
from l2m.errors import InputError

_SEQUENCE_DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2", 9: "<u4"}  # Megatron's codes
_Ids = NDArray[np.integer]


def read_npy(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """An array of integers: with two axes a document a row, with one axis cut at the separator."""
    begin_of(file.path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that overflow, before they are refused
            ids = np.lib.format.open_memmap(file.path, mode="r")
    except Exception as error:  # what numpy's parser of headers raises has no common type
        raise InputError(f"{file.path}: not a readable .npy file ({one_line(error)})") from None
    if ids.dtype.kind not in "iu" or ids.ndim not in (1, 2):
        raise InputError(f"{file.path}: {ids.dtype} of shape {ids.shape}; expected integers, one or two axes")
    if not ids.size and file.alone:
        raise InputError(f"{file.path}: an empty array; expected token ids")
    if ids.ndim == 2:
        yield from (Document(f"{file.id}:{row}", ids=ids[row]) for row in range(len(ids)))
    else:
        yield from _documents(file.id, ids, options.separator)


def read_bin(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """Ids side by side; with a .idx file of the same name beside it Megatron-LM's indexed dataset."""
    index = f"{os.path.splitext(file.path)[0]}.idx"
    if "://" not in file.path and os.path.lexists(index):
        begin_of(file.path)
        yield from _megatron(file, index)
    else:
        yield from _documents(file.id, _flat(file, np.dtype(options.dtype)), options.separator)


def begin_of(path: str, size: int = 64) -> bytes:
    """How a local file begins; token dumps are memory-mapped, which asks for one."""
    if "://" in path:
        raise InputError(f"{path}: token dumps are memory-mapped; expected a local file")
    with open_bytes(path) as file:
        begin = file.read(size)
    refuse_pointer(path, begin)
    return begin


def _flat(file: FileUnit, dtype: np.dtype[np.integer]) -> _Ids:
    """A .bin file: ids alone (nanoGPT), or after the 1,024-byte header of llm.c and its descendants."""
    path = file.path
    begin = begin_of(path)
    size, _ = regular_size(path)
    header = np.frombuffer(begin[:12], "<i4") if size >= 1024 else np.zeros(3, np.int32)
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


def _megatron(file: FileUnit, index: str) -> Iterator[Document]:
    """PATH.bin with ids; PATH.idx with the sizes and places of sequences, and the first sequence of each document.

    The index must say of every id of the .bin file to which document it belongs: else ids would be left out or read twice.
    """
    path = file.path
    with open_bytes(index) as opened:
        content = opened.read()
    if content[:9] != b"MMIDIDX\0\0" or len(content) < 34:
        raise InputError(f"{index}: not a Megatron index (it begins with {content[:9]!r})")
    version, code = int.from_bytes(content[9:17], "little"), content[17]
    sequences, bounds = (int(n) for n in np.frombuffer(content, "<u8", 2, 18))
    if version != 1:
        raise InputError(f"{index}: version {version}; expected 1")
    if code not in _SEQUENCE_DTYPES:
        raise InputError(f"{index}: dtype code {code}; expected one of {listed(map(str, _SEQUENCE_DTYPES))}")
    if len(content) != (expected := 34 + 12 * sequences + 8 * bounds):
        raise InputError(
            f"{index}: {len(content)} bytes for {sequences} sequences and {bounds} bounds; expected {expected}: cut short, "
            "or of another kind?"
        )
    dtype = np.dtype(_SEQUENCE_DTYPES[code])
    sizes = np.frombuffer(content, "<i4", sequences, 34)
    places = np.frombuffer(content, "<i8", sequences, 34 + 4 * sequences)
    starts = np.frombuffer(content, "<i8", bounds, 34 + 12 * sequences)
    if sequences and sizes.min() < 0:
        raise InputError(f"{index}: sequence {sizes.argmin()} has {sizes.min()} ids; expected 0 or more")
    ends = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    wrong = np.flatnonzero(places != ends[:-1] * dtype.itemsize)
    if wrong.size:
        raise InputError(
            f"{index}: sequence {wrong[0]} begins at byte {places[wrong[0]]}, where the one before ends at "
            f"{ends[wrong[0]] * dtype.itemsize}; expected one after the other"
        )
    size, _ = regular_size(path)
    if size != int(ends[-1]) * dtype.itemsize:
        raise InputError(f"{path}: {size} bytes; {index} says {ends[-1]} ids of {dtype.itemsize} bytes")
    if not ends[-1]:
        raise InputError(f"{path}: empty file; expected token ids")
    if not bounds or starts[0] != 0 or starts[-1] != sequences or (starts[1:] < starts[:-1]).any():
        raise InputError(
            f"{index}: documents that begin at sequences {listed(starts.tolist())}; expected a rise from 0 to {sequences}"
        )
    ids = np.memmap(path, dtype, "r")
    for number, (start, stop) in enumerate(pairwise(starts)):
        yield Document(f"{file.id}:{number}", ids=ids[ends[start] : ends[stop]])


def _documents(id: str, ids: _Ids, separator: int | None) -> Iterator[Document]:
    if separator is None:
        yield Document(id, ids=ids)
        return
    number = start = 0
    for begin in range(0, ids.size, 1 << 22):
        for end in np.flatnonzero(ids[begin : begin + (1 << 22)] == separator) + begin:
            if end > start:
                yield Document(f"{id}:{number}", ids=ids[start:end])
                number += 1
            start = int(end) + 1
    if start < ids.size:
        yield Document(f"{id}:{number}", ids=ids[start:])
