"""`l2m condition`: models by a saved law, a measurement, a curve."""

import json
import subprocess
import sys

import pytest

import l2m


def test_condition_command(tmp_path) -> None:
    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    law.save(tmp_path / "law.json")
    arguments = ["condition", str(tmp_path / "law.json"), "SmolLM2-135M", "mamba-130m", "--length", "4096"]
    report, figure = tmp_path / "report.html", tmp_path / "figure.svg"
    result = run_cli(*arguments, "--json", "--report", str(report), "--figure", str(figure))
    rows = json.loads(result.stdout)["rows"]
    assert [row["outcome"] for row in rows] == ["holds", "holds_as_series"]
    assert rows[0]["sufficient_length"] is None  # no limit
    assert rows[1]["required_state"] == pytest.approx(float(law.predict(4096)) / 0.06)
    assert report.read_text().startswith("<!DOCTYPE html>")
    assert "<svg" in figure.read_text()
    assert run_cli(*arguments).stdout.splitlines()[1].startswith("HuggingFaceTB/SmolLM2-135M")
    for bad, words in (
        (["condition", str(tmp_path / "none.json"), "mamba-130m"], "no such file"),
        (["condition", str(tmp_path / "law.json")], "nothing named"),
        ([*arguments, "--figure", "x.gif"], "expected a name that ends in"),
    ):
        result = run_cli(*bad)
        assert result.returncode == 2
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


def test_condition_command_reads_a_measurement(tmp_path) -> None:
    """The folder `l2m measure` and `l2m demo` write: the law is taken from its results.json."""
    from l2m.pipeline.measurement import Measurement

    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    for held in (law, None):
        found = Measurement("t", {}, {}, (), None, held, "words", (), "command", "")  # type: ignore[arg-type]
        found.save(tmp_path / "results.json")
        result = run_cli("condition", str(tmp_path), "mamba-130m", "--json")
        if held is None:
            assert (result.returncode, result.stdout) == (2, "")
            assert "no law was fitted there (words)" in result.stderr
        else:
            (row,) = json.loads(result.stdout)["rows"]
            assert row["sufficient_length"] == float(l2m.condition(law, "mamba-130m").sufficient_length)


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "l2m", *arguments], capture_output=True, text=True)
