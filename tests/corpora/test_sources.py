"""Every source format gives the corpus that plain text gives, and says by name what is wrong with it."""

import gzip
import json
import lzma
import os
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m
from l2m.corpora.documents import Document, ReadingOptions
from l2m.corpora.sources import DATASETS, Reader, Source, find_units
from reading import refusal, write

TEXTS = ["A first text, of one line.\n", "Zweiter Text: größer.\nTwo lines 😀\n", "x" * 100, "last"]
IDS = ["one", "two", "three", "four"]
PLAIN = [Document(id, text) for id, text in zip(IDS, TEXTS, strict=True)]


def zstd(content: bytes) -> bytes:
    from backports import zstd

    return bytes(zstd.compress(content))


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstd, ".bz2": __import__("bz2").compress,
}  # fmt: skip


def lines(texts: list[str] = TEXTS) -> bytes:
    rows = [{"id": id, "url": None, "text": text} for id, text in zip(IDS, texts, strict=True)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def table(texts: list[object] = TEXTS) -> object:
    import pyarrow as pa

    return pa.table({"id": IDS, "text": texts})


def write_parquet(path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table(), path, row_group_size=3)


def write_arrow(path: Path) -> None:
    import pyarrow as pa

    make = pa.ipc.new_file if path.suffix == ".feather" else pa.ipc.new_stream
    with make(path, table().schema) as writer:  # type: ignore[attr-defined]
        writer.write_table(table())


def same(corpus: l2m.Corpus, tokenizer: str = "bytes") -> None:
    expected = l2m.tokenize(PLAIN, tokenizer, duplicates="keep")
    assert corpus.hash == expected.hash
    assert [document["id"] for document in corpus.documents] == IDS
    assert [document["hash"] for document in corpus.documents] == [document["hash"] for document in expected.documents]


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("tokenizer", ["bytes", "words"])
def test_json_lines(tmp_path: Path, suffix: str, tokenizer: str) -> None:
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(COMPRESSIONS[suffix](lines()))
    same(l2m.tokenize(path, tokenizer), tokenizer)


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_text_files(tmp_path: Path, suffix: str) -> None:
    for id, text in zip("abcd", TEXTS, strict=True):
        (tmp_path / f"{id}.txt{suffix}").write_bytes(COMPRESSIONS[suffix](text.encode()))
    corpus = l2m.tokenize(tmp_path)
    assert corpus.hash == l2m.tokenize(PLAIN).hash
    assert corpus.hash == l2m.tokenize(str(tmp_path / f"*.txt{suffix}")).hash
    assert [document["id"] for document in corpus.documents] == [f"{id}.txt{suffix}" for id in "abcd"]


def test_members_side_by_side_are_one_file(tmp_path: Path) -> None:
    content = lines()
    for suffix, compress in COMPRESSIONS.items():
        path = tmp_path / f"rows.jsonl{suffix}"
        path.write_bytes(compress(content[:50]) + compress(content[50:]) + (b"\0" * 100 if suffix == ".gz" else b""))
        same(l2m.tokenize(path))


@pytest.mark.parametrize(
    ("name", "write"), [("t.parquet", write_parquet), ("t.arrow", write_arrow), ("t.feather", write_arrow)]
)
def test_tables(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    same(l2m.tokenize(tmp_path / name))
    with pytest.raises(l2m.InputError, match=f"{name}.*no column 'body'; there are 'id', 'text'"):
        l2m.tokenize(tmp_path / name, field="body")


def test_a_dataset_by_name_streams_its_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local repository of the shape of emozilla/pg19 stands in for the hub's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "pg19" / "data").mkdir(parents=True)
    for shard, part in enumerate((slice(0, 3), slice(3, 4))):
        rows = pa.table({"short_book_title": IDS[part], "text": TEXTS[part]})
        pq.write_table(rows, tmp_path / "pg19" / "data" / f"train-{shard:05}-of-00002.parquet")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(DATASETS, "pg19", (str(tmp_path / "pg19"), None))
    same(l2m.tokenize("pg19", id_field="short_book_title"))
    with pytest.raises(l2m.InputError, match="split 'dev'"):
        l2m.tokenize("pg19", split="dev")
    with pytest.raises(l2m.InputError, match="no column 'body'; there are 'short_book_title', 'text'"):
        l2m.tokenize("pg19", field="body")


def test_the_loading_script_of_pg19_names_its_parquet() -> None:
    with pytest.raises(l2m.InputError, match="emozilla/pg19"):
        l2m.tokenize("deepmind/pg19")


def test_iterators_of_texts_and_urls(tmp_path: Path) -> None:
    def texts() -> Iterator[str]:
        yield from TEXTS

    assert l2m.tokenize(texts()).hash == l2m.tokenize(PLAIN).hash
    import fsspec

    with fsspec.open("memory://corpus/rows.jsonl.gz", "wb") as file:
        file.write(gzip.compress(lines()))
    same(l2m.tokenize("memory://corpus/rows.jsonl.gz"))
    same(l2m.tokenize("memory://corpus"))
    with pytest.raises(l2m.InputError, match=r"memory://absent/\*: no file"):
        l2m.tokenize("memory://absent/*")


ARRAYS = [np.array([5, 6, 7, 50_000], np.int64), np.array([1, 2], np.int64), np.array([9], np.int64)]


def megatron(path: Path, dtype: str, code: int) -> None:
    """As Megatron-LM's IndexedDatasetBuilder lays it out: the second document is two sequences."""
    sequences = [ARRAYS[0], ARRAYS[1][:1], ARRAYS[1][1:], ARRAYS[2]]
    np.concatenate(sequences).astype(dtype).tofile(path)
    sizes = np.array([part.size for part in sequences], np.int32)
    pointers = (np.cumsum(sizes) - sizes).astype(np.int64) * np.dtype(dtype).itemsize
    head = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, len(sequences), 4)
    path.with_suffix(".idx").write_bytes(
        head + sizes.tobytes() + pointers.tobytes() + np.array([0, 1, 3, 4], np.int64).tobytes()
    )


def dump(path: Path, form: str) -> dict[str, object]:
    """Write ARRAYS in that form; how to read it."""
    flat = np.concatenate([np.append(part, 60_000) for part in ARRAYS])
    if form == "npy":
        np.save(path.with_suffix(".npy"), flat)
    elif form == "nanogpt":
        flat.astype(np.uint16).tofile(path.with_suffix(".bin"))
    elif form == "llm.c":
        header = np.zeros(256, np.int32)
        header[:3] = 20240520, 1, flat.size
        path.with_suffix(".bin").write_bytes(header.tobytes() + flat.astype(np.uint16).tobytes())
    elif form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"ids": [part.tolist() for part in ARRAYS]}), path.with_suffix(".parquet"))
        return {"field": "ids"}
    else:
        megatron(path.with_suffix(".bin"), *{"megatron-u16": ("<u2", 8), "megatron-i32": ("<i4", 4)}[form])
        return {}
    return {"separator": 60_000}


@pytest.mark.parametrize("form", ["npy", "nanogpt", "llm.c", "parquet", "megatron-u16", "megatron-i32"])
def test_token_dumps(tmp_path: Path, form: str) -> None:
    options = dump(tmp_path / "tokens", form)
    corpus = l2m.tokenize(tmp_path, out=tmp_path / "out", **options)
    assert corpus.hash == l2m.Corpus(ARRAYS).hash
    assert (corpus.tokenizer["name"], corpus.vocab_size, corpus.tokens.dtype) == ("ids", 50_001, np.uint16)


def test_arrays_of_two_axes_are_a_document_a_row(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.arange(6).reshape(2, 3))
    assert [part.tolist() for part in map(l2m.tokenize(tmp_path).__getitem__, (0, 1))] == [[0, 1, 2], [3, 4, 5]]


def test_near_copies_of_ids_are_found_too(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 1000, (3, 500))
    rows[2, :400] = rows[0, :400]
    np.save(tmp_path / "rows.npy", rows)
    assert l2m.tokenize(tmp_path).tokenizer["duplicates"] == [["rows.npy:2", "rows.npy:0"]]


def broken(path: Path) -> None:
    """A sound member, and after it one whose first block is of no known kind."""
    first = gzip.compress(np.random.default_rng(0).bytes(100_000))
    second = bytearray(gzip.compress(b"text" * 1000))
    second[10] = 0x07
    path.write_bytes(first + second)


BAD: dict[str, tuple[str, bytes | Callable[[Path], None], str]] = {
    "no field": ("a.jsonl", b'{"body": "x", "n": 1}\n', "line 1 .*no field 'text'; there are 'body', 'n'"),
    "a number": ("a.jsonl", lines(["a", "b", 5, "c"]), "line 3 .*field 'text' is int '5'; expected a string"),  # type: ignore[list-item]
    "null": ("a.jsonl", b'{"text": null}\n', "line 1 .*'text' is null; expected a string"),
    "not an object": ("a.jsonl", b'["text"]\n', "line 1 .*list; expected an object"),
    "not JSON": ("a.jsonl", lines() + b"oops\n" + lines(), r"line 5 \(byte \d+\): not JSON"),
    "last line cut": ("a.jsonl", lines()[:-9], "line 4 .*the last, has no line end: the file is cut short"),
    "surrogate": ("a.jsonl", b'{"id": "s", "text": "a\\ud83d"}\n', "document 's': half a surrogate pair at character 1"),
    "gzip cut": ("a.jsonl.gz", gzip.compress(lines())[:-20], "cut short: the gzip member that begins at byte 0"),
    "xz cut": ("a.txt.xz", lzma.compress(lines())[:-20], "cut short: the xz member|broken xz"),
    "gzip broken": ("a.txt.gz", broken, "broken gzip data between bytes 100053 and .*, in the member that begins at byte 100053"),
    "zstd broken": ("a.txt.zst", b"\x28\xb5\x2f\xfd" + b"\xff" * 40, "broken zstd data between bytes 0 and 44"),
    "not gzip": ("a.txt.gz", b"plain text", "broken gzip data between bytes 0 and 10"),
    "not parquet": ("a.parquet", b"PAR1 and no more", "not a readable parquet"),
    "not arrow": ("a.arrow", b"ARROW and no more", "not a readable arrow"),
    "floats": ("a.npy", lambda path: np.save(path, np.zeros(3)), r"float64 of shape \(3,\)"),
    "negative": ("a.npy", lambda path: np.save(path, np.array([1, -2])), "ids from -2 to 1"),
    "odd bytes": ("a.bin", b"abc", "3 bytes; not a whole number of uint16"),
    "no index": ("a.idx", b"abc", "a.idx: not a Megatron index"),
    "compressed table": ("a.parquet.gz", b"", "parquet inside gzip"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named_with_what_they_hold(tmp_path: Path, case: str) -> None:
    name, content, message = BAD[case]
    path = tmp_path / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    if path.suffix == ".idx":
        path.with_suffix(".bin").write_bytes(b"ab")
        path = path.with_suffix(".bin")
    with pytest.raises(l2m.InputError, match=message) as caught:
        l2m.tokenize(path, out=tmp_path / "out")
    assert str(path) in str(caught.value) or case in ("surrogate", "negative", "no index")
    assert not (tmp_path / "out").exists()


def test_columns_of_another_type_are_named(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": [1.5, 2.5]}), tmp_path / "t.parquet")
    with pytest.raises(l2m.InputError, match=r"t.parquet: column 'text' holds double"):
        l2m.tokenize(tmp_path)
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "t.parquet")
    with pytest.raises(l2m.InputError, match=r"t.parquet: row 1: column 'text' is null"):
        l2m.tokenize(tmp_path)


def test_what_is_broken_can_be_skipped_and_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines()[:-9])
    (tmp_path / "b.txt").write_bytes(b"\xff")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"some text")[:-3])
    (tmp_path / "d.txt").write_text("whole")
    corpus = l2m.tokenize(tmp_path, on_error="skip")
    assert [document["id"] for document in corpus.documents] == [*IDS[:3], "d.txt"]
    skipped = corpus.tokenizer["skipped"]
    assert [Path(problem.split(":")[0]).name for problem in skipped] == ["a.jsonl", "b.txt", "c.txt.gz"]


@settings(max_examples=40)  # each makes two corpora
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), min_size=1, max_size=8))
def test_json_lines_of_any_text(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), "utf-8", newline=""
    )
    documents = [Document(str(i), text) for i, text in enumerate(texts)]
    assert l2m.tokenize(path).hash == l2m.tokenize(documents).hash


def test_filters_by_length_and_by_hash() -> None:
    documents = [Document(str(number), f"Text number {number} " * (number % 7 + 1)) for number in range(400)]
    long = l2m.tokenize(documents, "words", min_tokens=9, duplicates="keep")
    assert [document["id"] for document in long.documents] == [d.id for d in documents if len(d.text.split()) >= 9]
    assert long.tokenizer["filters"]["short"] == 400 - len(long)
    half = l2m.tokenize(documents, sample=0.5, duplicates="keep")
    assert half.tokenizer["filters"]["sampled_out"] == 400 - len(half)
    assert abs(len(half) - 200) < 50  # five standard deviations of Binomial(400, 1/2)
    again = l2m.tokenize(documents[::-1], sample=0.5, duplicates="keep")
    assert {document["id"] for document in half.documents} == {document["id"] for document in again.documents}
    smaller = l2m.tokenize(documents, sample=0.1, duplicates="keep")
    assert {document["id"] for document in smaller.documents} < {document["id"] for document in half.documents}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"format": "csv"}, "format: 'csv'"), ({"on_error": "no"}, "on_error: 'no'"), ({"sample": 0.0}, "sample: 0.0"),
     ({"min_tokens": -1}, "min_tokens: -1"), ({"dtype": "float"}, "dtype: 'float'"), ({"duplicates": "no"}, "duplicates")],
)  # fmt: skip
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(l2m.InputError, match=re.escape(message)):
        l2m.tokenize("some text", **options)  # type: ignore[arg-type]


def test_texts_and_ids_do_not_mix(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(4))
    (tmp_path / "b.txt").write_text("text")
    with pytest.raises(l2m.InputError, match="both texts and token ids"):
        l2m.tokenize(tmp_path)


def test_the_command_line_reads_datasets_patterns_and_fields(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(lines().replace(b'"text"', b'"body"'))
    command = [sys.executable, "-m", "l2m", "tokenize", f"{tmp_path}/*.jsonl", "--field", "body", "--json", "--out"]
    done = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["hash"] == l2m.tokenize(PLAIN).hash
    info = [sys.executable, "-m", "l2m", "corpus", "info", str(tmp_path / "out"), "--json"]
    shown = json.loads(subprocess.run(info, capture_output=True, text=True, check=True).stdout)
    assert shown["documents"] == 4
    assert shown["most_frequent"][0] == {"rank": 1, "id": ord("x"), "text": "x", "count": 102}


def test_pipes_sockets_and_devices_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the name of a socket is at most 107 bytes
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
        named = l2m.tokenize([tmp_path / name for name in (*kinds, "good.txt")], on_error="skip")
        assert (len(named), len(named.tokenizer["skipped"])) == (1, len(kinds))
        assert time.monotonic() - started < 10


def test_a_file_name_with_a_line_end_is_named_in_one_line(tmp_path: Path) -> None:
    write(tmp_path / "two\nlines.txt", b"\xff")
    with pytest.raises(l2m.InputError, match=r"two\\nlines") as caught:
        l2m.tokenize(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_name_that_is_not_utf8_is_skipped(tmp_path: Path) -> None:
    write(tmp_path / "good.txt", "text")
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")), "more")
    with pytest.raises(l2m.InputError, match=r"caf\\udce9\.txt: a file name that is not UTF-8"):
        l2m.tokenize(tmp_path)
    corpus = l2m.tokenize(tmp_path, on_error="skip", out=tmp_path / "out")
    assert len(corpus) == len(corpus.tokenizer["skipped"]) == 1


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


@pytest.mark.parametrize("glob", ["", None, 5])
def test_a_glob_that_is_none_is_named(tmp_path: Path, glob: object) -> None:
    with pytest.raises(l2m.InputError, match="glob: "):
        l2m.tokenize(tmp_path, glob=glob)  # type: ignore[arg-type]


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


def test_folders_are_read_in_order_without_hidden_and_empty_files(tmp_path: Path) -> None:
    for name, text in [
        ("b.txt", "second"),
        ("a/z.txt", "first"),
        (".hidden", "x"),
        ("empty.txt", ""),
        ("c.md", "third"),
    ]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    corpus = l2m.tokenize(tmp_path)
    assert [document["id"] for document in corpus.documents] == ["a/z.txt", "b.txt", "c.md"]
    assert [document["id"] for document in l2m.tokenize(tmp_path, glob="*.txt").documents] == ["a/z.txt", "b.txt"]
    assert [document["bytes"] for document in corpus.documents] == [5, 6, 5]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.txt", None, "no such file"),
        ("empty.txt", b"", "empty file"),
        ("latin.txt", b"caf\xe9 au lait", "byte 0xe9 at offset 3"),
    ],
)
def test_bad_files_are_named_and_nothing_is_written(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(l2m.InputError, match=message) as caught:
        l2m.tokenize(path, out=tmp_path / "out")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["tests/no-such-folder", "no-such.txt", "nobody/no-such-tokenizer"])
def test_unknown_paths_and_tokenizers_are_errors_not_texts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*arguments: object) -> None:
        raise OSError

    monkeypatch.setattr("socket.getaddrinfo", no_network)
    with pytest.raises(l2m.InputError, match=name):
        l2m.tokenize(name)
    with pytest.raises(l2m.InputError, match=f"tokenizer: '{name}'"):
        l2m.tokenize("some text", name)
