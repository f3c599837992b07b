"""`l2m entropy`."""

import json
import math

import pytest

import l2m
from l2m.cli import main


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def test_the_command_reads_text_numbers_and_count_tables(tmp_path, capsys):
    text, numbers, table = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.csv"
    text.write_text("abracadabra")
    numbers.write_text("value\n1\n2\n2\n3\n")
    table.write_text("symbol,count\na,5\nb,2\nc,0\n")
    for path, kind, counts in (
        (text, "text", [5, 2, 2, 1, 1]),
        (numbers, "numbers", [1, 2, 1]),
        (table, "counts", [5, 2]),
    ):
        code, out, _ = run(capsys, "entropy", path, "--json")
        result = json.loads(out)
        assert (code, result["content"], result["samples"]) == (0, kind, sum(counts))
        assert result["entropy"]["grassberger"]["value"] == pytest.approx(l2m.entropy(counts).value)
    code, out, _ = run(capsys, "entropy", text, "--estimator", "zhang", "--unit", "bits", "--blocks", "3", "--json")
    result = json.loads(out)
    assert list(result["entropy"]) == ["zhang"]
    assert len(result["blocks"]["rate"]) == 3
    assert result["entropy"]["zhang"]["value"] == pytest.approx(
        float(l2m.entropy([5, 2, 2, 1, 1], "zhang")) / math.log(2)
    )
    code, out, _ = run(capsys, "entropy", text, "--out", tmp_path / "record.json")
    assert code == 0
    assert "chao-shen" in out
    assert l2m.load(tmp_path / "record.json").estimators == l2m.ENTROPY_ESTIMATORS


def test_the_command_names_what_it_cannot_read(tmp_path, capsys):
    bad = tmp_path / "bad.csv"
    bad.write_text("a,1\nb,-2\n")
    for arguments, words in (
        ((tmp_path / "none.txt",), "no such file"),
        ((bad, "--content", "counts"), "a count of -2"),
        ((bad, "--estimator", "best"), "expected one of"),
    ):
        code, _, error = run(capsys, "entropy", *arguments)
        assert code == 2
        assert words in error
        assert error.count("\n") == 1
