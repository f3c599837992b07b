"""`l2m measure --dry-run`: the size of the job without a file, and what the real job then does."""

import json
import subprocess
import sys
from pathlib import Path

import l2m
from texts import some_texts


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "l2m", "measure", *arguments], capture_output=True, text=True, cwd=cwd)


def test_a_dry_run_writes_nothing_and_counts_what_the_run_does(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "texts").mkdir()
    for number, text in enumerate(some_texts(8)):
        (tmp_path / "texts" / f"{number}.txt").write_text(text)
    arguments = [
        "texts",
        "--model",
        str(tiny_model),
        "--out",
        "out",
        "--length",
        "32",
        "--windows",
        "8",
        "--threads",
        "1",
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    plan = run(*arguments, "--dry-run", "--json", cwd=tmp_path)
    assert plan.returncode == 0, plan.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    said = json.loads(plan.stdout)
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = l2m.load(tmp_path / "out" / "results.json")
    assert said["tokens"] == result.domains[0].corpus["tokens"]
    assert said["windows"] == 8
    # Two passes: 32 tokens a window, and one for each l = 2, 4, 8, 16 over the l tokens of its Y.
    assert said["tokens_scored"] == 8 * (32 + 2 + 4 + 8 + 16)
    assert said["seconds"] > 0
    stages = [line for line in done.stderr.splitlines() if line.startswith("l2m: ") and line[6:8] == "/5"]
    assert [line[5] for line in stages] == ["1", "2", "3", "4", "5"]
    assert "scoring 8 windows of 32 tokens" in stages[3]
    again = run(*arguments, "--dry-run", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["tokens_scored"] == 0
    short = run(
        "texts",
        "--model",
        str(tiny_model),
        "--out",
        "new",
        "--length",
        "500",
        "--windows",
        "900",
        "--dry-run",
        cwd=tmp_path,
    )
    assert short.returncode == 2
    assert short.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()
