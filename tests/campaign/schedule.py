"""Draws cases, runs some at a time, each in a process of its own, and counts what came of them."""

import argparse
import fnmatch
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from faults import FAULTS, DoesNotApply
from jobs import JOBS, Book
from sandbox import FAILURES, OUTCOMES


@dataclass(frozen=True)
class Row:
    command: str
    fault: str
    seed: int

    @property
    def case(self) -> str:
        return f"{self.command}/{self.fault}"


class Schedule:
    def __init__(self, root: Path, options: argparse.Namespace, minutes: float) -> None:
        self.root, self.options, self.end = root, options, time.monotonic() + 60 * minutes
        self.book = Book(root / "reference")
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.failed: list[tuple[Row, str, str]] = []
        self.applies: dict[str, bool] = {}
        self.rows = open(options.rows, "w") if options.rows else None  # noqa: SIM115 open to the end

    def run(self) -> int:
        started = time.monotonic()
        (self.root / "reference").mkdir()
        self.book.prepare()
        rows = self._drawn()
        running: dict[int, tuple[int, Row, bytearray]] = {}
        more = True
        while more or running:
            while more and len(running) < self.options.workers:
                row = next(rows, None)
                if row is None or (time.monotonic() > self.end and not self.options.only):
                    more = False
                    break
                for name in self._needs(row):
                    self.book[name]  # before the fork: made once
                file, process = self._fork(row)
                running[file] = (process, row, bytearray())
            ready, _, _ = select.select(list(running), [], [], 1.0)
            for file in ready:
                process, row, text = running[file]
                if piece := os.read(file, 1 << 16):
                    text += piece
                    continue
                os.close(file)
                os.waitpid(process, 0)
                del running[file]
                self._take(row, bytes(text))
        return self._report(time.monotonic() - started)

    def _needs(self, row: Row) -> list[str]:
        if row.command in JOBS:
            return [name for name in (row.command, JOBS[row.command].then) if name]
        from hostile import STARTS

        start = STARTS[row.fault]
        return [start] if start else []

    def _drawn(self):
        """Every case once a round, in an order and with seeds that follow from the seed."""
        first = 0 if self.options.seed is None else self.options.seed
        every = [(job, name) for job in JOBS for name in FAULTS]
        from hostile import HOSTILE

        every += [("hostile", name) for name in HOSTILE]
        if self.options.only:
            chosen = [case for case in every if fnmatch.fnmatch("/".join(case), self.options.only)]
            if not chosen:
                sys.exit(
                    f"--only {self.options.only}: no such case; some are {', '.join('/'.join(case) for case in every[:5])}"
                )
            rounds = self.options.rounds or 1
            for seed in range(first, first + rounds):
                yield from (Row(*case, seed) for case in chosen)
            return
        for number in range(10**6):
            seed = 100_000 * first + number
            order = random.Random(seed)
            order.shuffle(every)
            for job, name in every:
                if job in JOBS and order.random() > JOBS[job].weight:
                    continue
                if self.applies.get(f"{job}/{name}", True):
                    yield Row(job, name, seed)

    def _fork(self, row: Row) -> tuple[int, int]:
        reading, writing = os.pipe()
        sys.stdout.flush()
        process = os.fork()
        if process:
            os.close(writing)
            return reading, process
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.close(reading)
            result = self._case(row)
            os.write(writing, json.dumps(result).encode())
            code = 0
        finally:
            os._exit(code)

    def _case(self, row: Row) -> tuple[str, str]:
        draw = random.Random(f"{row.case} {row.seed}")
        try:
            if row.command == "hostile":
                from hostile import HOSTILE

                return HOSTILE[row.fault](self.book, self.root, draw)
            return FAULTS[row.fault](self.book, JOBS[row.command], self.root, draw)
        except DoesNotApply:
            return "", ""
        except BaseException:
            return "campaign", traceback.format_exc()

    def _take(self, row: Row, text: bytes) -> None:
        outcome, detail = json.loads(text) if text else ("campaign", "the case's own process died")
        if not outcome:
            self.applies[row.case] = False
            return
        self.counts[row.command, row.fault, outcome] += 1
        if self.rows:
            print(json.dumps([row.command, row.fault, row.seed, outcome, detail]), file=self.rows, flush=True)
        if outcome in FAILURES or outcome == "campaign":
            self.failed.append((row, outcome, detail))
            print(f"{outcome}: python tests/campaign --only {row.case} --seed {row.seed}\n    {detail}", flush=True)
        elif outcome == "unnamed" or self.options.only:
            print(f"{outcome}: {row.case} --seed {row.seed}: {detail}", flush=True)

    def _report(self, seconds: float) -> int:
        print()
        columns = [name for name in (*OUTCOMES, "campaign") if any(key[2] == name for key in self.counts)]
        width = max((len(f"{command}/{fault}") for command, fault, _ in self.counts), default=10)
        for index in (1, 0):
            names = sorted({key[index] for key in self.counts})
            print(f"{'fault' if index else 'command':<{width}}", *(f"{name:>9}" for name in columns))
            for name in names:
                totals = [
                    sum(count for key, count in self.counts.items() if key[index] == name and key[2] == column)
                    for column in columns
                ]
                print(f"{name:<{width}}", *(f"{total or '':>9}" for total in totals))
            print()
        total = sum(self.counts.values())
        print(f"{total} cases in {seconds / 60:.1f} minutes; {len(self.failed)} failed")
        return 1 if self.failed else 0
