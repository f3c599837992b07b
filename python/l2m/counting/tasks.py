"""Jobs cut into tasks whose results add: run them here, in several processes, or on several machines, and combine.

The answer of a job depends neither on threads and memory nor on where and in which order its tasks ran. A folder keeps a
run: job.json (what it takes to make the job again) and tasks/NAME.json (results with their checksum), each written whole or
not at all.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from l2m.base.files import json_hash, read_json, write_json
from l2m.base.forecast import Forecast
from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus
from l2m.errors import InputError

SCHEMA = 1
_JOBS = {"two-point": ("l2m.counting.two_point", "TwoPointJob"), "n-grams": ("l2m.counting.ngrams", "NgramsJob")}


class Job(Protocol):
    """What can be run in a folder, in shards and on a cluster."""

    @property
    def corpus(self) -> Corpus:
        """What is counted."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The arguments, JSON-ready, that make an equal job of the same corpus; threads and memory change nothing."""

    memory: int | None
    """The budget in bytes."""

    @property
    def least_memory(self) -> int:
        """The smallest budget with which it can run."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is measured on what, JSON-ready: two runs with equal settings have equal results. `settings["job"]` names the
        kind of job."""

    @property
    def tasks(self) -> Sequence[str]:
        """Names of the tasks, in the order in which they are best run: the same wherever the settings are equal."""

    def run(self, task: str, progress: Progress | None = None) -> Any:
        """The result of one task, JSON-ready and exact."""

    def run_all(self, progress: Progress | None = None) -> Any:
        """The answer, from every task run here."""

    def forecast(self) -> Forecast:
        """What it will take."""

    def combine(self, results: Mapping[str, Any]) -> Any:
        """The answer from the results of all tasks."""


def run_in_folder(
    job: Job,
    folder: str | os.PathLike[str],
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
    *,
    ray: str | None = None,
    cpus: int = 1,
) -> Any | None:
    """Run a job's tasks with their results kept in `folder`; what is there already is not run again.

    Args:
        job: the job.
        folder: see the module.
        shard: (i, n), zero-based: every n-th task from the i-th on. None: all.
        progress: called with (tasks done, tasks to do).
        ray, cpus: as in `run_tasks`. Only this process writes to `folder`.

    Returns:
        The combined answer once every task's result is in the folder, else None.

    Raises:
        InputError: the folder holds another job (the setting that differs is named), or a damaged result.
    """
    folder = Path(folder)
    claim(job, folder)
    mine = list(job.tasks)[shard[0] :: shard[1]] if shard else list(job.tasks)
    missing = [task for task in mine if not _path(folder, task).exists()]
    done = len(mine) - len(missing)
    if progress is not None:
        progress(done, len(mine))
    for number, (task, result) in enumerate(run_tasks(job, missing, ray, cpus=cpus), 1):
        _write(folder, task, result)
        if progress is not None:
            progress(done + number, len(mine))
    if not all(_path(folder, task).exists() for task in job.tasks):
        return None
    return job.combine({task: _read(folder, task) for task in job.tasks})


def run_tasks(job: Job, tasks: Sequence[str], ray: str | None = None, *, cpus: int = 1) -> Iterator[tuple[str, Any]]:
    """(task, result) of these tasks as they are done.

    Args:
        ray: address of a Ray cluster (`l2m.base.cluster.run_on_ray`), whose machines all see the corpus's folder or URL: each
            worker maps or fetches it, and only results travel. None: this process.
        cpus: cores of a task on Ray; 0: all of the smallest machine. Every worker holds the ranks of all tokens.
    """
    if ray is None:
        yield from ((task, job.run(task)) for task in tasks)
    elif job.corpus.folder is None:
        raise InputError("ray: a corpus in memory; expected a folder that l2m tokenize wrote, or --out")
    elif tasks:
        from l2m.base.cluster import run_job_on_ray

        make = partial(remake, describe(job))
        frugal = partial(make, frugal=True)
        yield from run_job_on_ray(partial(make, memory=job.memory), tasks, ray, cpus=cpus, frugal=frugal)


def describe(job: Job) -> dict[str, Any]:
    """All that it takes to make the job again: the content of job.json."""
    return {
        "kind": "job", "schema": SCHEMA, "settings": dict(job.settings), "options": dict(job.options),
        "corpus": job.corpus.folder,
    }  # fmt: skip


def remake(
    description: Mapping[str, Any], *, corpus: Corpus | None = None, memory: int | None = None, frugal: bool = False
) -> Job:
    """The job that was described, on the corpus where it was, or on this copy of it; `frugal`: with the least memory.

    Raises:
        InputError: no such corpus there, other tokens, or a version of l2m that makes another job of these options.
    """
    folder, settings = description["corpus"], description["settings"]
    if corpus is None:
        if folder is None:
            raise InputError("corpus: the job began with one in memory; expected its folder, named with --corpus")
        try:
            corpus = Corpus.open(folder)
        except InputError as error:
            raise InputError(
                f"{error}; the job's corpus is expected there: if it was moved, name it with --corpus"
            ) from None
    module, name = _JOBS[settings["job"]]
    job: Job = getattr(import_module(module), name)(corpus, **description["options"], memory=memory)
    if difference := first_difference(settings, job.settings):
        name, expected, found = difference
        raise InputError(
            f"{corpus.folder}: {name} {found!r}, but {expected!r} where the job began; expected one corpus and version of l2m"
        )
    if frugal:
        job.memory = job.least_memory
    return job


def merge_folders(
    folders: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], corpus: Corpus | None = None
) -> tuple[Job, Any]:
    """Bring the results of all shards into `out`, which is then as if one run had written it; the job and its answer.

    Args:
        folders: one that all shards shared, or those of each. `out` may be among them.
        corpus: where it is now; None: where it was when the job began.

    Raises:
        InputError: a folder without a job or of another one (the setting is named), a task that two folders hold, one that no
            folder holds (named with the --shard that brings it), or a damaged result.
    """
    out, paths = Path(out), [Path(folder) for folder in folders]
    held = [_description(path) for path in paths]
    for path, other in zip(paths, held, strict=True):
        if difference := first_difference(held[0]["settings"], other["settings"]):
            name, expected, found = difference
            raise InputError(f"{path}: {name} {found!r}, but {expected!r} in {paths[0]}; expected shards of one job")
    job = remake(held[0], corpus=corpus)
    holder: dict[str, Path] = {}
    for path in paths:
        for task in job.tasks:
            if not _path(path, task).exists() or (path != out and _path(out, task).exists() and out in paths):
                continue
            if task in holder:
                raise InputError(f"{path}: task {task} is in {holder[task]} too: the same shard twice?")
            holder[task] = path
    missing = [number for number, task in enumerate(job.tasks) if task not in holder]
    if missing:
        named = ", ".join(job.tasks[number] for number in missing[:4]) + (", ..." if len(missing) > 4 else "")
        raise InputError(
            f"{paths[0]}: of {len(job.tasks)} tasks, missing: {named}; run again: {_shards_with(missing, len(job.tasks))}"
        )
    results = {task: _read(path, task) for task, path in holder.items()}
    claim(job, out)
    for task, path in holder.items():
        if path != out:
            _write(out, task, results[task])
    return job, job.combine(results)


def _shards_with(missing: Sequence[int], tasks: int) -> str:
    """The fewest shards that together are these tasks; every n-th task is a shard, however the others were cut."""
    absent = set(missing)
    for shards in range(1, tasks + 1):
        indices = sorted({number % shards for number in missing})
        if {number for index in indices for number in range(index, tasks, shards)} == absent:
            break
    words = [f"--shard {index}/{shards}" for index in indices] if shards > 1 else ["without --shard"]
    return ", ".join(words[:8]) + (", ..." if len(words) > 8 else "")


def first_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first setting that differs: its name, and both values."""
    names = [*first, *(name for name in second if name not in first)]
    return next(
        ((name, first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)), None
    )


def claim(job: Job, folder: Path) -> None:
    """Make `folder` the job's; refuse it where it is another's."""
    if not (folder / "job.json").exists():
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        return write_json(folder / "job.json", describe(job))
    if difference := first_difference(_description(folder)["settings"], job.settings):
        name, held, wanted = difference
        raise InputError(f"{folder}: holds a run with {name} = {held!r}, not {wanted!r}; expected another folder")
    return None


def holds_job(folder: str | os.PathLike[str]) -> bool:
    """Whether `folder` keeps a run."""
    return Path(folder, "job.json").exists()


def _description(folder: Path) -> dict[str, Any]:
    if not holds_job(folder):
        raise InputError(f"{folder}: no job.json; expected a folder that a shard wrote to")
    held = read_json(folder / "job.json")
    if not isinstance(held, dict) or held.get("kind") != "job" or held.get("schema") != SCHEMA:
        raise InputError(
            f"{folder / 'job.json'}: not a job of this version of l2m; expected an empty folder or the same job's"
        )
    return held


def cores() -> int:
    """Threads where none are named: RAYON_NUM_THREADS, else the cores this process may use."""
    value = os.environ.get("RAYON_NUM_THREADS", "")
    return int(value) if value.isdecimal() and int(value) else len(os.sched_getaffinity(0))


def part_of(frequencies: NDArray[np.uint64], part: int, parts: int) -> tuple[int, int]:
    """One of `parts` ranges of ids, (first, end), that hold about the same number of tokens; it may be empty.

    Args:
        frequencies: how often each id occurs, in the order in which ids are cut.
    """
    ends = np.cumsum(frequencies)
    if ends.size == 0:
        return 0, 0
    cuts = np.searchsorted(ends, np.arange(1, parts) * (int(ends[-1]) / parts), side="left") + 1
    cuts = np.concatenate([[0], np.minimum(cuts, ends.size), [ends.size]])
    return int(cuts[part]), int(cuts[part + 1])


def parse_memory(memory: int | str | None) -> int | None:
    """Bytes of "2GiB", "500 MB", "1e9" or a number."""
    if memory is None or (isinstance(memory, int) and not isinstance(memory, bool)):
        value: float | None = memory
    else:
        text = str(memory).strip().lower().replace(" ", "")
        digits = text.rstrip("bkmgti")
        unit = text[len(digits) :].removesuffix("b")
        scale = {
            "": 1,
            "k": 10**3,
            "m": 10**6,
            "g": 10**9,
            "t": 10**12,
            "ki": 2**10,
            "mi": 2**20,
            "gi": 2**30,
            "ti": 2**40,
        }
        try:
            value = float(digits) * scale[unit]
        except (ValueError, KeyError):
            raise InputError(f"memory: {memory!r}; expected bytes, or a size as 2GiB or 500MB") from None
    if value is not None and not 0 < value < 2**63:
        raise InputError(f"memory: {memory!r}; expected a positive number of bytes")
    return None if value is None else int(value)


def _path(folder: Path, task: str) -> Path:
    return folder / "tasks" / f"{task}.json"


def _write(folder: Path, task: str, result: Any) -> None:
    write_json(_path(folder, task), {"schema": SCHEMA, "task": task, "checksum": json_hash(result), "result": result})


def _read(folder: Path, task: str) -> Any:
    path = _path(folder, task)
    value = read_json(path)
    if (
        not isinstance(value, dict)
        or value.get("task") != task
        or json_hash(value.get("result")) != value.get("checksum")
    ):
        raise InputError(f"{path}: its checksum differs: damaged; remove it and run the same command again")
    return value["result"]
