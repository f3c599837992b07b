"""Captured over available information: 1 for the exact law, by length; and the operations that training took."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import l2m
from l2m.training.data import GaussianData
from l2m.training.evaluation import draw, evaluate, kl_curve, summary
from l2m.training.loop import train
from l2m.training.utilization import available_information, flops_of_sequence, lengths_of
from l2m.truth.gaussian import HierarchicalGaussian
from l2m.truth.sources import GaussianSource
from training_runs import quick, text_corpus


class Known(nn.Module):
    """Predicts by the law: from the whole past, or from what Y alone says of itself, of one length."""

    def __init__(self, law: HierarchicalGaussian, start: int = 0) -> None:
        super().__init__()
        self.law, self.start = law, start
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        z = np.concatenate([inputs[:, 1:].numpy(), np.zeros((len(inputs), 1, inputs.shape[2]))], 1).transpose(0, 2, 1)
        length, start = self.law.length, self.start
        mean = self.law.conditional_mean(z)
        std = np.array(self.law.conditional_std)
        positions = np.arange(start, length)
        root = np.linalg.cholesky(np.asarray(self.law.correlation(positions[:, None], positions)))
        weights = np.eye(length - start) - np.diag(root)[:, None] * np.linalg.inv(root)
        if start:
            mean[..., start:], std[start:] = z[..., start:] @ weights.T, np.diag(root)
        deviation = torch.from_numpy(np.log(std))[:, None]
        means = torch.from_numpy(mean.transpose(0, 2, 1).copy())
        return means, deviation.expand_as(means)


def curve_of(model: nn.Module, sequences: int = 256) -> Any:
    data = GaussianData(quick(length=64, copies=4))
    return kl_curve(model, data, sequences=sequences, batch=32, state=1)


def test_the_exact_law_has_utilization_1_at_every_length() -> None:
    curve = curve_of(Known(HierarchicalGaussian(3)))
    lengths, share, stderr = curve.utilization_by_length()
    assert lengths.tolist() == [2, 4, 8, 16, 32, 64]
    np.testing.assert_allclose(share, 1, atol=1e-5)  # float32 inputs
    assert (stderr < 1e-5).all()
    assert curve.utilization == share[-1]


def test_a_model_without_the_past_has_utilization_0() -> None:
    """It predicts Y, the second half of all 64 values, by the law of Y alone: what it misses is I(X; Y), in the mean."""
    curve = curve_of(Known(HierarchicalGaussian(3), start=32))
    assert abs(curve.utilization) < 4 * curve.utilization_stderr
    assert curve.utilization_stderr < 0.05
    _, share, _ = curve.utilization_by_length()
    np.testing.assert_allclose(share[:-1], 1, atol=1e-5)  # before, it is the exact law


@pytest.mark.parametrize("children", [1, 3])
def test_what_is_available_is_what_determinants_say(children: int) -> None:
    law = HierarchicalGaussian(3, children)
    covariance = law.covariance()
    for length in lengths_of(64).tolist():
        half = length // 2
        whole, past, future = (
            np.linalg.slogdet(covariance[part, part])[1]
            for part in (slice(0, length), slice(0, half), slice(half, length))
        )
        assert available_information(law, length) == pytest.approx((past + future - whole) / 2, abs=1e-12)
    assert GaussianSource(law).bipartite_information(5, 23) > 0
    assert lengths_of(4**8).tolist() == [2**k for k in range(1, 13)] + [4**8]


def test_flops_are_those_of_the_matrix_products() -> None:
    """By hand: a linear map of c to w numbers takes 2 L c w forward, as much again for its weights and for its inputs."""

    class TwoMaps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read, self.write = nn.Linear(4, 32), nn.Linear(32, 8)

        def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
            mean, log_std = self.write(torch.tanh(self.read(inputs))).chunk(2, dim=-1)
            return mean, log_std

    batch = GaussianData(quick(length=64, copies=4)).held_out(0, 5)
    model = TwoMaps().eval()
    forward, weights, inputs = 2 * 64 * (4 * 32 + 32 * 8), 2 * 64 * (4 * 32 + 32 * 8), 2 * 64 * 32 * 8
    assert flops_of_sequence(model, batch) == forward + weights + inputs  # the first map's inputs need no gradient
    assert not model.training
    assert model.read.weight.grad is None


def test_an_evaluation_says_what_its_training_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from l2m.cli import main

    folder = train(quick(accumulate=3), tmp_path / "run", device="cpu")
    curve = evaluate(folder, device="cpu", sequences=4)
    assert curve.settings["sequences_trained"] == 12 * 2 * 3
    assert curve.flops == curve.settings["flops_a_sequence"] * 72
    # 6 operations a weight and position, and attention: within a factor of two of what is counted.
    assert 0.5 < curve.settings["flops_a_sequence"] / (6 * 16 * 22_000) < 2
    assert f"utilization {curve.utilization:.1%}" in summary(curve)
    half = evaluate(folder, device="cpu", sequences=4, step=10)
    assert half.flops == pytest.approx(curve.flops * 10 / 12)
    curve.save(tmp_path / "kl.json")
    back = l2m.load(tmp_path / "kl.json")
    assert back.to("bits").utilization == pytest.approx(curve.utilization)
    assert back.to("bits").flops == curve.flops
    draw({"run": back}, tmp_path / "utilization.svg", quantity="utilization")
    assert (tmp_path / "utilization.svg").stat().st_size > 1000

    with pytest.raises(SystemExit) as done:
        main(["evaluate", str(folder), "--sequences", "4", "--device", "cpu", "--json"])
    assert not done.value.code
    printed = json.loads(capsys.readouterr().out)[str(folder)]
    assert printed["flops"] == curve.flops
    assert printed["utilization_by_length"]["length"] == [2, 4, 8, 16]


def test_text_has_no_utilization(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from l2m.cli import main

    corpus = text_corpus(tmp_path / "corpus")
    folder = train(quick(corpus=str(corpus), length=32, steps=1), tmp_path / "run", device="cpu")
    with pytest.raises(SystemExit) as done:
        main(["evaluate", str(folder), "--quantity", "utilization"])
    assert done.value.code == 2
    assert "utilization" in capsys.readouterr().err


def test_a_record_of_an_earlier_version_loads() -> None:
    curve = curve_of(Known(HierarchicalGaussian(3)), sequences=4)
    new = ("lengths", "available", "captured_by_length", "captured_by_length_stderr", "flops")
    old = l2m.KLCurve.from_dict({name: value for name, value in curve.to_dict().items() if name not in new})
    assert old.utilization == curve.utilization
    assert old.utilization_by_length()[0].size == 0
