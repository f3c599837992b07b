"""What a run reports while it trains: one JSON line at a time, and TensorBoard events if that package is installed.

A checkpoint keeps the length and the BLAKE3 of the lines up to its step (`Metrics.seal`): a change to any of them is found when the
run is resumed, and when its results are collected.
"""

import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from blake3 import blake3

from l2m.base.files import atomic_write, sync_file
from l2m.errors import InputError

NAME = "metrics.jsonl"


class Metrics:
    """Appends to `folder`/metrics.jsonl (None: nowhere). Lines past `step`, of work that a stop has lost, are taken out.

    Args:
        seal: of the checkpoint at `step`; None where it has none (versions before 0.2).

    Raises:
        InputError: lines up to `step` are missing or damaged.
    """

    def __init__(
        self, folder: Path | None, step: int, seal: Mapping[str, Any] | None = None, *, tensorboard: bool = True
    ) -> None:
        self._file: IO[bytes] | None = None
        self._writer: Any = None
        if folder is None:
            return
        path = folder / NAME
        if seal is None:
            kept = [line for line in read_metrics(folder) if line["step"] <= step] if step else []
            content = "".join(json.dumps(line) + "\n" for line in kept).encode()
        else:
            content = _sealed_lines(path, seal)
        with atomic_write(path) as file:
            file.write(content)
        self._digest, self._size = blake3(content), len(content)
        self._file = open(path, "ab")  # noqa: SIM115 closed by __exit__
        if tensorboard and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, **values: float) -> None:
        """One line; a value that is not finite is written as null."""
        if self._file is None:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        line = (json.dumps({"step": step, **finite}) + "\n").encode()
        self._file.write(line)
        self._file.flush()
        self._digest.update(line)
        self._size += len(line)
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def seal(self) -> dict[str, Any]:
        """Length and BLAKE3 of all lines up to here, which are on the disk from now on."""
        if self._file is None:
            return {}
        sync_file(self._file)
        return {"bytes": self._size, "blake3": self._digest.hexdigest()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._writer is not None:
            self._writer.close()


def _sealed_lines(path: Path, seal: Mapping[str, Any]) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(seal["bytes"])
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file; restore it, or train in another folder") from None
    if blake3(content).hexdigest() != seal["blake3"]:
        raise InputError(f"{path}: damaged or edited (its checksum differs); restore it, or train in another folder")
    return content


def _lines(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def read_metrics(folder: Path, seal: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, of a run that may still be writing: a last line that was cut short is left out.

    Args:
        seal: read only the lines it covers, and compare them with it.

    Raises:
        InputError: a line that is no step's, or lines that differ from `seal`.
    """
    path = folder / NAME
    content = _lines(path) if seal is None else _sealed_lines(path, seal)
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(
        content.split(b"\n")[:-1], 1
    ):  # after the last newline there is nothing, or a line cut short
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        step = line.get("step") if isinstance(line, dict) else None
        if not isinstance(step, int) or isinstance(step, bool) or (lines and step < lines[-1]["step"]):
            raise InputError(f"{path}: line {number} is damaged; restore it, or train in another folder")
        lines.append(line)
    return lines
