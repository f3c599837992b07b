"""Files as streams of bytes: opened once regular, decompressed in bounded memory, cut into lines."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from l2m.base.hub import one_line
from l2m.base.optional import optional_library
from l2m.corpora.documents import MOST_BYTES, FileUnit, ReadingLog, regular_size, too_long
from l2m.errors import InputError

COMPRESSIONS = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2", ".zst": "zstd", ".zstd": "zstd"}
BOM = b"\xef\xbb\xbf"
_READ_BYTES = 1 << 16  # one piece of a compressed file: where it is broken is known to within this
_PLAIN_BYTES = 1 << 24
_PIECE_BYTES = 1 << 22  # what a compressed piece gives at a time
# Of a compressed file: beyond so many bytes, and so many times what was read, it is no text. English gives 3 to 5 times,
# logs 100; 2 kB of bzip2 gave 1.9 GB.
_BOMB_BYTES = 64 << 20
_BOMB_RATIO = 1000
_POINTERS = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer, not the file itself; run `git lfs pull`",
    b"/annex/objects/": "a git-annex pointer, not the file itself; run `git annex get`",
}


def refuse_bomb(stored: int, held: int, where: str) -> None:
    """Raise where compressed bytes hold what no text would."""
    if held > max(_BOMB_BYTES, _BOMB_RATIO * stored):
        raise InputError(
            f"{where}: {stored:,} bytes hold {held:,} or more; expected at most {_BOMB_RATIO:,} times as many"
        )


@contextmanager
def open_bytes(path: str) -> Iterator[IO[bytes]]:
    """Open a regular file, or a URL, for reading.

    Raises:
        InputError: no such file, one that is not regular, one that cannot be read, or a pointer to what was not fetched.
    """
    if "://" in path:
        try:
            file = optional_library("fsspec", path).open(path, "rb").open()
        except InputError:
            raise
        except Exception as error:  # a protocol's own errors have no common type
            raise InputError(f"{path}: cannot be read: {one_line(error)}") from None
    else:
        regular_size(path)
        try:
            file = open(path, "rb")  # noqa: SIM115 (an error of the body is not one of opening)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    with file:
        if "://" not in path:
            refuse_pointer(path, file.read(64))
            file.seek(0)
        yield file


def refuse_pointer(path: str, begin: bytes) -> None:
    """Raise where a file begins as those do that stand for another one."""
    for mark, words in _POINTERS.items():
        if begin.startswith(mark):
            raise InputError(f"{path}: {words}")


def content(file: FileUnit, log: ReadingLog) -> Iterator[bytes]:
    """The bytes of a file, decompressed as its suffix says, piece by piece; a byte order mark is dropped."""
    compression = COMPRESSIONS.get(os.path.splitext(file.path)[1].lower())
    with open_bytes(file.path) as opened:
        pieces = _plain(opened) if compression is None else _decompress(opened, file.path, compression)
        begin: bytes | None = b""
        try:
            for read, piece in pieces:
                log.consumed += read
                if begin is not None:
                    begin += piece
                    if len(begin) < len(BOM):
                        continue
                    piece, begin = begin.removeprefix(BOM), None
                yield piece
        except InputError:
            raise
        except Exception as error:  # OSError, or whatever a protocol raises
            raise InputError(f"{file.path}: cannot be read: {one_line(error)}") from None
        if begin:
            yield begin


def whole_content(file: FileUnit, log: ReadingLog) -> bytes:
    """All bytes of a file that is one document.

    Raises:
        InputError: more than `MOST_BYTES`.
    """
    pieces, held = [], 0
    for piece in content(file, log):
        held += len(piece)
        if held > MOST_BYTES:
            raise InputError(f"{file.path}: {too_long('one text')}")
        pieces.append(piece)
    return b"".join(pieces)


def lines(pieces: Iterator[bytes], path: str) -> Iterator[tuple[int, bytes, bool]]:
    """(offset, line, whether it has a line end) in a stream of bytes."""
    offset = held = 0
    pending: list[bytes] = []
    for piece in pieces:
        found = piece.split(b"\n")
        for end in found[:-1]:
            line = b"".join([*pending, end])
            pending, held = [], 0
            yield offset, line, True
            offset += len(line) + 1
        if found[-1]:
            pending.append(found[-1])
            held += len(found[-1])
            if held > MOST_BYTES:
                raise InputError(f"{path}: byte {offset}: {too_long('a line')}")
    if pending:
        yield offset, b"".join(pending), False


def decode(content: bytes, where: str) -> str:
    """UTF-8 text.

    Raises:
        InputError: another encoding, with the first byte that shows it.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        guess = " (it begins as UTF-16 does)" if utf16 else ""
        raise InputError(
            f"{where}: not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}{guess}; expected UTF-8 text"
        ) from None


class _Decompressor(Protocol):
    """What lzma, bz2 and zstd have in common: bounded output, and input that is kept until it is asked for."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's in that form."""

    def __init__(self) -> None:
        import zlib

        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def needs_input(self) -> bool:
        # What did not fit may lie in zlib's window and not in the tail: a full piece is asked for more.
        return not self._full and not self._member.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def decompress(self, data: bytes, /, max_length: int) -> bytes:
        piece = self._member.decompress(self._member.unconsumed_tail + data, max_length)
        self._full = len(piece) == max_length
        return piece


def _decompressor(compression: str, path: str) -> Callable[[], _Decompressor]:
    if compression == "gzip":
        return _Gzip
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
    # `zstd --long` writes windows of up to 2^31 bytes; they take memory only as they fill.
    options = {zstd.DecompressionParameter.window_log_max: zstd.DecompressionParameter.window_log_max.bounds()[1]}
    return lambda: zstd.ZstdDecompressor(options=options)


def _plain(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    while piece := file.read(_PLAIN_BYTES):
        yield len(piece), piece


def _decompress(file: IO[bytes], path: str, compression: str) -> Iterator[tuple[int, bytes]]:
    """(bytes read, bytes they hold) of a file of one or more compressed members, at most 4 MiB at a time."""
    make = _decompressor(compression, path)
    member: _Decompressor | None = None
    begins = offset = given = 0
    while chunk := file.read(_READ_BYTES):
        read = len(chunk)
        counted = read
        while chunk or (member is not None and not member.needs_input):
            if member is None:
                chunk = chunk.lstrip(b"\0")  # padding after a member, which gzip and xz pass over too
                if not chunk:
                    break
                member, begins = make(), offset + read - len(chunk)
            try:
                piece = member.decompress(chunk, _PIECE_BYTES)
            except Exception as error:  # zlib.error, LZMAError, OSError, ZstdError, EOFError
                raise InputError(
                    f"{path}: broken {compression} data between bytes {offset + read - len(chunk)} and {offset + read}, in "
                    f"the member that begins at byte {begins} ({one_line(error)})"
                ) from None
            given += len(piece)
            refuse_bomb(offset + read, given, f"{path}: {compression} data")
            chunk = b""
            if member.eof:
                chunk, member = member.unused_data, None
            if piece:
                yield counted, piece
                counted = 0
        offset += read
        if counted:
            yield counted, b""
    if member is not None:
        raise InputError(
            f"{path}: cut short: the {compression} member that begins at byte {begins} has no end at {offset}"
        )
