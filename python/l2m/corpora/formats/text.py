"""Plain text and JSON."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import NoReturn

from l2m.base.hub import one_line
from l2m.corpora.documents import (
    MOST_BYTES,
    Document,
    FileUnit,
    ReadingLog,
    ReadingOptions,
    listed,
    too_long,
    type_words,
)
from l2m.corpora.formats.streams import BOM, content, decode, lines, whole_content
from l2m.errors import InputError


def read_text(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """A file is one document, its UTF-8 text."""
    text = decode(whole_content(file, log), file.path)
    if not text and file.alone:
        raise InputError(f"{file.path}: empty file; expected text")
    yield Document(file.id, text)


def read_json_lines(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """A line is one object, whose field `options.field` is the text of a document."""
    yield from _json_lines(file, content(file, log), options, log)


def read_json(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """JSON lines under the suffix .json, as C4 has them, or one array of objects, or one object."""
    pieces = content(file, log)
    begin = b""
    for piece in pieces:
        begin += piece
        if b"\n" in begin.lstrip() or len(begin) > MOST_BYTES:
            break
    first, more, _ = begin.lstrip().partition(b"\n")
    rest = _joined(begin, pieces)
    if more and first.startswith(b"{") and _is_json(first):
        yield from _json_lines(file, rest, options, log)
    else:
        for number, value in enumerate(_json_values(rest, file)):
            where = f"{file.path}: object {number + 1}"
            if isinstance(value, RecursionError):
                log.problem(f"{where}: nested too deep to read; expected an object of texts")
            else:
                yield from _document(value, file, number, where, options, log)


def _joined(begin: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield begin
    yield from pieces


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except RecursionError:
        return True
    except ValueError as error:
        return not isinstance(error, (json.JSONDecodeError, UnicodeDecodeError))
    return True


def _json_lines(
    file: FileUnit, pieces: Iterator[bytes], options: ReadingOptions, log: ReadingLog
) -> Iterator[Document]:
    name = json.dumps(options.field, ensure_ascii=False).encode()
    for number, (offset, line, whole) in enumerate(lines(pieces, file.path)):
        if not line.strip():
            continue
        where = f"{file.path}: line {number + 1} (byte {offset})"
        try:
            text = decode(line.removeprefix(BOM), where)
            # A name that occurs once as a string cannot be there twice; the hook that sees repeats costs a third.
            value = _loads(text, where, repeats=line.count(name) > 1)
        except json.JSONDecodeError as error:
            cut = "" if whole else ", the last, has no line end: the file is cut short?"
            log.problem(f"{where}{cut}: not JSON ({error}); expected one object a line")
            continue
        except InputError as error:
            log.problem(str(error))
            continue
        yield from _document(value, file, number, where, options, log)


def _loads(text: str, where: str, *, repeats: bool) -> object:
    hook = _Object if repeats else None
    try:
        return json.loads(text, object_pairs_hook=hook)
    except RecursionError:
        raise InputError(f"{where}: nested too deep to read; expected an object of texts") from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, object_pairs_hook=hook, parse_int=_integer)


class _Digits(str):
    """An integer of more digits than Python turns into one (4,300)."""


def _integer(digits: str) -> int | _Digits:
    try:
        return int(digits)
    except ValueError:
        return _Digits(digits)


class _Object(dict[str, object]):
    """A JSON object that remembers the names it had twice."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.repeats = len(pairs) > len(self)
        self._names = [name for name, _ in pairs] if self.repeats else []

    def has_twice(self, name: str) -> bool:
        return self.repeats and self._names.count(name) > 1


def _document(
    value: object, file: FileUnit, number: int, where: str, options: ReadingOptions, log: ReadingLog
) -> Iterator[Document]:
    field = options.field
    if not isinstance(value, dict):
        log.problem(f"{where}: {type(value).__name__}; expected an object with the field {field!r}")
    elif field not in value:
        log.problem(f"{where}: no field {field!r}; there are {listed(value)}")
    elif isinstance(value, _Object) and value.has_twice(field):
        log.problem(f"{where}: field {field!r} twice; expected it once")
    elif isinstance(value[field], _Digits):
        log.problem(f"{where}: field {field!r} is an integer of {len(value[field]):,} digits; expected a string")
    elif not isinstance(value[field], str):
        log.problem(f"{where}: field {field!r} is {type_words(value[field])}; expected a string")
    else:
        yield Document(document_id(value.get(options.id_field), f"{file.id}:{number}"), value[field])


def document_id(value: object, otherwise: str) -> str:
    """The name of a document as its source gives it; `otherwise` where it gives none."""
    if value is None:
        return otherwise
    return str(value)


_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}"]', re.DOTALL)
_SPACE = " \t\r\n\ufeff"
_NEAR_END = 16  # characters: an escape or a word that the end of what was read so far cuts


def _json_values(pieces: Iterator[bytes], file: FileUnit) -> Iterator[object]:
    """The elements of an array, or objects one after the other, each read as soon as it is whole.

    One that is nested too deep is given as its `RecursionError`.
    """
    path = file.path
    decoder = json.JSONDecoder(object_pairs_hook=_Object, parse_int=_integer)
    window = _Window(pieces, path)
    window.skip(_SPACE)
    if window.is_empty():
        if file.alone:
            raise InputError(f"{path}: empty file; expected JSON objects")
        return
    array = window.take("[")
    first = True
    while True:
        window.skip(_SPACE)
        if window.is_empty():
            if array:
                raise InputError(f"{path}: cut short: its array has no end at character {window.at}")
            return
        if array and window.take("]"):
            window.skip(_SPACE)
            if not window.is_empty():
                window.refuse("text after the array")
            return
        if array and not first:
            if not window.take(","):
                window.refuse("no comma between two objects")
            window.skip(_SPACE)
        first = False
        yield window.value(decoder)


class _Window:
    """The part of a text that is at hand, read on as it is used."""

    def __init__(self, pieces: Iterator[bytes], path: str) -> None:
        self._pieces = pieces
        self._path = path
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text, self._place, self._before = "", 0, 0
        self._ended = False

    @property
    def at(self) -> int:
        """Characters used so far."""
        return self._before + self._place

    def is_empty(self) -> bool:
        return self._place == len(self._text) and self._ended

    def refuse(self, found: object) -> NoReturn:
        raise InputError(f"{self._path}: not JSON ({found}, at character {self.at}); expected objects")

    def skip(self, marks: str) -> None:
        while True:
            while self._place < len(self._text) and self._text[self._place] in marks:
                self._place += 1
            if self._place < len(self._text) or self._ended:
                return
            self._read(1)

    def take(self, mark: str) -> bool:
        if self._text[self._place : self._place + 1] != mark:
            return False
        self._place += 1
        return True

    def value(self, decoder: json.JSONDecoder) -> object:
        """The next JSON value."""
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._place)
                if end < len(self._text) or self._ended:  # a number that ends here may go on
                    break
            except RecursionError as error:
                value, stop = error, self._end_of_nested()
                if stop is not None:
                    end = stop
                    break
            except json.JSONDecodeError as error:
                # Of a cut value the string that it cuts begins anywhere; every other error lies at the end.
                cut = error.msg.startswith("Unterminated string") or error.pos > len(self._text) - _NEAR_END
                if self._ended or not cut:
                    self._place = min(error.pos, len(self._text))
                    self.refuse(error.msg)
            if self._ended:
                self.refuse("nested too deep, and cut short")
            held = len(self._text) - self._place
            if held > MOST_BYTES:
                raise InputError(f"{self._path}: character {self.at}: {too_long('an object')}")
            self._read(2 * held)
        self._place = end
        return value

    def _read(self, size: int) -> None:
        """Drop what was used; read until `size` characters are at hand, or the text ends."""
        parts, held = [self._text[self._place :]], len(self._text) - self._place
        self._before, self._place = self.at, 0
        while held < size and not self._ended:
            piece = next(self._pieces, None)
            self._ended = piece is None
            try:
                parts.append(self._decode(piece or b"", self._ended))
            except UnicodeDecodeError as error:
                raise InputError(f"{self._path}: not UTF-8 ({one_line(error)}); expected UTF-8 text") from None
            held += len(parts[-1])
        self._text = "".join(parts)

    def _end_of_nested(self) -> int | None:
        """Where the array or object that begins here ends, found by its brackets alone."""
        depth = 0
        for mark in _MARKS.finditer(self._text, self._place):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
            if mark[0] == '"':  # a string that has no end yet
                return None
            if depth == 0:
                return mark.end()
        return None
