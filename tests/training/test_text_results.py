"""Results of a sweep on text."""

import json
from pathlib import Path

import pytest

from l2m.errors import InputError
from l2m.training import text_results
from training_runs import run_command


def test_text_results_come_back_from_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [
        text_results.TextPoint("m", 64, 1_000, 512, 10, 16.0, float(2**k), float(2 ** (k + 1) - 1), 3 - 0.1 * k, 0.01)
        for k in range(6)
    ]
    text_results.save(points, tmp_path)
    assert text_results.read_csv(tmp_path / "nll.csv") == points
    assert (tmp_path / "nll.svg").read_text().startswith("<svg")
    assert "| m | 64 | 1,000 | 512 | 10 | 2.5000 ± 0.0100 | 16 |" in text_results.table(points)
    assert run_command("sweep", str(tmp_path / "nll.csv"), "--out", str(tmp_path / "again"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 1
    for name in ("nll.csv", "nll.svg"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()
    (tmp_path / "bad.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match="not the results of a sweep on text"):
        text_results.read_csv(tmp_path / "bad.csv")
