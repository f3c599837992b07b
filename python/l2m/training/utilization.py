"""How much of the information there is a trained model captures: by length, and what its training cost.

Of the first m positions of a sequence of the Gaussian language, I(Z_1..Z_m/2; Z_m/2+1..Z_m) is exact, and a model that predicts it
with a summed KL of K over the second half captures that less K. The ratio is 1 for the exact law, 0 for the law of the second
half alone, and negative for predictions that are worse.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2m.truth.gaussian import HierarchicalGaussian
from l2m.truth.sources import GaussianSource

Floats = NDArray[np.float64]

LONGEST_BEGINNING = 4096
"""Positions: a longer beginning takes a determinant of more than 2,048 rows. The whole sequence takes none."""


def lengths_of(length: int) -> NDArray[np.int64]:
    """2, 4, 8, ... as far as `LONGEST_BEGINNING`, and the whole length."""
    beginnings = [1 << k for k in range(1, min(length, LONGEST_BEGINNING).bit_length())]
    return np.unique([*beginnings, length])


def available_information(law: HierarchicalGaussian, length: int) -> float:
    """Information between the halves of the first `length` positions, nats."""
    if length == law.length:
        return float(law.bipartite_information())
    return GaussianSource(law).bipartite_information(length // 2, length)


def missed_information(kl: Floats, lengths: NDArray[np.int64]) -> Floats:
    """KL summed over the second half of each beginning, (sequences, lengths), of the KL by position, (sequences, L)."""
    sums = np.concatenate([np.zeros((len(kl), 1)), np.cumsum(kl, 1)], 1)
    return np.asarray(sums[:, lengths] - sums[:, lengths // 2])


def flops_of_sequence(model: Any, batch: dict[str, Any]) -> int:
    """Floating-point operations of one forward and one backward pass over the batch's first sequence, as training runs them.

    Counted by `torch.utils.flop_counter`: every matrix product, convolution and attention that PyTorch runs, two operations a
    multiply-add, attention over all pairs of positions, and what gradient checkpointing computes again. Element-wise
    operations are not counted, nor kernels from outside PyTorch (mamba-ssm).
    """
    from torch.utils.flop_counter import FlopCounterMode

    from l2m.training.loss import position_loss

    one = {name: value[:1] if value.dim() > 1 else value for name, value in batch.items()}
    was_training = model.training
    model.train()
    try:
        with FlopCounterMode(display=False) as counter:
            position_loss(model, one).mean().backward()
        return int(counter.get_total_flops())
    finally:
        model.zero_grad(set_to_none=True)
        model.train(was_training)
