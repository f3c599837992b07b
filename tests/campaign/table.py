"""The rows of a campaign as the table of docs/reliability.md."""

import json
from collections import Counter
from pathlib import Path

from sandbox import OUTCOMES

GROUPS = {
    "killed": ("kill", "half-write", "kill-after-rename", "kill-twice"),
    "signals": ("interrupt", "terminate"),
    "disk full, input-output error, too many files": ("disk-full", "input-output-error", "too-many-files"),
    "two at once": ("two-at-once",),
    "parent killed": ("orphans",),
    "damage": ("tamper-unfinished", "tamper-finished", "tamper-read"),
    "threads, memory, again": ("threads", "memory", "again"),
    "hostile input": (),
}
"""Faults by the row of the table they count in."""


def print_table(path: Path) -> int:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    counts = Counter((_group(command, fault), outcome) for command, fault, _, outcome, _ in rows)
    columns = [name for name in (*OUTCOMES, "campaign") if any(outcome == name for _, outcome in counts)]
    print("| fault |", " | ".join(columns), "|")
    print("| --- |", " | ".join("---:" for _ in columns), "|")
    for group in GROUPS:
        print(f"| {group} |", " | ".join(f"{counts[group, column] or '':}" for column in columns), "|")
    print(f"\n{len(rows)} cases of {len({(command, fault) for command, fault, *_ in rows})} kinds.")
    return 0


def _group(command: str, fault: str) -> str:
    if command == "hostile":
        return "hostile input"
    return next(group for group, faults in GROUPS.items() if fault in faults)
