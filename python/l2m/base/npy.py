"""NumPy files from elsewhere: a header is believed only where the file is as long as it says, so nothing large is allocated."""

import math
import os
import stat
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from l2m.errors import InputError


def require_file(path: str | os.PathLike[str]) -> int:
    """The size of a regular file.

    Raises:
        InputError: no such file, or a folder, a pipe or a device.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: {_reason(error)}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{os.fspath(path)}: not a regular file; expected a file")
    return status.st_size


def read_npy(path: str | os.PathLike[str], dtypes: Collection[str], *, axes: int = 1) -> NDArray[Any]:
    """The array of a .npy file, memory-mapped for reading.

    Args:
        dtypes: element types to accept, as NumPy writes them ("<u2").
        axes: how many the array must have.

    Raises:
        InputError: no regular file, no .npy header, another type or number of axes, or a file of another length than the header
            says.
    """
    path = Path(path)
    size = require_file(path)
    try:
        with open(path, "rb") as file:
            shape, dtype = _header(file, str(path), dtypes, axes)
            start = file.tell()
    except OSError as error:
        raise InputError(f"{path}: {_reason(error)}") from None
    _require_length(str(path), size - start, shape, dtype)
    return np.memmap(path, dtype, "r", start, shape)


def read_npz(path: str | os.PathLike[str], members: Mapping[str, tuple[str, int]]) -> dict[str, NDArray[Any]]:
    """The arrays of an uncompressed .npz file.

    Args:
        members: name -> (element type, number of axes): all that the file must hold, and nothing else.

    Raises:
        InputError: see `read_npy`; other members, or compressed ones.
    """
    path = Path(path)
    size = require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            held = {entry.filename: entry for entry in archive.infolist()}
            if set(held) != {f"{name}.npy" for name in members}:
                raise InputError(f"{path}: holds {', '.join(held)[:100] or 'nothing'}; expected {', '.join(members)}")
            arrays = {}
            for name, (dtype, axes) in members.items():
                entry = held[f"{name}.npy"]
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
                    raise InputError(f"{path}: {name} is compressed; expected arrays as numpy.savez writes them")
                with archive.open(entry) as file:
                    shape, found = _header(file, f"{path}: {name}", {dtype}, axes)
                    content = file.read()
                _require_length(f"{path}: {name}", len(content), shape, found)
                arrays[name] = np.frombuffer(content, found).reshape(shape)
            return arrays
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not a .npz file ({error})") from None


def _header(file: IO[bytes], name: str, dtypes: Collection[str], axes: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[version](file)
    except (
        Exception
    ) as error:  # of the parser that NumPy calls: ValueError, SyntaxError, TokenError, MemoryError, RecursionError
        raise InputError(f"{name}: not a .npy file ({str(error)[:100] or type(error).__name__})") from None
    if dtype.str not in dtypes or len(shape) != axes or (fortran and axes > 1) or any(length < 0 for length in shape):
        expected = f"{' or '.join(dtypes)} with {axes} {'axis' if axes == 1 else 'axes'}"
        raise InputError(f"{name}: {_short(dtype.str)} of shape {_short(shape)}; expected {expected}")
    return shape, dtype


def _require_length(name: str, held: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    expected = math.prod(shape) * dtype.itemsize
    if held != expected:
        raise InputError(
            f"{name}: {held:,} bytes of data; its header promises {_short(expected)}: damaged or cut short"
        )


def _reason(error: OSError) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)


def _short(value: object) -> str:
    text = (
        "over 2^63"
        if isinstance(value, int) and value >= 1 << 63
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
    return text if len(text) <= 60 else text[:57] + "..."
