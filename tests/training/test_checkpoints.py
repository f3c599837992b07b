"""Checkpoints: whole or absent, damage is named."""

import resource
from pathlib import Path

import pytest

from l2m import InputError
from l2m.training.loop import train
from l2m.training.runs import Run, load_model
from training_runs import quick


def test_what_a_killed_process_left_half_written_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / "run/checkpoints/.step-00000001.1.tmp"  # as versions before 0.2 named it
    left.mkdir(parents=True)
    quick().complete().save(tmp_path / "run/config.json")
    train(quick(), tmp_path / "run", device="cpu")
    assert not left.exists()


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """A limit on file sizes stands in for a full disk: writing beyond it fails in the same place."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done: int, _: int) -> None:
        if done == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    try:
        with pytest.raises(
            InputError, match=r"the checkpoint of step 10 cannot be written .*; the one of step 5 is whole"
        ):
            train(quick(), tmp_path / "run", device="cpu", progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000005"]
    train(quick(), tmp_path / "run", device="cpu")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    folder = train(quick(), tmp_path / "run", device="cpu")
    path = folder / "checkpoints/step-00000012/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"step-00000012/model\.safetensors: damaged or exchanged"):
        load_model(Run.open(folder), device="cpu")
