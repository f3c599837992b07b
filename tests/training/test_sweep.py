"""Sweeps: files, names, resume, failures."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import l2m
from l2m.errors import InputError
from l2m.training.collapse import (
    collect,
)
from l2m.training.evaluation import evaluate
from l2m.training.loop import train
from l2m.training.sweep import forecast, read_sweep
from l2m.training.workers import run_sweep
from training_runs import run_command, write_sweep


def test_lists_run_over_lengths_and_short_ones_come_first(tmp_path: Path) -> None:
    runs = read_sweep(write_sweep(tmp_path), out=tmp_path / "runs")
    assert [(run.folder.name, run.config.steps) for run in runs] == [("a-4", 6), ("b-4", 6), ("a-16", 4), ("b-16", 4)]
    assert runs[1].config.state == 2
    assert runs[0].config.state is None


@pytest.mark.parametrize("name", ["collapse.toml", "text.toml", "paper.toml"])
def test_the_sweeps_of_the_docs_are_readable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = Path(__file__).parents[2] / "docs"
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
        read_sweep(write_sweep(tmp_path, text))
    with pytest.raises(InputError, match="no such file"):
        read_sweep(tmp_path / "none.toml")


def test_a_sweep_goes_on_where_it_stopped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs = read_sweep(write_sweep(tmp_path), out=tmp_path / "runs")
    caplog.set_level("INFO", "l2m")
    run_sweep(runs[:2], device="cpu", threads=1, sequences=4)
    first = runs[0].result.read_bytes()
    assert [row.name for row in collect(runs)] == ["a", "b"]
    run_sweep(runs, device="cpu", threads=1, sequences=4)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "2 runs, 0 done, 2 to go"
    assert lines[5] == "4 runs, 2 done, 2 to go"
    assert [line.split(": ")[0] for line in lines if "captured" in line] == ["a-4", "b-4", "a-16", "b-16"]
    other = dataclasses.replace(runs[0], config=dataclasses.replace(runs[0].config, learning_rate=1e-5))
    for use in (lambda: run_sweep([other], device="cpu"), lambda: collect([other])):
        with pytest.raises(InputError, match=r"a-4: learning_rate: 1e-05, but this run was started with 0\.001"):
            use()
    assert runs[0].result.read_bytes() == first
    rows = collect(runs)
    assert [(row.length, row.steps, row.batch) for row in rows] == [(4, 6, 2), (4, 6, 2), (16, 4, 2), (16, 4, 2)]
    law = l2m.HierarchicalGaussian(2)
    assert rows[2].information == pytest.approx(4 * law.bipartite_information())
    assert rows[2].untrained_kl == pytest.approx(-np.log(law.conditional_std).mean())
    assert rows[2].state == 2 * 32 * 8
    assert rows[2].numbers == 2 * 32 * 8 / 4
    assert rows[2].frontier_kl == pytest.approx(0, abs=1e-12)
    assert rows[2].equivalent == pytest.approx(law.equivalent_state(rows[2].kl) / law.smallest_state().max())


def test_an_evaluation_before_the_end_does_not_finish_a_run(tmp_path: Path) -> None:
    run = read_sweep(write_sweep(tmp_path), out=tmp_path / "runs")[0]

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise RuntimeError("stopped")

    config = dataclasses.replace(run.config, save_every=2)
    with pytest.raises(RuntimeError):
        train(config, run.folder, device="cpu", progress=stop)
    evaluate(run.folder, sequences=4, device="cpu").save(run.result)
    assert run.evaluation() is None
    assert collect([run]) == []
    run_sweep([run], device="cpu", threads=1, sequences=4)
    assert run.evaluation().settings["step"] == 6


def test_a_run_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = read_sweep(write_sweep(tmp_path), out=tmp_path / "runs")[:2]
    runs[0].folder.mkdir(parents=True)
    (runs[0].folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"1 of 2 runs failed: a-4: .*not empty"):
        run_sweep(runs, device="cpu", threads=1, sequences=4)
    assert runs[1].result.exists()
    with pytest.raises(InputError, match="sequences: 1; expected a whole number from 2"):
        run_sweep(runs, device="cpu", threads=1, sequences=1)

    def full(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    rest = read_sweep(write_sweep(tmp_path), out=tmp_path / "more")[:2]
    monkeypatch.setattr("l2m.training.loop.train", full)
    with pytest.raises(InputError, match="2 of 2 runs failed: a-4: CUDA out of memory"):
        run_sweep(rest, device="cpu", threads=1, sequences=4)


def test_the_forecast_is_steps_times_the_time_of_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "l2m")
    runs = read_sweep(write_sweep(tmp_path), out=tmp_path / "runs")
    what = forecast(runs, threads=1, steps=2)
    told = [float(record.getMessage().split("ms a step")[0].split()[-1]) / 1e3 for record in caplog.records]
    steps = [run.config.total_steps for run in runs]
    assert what.seconds() == pytest.approx(float(np.dot(told, steps)), rel=0.05)  # lines are rounded to 0.1 ms
    assert list(what.tasks) == [run.folder.name for run in runs]
    assert what.work == {"runs": 4, "runs_to_go": 4}


def test_command_runs_shows_and_redraws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    path = str(write_sweep(tmp_path))
    out = ["--out", str(tmp_path / "runs"), "--json"]
    assert run_command("sweep", path, *out, "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 4
    assert run_command("sweep", path, *out, "--select", "*-4", "--threads", "1", "--sequences", "4") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] == 2
    assert list(found["equivalent_share"]) == ["a-4", "b-4"]
    assert run_command("sweep", str(tmp_path / "runs/collapse.csv"), "--out", str(tmp_path / "again")) == 0
    shown = capsys.readouterr().out
    assert "of 2 runs reach the frontier" in shown
    assert {path.name for path in (tmp_path / "again").iterdir()} == {
        *("collapse.csv", "collapse.json", "collapse.svg", "lengths.svg"),
    }
    assert (tmp_path / "again/collapse.csv").read_bytes() == (tmp_path / "runs/collapse.csv").read_bytes()
    assert run_command("sweep", path, *out, "--select", "none") == 2
    run = str(tmp_path / "runs/a-4")
    assert run_command("evaluate", run, "--sequences", "4", "--figure", str(tmp_path / "kl.svg"), *out[2:]) == 0
    told = json.loads(capsys.readouterr().out)[run]
    assert told["information"] == pytest.approx(0.29389333245)
    assert told["frontier_kl"] + told["missed_kl"] == pytest.approx(told["mean_kl"])
    law = l2m.HierarchicalGaussian(1)
    assert told["equivalent_state"] == pytest.approx(law.equivalent_state(told["mean_kl"]))
    assert told["useful_numbers"] == law.smallest_state().max() <= told["numbers_a_copy"]
    nll = str(tmp_path / "nll.svg")
    assert run_command("evaluate", run, "--sequences", "4", "--figure", nll, "--quantity", "nll") == 0
    assert (tmp_path / "nll.svg").stat().st_size > 1_000
    assert run_command("evaluate", str(tmp_path)) == 2
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "name",
    [
        "../../../escape",
        "/tmp/escape",
        "a/b",
        "a\\b",
        "",
        ".",
        "..",
        " a",
        "a\nb",
        "a\0b",
        "c:d",
        "x" * 300,
        3,
        True,
        ["a"],
    ],
)
def test_names_are_plain_and_stay_inside(name: Any, tmp_path: Path) -> None:
    text = f"[[model]]\nname = {json.dumps(name)}\nlength = 16\n"
    with pytest.raises(InputError, match=r"sweep\.toml: name: .*; expected a plain name"):
        read_sweep(write_sweep(tmp_path, text), out=tmp_path / "runs")


@pytest.mark.parametrize(
    "preset", ["{folder}/model", "{folder}/model/config.json", "{folder}/x/../model", "{folder}/model/."]
)
def test_a_preset_given_by_its_path_has_its_run_inside(preset: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "model/config.json").write_text('{"model_type": "gpt2"}')
    text = f"[[model]]\npreset = {json.dumps(preset.format(folder=tmp_path))}\nlength = 16\nsteps = 1\n"
    (run,) = read_sweep(write_sweep(tmp_path, text), out=tmp_path / "runs")
    assert run.folder.parent == tmp_path / "runs"
    assert ".." not in run.folder.name
    assert run.config.name == run.folder.name


def test_names_that_differ_in_capitals_alone_share_a_folder_somewhere(tmp_path: Path) -> None:
    text = "[[model]]\nname = 'a'\nlength = 4\n[[model]]\nname = 'A'\nlength = 4\n"
    with pytest.raises(InputError, match="two runs named A-4"):
        read_sweep(write_sweep(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("steps = 2.7", r"steps: 2\.7; expected a whole number"),
        ("steps = true", "steps: True; expected a whole number"),
        ("steps = -1", "steps: -1; expected a whole number from 1"),
        ("steps = 99999999999", "steps: 99999999999; expected a whole number from 1 to 1,000,000,000"),
        ("steps = 'many'", "steps: 'many'"),
        ("layers = 100000", "layers: 100000"),
        ("width = 1000000", "width: 1000000"),
        ("state = 0", "state: 0"),
        ("copies = 10000000", "copies: 10000000"),
        ("batch = 100000000", "batch: 100000000"),
        ("seed = -1", "seed: -1"),
        ("seed = 18446744073709551616", "seed"),
        ("learning_rate = nan", "learning_rate: nan"),
        ("learning_rate = inf", "learning_rate: inf"),
        ("learning_rate = true", "learning_rate: True"),
        ("learning_rate = '1e-3'", "learning_rate: '1e-3'"),
        ("beta2 = 1.0", r"beta2: 1\.0"),
        ("clip = -1", "clip: -1"),
        ("compile = 1", "compile: 1; expected True or False"),
        ("precision = 16", "precision: 16"),
        ("preset = 5", "preset: 5"),
        ("preset = ''", "preset: ''"),
        ("preset = 'mamba-tiny\\u0000'", "not TOML|preset"),
        ("corpus = 1.5", r"corpus: 1\.5"),
        ("boundary = {a = 1}", "boundary: {'a': 1}"),
        ("length = {a = 1}", "length: {'a': 1}"),
        ("length = []", "length of 0"),
        ("length = [[4]]", r"length: \[4\]"),
        ("length = 1979-05-27", "length: datetime"),
        ("x = " + "[" * 3000 + "]" * 3000, "not TOML|nested too deeply|field 'x'"),
        ("steps = " + "9" * 5000, "not TOML|steps"),
    ],
)
def test_hostile_values_are_one_line(line: str, message: str, tmp_path: Path) -> None:
    key = line.split(" =")[0]
    text = "[[model]]\n" + ("length = 16\n" if key != "length" else "") + line + "\n"
    with pytest.raises(InputError, match=message) as caught:
        read_sweep(write_sweep(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 1
    assert "sweep.toml" in str(caught.value)
    assert len(str(caught.value)) < 7_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = 3", r"no \[\[model\]\]"),
        ("model = [3]", "model: 3; expected a table"),
        ("train = 3\n[[model]]", "train: 3; expected a table"),
        ("out = 3\n[[model]]", "out: 3; expected the name of a folder"),
        ("out = ''\n[[model]]", "out: ''"),
        ("model = {a = 1}", r"no \[\[model\]\]"),
        ("[[model]]\nlength = [" + "16," * 20_000 + "]", "20,000 runs; expected at most 10,000"),
    ],
)
def test_hostile_files_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_sweep(write_sweep(tmp_path, text))


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "not a file"), (tmp_path / "none.toml", "no such file")):
        with pytest.raises(InputError, match=message):
            read_sweep(path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not TOML"):
        read_sweep(tmp_path / "bytes.toml")
