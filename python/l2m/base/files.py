"""Files that are whole or absent: write to a temporary name, fsync, close, rename; checksums that are read back."""

import json
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from blake3 import blake3

from l2m.errors import InputError

_MOST_JSON_BYTES = 1 << 30
"""A tokenizer's are 30 MB; a record of a million windows is 300 MB."""
TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)-[0-9a-f]{12}\.tmp")
"""Names of `temporary_path`: the machine and the process that made it stand in them."""


def temporary_path(path: Path) -> Path:
    """A name beside `path` that no other process on any machine uses: .NAME.HOST-PID-RANDOM.tmp"""
    return path.with_name(f".{path.name}.{_host()}-{os.getpid()}-{os.urandom(6).hex()}.tmp")


def owner_is_gone(match: re.Match[str]) -> bool:
    """Whether the process that made a temporary file (a match of `TEMPORARY`) ran on this machine and has ended."""
    if match[1] != _host():
        return False
    try:
        os.kill(int(match[2]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _host() -> str:
    return blake3(socket.gethostname().encode()).hexdigest()[:8]


_cleared: set[str] = set()
"""Folders in which this process has looked for what killed ones left: once each, for a folder may hold many files."""


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; on a clean exit it is synced and renamed to `path`, else removed.

    A reader sees the old content or the new, never a part. After a crash the temporary file (`temporary_path`) remains; nothing
    reads it, and the next process that writes into the folder removes it (`clear_temporaries`).

    Raises:
        OSError: of the system, with the name `path` (a sync that fails has none).
    """
    path = Path(path)
    if (parent := os.path.abspath(path.parent)) not in _cleared:
        _cleared.add(parent)
        clear_temporaries(parent)
    temporary = temporary_path(path)
    try:
        with open(
            temporary, mode, encoding=None if "b" in mode else "utf-8", newline=None if "b" in mode else ""
        ) as file:
            yield file
            sync_file(file)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, os.fspath(temporary)):
            error.filename, error.filename2 = os.fspath(path), None
        raise
    sync_folder(path.parent)


def clear_temporaries(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files and folders that killed processes of this machine left in `folder` (not deeper)."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.scandir(folder):
            if (match := TEMPORARY.fullmatch(entry.name)) and owner_is_gone(match):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    with suppress(FileNotFoundError):
                        os.unlink(entry.path)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with _named(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(file: IO[Any]) -> None:
    """Make what was written to `file` durable."""
    file.flush()
    with _named(file.name):
        os.fsync(file.fileno())


@contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Errors of calls that take a descriptor, or of blake3, hold no name: they get `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as JSON, atomically, keys in the order given; NaN and infinity are refused."""
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises:
        InputError: no such file, not JSON, or more than 1 GiB.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise IsADirectoryError  # also pipes and devices, which may never end
        if (size := os.path.getsize(path)) > _MOST_JSON_BYTES:
            raise InputError(f"{path}: {size:,} bytes; expected a JSON file of at most {_MOST_JSON_BYTES:,}")
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (IsADirectoryError, NotADirectoryError):
        raise InputError(f"{path}: not a file; expected a JSON file") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply; expected a JSON file") from None
    except ValueError as error:  # of json and of UTF-8
        raise InputError(f"{path}: not a JSON file ({error})") from None


def write_sealed(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Write a JSON object with a checksum of itself, atomically; `read_sealed` finds any later change."""
    if "checksum" in value:
        raise ValueError("checksum: the name is taken by the seal")
    write_json(path, {**value, "checksum": json_hash(value)})


def read_sealed(path: str | os.PathLike[str], *, unsealed: bool = False) -> dict[str, Any]:
    """The JSON object that `write_sealed` wrote.

    Args:
        unsealed: take an object without a checksum too, as versions before 0.2 wrote them.

    Raises:
        InputError: no such file, not a JSON object, no checksum, or one that differs: the file was changed or damaged.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path}: a {type(value).__name__}; expected a JSON object")
    return value if unsealed and "checksum" not in value else unseal(path, value)


def unseal(path: str | os.PathLike[str], value: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object in a file without its checksum.

    Raises:
        InputError: no checksum, or one that differs.
    """
    inner = {key: item for key, item in value.items() if key != "checksum"}
    if value.get("checksum") != _hash_or_none(inner):
        raise InputError(f"{path}: damaged or edited (its checksum differs); restore it, or remove it to make it again")
    return inner


def _hash_or_none(value: Any) -> str | None:
    try:
        return json_hash(value)
    except ValueError:  # NaN and infinity, which are never written
        return None


def cache_folder() -> Path:
    """Where downloads and conversions are kept: L2M_CACHE, else `l2m` in XDG_CACHE_HOME or ~/.cache."""
    if named := os.environ.get("L2M_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "l2m"


def file_hash(path: str | os.PathLike[str]) -> str:
    """BLAKE3 of a file's bytes, as hex."""
    return files_hash([path])


def files_hash(paths: Iterable[str | os.PathLike[str]]) -> str:
    """BLAKE3 of the bytes of files, one after the other, as hex."""
    digest = blake3()
    for path in paths:
        with _named(path):
            digest.update_mmap(path)
    return digest.hexdigest()


def json_hash(value: Any) -> str:
    """BLAKE3 of a JSON value in canonical form (sorted keys, no spaces), as hex."""
    return blake3(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()
