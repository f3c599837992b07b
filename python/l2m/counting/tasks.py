"""Jobs cut into tasks whose results add: run them here, in several processes, or on several machines, and combine.

The answer of a job depends neither on threads and memory nor on where and in which order its tasks ran. A folder keeps a
run: job.json (all that it takes to make the job again) and tasks/NAME.json (results with their checksum), each written whole
or not at all. Several processes may work in one folder at once: a task that two of them do has the same result.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.files import clear_temporaries, json_hash, read_json, write_json
from l2m.base.folders import first_difference, require_own, require_same
from l2m.base.forecast import Forecast
from l2m.base.process import own_memory
from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus
from l2m.errors import InputError

SCHEMA = 1
MOST_PARTS = 1 << 16

_MANIFEST = "job.json"
_JOBS = {"two-point": ("l2m.counting.two_point_job", "TwoPointJob"), "n-grams": ("l2m.counting.ngrams", "NgramsJob")}


class Task(Protocol):
    """One piece of a job; equal tasks are equal pieces."""

    @property
    def name(self) -> str:
        """Of the file that keeps the result."""


T = TypeVar("T", bound=Task)
Answer = TypeVar("Answer", covariant=True)


class Job(Protocol[T, Answer]):
    """What can be run in a folder, in shards and on a cluster."""

    @property
    def corpus(self) -> Corpus:
        """What is counted."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What `remake` takes to make an equal job of the same corpus, JSON-ready; threads and memory change nothing."""

    @property
    def memory(self) -> int | None:
        """The budget in bytes."""

    @property
    def reserved(self) -> int:
        """Bytes of the budget that other things in this process take; 0 if the budget is for counting alone."""

    @property
    def least_memory(self) -> int:
        """The smallest budget with which the job can run."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is measured on what, JSON-ready: two runs with equal settings have equal results. `settings["job"]` names the
        kind of job."""

    @property
    def tasks(self) -> Sequence[T]:
        """In the order in which they are best run: the same wherever the settings are equal."""

    def run(self, task: T, progress: Progress | None = None) -> Any:
        """The result of one task, JSON-ready and exact."""

    def run_all(self, progress: Progress | None = None) -> Answer:
        """The answer, from every task run here."""

    def forecast(self) -> Forecast:
        """What it will take."""

    def check(self, task: T, result: object) -> None:
        """Refuse what cannot be the result of this task (InputError, without the file's name)."""

    def combine(self, results: Mapping[T, Any]) -> Answer:
        """The answer from the results of all tasks."""


def run_in_folder(
    job: Job[T, Answer],
    folder: str | os.PathLike[str],
    shard: tuple[int, int] | None = None,
    progress: Progress | None = None,
    *,
    ray: str | None = None,
    cpus: int = 1,
) -> Answer | None:
    """Run a job's tasks and keep their results in `folder`; a task whose result is there already is not run again.

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
        _write(job, folder, task, result)
        if progress is not None:
            progress(done + number, len(mine))
    if not all(_path(folder, task).exists() for task in job.tasks):
        return None
    return _combine(job, folder, {task: _read(job, folder, task) for task in job.tasks})


def run_tasks(
    job: Job[T, Answer], tasks: Sequence[T], ray: str | None = None, *, cpus: int = 1
) -> Iterator[tuple[T, Any]]:
    """(task, result) of these tasks as they finish.

    Args:
        ray: address of a Ray cluster (`l2m.base.cluster.run_on_ray`) whose machines all see the corpus's folder or URL: each
            worker process makes the job once and maps or fetches the corpus, and only results travel. None: this process.
        cpus: cores of a task on Ray; 0: all of the smallest machine. Every worker holds the ranks of all tokens.

    Raises:
        InputError: a corpus in memory with `ray`; see also `run_on_ray`.
    """
    if ray is None:
        yield from ((task, job.run(task)) for task in tasks)
    elif job.corpus.folder is None:
        raise InputError("ray: a corpus in memory; expected a folder that l2m tokenize wrote, or --out")
    elif tasks:
        from l2m.base.cluster import run_on_ray

        make = partial(remake, describe(job))
        run, again = (
            partial(_run_task, uuid4().hex, maker)
            for maker in (
                partial(make, memory=job.memory, whole_process=job.reserved > 0),
                partial(make, frugal=True, whole_process=job.reserved > 0),
            )
        )
        yield from run_on_ray(run, tasks, ray, cpus=cpus, frugal=again)


_made: dict[str, Job[Any, Any]] = {}


def _run_task(run: str, make: Callable[[], Job[Any, Any]], task: Task) -> Any:
    """On a worker of Ray."""
    if run not in _made:
        _made.clear()  # a worker that outlives one run holds one corpus, not all of them
        _made[run] = make()
    return _made[run].run(task)


def describe(job: Job[Any, Any]) -> dict[str, Any]:
    """All that it takes to make the job again: the content of job.json."""
    return {
        "kind": "job", "schema": SCHEMA, "settings": dict(job.settings), "options": dict(job.options),
        "corpus": job.corpus.folder,
    }  # fmt: skip


def remake(
    description: Mapping[str, Any],
    *,
    corpus: Corpus | None = None,
    memory: int | None = None,
    whole_process: bool = False,
    frugal: bool = False,
) -> Job[Any, Any]:
    """The job that was described, on the corpus where it was, or on this copy of it.

    Args:
        memory: in bytes, of the whole process with `whole_process`.
        frugal: with the least memory.

    Raises:
        InputError: no such corpus there, other tokens, options that no job has, or a version of l2m that makes another job of
            these options.
    """
    folder, settings = description["corpus"], description["settings"]
    if corpus is None:
        if folder is None:
            raise InputError("corpus: the job was started with one in memory; name its folder with --corpus")
        try:
            corpus = Corpus.open(folder)
        except InputError as error:
            raise InputError(
                f"{error}; the job needs its corpus there: if it was moved, name it with --corpus"
            ) from None
    if corpus.hash != settings.get("corpus"):
        raise InputError(
            f"{corpus.folder}: corpus {corpus.hash!r}, but {settings.get('corpus')!r} when the job began; "
            "expected the same corpus"
        )
    module, name = _JOBS[settings["job"]]
    kind = getattr(import_module(module), name)
    reserved = own_memory(corpus.tokens) if whole_process else 0
    job: Job[Any, Any] = kind.remake(corpus, description["options"], memory=memory, reserved=reserved)
    if difference := first_difference(settings, job.settings):
        name, expected, found = difference
        raise InputError(
            f"{corpus.folder}: {name} {found!r}, but {expected!r} when the job began; "
            "expected the same corpus and version of l2m"
        )
    if frugal:
        job = kind.remake(corpus, description["options"], memory=job.least_memory, reserved=reserved)
    return job


def merge_folders(
    folders: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], corpus: Corpus | None = None
) -> tuple[Job[Any, Any], Any]:
    """Bring the results of all shards into `out`, which is then as if one run had written it; the job and its answer.

    Args:
        folders: one that all shards shared, or those of each. `out` may be among them.
        corpus: where it is now; None: where it was when the job began.

    Raises:
        InputError: a folder without a job or of another one (the setting is named), a task that two folders hold, one that no
            folder holds (named with the --shard that brings it), or a damaged result.
    """
    out, paths = Path(out), [Path(folder) for folder in folders]
    held = [read_description(path) for path in paths]
    for path, other in zip(paths, held, strict=True):
        if difference := first_difference(held[0]["settings"], other["settings"]):
            name, expected, found = difference
            raise InputError(f"{path}: {name} {found!r}, but {expected!r} in {paths[0]}; expected shards of one job")
    job = remake(held[0], corpus=corpus)
    holder: dict[Any, Path] = {}
    for path in paths:
        for task in job.tasks:
            if not _path(path, task).exists() or (path != out and _path(out, task).exists() and out in paths):
                continue
            if task in holder:
                raise InputError(f"{path}: task {task.name} is in {holder[task]} too: the same shard twice?")
            holder[task] = path
    missing = [number for number, task in enumerate(job.tasks) if task not in holder]
    if missing:
        named = ", ".join(job.tasks[number].name for number in missing[:4]) + (", ..." if len(missing) > 4 else "")
        raise InputError(
            f"{paths[0]}: of {len(job.tasks)} tasks, missing: {named}; run again: {_shards_with(missing, len(job.tasks))}"
        )
    results = {task: _read(job, path, task) for task, path in holder.items()}
    answer = _combine(job, paths[0], results)
    claim(job, out)
    for task, path in holder.items():
        if path != out:
            _write(job, out, task, results[task])
    return job, answer


def _shards_with(missing: Sequence[int], tasks: int) -> str:
    """The fewest shards that together are these tasks; every n-th task is a shard, however the others were cut."""
    absent = set(missing)
    for shards in range(1, tasks + 1):
        indices = sorted({number % shards for number in missing})
        if {number for index in indices for number in range(index, tasks, shards)} == absent:
            break
    words = [f"--shard {index}/{shards}" for index in indices] if shards > 1 else ["without --shard"]
    return ", ".join(words[:8]) + (", ..." if len(words) > 8 else "")


def claim(job: Job[Any, Any], folder: Path) -> None:
    """Make `folder` the job's.

    Raises:
        InputError: the folder holds another run; the setting that differs is named.
    """
    require_own(folder, _MANIFEST)
    if holds_job(folder):
        require_same(folder, read_description(folder)["settings"], job.settings)
        clear_temporaries(folder)
        clear_temporaries(folder / "tasks")
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    if not holds_job(folder):
        write_json(folder / _MANIFEST, describe(job))


def holds_job(folder: str | os.PathLike[str]) -> bool:
    """Whether `folder` keeps a run."""
    return Path(folder, _MANIFEST).exists()


def read_description(folder: Path) -> dict[str, Any]:
    """What job.json holds, checked.

    Raises:
        InputError: no such file, one of another version, or one that was edited or damaged.
    """
    path = folder / _MANIFEST
    if not holds_job(folder):
        raise InputError(f"{folder}: no {_MANIFEST}; expected a folder that a shard wrote to")
    held = read_json(path)
    if not isinstance(held, dict) or held.get("kind") != "job" or held.get("schema") != SCHEMA:
        raise InputError(f"{path}: not a job of this version of l2m; use an empty folder, or one of the same job")
    settings, options, corpus = (held.get(name) for name in ("settings", "options", "corpus"))
    if (
        not isinstance(settings, dict)
        or not isinstance(options, dict)
        or not (corpus is None or (isinstance(corpus, str) and "\0" not in corpus))
        or settings.get("job") not in tuple(_JOBS)
    ):
        raise InputError(
            f"{path}: damaged or edited: no settings, options and corpus of a job; remove it and run the job again"
        )
    return held


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What counting takes on one thread, timed on a few percent of a corpus.

    Attributes:
        walk: seconds in which the corpus is passed by, nothing being counted.
        token: seconds of each first token that is counted.
        size: bytes of the results on disk if all tokens are counted in one task.
    """

    walk: float
    token: float
    size: float

    def seconds(self, tokens: float) -> float:
        """Of a walk that counts so many first tokens."""
        return self.walk + self.token * tokens

    def result_bytes(self, share: float) -> float:
        """Of a task that counts this share of all first tokens: fingerprints grow with the root of what is counted."""
        return self.size * float(np.sqrt(share))


def calibrate(
    frequencies: NDArray[np.uint64], count: Callable[[int, int], Any], *, whole: int | None = None
) -> Calibration:
    """Time counting on this machine.

    Args:
        frequencies: how often each id occurs, in the order in which ids are cut.
        count: the JSON-ready result over first tokens low..high, on one thread.
        whole: None: `count` is called on three ranges of a few percent. Else once on all ids: it does a part of the work that
            cannot be cut by ids, one in `whole`.
    """
    import json

    def timed(low: int, high: int) -> tuple[float, int]:
        start = perf_counter()
        result = count(low, high)
        return perf_counter() - start, len(json.dumps(result, indent=1))

    ends = np.concatenate([[0], np.cumsum(frequencies)]).astype(np.int64)
    total = max(1, int(ends[-1]))
    if whole is not None:
        took, written = timed(0, frequencies.size)
        return Calibration(walk=0, token=took * whole / total, size=written * whole)
    ranges = [bounds for part in range(64) if (bounds := part_of(frequencies, part, 64))[0] < bounds[1]]
    walk, _ = timed(frequencies.size - 1, frequencies.size)
    took, tokens, size = 0.0, 0, 0.0
    for low, high in (ranges[0], ranges[len(ranges) // 2], ranges[-1]):
        spent, written = timed(low, high)
        here = int(ends[high] - ends[low])
        took, tokens = took + max(spent - walk, 0), tokens + here
        size += written / np.sqrt(here / total) / 3
    return Calibration(walk=walk, token=took / tokens, size=size)


def check_parts(parts: int) -> int:
    """Tasks that a count is cut into."""
    return checks.whole("parts", parts, 1, MOST_PARTS)


def default_parts(corpus: Corpus) -> int:
    """8; more from 5e8 tokens on, so that a task has at most 6.7e7 tokens."""
    return min(MOST_PARTS, max(8, corpus.tokens.size >> 26))


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


def _path(folder: Path, task: Task) -> Path:
    return folder / "tasks" / f"{task.name}.json"


def _write(job: Job[T, Any], folder: Path, task: T, result: Any) -> None:
    kept = {
        "schema": SCHEMA, "job": json_hash(dict(job.settings)), "task": task.name, "checksum": json_hash(result), "result": result,
    }  # fmt: skip
    write_json(_path(folder, task), kept)


def _read(job: Job[T, Any], folder: Path, task: T) -> Any:
    """The result of a task, its checksum and its form checked."""
    path = _path(folder, task)
    value = read_json(path)
    try:
        intact = isinstance(value, dict) and json_hash(value.get("result")) == value.get("checksum")
    except ValueError:  # NaN and infinity, which are never written
        intact = False
    if not intact:
        raise InputError(f"{path}: its checksum differs: damaged; remove it and run the same command again")
    try:
        if value.get("schema") != SCHEMA or value.get("task") != task.name:
            raise InputError(f"the result of task {value.get('task')!r} in schema {value.get('schema')!r}")
        # Version 0.1 did not name the job.
        if value.get("job", own := json_hash(dict(job.settings))) != own:
            raise InputError("the result of another job")
        job.check(task, value["result"])
    except InputError as error:
        raise InputError(
            f"{path}: not the result of this task ({error}); remove it and run the same command again"
        ) from None
    return value["result"]


def _combine(job: Job[T, Answer], folder: Path, results: Mapping[T, Any]) -> Answer:
    try:
        return job.combine(results)
    except InputError as error:
        raise InputError(f"{folder / 'tasks'}: {error}; remove the folder and run the job again") from None
