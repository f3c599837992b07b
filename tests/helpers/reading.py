"""Files written and read for the tests of formats."""

import json
from pathlib import Path

import pytest

import l2m
from l2m.corpora.documents import ReadingOptions
from l2m.corpora.sources import Reader, find_units

ROWS = [{"id": "a", "text": "one two"}, {"id": "b", "text": 'drei \u00fc {["]}'}, {"id": "c", "text": "\\ end"}]


DEEP = '{"text": "x", "m": ' + "[" * 3000 + "]" * 3000 + "}"


BOM = "\ufeff"


def read(path: Path, **options: object) -> list[tuple[str, str]]:
    reader = Reader(ReadingOptions(**options))  # type: ignore[arg-type]
    return [(document.id, document.text) for unit in find_units(path) for document in reader.documents(unit)]


def read_skipping(path: Path, **options: object) -> tuple[list[str], list[str]]:
    """(texts, what was skipped)."""
    reader = Reader(ReadingOptions(on_error="skip", **options))  # type: ignore[arg-type]
    found = [document.text for unit in find_units(path) for document in reader.documents(unit)]
    return found, reader.log.skipped


def refusal(path: Path, **options: object) -> str:
    """The one line that refuses a file, which names it."""
    with pytest.raises(l2m.InputError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def as_lines(rows: list[dict[str, str]] = ROWS) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def arrow_bytes(column: object, *, stream: bool) -> bytearray:
    import pyarrow as pa

    batch = pa.record_batch([column], names=["text"])
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytearray(sink.getvalue().to_pybytes())
