"""`make gpu` at tiny size."""

from typing import Any

import pytest
import torch


def test_gpu_validation_at_tiny_size(capsys: pytest.CaptureFixture[str]) -> None:
    """What `make gpu` runs, on the CPU: two scans, three families in bfloat16, two processes; then a table of two rows."""
    import gpu_training as validation

    assert validation.main(["--device", "cpu", "--steps", "6", "--presets", "mamba-tiny"]) == 0
    out = capsys.readouterr().out
    assert out.count("| ok |") == 6
    assert out.count("\n| mamba-tiny | 16 |") == 2


def test_a_preset_that_does_not_fit_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu_training as validation

    def full(*_: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(validation, "build_model", full)
    assert "does not fit" in validation.speed("gpt2-large", "cpu", "float32", 16)
