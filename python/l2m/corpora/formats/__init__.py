"""How files are read. A new format is one function and one line of `FORMATS`."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from l2m.corpora.documents import Document, FileUnit, ReadingLog, ReadingOptions
from l2m.corpora.formats.fasta import read_as_written, read_bases, read_upper
from l2m.corpora.formats.scores import read_score
from l2m.corpora.formats.shard_folders import read_shards
from l2m.corpora.formats.streams import COMPRESSIONS
from l2m.corpora.formats.tables import read_arrow, read_parquet
from l2m.corpora.formats.text import read_json, read_json_lines, read_text
from l2m.corpora.formats.token_dumps import read_bin, read_npy
from l2m.errors import InputError

ReadFile: TypeAlias = Callable[[FileUnit, ReadingOptions, ReadingLog], Iterator[Document]]
"""Yields the documents of a file. What is wrong with one of them goes to `log.problem`, what is wrong with the file is an
`InputError`; both name the file."""


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        read: see `ReadFile`.
        suffixes: of its files, in lower case.
        stream: read as a stream of bytes, so that its files may be compressed.
    """

    read: ReadFile
    suffixes: tuple[str, ...] = ()
    stream: bool = False


FORMATS: dict[str, Format] = {
    "text": Format(read_text, stream=True),
    "jsonl": Format(read_json_lines, (".jsonl", ".ndjson", ".jsonlines", ".jl"), stream=True),
    "json": Format(read_json, (".json",), stream=True),
    "fasta": Format(read_upper, (".fa", ".fna", ".fasta", ".ffn", ".faa", ".frn"), stream=True),
    "fasta-as-written": Format(read_as_written, stream=True),
    "fasta-bases": Format(read_bases, stream=True),
    "parquet": Format(read_parquet, (".parquet",)),
    "arrow": Format(read_arrow, (".arrow", ".feather", ".ipc")),
    "score": Format(read_score, (".mxl", ".musicxml", ".krn", ".mid", ".midi")),
    "npy": Format(read_npy, (".npy",)),
    "bin": Format(read_bin, (".bin",)),
}
"""Formats of files by name. A suffix that none of them has means text."""

_BY_SUFFIX = {suffix: name for name, format in FORMATS.items() for suffix in format.suffixes}
_ARCHIVES = (".tar", ".tgz", ".zip", ".7z", ".rar")


def read_file(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """The documents of one file, or of one folder of shards."""
    before = log.consumed
    if "://" not in file.path and os.path.isdir(file.path):
        yield from read_shards(file, options, log)
    else:
        stem, suffix = os.path.splitext(file.path.lower())
        compression = COMPRESSIONS.get(suffix)
        suffix = os.path.splitext(stem)[1] if compression else suffix
        if options.format == "auto" and suffix in _ARCHIVES:
            raise InputError(f"{file.path}: an archive; expected its files: unpack it first")
        name = _BY_SUFFIX.get(suffix, "text") if options.format == "auto" else options.format
        if compression and not FORMATS[name].stream:
            raise InputError(f"{file.path}: {name} inside {compression}; expected {name} files as they are")
        yield from FORMATS[name].read(file, options, log)
    log.consumed = before + file.size
