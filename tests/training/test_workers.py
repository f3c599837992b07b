"""Runs side by side: the same results, and no worker outlives its sweep."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import l2m
from l2m.base.folders import lock
from l2m.errors import InputError
from l2m.training.loop import train
from l2m.training.metrics import read_metrics
from l2m.training.sweep import read_sweep
from l2m.training.workers import run_sweep
from training_runs import (
    SMALL_SWEEP,
    write_sweep,
)


def test_workers_give_what_one_gives(tmp_path: Path) -> None:
    alone, apart = (read_sweep(write_sweep(tmp_path), out=tmp_path / name)[:2] for name in ("alone", "apart"))
    run_sweep(alone, device="cpu", threads=1, sequences=4)
    run_sweep(apart, device="cpu", workers=2, threads=1, sequences=4)
    for one, other in zip(alone, apart, strict=True):
        np.testing.assert_array_equal(l2m.load(one.result).kl, l2m.load(other.result).kl)


def gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


@pytest.mark.parametrize("how", ["SIGTERM to the sweep", "Ctrl-C to all", "SIGKILL to the sweep"])
def test_a_sweep_that_ends_ends_its_workers_and_no_further_run_begins(how: str, tmp_path: Path) -> None:
    """Two workers of five long runs: both stop and save, whatever ends the sweep, and the other three have no folder."""
    models = "".join(f"[[model]]\nname = '{name}'\n" for name in "abcde")
    path = write_sweep(
        tmp_path, SMALL_SWEEP[: SMALL_SWEEP.index("[[model]]")].replace("[6, 4]", "[100_000, 100_000]") + models
    )
    command = [sys.executable, "-m", "l2m", "sweep", str(path), "--out", str(tmp_path / "runs"), "--workers", "2"]
    process = subprocess.Popen([*command, "--threads", "1"], start_new_session=True, stderr=subprocess.PIPE, text=True)
    first = [tmp_path / f"runs/{name}-4" for name in "ab"]
    workers: list[psutil.Process] = []
    try:
        until = time.monotonic() + 240
        while not all(read_metrics(folder) for folder in first) and time.monotonic() < until:
            time.sleep(0.2)
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) >= 2
        if how == "Ctrl-C to all":
            os.killpg(process.pid, signal.SIGINT)
        else:  # not to its workers, which it must stop itself, or which must see that it is gone
            os.kill(process.pid, signal.SIGTERM if "SIGTERM" in how else signal.SIGKILL)
        while not all(map(gone, workers)) and time.monotonic() < until + 240:
            time.sleep(0.1)
        assert all(map(gone, workers)), "a worker trains on"
        _, errors = process.communicate(timeout=240)
        assert process.returncode == (-signal.SIGKILL if "SIGKILL" in how else 130), errors
        assert "Traceback" not in errors
        if "SIGKILL" not in how:
            assert errors.splitlines()[-1].startswith("l2m: stopped")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert sorted((tmp_path / "runs").iterdir()) == first
    assert all(list(folder.glob("checkpoints/step-*/state.json")) for folder in first)


def test_a_run_that_another_process_trains_is_in_use(tmp_path: Path) -> None:
    run = read_sweep(write_sweep(tmp_path), out=tmp_path / "runs")[0]
    with lock(run.folder):
        with pytest.raises(InputError, match=rf"1 of 1 runs failed: a-4: .*in use by process {os.getpid()} on "):
            run_sweep([run], device="cpu", threads=1, sequences=4)
        with pytest.raises(InputError, match="in use by process"):
            train(run.config, run.folder, device="cpu")
        assert [path.name for path in run.folder.iterdir()] == [".lock"]
    run_sweep([run], device="cpu", threads=1, sequences=4)
    assert run.evaluation() is not None
