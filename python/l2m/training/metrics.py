"""What a run tells while it trains: one JSON line at a time, and TensorBoard events where that package is installed."""

import importlib.util
import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from l2m.base.files import atomic_write


class Metrics:
    """Appends to `folder`/metrics.jsonl (None: nowhere). Lines past `step`, of work that a stop has lost, are taken out."""

    def __init__(self, folder: Path | None, step: int, *, tensorboard: bool = True) -> None:
        self._file: Any = None
        self._writer: Any = None
        if folder is None:
            return
        path = folder / "metrics.jsonl"
        kept = [line for line in read_metrics(folder) if line["step"] <= step]
        with atomic_write(path, "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in kept)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 closed by __exit__
        if tensorboard and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, **values: float) -> None:
        """One line; a value that is not finite is written as null."""
        if self._file is None:
            return
        line = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **line}) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._writer is not None:
            self._writer.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that was cut short is left out."""
    path = folder / "metrics.jsonl"
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
