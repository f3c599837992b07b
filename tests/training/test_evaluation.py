"""What trained models have learned: captured information against canonical correlations, text by position."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from l2m import PositionCurve
from l2m.training.evaluation import evaluate, headline, kl_curve, plateau, summary
from l2m.training.loop import train
from l2m.training.loss import position_loss
from l2m.training.metrics import read_metrics
from l2m.truth.gaussian import HierarchicalGaussian
from training_runs import quick, text_corpus


class Linear(nn.Module):
    """Linear-Gaussian prediction: each value's mean is linear in all before it, its deviation is free."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(length, length, dtype=torch.float64))
        self.log_std = nn.Parameter(torch.zeros(length, 1, dtype=torch.float64))

    def matrix(self) -> Tensor:
        return torch.tril(self.weight, -1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        # inputs[:, t] is value t - 1, so values 0..L-2 stand at 1..L-1; the last one has no successor here.
        shifted = torch.cat([inputs[:, 1:], torch.zeros_like(inputs[:, :1])], dim=1).double()
        mean = torch.einsum("ij,bjc->bic", self.matrix(), shifted)
        return mean, self.log_std.expand_as(mean)


class LinearState(Linear):
    """The same with a memory of `numbers` linear combinations of the first half, all the second half sees of it."""

    def __init__(self, length: int, numbers: int) -> None:
        super().__init__(length)
        half = length // 2
        torch.manual_seed(0)
        self.keep = nn.Parameter(torch.randn(numbers, half, dtype=torch.float64) / math.sqrt(half))
        self.use = nn.Parameter(torch.randn(half, numbers, dtype=torch.float64) / math.sqrt(half))

    def matrix(self) -> Tensor:
        half = len(self.weight) // 2
        own = torch.tril(self.weight, -1)
        past = self.use @ self.keep
        top = torch.cat([own[:half, :half], torch.zeros_like(past)], 1)
        return torch.cat([top, torch.cat([past, own[half:, half:]], 1)])


class ExactMoments:
    """L sequences whose second moments are exactly the law's: a linear model's mean KL on them is its expectation."""

    def __init__(self, law: HierarchicalGaussian) -> None:
        self.law = law
        self.config = quick(length=law.length, copies=1)
        root = np.linalg.cholesky(law.covariance())
        values = math.sqrt(law.length) * root.T
        self.batch = {
            "inputs": torch.from_numpy(np.concatenate([np.zeros((law.length, 1)), values[:, :-1]], 1)[..., None]),
            "true_mean": torch.from_numpy(law.conditional_mean(values)[..., None]),
            "true_std": torch.from_numpy(np.array(law.conditional_std)),
        }

    def held_out(self, number: int, size: int) -> dict[str, Tensor]:
        return self.batch


def train_to_the_end(model: nn.Module, data: ExactMoments) -> Any:
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=2_000, history_size=50, tolerance_grad=1e-10, tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = position_loss(model, data.batch).mean() * data.law.length
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return kl_curve(model, data, sequences=data.law.length, batch=data.law.length, state=1)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_linear_model_with_state_enough_reaches_the_truth(layers: int) -> None:
    law = HierarchicalGaussian(layers)
    curve = train_to_the_end(Linear(law.length), ExactMoments(law))
    assert curve.mean_kl < 1e-9  # LBFGS stops at a gradient of 1e-10
    assert curve.captured == pytest.approx(law.bipartite_information(), abs=1e-7)
    np.testing.assert_allclose(curve.nll, law.entropy(), atol=1e-7)


def canonical_information(law: HierarchicalGaussian, numbers: int) -> float:
    """-1/2 sum of ln(1 - rho^2) over the `numbers` largest canonical correlations of the halves."""
    half, covariance = law.length // 2, law.covariance()
    first, second = (
        np.linalg.inv(np.linalg.cholesky(block)) for block in (covariance[:half, :half], covariance[half:, half:])
    )
    rho = np.linalg.svd(first @ covariance[:half, half:] @ second.T, compute_uv=False)
    return float(-0.5 * np.log1p(-(rho[:numbers] ** 2)).sum())


@pytest.mark.parametrize("numbers", [1, 2, 3, 8])
def test_a_state_of_r_numbers_captures_the_r_largest_canonical_correlations(numbers: int) -> None:
    """Never more, to rounding (moments are exact), and all of it when trained to the end."""
    law = HierarchicalGaussian(2)
    curve = train_to_the_end(LinearState(law.length, numbers), ExactMoments(law))
    bound = canonical_information(law, numbers)
    assert curve.captured <= bound + 1e-9
    assert curve.captured == pytest.approx(bound, abs=1e-6)
    if numbers == 8:
        assert bound == pytest.approx(law.bipartite_information(), abs=1e-12)


@pytest.mark.parametrize("numbers", [1, 2])
def test_a_state_never_captures_more_whatever_the_weights(numbers: int) -> None:
    law = HierarchicalGaussian(2)
    data, bound = ExactMoments(law), canonical_information(law, numbers)
    for seed in range(20):
        model = LinearState(law.length, numbers)
        torch.manual_seed(seed)
        for value in model.parameters():
            nn.init.normal_(value, std=0.3)
        assert kl_curve(model, data, sequences=16, batch=16, state=numbers).captured < bound


def test_records_of_an_evaluation_come_back(tmp_path: Path) -> None:
    import l2m

    folder = train(quick(), tmp_path / "run", device="cpu")
    curve = evaluate(folder, device="cpu", sequences=4)
    curve.save(tmp_path / "kl.json")
    back = l2m.load(tmp_path / "kl.json")
    np.testing.assert_array_equal(back.kl, curve.kl)
    assert back.to("bits").captured == pytest.approx(curve.captured / math.log(2))
    assert back.settings["config"]["preset"] == "gpt2-tiny"
    use = back.state_use()
    law = HierarchicalGaussian(round(math.log(curve.position.size, 4)))
    assert use.numbers == curve.state / curve.copies
    assert use.equivalent == pytest.approx(law.equivalent_state(curve.mean_kl))
    assert use.frontier_kl + use.missed == pytest.approx(curve.mean_kl)
    assert back.to("bits").state_use().missed == pytest.approx(use.missed / math.log(2))
    assert use.explain() in summary(back)
    assert headline(back)["equivalent_share"] == use.share
    # A curve that says no law has no frontier, and its line no use of state.
    unknown = dataclasses.replace(curve, settings={})
    assert unknown.state_use() is None
    assert "frontier" not in summary(unknown)
    assert "frontier_kl" not in headline(unknown)
    assert list(back.to_frame().columns) == ["position", "kl", "stderr", "entropy", "nll"]
    assert back.plot().get_ylabel() == "KL per value (nats)"
    flat = dataclasses.replace(back, kl=np.full(16, 0.5), stderr=np.zeros(16))
    (line,) = flat.plot().get_lines()
    np.testing.assert_allclose(line.get_ydata(), 0.5)  # means of bins, the last one cut short by the sequence's end


def test_text_runs_are_evaluated_by_the_code_of_scoring(tmp_path: Path) -> None:
    """Scoring's mean NLL is the loop's held-out loss, on other windows of the same texts: 4 of each scatter by 0.05."""
    corpus = text_corpus(tmp_path / "corpus")
    folder = train(quick(corpus=str(corpus), length=32, steps=1, learning_rate=1e-9), tmp_path / "run", device="cpu")
    curve = evaluate(folder, sequences=4, device="cpu")
    assert isinstance(curve, PositionCurve)
    held_out = [line["held_out"] for line in read_metrics(folder) if "held_out" in line][-1]
    assert headline(curve)["mean_nll"] == pytest.approx(held_out, abs=0.2)
    assert curve.settings["state"] == 2 * 32 * 16
    assert "no better from position: " in summary(curve)


class Curve:
    """The fields of an `l2m.PositionCurve` that `plateau` reads."""

    def __init__(self, nll: np.ndarray, noise: float) -> None:
        random = np.random.default_rng(0)
        self.first = 2.0 ** np.arange(nll.size)
        self.last = 2 * self.first - 1
        self.position = np.sqrt(self.first * self.last)
        self.document = np.repeat(np.arange(40), 5)
        # Documents differ by far more than positions do: only pairing within them sees where the curve is flat.
        level = random.standard_normal(40)[self.document]
        self.pointwise = nll + level[:, None] + noise * random.standard_normal((200, nll.size))


def test_plateau_is_where_later_positions_are_no_better() -> None:
    """Falls by 0.2 a bin to bin 6, then flat: at bin 6 the gain of what follows is noise of 0.02 / sqrt(200)."""
    nll = 3 - 0.2 * np.minimum(np.arange(10), 6)
    flat = Curve(nll, 0.02)
    assert plateau(flat) in flat.position[6:8]
    falling = Curve(3 - 0.2 * np.arange(10), 0.02)
    assert plateau(falling) == falling.position[-1]
    # First letters of a sentence are easier than what follows: a dip at the start is no plateau.
    dip = Curve(3 - 0.2 * np.minimum(np.arange(10), 6) - np.where(np.arange(10) < 2, 2.0, 0), 0.02)
    assert plateau(dip) in dip.position[6:8]
    alone = Curve(3 - 0.2 * np.arange(10), 0.02)
    alone.document = np.zeros(200, int)
    assert math.isnan(plateau(alone))
    rising = Curve(3 + 0.2 * np.arange(10), 0.02)
    assert plateau(rising) == rising.position[0]


@pytest.mark.parametrize("bins", [4, 12])
def test_a_flat_curve_is_seldom_taken_for_a_falling_one(bins: int) -> None:
    """Noise alone: at most once in 40 times; 400 draws, and three standard deviations of their count."""
    flat = Curve(np.full(bins, 3.0), 0.02)
    found = 0
    for seed in range(400):
        flat.pointwise = np.random.default_rng(seed).standard_normal((200, bins))
        found += plateau(flat) != flat.position[0]
    assert found <= 400 / 40 + 3 * math.sqrt(400 / 40)
