"""Files that are whole or absent: write to a temporary name, fsync, close, rename; checksums that are read back."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from blake3 import blake3

from l2m.errors import InputError


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; on a clean exit it is synced and renamed to `path`, else removed.

    A reader sees the old content or the new, never a part. After a crash the temporary file (`.NAME.RANDOM.tmp`) may
    remain; nothing reads it.
    """
    path = Path(path)
    # Random, because machines that share the folder may give their processes the same number.
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        with open(
            temporary, mode, encoding=None if "b" in mode else "utf-8", newline=None if "b" in mode else ""
        ) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as JSON, atomically, keys in the order given; NaN and infinity are refused."""
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises:
        InputError: no such file, or not JSON.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a JSON file ({error})") from None


def file_hash(path: str | os.PathLike[str]) -> str:
    """BLAKE3 of a file's bytes, as hex."""
    return blake3().update_mmap(path).hexdigest()


def json_hash(value: Any) -> str:
    """BLAKE3 of a JSON value in canonical form (sorted keys, no spaces), as hex."""
    return blake3(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()
