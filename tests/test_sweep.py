"""Sweeps: files, resume, which runs count, and the collapse on results whose law is known."""

import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_training import run_command

import l2m
from l2m.errors import InputError
from l2m.states.condition import PAPER_THRESHOLD
from l2m.training import text_results
from l2m.training.collapse import (
    RunResult,
    _fall,
    collapse,
    collect,
    draw,
    explain,
    judge,
    read_csv,
    save,
    table,
    write_csv,
)
from l2m.training.evaluation import evaluate, plateau
from l2m.training.loop import train
from l2m.training.metrics import read_metrics
from l2m.training.sweep import estimate, read_sweep, run_sweep

SMALL = """
[train]
preset = "gpt2-tiny"
length = [4, 16]
steps = [6, 4]
width = 32
layers = 1
copies = 4
batch = 2
evaluate_sequences = 2
tensorboard = false

[[model]]
name = "a"

[[model]]
name = "b"
preset = "mamba-tiny"
state = 2
"""


def write(folder: Path, text: str = SMALL) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path


def test_lists_run_over_lengths_and_short_ones_come_first(tmp_path: Path) -> None:
    runs = read_sweep(write(tmp_path), out=tmp_path / "runs")
    assert [(run.folder.name, run.config.steps) for run in runs] == [("a-4", 6), ("b-4", 6), ("a-16", 4), ("b-16", 4)]
    assert runs[1].config.state == 2
    assert runs[0].config.state is None


@pytest.mark.parametrize("name", ["collapse.toml", "text.toml", "paper.toml"])
def test_the_sweeps_of_the_docs_are_readable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = Path(__file__).parent.parent / "docs"
    runs = read_sweep(docs / name)
    assert len(runs) >= 3
    if name == "collapse.toml":
        of = lambda family: {run.name for run in runs if family in run.config.preset}  # noqa: E731
        assert len(of("mamba-")) >= 3
        assert len(of("mamba2-")) >= 3
        assert len(of("gpt2-")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\n", r"no \[\[model\]\]"),
        ("[[model]]\npreset = 3 3", "not TOML"),
        ("models = 1", "'models'; expected out"),
        ("[[model]]\nrate = 1", "field 'rate'"),
        ("[[model]]\nlength = [4, 16]\nsteps = [1, 2, 3]", "length of 2, steps of 3; expected lists of one length"),
        ("[[model]]\nlength = 4\n[[model]]\nlength = 4", "two runs named mamba-tiny-4"),
        ("[[model]]\npreset = 'mamba-tiny'\nlength = 20", r"sweep\.toml: model mamba-tiny: length: 20"),
    ],
)
def test_bad_sweep_files_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_sweep(write(tmp_path, text))
    with pytest.raises(InputError, match="no such file"):
        read_sweep(tmp_path / "none.toml")


def test_a_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    runs = read_sweep(write(tmp_path), out=tmp_path / "runs")
    lines: list[str] = []
    run_sweep(runs[:2], device="cpu", threads=1, sequences=4, say=lines.append)
    first = runs[0].result.read_bytes()
    assert [row.name for row in collect(runs)] == ["a", "b"]
    run_sweep(runs, device="cpu", threads=1, sequences=4, say=lines.append)
    assert lines[0] == "2 runs, 0 done, 2 to go"
    assert lines[3] == "4 runs, 2 done, 2 to go"
    other = dataclasses.replace(runs[0], config=dataclasses.replace(runs[0].config, learning_rate=1e-5))
    for use in (lambda: run_sweep([other], device="cpu", say=lines.append), lambda: collect([other])):
        with pytest.raises(InputError, match=r"a-4: learning_rate: 1e-05, but this run was started with 0\.001"):
            use()
    assert runs[0].result.read_bytes() == first
    rows = collect(runs)
    assert [(row.length, row.steps, row.batch) for row in rows] == [(4, 6, 2), (4, 6, 2), (16, 4, 2), (16, 4, 2)]
    law = l2m.HierarchicalGaussian(2)
    assert rows[2].information == pytest.approx(4 * law.bipartite_information())
    assert rows[2].untrained_kl == pytest.approx(-np.log(law.conditional_std).mean())
    assert rows[2].state == 2 * 32 * 8


def test_workers_give_what_one_gives(tmp_path: Path) -> None:
    alone, apart = (read_sweep(write(tmp_path), out=tmp_path / name)[:2] for name in ("alone", "apart"))
    run_sweep(alone, device="cpu", threads=1, sequences=4, say=lambda _: None)
    run_sweep(apart, device="cpu", workers=2, threads=1, sequences=4, say=lambda _: None)
    for one, other in zip(alone, apart, strict=True):
        np.testing.assert_array_equal(l2m.load(one.result).kl, l2m.load(other.result).kl)


def test_an_evaluation_before_the_end_does_not_finish_a_run(tmp_path: Path) -> None:
    run = read_sweep(write(tmp_path), out=tmp_path / "runs")[0]

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise RuntimeError("stopped")

    config = dataclasses.replace(run.config, save_every=2)
    with pytest.raises(RuntimeError):
        train(config, run.folder, device="cpu", progress=stop)
    evaluate(run.folder, sequences=4, device="cpu").save(run.result)
    assert run.evaluation() is None
    assert collect([run]) == []
    run_sweep([run], device="cpu", threads=1, sequences=4, say=lambda _: None)
    assert run.evaluation().settings["step"] == 6


def test_after_an_interrupt_no_further_run_begins(tmp_path: Path) -> None:
    """Two workers of five long runs: both stop and save, and the other three have no folder."""
    models = "".join(f"[[model]]\nname = '{name}'\n" for name in "abcde")
    path = write(tmp_path, SMALL[: SMALL.index("[[model]]")].replace("[6, 4]", "[100_000, 100_000]") + models)
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


def test_the_fall_is_that_of_the_last_third() -> None:
    assert _fall({4: 0.8, 8: 0.5, 10: 0.45, 12: 0.4}, 12) == pytest.approx(0.2)
    assert _fall({10: 0.5, 12: 0.4}, 12) != _fall({10: 0.5, 12: 0.4}, 12), "nan: not measured over a third"


def test_a_run_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = read_sweep(write(tmp_path), out=tmp_path / "runs")[:2]
    runs[0].folder.mkdir(parents=True)
    (runs[0].folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"1 of 2 runs failed: a-4: .*not empty"):
        run_sweep(runs, device="cpu", threads=1, sequences=4, say=lambda _: None)
    assert runs[1].result.exists()
    with pytest.raises(InputError, match="sequences: 1; expected at least 2"):
        run_sweep(runs, device="cpu", threads=1, sequences=1, say=lambda _: None)

    def full(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    rest = read_sweep(write(tmp_path), out=tmp_path / "more")[:2]
    monkeypatch.setattr("l2m.training.loop.train", full)
    with pytest.raises(InputError, match="2 of 2 runs failed: a-4: CUDA out of memory"):
        run_sweep(rest, device="cpu", threads=1, sequences=4, say=lambda _: None)


def test_the_estimate_is_steps_times_the_time_of_one(tmp_path: Path) -> None:
    runs = read_sweep(write(tmp_path), out=tmp_path / "runs")
    lines: list[str] = []
    seconds = estimate(runs, threads=1, steps=2, say=lines.append)
    told = [float(line.split("ms a step")[0].split()[-1]) / 1e3 for line in lines]
    steps = [run.config.total_steps for run in runs]
    assert seconds == pytest.approx(float(np.dot(told, steps)), rel=0.05)  # lines are rounded to 0.1 ms


# --- which runs count ------------------------------------------------------------------------------------------------


def result(**changes: Any) -> RunResult:
    row = RunResult(
        name="m", family="mamba", length=64, state=1_000, parameters=1, steps=100, batch=4, learning_rate=1e-3, seed=0,
        information=100.0, kl=0.1, kl_stderr=1e-3, captured=1.0, captured_stderr=0.1, untrained_kl=0.2, fall=0.01,
    )  # fmt: skip
    return dataclasses.replace(row, **changes)


@pytest.mark.parametrize(
    ("run", "control", "counts"),
    [
        ({}, {}, True),
        ({"fall": 0.03}, {}, False),
        ({"fall": -0.2}, {}, True),
        ({}, {"state": 7_999}, False),
        ({}, {"kl": 0.1}, False),
        ({}, {"length": 256}, False),
        ({}, {"steps": 200}, False),
        ({}, {"steps": 200, "batch": 2}, True),
        ({}, {"steps": 50}, True),
        ({}, {"family": "gpt2"}, True),
    ],
)
def test_a_run_counts_if_it_settled_and_a_larger_state_does_better(
    run: dict[str, Any], control: dict[str, Any], counts: bool
) -> None:
    judged = judge([result(**run), result(**{"name": "large", "state": 8_000, "kl": 0.05, **control})])
    assert judged[0].counted is counts
    assert not judged[1].counted
    if counts:
        assert judged[0].control == "large"
        assert judged[0].control_kl == 0.05


# --- the collapse ----------------------------------------------------------------------------------------------------


def rows_of(law: Callable[[float, int, int], float], scatter: float, seed: int = 0) -> list[RunResult]:
    """Runs at 3 lengths and 4 states whose KL is law(ratio, L, dim) times a log-normal factor, each with a control."""
    random = np.random.default_rng(seed)
    rows = []
    for length, information in ((16, 57.7), (64, 174.7), (256, 525.9)):
        for state in (1_024, 3_072, 9_216, 27_648):
            kl = law(information / state, length, state) * math.exp(scatter * random.standard_normal())
            rows.append(result(name=str(state), length=length, state=state, information=information, kl=kl))
        rows.append(result(name="control", family="gpt2", length=length, state=10**6, information=information, kl=1e-9))
    return judge(rows)


def test_runs_on_one_law_of_the_ratio_collapse_and_give_its_threshold() -> None:
    curve = collapse(rows_of(lambda ratio, *_: 0.3 * ratio**0.8, 0.02))
    assert curve.kl.size == 12
    assert curve.collapses
    assert curve.pairs == 8  # 57.7 : 174.7 : 525.9 = 1 : 3.03 : 9.1 against states of 1 : 3 : 9 : 27
    found = curve.threshold(0.05)
    exact = (0.05 / 0.3) ** (1 / 0.8)
    # The interval is two standard deviations of scatter, 0.04 in log KL, over the slope.
    assert found.low is not None
    assert found.high is not None
    assert found.low < exact < found.high
    assert found.nats_per_number == pytest.approx(exact, rel=0.05)
    assert "own sweep: 12 of 15 runs" in found.source
    with pytest.raises(InputError, match="kl: 10; expected"):
        curve.threshold(10)


@pytest.mark.parametrize("law", [lambda _, length, __: 1e-3 * length, lambda _, __, state: 1 / state])
def test_runs_on_a_law_of_length_or_state_do_not_collapse(law: Callable[[float, int, int], float]) -> None:
    curve = collapse(rows_of(law, 0.02))
    assert curve.has_curve
    assert not curve.collapses
    assert curve.threshold(0.05) is PAPER_THRESHOLD, "a KL that is no function of I/dim has no threshold"
    assert "do not collapse" in explain(curve)
    assert "paper, not reproduced" in explain(curve)


def test_too_few_runs_keep_the_threshold_of_the_paper() -> None:
    rows = rows_of(lambda ratio, *_: ratio, 0.0)
    few = judge([row for row in rows if row.family == "gpt2"] + [row for row in rows if row.family == "mamba"][:7])
    for curve in (collapse(few), collapse([])):
        assert not curve.has_curve
        assert not curve.collapses
        assert curve.threshold() is PAPER_THRESHOLD
        assert "paper, not reproduced" in explain(curve)
    narrow = judge([dataclasses.replace(row, information=row.state * (1 + 0.01 * i)) for i, row in enumerate(rows)])
    assert not collapse(narrow).has_curve


def test_the_threshold_serves_the_verdict(tmp_path: Path) -> None:
    curve = collapse(rows_of(lambda ratio, *_: 0.3 * ratio, 0.02))
    law = l2m.fit_power_law(np.array([64.0, 256, 1024, 4096]), 2 * np.array([64.0, 256, 1024, 4096]) ** 0.5)
    verdict = l2m.condition(law, {"model_type": "mamba", "num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 1},
                            threshold=curve.threshold(0.05))  # fmt: skip
    assert "own sweep" in verdict.explain()


def test_results_come_back_from_csv_and_draw_hollow_what_does_not_count(tmp_path: Path) -> None:
    rows = rows_of(lambda ratio, *_: 0.3 * ratio**0.8, 0.02)
    rows = judge([dataclasses.replace(row, fall=0.1) if row.name == "9216" else row for row in rows])
    write_csv(rows, tmp_path / "collapse.csv")
    back = read_csv(tmp_path / "collapse.csv")
    assert [dataclasses.replace(row, kl=0, information=0, control_kl=0) for row in back] == [
        dataclasses.replace(row, kl=0, information=0, control_kl=0) for row in rows
    ]
    curve = save(back, tmp_path)
    assert l2m.load(tmp_path / "collapse.json").kl.size == curve.kl.size == 9
    assert (tmp_path / "collapse.svg").read_text().startswith("<svg")
    axes = draw(rows, curve)
    hollow = [line for line in axes.get_lines() if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert len(hollow) == 3 + 3  # controls, and the three that had not settled
    assert table(rows).count("| yes |") == 9
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not the results of a sweep"):
        read_csv(tmp_path / "bad.csv")


def test_captured_information_may_be_negative(tmp_path: Path) -> None:
    row = result(captured=-3.5)
    write_csv([row], tmp_path / "one.csv")
    assert read_csv(tmp_path / "one.csv")[0].captured == -3.5


def test_command_runs_shows_and_redraws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    path = str(write(tmp_path))
    out = ["--out", str(tmp_path / "runs"), "--json"]
    assert run_command("sweep", path, *out, "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 4
    assert run_command("sweep", path, *out, "--select", "*-4", "--threads", "1", "--sequences", "4") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 2
    assert run_command("sweep", str(tmp_path / "runs/collapse.csv"), "--out", str(tmp_path / "again")) == 0
    assert "paper, not reproduced" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "again").iterdir()} == {
        *("collapse.csv", "collapse.json", "collapse.svg", "lengths.svg"),
    }
    assert (tmp_path / "again/collapse.csv").read_bytes() == (tmp_path / "runs/collapse.csv").read_bytes()
    assert run_command("sweep", path, *out, "--select", "none") == 2
    run = str(tmp_path / "runs/a-4")
    assert run_command("evaluate", run, "--sequences", "4", "--figure", str(tmp_path / "kl.svg"), *out[2:]) == 0
    assert json.loads(capsys.readouterr().out)[run]["information"] == pytest.approx(0.29389333245)
    nll = str(tmp_path / "nll.svg")
    assert run_command("evaluate", run, "--sequences", "4", "--figure", nll, "--quantity", "nll") == 0
    assert (tmp_path / "nll.svg").stat().st_size > 1_000
    assert run_command("evaluate", str(tmp_path)) == 2
    torch.set_num_threads(threads)


# --- text ------------------------------------------------------------------------------------------------------------


class Curve:
    """The fields of an `l2m.PositionCurve` that `plateau` reads."""

    def __init__(self, nll: np.ndarray, noise: float) -> None:
        random = np.random.default_rng(0)
        self.first = 2.0 ** np.arange(nll.size)
        self.last = 2 * self.first - 1
        self.position = np.sqrt(self.first * self.last)
        self.document = np.repeat(np.arange(40), 5)
        # Documents differ by far more than positions do: only pairing within them sees where the curve is flat.
        level = random.standard_normal(40)[self.document]
        self.pointwise = nll + level[:, None] + noise * random.standard_normal((200, nll.size))


def test_plateau_is_where_later_positions_are_no_better() -> None:
    """Falls by 0.2 a bin to bin 6, then flat: at bin 6 the gain of what follows is noise of 0.02 / sqrt(200)."""
    nll = 3 - 0.2 * np.minimum(np.arange(10), 6)
    flat = Curve(nll, 0.02)
    assert plateau(flat) in flat.position[6:8]
    falling = Curve(3 - 0.2 * np.arange(10), 0.02)
    assert plateau(falling) == falling.position[-1]
    # First letters of a sentence are easier than what follows: a dip at the start is no plateau.
    dip = Curve(3 - 0.2 * np.minimum(np.arange(10), 6) - np.where(np.arange(10) < 2, 2.0, 0), 0.02)
    assert plateau(dip) in dip.position[6:8]
    alone = Curve(3 - 0.2 * np.arange(10), 0.02)
    alone.document = np.zeros(200, int)
    assert math.isnan(plateau(alone))
    rising = Curve(3 + 0.2 * np.arange(10), 0.02)
    assert plateau(rising) == rising.position[0]


@pytest.mark.parametrize("bins", [4, 12])
def test_a_flat_curve_is_seldom_taken_for_a_falling_one(bins: int) -> None:
    """Noise alone: at most once in 40 times; 400 draws, and three standard deviations of their count."""
    flat = Curve(np.full(bins, 3.0), 0.02)
    found = 0
    for seed in range(400):
        flat.pointwise = np.random.default_rng(seed).standard_normal((200, bins))
        found += plateau(flat) != flat.position[0]
    assert found <= 400 / 40 + 3 * math.sqrt(400 / 40)


def test_text_results_come_back_from_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [
        text_results.TextPoint("m", 64, 1_000, 512, 10, 16.0, float(2**k), float(2 ** (k + 1) - 1), 3 - 0.1 * k, 0.01)
        for k in range(6)
    ]
    text_results.save(points, tmp_path)
    assert text_results.read_csv(tmp_path / "nll.csv") == points
    assert (tmp_path / "nll.svg").read_text().startswith("<svg")
    assert "| m | 64 | 1,000 | 512 | 10 | 2.5000 ± 0.0100 | 16 |" in text_results.table(points)
    assert run_command("sweep", str(tmp_path / "nll.csv"), "--out", str(tmp_path / "again"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 1
    for name in ("nll.csv", "nll.svg"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()
    (tmp_path / "bad.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match="not the results of a sweep on text"):
        text_results.read_csv(tmp_path / "bad.csv")
