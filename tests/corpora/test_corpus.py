"""Corpora: from arrays and from text, saved and opened, and every way they can be wrong."""

import json
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import l2m
from l2m.corpora.documents import Document

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


def test_bytes_characters_and_words() -> None:
    text = "Ein Wort, ein Wörtchen: ein Wort."
    assert l2m.tokenize(text, "bytes").tokens.tolist() == list(text.encode())
    assert l2m.tokenize(text, "characters").tokens.tolist() == [ord(character) for character in text]
    words = l2m.tokenize([text, "ein Wort"], "words", duplicates="keep")
    assert words[0].tolist() == [0, 1, 2, 3, 4, 5, 3, 1, 6]
    assert words[1].tolist() == [3, 1]
    assert words.vocab_size == 7


KNOWN = st.characters(exclude_categories=["Cs", "Cn"])  # Unicode's later versions assign what is not assigned (Cn) here


@given(st.lists(st.text(st.one_of(KNOWN, st.sampled_from("ab_ .\n\x1c\u2028é²")), max_size=40), max_size=6))
def test_words_are_those_of_the_regular_expression(texts: list[str]) -> None:
    from l2m._core import WordTable

    ids: dict[str, int] = {}
    expected = [[ids.setdefault(word, len(ids)) for word in re.findall(r"\w+|[^\w\s]", text)] for text in texts]
    table = WordTable()
    found, offsets = table.encode(texts)
    assert [found[start:stop].tolist() for start, stop in pairwise(offsets)] == expected
    assert table.words() == list(ids)


def test_every_character_is_classed_as_in_the_regular_expression() -> None:
    from l2m._core import WordTable

    characters = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cs", "Cn")]
    text = "".join(f"a{character}b " for character in characters)
    table = WordTable()
    ids, _ = table.encode([text])
    words = table.words()
    assert [words[id] for id in ids] == re.findall(r"\w+|[^\w\s]", text)


def bpe_folder(folder: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["the cat sat on the mat with the other cat"] * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_bpe_ids_are_those_of_tokenizers_and_control_tokens_are_text(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    folder = bpe_folder(tmp_path)
    text = "the cat <|endoftext|> sat\n" * 40
    corpus = l2m.tokenize([text, "another mat"], folder, duplicates="keep")
    reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
    reference.encode_special_tokens = True
    assert corpus[0].tolist() == reference.encode(text, add_special_tokens=False).ids
    assert 0 not in corpus[0]
    assert corpus.tokenizer["encoder"] in ("fastokens", "tokenizers")
    assert corpus.tokens.dtype == np.uint16


def test_ids_come_from_tokenizers_where_fastokens_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from l2m.corpora.encoders import HuggingFaceEncoder

    folder = bpe_folder(tmp_path)
    right = l2m.tokenize("the cat sat", folder)
    wrong = (np.array([1, 2, 3], np.uint32), np.array([0, 3]))
    monkeypatch.setattr(HuggingFaceEncoder, "_encode_fast", lambda self, texts: wrong)
    checked = l2m.tokenize("the cat sat", folder)
    assert checked.tokenizer["encoder"] == "tokenizers"
    assert checked.tokens.tolist() == right.tokens.tolist()


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


LONG = "".join(f"Sentence number {number} says something of its own. " for number in range(200))


def test_near_copies_are_left_out_and_named() -> None:
    changed = LONG.replace("number 7", "No. seven").replace(". ", ".\n")
    other = "".join(f"An unrelated remark, the {number}th of them, on another matter. " for number in range(150))
    documents = [
        Document("copy", changed[:4000]),
        Document("original", LONG),
        Document("other", other),
        Document("same", LONG),
    ]
    corpus = l2m.tokenize(documents)
    assert [document["id"] for document in corpus.documents] == ["original", "other"]
    assert corpus.tokenizer["duplicates"] == [["copy", "original"], ["same", "original"]]
    assert len(l2m.tokenize(documents, duplicates="keep")) == 4


@given(st.lists(st.text("ab", max_size=8), max_size=8))
def test_texts_below_a_shingle_are_duplicates_only_if_equal(texts: list[str]) -> None:
    first: dict[str, int] = {}
    expected = {}
    for index, text in enumerate(texts):
        if text in first:
            expected[index] = first[text]
        first.setdefault(text, index)
    assert l2m.near_duplicates(texts) == expected


def test_containment_is_measured_against_one_larger_text() -> None:
    """A text made of parts of two others shares half with each: over 0.4, below 0.6."""
    other = "".join(f"Line {number} of the second book, unlike the first one. " for number in range(300))
    mixed = LONG[:2000] + other[:2000]
    texts = [LONG, other, mixed]
    assert set(l2m.near_duplicates(texts, threshold=0.4)) == {2}
    assert l2m.near_duplicates(texts, threshold=0.6) == {}


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
