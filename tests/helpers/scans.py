"""The selective scan, one position and one line at a time, and inputs for it."""

import torch
from torch import Tensor
from torch.nn import functional


def scan_reference(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """h_t = exp(dt A) h + dt B x, one position and one line at a time (Gu & Dao 2023, section 3)."""
    dt = functional.softplus(dt + bias[:, None])
    h = x.new_zeros(x.shape[0], x.shape[1], A.shape[1])
    outputs = []
    for t in range(x.shape[2]):
        h = torch.exp(dt[:, :, t, None] * A) * h + dt[:, :, t, None] * B[:, None, :, t] * x[:, :, t, None]
        outputs.append((h * C[:, None, :, t]).sum(-1) + D * x[:, :, t])
    return torch.stack(outputs, -1) * functional.silu(z), h


def scan_inputs(length: int, dtype: torch.dtype) -> list[Tensor]:
    random = torch.Generator().manual_seed(length)
    shapes = [(2, 6, length), (2, 6, length), (6, 5), (2, 5, length), (2, 5, length), (6,), (2, 6, length), (6,)]
    values = [torch.randn(shape, generator=random, dtype=dtype) for shape in shapes]
    values[2] = -values[2].exp()
    return [value.requires_grad_() for value in values]
