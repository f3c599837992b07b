"""Corpora: from arrays and from text, saved and opened, and every way they can be wrong."""

import json
import re
from pathlib import Path

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
