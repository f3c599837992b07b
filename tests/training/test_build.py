"""Models by config: sizes without weights, memory before it is taken."""

import dataclasses

import pytest

from l2m import InputError
from l2m.training.build import describe, model_size
from l2m.training.config import TrainConfig


def test_describe_makes_no_weights() -> None:
    config = TrainConfig(preset="mamba-1.4b", length=4096).complete()
    assert describe(config, "cpu")["state"] == 48 * 2 * 2048 * 16
    there = dataclasses.replace(config, kernel="mamba-ssm")  # of a run on another machine: its size can be told here
    size = model_size(there)
    assert size.parameters == describe(config, "cpu")["parameters"]
    assert (size.state, size.family) == (48 * 2 * 2048 * 16, "mamba")
    with pytest.raises(InputError, match="kernel: 'mamba-ssm'"):
        describe(there, "cpu")
