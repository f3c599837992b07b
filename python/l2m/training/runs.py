"""The folder of a run: whose it is, what it was started with, who trains in it, what it has measured."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from l2m.base.files import TEMPORARY
from l2m.base.folders import lock, require_own
from l2m.errors import InputError
from l2m.training.build import build_model, check_memory, model_size
from l2m.training.checkpoints import Checkpoints
from l2m.training.config import TrainConfig
from l2m.training.inputs import Inputs, changed_input, find_inputs
from l2m.training.metrics import read_metrics

CONFIG = "config.json"
_LOCK = ".lock"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run in a folder: config.json, metrics.jsonl, checkpoints/.

    Attributes:
        identity: of its inputs when it was started; empty for runs of versions before 0.2 and where there are none.
    """

    folder: Path
    config: TrainConfig
    identity: Mapping[str, str]

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Read its config.

        Raises:
            InputError: no run there, or a damaged config.json.
        """
        return cls(folder, *TrainConfig.load_with_identity(folder / CONFIG))

    @property
    def checkpoints(self) -> Checkpoints:
        """Its checkpoints, those of other runs refused."""
        return Checkpoints(self.folder / "checkpoints", self.config.keep, self.config.fingerprint(self.identity))

    def newest_step(self) -> int:
        """The step of its newest checkpoint.

        Raises:
            InputError: there is none.
        """
        steps = self.checkpoints.steps()
        if not steps:
            raise InputError(f"{self.folder}: no checkpoint; expected a run that has been trained")
        return steps[-1]

    def inputs(self) -> Inputs:
        """The corpus and the named model of the run, as they were when it was started.

        Raises:
            InputError: they are gone, or others now.
        """
        inputs = find_inputs(self.config)
        if changed := changed_input(self.identity, inputs.identity):
            raise InputError(f"{self.folder}: {changed}")
        return inputs

    def held_out(self) -> dict[int, float]:
        """Held-out loss by step, nats, up to its newest checkpoint.

        Raises:
            InputError: no checkpoint, or damaged metrics.
        """
        seal = self.checkpoints.state(self.newest_step()).get("metrics")
        lines = read_metrics(self.folder, seal)
        return {line["step"]: line["held_out"] for line in lines if line.get("held_out") is not None}


@contextlib.contextmanager
def started(config: TrainConfig, inputs: Inputs, folder: Path, *, owner: bool = True) -> Iterator[Run]:
    """The run of a complete config in `folder`, made or taken up, held for this process alone.

    Args:
        owner: this process writes. False: another process that trains along holds the folder.

    Raises:
        InputError: it holds a run of another config (the field is named) or of other inputs, or something that is not a run; it is
            in use.
    """
    _check(config, inputs, folder)
    with lock(folder, _LOCK) if owner else contextlib.nullcontext():
        run = _check(config, inputs, folder)  # again: who held it until now may have changed it
        if owner:
            config.save(folder / CONFIG, run.identity)
            run.checkpoints.clear()
        yield run


def _check(config: TrainConfig, inputs: Inputs, folder: Path) -> Run:
    require_own(folder, CONFIG)
    if (folder / CONFIG).exists():
        held = Run.open(folder)
        # What is known by its content may have moved.
        moved = tuple(name for name in ("corpus", "preset") if name in held.identity and name in inputs.identity)
        different = held.config.difference(config, but=moved) or changed_input(held.identity, inputs.identity)
        if different:
            raise InputError(f"{folder}: {different}; expected the same, or another folder")
    elif folder.exists() and any(_foreign(path.name) for path in folder.iterdir()):
        raise InputError(f"{folder}: not empty and no config.json; expected a new folder or a run to resume")
    return Run(folder, config, inputs.identity)


def _foreign(name: str) -> bool:
    """Whether a file is of no run: neither its lock nor what a process that was killed in its first moment left."""
    return name != _LOCK and TEMPORARY.fullmatch(name) is None


def load_model(run: Run, *, device: str, step: int | None = None, inputs: Inputs | None = None) -> Any:
    """A run's trained model, in evaluation mode.

    Args:
        step: of a checkpoint that was kept; default the newest.
        inputs: `run.inputs()`, where they have been opened already.

    Raises:
        InputError: no checkpoint of that step, a damaged one, or other inputs than the run was started with.
    """
    checkpoints = run.checkpoints
    step = run.newest_step() if step is None else step
    if step not in checkpoints.steps():
        raise InputError(f"step: {step}; expected one of {checkpoints.steps()}, of which {run.folder} has checkpoints")
    inputs = inputs or run.inputs()
    check_memory(run.config, model_size(run.config, inputs), device)
    model, _ = build_model(run.config, device, inputs)
    checkpoints.load(step, model)
    return model.eval()


def last_held_out(folder: Path) -> float:
    """The newest held-out loss of a run, nats.

    Raises:
        InputError: none was measured.
    """
    values: dict[int, Any] = Run.open(folder).held_out()
    if not values:
        raise InputError(f"{folder / 'metrics.jsonl'}: no held-out loss; expected one of each evaluation")
    return float(values[max(values)])
