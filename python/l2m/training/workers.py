"""Running a sweep: one run after another, or side by side, each worker a process that never outlives the sweep."""

import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from l2m.base import checks
from l2m.base.progress import Progress, progress_bar
from l2m.base.signals import sigterm_interrupts
from l2m.errors import InputError
from l2m.training.metrics import read_metrics
from l2m.training.sweep import SweepRun

log = logging.getLogger("l2m")

ORPHANED_AFTER = 0.5
"""Seconds within which a worker notices that its parent is gone."""


def run_sweep(
    runs: list[SweepRun],
    *,
    device: str | None = None,
    workers: int = 1,
    threads: int | None = None,
    sequences: int = 64,
) -> None:
    """Train and evaluate every run that has no evaluation yet; the same call resumes where it stopped.

    What begins and what is done goes to the logger "l2m", a line a run.

    Args:
        workers: runs at a time, each a process of its own; with several GPUs, worker i sees GPU i.
        threads: processor threads of each; default all cores shared out among the workers.
        sequences: held-out sequences of the evaluation.

    Raises:
        InputError: a run that cannot be trained, after all others have been; one whose folder holds a run of other settings.
    """
    checks.whole("sequences", sequences, 2, 2**24)
    checks.whole("workers", workers, 1, 1_024)
    threads = max(1, checks.cores() // workers) if threads is None else checks.threads(threads)
    waiting = [run for run in runs if run.evaluation() is None]
    log.info("%d runs, %d done, %d to go", len(runs), len(runs) - len(waiting), len(waiting))
    if not waiting:
        return
    failures = []
    if workers == 1:
        for run in waiting:
            with progress_bar(run.folder.name, "steps", tokens=run.config.tokens_per_step) as progress:
                failure = train_and_evaluate(run, device, threads, sequences, progress)
            log.info("%s", failure or summary_of(run))
            failures += [failure] if failure else []
    else:
        failures = _side_by_side(waiting, device, workers, threads, sequences)
    if failures:
        raise InputError(f"{len(failures)} of {len(waiting)} runs failed: {failures[0]}")


def train_and_evaluate(
    run: SweepRun, device: str | None, threads: int, sequences: int, progress: Progress | None = None
) -> str | None:
    """Train and evaluate one run; what went wrong in one line, or None."""
    from l2m.base.devices import use_threads
    from l2m.training.evaluation import evaluate
    from l2m.training.loop import train

    use_threads(threads)
    try:
        train(run.config, run.folder, device=device, progress=progress)
        evaluate(run.folder, sequences=sequences, device=device).save(run.result)
    except (InputError, OSError, RuntimeError, MemoryError) as error:  # such as a GPU that is out of memory
        return f"{run.folder.name}: {' '.join(str(error).split())[:400] or type(error).__name__}"
    return None


def summary_of(run: SweepRun) -> str:
    """What a finished run has learned, in one line."""
    from l2m.training.evaluation import summary

    return f"{run.folder.name}: {summary(run.evaluation())}"


def _side_by_side(waiting: list[SweepRun], device: str | None, workers: int, threads: int, sequences: int) -> list[str]:
    """Train and evaluate runs, `workers` at a time; returns what went wrong, a line a run.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; the workers have been told to save the step under way and stop.
    """
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    failures: list[str] = []
    left, under_way = list(reversed(waiting)), dict[Future[str | None], SweepRun]()
    steps, done = sum(run.config.total_steps for run in waiting), 0
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(numbers, os.getpid()))
    try:
        with progress_bar("sweep", "steps") as progress, sigterm_interrupts():
            while left or under_way:
                # No more than there are workers: the pool would begin what it was handed ahead even after Ctrl-C.
                while left and len(under_way) < workers:
                    run = left.pop()
                    with _without_interrupts():  # a new process starts deaf to Ctrl-C; this one hears it afterwards
                        future = pool.submit(_work, run, device, threads, sequences)
                    under_way[future] = run
                    log.info("%s: begins", run.folder.name)
                ended, _ = wait(under_way, timeout=5, return_when=FIRST_COMPLETED)
                for future in ended:
                    run, failure = under_way.pop(future), future.result()
                    done += run.config.total_steps
                    log.info("%s", failure or summary_of(run))
                    failures += [failure] if failure else []
                if progress is not None:
                    progress(done + sum(_last_step(run.folder) for run in under_way.values()), steps)
    except BaseException as error:
        for child in multiprocessing.active_children():
            child.terminate()  # SIGTERM, on which a training saves and ends
        pool.shutdown(wait=True, cancel_futures=True)
        numbers.close()
        numbers.join_thread()
        # Their semaphores go with them. The process ends without a teardown, after which multiprocessing would warn of leaks.
        del pool, numbers
        gc.collect()
        if isinstance(error, BrokenExecutor):
            raise InputError(
                "workers: a worker was killed, perhaps for lack of memory; run the same command again to resume"
            ) from None
        raise
    pool.shutdown()
    return failures


def _last_step(folder: Path) -> int:
    """The step of the newest line of a run's metrics."""
    with suppress(InputError, OSError):  # which the run itself reports
        return max((line["step"] for line in read_metrics(folder)), default=0)
    return 0


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C waits until the block ends; processes that are started in it begin with Ctrl-C blocked."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(numbers: Any, parent: int) -> None:
    """In a worker, before torch looks: one of several GPUs each; Ctrl-C is the parent's; an end with the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with, args=(parent,), name="l2m-parent", daemon=True).start()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(n) for n in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]
    number = numbers.get()
    if len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]


def _end_with(parent: int) -> None:
    """SIGTERM to this process once its parent is gone: a training saves and stops, anything else ends at once.

    Looked for, not left to PR_SET_PDEATHSIG: that is Linux's alone, and follows the thread that started a process.
    """
    while os.getppid() == parent:
        time.sleep(ORPHANED_AFTER)
    while True:  # once to stop the training, once more to end the worker that would wait for another run
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHANED_AFTER)


def _work(run: SweepRun, device: str | None, threads: int, sequences: int) -> str | None:
    try:
        return train_and_evaluate(run, device, threads, sequences)
    except KeyboardInterrupt:
        os._exit(130)  # saved; at once, for taking torch down takes longer than Ctrl-C should
