"""Files of every format under their usual names, and what is hostile or damaged: the same corpus, or one line that names the file."""

import bz2
import gzip
import json
import lzma
import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import l2m
from l2m.corpora import documents
from l2m.corpora.documents import Document, ReadingOptions
from l2m.corpora.formats import FORMATS
from l2m.corpora.formats.streams import COMPRESSIONS
from l2m.corpora.sources import Reader, Source, find_units

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


JSON_FORMS: dict[str, str] = {
    "lines": as_lines(),
    "lines without a last end": as_lines().rstrip(),
    "lines between empty ones": "\n\n" + as_lines().replace("\n", "\n\n"),
    "array": json.dumps(ROWS),
    "indented array": json.dumps(ROWS, indent=2),
    "array of lines": "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
    "indented objects": "\n".join(json.dumps(row, indent=1) for row in ROWS),
    "without escapes": json.dumps(ROWS, ensure_ascii=False),
}


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize("name", ["c4.json", "c4.json.gz"])
@pytest.mark.parametrize("mark", ["", BOM])
def test_json_under_its_other_names(tmp_path: Path, form: str, name: str, mark: str) -> None:
    content = (mark + JSON_FORMS[form]).encode()
    write(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    assert read(tmp_path / name) == [(row["id"], row["text"]) for row in ROWS]


def test_one_object_is_one_document(tmp_path: Path) -> None:
    write(tmp_path / "one.json", json.dumps(ROWS[0]))
    write(tmp_path / "two.json", json.dumps({"text": "no name"}, indent=2))
    assert read(tmp_path) == [("a", "one two"), ("two.json:0", "no name")]


def test_json_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every cut: inside escapes, words, numbers and characters."""
    from l2m.corpora.formats import streams

    rows = [{"text": 'a\u00fc\\\n\u2028\U0001f600"', "n": -1.5e10, "yes": True, "no": None}] * 3
    for form in (
        json.dumps(rows),
        json.dumps(rows, ensure_ascii=False),
        "\n".join(json.dumps(r, indent=1) for r in rows),
    ):
        path = write(tmp_path / "rows.json", form)
        for size in (1, 2, 3, 7, 1000):
            monkeypatch.setattr(streams, "_PLAIN_BYTES", size)
            assert [text for _, text in read(path)] == [rows[0]["text"]] * 3


@pytest.mark.parametrize("suffix", [".jl", ".jsonlines", ".ndjson", ".JSONL", ".jsonl.zstd"])
def test_json_lines_under_other_suffixes(tmp_path: Path, suffix: str) -> None:
    from backports import zstd

    content = as_lines().encode()
    write(tmp_path / f"rows{suffix}", zstd.compress(content) if suffix.endswith("zstd") else content)
    assert [id for id, _ in read(tmp_path)] == ["a", "b", "c"]


BAD_JSON: dict[str, tuple[str, str]] = {
    "array cut": (json.dumps(ROWS)[:-1], "cut short: its array has no end"),
    "array cut inside": (json.dumps(ROWS)[:-20], "not JSON"),
    "no comma": ('[{"text": "a"} {"text": "b"}]', "no comma"),
    "two arrays": ('[{"text": "a"}]\n[{"text": "b"}]', "text after the array"),
    "of texts": ('["a", "b"]', "object 1: str; expected an object"),
    "number": ("5", "object 1: int"),
    "no such field": ('{"data": []}', "no field 'text'; there are 'data'"),
    "prose": ("Some words, no JSON", "not JSON"),
    "wrong early": ('[{"text": oops}, ' + json.dumps(ROWS)[1:], "not JSON"),
    "empty": ("", "empty file"),
    "white space": (" \n ", "empty file"),
    "twice": ('{"text": "a", "text": "b"}', "field 'text' twice"),
    "deep": (f"[{DEEP}]", "object 1: nested too deep"),
    "deep and cut": (f"[{DEEP[:-1]}", "nested too deep, and cut short"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_is_none_is_named(tmp_path: Path, case: str) -> None:
    content, message = BAD_JSON[case]
    assert message in refusal(write(tmp_path / "bad.json", content))


RECORDS: dict[str, tuple[str | bytes, str]] = {
    "deep": (DEEP, "line 2 .*nested too deep"),
    "utf-8": (b'{"text": "caf\xe9"}', "line 2 .*not UTF-8: byte 0xe9 at offset 13"),
    "surrogate in bytes": (b'{"text": "\xed\xa0\x80"}', "line 2 .*not UTF-8"),
    "twice": ('{"text": "a", "text": "b"}', "line 2 .*field 'text' twice"),
    "surrogate as name": ('{"id": "\\ud83d", "text": "a"}', "surrogate pair in its name"),
    "not JSON": ("oops", "line 2 .*not JSON"),
    "number": ('{"text": 5}', "line 2 .*int '5'"),
    "huge number": ('{"text": ' + "9" * 5000 + "}", "line 2 .*an integer of 5,000 digits"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_one_records_fault_is_skipped_by_itself(tmp_path: Path, case: str) -> None:
    import re

    content, message = RECORDS[case]
    good = b'{"text": "good"}\n'
    path = write(
        tmp_path / "rows.jsonl", good + (content.encode() if isinstance(content, str) else content) + b"\n" + good
    )
    with pytest.raises(l2m.InputError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    texts, skipped = read_skipping(path)
    assert texts == ["good", "good"]
    assert len(skipped) == 1
    assert re.search(message, skipped[0])
    corpus = l2m.tokenize(path, on_error="skip", duplicates="keep", out=tmp_path / "out")
    assert len(corpus.tokenizer["skipped"]) == 1


def test_a_deep_object_of_an_array_is_skipped_by_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.json", f'[{{"text": "a"}},{DEEP},{{"text": "b"}}]')
    texts, skipped = read_skipping(path)
    assert (texts, len(skipped)) == (["a", "b"], 1)


def test_a_huge_integer_beside_the_text_does_no_harm(tmp_path: Path) -> None:
    digits = "9" * 5000
    for name in ("rows.jsonl", "rows.json"):
        path = write(tmp_path / name, f'{{"text": "a", "n": {digits}}}\n{{"text": "b", "id": {digits}}}\n')
        assert read(path) == [(f"{name}:0", "a"), (digits, "b")]


def test_a_name_that_is_null_is_none(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write(tmp_path / "a.jsonl", '{"id": null, "text": "a"}\n')
    pq.write_table(pa.table({"id": ["x", None], "text": ["b", "c"]}), tmp_path / "b.parquet")
    assert read(tmp_path) == [("a.jsonl:0", "a"), ("x", "b"), ("b.parquet:1", "c")]


@pytest.mark.parametrize(
    ("suffix", "compression"),
    [*((suffix, compression) for suffix in (".txt", ".jsonl", ".json") for compression in ("", *COMPRESSIONS)),
     (".parquet", ""), (".arrow", "")],
)  # fmt: skip
def test_a_byte_order_mark_is_dropped(tmp_path: Path, suffix: str, compression: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from backports import zstd

    path = tmp_path / f"a{suffix}{compression}"
    table = pa.table({"text": [BOM + "hello", BOM, "a" + BOM]})
    if suffix == ".parquet":
        pq.write_table(table, path)
    elif suffix == ".arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    else:
        text = {".txt": BOM + "hello", ".jsonl": BOM + '{"text": "hello"}\n' + BOM + json.dumps({"text": BOM + "a" + BOM}) + "\n",
                ".json": BOM + json.dumps([{"text": BOM + "hello"}])}[suffix]  # fmt: skip
        make: dict[str, Callable[[bytes], bytes]] = {
            "": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstd.compress,
            ".zstd": zstd.compress,
        }  # fmt: skip
        write(path, make[compression](text.encode()))
    texts = [text for _, text in read(path)]
    assert texts[0] == "hello"
    assert not any(text.startswith(BOM) for text in texts)
    assert all(text == "a" + BOM for text in texts[1:]), "only at the beginning"
    assert [d.text for d in Reader().documents(documents.TextUnit([Document("m", BOM + "hello")]))] == ["hello"]


def test_utf16_is_named(tmp_path: Path) -> None:
    assert "begins as UTF-16" in refusal(write(tmp_path / "a.txt", "text".encode("utf-16")))


# --- what is no regular file ---


def test_pipes_sockets_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(tmp_path)  # the name of a socket is at most 107 bytes
        server.bind("socket.jsonl")
        (tmp_path / "zero.bin").symlink_to("/dev/zero")
        (tmp_path / "null.npy").symlink_to("/dev/null")
        (tmp_path / "broken.txt").symlink_to("nowhere")
        (tmp_path / "loop.txt").symlink_to("loop.txt")
        os.mkfifo(tmp_path / "index.idx")
        write(tmp_path / "good.txt", "text")
        started = time.monotonic()
        kinds = {"pipe.txt": "a pipe", "socket.jsonl": "a socket", "zero.bin": "a device", "null.npy": "a device",
                 "broken.txt": "a broken link to nowhere", "loop.txt": "cannot be read"}  # fmt: skip
        for name, kind in kinds.items():
            assert kind in refusal(tmp_path / name)
        with pytest.raises(l2m.InputError):
            l2m.tokenize(tmp_path)
        corpus = l2m.tokenize(tmp_path, on_error="skip")
        assert [document["id"] for document in corpus.documents] == ["good.txt"]
        assert len(corpus.tokenizer["skipped"]) == len(kinds) + 1
        assert time.monotonic() - started < 10


def test_an_index_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    np.arange(4, dtype="<u2").tofile(tmp_path / "a.bin")
    os.mkfifo(tmp_path / "a.idx")
    with pytest.raises(l2m.InputError, match=r"a\.idx: a pipe"):
        read(tmp_path / "a.bin")
    os.mkfifo(tmp_path / "index.json")
    with pytest.raises(l2m.InputError):
        read(tmp_path)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.parquet", "a.arrow", "a.npy", "a.bin"])
def test_pointers_to_what_was_not_fetched_are_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert "git lfs pull" in refusal(tmp_path / name)


def test_archives_are_named(tmp_path: Path) -> None:
    for name in ("a.tar", "a.tar.gz", "a.tgz", "a.zip"):
        assert "unpack it first" in refusal(write(tmp_path / name, b"content"))


def test_a_file_name_that_is_not_utf8_is_skipped(tmp_path: Path) -> None:
    write(tmp_path / "good.txt", "text")
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")), "more")
    with pytest.raises(l2m.InputError, match=r"caf\\udce9\.txt: a file name that is not UTF-8"):
        l2m.tokenize(tmp_path)
    corpus = l2m.tokenize(tmp_path, on_error="skip", out=tmp_path / "out")
    assert len(corpus) == len(corpus.tokenizer["skipped"]) == 1


# --- decompression ---


def bombs() -> dict[str, bytes]:
    from backports import zstd

    chunk, bomb = bytes(1 << 20), {}
    deflate, bzip2, xz = zlib.compressobj(9, wbits=31), bz2.BZ2Compressor(), lzma.LZMACompressor(preset=0)
    zst = zstd.ZstdCompressor(3)
    for name, maker in (("a.txt.gz", deflate), ("b.txt.bz2", bzip2), ("c.jsonl.xz", xz), ("d.json.zst", zst)):
        bomb[name] = b"".join(maker.compress(chunk) for _ in range(200)) + maker.flush()  # type: ignore[attr-defined]
    return bomb


def test_bombs_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, resource, l2m, pyarrow\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, len(l2m.tokenize(pathlib.Path(name))))\n"
        "    except l2m.InputError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    names = [str(write(tmp_path / name, content)) for name, content in bombs().items()]
    done = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=True)
    *messages, grown = done.stdout.splitlines()
    assert [
        name
        for name, message in zip(names, messages, strict=True)
        if f"{name}: " not in message or "hold over" not in message
    ] == []
    assert int(grown) < 192 << 10  # kB; a bomb holds 200 MB, of which 64 are read


def test_long_documents_and_lines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from l2m.corpora.formats import streams, text

    for module in (streams, text):
        monkeypatch.setattr(module, "MOST_BYTES", 1000)
    monkeypatch.setattr(streams, "_PLAIN_BYTES", 100)
    assert "more than 1,000 bytes" in refusal(write(tmp_path / "a.txt", "x" * 1001))
    assert len(read(write(tmp_path / "a.txt", "x" * 1000))) == 1
    row = json.dumps({"text": "x" * 1500})
    assert "more than 1,000 bytes" in refusal(write(tmp_path / "a.jsonl", row + "\n"))
    assert "more than 1,000 bytes" in refusal(write(tmp_path / "a.json", f"[{row}]"))
    assert len(read(write(tmp_path / "a.jsonl", '{"text": "x"}\n' * 500))) == 500
    assert len(read(write(tmp_path / "a.json", json.dumps([{"text": "x"}] * 500)))) == 500


def test_a_long_window_of_zstd_is_read(tmp_path: Path) -> None:
    from backports import zstd

    content = np.random.default_rng(0).bytes(3000).hex().encode()
    for window in (28, 31):
        maker = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window})
        write(tmp_path / "a.txt.zst", maker.compress(content) + maker.flush())
        assert read(tmp_path / "a.txt.zst") == [("a.txt.zst", content.decode())]


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zst"])
def test_compressed_pieces_are_whole(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a piece cannot hold comes in the next one, also at the end of a member."""
    from backports import zstd

    from l2m.corpora.formats import streams

    make = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstd.compress}[suffix]
    text = np.random.default_rng(0).integers(97, 101, 20_000, np.uint8).tobytes()
    for piece in (1, 10_000, 20_000, 1 << 22):
        monkeypatch.setattr(streams, "_PIECE_BYTES", piece if piece > 1 else 977)
        write(tmp_path / f"a.txt{suffix}", make(text[:10_000]) + make(text[10_000:]) + make(b""))
        assert read(tmp_path / f"a.txt{suffix}")[0][1] == text.decode()


# --- tables ---


def test_texts_of_every_arrow_type_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ["one", "zw\u00f6lf", "one"]
    for type_ in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        column = (
            pa.array(texts, pa.string()).dictionary_encode()
            if pa.types.is_dictionary(type_)
            else pa.array(texts, type_)
        )
        table = pa.table({"text": column})
        with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
            writer.write_table(table)
        assert [text for _, text in read(tmp_path / "a.arrow")] == texts, type_
        pq.write_table(table, tmp_path / "a.parquet")
        assert [text for _, text in read(tmp_path / "a.parquet")] == texts, type_


def test_ids_of_every_arrow_type_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for value in (pa.int8(), pa.uint16(), pa.int32(), pa.uint64()):
        for type_ in (pa.list_(value), pa.large_list(value), pa.list_(value, 2)):
            pq.write_table(pa.table({"text": pa.array([[1, 2], [3, 4]], type_)}), tmp_path / "a.parquet")
            corpus = l2m.tokenize(tmp_path / "a.parquet", duplicates="keep")
            assert [corpus[0].tolist(), corpus[1].tolist()] == [[1, 2], [3, 4]]


def test_rows_at_fault_are_skipped_by_themselves(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = [b"good", b"caf\xe9", b"also good"]
    for text, binary in ((pa.string(), pa.binary()), (pa.large_string(), pa.large_binary())):
        bad = pa.array(raw, binary).view(text)
        pq.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")
        assert "row 1: not UTF-8: byte 0xe9 at offset 3" in refusal(tmp_path / "a.parquet")
        texts, skipped = read_skipping(tmp_path / "a.parquet")
        assert (texts, len(skipped)) == (["good", "also good"], 1)
    pq.write_table(
        pa.table({"text": ["x", "y"], "id": pa.array([b"\xff", b"ok"], pa.binary()).view(pa.string())}),
        tmp_path / "a.parquet",
    )
    assert read_skipping(tmp_path / "a.parquet")[0] == ["y"]
    pq.write_table(pa.table({"text": [[1, 2], [3, None], None, [-4], [5]]}), tmp_path / "a.parquet")
    assert "row 1: column 'text' has a null among its ids" in refusal(tmp_path / "a.parquet")
    corpus = l2m.tokenize(tmp_path / "a.parquet", on_error="skip", duplicates="keep")
    assert corpus.tokens.tolist() == [1, 2, 5]
    assert len(corpus.tokenizer["skipped"]) == 3


def test_columns_twice_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for names in (["text", "text", "n"], ["text", "id", "id"]):
        table = pa.table([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=names)
        pq.write_table(table, tmp_path / "a.parquet")
        assert "2 columns" in refusal(tmp_path / "a.parquet")
        with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
            writer.write_table(table)
        assert "2 columns" in refusal(tmp_path / "a.arrow")
    pq.write_table(
        pa.table([pa.array(["a"]), pa.array([1]), pa.array([2])], names=["text", "n", "n"]), tmp_path / "a.parquet"
    )
    assert read(tmp_path / "a.parquet") == [("a.parquet:0", "a")]


def arrow_bytes(column: object, *, stream: bool) -> bytearray:
    import pyarrow as pa

    batch = pa.record_batch([column], names=["text"])
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytearray(sink.getvalue().to_pybytes())


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("offset", [2_000_000_000, -1, 1])
def test_offsets_outside_the_letters_are_refused(tmp_path: Path, stream: bool, offset: int) -> None:
    import pyarrow as pa

    content = arrow_bytes(pa.array(["hello", " you", "end"]), stream=stream)
    place = content.index(struct.pack("<4i", 0, 5, 9, 12))
    content[place : place + 16] = struct.pack("<4i", 0, 5, offset, 12)
    assert "broken after row 0" in refusal(write(tmp_path / "a.arrow", bytes(content)))


def test_indices_outside_a_dictionary_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    content = arrow_bytes(pa.array(["a", "b", "c"]).dictionary_encode(), stream=True)
    place = content.rindex(struct.pack("<3i", 0, 1, 2))
    content[place : place + 12] = struct.pack("<3i", 0, 1, 1_000_000)
    assert "broken after row 0" in refusal(write(tmp_path / "a.arrow", bytes(content)))


def test_lists_outside_their_values_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    content = arrow_bytes(pa.array([[7, 8], [9]]), stream=True)
    place = content.index(struct.pack("<3i", 0, 2, 3))
    content[place : place + 12] = struct.pack("<3i", 0, 2, 30_000_000)
    assert "broken after row 0" in refusal(write(tmp_path / "a.arrow", bytes(content)))


DAMAGED = """
import random, sys
from pathlib import Path
import l2m
from l2m.corpora.sources import Reader, find_units
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
for path in sorted(folder.iterdir()):
    content = path.read_bytes()
    chance = random.Random(seed)
    for trial in range(int(sys.argv[3])):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 1, 4))):
            place = chance.randrange(len(damaged))
            damaged[place] = chance.choice((0, 255, 128, 127, chance.randrange(256)))
        if trial % 4 == 0:
            del damaged[chance.randrange(len(damaged)) :]
        bad = folder / ("damaged" + "".join(path.suffixes))
        bad.write_bytes(damaged)
        try:
            for unit in find_units(bad):
                for document in Reader().documents(unit):
                    len(document.text)
        except l2m.InputError as error:
            assert "\\n" not in str(error), (path, seed, trial, str(error))
            assert "damaged" in str(error), (path, seed, trial, str(error))
        except BaseException as error:
            raise SystemExit(f"{path.name} seed {seed} trial {trial}: {type(error).__name__}: {error}")
        bad.unlink()
"""


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    """Flipped bytes and cuts in every format, in a process of its own: a damaged arrow file once ended it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "files"
    folder.mkdir()
    texts = [f"text number {number} \u00fc" for number in range(20)]
    pq.write_table(pa.table({"text": texts}), folder / "a.parquet")
    pq.write_table(pa.table({"text": [[1, 2, 3]] * 10}), folder / "b.parquet", compression="zstd")
    for name, column in (
        ("a", pa.array(texts)),
        ("b", pa.array([[1, 2], [3]])),
        ("c", pa.array(texts).dictionary_encode()),
    ):
        write(folder / f"{name}.arrow", bytes(arrow_bytes(column, stream=name != "a")))
    np.save(folder / "a.npy", np.arange(20))
    write(folder / "a.json", json.dumps(ROWS))
    write(folder / "a.jsonl.gz", gzip.compress(as_lines().encode()))
    write(folder / "b.txt.xz", lzma.compress(as_lines().encode()))
    write(folder / "c.txt.bz2", bz2.compress(as_lines().encode()))
    command = [sys.executable, "-c", DAMAGED, str(folder), "0", "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


# --- token dumps ---


def npy_header(shape: tuple[int, ...], descr: str) -> bytes:
    import io

    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def saved(array: np.ndarray) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


BAD_NPY: dict[str, bytes] = {
    "empty": b"",
    "magic alone": b"\x93NUMPY",
    "cut": saved(np.arange(50))[:-9],
    "cut in the header": saved(np.arange(50))[:40],
    "text": b"some text",
    "a zip": b"PK\x03\x04" + bytes(40),
    "a pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.",
    "objects": saved(np.array([1, None])),
    "fields": saved(np.zeros(3, [("a", "i4")])),
    "floats": saved(np.arange(3.0)),
    "booleans": saved(np.array([True])),
    "letters": saved(np.array(["a"])),
    "dates": saved(np.array(["2020-01-01"], "M8[D]")),
    "complex": saved(np.array([1j])),
    "no axis": saved(np.array(5)),
    "three axes": saved(np.zeros((1, 1, 1), int)),
    "no ids": saved(np.zeros(0, int)),
    "huge": npy_header((2**61,), "<i8"),
    "huger": npy_header((2**40, 2**40), "<i8"),
    "negative": npy_header((-5,), "<i8") + bytes(100),
    "wide letters": npy_header((3,), "|S2000000000"),
    "a header that is none": b"\x93NUMPY\x01\x00\x10\x00{'descr':[[[[[[[[",
    "a header that runs": b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').system('x')".ljust(32),
}


@pytest.mark.parametrize("case", BAD_NPY)
def test_npy_files_that_hold_no_ids_are_named(tmp_path: Path, case: str) -> None:
    refusal(write(tmp_path / "a.npy", BAD_NPY[case]))


def test_ids_out_of_range_are_one_line_and_skipped(tmp_path: Path) -> None:
    good = np.array([1, 2, 3])
    for number, bad in enumerate(([1, -1], [2**32, 5], [-(2**63), 0])):
        np.save(tmp_path / "a.npy", good)
        np.save(tmp_path / "b.npy", np.array(bad))
        with pytest.raises(l2m.InputError, match=r"document 'b\.npy': ids from"):
            l2m.tokenize(tmp_path, out=tmp_path / f"out{number}")
        corpus = l2m.tokenize([tmp_path / "a.npy", tmp_path / "b.npy"], on_error="skip")
        assert corpus.tokens.tolist() == [1, 2, 3]
        assert len(corpus.tokenizer["skipped"]) == 1
    np.save(tmp_path / "b.npy", np.array([2**64 - 1], np.uint64))
    with pytest.raises(l2m.InputError, match="ids from 18446744073709551615"):
        l2m.tokenize(tmp_path / "b.npy")
    np.save(tmp_path / "b.npy", np.array([[2**32 - 1, 0]], ">u8"))
    assert l2m.tokenize(tmp_path / "b.npy").tokens.tolist() == [2**32 - 1, 0]


def index(
    sizes: list[int], places: list[int], bounds: list[int], *, code: int = 8, version: int = 1, tail: bytes = b"",
    counts: tuple[int, int] | None = None, magic: bytes = b"MMIDIDX\0\0",
) -> bytes:  # fmt: skip
    head = magic + struct.pack("<QBQQ", version, code, *(counts or (len(sizes), len(bounds))))
    return (
        head
        + np.array(sizes, "<i4").tobytes()
        + np.array(places, "<i8").tobytes()
        + np.array(bounds, "<i8").tobytes()
        + tail
    )


BAD_INDEX: dict[str, tuple[bytes, str]] = {
    "documents end early": (index([2, 2, 2], [0, 4, 8], [0, 1]), "expected a rise from 0 to 3"),
    "documents begin late": (index([2, 2, 2], [0, 4, 8], [1, 3]), "expected a rise from 0 to 3"),
    "documents past the end": (index([2, 2, 2], [0, 4, 8], [0, 4]), "expected a rise from 0 to 3"),
    "documents fall": (index([2, 2, 2], [0, 4, 8], [0, 2, 1, 3]), "expected a rise from 0 to 3"),
    "negative document": (index([2, 2, 2], [0, 4, 8], [0, -1, 3]), "expected a rise from 0 to 3"),
    "no documents": (index([2, 2, 2], [0, 4, 8], []), "expected a rise from 0 to 3"),
    "short": (index([2, 2], [0, 4], [0, 2]), r"12 bytes; .*says 4 ids of 2 bytes"),
    "long": (index([2, 2, 4], [0, 4, 8], [0, 3]), r"12 bytes; .*says 8 ids of 2 bytes"),
    "overlap": (index([2, 2, 2], [0, 2, 8], [0, 3]), "sequence 1 begins at byte 2, where the one before ends at 4"),
    "gap": (index([2, 2, 2], [0, 4, 10], [0, 3]), "sequence 2 begins at byte 10"),
    "negative place": (index([2, 2, 2], [0, -4, 8], [0, 3]), "sequence 1 begins at byte -4"),
    "negative size": (index([4, -2, 4], [0, 8, 4], [0, 3]), "sequence 1 has -2 ids"),
    "floats": (index([2, 2, 2], [0, 4, 8], [0, 3], code=6), "dtype code 6"),
    "no dtype": (index([2, 2, 2], [0, 4, 8], [0, 3], code=255), "dtype code 255"),
    "other dtype": (index([2, 2, 2], [0, 4, 8], [0, 3], code=4), "sequence 1 begins at byte 4"),
    "version": (index([2, 2, 2], [0, 4, 8], [0, 3], version=2), "version 2"),
    "bytes after it": (index([2, 2, 2], [0, 4, 8], [0, 3], tail=b"\0\0\0"), "bytes for 3 sequences"),
    "cut": (index([2, 2, 2], [0, 4, 8], [0, 3])[:-4], "cut short"),
    "huge counts": (index([2], [0], [0], counts=(2**60, 2**63)), "cut short"),
    "no index": (b"", "not a Megatron index"),
    "another file": (index([2, 2, 2], [0, 4, 8], [0, 3], magic=b"TNTIDX\0\0\0"), "not a Megatron index"),
}


@pytest.mark.parametrize("case", BAD_INDEX)
def test_a_megatron_index_that_does_not_fit_is_refused(tmp_path: Path, case: str) -> None:
    content, message = BAD_INDEX[case]
    np.arange(6, dtype="<u2").tofile(tmp_path / "a.bin")
    write(tmp_path / "a.idx", index([2, 2, 2], [0, 4, 8], [0, 1, 1, 3]))
    corpus = l2m.tokenize(tmp_path / "a.bin", duplicates="keep")
    assert [corpus[number].tolist() for number in range(len(corpus))] == [[0, 1], [2, 3, 4, 5]]
    write(tmp_path / "a.idx", content)
    with pytest.raises(l2m.InputError, match=message) as caught:
        read(tmp_path / "a.bin")
    assert str(tmp_path / "a") in str(caught.value)


# --- folders of shards ---


def litdata(
    folder: Path, *, formats: object = ("str",), names: object = ("chunk-0-0.bin",), spec: object = None
) -> Path:
    folder.mkdir(exist_ok=True)
    chunks = [{"filename": name, "chunk_bytes": 5, "chunk_size": 1} for name in names]  # type: ignore[attr-defined]
    config = {"data_format": formats, "data_spec": None if spec is None else json.dumps([1, spec])}
    write(folder / "index.json", json.dumps({"chunks": chunks, "config": config}))
    return folder


def mosaicml(folder: Path, *encodings: str, name: object = "shard.00000.mds", form: str = "mds") -> Path:
    folder.mkdir(exist_ok=True)
    shard = {"format": form, "column_names": ["text"], "column_encodings": encodings, "raw_data": {"basename": name},
             "zip_data": None}  # fmt: skip
    write(folder / "index.json", json.dumps({"version": 2, "shards": [shard]}))
    return folder


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shards' libraries must not be asked for what is refused."""
    from l2m.corpora.formats import shard_folders

    def ask(name: str, *arguments: object) -> None:
        raise AssertionError(f"{name} was opened")

    monkeypatch.setattr(shard_folders, "optional_library", ask)


DICT = {
    "type": "builtins.dict",
    "context": '["text"]',
    "children_spec": [{"type": None, "context": None, "children_spec": []}],
}


@pytest.mark.usefixtures("no_libraries")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        *((lambda folder, name=name: litdata(folder, formats=["str", name]), "may run code") for name in ("pickle", "pickle:1", "graph", "graph:pickle", "pil", "new", 5, None)),
        *((lambda folder, name=name: mosaicml(folder, "str", name), "may run code") for name in ("pkl", "pkl:1", "jpeg", "PKL", "list[pil]", "")),
        (lambda folder: litdata(folder, spec={**DICT, "type": "collections.defaultdict"}), "may run code"),
        (lambda folder: litdata(folder, spec={**DICT, "children_spec": [{**DICT, "type": "os.system"}]}), "may run code"),
        (lambda folder: litdata(folder, spec=5), "not an index that litdata writes"),
        (lambda folder: litdata(folder, formats=None), "not an index that litdata writes"),
        (lambda folder: litdata(folder, formats={"a": "pickle"}), "not an index that litdata writes"),
        *((lambda folder, name=name: litdata(folder, names=[name]), "expected files inside the folder") for name in ("../x.bin", "/etc/passwd", "", None, "a/b")),
        (lambda folder: mosaicml(folder, "str", name="../x.mds"), "expected files inside the folder"),
        (lambda folder: mosaicml(folder, "str", form="pickled"), "format 'pickled'"),
    ],
)  # fmt: skip
def test_shards_that_could_run_code_or_leave_their_folder_are_not_opened(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    folder = make(tmp_path / "shards")
    assert message in refusal(folder)
    assert message in refusal(tmp_path / "shards" / ".." / "shards")
    write(tmp_path / "a.txt", "text")
    texts, skipped = read_skipping(tmp_path)
    assert (texts, len(skipped)) == (["text"], 1)  # a folder of shards inside a folder is one source


class Streams:
    """Stands in for the libraries: rows of a folder that passed the checks."""

    rows: tuple[object, ...] = (
        {"text": "one", "id": "a"}, {"text": "two"}, {"text": b"\1\0\2\0"}, {"text": b"odd"}, {"text": None}, {"other": 1},
        {"text": [[1], [2, 3]]}, {"text": 1.5},
    )  # fmt: skip

    @staticmethod
    def StreamingDataset(path: str) -> tuple[object, ...]:
        return Streams.rows

    @staticmethod
    def LocalDataset(*, local: str) -> tuple[object, ...]:
        return Streams.rows


def test_shards_of_texts_and_ids_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from l2m.corpora.formats import shard_folders

    monkeypatch.setattr(shard_folders, "optional_library", lambda *names: Streams)
    for folder in (
        litdata(tmp_path / "a", formats=["str", "no_header_numpy:3"], spec=DICT),
        mosaicml(tmp_path / "b", "str", "ndarray:int32"),
    ):
        reader = Reader(ReadingOptions(on_error="skip"))
        found = [document for unit in find_units(folder) for document in reader.documents(unit)]
        assert [document.id for document in found] == ["a", f"{folder.name}:1", f"{folder.name}:2"]
        assert found[2].ids is not None
        assert found[2].ids.tolist() == [1, 2]
        assert len(reader.log.skipped) == 5


# --- the table ---


def test_every_format_is_one_line_of_the_table() -> None:
    suffixes = [suffix for format in FORMATS.values() for suffix in format.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


def test_a_new_format_is_found_by_its_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from l2m.corpora import formats

    monkeypatch.setitem(
        FORMATS, "upper", formats.Format(lambda file, options, log: iter([Document(file.id, "UP")]), (".up",))
    )
    monkeypatch.setitem(formats._BY_SUFFIX, ".up", "upper")
    assert read(write(tmp_path / "a.up", "x")) == [("a.up", "UP")]
    assert read(write(tmp_path / "a.txt", "x"), format="upper") == [("a.txt", "UP")]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"separator": -1}, "separator: -1"), ({"separator": 2**32}, "separator"), ({"separator": True}, "separator"),
     ({"separator": 1.5}, "separator"), ({"field": ""}, "field: ''"), ({"id_field": 5}, "id_field: 5"),
     ({"dtype": "object"}, "dtype: 'object'"), ({"format": "pickle"}, "format: 'pickle'"), ({"on_error": None}, "on_error")],
)  # fmt: skip
def test_options_are_checked_before_anything_is_read(options: dict[str, object], message: str) -> None:
    with pytest.raises(l2m.InputError, match=message):
        Reader(ReadingOptions(**options))  # type: ignore[arg-type]


# Not a test of one format: the sources that find the files.


def test_links_to_folders_are_followed_and_none_is_read_twice(tmp_path: Path) -> None:
    real, library = tmp_path / "real", tmp_path / "library"
    (real / "inner").mkdir(parents=True)
    library.mkdir()
    write(real / "x.txt", "some words")
    write(real / "inner" / "y.txt", "more words")
    write(library / "z.txt", "other")
    (library / "link").symlink_to(real)
    (library / "again").symlink_to(library)  # a loop
    (real / "inner" / "up").symlink_to(library)  # a longer one
    (library / "nowhere").symlink_to("nothing")  # broken, with no suffix
    (library / ".hidden").symlink_to(tmp_path)
    reader = Reader(ReadingOptions(on_error="skip"))
    ids = [document.id for unit in find_units(library) for document in reader.documents(unit)]
    assert ids == ["link/inner/y.txt", "link/x.txt", "z.txt"]
    assert [problem.split(": ", 1)[1] for problem in reader.log.skipped] == [
        "a broken link to nothing; expected a file"
    ]
    # A folder that is there keeps its own name beside a link to it, whatever the order of the names.
    (real / "a-link").symlink_to(real / "inner")
    assert [unit.id for unit in find_units(real, glob="y*")] == ["inner/y.txt"]  # type: ignore[union-attr]


def test_what_a_string_means(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.txt", "content")

    def texts(sources: object) -> list[str]:
        reader = Reader()
        return [document.text for unit in find_units(sources) for document in reader.documents(unit)]  # type: ignore[arg-type]

    assert texts(str(path)) == texts(path) == texts([path]) == texts([Source(str(path))]) == ["content"]
    assert texts(f"{tmp_path}/*.txt") == texts([Source(f"{tmp_path}/*.txt")]) == ["content"]
    plain = ["n/a", "24/7", "owner/name", "pg19", "https://example.com/page", "a.b", "/etc/*", "x\0y", "two words"]
    assert texts(plain) == plain
    assert texts(iter(plain)) == plain
    assert not caplog.records
    assert texts([str(path), "a text"]) == [str(path), "a text"]
    assert "1 of the texts also name files" in caplog.text
    for bad in ("", "  "):
        with pytest.raises(l2m.InputError, match="the name"):
            texts([Source(bad)])
    for wrong, found in (({"a": "b"}, "dict"), (b"bytes", "bytes"), (5, "int"), (None, "NoneType"), ([None], "NoneType at index 0"),
                         (["a", 1.5], "float at index 1"), ([b"a"], "bytes at index 0")):  # fmt: skip
        with pytest.raises(l2m.InputError, match=found):
            texts(wrong)


def test_the_command_line_takes_no_word_for_a_text(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "content")
    for word in ("", "pipe"):
        if word == "pipe":
            os.mkfifo(tmp_path / word)
        command = [sys.executable, "-m", "l2m", "tokenize", word, "--out", "out"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
        assert done.returncode == 2, word
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "document",
    [Document(5, "x"), Document("a", None), Document("a", b"x"), Document("a", ids=[0.5]), Document("a", ids=[[1, 2]]),  # type: ignore[arg-type]
     Document("a", ids=np.ma.array([1, 2], mask=[0, 1])), Document("\ud800", "x"), Document("a", ids=np.array(["x"])),
     Document("a", ids=np.array([None, 1])), Document("a", "\ud800"), Document("a", ids=np.array([-1])),
     Document("a", ids=np.array([2**40]))],
)  # fmt: skip
def test_documents_at_fault_are_refused_or_skipped(document: Document) -> None:
    good = Document("good", ids=np.array([1, 2])) if document.ids is not None else Document("good", "text")
    with pytest.raises(l2m.InputError) as caught:
        l2m.tokenize([good, document])
    assert "\n" not in str(caught.value)
    corpus = l2m.tokenize([good, document], on_error="skip")
    assert len(corpus) == len(corpus.tokenizer["skipped"]) == 1


def test_iterators_of_sources_count_what_was_skipped(tmp_path: Path) -> None:
    write(tmp_path / "bad.txt", b"\xff")
    write(tmp_path / "good.txt", "text")
    corpus = l2m.tokenize((path for path in sorted(tmp_path.iterdir())), on_error="skip")
    assert len(corpus) == len(corpus.tokenizer["skipped"]) == 1
