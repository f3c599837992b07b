"""`benches/track.py`: goals met and missed, what became slower, and a history that keeps what was there."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).parents[1] / "benches"


@pytest.fixture
def benches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHES))


def test_goals_and_what_became_slower(benches: None, tmp_path: Path) -> None:
    import track
    from goals import Goals

    goals, history = tmp_path / "goals.jsonl", tmp_path / "history.csv"
    with history.open("w", newline="") as file:
        writer = csv.DictWriter(file, track.COLUMNS, lineterminator="\n")
        writer.writeheader()
        for commit, job, reached, better in (
            ("aaaa", "fast", 50.0, "more"),
            ("bbbb", "fast", 40.0, "more"),
            ("bbbb", "small", 1.0, "less"),
            ("bbbb", "alone", 3.0, "more"),
        ):
            known = {
                "date": "2026-01-01",
                "commit": commit,
                "processor": track.processor(),
                "job": job,
                "unit": "times polars",
            }
            writer.writerow({**known, "reached": reached, "better": better})
    found = Goals(goals)
    found.add("fast", 30, unit="times polars", at_least=25)  # 40 before: 33 % worse, though it meets its goal
    found.add("small", 1.05, unit="times polars", at_most=1.02)  # 5 % worse: within what a shared machine does
    found.add("alone", 4, unit="times polars")
    Goals(None).add("nowhere", 1, unit="s")
    printed = subprocess.run(
        [sys.executable, str(BENCHES / "track.py"), str(goals), "--history", str(history)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert printed == [
        "fast: 30 times polars; goal at least 25: met; 33 % WORSE than 40 at bbbb (2026-01-01)",
        "small: 1.05 times polars; goal at most 1.02: MISSED",
        "alone: 4 times polars",
    ]
    assert track.table([json.loads(line) for line in goals.read_text().splitlines()]).splitlines()[2:] == [
        "| fast | 30 times polars | at least 25 | met |",
        "| small | 1.05 times polars | at most 1.02 | **missed** |",
    ]
    rows = track.read(history)
    assert [row["reached"] for row in rows] == ["50.0", "40.0", "1.0", "3.0", "30", "1.05", "4"]


def test_another_processor_is_not_compared(benches: None) -> None:
    import track

    row = {"job": "fast", "unit": "s", "processor": "another", "commit": "aaaa", "reached": "1"}
    assert track.before([row], "fast", "s", "this", "bbbb") is None
    assert track.before([row], "fast", "s", "another", "bbbb") == row
    assert track.before([row], "fast", "s", "another", "aaaa") is None  # the same commit again is no other version
