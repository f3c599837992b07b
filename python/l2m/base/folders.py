"""One folder, one run: who it belongs to, who is writing to it, and what a killed run left in it."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from l2m.base.files import clear_temporaries, read_sealed, write_sealed
from l2m.errors import InputError

MANIFESTS = {
    "corpus.json": "a corpus",
    "job.json": "a counting job",
    "scores.json": "scores",
    "run.json": "a measurement",
    "config.json": "a training run",
    "written.json": "the results of another command",
}
"""File that makes a folder a run's -> what it then holds."""
RESULTS = "written.json"
"""Manifest of the commands that keep results and nothing to resume; see `claim`."""


HELD: list[Path] = []
"""Folders that this process has locked, in order."""
_WORK = ("parts/*/*", "tasks/*", "passes/*", "checkpoints/*", "two_point.json", "corpus.json", "*/passes/*", "*/parts/*/*",
         "*/corpus.json", "*/checkpoints/*")  # fmt: skip


def keeps_work(folder: Path) -> bool:
    """Whether a run that was stopped left work in its folder that the next one takes up."""
    return any(next(folder.glob(pattern), None) is not None for pattern in _WORK)


def first_difference(held: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first setting that differs, in nested mappings under its dotted name; and both values."""
    for name in [*held, *(name for name in asked if name not in held)]:
        there, here = held.get(name), asked.get(name)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            if difference := first_difference(there, here):
                return (f"{name}.{difference[0]}", *difference[1:])
        elif there != here:
            return name, there, here
    return None


def require_same(folder: str | os.PathLike[str], held: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse a folder that was started with other settings.

    Raises:
        InputError: naming the folder, the first setting that differs and both values.
    """
    if difference := first_difference(held, asked):
        name, there, here = difference
        raise InputError(
            f"{os.fspath(folder)}: holds a run with {name} = {_short(there)}, not {_short(here)}; "
            "use the same settings to resume it, or another folder"
        )


def require_own(folder: str | os.PathLike[str], manifest: str) -> None:
    """Refuse a folder that belongs to a run of another kind, as its manifest shows.

    Args:
        manifest: the file, of `MANIFESTS`, by which runs of this kind are known.

    Raises:
        InputError: `folder` is a file, or holds the manifest of another kind of run.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file; expected a folder")
    if (folder / manifest).exists():
        return
    for name, what in MANIFESTS.items():
        if name != manifest and (folder / name).exists():
            raise InputError(f"{folder}: holds {what} ({name}); use another folder")
    if manifest != "corpus.json" and (folder / "parts").is_dir():
        raise InputError(f"{folder}: holds parts of a corpus (parts); use another folder")


def record_name(name: str) -> str:
    """NAME.json for one of several records in a folder; NAME-record.json where NAME.json would make the folder another run's."""
    return f"{name}-record.json" if f"{name}.json" in MANIFESTS else f"{name}.json"


def claim(folder: str | os.PathLike[str], command: str, settings: Mapping[str, Any]) -> None:
    """Make `folder` that of one command with these settings; the same command may write its results there again.

    Args:
        settings: what the results follow from, hashes of the input included; JSON.

    Raises:
        InputError: the folder holds another run, or results of other settings (the first that differs is named).
    """
    folder = Path(folder)
    require_own(folder, RESULTS)
    asked = json.loads(json.dumps({"command": command, **settings}))
    path = folder / RESULTS
    if path.exists():
        require_same(folder, {name: value for name, value in read_sealed(path).items() if name != "checksum"}, asked)
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_sealed(path, asked)


@contextmanager
def lock(folder: str | os.PathLike[str], name: str = ".lock", *, shared: bool = False) -> Iterator[None]:
    """Hold `folder` for this process alone. The lock file names the host and process that hold it.

    The operating system drops the lock of a process that ends in any way, so a lock never outlives its owner.

    Args:
        name: of the lock file, a path inside `folder`.
        shared: hold it with others that share it, against those that want it alone.

    Raises:
        InputError: another process holds it (its host and process number are named).
    """
    path = Path(folder) / name
    HELD.append(Path(folder))
    descriptor = None
    while descriptor is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # the last owner removed the folder in between
            continue
        if not _take(descriptor, shared=shared):
            owner = _owner(descriptor)
            os.close(descriptor)
            raise InputError(f"{os.fspath(folder)}: in use by {owner}; wait for it, or use another folder")
        if not _is_at(descriptor, path):  # the last owner removed the file in between: its lock is worth nothing
            os.close(descriptor)
            descriptor = None
    try:
        owner_now = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode()
        os.ftruncate(descriptor, os.pwrite(descriptor, owner_now, 0))
        clear_temporaries(folder)
        yield
    finally:
        # Only who holds it alone may remove it: whoever opened it before finds another file there, or none.
        if (not shared or _take(descriptor, shared=False)) and _is_at(descriptor, path):
            with suppress(OSError):
                path.unlink()
        os.close(descriptor)


def _take(descriptor: int, *, shared: bool) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return shared
    else:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            pass
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one of this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _owner(descriptor: int) -> str:
    try:
        held = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {held['pid']} on {held['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
