"""How commands run a job that is cut into tasks: here, a share of it, on a cluster; and what they keep of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

from l2m.cli.inputs import read_shard
from l2m.errors import InputError

if TYPE_CHECKING:
    from l2m.counting.tasks import Job


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Work:
    """The options of every command whose work can be shared: how it runs, never what comes out."""

    threads: int | None = None
    """Threads. Default: all cores; with --ray, cores of a task: 1. Never changes the result."""
    shard: str | None = None
    """I/N: do only the I-th of N shares of the work, I from 0."""
    ray: str | None = None
    """Run on a Ray cluster whose machines all see the files: auto, HOST:PORT or ray://HOST:PORT."""
    dry_run: bool = False
    """Print what it will take in time, memory and disk, and write nothing."""
    json: bool = False
    """Print the result as one JSON object."""

    @property
    def share(self) -> tuple[int, int] | None:
        """(index, shards); None: all of the work."""
        return read_shard(self.shard, self.ray)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CountingWork(Work):
    """`Work` of the counting commands."""

    memory: str | None = None
    """For counting, such as 2GiB; with --ray, of each task. Default: what full speed takes. Never changes the result."""
    parts: int | None = None
    """Tasks that a count is cut into: 4 for each worker, or more. Default: 8; more from 5e8 tokens on."""


def cut(out: Path | None, ray: str | None, threads: int | None, parts: int | None) -> dict[str, Any]:
    """`threads` and `parts` of a job: one task where nothing is kept or shared, a core for a task on Ray."""
    return {
        "threads": 1 if ray and threads is None else threads or None,
        "parts": parts if parts or out or ray else 1,
    }


def run_job(
    job: "Job",
    unit: str,
    out: Path | None,
    shard: tuple[int, int] | None,
    ray: str | None,
    threads: int | None,
) -> Any | None:
    """The job's answer; None while other shards are still missing in `out`.

    Args:
        unit: of the progress in memory.
        threads: cores of a task on Ray; None: one.
    """
    from l2m.base.progress import progress_bar
    from l2m.cli.output import only_results_on_stdout
    from l2m.counting.tasks import run_in_folder, run_tasks

    cpus = 1 if threads is None else threads
    with (
        progress_bar("counting", unit if out is None and ray is None else "tasks") as progress,
        only_results_on_stdout(),
    ):
        if out is not None:
            return run_in_folder(job, out, shard, progress, ray=ray, cpus=cpus)
        if ray is None:
            return job.run_all(progress)
        results: dict[str, Any] = {}
        for task, result in run_tasks(job, job.tasks, ray, cpus=cpus):
            results[task] = result
            if progress is not None:
                progress(len(results), len(job.tasks))
        return job.combine(results)


def show_forecast(job: "Job", shard: tuple[int, int] | None, ray: str | None, threads: int | None, json: bool) -> None:
    """Print what a run will take: here, in this shard, or on a Ray cluster."""
    from l2m.cli.output import only_results_on_stdout, print_result

    forecast, workers, where = job.forecast(), 1, "here"
    if ray is not None:
        from l2m.base.cluster import workers_on_ray

        with only_results_on_stdout():
            workers = workers_on_ray(ray, cpus=1 if threads is None else threads)
        where = f"on {workers} workers"
    elif shard is not None:
        where = f"in shard {shard[0]}/{shard[1]}"
    [(unit, amount)] = forecast.work.items()
    words = (
        f"{len(forecast.tasks)} tasks, {amount:,} {unit}: about {forecast.seconds(workers, shard):,.1f} s {where}, "
        f"{forecast.threads} threads each; memory beside the mapped tokens {(forecast.memory_bytes or 0) / 2**30:.2f} GiB a "
        f"worker, --memory {_ceil_mib(forecast.least_memory_bytes or 0)}MiB at the least (slower); "
        f"disk {(forecast.disk_bytes or 0) / 2**20:.1f} MiB"
    )
    if ray is not None and len(forecast.tasks) < 4 * workers:
        words += (
            f"; --parts {-(-4 * workers * job.options['parts'] // len(forecast.tasks))} would keep all workers busy"
        )
    print_result(forecast.to_dict(workers, shard), json, words)


def _ceil_mib(size: int) -> int:
    return -(-size // 2**20)


def check_out(out: Path | None, shard: tuple[int, int] | None) -> None:
    if shard is not None and out is None:
        raise InputError("out: not named; expected the folder in which a shard keeps its results")


def keep(answer: Any, out: Path, name: str, figures: Mapping[str, Callable[[Any], Any]]) -> None:
    """NAME.csv, the figures (by name, what draws each on axes) where matplotlib is installed, and NAME.json last."""
    from importlib.util import find_spec

    from l2m.base import plots
    from l2m.base.files import atomic_write

    answer.write_csv(out / f"{name}.csv")
    if find_spec("matplotlib") is not None:
        for figure, draw in figures.items():
            with atomic_write(out / f"{figure}.svg", "w") as file:
                file.write(plots.svg(draw(plots.new_axes()).figure))
    answer.save(out / f"{name}.json")
