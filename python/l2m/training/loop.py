"""The training loop. It reads straight down: model, data, optimiser, checkpoint, then step after step.

A run is a folder: config.json, metrics.jsonl, checkpoints/step-NNNNNNNN/. The same call goes on where the last one
stopped, and on one CPU reaches the same weights to the bit as a run that never stopped.
"""

import contextlib
import dataclasses
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from l2m.base.progress import Progress
from l2m.errors import InputError
from l2m.states.history_state import history_state
from l2m.training.checkpoints import Checkpoints
from l2m.training.config import TrainConfig
from l2m.training.data import Batch, open_data, prefetch
from l2m.training.loss import position_loss
from l2m.training.metrics import Metrics
from l2m.training.models.networks import ContinuousModel, TextModel, build_backbone, without_dropout
from l2m.training.models.presets import backbone_config
from l2m.training.models.scan import choose_kernel, use_kernel


def train(
    config: TrainConfig,
    out: str | os.PathLike[str],
    *,
    device: str | None = None,
    progress: Progress | None = None,
    say: Any = None,
) -> Path:
    """Train until `config.steps`, from the newest checkpoint in `out` if there is one. Returns `out`.

    Args:
        device: "cpu" or "cuda"; None: cuda if there is one. Start with `accelerate launch -m l2m train ...` for several.
        progress: called with (steps done, steps in all).
        say: called with a line of text at the start: model, kernel, device.

    Raises:
        InputError: a bad config, a folder with a run of another config, no GPU where one was asked for, a loss that is
            not finite (the last good checkpoint stays), a disk that is full.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the step under way has been saved.
    """
    from accelerate import Accelerator

    config = config.complete()
    device = pick_device(device)
    accelerator = Accelerator(cpu=device == "cpu", gradient_accumulation_steps=1)
    torch.manual_seed(config.seed)
    model, path = build_model(config, device)
    data = open_data(config)
    with accelerator.main_process_first():  # one makes the folder, the others find a run of the same config in it
        folder = start_folder(config, Path(out))
    checkpoints = Checkpoints(folder / "checkpoints", config.keep)
    if accelerator.is_main_process:
        checkpoints.clear()
    groups = parameter_groups(model, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.peak_rate, betas=(0.9, config.beta2), fused=True)

    start, running = 0, {"loss": 0.0, "steps": 0}
    plain = model
    model = accelerator.prepare(model)
    if newest := max(checkpoints.steps(), default=0):
        state = checkpoints.load(newest, plain, optimizer)
        start, running = state["step"], state["running"]
        if state.get("processes", accelerator.num_processes) != accelerator.num_processes:
            raise InputError(
                f"{folder}: {accelerator.num_processes} processes; expected {state['processes']}, which each took their share "
                "of the batches up to here"
            )
    optimizer = accelerator.prepare(optimizer)
    if config.compile:
        model = torch.compile(model)
    if say is not None and accelerator.is_main_process:
        parameters = sum(value.numel() for value in plain.parameters() if value.requires_grad)
        say(
            f"{config.preset}: {parameters:,} parameters, state {plain.state_size(max(1, config.length // 2)):,} numbers at "
            f"L/2; scan: {path}; device: {accelerator.device}; step {start:,} of {config.total_steps:,}"
        )

    # Every process takes its own share of the numbered batches.
    share = accelerator.num_processes * config.accumulate
    numbers = range(start * share, config.total_steps * share)
    mine = range(numbers.start + accelerator.process_index, numbers.stop, accelerator.num_processes)
    batches = prefetch(lambda number: data.train(number, config.batch), mine)
    lead = accelerator.is_main_process
    precision = torch.autocast(accelerator.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    metrics = Metrics(folder if lead else None, start, tensorboard=config.tensorboard)
    clock, waited, logged, evaluate_every = time.monotonic(), 0.0, start, config.evaluate_every or config.total_steps

    model.train()
    with metrics as log, contextlib.closing(batches), interrupts() as interrupted:
        for step in range(start, config.total_steps):
            for group in optimizer.param_groups:
                group["lr"] = config.rate(step)
            loss = 0.0
            for part in range(config.accumulate):
                asked = time.monotonic()
                batch = to_device(next(batches), accelerator.device)
                waited += time.monotonic() - asked
                last = part == config.accumulate - 1
                with contextlib.nullcontext() if last else accelerator.no_sync(model):
                    with precision:
                        value = position_loss(model, batch).mean() / config.accumulate
                    accelerator.backward(value)
                loss += value.item()
            norm = float(nn.utils.clip_grad_norm_(plain.parameters(), config.clip or math.inf))
            done = step + 1
            # The gradients are those of all processes: where one has no finite loss, none has a finite norm, and all stop.
            if not (math.isfinite(loss) and math.isfinite(norm)):
                if lead and step > start:
                    checkpoints.discard(step)  # written a moment ago, of weights that give this loss
                broken = ("norm of the gradient", norm) if math.isfinite(loss) else ("loss", loss)
                raise InputError(_not_finite(*broken, done, checkpoints))
            if lead and (step == start or step % config.save_every == 0):
                checkpoints.prune()  # the weights of the newest have now given a finite loss
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            stop = any_process(accelerator, bool(interrupted))
            running = {"loss": running["loss"] + loss, "steps": running["steps"] + 1}

            if lead and done % config.log_every == 0:
                seconds = time.monotonic() - clock
                tokens = (done - logged) * share * config.batch * config.length
                log.write(
                    done,
                    loss=running["loss"] / running["steps"],
                    learning_rate=config.rate(step),
                    gradient_norm=norm,
                    steps_per_second=(done - logged) / seconds,
                    tokens_per_second=tokens / seconds,
                    data_share=waited / seconds,
                )
                running, clock, waited, logged = {"loss": 0.0, "steps": 0}, time.monotonic(), 0.0, done
            evaluates = done % evaluate_every == 0 or done == config.total_steps
            saves = done % config.save_every == 0 or done == config.total_steps or stop
            failure: InputError | None = None
            if lead and evaluates:
                paused = time.monotonic()
                held_out = held_out_loss(plain, data, config, accelerator.device)
                if not math.isfinite(held_out):
                    failure = InputError(_not_finite("held-out loss", held_out, done, checkpoints))
                else:
                    log.write(done, held_out=held_out)
                model.train()
                clock += time.monotonic() - paused
            if lead and saves and failure is None:
                try:
                    place = {"running": running, "processes": accelerator.num_processes}
                    checkpoints.save(done, plain, optimizer.optimizer, place)
                except InputError as error:
                    failure = error
            # The others wait here until the first has evaluated and saved, and stop where it failed.
            if (evaluates or saves) and any_process(accelerator, failure is not None):
                raise failure or InputError(f"{folder}: stopped at step {done}: the first process says why")
            if stop and done < config.total_steps:
                raise KeyboardInterrupt
            if progress is not None and lead:
                progress(done, config.total_steps)
    if lead:
        checkpoints.prune()
    return folder


def any_process(accelerator: Any, flag: bool) -> bool:
    """Whether the flag is set on any of the processes that train together; all must ask, in the same place of a step."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), reduction="sum") > 0)


def _not_finite(what: str, value: float, step: int, checkpoints: Checkpoints) -> str:
    """The message of a training that broke at `step`."""
    kept = max(checkpoints.steps(), default=None)
    told = "none" if kept is None else f"step {kept}"
    if kept == step - 1:
        told += f", whose weights give this: remove {checkpoints.path(kept)} to begin from an earlier one"
    return f"{what}: {value} at step {step}; expected a finite one. Checkpoint kept: {told}"


def held_out_loss(model: nn.Module, data: Any, config: TrainConfig, device: torch.device) -> float:
    """Mean loss per position over the first `evaluate_sequences` held-out sequences, always the same ones."""
    model.eval()
    batches = math.ceil(config.evaluate_sequences / config.batch)
    with torch.no_grad():
        losses = [
            position_loss(model, to_device(data.held_out(number, config.batch), device)).mean().item()
            for number in range(batches)
        ]
    return float(np.mean(losses))


def build_model(config: TrainConfig, device: str) -> tuple[Any, str]:
    """The model a config describes, with random weights (or the checkpoint's), on `device`; and how it scans.

    Raises:
        InputError: as `backbone_config`, `choose_kernel` and `build_backbone`.
    """
    shape = _shape(config)
    path = choose_kernel(shape.model_type, device, config.kernel)
    use_kernel(shape.model_type, path)
    return _make_model(config, shape).to(device), path


def describe(config: TrainConfig, device: str | None = None) -> dict[str, Any]:
    """Parameters and state of a config's model, and how it would scan on `device`, without making its weights."""
    return {**size(config), "scan": choose_kernel(_shape(config).model_type, pick_device(device), config.kernel)}


def size(config: TrainConfig) -> dict[str, int]:
    """Parameters that are trained, and numbers of state at L/2, without making the weights."""
    with torch.device("meta"):
        model = _make_model(dataclasses.replace(config, pretrained=False), _shape(config))
    return {
        "parameters": sum(value.numel() for value in model.parameters() if value.requires_grad),
        "state": model.state_size(max(1, config.length // 2)),
    }


def _shape(config: TrainConfig) -> Any:
    """The `transformers` config of the backbone."""
    vocabulary = 1
    if config.corpus is not None:
        from l2m.corpora.corpus import Corpus

        vocabulary = Corpus.open(config.corpus, verify=False).vocab_size + 1  # and the start token
    changes = {"layers": config.layers, "width": config.width, "state": config.state}
    return backbone_config(
        config.preset, config.length, vocabulary=None if config.pretrained else vocabulary, **changes
    )


def _make_model(config: TrainConfig, shape: Any) -> Any:
    text = config.corpus is not None
    if config.pretrained:
        from l2m.scoring.model_source import resolve_model

        backbone = resolve_model(config.preset).load(device="cpu", dtype="float32")
    else:
        backbone = build_backbone(shape, text=text)
    without_dropout(backbone)
    history_state(backbone)  # refuses what keeps no state of the past, such as encoders
    if config.recompute:
        backbone.activation_checkpointing_enable()
    if text:
        return TextModel(backbone)
    return ContinuousModel(backbone, config.copies, positions=config.length if config.positions else 0)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and Mamba's A and D, which set time scales, do not."""
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    decays = [value for name, value in named if value.ndim >= 2 and not name.endswith("A_log")]
    rest = [value for name, value in named if value.ndim < 2 or name.endswith("A_log")]
    return [{"params": decays, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def to_device(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def pick_device(device: str | None) -> str:
    """The device asked for, or a GPU if there is one.

    Raises:
        InputError: a GPU where there is none, or an unknown device.
    """
    found = torch.cuda.is_available()
    if device is None:
        return "cuda" if found else "cpu"
    if device not in ("cpu", "cuda"):
        raise InputError(f"device: {device!r}; expected 'cpu' or 'cuda'")
    if device == "cuda" and not found:
        raise InputError("device: 'cuda', but torch finds no GPU here; expected 'cpu'")
    return device


def use_threads(threads: int | None) -> None:
    """Give torch this many processor threads; None leaves it as it is.

    Raises:
        InputError: fewer than 1.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads: {threads}; expected at least 1")
    if threads is not None:
        torch.set_num_threads(threads)


def start_folder(config: TrainConfig, folder: Path) -> Path:
    """Make a run's folder, or take up the run in it.

    Raises:
        InputError: it holds a run of another config (the field is named), or something that is not a run.
    """
    path = folder / "config.json"
    if path.exists():
        if different := TrainConfig.load(path).difference(config):
            raise InputError(f"{folder}: {different}; expected the same, or another folder")
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: not empty and no config.json; expected a new folder or a run to go on with")
    folder.mkdir(parents=True, exist_ok=True)
    config.save(path)
    return folder


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """A list that Ctrl-C or SIGTERM fills, so that a step can end and be saved; a second Ctrl-C stops at once.

    SIGTERM is what a cluster's scheduler sends before it takes the machine away.
    """
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def note(number: int, _: Any) -> None:
        seen.append(number)
        if seen.count(signal.SIGINT) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def load_model(
    run: str | os.PathLike[str], *, device: str | None = None, step: int | None = None
) -> tuple[Any, TrainConfig]:
    """A trained model of a run's folder, in evaluation mode, and its config.

    Args:
        step: of a checkpoint that was kept; default the newest.

    Raises:
        InputError: no run there, no checkpoint yet, or one that cannot be read.
    """
    folder = Path(run)
    config = TrainConfig.load(folder / "config.json")
    checkpoints = Checkpoints(folder / "checkpoints")
    step = newest_step(folder) if step is None else step
    if step not in checkpoints.steps():
        raise InputError(f"step: {step}; expected one of {checkpoints.steps()}, of which {folder} has checkpoints")
    model, _ = build_model(config, pick_device(device))
    checkpoints.load(step, model)
    return model.eval(), config


def newest_step(run: str | os.PathLike[str]) -> int:
    """The step of a run's newest checkpoint.

    Raises:
        InputError: there is none.
    """
    steps = Checkpoints(Path(run) / "checkpoints").steps()
    if not steps:
        raise InputError(f"{run}: no checkpoint; expected a run that has been trained")
    return steps[-1]
