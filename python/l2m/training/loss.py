"""The losses: exact conditional KL divergence on the Gaussian language, cross-entropy on text. Nats."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def gaussian_kl(mean: Tensor, log_std: Tensor, true_mean: Tensor, true_std: Tensor) -> Tensor:
    """KL(p || q) by position, averaged over copies: p = N(true_mean, true_std^2) exact, q = N(mean, exp(log_std)^2).

    Not the negative log-likelihood of samples: its expectation over the next value is taken exactly, which leaves out
    the noise of that value (paper, section 4).

    Args:
        mean, log_std, true_mean: (batch, L, copies). true_std: (L,).

    Returns:
        (batch, L).
    """
    log_ratio = true_std.log().unsqueeze(-1) - log_std
    shift = (true_mean - mean) * torch.exp(-log_std)
    # expm1 keeps the difference of nearly equal deviations, where r^2 - 1 and log r^2 cancel.
    return (0.5 * (torch.expm1(2 * log_ratio) + shift.square()) - log_ratio).mean(-1)


def token_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """-log q(token) by position: logits (batch, L, vocabulary), targets (batch, L) -> (batch, L)."""
    return functional.cross_entropy(logits.float().transpose(1, 2), targets, reduction="none")


def position_loss(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """The loss of either kind by position, (batch, L), of a batch as `training.data` makes it."""
    output = model(batch["inputs"])
    if "targets" in batch:
        return token_nll(output, batch["targets"])
    mean, log_std = output
    return gaussian_kl(mean, log_std, batch["true_mean"], batch["true_std"])
