"""What a run will take, told before it starts: one answer for counting, tokenizing, scoring and training."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run will take on this machine.

    Attributes:
        work: how much there is to do, by what is counted: `{"pairs": 256_951_118}`.
        tasks: seconds of each task on `threads` threads, in the order in which they run; empty where they are unknown.
        prepare: seconds that every worker needs before its first task.
        finish: seconds after the last task, on one machine.
        threads: threads of a task.
        memory_bytes: peak memory of one worker, an upper bound; None where it is unknown.
        least_memory_bytes: the smallest `--memory` with which the run can work (slower); None where there is none.
        disk_bytes: what the run writes, temporary files included; None where it is unknown.
        details: other figures by name, JSON-ready.
    """

    work: Mapping[str, int]
    tasks: Mapping[str, float] = field(default_factory=dict)
    prepare: float = 0.0
    finish: float = 0.0
    threads: int = 1
    memory_bytes: int | None = None
    least_memory_bytes: int | None = None
    disk_bytes: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def seconds(self, workers: int = 1, shard: tuple[int, int] | None = None) -> float | None:
        """Time until these workers have done all tasks, or those of a shard (index, number); None where it is unknown."""
        costs = list(self.tasks.values())
        if not costs:
            return None
        return self.prepare + makespan(costs[shard[0] :: shard[1]] if shard else costs, workers) + self.finish

    def to_dict(self, workers: int = 1, shard: tuple[int, int] | None = None) -> dict[str, Any]:
        """JSON-ready, for `--dry-run --json`."""
        return {
            **self.work,
            "tasks": len(self.tasks),
            "threads": self.threads,
            "workers": workers,
            "seconds": self.seconds(workers, shard),
            "longest_task_seconds": max(self.tasks.values(), default=None),
            "memory_bytes": self.memory_bytes,
            "least_memory_bytes": self.least_memory_bytes,
            "disk_bytes": self.disk_bytes,
            **self.details,
        }


def makespan(costs: Sequence[float], workers: int) -> float:
    """Seconds in which workers do tasks of these costs, each worker taking the next task as soon as it is free."""
    busy = [0.0] * max(1, min(workers, len(costs)))
    for cost in costs:
        heapq.heapreplace(busy, busy[0] + cost)
    return max(busy)
