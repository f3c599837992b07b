"""Plain text and JSON: usual names and forms, and what one record's fault is."""

import bz2
import gzip
import json
import lzma
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import l2m
from l2m.corpora import documents
from l2m.corpora.documents import Document
from l2m.corpora.formats.streams import COMPRESSIONS
from l2m.corpora.sources import Reader
from reading import BOM, DEEP, ROWS, arrow_bytes, as_lines, read, read_skipping, refusal, write

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


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz", ".jsonl", ".jsonl.xz", ".json", ".parquet", ".arrow", "memory"])
def test_line_ends_become_lf_unless_they_are_kept(tmp_path: Path, suffix: str) -> None:
    """Whatever brings the text; the corpus says which was done."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, plain = BOM + "one\r\ntwo\rthree\n\r\n\r", "one\ntwo\nthree\n\n\n"
    path = tmp_path / f"a{suffix}"
    source: object = path
    if suffix == "memory":
        source = [text]
    elif suffix == ".parquet":
        pq.write_table(pa.table({"text": [text]}), path)
    elif suffix == ".arrow":
        path.write_bytes(arrow_bytes(pa.array([text]), stream=False))
    else:
        content = (text if ".txt" in suffix else json.dumps({"text": text}) + "\r\n").encode()
        write(path, {"gz": gzip.compress, "xz": lzma.compress}.get(suffix[-2:], bytes)(content))
    for keep, expected, name in ((False, plain, "LF"), (True, text.removeprefix(BOM), "kept")):
        corpus = l2m.tokenize(source, keep_line_ends=keep)  # type: ignore[arg-type]
        assert bytes(corpus[0].astype(np.uint8)).decode() == expected
        assert corpus.tokenizer["filters"]["line_ends"] == name


def test_a_corpus_is_resumed_where_its_text_is_the_same_and_refused_where_line_ends_differ(tmp_path: Path) -> None:
    """A folder of a version that recorded no line ends is one that kept them."""
    from l2m.base.files import write_sealed

    source, out = tmp_path / "text", tmp_path / "out"
    source.mkdir()
    for content, refused in (("plain\ntext", False), ("plain\r\ntext", True)):
        write(source / "a.txt", content)
        shutil.rmtree(out, ignore_errors=True)
        before = l2m.tokenize(source, out=out, keep_line_ends=True)
        manifest = json.loads((out / "corpus.json").read_text())
        del manifest["tokenizer"]["filters"]["line_ends"], manifest["checksum"]
        write_sealed(out / "corpus.json", manifest)
        assert l2m.Corpus.open(out).hash == before.hash
        if refused:
            with pytest.raises(l2m.InputError, match=r"holds a run with text \(hash\) = "):
                l2m.tokenize(source, out=out)
        else:
            assert l2m.tokenize(source, out=out).hash == before.hash
    with pytest.raises(l2m.InputError, match="keep_line_ends: 'yes'; expected True or False"):
        l2m.tokenize(source, keep_line_ends="yes")  # type: ignore[arg-type]


def test_utf16_is_named(tmp_path: Path) -> None:
    assert "begins as UTF-16" in refusal(write(tmp_path / "a.txt", "text".encode("utf-16")))
