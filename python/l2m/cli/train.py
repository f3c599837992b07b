"""l2m train: one training run, begun or continued."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from l2m.training.config import TrainConfig


def train(
    config: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig(),  # noqa: B008 frozen
    *,
    out: Path | None = None,
    device: Literal["cpu", "cuda"] | None = None,
    threads: int | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Train a model on the Gaussian language, or on text; the same command goes on where it stopped.

    Parameters
    ----------
    out
        Folder of the run: config.json, metrics.jsonl, checkpoints; default runs/PRESET-LENGTH.
    device
        Default: cuda if there is one.
    threads
        Processor threads; default all cores.
    dry_run
        Say the config and the model's size, and train nothing.
    json
        Print the result as one JSON object.
    """
    import dataclasses

    from l2m.cli.output import print_result

    config = config.complete()
    folder = Path("runs") / f"{Path(config.preset).name}-{config.length}" if out is None else out
    if dry_run:
        from l2m.training.loop import describe

        result = {"config": dataclasses.asdict(config), "out": str(folder), **describe(config, device)}
        lines = [f"{name} = {value!r}" for name, value in result.items() if name != "config"]
        return print_result(result, json, "\n".join([str(config), *lines]))

    import os
    import sys

    from l2m.base.progress import progress_bar
    from l2m.training.loop import train as run
    from l2m.training.loop import use_threads
    from l2m.training.metrics import read_metrics

    use_threads(threads)
    tokens = config.tokens_per_step * int(os.environ.get("WORLD_SIZE", 1))
    with progress_bar(f"training {folder}", "steps", tokens=tokens) as progress:
        run(config, folder, device=device, progress=progress, say=lambda line: print(line, file=sys.stderr))
    if int(os.environ.get("RANK", 0)):
        return None  # of several processes the first speaks
    held_out = [line["held_out"] for line in read_metrics(folder) if "held_out" in line]
    loss = held_out[-1]
    kind = "KL" if config.corpus is None else "NLL"
    return print_result(
        {"out": str(folder), "steps": config.total_steps, "held_out": loss},
        json,
        f"{config.total_steps:,} steps; held-out {kind} {loss:.5f} nats a position -> {folder}",
    )
