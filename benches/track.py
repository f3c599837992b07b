"""Keep what the benchmarks reached, and say which goals are met and what became slower.

    make bench BOOKS=FOLDER                               runs this at its end
    python benches/track.py GOALS.jsonl [--history FILE]  what `--goals GOALS.jsonl` of the benchmarks left
    python benches/track.py GOALS.jsonl --table           the table in docs/benchmarks.md; nothing is kept

A line a job: what was reached, the goal, met or missed, and the change where it is 10 % worse or more than at the newest
commit before that was measured on the same kind of processor. Then the lines go to the history, a CSV file.
"""

import argparse
import csv
import json
import os
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from l2m.base.files import atomic_write

HISTORY = Path(__file__).with_name("history.csv")
COLUMNS = ("date", "commit", "processor", "job", "reached", "unit", "goal", "better", "met")
SLOWER = 0.10
PEERS = ("numpy", "scipy", "polars", "duckdb", "pandas", "torch", "transformers", "mambapy", "lm-eval", "minicons")


def processor() -> str:
    """The processor's model and how many cores this process may use."""
    name = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def read(history: Path) -> list[dict[str, str]]:
    if not history.exists():
        return []
    with history.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def before(rows: list[dict[str, str]], job: str, unit: str, where: str, commit: str) -> dict[str, str] | None:
    """The newest row of the job that another commit left on such a processor."""
    same = [row for row in rows if (row["job"], row["unit"], row["processor"]) == (job, unit, where)]
    return next((row for row in reversed(same) if row["commit"] != commit), None)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def worse(now: dict[str, Any], then: dict[str, str]) -> float:
    """By what share: 0.1 is ten percent worse."""
    past, reached = float(then["reached"]), float(now["reached"])
    return past / reached - 1 if now["better"] == "more" else reached / past - 1


def words(now: dict[str, Any], then: dict[str, str] | None) -> str:
    """One line for people."""
    said = f"{now['job']}: {number(now['reached'])} {now['unit']}"
    if now["goal"] is not None:
        direction = "at least" if now["better"] == "more" else "at most"
        said += f"; goal {direction} {number(now['goal'])}: {'met' if now['met'] else 'MISSED'}"
    if then is not None and worse(now, then) >= SLOWER:
        said += f"; {100 * worse(now, then):.0f} % WORSE than {number(float(then['reached']))} at {then['commit']} ({then['date']})"
    return said


def versions() -> str:
    """The peers that are installed, and the libraries that do part of the work."""
    found = []
    for package in PEERS:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


def table(lines: list[dict[str, Any]]) -> str:
    """Goals and what was reached, as Markdown; what has no goal is left out."""
    rows = ["| job | reached | goal | |", "| --- | --- | --- | --- |"]
    for line in lines:
        if line["goal"] is not None:
            least = "at least" if line["better"] == "more" else "at most"
            met = "met" if line["met"] else "**missed**"
            rows.append(
                f"| {line['job']} | {number(line['reached'])} {line['unit']} | {least} {number(line['goal'])} | {met} |"
            )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("goals", type=Path)
    parser.add_argument("--history", type=Path, default=HISTORY)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    new = [json.loads(line) for line in arguments.goals.read_text("utf-8").splitlines()]
    if arguments.table:
        print(f"{processor()}; {versions()}.\n\n{table(new)}")
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HISTORY.parent
    ).stdout.strip()
    rows, where, date = read(arguments.history), processor(), datetime.now(UTC).date().isoformat()
    for line in new:
        print(words(line, before(rows, line["job"], line["unit"], where, commit)))
    with atomic_write(arguments.history, "w") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        writer.writerows({"date": date, "commit": commit, "processor": where, **line} for line in new)


if __name__ == "__main__":
    main()
