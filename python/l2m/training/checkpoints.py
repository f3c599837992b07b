"""Checkpoints: weights, optimiser, random state and position, in a folder that appears whole or not at all. No pickle."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from l2m.base import checks
from l2m.base.files import (
    TEMPORARY,
    file_hash,
    read_json,
    read_sealed,
    sync_file,
    sync_folder,
    temporary_path,
    write_sealed,
)
from l2m.errors import InputError

FILES = ("model.safetensors", "optimizer.safetensors")
_NAME = re.compile(r"step-(\d{8,12})")
_OLD_TEMPORARY = re.compile(r"\.step-\d+\.\d+\.tmp")  # of versions before 0.2


class Checkpoints:
    """The checkpoints of one run: `folder`/step-NNNNNNNN/ with model.safetensors, optimizer.safetensors, state.json.

    state.json has a checksum of itself and of the two other files.
    """

    def __init__(self, folder: Path, keep: int = 2, run: str | None = None) -> None:
        """
        Args:
            keep: how many `prune` leaves.
            run: `TrainConfig.fingerprint` of the run, kept in each checkpoint; those of other runs are refused. None: any.
        """
        self.folder = folder
        self.keep = keep
        self.run = run

    def steps(self) -> list[int]:
        """Steps with a checkpoint, oldest first.

        Raises:
            InputError: the newest has lost its state.json. An older one without it was being removed by a version before 0.2.
        """
        found = {int(match[1]): path for path in self._entries() if (match := _NAME.fullmatch(path.name))}
        whole = sorted(step for step, path in found.items() if (path / "state.json").exists())
        if found and (not whole or max(found) > whole[-1]):
            raise InputError(f"{found[max(found)] / 'state.json'}: no such file; {_earlier(found[max(found)], whole)}")
        return whole

    def _entries(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def save(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Write the checkpoint after `step` steps; older ones stay until `prune`.

        Raises:
            InputError: the disk is full or cannot be written; the checkpoints before are as they were.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file, save_model

        temporary = temporary_path(self.path(step))
        try:
            temporary.mkdir(parents=True)
            save_model(model, str(temporary / "model.safetensors"))
            save_file(_optimizer_tensors(optimizer), temporary / "optimizer.safetensors")
            if hasattr(
                model, "backbone"
            ):  # its config.json, which nothing of the run reads: for `l2m state` and `l2m condition`
                model.backbone.config.save_pretrained(temporary)
            for name in FILES:
                with open(temporary / name, "rb+") as handle:
                    sync_file(handle)
            hashes = {name: file_hash(temporary / name) for name in FILES}
            write_sealed(temporary / "state.json", {"step": step, "run": self.run, "files": hashes, **state})
            if self.path(step).exists():
                self._remove(step)
            os.replace(temporary, self.path(step))
            sync_folder(self.folder)
        except (OSError, SafetensorError) as error:
            last = max(self.steps(), default=None)
            kept = "there is none before it" if last is None else f"the one of step {last} is whole"
            raise InputError(
                f"{self.folder}: the checkpoint of step {step} cannot be written ({error}); {kept}"
            ) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def clear(self) -> None:
        """Remove what processes that were killed have left half written or half removed. Call it under the run's lock."""
        whole = self.steps()
        for path in self._entries():
            headless = _NAME.fullmatch(path.name) and int(path.name.removeprefix("step-")) not in whole
            if headless or TEMPORARY.fullmatch(path.name) or _OLD_TEMPORARY.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)

    def prune(self) -> None:
        """Remove all but the newest `keep`: called when the newest is known to be good."""
        for old in self.steps()[: -self.keep]:
            self._remove(old)

    def discard(self, step: int) -> None:
        """Remove the checkpoint of `step`, if there is one and it is not the last."""
        if step in self.steps() and len(self.steps()) > 1:
            self._remove(step)

    def _remove(self, step: int) -> None:
        """Renamed first: a process killed meanwhile leaves a temporary folder, not half a checkpoint."""
        leaving = temporary_path(self.path(step))
        os.replace(self.path(step), leaving)
        shutil.rmtree(leaving)

    def state(self, step: int) -> dict[str, Any]:
        """What `save` was given as `state`, and the step.

        Raises:
            InputError: a file that is missing or damaged; a checkpoint of another step or run.
        """
        path = self.path(step) / "state.json"
        try:
            state = read_sealed(path, unsealed=True)
        except InputError as error:
            raise InputError(f"{error}; {self._without(step)}") from None
        if "checksum" not in read_json(path):  # written by a version before 0.2
            if set(state) - {"step", "running", "processes"}:
                raise InputError(f"{path}: its checksum is missing; {self._without(step)}")
            return state
        if state["step"] != step or (self.run is not None and state["run"] != self.run):
            raise InputError(f"{path}: of another step or another run; {self._without(step)}")
        for name in FILES:
            file = self.path(step) / name
            if not file.is_file():
                raise InputError(f"{file}: no such file; {self._without(step)}")
            if file_hash(file) != state["files"][name]:
                raise InputError(f"{file}: damaged or exchanged (its checksum differs); {self._without(step)}")
        return state

    def _without(self, step: int) -> str:
        return _earlier(self.path(step), [other for other in self.steps() if other < step])

    def load(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Any]:
        """Put a checkpoint's values into the model, the optimiser and torch's random state; returns its `state`.

        Raises:
            InputError: a file that is missing, damaged or of another model.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file, load_model

        folder = self.path(step)
        state = self.state(step)
        try:
            load_model(model, str(folder / "model.safetensors"))
            if optimizer is not None:
                _restore(optimizer, load_file(folder / "optimizer.safetensors"))
        except (OSError, SafetensorError, RuntimeError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{folder}: cannot be read into this model ({reason}); {self._without(step)}") from None
        try:
            checks.whole("step", state["step"], step, step)
            checks.whole("processes", state.get("processes", 1), 1)
            checks.whole("steps", state["running"]["steps"])
            checks.real("loss", state["running"]["loss"])
        except (InputError, KeyError, TypeError) as error:
            raise InputError(f"{folder / 'state.json'}: {error}; {self._without(step)}") from None
        return state


def _earlier(path: Path, steps: list[int]) -> str:
    """What can be done without a checkpoint."""
    if steps:
        return f"restore it, or delete {path} to resume from step {steps[-1]}"
    return f"restore it, or delete {path} to train from the start"


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counts by parameter number, and torch's random states."""
    tensors = {
        f"{index}.{name}": value.contiguous()
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    return tensors


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    random, cuda = tensors.pop("random.cpu"), tensors.pop("random.cuda", None)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, field = name.split(".", 1)
        state.setdefault(int(index), {})[field] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    torch.set_rng_state(random)
    if cuda is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(cuda)
