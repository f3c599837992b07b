"""FASTA: sequences of DNA, RNA or protein, each below a line that begins with `>`."""

import re
from collections.abc import Callable, Iterator

from l2m.corpora.documents import MOST_BYTES, Document, FileUnit, ReadingLog, ReadingOptions, too_long
from l2m.corpora.formats.streams import BOM, content, decode, lines
from l2m.errors import InputError

_LETTERS = re.compile(rb"[A-Za-z*.-]+")
_OTHER_THAN_BASES = re.compile("[^ACGT]+")


def read_upper(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """A record is one document, its letters in upper case: lower case marks repeats and is no letter of its own."""
    yield from _documents(file, log, lambda sequence: [sequence.upper()])


def read_as_written(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """A record is one document, upper and lower case kept apart."""
    yield from _documents(file, log, lambda sequence: [sequence])


def read_bases(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """Runs of A, C, G and T, in upper case: N and every other letter ends a document."""
    yield from _documents(file, log, lambda sequence: _OTHER_THAN_BASES.split(sequence.upper()))


def _documents(file: FileUnit, log: ReadingLog, pieces: Callable[[str], list[str]]) -> Iterator[Document]:
    """Each record's pieces as documents: named as the record, or RECORD:0, RECORD:1, ... where there are several."""
    for name, sequence in _records(file, log):
        texts = [piece for piece in pieces(sequence) if piece]
        for number, text in enumerate(texts):
            yield Document(f"{file.id}:{name}" + (f":{number}" if len(texts) > 1 else ""), text)


def _records(file: FileUnit, log: ReadingLog) -> Iterator[tuple[str, str]]:
    """(first word of the header, sequence) of each record that has a sequence."""
    name: str | None = None
    parts: list[bytes] = []
    held, broken = 0, False
    for offset, line, _ in lines(content(file, log), file.path):
        line = line.removeprefix(BOM).strip()
        where = f"{file.path}: byte {offset}"
        if line.startswith(b">"):
            if parts and not broken:
                yield name or "", b"".join(parts).decode("ascii")
            words = decode(line[1:], where).split()
            name, parts, held, broken = (words[0] if words else ""), [], 0, False
        elif line and not line.startswith(b";"):  # a semicolon begins a comment in old files
            if name is None:
                raise InputError(
                    f"{file.path}: no header before the first sequence; expected a line that begins with >"
                )
            if broken:
                continue
            line = b"".join(line.split())
            if not _LETTERS.fullmatch(line):
                found = line[:20].decode("ascii", "backslashreplace")
                log.problem(f"{where}: {found!r} in {name!r}; expected letters, or * and - of a sequence")
                broken = True
                continue
            parts.append(line)
            held += len(line)
            if held > MOST_BYTES:
                raise InputError(f"{where}: {too_long('a sequence')}")
    if name is None and file.alone:
        raise InputError(f"{file.path}: no record; expected FASTA: a line that begins with >, and a sequence")
    if parts and not broken:
        yield name or "", b"".join(parts).decode("ascii")
