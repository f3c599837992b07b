"""Settings: defaults, bounds, what makes another run."""

import dataclasses
import json
from pathlib import Path

import pytest

from l2m import InputError
from l2m.training.config import TrainConfig
from training_runs import quick


def test_learning_rate_schedule() -> None:
    config = TrainConfig(preset="mamba-130m").complete()
    assert (config.steps, config.warmup, config.learning_rate) == (500_000, 2_000, 5e-5)
    assert config.rate(0) == pytest.approx(5e-5 / 2_000)
    assert config.rate(1_999) == config.rate(2_000) == 5e-5
    assert config.rate(251_000) == pytest.approx(2.5e-5)
    assert config.rate(499_999) == pytest.approx(0, abs=1e-14)


def test_a_config_of_before_a_field_was_added_has_its_default(tmp_path: Path) -> None:
    value = dataclasses.asdict(quick())
    del value["positions"], value["beta2"]
    (tmp_path / "config.json").write_text(json.dumps(value))
    assert TrainConfig.load(tmp_path / "config.json") == quick()


def test_an_unknown_field_of_a_config_is_named(tmp_path: Path) -> None:
    value = {**dataclasses.asdict(quick()), "momentum": 0.9}
    (tmp_path / "config.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match="field 'momentum'"):
        TrainConfig.load(tmp_path / "config.json")
