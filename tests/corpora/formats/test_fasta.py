"""FASTA: records as documents, case and N as the format says, damage in one line."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m

TEXT = ">one first record\nACGTac\ngtNNACG\n>two\n; a comment\nggg\n\n>three without a sequence\n"


def texts(corpus: l2m.Corpus) -> dict[str, str]:
    return {
        document["id"]: bytes(corpus[index].astype("u1")).decode() for index, document in enumerate(corpus.documents)
    }


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("auto", {"one": "ACGTACGTNNACG", "two": "GGG"}),
        ("fasta", {"one": "ACGTACGTNNACG", "two": "GGG"}),
        ("fasta-as-written", {"one": "ACGTacgtNNACG", "two": "ggg"}),
        ("fasta-bases", {"one:0": "ACGTACGT", "one:1": "ACG", "two": "GGG"}),
    ],
)
@pytest.mark.parametrize("name", ["a.fa", "a.fna.gz"])
def test_records_are_documents(tmp_path: Path, name: str, format: str, expected: dict[str, str]) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(TEXT.encode()) if name.endswith("gz") else TEXT.replace("\n", "\r\n").encode())
    found = texts(l2m.tokenize(file, format=format, duplicates="keep"))
    assert {key.partition(":")[2]: value for key, value in found.items()} == expected


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("ACGTN", min_size=1, max_size=200), min_size=1, max_size=5), st.integers(1, 80))
def test_the_width_of_lines_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, records: list[str], width: int
) -> None:
    file = tmp_path_factory.mktemp("fasta") / "a.fasta"
    lines = [
        f">{number}\n" + "\n".join(r[i : i + width] for i in range(0, len(r), width))
        for number, r in enumerate(records)
    ]
    file.write_text("\n".join(lines))
    assert list(texts(l2m.tokenize(file, duplicates="keep")).values()) == records


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ACGT\n", "a.fa: no header before the first sequence; expected a line that begins with >"),
        (">one\nAC1T\n", "a.fa: byte 5: 'AC1T' in 'one'; expected letters, or \\* and - of a sequence"),
        ("", "a.fa: no record; expected FASTA"),
    ],
)
def test_what_is_no_fasta(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.fa").write_text(content)
    with pytest.raises(l2m.InputError, match=message):
        l2m.tokenize(tmp_path / "a.fa")


def test_a_broken_record_is_skipped_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">one\nAC\nA?\nGG\n>two\nTTTT\n")
    corpus = l2m.tokenize(tmp_path / "a.fa", on_error="skip")
    assert list(texts(corpus).values()) == ["TTTT"]
    assert len(corpus.tokenizer["skipped"]) == 1
