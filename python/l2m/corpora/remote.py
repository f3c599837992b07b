"""Corpora behind URLs: one checked copy on this machine, in the cache folder.

A remote manifest is believed as little as any other download: only the files a corpus has are fetched, none may be larger than
announced, and the copy appears under its name only when every checksum is right.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blake3 import blake3

from l2m.base.files import cache_folder, clear_temporaries, sync_file, sync_folder, temporary_path
from l2m.base.optional import optional_library
from l2m.corpora.manifest import NAME, is_corpus, read_manifest
from l2m.errors import InputError

_MOST_MANIFEST_BYTES = 1 << 30  # it names every near-duplicate: 60 bytes each
_MOST_HEADER_BYTES = 1 << 14
_CHUNK = 1 << 22


def fetch(url: str) -> Path:
    """The folder of a copy of the corpus at `url`, downloaded unless it is there.

    Copies are kept by the hash of their manifest, so a corpus that changed is fetched anew.

    Raises:
        InputError: no corpus there, no access, a manifest that `l2m.corpora.manifest` refuses, or a file that is not what the
            manifest says. Nothing of it is kept.
    """
    fsspec = optional_library("fsspec", url)
    with _named(url):
        filesystem, path = fsspec.core.url_to_fs(url)
        path = path.rstrip("/")
        try:
            content = _read(filesystem, f"{path}/{NAME}", _MOST_MANIFEST_BYTES)
        except FileNotFoundError:
            raise InputError(f"{url}: no {NAME}; expected a folder that l2m tokenize wrote") from None
        copies = cache_folder() / "corpora"
        folder = copies / blake3(content).hexdigest()
        if not is_corpus(folder):
            copies.mkdir(parents=True, exist_ok=True)
            clear_temporaries(copies)
            _download(filesystem, path, url.rstrip("/"), content, folder)
        return folder


def _download(filesystem: Any, path: str, url: str, content: bytes, folder: Path) -> None:
    temporary = temporary_path(folder)
    temporary.mkdir()
    try:
        (temporary / NAME).write_bytes(content)
        try:
            manifest = read_manifest(temporary)
        except InputError as error:
            raise InputError(str(error).replace(str(temporary), url)) from None
        for name, checksum in manifest.files.items():
            most = _MOST_HEADER_BYTES + 4 * manifest.tokens if name == "tokens.npy" else None
            _download_file(filesystem, f"{path}/{name}", f"{url}/{name}", temporary / name, checksum, most)
        # A folder of that name without a manifest is what a version before 0.2 left of a download that was stopped.
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not (isinstance(error, OSError) and is_corpus(folder)):  # else another process was faster
            raise


def _download_file(filesystem: Any, path: str, url: str, target: Path, checksum: str, most: int | None) -> None:
    """Copy one file, at most as large as it is said to be."""
    info = filesystem.info(path)
    if info.get("type", "file") != "file" or info.get("islink"):
        raise InputError(f"{url}: a {'link' if info.get('islink') else info['type']}; expected a file")
    announced = info.get("size")
    free = shutil.disk_usage(target.parent).free
    if announced is not None and announced > free:
        raise InputError(f"{url}: {announced:,} bytes; {target.parent.parent} has room for {free:,}")
    most = min(size for size in (announced, most, free) if size is not None)
    digest = blake3()
    held = 0
    with filesystem.open(path, "rb") as source, open(target, "xb") as file:
        while chunk := source.read(_CHUNK):
            held += len(chunk)
            if held > most:
                raise InputError(f"{url}: more than {most:,} bytes; expected at most as many as its manifest implies")
            digest.update(chunk)
            file.write(chunk)
        sync_file(file)
    if digest.hexdigest() != checksum:
        raise InputError(f"{url}: its checksum differs from {NAME}: damaged or incomplete; upload the corpus again")


def _read(filesystem: Any, path: str, most: int) -> bytes:
    with filesystem.open(path, "rb") as file:
        content: bytes = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path}: more than {most:,} bytes; expected the manifest of a corpus")
    return content


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Failures of a protocol, each of which has errors of its own, as one that names the URL."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # no such protocol, a protocol without its package, no access, a connection that broke
        raise InputError(f"{url}: {str(error)[:300] or type(error).__name__}") from None
