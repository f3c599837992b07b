"""The training loop. It reads straight down: model, data, optimiser, checkpoint, then step after step.

A run is a folder: config.json, metrics.jsonl, checkpoints/step-NNNNNNNN/. The same call resumes where the last one
stopped, and on one CPU reaches the same weights to the bit as a run that never stopped.
"""

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from l2m.base.ahead import ahead
from l2m.base.devices import pick_device
from l2m.base.progress import Progress
from l2m.base.signals import interrupts
from l2m.errors import InputError
from l2m.training.build import build_model, check_memory, model_size, parameter_groups
from l2m.training.config import TrainConfig
from l2m.training.data import Batch, Data, open_data
from l2m.training.inputs import find_inputs
from l2m.training.loss import position_loss
from l2m.training.metrics import Metrics
from l2m.training.runs import Run, started

log = logging.getLogger("l2m")


def train(
    config: TrainConfig,
    out: str | os.PathLike[str],
    *,
    device: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train until `config.steps`, from the newest checkpoint in `out` if there is one. Returns `out`.

    One line about the model, its scan and the device goes to the logger "l2m".

    Args:
        device: "cpu", "cuda", "cuda:1", "mps"; None: cuda if there is one. Start with `accelerate launch -m l2m train ...` for
            several.
        progress: called with (steps done, steps in all).

    Raises:
        InputError: a bad config, a folder with a run of another config or of other data, one that another process trains in, a
            damaged checkpoint, no GPU where one was asked for, a model or batch larger than memory, a loss that is not finite (the
            last good checkpoint stays), a full disk.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the step under way has been saved.
    """
    config = config.complete()
    device = pick_device(device)
    inputs = find_inputs(config)
    check_memory(config, model_size(config, inputs), device)
    accelerator = _accelerator(device)
    torch.manual_seed(config.seed)
    model, scan = build_model(config, device, inputs)
    data = open_data(config, inputs)
    lead = accelerator.is_main_process
    with contextlib.ExitStack() as held:
        with accelerator.main_process_first():  # one makes the folder, the others find a run of the same config in it
            run = held.enter_context(started(config, inputs, Path(out), owner=lead))
        trainer = Trainer(run, model, data, accelerator)
        metrics = held.enter_context(trainer.metrics())
        if lead:
            log.info("%s; scan: %s; %s", trainer.describe(), scan, trainer.place())
        batches = held.enter_context(ahead(trainer.batches()))
        interrupted = held.enter_context(interrupts())
        trainer.model.train()
        for step in range(trainer.start, config.total_steps):
            done, final = step + 1, step + 1 == config.total_steps
            loss, norm = trainer.gradients(step, batches)
            # The gradients are those of all processes: where one has no finite loss, none has a finite norm, and all stop.
            if not (math.isfinite(loss) and math.isfinite(norm)):
                trainer.discard(step)  # written a moment ago, of weights that give this loss
                raise (
                    trainer.broken("norm of the gradient", norm, done)
                    if math.isfinite(loss)
                    else trainer.broken("loss", loss, done)
                )
            if step == trainer.start or step % config.save_every == 0:
                trainer.prune()  # the weights of the newest have now given a finite loss
            trainer.update()
            stop = trainer.any_process(bool(interrupted))
            if done % config.log_every == 0:
                trainer.report(step, norm, metrics)
            evaluates = done % int(config.evaluate_every or config.total_steps) == 0 or final
            saves = done % config.save_every == 0 or final or stop
            failure = trainer.evaluate(done, metrics) if evaluates else None
            if saves and failure is None:
                failure = trainer.save(done, metrics)
            # The others wait here until the first has evaluated and saved, and stop where it failed.
            if (evaluates or saves) and trainer.any_process(failure is not None):
                raise failure or InputError(f"{run.folder}: stopped at step {done}: the first process says why")
            if stop and not final:
                raise KeyboardInterrupt
            if progress is not None and lead:
                progress(done, config.total_steps)
        trainer.prune()
    return run.folder


class Trainer:
    """What a step needs and changes: model, optimiser, what has been measured since the last report.

    Files are written by the first process alone: on the others `evaluate`, `save`, `prune` and `discard` do nothing.
    """

    def __init__(self, run: Run, model: Any, data: Data, accelerator: Any) -> None:
        self.run, self.config, self.data, self.accelerator = run, run.config, data, accelerator
        self.plain = model
        self.model = accelerator.prepare(model)
        self.checkpoints = run.checkpoints
        config = run.config
        groups = parameter_groups(model, config.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=config.peak_rate, betas=(0.9, config.beta2), fused=_fused(accelerator))
        self.start, self._running, self._seal = self._restore(optimizer)
        self.optimizer = accelerator.prepare(optimizer)
        if config.compile:
            self.model = torch.compile(self.model)
        self.share = accelerator.num_processes * config.accumulate
        device = accelerator.device.type
        self._precision = torch.autocast(device, torch.bfloat16, enabled=config.precision == "bfloat16")
        self._clock, self._waited, self._reported = time.monotonic(), 0.0, self.start

    def _restore(self, optimizer: torch.optim.Optimizer) -> tuple[int, dict[str, float], Any]:
        """From the newest checkpoint: the step, the running loss, and the seal of the metrics."""
        newest = max(self.checkpoints.steps(), default=0)
        if not newest:
            return 0, {"loss": 0.0, "steps": 0}, None
        state = self.checkpoints.load(newest, self.plain, optimizer)
        processes = self.accelerator.num_processes
        if state.get("processes", processes) != processes:
            raise InputError(
                f"{self.run.folder}: {processes} processes; expected {state['processes']}, each of which took its share of the "
                "batches so far"
            )
        return newest, state["running"], state.get("metrics")

    def describe(self) -> str:
        parameters = sum(value.numel() for value in self.plain.parameters() if value.requires_grad)
        state = self.plain.state_size(max(1, self.config.length // 2))
        return f"{self.config.preset}: {parameters:,} parameters, state of {state:,} numbers at L/2"

    def place(self) -> str:
        return f"device: {self.accelerator.device}; step {self.start:,} of {self.config.total_steps:,}"

    def metrics(self) -> Metrics:
        folder = self.run.folder if self.accelerator.is_main_process else None
        return Metrics(folder, self.start, self._seal, tensorboard=self.config.tensorboard)

    def batches(self) -> Iterator[Batch]:
        """This process's share of the numbered batches."""
        first, last = self.start * self.share, self.config.total_steps * self.share
        for number in range(first + self.accelerator.process_index, last, self.accelerator.num_processes):
            yield self.data.train(number, self.config.batch)

    def gradients(self, step: int, batches: Iterator[Batch]) -> tuple[float, float]:
        """The loss of this step's batches, nats per position, and the norm of its gradient, which is clipped."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(step)
        loss = 0.0
        for part in range(self.config.accumulate):
            asked = time.monotonic()
            batch = to_device(next(batches), self.accelerator.device)
            self._waited += time.monotonic() - asked
            last = part == self.config.accumulate - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                with self._precision:
                    value = position_loss(self.model, batch).mean() / self.config.accumulate
                self.accelerator.backward(value)
            loss += value.item()
        norm = float(nn.utils.clip_grad_norm_(self.plain.parameters(), self.config.clip or math.inf))
        self._running = {"loss": self._running["loss"] + loss, "steps": self._running["steps"] + 1}
        return loss, norm

    def update(self) -> None:
        """Move the weights."""
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def report(self, step: int, norm: float, metrics: Metrics) -> None:
        """A line of what has been measured since the last one."""
        seconds, steps = time.monotonic() - self._clock, step + 1 - self._reported
        metrics.write(
            step + 1,
            loss=self._running["loss"] / self._running["steps"],
            learning_rate=self.config.rate(step),
            gradient_norm=norm,
            steps_per_second=steps / seconds,
            tokens_per_second=steps * self.share * self.config.batch * self.config.length / seconds,
            data_share=self._waited / seconds,
        )
        self._running = {"loss": 0.0, "steps": 0}
        self._clock, self._waited, self._reported = time.monotonic(), 0.0, step + 1

    def evaluate(self, done: int, metrics: Metrics) -> InputError | None:
        """A line of the held-out loss; an error where it is not finite."""
        if not self.accelerator.is_main_process:
            return None
        paused = time.monotonic()
        loss = held_out_loss(self.plain, self.data, self.config, self.accelerator.device)
        if not math.isfinite(loss):
            return self.broken("held-out loss", loss, done)
        metrics.write(done, held_out=loss)
        self.model.train()
        self._clock += time.monotonic() - paused
        return None

    def save(self, done: int, metrics: Metrics) -> InputError | None:
        """A checkpoint; an error where it cannot be written."""
        if not self.accelerator.is_main_process:
            return None
        place = {"running": self._running, "processes": self.accelerator.num_processes, "metrics": metrics.seal()}
        try:
            self.checkpoints.save(done, self.plain, self.optimizer.optimizer, place)
        except InputError as error:
            return error
        return None

    def prune(self) -> None:
        """Remove checkpoints beyond `config.keep`."""
        if self.accelerator.is_main_process:
            self.checkpoints.prune()

    def discard(self, step: int) -> None:
        """Remove the checkpoint of `step` if this call of `train` wrote it and there is an older one."""
        if self.accelerator.is_main_process and step > self.start:
            self.checkpoints.discard(step)

    def broken(self, what: str, value: float, done: int) -> InputError:
        """The error of a training that broke at step `done`."""
        kept = max(self.checkpoints.steps(), default=None)
        if kept is None:
            told = "No checkpoint was written before it"
        elif kept < done - 1:
            told = f"Checkpoint kept: step {kept}"
        else:
            told = (
                f"Checkpoint step {kept} already has the weights that cause it; delete {self.checkpoints.path(kept)} to resume "
                "from an earlier one"
            )
        return InputError(f"{what} is {value} at step {done}. {told}")

    def any_process(self, flag: bool) -> bool:
        """Whether the flag is set on any of the processes that train together; all must ask, in the same place of a step."""
        if self.accelerator.num_processes == 1:
            return flag
        total = self.accelerator.reduce(torch.tensor(float(flag), device=self.accelerator.device), reduction="sum")
        return bool(total > 0)


def _accelerator(device: str) -> Any:
    """What runs a step on `device`, on several processes where they were launched together.

    Raises:
        InputError: a numbered GPU for several processes, each of which has its own.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    kind = torch.device(device)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        # accelerate keeps the device of the first training in a process, whatever the second one asks for.
        AcceleratorState._reset_state(reset_partial_state=True)
    elif kind.index is not None:
        raise InputError(f"device: {device!r} with several processes; expected {kind.type!r}, of which each takes one")
    if kind.type == "cuda" and kind.index is not None:
        torch.cuda.set_device(kind)
    return Accelerator(cpu=kind.type == "cpu", gradient_accumulation_steps=1)


def _fused(accelerator: Any) -> bool:
    return accelerator.device.type in ("cpu", "cuda")


def held_out_loss(model: nn.Module, data: Data, config: TrainConfig, device: torch.device) -> float:
    """Mean loss per position over the first `evaluate_sequences` held-out sequences, always the same ones, nats."""
    model.eval()
    batches = math.ceil(config.evaluate_sequences / config.batch)
    with torch.no_grad():
        losses = [
            position_loss(model, to_device(data.held_out(number, config.batch), device)).mean().item()
            for number in range(batches)
        ]
    return float(np.mean(losses))


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch on `device`."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}
