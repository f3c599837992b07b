"""How commands run a job that is cut into tasks: here, a share of it, on a cluster; and what they keep of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2m.errors import InputError

if TYPE_CHECKING:
    from l2m.tasks import Job


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
    from l2m.cli.output import only_results_on_stdout
    from l2m.progress import progress_bar
    from l2m.tasks import run_in_folder, run_tasks

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


def check_out(out: Path | None, shard: tuple[int, int] | None) -> None:
    if shard is not None and out is None:
        raise InputError("out: not named; expected the folder in which a shard keeps its results")


def keep(answer: Any, out: Path, name: str, **drawn: Any) -> None:
    """NAME.csv, its figures where matplotlib is installed, and NAME.json last."""
    from importlib.util import find_spec

    from l2m import plots
    from l2m.files import atomic_write

    answer.write_csv(out / f"{name}.csv")
    if find_spec("matplotlib") is not None:
        with atomic_write(out / f"{name}.svg", "w") as file:
            file.write(plots.svg(answer.plot(plots.new_axes(), **drawn).figure))
        if getattr(answer, "subsample_information", None) is not None:
            with atomic_write(out / f"{name}_subsamples.svg", "w") as file:
                file.write(plots.svg(answer.plot_subsamples(plots.new_axes()).figure))
    answer.save(out / f"{name}.json")
