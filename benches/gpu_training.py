"""Does training give the same numbers on this machine's GPUs? `make gpu`, or `python benches/gpu_training.py`.

Checks every scan that runs here against the plain loop of `transformers` on the CPU, with gradients, bfloat16 against
float32 and two processes (two GPUs where there are two) against one on the same sequences, and measures steps per second
of every preset that fits. Without a GPU the same runs on the CPU with the tiny presets.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from gpu_scoring import Check, print_checks
from l2m.errors import InputError
from l2m.training.build import build_model
from l2m.training.config import TrainConfig
from l2m.training.data import open_data
from l2m.training.loop import to_device, train
from l2m.training.loss import position_loss
from l2m.training.metrics import read_metrics
from l2m.training.models import PRESETS, backbone_config
from l2m.training.models.networks import build_backbone
from l2m.training.models.scan import KERNELS, choose_kernel, use_kernel

KERNEL_TOLERANCE = 1e-3
"""Of outputs and gradients in float32, relative to their largest value: sums of a few hundred terms in another order, twice."""
PRECISION_TOLERANCE = 1e-2
"""Of the held-out KL, relatively: bfloat16 keeps 8 bits."""
PROCESSES_TOLERANCE = 1e-3
"""Of the held-out KL, relatively: float32 gradients summed in another order, over steps that amplify the difference."""


def kernel_checks(device: str, length: int) -> Iterator[Check]:
    """Outputs and gradients of two layers on every kernel of this device against `transformers`' plain one on the CPU."""
    for family in ("mamba", "mamba2"):
        torch.manual_seed(0)
        model = build_backbone(backbone_config(f"{family}-tiny", length), text=False).train()
        inputs = torch.randn(2, length, 128)
        try:
            use_kernel(family, "transformers")
            expected = _outputs(model, inputs, "cpu")
            for kernel in KERNELS[1:]:
                try:
                    chosen = choose_kernel(family, device, kernel)
                except InputError:
                    continue  # not installed, or no GPU for it
                if chosen != kernel or (kernel, device) == ("transformers", "cpu"):
                    continue  # not a kernel of this family, or the reference itself
                use_kernel(family, kernel)
                pairs = zip(_outputs(model, inputs, device), expected, strict=True)
                worst = max(float((mine - its).abs().max() / its.abs().max()) for mine, its in pairs)
                yield Check(
                    f"{family}: {kernel} on {device} against the plain loop on the CPU", worst, KERNEL_TOLERANCE
                )
        finally:
            use_kernel(family, choose_kernel(family, device))


def _outputs(model: Any, inputs: torch.Tensor, device: str) -> list[torch.Tensor]:
    """The last hidden states and the gradient of each parameter, on the CPU."""
    model.to(device).zero_grad()
    output = model(inputs_embeds=inputs.to(device), use_cache=False).last_hidden_state
    # A random direction: the square's gradient would be 0, for the last norm fixes the length of the output.
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    (output * direction.to(device)).mean().backward()
    gradients = [value.grad.cpu().clone() for value in model.parameters() if value.grad is not None]
    return [output.detach().cpu(), *gradients]


def precision_checks(folder: Path, device: str, length: int, steps: int) -> Iterator[Check]:
    """The held-out KL of a short run in bfloat16 against float32, from the same weights and data, for each family."""
    for family in ("gpt2", "mamba", "mamba2"):
        kl = {}
        for precision in ("float32", "bfloat16"):
            config = TrainConfig(
                preset=f"{family}-tiny",
                length=length,
                steps=steps,
                evaluate_every=steps,
                precision=precision,
                tensorboard=False,
            )
            run = train(config, folder / f"{family}-{precision}", device=device)
            kl[precision] = read_metrics(run)[-1]["held_out"]
        yield Check(
            f"{family}: bfloat16 against float32 on {device}",
            abs(kl["bfloat16"] / kl["float32"] - 1),
            PRECISION_TOLERANCE,
            f"KL {kl['bfloat16']:.4f} and {kl['float32']:.4f} after {steps} steps",
        )


def processes_check(folder: Path, device: str, length: int, steps: int) -> Check:
    """Two processes of batch 4 against one that accumulates two batches of 4: the same sequences in each step."""
    where = device if device == "cpu" or torch.cuda.device_count() > 1 else "cpu"
    one = ["-m", "l2m", "train", "--accumulate", "2", "--out", str(folder / "one")]
    two = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "l2m",
        "train",
        "--out",
        str(folder / "two"),
    ]
    same = [
        "--preset",
        "mamba2-tiny",
        "--length",
        str(length),
        "--steps",
        str(steps),
        "--log-every",
        "1",
        "--no-tensorboard",
    ]
    same += ["--device", where, "--threads", "1"]
    # Processes of their own: accelerate takes one kind of device for the life of a process, and the checks before this one took the GPU.
    for arguments in (one, two):
        done = subprocess.run([sys.executable, *arguments, *same], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-4_000:]}")
    runs = [read_metrics(folder / name) for name in ("one", "two")]
    alone, shared = (run[-1]["held_out"] for run in runs)
    worst = abs(shared / alone - 1)
    # The first steps warm up.
    alone, shared = (sum(line.get("tokens_per_second", 0) for line in run if line["step"] > steps // 2) for run in runs)
    what = (
        "two GPUs"
        if where == "cuda"
        else "two processes on the CPU" + (", for want of a second GPU" * (device != where))
    )
    return Check(f"{what} against one", worst, PROCESSES_TOLERANCE, f"{shared / alone:.2f} times as fast")


def speed(name: str, device: str, precision: str, length: int, batch: int = 4, repeats: int = 5) -> list[str]:
    """A row of the table: steps per second of a preset, the median of some after two that warm up, and peak memory."""
    config = TrainConfig(preset=name, length=length, batch=batch, precision=precision).complete()  # type: ignore[arg-type]
    row = [name, f"{length:,}", precision]
    cuda = device == "cuda"
    try:
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        model, kernel = build_model(config, device)
        optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], fused=True)
        held = to_device(open_data(config).train(0, batch), torch.device(device))
        seconds = []
        for _ in range(repeats + 2):
            start = time.perf_counter()
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                loss = position_loss(model, held).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            loss.item()  # waits for the device
            if cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    except torch.cuda.OutOfMemoryError:
        return [*row, "", "", "does not fit", "", ""]
    rate = 1 / sorted(seconds[2:])[repeats // 2]
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if cuda else ""
    size = sum(value.numel() for value in model.parameters())
    return [*row, kernel, f"{size:,}", f"{rate:.2f}", f"{rate * batch * length:,.0f}", memory]


def main(arguments: list[str] | None = None) -> int:
    """Print the checks and the table; 1 where a check fails."""
    from argparse import ArgumentParser

    parser = ArgumentParser(prog="python benches/gpu_training.py", description=__doc__.partition("\n")[0])
    found = torch.cuda.is_available()
    presets = [name for name in PRESETS if found or name.endswith("-tiny")]
    parser.add_argument("--device", default="cuda" if found else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--length", type=int, default=256 if found else 16, help="a power of 4")
    parser.add_argument("--steps", type=int, default=200 if found else 20, help="of the runs that are compared")
    parser.add_argument("--presets", nargs="+", default=presets, help="to time")
    options = parser.parse_args(arguments)
    device, length = options.device, options.length
    if device == "cpu":
        torch.set_num_threads(1)  # tiny models gain nothing from more, and lose where cores are shared
    with TemporaryDirectory() as folder:
        checks = [
            *kernel_checks(device, length),
            *precision_checks(Path(folder), device, length, options.steps),
            processes_check(Path(folder), device, length, min(options.steps, 20)),
        ]
    print(f"training at length {length}, {torch.cuda.get_device_name() if device == 'cuda' else 'CPU'}\n")
    print_checks(checks, "largest relative difference")
    print("\n| preset | length | precision | scan | parameters | steps/s, batch 4 | tokens/s | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.presets:
        for precision in ("float32", "bfloat16"):
            print(f"| {' | '.join(speed(name, device, precision, length))} |", flush=True)
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
