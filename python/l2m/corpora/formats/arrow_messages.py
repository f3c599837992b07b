"""How much the compressed buffers of an arrow file hold, read before pyarrow unpacks them: it has no limit of its own.

A file is a row of messages: a length, a flatbuffer that describes buffers, and the buffers. A compressed one begins with the
number of bytes it holds (https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format). Only these are read here.
"""

import struct
from collections.abc import Iterator
from typing import IO, Any

from l2m.corpora.formats.streams import refuse_bomb
from l2m.errors import InputError

_MAGIC = b"ARROW1"
_CONTINUATION = 0xFFFFFFFF
_DICTIONARY, _BATCH = 2, 3
_MOST_METADATA = 1 << 28


def refuse_arrow_bombs(file: IO[bytes], path: str) -> None:
    """Raise where a message holds what no text would; the file is left at its beginning.

    Raises:
        InputError: such a message, or one that cannot be read.
    """
    try:
        file.seek(0)
        whole = file.read(len(_MAGIC)) == _MAGIC
        for place in _blocks(file) if whole else _stream(file):
            stored, held = _sizes(file, place)
            refuse_bomb(stored, held, f"{path}: a batch")
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a readable arrow file (a message that does not fit its length)") from None
    finally:
        file.seek(0)


class _Table:
    """A table of a flatbuffer: where its fields are follows from a list of offsets before it."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.offsets = at - self.number("<i", at)

    def number(self, form: str, at: int) -> int:
        if at < 0:
            raise IndexError
        return int(struct.unpack_from(form, self.data, at)[0])

    def field(self, index: int) -> int:
        """Where a field is; 0 where it is left out."""
        place = 4 + 2 * index
        if place + 2 > self.number("<H", self.offsets):
            return 0
        offset = self.number("<H", self.offsets + place)
        return self.at + offset if offset else 0

    def value(self, index: int, form: str) -> int:
        at = self.field(index)
        return self.number(form, at) if at else 0

    def table(self, index: int) -> "_Table | None":
        at = self.field(index)
        return _Table(self.data, at + self.number("<I", at)) if at else None

    def structs(self, index: int, form: str) -> Iterator[tuple[Any, ...]]:
        """The entries of a vector."""
        at = self.field(index)
        if at:
            start = at + self.number("<I", at)
            size, length = struct.calcsize(form), self.number("<I", start)
            yield from struct.iter_unpack(form, self._slice(start + 4, size * length))

    def _slice(self, start: int, size: int) -> bytes:
        if start + size > len(self.data):
            raise IndexError
        return self.data[start : start + size]


def _root(data: bytes) -> _Table:
    return _Table(data, struct.unpack_from("<I", data)[0])


def _blocks(file: IO[bytes]) -> Iterator[int]:
    """Where the messages begin that the footer lists."""
    end = file.seek(0, 2)
    file.seek(max(0, end - 10))
    (size,) = struct.unpack("<I", file.read(4))
    if not 0 < size <= min(end - 10, _MOST_METADATA):
        raise ValueError
    file.seek(end - 10 - size)
    footer = _root(file.read(size))
    for vector in (2, 3):
        for offset, *_ in footer.structs(vector, "<qi4xq"):
            yield offset


def _stream(file: IO[bytes]) -> Iterator[int]:
    """Where the messages of a stream begin, one after the other up to a length of 0 or the end."""
    place, end = 0, file.seek(0, 2)
    while place + 8 <= end:
        metadata, body = _metadata(file, place)
        if not metadata:
            return
        yield place
        length = _root(metadata).value(3, "<q")
        if length < 0:
            raise ValueError
        place = body + length


def _metadata(file: IO[bytes], place: int) -> tuple[bytes, int]:
    """The flatbuffer of the message at `place`, and where its buffers begin."""
    file.seek(place)
    first, second = struct.unpack("<II", file.read(8))
    # Before version 0.15 there was no mark before the length.
    size, start = (second, place + 8) if first == _CONTINUATION else (first, place + 4)
    if size > _MOST_METADATA:
        raise ValueError
    file.seek(start)
    return file.read(size), start + size


def _sizes(file: IO[bytes], place: int) -> tuple[int, int]:
    """Bytes that the message at `place` takes, and that its buffers hold."""
    metadata, body = _metadata(file, place)
    message = _root(metadata)
    kind, header = message.value(1, "<B"), message.table(2)
    batch = header.table(1) if header is not None and kind == _DICTIONARY else header if kind == _BATCH else None
    if batch is None or not batch.field(3):
        return 0, 0
    held = 0
    for offset, length in batch.structs(2, "<qq"):
        if length >= 8:
            file.seek(body + offset)
            held += max(int(struct.unpack("<q", file.read(8))[0]), 0)
    return message.value(3, "<q"), held
