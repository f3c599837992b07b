"""What a training step costs: Mamba's scan by kernel, the models by length, the share of the data loader.

    python benches/training.py [--smoke] [--threads 1]

Medians of 5 after one that warms up, all kernels in the same run; prints Markdown tables. `transformers`' own loop is left
out beyond length 256, where one backward pass takes minutes.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import torch

from goals import Goals, add_option
from l2m.training.build import build_model
from l2m.training.config import TrainConfig
from l2m.training.data import open_data
from l2m.training.loss import position_loss
from l2m.training.models import backbone_config
from l2m.training.models.networks import build_backbone
from l2m.training.models.scan import choose_kernel, use_kernel

KERNELS = ("scan", "mambapy", "transformers")


def median(work: Callable[[], None], repeats: int) -> float:
    """Seconds of one call: the median after one call that warms up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def scans(lengths: list[int], repeats: int, goals: Goals) -> None:
    """Forward and backward pass of a Mamba of 4 layers and width 128, batch 4."""
    print("| length | " + " | ".join(("l2m scan", "mambapy", "transformers")) + " |\n| --- | --- | --- | --- |")
    for length in lengths:
        torch.manual_seed(0)
        model = build_backbone(backbone_config("mamba-tiny", length, layers=4), text=False).train()
        inputs = torch.randn(4, length, 128)

        def step(model: torch.nn.Module = model, inputs: torch.Tensor = inputs) -> None:
            model(inputs_embeds=inputs, use_cache=False).last_hidden_state.square().sum().backward()

        seconds: dict[str, float] = {}
        for kernel in KERNELS:
            if kernel == "transformers" and length > 256:
                continue
            use_kernel("mamba", kernel)
            seconds[kernel] = median(step, repeats if kernel != "transformers" else 1)
        cells = [f"{1e3 * seconds[kernel]:,.0f} ms" if kernel in seconds else "" for kernel in KERNELS]
        print(f"| {length:,} | " + " | ".join(cells) + " |", flush=True)
        ratio = seconds["mambapy"] / seconds["scan"]
        goals.add(f"a step of Mamba, length {length:,}", ratio, unit="times mambapy's speed")
    use_kernel("mamba", choose_kernel("mamba", "cpu"))


def steps(presets: list[str], lengths: list[int], repeats: int) -> None:
    """A training step (batch 4), and the share of it that making the next batch takes, with no thread to hide it."""
    print("\n| preset | length | state | step | tokens/s | data |\n| --- | --- | --- | --- | --- | --- |")
    for preset in presets:
        for length in lengths:
            config = TrainConfig(preset=preset, length=length).complete()
            data = open_data(config)
            model, _ = build_model(config, "cpu")
            optimizer = torch.optim.AdamW([v for v in model.parameters() if v.requires_grad], fused=True)
            batch = data.train(0, config.batch)

            def step(model=model, batch=batch, optimizer=optimizer) -> None:  # type: ignore[no-untyped-def]
                position_loss(model, batch).mean().backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

            seconds = median(step, repeats)
            loading = median(lambda data=data, config=config: data.train(1, config.batch), repeats)  # type: ignore[misc]
            print(
                f"| {preset} | {length:,} | {model.state_size(length // 2):,} | {1e3 * seconds:,.0f} ms | "
                f"{config.batch * length / seconds:,.0f} | {100 * loading / seconds:.1f} % |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads, torch {torch.__version__}\n")
    scans(
        [16, 64] if arguments.smoke else [16, 64, 256, 1024],
        1 if arguments.smoke else 5,
        Goals.of(arguments),
    )
    lengths = [16, 64] if arguments.smoke else [16, 64, 256, 1024]
    steps(["gpt2-tiny", "mamba-tiny", "mamba2-tiny"], lengths, 1 if arguments.smoke else 5)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
