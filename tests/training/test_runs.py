"""The folder of a run: whose it is and who is in it."""

from pathlib import Path

import pytest

from l2m import InputError
from l2m.training.loop import train
from training_runs import quick


def test_another_config_names_the_field(tmp_path: Path) -> None:
    train(quick(), tmp_path / "run", device="cpu")
    with pytest.raises(InputError, match="width: 64, but this run was started with 32"):
        train(quick(width=64), tmp_path / "run", device="cpu")
    train(quick(keep=5), tmp_path / "run", device="cpu")  # what does not touch the curve may change


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"not empty and no config\.json"):
        train(quick(), tmp_path, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
