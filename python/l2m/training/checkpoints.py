"""Checkpoints: weights, optimiser, random state and position, in a folder that appears whole or not at all. No pickle."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from l2m.base.files import read_json, sync_folder, write_json
from l2m.errors import InputError


class Checkpoints:
    """The checkpoints of one run: `folder`/step-NNNNNNNN/ with model.safetensors, optimizer.safetensors, state.json."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def steps(self) -> list[int]:
        """Steps with a whole checkpoint, oldest first."""
        found = self.folder.glob("step-*/state.json")
        return sorted(int(path.parent.name.removeprefix("step-")) for path in found)

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def save(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Write the checkpoint after `step` steps; older ones stay until `prune`.

        Raises:
            InputError: the disk is full or cannot be written; the checkpoints before are as they were.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file, save_model

        temporary = self.folder / f".step-{step:08d}.{os.getpid()}.tmp"
        try:
            temporary.mkdir(parents=True, exist_ok=True)
            save_model(model, str(temporary / "model.safetensors"))
            save_file(_optimizer_tensors(optimizer), temporary / "optimizer.safetensors")
            write_json(temporary / "state.json", {"step": step, **state})
            for file in temporary.iterdir():
                with open(file, "rb+") as handle:
                    os.fsync(handle.fileno())
            if self.path(step).exists():
                shutil.rmtree(self.path(step))
            os.replace(temporary, self.path(step))
            sync_folder(self.folder)
        except (OSError, SafetensorError) as error:
            last = max(self.steps(), default=None)
            kept = "none before it" if last is None else f"the one of step {last} is whole"
            raise InputError(f"{self.folder}: checkpoint of step {step} cannot be written ({error}); {kept}") from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def clear(self) -> None:
        """Remove what a process that was killed while it wrote has left."""
        for left in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(left, ignore_errors=True)

    def prune(self) -> None:
        """Remove all but the newest `keep`: called when the newest is known to be good."""
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.path(old))

    def discard(self, step: int) -> None:
        """Remove the checkpoint of `step`, if there is one and it is not the last."""
        if step in self.steps() and len(self.steps()) > 1:
            shutil.rmtree(self.path(step))

    def load(self, step: int, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict[str, Any]:
        """Put a checkpoint's values into the model, the optimiser and torch's random state; returns state.json.

        Raises:
            InputError: a file that is missing, damaged or of another model.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file, load_model

        folder = self.path(step)
        try:
            load_model(model, str(folder / "model.safetensors"))
            if optimizer is not None:
                _restore(optimizer, load_file(folder / "optimizer.safetensors"))
        except (OSError, SafetensorError, RuntimeError, KeyError) as error:
            raise InputError(
                f"{folder}: cannot be read into this model ({' '.join(str(error).split())[:200]})"
            ) from None
        state: dict[str, Any] = read_json(folder / "state.json")
        return state


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
    torch.set_rng_state(tensors.pop("random.cpu"))
    cuda = tensors.pop("random.cuda", None)
    if cuda is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(cuda)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, field = name.split(".", 1)
        state.setdefault(int(index), {})[field] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
