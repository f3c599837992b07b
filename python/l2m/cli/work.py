"""How commands run a job that is cut into tasks: here, one shard of it, or on a cluster; and which files they keep."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from cyclopts import Parameter

from l2m.base.checks import whole
from l2m.cli.inputs import read_shard
from l2m.errors import InputError

if TYPE_CHECKING:
    from l2m.base.records import Record
    from l2m.corpora.corpus import Corpus
    from l2m.counting.tasks import Job, Task
    from l2m.scoring.endpoint import Endpoint

T = TypeVar("T", bound="Task")
Answer = TypeVar("Answer")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Work:
    """The options of every command whose work can be shared: how it runs, never what comes out."""

    threads: int | None = None
    """Threads. Default: all cores; with --ray, cores of a task: 1. Never changes the result."""
    shard: str | None = None
    """I/N, such as 0/16: run only the I-th of N shares, I from 0. Shards may share one --out; else join them with l2m merge."""
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
    """Of the process, mapped tokens apart, such as 2GiB; with --ray, of each worker. Default: full speed. Never changes the result."""
    parts: int | None = None
    """Tasks that a count is cut into: 4 for each worker, or more. Default: 8; more from 5e8 tokens on."""

    def of_job(self, corpus: "Corpus", out: Path | None) -> "JobOptions":
        """How a job runs: in one task if nothing is kept or shared, on one core of a Ray cluster if none are named.

        `--memory` is the memory of the whole process: what it takes already, the mapped tokens apart, is not for counting.
        """
        from l2m.base.process import own_memory

        alone = out is None and self.ray is None
        return {
            "threads": self.cpus or None if self.ray is not None else self.threads,
            "memory": self.memory,
            "reserved": own_memory(corpus.tokens),
            "parts": 1 if self.parts is None and alone else self.parts,
        }

    @property
    def cpus(self) -> int:
        """Cores of a task on Ray; 0: all of a machine."""
        return 1 if self.threads is None else whole("threads", self.threads, 0, 1 << 16)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Server:
    """The options of every command that scores through a server."""

    endpoint: list[str] | None = None
    """Score through a server at this URL, such as http://127.0.0.1:8000; several, separated by commas, serve the same model. The
    model is then the name it is served by (default: the only one). A key comes from L2M_API_KEY or --api-key-file."""
    tokenizer: str | None = None
    """With --endpoint: name or folder of the served model's tokenizer."""
    api: str = "auto"
    """With --endpoint: vllm, openai (echo), sglang, lmdeploy. Default: what the server says it is."""
    api_key_file: Path | None = None
    """With --endpoint: a file that holds the server's key."""
    concurrency: int | None = None
    """With --endpoint: requests at a time. Default: 32."""

    def scorer(self, model: str | None, *, start_token: str | None = None, **options: Any) -> "Endpoint | None":
        """The endpoint; None where none is named.

        Raises:
            InputError: neither a model nor an endpoint, no tokenizer, or an option of servers without one.
        """
        if self.endpoint is None:
            for name in ("tokenizer", "api_key_file", "concurrency"):
                if getattr(self, name) is not None:
                    raise InputError(f"{name}: given without --endpoint; expected the URL of a server too")
            if self.api != "auto":
                raise InputError("api: given without --endpoint; expected the URL of a server too")
            if model is None:
                raise InputError("model: not named; expected --model NAME, or --endpoint URL")
            return None
        from l2m.scoring.endpoint import CONCURRENCY, Endpoint

        if self.tokenizer is None:
            raise InputError("tokenizer: not named; expected name or folder of the served model's tokenizer")
        return Endpoint(
            self.endpoint, tokenizer=self.tokenizer, model=model, api=self.api, start_token=start_token,
            api_key_file=self.api_key_file, concurrency=CONCURRENCY if self.concurrency is None else self.concurrency, **options,
        )  # fmt: skip


class JobOptions(TypedDict):
    """How a job runs, for the jobs of `l2m.counting`."""

    threads: int | None
    memory: str | None
    reserved: int
    parts: int | None


def run_job(job: "Job[T, Answer]", work: CountingWork, out: Path | None, unit: str) -> "Answer | None":
    """The job's answer; None while other shards are still missing in `out`.

    Args:
        unit: of the progress in memory.
    """
    from l2m.base.progress import progress_bar
    from l2m.cli.output import only_results_on_stdout
    from l2m.counting.tasks import run_in_folder, run_tasks

    with (
        progress_bar("counting", unit if out is None and work.ray is None else "tasks") as progress,
        only_results_on_stdout(),
    ):
        if out is not None:
            return run_in_folder(job, out, work.share, progress, ray=work.ray, cpus=work.cpus)
        if work.ray is None:
            return job.run_all(progress)
        results: dict[Any, Any] = {}
        for task, result in run_tasks(job, job.tasks, work.ray, cpus=work.cpus):
            results[task] = result
            if progress is not None:
                progress(len(results), len(job.tasks))
        return job.combine(results)


def show_forecast(job: "Job[Any, Any]", work: CountingWork) -> None:
    """Print what a run will take: here, in this shard, or on a Ray cluster."""
    from l2m.cli.output import only_results_on_stdout, print_result

    forecast, workers, where = job.forecast(), 1, "here"
    if work.ray is not None:
        from l2m.base.cluster import workers_on_ray

        with only_results_on_stdout():
            workers = workers_on_ray(work.ray, cpus=work.cpus)
        where = f"on {workers} workers"
    elif work.shard is not None:
        where = f"in shard {work.shard}"
    [(unit, amount)] = forecast.work.items()
    words = (
        f"{len(forecast.tasks)} tasks, {amount:,} {unit}: about {forecast.seconds(workers, work.share):,.1f} s {where} on "
        f"{forecast.threads} threads; memory {_mib(forecast.memory_bytes)} MiB a worker, mapped tokens apart; --memory "
        f"{_mib(forecast.least_memory_bytes)}MiB or more, less being slower; disk {_mib(forecast.disk_bytes)} MiB"
    )
    if work.ray is not None and len(forecast.tasks) < 4 * workers:
        parts = -(-4 * workers * job.options["parts"] // len(forecast.tasks))
        words += f"; use --parts {parts} to keep all workers busy"
    print_result(forecast.to_dict(workers, work.share), work.json, words)


def _mib(size: int | None) -> str:
    return f"{-(-(size or 0) // 2**20)}"


def check_out(out: Path | None, work: Work) -> None:
    """Refuse a shard that has no folder for its results, and a folder of another run, before anything is written to it."""
    from l2m.base.folders import require_own

    if work.share is not None and out is None:
        raise InputError("out: not named; expected the folder in which a shard keeps its results")
    if out is not None:
        require_own(out, "job.json")


def can_draw() -> bool:
    """Whether matplotlib is installed; where it is not, one line says that the figures are left out."""
    import logging

    from l2m.base.optional import install_hint, installed

    if installed("matplotlib"):
        return True
    logging.getLogger("l2m").info(f"no figures without matplotlib: {install_hint('matplotlib')}")
    return False


def keep(answer: "Record", out: Path, name: str, figures: Mapping[str, Callable[[Any], Any]]) -> None:
    """Write NAME.csv, the figures (name: what draws it on axes) if matplotlib is installed, and NAME.json last."""
    from l2m.base import plots
    from l2m.base.files import atomic_write

    answer.write_csv(out / f"{name}.csv")
    if can_draw():
        for figure, draw in figures.items():
            with atomic_write(out / f"{figure}.svg", "w") as file:
                file.write(plots.svg(draw(plots.new_axes()).figure))
    answer.save(out / f"{name}.json")
