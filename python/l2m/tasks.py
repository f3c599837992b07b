"""Jobs cut into tasks whose results add: run them here, in several processes, or on several machines, and combine.

A job has `settings` (what it measures, JSON), `tasks` (names, the same for the same corpus and settings everywhere), `run(name)` (a
JSON value of integers, exact) and `combine(results)`. Its answer depends neither on threads and memory nor on where and in
which order the tasks ran.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from l2m.errors import InputError
from l2m.files import json_hash, read_json, write_json
from l2m.progress import Progress

SCHEMA = 1


class Job(Protocol):
    """What can be run in a folder."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is measured on what, JSON-ready: two runs with equal settings have equal results."""

    @property
    def tasks(self) -> Sequence[str]:
        """Names of the tasks, in the order in which they are best run."""

    def run(self, task: str, progress: Progress | None = None) -> Any:
        """The result of one task, JSON-ready."""

    def combine(self, results: Mapping[str, Any]) -> Any:
        """The answer from the results of all tasks."""


def run_in_folder(
    job: Job, folder: str | os.PathLike[str], shard: tuple[int, int] | None = None, progress: Progress | None = None
) -> Any | None:
    """Run a job's tasks with their results kept in `folder`; what is there already is not run again.

    Args:
        job: the job.
        folder: job.json (the settings) and tasks/NAME.json (results with their checksum), each written whole or not at all.
        shard: (i, n), zero-based: every n-th task from the i-th on. None: all.
        progress: called with (tasks done, tasks to do).

    Returns:
        The combined answer once every task's result is in the folder, else None.

    Raises:
        InputError: the folder holds another job (the setting that differs is named), or a damaged result.
    """
    folder = Path(folder)
    claim(job, folder)
    mine = list(job.tasks)[shard[0] :: shard[1]] if shard else list(job.tasks)
    missing = [task for task in mine if not _path(folder, task).exists()]
    for number, task in enumerate(missing):
        if progress is not None:
            progress(len(mine) - len(missing) + number, len(mine))
        result = job.run(task)
        write_json(
            _path(folder, task), {"schema": SCHEMA, "task": task, "checksum": json_hash(result), "result": result}
        )
    return combine_folders(job, [folder]) if all(_path(folder, task).exists() for task in job.tasks) else None


def claim(job: Job, folder: Path) -> None:
    """Make `folder` the job's; refuse it where it is another's."""
    manifest = folder / "job.json"
    if not manifest.exists():
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        return write_json(manifest, {"kind": "job", "schema": SCHEMA, "settings": dict(job.settings)})
    held = read_json(manifest)
    if not isinstance(held, dict) or held.get("kind") != "job" or held.get("schema") != SCHEMA:
        raise InputError(f"{manifest}: not the manifest of a job; expected an empty folder or one of the same job")
    for name, value in job.settings.items():
        if held["settings"].get(name) != value:
            raise InputError(
                f"{folder}: holds a run with {name} = {held['settings'].get(name)!r}, not {value!r}; expected another folder"
            )
    return None


def combine_folders(job: Job, folders: Sequence[str | os.PathLike[str]]) -> Any:
    """The answer from results that lie in several folders (shards).

    Raises:
        InputError: a folder of another job, a damaged result, or tasks without a result (they are named).
    """
    results = {}
    for folder in map(Path, folders):
        claim(job, folder)
        for task in job.tasks:
            if task not in results and _path(folder, task).exists():
                results[task] = _read(_path(folder, task), task)
    missing = [task for task in job.tasks if task not in results]
    if missing:
        raise InputError(
            f"{', '.join(map(str, folders))}: no result of {len(missing)} tasks ({', '.join(missing[:5])}, ...)"
        )
    return job.combine(results)


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


def _read(path: Path, task: str) -> Any:
    value = read_json(path)
    if (
        not isinstance(value, dict)
        or value.get("task") != task
        or json_hash(value.get("result")) != value.get("checksum")
    ):
        raise InputError(f"{path}: its checksum differs: damaged; remove it and run the same command again")
    return value["result"]
