"""Any file of a run that is changed, cut, emptied, lost or exchanged: the result is the same, or one line names the file."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from l2m.base.files import read_sealed
from l2m.errors import InputError
from l2m.training.checkpoints import Checkpoints
from l2m.training.collapse import collect
from l2m.training.evaluation import evaluate
from l2m.training.loop import train
from l2m.training.runs import Run, last_held_out
from l2m.training.sweep import SweepRun
from training_runs import quick, run_command, weights

FILES = (
    *("config.json", "metrics.jsonl"),
    *(f"checkpoints/step-00000005/{name}" for name in ("model.safetensors", "optimizer.safetensors", "state.json")),
    "checkpoints/step-00000005/config.json",
)


def flip(file: Path, other: Path, where: float = 0.5) -> None:
    """One bit: of a weight, a digit, a name."""
    content = bytearray(file.read_bytes())
    content[int(where * len(content))] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Any] = {
    "flipped": flip,
    "flipped early": lambda file, other: flip(file, other, 0.02),
    "flipped late": lambda file, other: flip(file, other, 0.97),
    "cut": lambda file, other: file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3]),
    "emptied": lambda file, other: file.write_bytes(b""),
    "lost": lambda file, other: file.unlink(),
    "exchanged": lambda file, other: shutil.copy(other, file),
    "a folder": lambda file, other: (file.unlink(), file.mkdir()),
    "a list": lambda file, other: file.write_text("[1, 2]\n"),
    "nested": lambda file, other: file.write_text("[" * 100_000),
}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped at step 7, one of another seed, and a whole one."""
    folder = tmp_path_factory.mktemp("runs")

    def stop(done: int, _: int) -> None:
        if done == 7:
            raise RuntimeError("stopped")

    for name, seed in (("run", 0), ("other", 1)):
        with pytest.raises(RuntimeError, match="stopped"):
            train(quick(seed=seed), folder / name, device="cpu", progress=stop)
    train(quick(), folder / "whole", device="cpu")
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_damage_is_named_or_changes_nothing(file: str, damage: str, stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped / "run", folder)
    DAMAGES[damage](folder / file, stopped / "other" / file)
    for use in (lambda: train(quick(), folder, device="cpu"), lambda: evaluate(folder, sequences=2, device="cpu")):
        try:
            use()
        except InputError as error:
            told = str(error)
            # config.json of another run differs by its seed, which the message names with the folder.
            named = Path(file).name in told or (file == "config.json" and ("seed" in told or "config.json" in told))
            assert named, told
            assert str(folder) in told
            assert len(told.splitlines()) == 1
            return
    for one, other in zip(weights(stopped / "whole"), weights(folder), strict=True):
        assert torch.equal(one, other)
    curve = [Run.open(run).held_out() for run in (folder, stopped / "whole")]
    assert curve[0] == curve[1]


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied", "lost"])
def test_finished_runs_give_no_results_from_damaged_metrics(damage: str, stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped / "whole", folder)
    run = SweepRun("a", quick().complete(), folder)
    evaluate(folder, sequences=2, device="cpu").save(run.result)
    assert len(collect([run])) == 1
    DAMAGES[damage](folder / "metrics.jsonl", folder)
    for use in (lambda: collect([run]), lambda: last_held_out(folder), lambda: train(quick(), folder, device="cpu")):
        with pytest.raises(InputError, match=r"metrics\.jsonl"):
            use()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"kind": "kl_curve", "schema": 1}', '{"kind": "verdict", "schema": 1}']
)
def test_an_evaluation_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    run = SweepRun("a", quick().complete(), tmp_path)
    run.result.write_text(text)
    with pytest.raises(InputError):
        run.evaluation()


def test_an_evaluation_of_something_else_is_named(stopped: Path, tmp_path: Path) -> None:
    run = SweepRun("a", quick().complete(), tmp_path)
    curve = evaluate(stopped / "whole", sequences=2, device="cpu")
    value = curve.to_dict()
    for settings, message in (
        ({}, "no evaluation of a training run"),
        ({**value["settings"], "config": {"momentum": 1}}, r"evaluation\.json: field 'momentum'"),
        ({**value["settings"], "step": "last"}, "no evaluation of a training run"),
    ):
        type(curve).from_dict({**value, "settings": settings}).save(run.result)
        with pytest.raises(InputError, match=message):
            run.evaluation()
    curve.to("bits").save(run.result)
    assert run.evaluation().mean_kl == pytest.approx(curve.mean_kl, rel=1e-12), "results are collected in nats"


def test_the_newest_checkpoint_damaged_says_which_to_delete_and_which_remains(stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped / "whole", folder)
    flip(folder / "checkpoints/step-00000012/model.safetensors", folder)
    with pytest.raises(InputError, match=r"delete .*step-00000012 to resume from step 10$"):
        train(quick(), folder, device="cpu")
    shutil.rmtree(folder / "checkpoints/step-00000012")
    train(quick(), folder, device="cpu")
    for one, other in zip(weights(stopped / "whole"), weights(folder), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_of_another_step_or_run_is_refused(stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped / "run", folder)
    (folder / "checkpoints/step-00000005").rename(folder / "checkpoints/step-00000006")
    with pytest.raises(InputError, match="of another step or another run"):
        train(quick(), folder, device="cpu")
    shutil.rmtree(folder / "checkpoints/step-00000006")
    shutil.copytree(stopped / "other/checkpoints/step-00000005", folder / "checkpoints/step-00000005")
    with pytest.raises(InputError, match="of another step or another run"):
        train(quick(), folder, device="cpu")


def as_before(folder: Path) -> None:
    """Take out what versions before 0.2 did not write."""
    for path in [folder / "config.json", *folder.glob("checkpoints/*/state.json")]:
        value = read_sealed(path)
        for name in ("files", "run", "metrics", "identity"):
            value.pop(name, None)
        path.write_text(json.dumps(value))


def test_runs_of_versions_before_seals_resume(stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped / "run", folder)
    as_before(folder)
    train(quick(), folder, device="cpu")
    for one, other in zip(weights(stopped / "whole"), weights(folder), strict=True):
        assert torch.equal(one, other)
    assert Run.open(folder).held_out() == Run.open(stopped / "whole").held_out()
    flip(folder / "checkpoints/step-00000012/model.safetensors", folder)  # sealed from here on
    with pytest.raises(InputError, match="damaged or exchanged"):
        train(quick(), folder, device="cpu")


def test_a_seal_whose_name_was_damaged_is_no_old_run(stopped: Path, tmp_path: Path) -> None:
    for file in ("config.json", "checkpoints/step-00000005/state.json"):
        folder = tmp_path / Path(file).name
        shutil.copytree(stopped / "run", folder)
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace('"checksum"', '"chacksum"'))
        with pytest.raises(InputError, match=Path(file).name.replace(".", r"\.")):
            train(quick(), folder, device="cpu")


def test_what_killed_processes_left_is_cleared_and_strangers_stay(stopped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped / "whole", folder)
    left = [
        folder / "checkpoints/.step-00000010.0123abcd-999999-0123456789ab.tmp",  # half removed
        folder / "checkpoints/step-00000005",  # half removed by a version before 0.2: it has lost its head
    ]
    for path in left:
        path.mkdir()
        (path / "model.safetensors").write_bytes(b"x")
    (folder / "checkpoints/notes").mkdir()
    assert Checkpoints(folder / "checkpoints").steps() == [10, 12]
    train(quick(), folder, device="cpu")
    assert not any(path.exists() for path in left)
    assert (folder / "checkpoints/notes").exists()


def test_empty_metrics_are_one_line_of_the_command(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(stopped / "whole", folder)
    (folder / "metrics.jsonl").write_text("")
    config = quick()
    flags = [
        f"--{name}={getattr(config, name)}"
        for name in ("preset", "length", "width", "layers", "copies", "batch", "steps")
    ]
    flags += ["--log-every=2", "--save-every=5", "--evaluate-sequences=4", "--no-tensorboard"]
    assert run_command("train", *flags, "--out", str(folder), "--device", "cpu") == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert "metrics.jsonl" in error[0]
