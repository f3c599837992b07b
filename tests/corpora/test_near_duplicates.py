"""Near-duplicates: which texts are left out, and what is no text."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import l2m
from l2m.corpora.documents import Document
from l2m.corpora.near_duplicates import NearDuplicateFinder

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


def words(letter: str, start: int = 0, number: int = 60) -> str:
    return " ".join(f"{letter}{place}" for place in range(start, start + number))


def test_equal_texts_are_found_whatever_larger_ones_share_with_them() -> None:
    """Each passage also occurs in nine larger texts, which share a fourth with the two."""
    copied = words("c", number=400)
    size = len(copied)
    larger = [
        words("x", 1000 * number + 1, 400) + copied[start : start + size // 4 + 60] + words("y", 1000 * number + 1, 400)
        for number, start in enumerate(place * size // 4 for place in range(4) for _ in range(9))
    ]
    found = l2m.near_duplicates([*larger, copied, copied.replace(" ", "\n"), copied], threshold=0.5)
    assert found == {37: 36, 38: 36}


@pytest.mark.parametrize("width", [1, 12, 48])
def test_a_text_of_exactly_one_shingle_is_found_in_a_larger_one(width: int) -> None:
    text = words("w").replace(" ", "")[:width]
    larger = "before" + text + "after it all"
    assert l2m.near_duplicates([text, larger], width=width) == {0: 1}
    ids = np.arange(width)
    assert l2m.near_duplicates([ids, np.arange(width + 5)], width=width) == {0: 1}


MISSING = [None, float("nan"), np.nan, 5, b"bytes", ["a"]]


@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_what_is_no_text_is_refused_with_its_index(missing: object) -> None:
    import pandas as pd

    for texts in ([words("a"), missing, words("b")], [words("a"), words("b"), missing]):
        with pytest.raises(l2m.InputError, match=f"index {texts.index(missing)}"):
            l2m.near_duplicates(texts)  # type: ignore[type-var]
    for column in (pd.Series([words("a"), None]), pd.Series([words("a"), pd.NA], dtype="string"), [words("a"), pd.NA]):
        with pytest.raises(l2m.InputError, match="index 1"):
            l2m.near_duplicates(column)
    assert l2m.near_duplicates(pd.Series([words("a"), words("b"), words("a")])) == {2: 0}


BAD_IDS = [[2**32], [-1], [0.5], [np.nan], [None], [[1, 2]], ["a"], [2**70], np.ma.array([1, 2], mask=[0, 1]), 5, None]


@pytest.mark.parametrize("ids", BAD_IDS, ids=repr)
def test_ids_that_are_none_are_refused_with_their_index(ids: object) -> None:
    with pytest.raises(l2m.InputError, match=r"index 1|texts\[1\]"):
        l2m.near_duplicates([np.arange(50), ids])


def test_ids_past_32_bits_do_not_wrap() -> None:
    ids = np.arange(50)
    with pytest.raises(l2m.InputError, match="4294967345"):
        l2m.near_duplicates([ids + 2**32, ids])
    assert l2m.near_duplicates([ids, ids.astype(np.uint64), ids.astype(float), ids.tolist()]) == {1: 0, 2: 0, 3: 0}


@pytest.mark.parametrize(
    "texts", ["a text", b"bytes", 5, None, {"a": "b"}.keys, np.float64(1)], ids=lambda texts: type(texts).__name__
)
def test_one_text_is_no_list_of_texts(texts: object) -> None:
    with pytest.raises(l2m.InputError, match="texts: "):
        l2m.near_duplicates(texts)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("options", "message"),
    [*(({"width": width}, "width: ") for width in (0, -1, 2.5, "3", True, 2**21, 2**64)),
     *(({"threshold": value}, "threshold: ") for value in (-0.1, 1.1, float("nan"), "half", None))],
)  # fmt: skip
def test_options_out_of_range_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(l2m.InputError, match=message):
        l2m.near_duplicates([words("a"), words("b")], **options)  # type: ignore[arg-type]
    assert l2m.near_duplicates([words("a"), words("b")], width=np.int64(48)) == {}  # type: ignore[arg-type]


def test_a_half_surrogate_pair_is_refused() -> None:
    with pytest.raises(l2m.InputError, match="index 1, character 2"):
        l2m.near_duplicates(["text", "ab\ud800"])


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04" + bytes(40)])
def test_sketches_that_are_damaged_are_named(tmp_path: Path, content: bytes) -> None:
    finder = NearDuplicateFinder()
    finder.add([words("a"), words("a")])
    path = tmp_path / "sketches.npz"
    with open(path, "wb") as file:
        finder.save(file)
    assert NearDuplicateFinder.load(path).find() == {1: 0}
    path.write_bytes(content or path.read_bytes()[:-30])
    with pytest.raises(l2m.InputError, match=r"sketches\.npz: not readable"):
        NearDuplicateFinder.load(path)
