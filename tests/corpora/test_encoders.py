"""Tokenizers: the ids they give, and what is no tokenizer."""

import json
import os
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import l2m


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


def test_tokenizers_that_sample_do_not(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    path = tmp_path / "tokenizer.json"
    Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], dropout=0.5)).save(str(path))
    library = Tokenizer.from_file(str(path))
    assert len({tuple(library.encode("ab" * 50).ids) for _ in range(5)}) > 1, "the tokenizer samples"
    for _ in range(3):
        corpus = l2m.tokenize("ab" * 50, path)
        assert corpus.tokens.tolist() == [2] * 50
        assert corpus.tokenizer["encoder"] == "tokenizers"


def test_unigram_models_that_sample_do_not() -> None:
    """tokenizer.json cannot say so yet, only the library."""
    from tokenizers import Tokenizer, models

    from l2m.corpora.encoders import _stop_sampling

    tokenizer = Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0), ("ab", -2.5)], 0, False))
    tokenizer.model.alpha, tokenizer.model.nbest_size = 0.5, 64
    assert len({tuple(tokenizer.encode("ab" * 5).ids) for _ in range(20)}) > 1
    assert _stop_sampling(tokenizer.model)
    assert len({tuple(tokenizer.encode("ab" * 5).ids) for _ in range(20)}) == 1
    assert not _stop_sampling(tokenizer.model)


WORD_LEVEL = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
    "post_processor": None, "decoder": None, "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"},
}  # fmt: skip
BAD_TOKENIZERS: dict[str, bytes] = {
    "empty": b"",
    "an object": b"{}",
    "a list": b"[]",
    "not UTF-8": b"\xff\xfe",
    "cut": json.dumps(WORD_LEVEL).encode()[:-20],
    "a merge of unknown words": b'{"version":"1.0","model":{"type":"BPE","vocab":{},"merges":[["a","b"]]}}',
    "deep": b"[" * 100_000,
    "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    "no id for unknown words": json.dumps(WORD_LEVEL).encode(),
}


@pytest.mark.parametrize("case", BAD_TOKENIZERS)
@pytest.mark.parametrize("name", ["tokenizer.json", "folder"])
def test_damaged_tokenizers_are_one_line(tmp_path: Path, case: str, name: str) -> None:
    (tmp_path / "tokenizer.json").write_bytes(BAD_TOKENIZERS[case])
    path = tmp_path if name == "folder" else tmp_path / name
    with pytest.raises(l2m.InputError) as caught:
        l2m.tokenize("some text", path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_code_of_a_tokenizers_folder_is_not_run(tmp_path: Path) -> None:
    folder, canary = bpe_folder(tmp_path), tmp_path / "canary"
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["code.Tokenizer", null]}}')
    (folder / "code.py").write_text(f"open({str(canary)!r}, 'w')")
    assert l2m.tokenize("the cat", folder).tokens.size
    assert not canary.exists()


@pytest.mark.parametrize(
    ("tokenizer", "found"), [("", "empty name"), (None, "NoneType"), (5, "int"), (["words"], "list")]
)
def test_what_is_no_tokenizer_is_named(tokenizer: object, found: str) -> None:
    with pytest.raises(l2m.InputError, match=f"tokenizer: .*{found}"):
        l2m.tokenize("text", tokenizer)  # type: ignore[arg-type]


def test_ids_and_texts_each_need_their_tokenizer(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.arange(3))
    with pytest.raises(l2m.InputError, match="tokenizer: 'words' for a source that holds token ids"):
        l2m.tokenize(tmp_path / "ids.npy", "words", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(l2m.InputError, match="tokenizer: 'ids' for a source that holds text"):
        l2m.tokenize("text", "ids")
    assert l2m.tokenize(tmp_path / "ids.npy", "characters").vocab_size == 0x110000


def test_a_pipe_is_no_tokenizer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tokenizer.json")
    for name in (tmp_path, tmp_path / "tokenizer.json"):
        with pytest.raises(l2m.InputError):
            l2m.tokenize("text", name)
