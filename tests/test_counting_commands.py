"""l2m two-point and l2m ngrams as a user runs them: kept, sharded, resumed, refused."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import l2m
from conftest import some_texts
from l2m.cli import main


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    l2m.tokenize(some_texts(10, words=300), "words", folder)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out, printed.err


def test_shards_in_one_folder_and_a_whole_run_give_the_same_bytes(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    assert run(capsys, "two-point", corpus, "--out", whole, "--threads", "1")[0] == 0
    for shard in ("2/3", "0/3", "1/3"):
        assert run(capsys, "two-point", corpus, "--out", shared, "--shard", shard, "--memory", "1GiB")[0] == 0
        assert (shared / "two_point.json").exists() == (shard == "1/3")
    assert (shared / "two_point.json").read_bytes() == (whole / "two_point.json").read_bytes()
    curve = l2m.load(whole / "two_point.json")
    assert np.array_equal(curve.information, l2m.two_point(l2m.Corpus.open(corpus)).information)
    # What is there is not run again, and a lost part is.
    part = sorted((shared / "tasks").glob("*joint*.json"))[0]
    part.unlink()
    assert run(capsys, "two-point", corpus, "--out", shared)[0] == 0
    assert part.exists()
    assert (shared / "two_point.json").read_bytes() == (whole / "two_point.json").read_bytes()
    status, _, error = run(capsys, "two-point", corpus, "--out", shared, "--groups", "4")
    assert (status, error.count("\n")) == (2, 1)
    assert "holds a run with" in error
    part.write_text(part.read_text().replace('"counts"', '"count"'))
    status, _, error = run(capsys, "two-point", corpus, "--out", shared)
    assert status == 2
    assert str(part) in error


def test_dry_run_writes_nothing_and_json_is_one_object(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, printed, _ = run(capsys, "two-point", corpus, "--out", tmp_path / "out", "--dry-run", "--json")
    assert json.loads(printed)["tasks"] > 1
    assert not (tmp_path / "out").exists()
    _, printed, _ = run(capsys, "two-point", corpus, "--distances", "1", "--distances", "2", "--json")
    assert json.loads(printed)["curve"]["distance"]["data"] == [1, 2]


def test_ngrams_of_text_are_those_of_a_dictionary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("abracadabra" * 30)
    _, printed, _ = run(capsys, "ngrams", tmp_path / "text.txt", "--n-max", "3", "--most-common", "2", "--json")
    text = b"abracadabra" * 30
    for order in json.loads(printed)["orders"]:
        n = order["n"]
        counted = Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
        assert (order["total"], order["distinct"]) == (sum(counted.values()), len(counted))
        best = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:2]
        assert order["most_common"] == [[list(ids), count] for ids, count in best]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["two-point"], "TEXT: nothing named"),
        (["two-point", "CORPUS", "--memory", "2 bananas"], "memory"),
        (["two-point", "CORPUS", "--memory", "1000"], "memory"),
        (["two-point", "CORPUS", "--shard", "3/3", "--out", "x"], "shard"),
        (["two-point", "CORPUS", "--shard", "0/3"], "out: not named"),
        (["two-point", "CORPUS", "--distances", "0"], "distances"),
        (["ngrams", "CORPUS", "--n-max", "9"], "n_max: 9"),
        (["ngrams", "CORPUS", "--table", "2"], "out: not named"),
    ],
)
def test_bad_input_is_one_line(
    corpus: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    status, _, error = run(capsys, *(str(corpus) if part == "CORPUS" else part for part in arguments))
    assert (status, error.count("\n")) == (2, 1)
    assert message in error
