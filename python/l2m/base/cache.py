"""The user's cache folder: what is made or fetched once and kept, checked each time it is used."""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from l2m.base.files import file_hash, read_json, sync_folder, write_json
from l2m.errors import InputError

# A folder under a temporary name that is older was left by a run that was killed: no conversion takes a day.
_ABANDONED_SECONDS = 24 * 3600
_MANIFEST = "files.json"


def kept_folder(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder` of the cache as `make` wrote it: made now unless it is there, whole and unchanged.

    A list of every file's BLAKE3 is kept with the files and read back before each use. A folder with other files than its
    list (damaged, planted, or from an older version) is made again, and a warning says so.

    Args:
        folder: where it is kept; its name says what it was made from.
        make: writes the files into the empty folder it is given.
    """
    if (folder / _MANIFEST).exists() and _unchanged(folder):
        return folder
    if folder.exists() or folder.is_symlink():
        logging.getLogger("l2m").warning(f"{folder}: not as it was made; it is made again")
        _remove(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=folder.parent))
    try:
        make(temporary)
        names = sorted(path.name for path in temporary.iterdir())
        write_json(temporary / _MANIFEST, {name: file_hash(temporary / name) for name in names})
        try:
            os.replace(temporary, folder)
        except OSError:  # another process made it meanwhile
            if not _unchanged(folder):
                raise
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _unchanged(folder: Path) -> bool:
    try:
        listed = read_json(folder / _MANIFEST)
        found = {path.name for path in folder.iterdir()} - {_MANIFEST}
        return (
            isinstance(listed, dict)
            and found == set(listed)
            and all((folder / name).is_file() and file_hash(folder / name) == listed[name] for name in found)
        )
    except (InputError, OSError, ValueError):
        return False


def _remove(folder: Path) -> None:
    """Out of the way in one step, then away."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
        return
    away = Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=folder.parent))
    os.replace(folder, away)
    shutil.rmtree(away, ignore_errors=True)


def _clear_abandoned(parent: Path) -> None:
    for path in parent.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
