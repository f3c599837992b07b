"""l2m train: one training run, started or resumed."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from l2m.training.config import TrainConfig


def train(
    config: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig(),  # noqa: B008 frozen
    *,
    out: Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Train a model on the Gaussian language, or on text. Run the same command again to resume.

    Examples
    --------
    l2m train --preset mamba-tiny --length 64
    l2m train --preset gpt2-tiny --length 64 --dry-run

    Parameters
    ----------
    out
        Folder of the run: config.json, metrics.jsonl, checkpoints; default runs/PRESET-LENGTH.
    device
        cpu, cuda, cuda:1, mps; default: cuda if there is one.
    threads
        Processor threads; default all cores.
    dry_run
        Print the config and the size of the model, and train nothing.
    json
        Print the result as one JSON object.
    """
    import dataclasses

    from l2m.base.devices import pick_device, use_threads
    from l2m.base.optional import TRAINING, require
    from l2m.cli.output import print_result

    config = config.complete()
    folder = Path("runs") / config.name if out is None else out
    require("train", *TRAINING)
    use_threads(threads)
    if dry_run:
        from l2m.training.build import describe

        result = {
            "config": dataclasses.asdict(config),
            "out": str(folder),
            **describe(config, pick_device(device)),
        }
        lines = [f"{name} = {value!r}" for name, value in result.items() if name != "config"]
        return print_result(result, json, "\n".join([str(config), *lines]))

    import os

    from l2m.base.progress import progress_bar
    from l2m.training.loop import train as run
    from l2m.training.runs import last_held_out

    tokens = config.tokens_per_step * int(os.environ.get("WORLD_SIZE", 1))
    with progress_bar(f"training {folder}", "steps", tokens=tokens) as progress:
        run(config, folder, device=device, progress=progress)
    if int(os.environ.get("RANK", 0)):
        return None  # of several processes the first reports
    loss = last_held_out(folder)
    kind = "KL" if config.corpus is None else "NLL"
    return print_result(
        {"out": str(folder), "steps": config.total_steps, "held_out": loss},
        json,
        f"{config.total_steps:,} steps; held-out {kind} {loss:.5f} nats per position -> {folder}",
    )
