"""Corpus folders from elsewhere: what is damaged or made up, with true checksums or without, is refused in one line."""

import json
import math
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import l2m
from damage import DAMAGES, outcome
from l2m.base.files import file_hash

FILES = ("tokens.npy", "offsets.npy", "documents.jsonl", "words.txt")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    l2m.tokenize(["one text", "another text, longer"], "words", tmp_path / "corpus")
    return tmp_path / "corpus"


def manifest(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "corpus.json").read_text())
    value.pop("checksum", None)
    return value


def seal(folder: Path, **changes: object) -> None:
    """Write corpus.json as somebody would who means harm: with true checksums, and none of itself."""
    value = manifest(folder)
    value["files"] = {name: file_hash(folder / name) for name in value["files"] if (folder / name).is_file()}
    (folder / "corpus.json").write_text(json.dumps({**value, **changes}))


def refusal(folder: Path) -> str:
    for verify in (True, False):
        with pytest.raises(l2m.InputError) as caught:
            l2m.Corpus.open(folder, verify=verify)
        assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_corpus_of_the_version_before_has_no_checksum_of_its_manifest_and_opens(corpus: Path) -> None:
    before = l2m.Corpus.open(corpus)
    seal(corpus)
    opened = l2m.Corpus.open(corpus)
    assert (opened.hash, opened.tokens.tolist(), list(opened.documents)) == (
        before.hash, before.tokens.tolist(), list(before.documents),
    )  # fmt: skip


@pytest.mark.parametrize("name", [*FILES, "corpus.json"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_to_any_file_is_named(corpus: Path, name: str, damage: Callable[[Path], None]) -> None:
    before = l2m.Corpus.open(corpus)
    damage(corpus / name)
    found = outcome(lambda: l2m.Corpus.open(corpus))
    if isinstance(found, l2m.Corpus):  # a line end at the end of JSON means nothing
        assert name == "corpus.json"
        assert (found.hash, found.vocab_size, found.tokenizer) == (before.hash, before.vocab_size, before.tokenizer)
    else:
        assert str(corpus / name) in found


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_changed_bit_of_the_manifest_is_named(corpus: Path, place: float, bit: int) -> None:
    content = (corpus / "corpus.json").read_bytes()
    before = l2m.Corpus.open(corpus)
    changed = bytearray(content)
    changed[int(place * len(content))] ^= 1 << bit
    try:
        (corpus / "corpus.json").write_bytes(changed)
        found = outcome(lambda: l2m.Corpus.open(corpus))
    finally:
        (corpus / "corpus.json").write_bytes(content)
    if isinstance(found, l2m.Corpus):  # one white space for another
        assert (found.hash, found.vocab_size, found.tokenizer) == (before.hash, before.vocab_size, before.tokenizer)
    else:
        assert str(corpus / "corpus.json") in found


STRANGE = [None, True, -1, 2.5, math.nan, math.inf, 10**30, "text", "", [], [1], {}, {"a": 1}]


@pytest.mark.parametrize("key", ["schema", "vocab_size", "tokens", "hash", "tokenizer", "files", "source", "kind"])
@pytest.mark.parametrize("value", STRANGE, ids=repr)
def test_entries_of_another_type_are_named(corpus: Path, key: str, value: object) -> None:
    if key == "source" and value is None:
        return  # what a corpus that was not made of documents has
    seal(corpus, **{key: value})
    message = refusal(corpus)
    assert str(corpus / "corpus.json") in message
    assert {"schema": "schema", "kind": "kind"}.get(key, key) in message


@pytest.mark.parametrize("key", ["schema", "vocab_size", "tokens", "hash", "tokenizer", "files"])
def test_a_missing_entry_is_named(corpus: Path, key: str) -> None:
    value = manifest(corpus)
    del value[key]
    (corpus / "corpus.json").write_text(json.dumps(value))
    assert key in refusal(corpus)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "3",
        "null",
        '"text"',
        "{",
        "[" * 100_000,
        '{"schema": ' + "9" * 5000 + "}",
        "\ud800",
        "{}",
        b"\xff\xfe{}",
    ],
    ids=lambda content: repr(content)[:20],
)
def test_a_manifest_that_is_none_is_named(corpus: Path, content: str | bytes) -> None:
    (corpus / "corpus.json").write_bytes(
        content if isinstance(content, bytes) else content.encode(errors="surrogatepass")
    )
    assert str(corpus / "corpus.json") in refusal(corpus)


@pytest.mark.parametrize(
    "name",
    [
        "../../canary",
        "/etc/hostname",
        "..",
        ".",
        "",
        "sub/tokens.npy",
        "corpus.json",
        "tokens.npy\0",
        "TOKENS.npy",
        "\ud800",
    ],
)
def test_only_the_files_of_a_corpus_are_named_in_a_manifest(corpus: Path, name: str) -> None:
    seal(corpus, files={**manifest(corpus)["files"], name: "0" * 64})
    assert "files holds" in refusal(corpus)


@pytest.mark.parametrize(
    "tokenizer",
    [
        {"name": 3}, {"name": None}, {"hash": "x"}, {"name": "x", "hash": 3}, {"name": "x", "duplicates": 3},
        {"name": "x", "duplicates": [1]}, {"name": "x", "duplicates": [["a"]]}, {"name": "x", "skipped": [1]},
        {"name": "x", "filters": []}, {"name": "x", "filters": {"short": "many"}}, {"name": "x", "encoder": []},
    ],
)  # fmt: skip
def test_a_strange_tokenizer_is_named(corpus: Path, tokenizer: object) -> None:
    seal(corpus, tokenizer=tokenizer)
    assert "tokenizer is" in refusal(corpus)


def header(descr: object, shape: object, *, fortran: bool = False) -> bytes:
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    text += b" " * (118 - len(text) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


LIES = {
    "objects": header("|O", (4,)) + b"\x80\x04N." * 8,
    "long strings": header("|S4000000000", (4,)) + b"x" * 32,
    "texts": header("<U1000000", (1,)) + b"x" * 32,
    "a huge shape": header("<u4", (1 << 60,)) + b"x" * 32,
    "a shape beyond any number": header("<u4", (10**4000,)) + b"x" * 32,
    "a negative shape": header("<u4", (-1,)) + b"x" * 32,
    "two axes": header("<u4", (2, 4)) + b"x" * 32,
    "no axes": header("<u4", ()) + b"x" * 4,
    "floats": header("<f8", (4,)) + b"x" * 32,
    "big-endian": header(">u4", (8,)) + b"x" * 32,
    "records": header([("a", "<u4")], (8,)) + b"x" * 32,
    "a shape of text": header("<u4", "many") + b"x" * 32,
    "more data": header("<u4", (4,)) + b"x" * 33,
    "less data": header("<u4", (4,)) + b"x" * 15,
    "no header": b"x" * 64,
    "half a header": header("<u4", (4,))[:40],
    "version 3": b"\x93NUMPY\x03\x00" + header("<u4", (4,))[8:] + b"x" * 16,
    "code": header("<u4", (4,)).replace(b"False", b"f().x") + b"x" * 16,
    "brackets": b"\x93NUMPY\x01\x00\x40\x1f" + b"(" * 8000,
    "nothing": b"",
}


@pytest.mark.parametrize("name", ["tokens.npy", "offsets.npy"])
@pytest.mark.parametrize("content", LIES.values(), ids=LIES)
def test_array_files_that_lie_are_named_before_anything_is_allocated(corpus: Path, name: str, content: bytes) -> None:
    (corpus / name).write_bytes(content)
    seal(corpus)
    assert str(corpus / name) in refusal(corpus)


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([0, 5, 2, 7], "5 is followed by 2"),
        ([0, 2, 99], "from 0 to 99"),
        ([1, 2, 7], "from 1 to 7"),
        ([-1, 2, 7], "from -1 to 7"),
        ([0, 1 << 62, 7], "is followed by 7"),
        ([0], "of shape"),
        ([], "of shape"),
        ([0, 7], "lines for 1 documents"),
        ([0, 2, 2, 2, 7], "lines for 4 documents"),
    ],
)
def test_offsets_that_do_not_fit_are_named(corpus: Path, offsets: list[int], message: str) -> None:
    assert l2m.Corpus.open(corpus).tokens.size == 6
    offsets = [6 if offset == 7 else offset for offset in offsets]
    np.save(corpus / "offsets.npy", np.array(offsets, np.int64))
    seal(corpus)
    assert message.replace("7", "6") in refusal(corpus)


def test_numbers_that_contradict_the_files_are_named(corpus: Path) -> None:
    seal(corpus, tokens=5)
    assert "6 tokens; corpus.json names 5" in refusal(corpus)
    seal(corpus, tokens=6, vocab_size=2)
    with pytest.raises(l2m.InputError, match="its vocab_size is 2"):
        l2m.Corpus.open(corpus)


@pytest.mark.parametrize(
    "line",
    [b"{\n", b"[]\n", b'{"id": 3}\n', b"{}\n", b"\xff\n", b"[" * 90_000 + b"\n", b'{"id": "\\ud8'],
    ids=lambda line: repr(line[:9]),
)
def test_a_line_of_the_documents_that_is_none_is_named(corpus: Path, line: bytes) -> None:
    first, _ = (corpus / "documents.jsonl").read_bytes().splitlines(keepends=True)
    (corpus / "documents.jsonl").write_bytes(first + line)
    seal(corpus)
    with pytest.raises(l2m.InputError, match=r"documents\.jsonl: (line 2|the last line)"):
        _ = l2m.Corpus.open(corpus).documents[1]


def test_pipes_and_sockets_are_not_opened(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (corpus / "offsets.npy").unlink()
    os.mkfifo(corpus / "offsets.npy")
    assert "offsets.npy: not a regular file" in refusal(corpus)
    (corpus / "offsets.npy").unlink()
    monkeypatch.chdir(corpus)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("offsets.npy")
        assert "offsets.npy: not a regular file" in refusal(corpus)


def test_a_link_to_a_whole_file_is_followed(corpus: Path, tmp_path: Path) -> None:
    hash = l2m.Corpus.open(corpus).hash
    (corpus / "tokens.npy").rename(tmp_path / "elsewhere.npy")
    (corpus / "tokens.npy").symlink_to(tmp_path / "elsewhere.npy")
    assert l2m.Corpus.open(corpus).hash == hash


@pytest.mark.parametrize("path", ["file", "file/corpus", "nothing", "folder"])
def test_what_is_no_corpus_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    assert str(tmp_path / path / "corpus.json") in refusal(tmp_path / path)


def test_a_corpus_without_tokens_is_saved_and_opened(tmp_path: Path) -> None:
    l2m.Corpus([], vocab_size=3).save(tmp_path / "corpus")
    assert l2m.Corpus.open(tmp_path / "corpus").tokens.size == 0
