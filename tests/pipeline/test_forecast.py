"""`l2m measure --dry-run`: the size of the job without a file, and what the real job then does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import l2m
from l2m.cli.measure import measure
from l2m.pipeline.forecast import forecast
from texts import some_texts


def test_a_dry_run_writes_nothing_and_counts_what_the_run_does(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts").mkdir()
    for number, text in enumerate(some_texts(8)):
        (tmp_path / "texts" / f"{number}.txt").write_text(text)
    texts, out = tmp_path / "texts", tmp_path / "out"
    arguments: dict[str, Any] = {"length": 32, "windows": 8, "threads": 1}
    before = sorted(path.name for path in tmp_path.iterdir())
    measure(texts, model=str(tiny_model), out=out, dry_run=True, json=True, **arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    said = json.loads(capsys.readouterr().out)
    measure(texts, model=str(tiny_model), out=out, dry_run=True, **arguments)
    assert "nothing was written" in capsys.readouterr().out

    line = [sys.executable, "-m", "l2m", "measure", str(texts), "--model", str(tiny_model), "--out", str(out)]
    line += [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = l2m.load(out / "results.json")
    assert said["tokens"] == result.domains[0].corpus["tokens"]
    assert said["windows"] == 8
    # 32 tokens a window, and a pass for each l = 2, 4, 8, 16 over the l tokens of its Y; each after the 2 tokens of a blank line.
    assert said["tokens_scored"] == 8 * (32 + 2 + 4 + 8 + 16 + 5 * 2)
    assert said["seconds"] > 0
    stages = [line for line in done.stderr.splitlines() if line[6:8] == "/5"]
    assert [line[5] for line in stages] == ["1", "2", "3", "4", "5"]
    assert "scoring 8 windows of 32 tokens" in stages[3]

    how = {
        "window_starts": "anywhere",
        "prefix": None,
        "ngrams_from": None,
        "distances": None,
        "domains": {},
        "glob": "*",
        "duplicates": "drop",
        "device": None,
    }
    how |= {"dtype": None, "revision": None, "max_batch_tokens": None, "seed": 0}
    assert forecast([texts], str(tiny_model), out, **arguments, **how).work["tokens_scored"] == 0
    with pytest.raises(l2m.InputError, match="windows: 900"):
        forecast([texts], str(tiny_model), out, **{**arguments, "windows": 900}, **how)
