"""Many runs from one TOML file: models x lengths, one after another or side by side, finished ones skipped.

out = "runs/collapse"            # folder of the runs
[train]                          # fields of TrainConfig for every run
batch = 16
[[model]]                        # a model and the lengths it is trained at; fields as above
name = "mamba-1k"
preset = "mamba-tiny"
length = [16, 64, 256]           # a list runs over the lengths; other lists go along with it
steps = [4000, 2000, 1000]
"""

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from l2m.base.progress import Progress, progress_bar
from l2m.errors import InputError
from l2m.training.config import TrainConfig

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """One run of a sweep: its model's name in the file, its settings, its folder."""

    name: str
    config: TrainConfig
    folder: Path

    @property
    def result(self) -> Path:
        """The evaluation that is written when the run is done."""
        return self.folder / "evaluation.json"

    def evaluation(self) -> Any:
        """The record in `result`; None where the run has not come to its end, or has not been evaluated there.

        Raises:
            InputError: it is of a run with other settings (the field is named).
        """
        from l2m.training.evaluation import KLCurve

        if not self.result.exists():
            return None
        curve = KLCurve.load(self.result)
        if different := TrainConfig.from_dict(curve.settings["config"], str(self.result)).difference(self.config):
            raise InputError(f"{self.folder}: {different}; expected the same, or another name or folder")
        return curve if curve.settings["step"] == self.config.total_steps else None


def read_sweep(path: str | os.PathLike[str], *, out: str | os.PathLike[str] | None = None) -> list[SweepRun]:
    """The runs a TOML file describes, shorter lengths first: what is done early then has its controls.

    Args:
        out: folder of the runs, in place of the file's.

    Raises:
        InputError: no such file, not TOML, an unknown field, lists of unlike lengths, two runs in one folder.
    """
    import tomllib

    path = Path(path)
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML ({error})") from None
    if unknown := set(value) - {"out", "train", "model"}:
        raise InputError(f"{path}: {sorted(unknown)[0]!r}; expected out, [train] and [[model]]")
    models = value.get("model")
    if not isinstance(models, list) or not models:
        raise InputError(f"{path}: no [[model]]; expected at least one")
    folder = Path(out) if out is not None else Path(value.get("out", path.stem))
    runs = [run for model in models for run in _runs_of(str(path), folder, value.get("train", {}), model)]
    seen: set[Path] = set()
    for run in runs:
        if run.folder in seen:
            raise InputError(f"{path}: two runs named {run.folder.name}; expected another name for one of the models")
        seen.add(run.folder)
    return sorted(runs, key=lambda run: run.config.length)


def _runs_of(origin: str, folder: Path, common: Mapping[str, Any], model: Mapping[str, Any]) -> list[SweepRun]:
    fields = {**common, **model}
    name = str(fields.pop("name", fields.get("preset", TrainConfig.preset)))
    lists = {key: value for key, value in fields.items() if isinstance(value, list)}
    counts = {len(value) for value in lists.values()}
    if len(counts) > 1:
        told = ", ".join(f"{key} of {len(value)}" for key, value in lists.items())
        raise InputError(f"{origin}: model {name}: {told}; expected lists of one length")
    runs = []
    for index in range(counts.pop() if counts else 1):
        chosen = {key: value[index] if key in lists else value for key, value in fields.items()}
        try:
            config = TrainConfig.from_dict(chosen).complete()
        except InputError as error:
            raise InputError(f"{origin}: model {name}: {error}") from None
        runs.append(SweepRun(name, config, folder / f"{name}-{config.length}"))
    return runs


def run_sweep(
    runs: list[SweepRun],
    *,
    device: str | None = None,
    workers: int = 1,
    threads: int | None = None,
    sequences: int = 64,
    say: Say = print,
) -> None:
    """Train and evaluate every run that has no evaluation yet; the same call goes on where it was stopped.

    Args:
        workers: runs at a time, each a process of its own; with several GPUs, worker i sees GPU i.
        threads: processor threads of each; default all cores shared out among the workers.
        sequences: held-out sequences of the evaluation.

    Raises:
        InputError: a run that cannot be trained, and those that can are trained first; one whose folder holds a run of
            other settings.
    """
    if sequences < 2:
        raise InputError(f"sequences: {sequences}; expected at least 2, for a standard error")
    waiting = [run for run in runs if run.evaluation() is None]
    if threads is None:
        threads = max(1, (os.cpu_count() or 1) // workers)
    say(f"{len(runs)} runs, {len(runs) - len(waiting)} done, {len(waiting)} to go")
    if not waiting:
        return
    failures = []
    if workers == 1:
        for run in waiting:
            with progress_bar(run.folder.name, "steps", tokens=run.config.tokens_per_step) as progress:
                failure = _attempt(run, device, threads, sequences, progress)
            say(failure or _summary(run))
            failures += [failure] if failure else []
    else:
        failures = _side_by_side(waiting, device, workers, threads, sequences, say)
    if failures:
        raise InputError(f"{len(failures)} of {len(waiting)} runs failed: {failures[0]}")


def _side_by_side(
    waiting: list[SweepRun], device: str | None, workers: int, threads: int, sequences: int, say: Say
) -> list[str]:
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    failures: list[str] = []
    left, under_way = list(reversed(waiting)), dict[Future[str | None], SweepRun]()
    steps, done = sum(run.config.total_steps for run in waiting), 0
    pool = ProcessPoolExecutor(workers, context, initializer=_take_gpu, initargs=(numbers,))
    try:
        with progress_bar("sweep", "steps") as progress, _sigterm_interrupts():
            while left or under_way:
                # No more than there are workers: the pool would begin what it was handed ahead even after Ctrl-C.
                while left and len(under_way) < workers:
                    run = left.pop()
                    under_way[pool.submit(_attempt, run, device, threads, sequences)] = run
                    say(f"{run.folder.name}: begins")
                ended, _ = wait(under_way, timeout=5, return_when=FIRST_COMPLETED)
                for future in ended:
                    run, failure = under_way.pop(future), future.result()
                    done += run.config.total_steps
                    say(failure or _summary(run))
                    failures += [failure] if failure else []
                if progress is not None:
                    progress(done + sum(_last_step(run.folder) for run in under_way.values()), steps)
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()  # SIGTERM, on which a training saves and ends; a terminal's Ctrl-C has reached them already
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
    return failures


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does; in threads other than the main one it stays as it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _last_step(folder: Path) -> int:
    """The step of the newest line of a run's metrics."""
    from l2m.training.metrics import read_metrics

    return max((line["step"] for line in read_metrics(folder)), default=0)


def _take_gpu(numbers: Any) -> None:
    """In a worker, before torch looks: one of several GPUs each."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(n) for n in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]
    number = numbers.get()
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]


def _attempt(
    run: SweepRun, device: str | None, threads: int, sequences: int, progress: Progress | None = None
) -> str | None:
    """Train and evaluate one run; what went wrong in one line, or None."""
    import torch

    from l2m.training.evaluation import evaluate
    from l2m.training.loop import train

    torch.set_num_threads(threads)
    try:
        train(run.config, run.folder, device=device, progress=progress)
        evaluate(run.folder, sequences=sequences, device=device).save(run.result)
    except (InputError, OSError, RuntimeError) as error:  # such as a GPU that is out of memory
        return f"{run.folder.name}: {' '.join(str(error).split())[:400]}"
    return None


def _summary(run: SweepRun) -> str:
    from l2m.training.evaluation import summary

    return f"{run.folder.name}: {summary(run.evaluation())}"


def estimate(
    runs: list[SweepRun], *, threads: int, device: str | None = None, steps: int = 3, say: Say = print
) -> float:
    """Seconds all runs that are not done would take one after another on an idle machine, from a few timed steps of each.

    The median of `steps` steps after one that warms up; on a CPU in processor time over `threads`, so that other work on the
    machine counts little. Data, evaluation and checkpoints are left out: under 5 % of a run.
    """
    import statistics
    import time

    import torch

    from l2m.training.data import open_data
    from l2m.training.loop import build_model, parameter_groups, pick_device, to_device
    from l2m.training.loss import position_loss

    torch.set_num_threads(threads)
    where = torch.device(pick_device(device))

    def clock() -> float:
        if where.type == "cpu":
            return time.process_time() / threads
        torch.cuda.synchronize()
        return time.perf_counter()

    total = 0.0
    for run in runs:
        if run.evaluation() is not None:
            continue
        config = run.config
        model, _ = build_model(config, where.type)
        optimizer = torch.optim.AdamW(parameter_groups(model, config.weight_decay), fused=True)
        batch = to_device(open_data(config).train(0, config.batch), where)
        times = []
        for _ in range(steps + 1):
            start = clock()
            for _ in range(config.accumulate):
                with torch.autocast(where.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
                    loss = position_loss(model, batch).mean()
                loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            times.append(clock() - start)
        step = statistics.median(times[1:])
        total += step * config.total_steps
        say(
            f"{run.folder.name:<20} state {model.state_size(max(1, config.length // 2)):>8,}  {1e3 * step:7.1f} ms a step"
            f"  x {config.total_steps:>7,} = {step * config.total_steps / 60:7.1f} min"
        )
    return total
