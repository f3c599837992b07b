"""The losses against torch, finite differences and the law."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from l2m.training.build import build_model
from l2m.training.config import TrainConfig
from l2m.training.data import GaussianData
from l2m.training.evaluation import kl_curve
from l2m.training.loss import gaussian_kl, position_loss
from training_runs import quick


def random_prediction() -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(1)
    mean, log_std, true_mean = (torch.randn(2, 5, 3, generator=random, dtype=torch.float64) for _ in range(3))
    return mean, log_std, true_mean, torch.rand(5, generator=random, dtype=torch.float64) + 0.1


def test_loss_is_the_kl_of_torch() -> None:
    mean, log_std, true_mean, true_std = random_prediction()
    true = torch.distributions.Normal(true_mean, true_std[:, None].expand_as(true_mean))
    expected = torch.distributions.kl_divergence(true, torch.distributions.Normal(mean, log_std.exp())).mean(-1)
    torch.testing.assert_close(gaussian_kl(mean, log_std, true_mean, true_std), expected, rtol=1e-13, atol=1e-13)


def test_loss_gradient_against_finite_differences() -> None:
    mean, log_std, true_mean, true_std = random_prediction()
    inputs = (mean.requires_grad_(), log_std.requires_grad_())
    assert torch.autograd.gradcheck(lambda *p: gaussian_kl(*p, true_mean, true_std), inputs)


def test_loss_near_the_truth_has_no_cancellation() -> None:
    """float32, off by e in the log deviation: KL = e^2 to first order; the plain formula would return 0 or 1e-7."""
    error = 1e-4
    zero, std = torch.zeros(1, 1, 1), torch.full((1,), 0.3)
    found = gaussian_kl(zero, std.log().view(1, 1, 1) + error, zero, std).item()
    assert found == pytest.approx(error**2, rel=0.01)


@pytest.mark.parametrize("length", [4, 64])
def test_an_untrained_model_has_the_kl_of_mean_0_and_deviation_1(length: int) -> None:
    """By the law: KL_t = (s_t^2 + m_t^2 - 1) / 2 - log s_t on these sequences, whose mean is -log s_t."""
    config = quick(length=length).complete()
    data = GaussianData(config)
    torch.manual_seed(0)
    model, _ = build(config)
    batch = data.held_out(0, 8)
    found = position_loss(model, batch).detach().numpy()
    mean = batch["true_mean"].numpy().astype(float)
    expected = data.law.kl(0.0 * mean.swapaxes(1, 2), 1.0, conditional_mean=mean.swapaxes(1, 2)).mean(1)
    np.testing.assert_allclose(found, expected, atol=2e-6)  # float32 of terms of size 1
    many = kl_curve(model, data, sequences=2_000, batch=500, state=1)
    # 2,000 sequences of 4 copies; 5 standard errors over at most 64 positions.
    assert np.all(np.abs(many.kl + np.log(data.law.conditional_std)) <= 5 * many.stderr + 1e-6)


def build(config: TrainConfig) -> Any:
    return build_model(config, "cpu")
