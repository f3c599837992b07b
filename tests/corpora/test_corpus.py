"""Corpora: from arrays and from text, saved and opened, and every way they can be wrong."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import l2m

BOTH_WIDTHS = st.lists(st.lists(st.integers(0, 70_000), max_size=20), min_size=1, max_size=5)


@given(BOTH_WIDTHS)
def test_a_list_of_arrays_and_one_array_with_offsets_are_the_same(documents: list[list[int]]) -> None:
    arrays = [np.array(document, np.int64) for document in documents]
    whole = l2m.Corpus(np.concatenate(arrays), np.cumsum([0, *map(len, arrays)]))
    parts = l2m.Corpus(arrays)
    assert parts.hash == whole.hash
    assert [parts[i].tolist() for i in range(len(parts))] == documents


@given(documents=BOTH_WIDTHS)
def test_saved_and_opened_is_the_same(tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]]) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    corpus = l2m.Corpus([np.array(document, np.int64) for document in documents], vocab_size=70_001)
    corpus.save(folder)
    opened = l2m.load(folder)
    assert (opened.hash, opened.vocab_size, len(opened)) == (corpus.hash, 70_001, len(documents))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 1.0],), "dtype float64"),
        (([-1, 2],), "tokens: holds -1; expected 0 to 4294967295"),
        (([0, 1 << 32],), f"tokens: holds {1 << 32}; expected 0 to"),
        (([[1, 2], [3, 4]], [0, 2]), "offsets"),
        (([1, 2, 3], [0, 2]), "expected from 0 to 3"),
        (([1, 2, 3], [0, 2, 1, 3]), "2 is followed by 1"),
        (([1, 2, 3], [0.0, 3.0]), "documents \\+ 1 integers"),
    ],
)
def test_bad_ids_and_bounds_are_named(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(l2m.InputError, match=message):
        l2m.Corpus(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["tokens.npy", "offsets.npy", "documents.jsonl"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_corpus_is_refused_by_name(tmp_path: Path, name: str, damage: str) -> None:
    l2m.Corpus([np.arange(100), np.arange(50)]).save(tmp_path)
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flip" else content[:-5])
    with pytest.raises(l2m.InputError, match=re.escape(str(path))):
        l2m.Corpus.open(tmp_path)


def test_tokenizing_twice_gives_the_same_bytes_and_other_settings_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    l2m.tokenize(["one text", "another text"], "bytes", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    l2m.tokenize(["one text", "another text"], "bytes", out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert set(before) == {"corpus.json", "documents.jsonl", "offsets.npy", "tokens.npy"}
    assert json.loads(before["corpus.json"])["schema"] == 1
    for sources, tokenizer, setting in [
        (["one text", "another text"], "words", "tokenizer"),
        (["one text"], "bytes", "text"),
    ]:
        with pytest.raises(l2m.InputError, match=f"holds a (corpus|run) with {setting}"):
            l2m.tokenize(sources, tokenizer, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_corpus_by_url_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    corpus = l2m.tokenize(["one text", "another one"], "words", tmp_path / "corpus")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "corpus"), "/bucket/corpus", recursive=True)
    fetched = l2m.Corpus.open("memory://bucket/corpus")
    assert (fetched.hash, list(fetched.documents)) == (corpus.hash, list(corpus.documents))
    memory.rm("/bucket/corpus/tokens.npy")
    assert l2m.Corpus.open("memory://bucket/corpus").hash == corpus.hash
    with pytest.raises(l2m.InputError, match=r"memory://absent: no corpus\.json"):
        l2m.Corpus.open("memory://absent")


MASKED = np.ma.masked_array([1, 2, 3], [False, True, False])


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (MASKED, "tokens: 1 masked"),
        ([np.arange(3), MASKED], r"tokens\[1\]: 1 masked"),
        ([1, None, 3], "tokens: entry 1 is missing"),
        ([np.arange(3), [1, None]], r"tokens\[1\]: entry 1 is missing"),
        ([1.0, 2.0], "tokens: dtype float64"),
        ([np.arange(3), np.array([0.5])], r"tokens\[1\]: dtype float64"),
        ([np.nan, 1], "tokens: dtype float64"),
        (["a", "b"], r"tokens: list; expected token ids: l2m\.tokenize"),
        ([True, False], "tokens: dtype bool"),
        ([np.arange(3), np.array([-1])], r"tokens\[1\]: holds -1"),
        ([np.array([2**40])], r"tokens\[0\]: holds 1099511627776"),
        (np.array([2**63], np.uint64), "tokens: holds 9223372036854775808"),
        ([2**70], "tokens: "),
        ([[1, 2], [3]], None),
        ([np.arange(3), 4], r"tokens\[1\]: "),
        (np.zeros((2, 2), int), "tokens: shape"),
        (None, "tokens: "),
        ("text", r"tokens: 'text'; expected token ids: l2m\.tokenize"),
        ({"a": 1}, "tokens: "),
    ],
)
def test_arrays_that_hide_something_are_refused(tokens: Any, message: str | None) -> None:
    if message is None:
        assert len(l2m.Corpus(tokens)) == 2
        return
    with pytest.raises(l2m.InputError, match=f"^{message}"):
        l2m.Corpus(tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 3}, "vocab_size: 3; expected 4 or more, as id 3 occurs"),
        ({"vocab_size": 4.5}, "vocab_size: 4.5"),
        ({"vocab_size": True}, "vocab_size: True"),
        ({"vocab_size": 2**33}, "vocab_size: 8589934592"),
        ({"vocab_size": "5"}, "vocab_size: '5'"),
        ({"offsets": np.ma.masked_array([0, 2, 4], [0, 1, 0])}, "offsets: 1 masked"),
        ({"offsets": [0, None, 4]}, "offsets: entry 1 is missing"),
        ({"offsets": np.array([0, 2**63 + 1, 4], np.uint64)}, "offsets: 9223372036854775809 is followed by 4"),
        ({"offsets": [0]}, "offsets: "),
        ({"offsets": []}, "offsets: "),
        ({"offsets": 3}, "offsets: "),
        ({"offsets": [[0, 4]]}, "offsets: "),
        ({"offsets": [0, True, 4.0]}, "offsets: "),
        ({"documents": []}, "documents: 0 entries; expected one for each of the 1 documents"),
        ({"documents": [{"name": "a"}]}, "documents: entry 0 is "),
        ({"documents": [{"id": 3}]}, "documents: entry 0 is "),
        ({"documents": ["a"]}, "documents: entry 0 is a"),
        ({"tokenizer": {}}, "tokenizer: "),
        ({"tokenizer": "bytes"}, "tokenizer: bytes; expected a mapping"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(l2m.InputError, match=f"^{re.escape(message)}"):
        l2m.Corpus([0, 1, 2, 3], **options)


def test_whole_arrays_of_any_kind_are_taken() -> None:
    unmasked = np.ma.masked_array([1, 2, 3], False)
    mixed = [np.array([1], np.int64), np.array([2], np.uint64), np.array([3], np.uint8)]
    for tokens in (unmasked, [1, 2, 3], np.array([1, 2, 3], ">u2"), mixed, iter_free([1, 2, 3])):
        corpus = l2m.Corpus(tokens)
        assert (corpus.tokens.tolist(), corpus.vocab_size) == ([1, 2, 3], 4)
        assert corpus.tokens.dtype.str in ("<u2", "<u4")


def iter_free(values: list[int]) -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.Series(values, dtype="Int64")


def test_names_that_utf_8_cannot_write_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    corpus = l2m.Corpus([1, 2], documents=[{"id": "half \ud800"}])
    with pytest.raises(l2m.InputError, match="half a surrogate pair"):
        corpus.save(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
