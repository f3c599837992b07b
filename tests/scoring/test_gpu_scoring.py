"""`make gpu` for scoring, on the CPU."""

import gpu_scoring as validation


def test_gpu_validation_at_tiny_size(capsys):
    """What `make gpu` runs, on the CPU."""
    assert validation.main(["--device", "cpu", "--length", "32", "--windows", "6"]) == 0
    out = capsys.readouterr().out
    assert out.count("| ok |") == 5
    assert "bfloat16" in out.splitlines()[-1]
