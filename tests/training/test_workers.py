"""Runs side by side: the same results, and no worker outlives its sweep."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import l2m
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


def test_after_an_interrupt_no_further_run_begins(tmp_path: Path) -> None:
    """Two workers of five long runs: both stop and save, and the other three have no folder."""
    models = "".join(f"[[model]]\nname = '{name}'\n" for name in "abcde")
    path = write_sweep(
        tmp_path, SMALL_SWEEP[: SMALL_SWEEP.index("[[model]]")].replace("[6, 4]", "[100_000, 100_000]") + models
    )
    command = [sys.executable, "-m", "l2m", "sweep", str(path), "--out", str(tmp_path / "runs"), "--workers", "2"]
    process = subprocess.Popen([*command, "--threads", "1"], start_new_session=True, stderr=subprocess.PIPE, text=True)
    first = [tmp_path / f"runs/{name}-4" for name in "ab"]
    try:
        until = time.monotonic() + 240
        while not all(read_metrics(folder) for folder in first) and time.monotonic() < until:
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGTERM)  # not to its workers, which it must stop itself
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 130, errors
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert sorted((tmp_path / "runs").iterdir()) == first
    assert all(list(folder.glob("checkpoints/step-*/state.json")) for folder in first)
