"""Mamba's selective scan in plain torch, with its gradient by hand, and the choice of kernel at run time.

`transformers` runs the recurrence as a Python loop that autograd records: one backward pass at length 1,024 takes 247 s
on two cores, because every slice h[t] costs a gradient the size of the whole. Here both loops write in place:
one fused multiply-add a position. What it replaces and what it gains: benches/training.py.
"""

import importlib.util
import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from l2m.errors import InputError

Kernel = Literal["auto", "mamba-ssm", "mambapy", "scan", "transformers"]
KERNELS = ("auto", "mamba-ssm", "mambapy", "scan", "transformers")


class _Recurrence(torch.autograd.Function):  # type: ignore[misc]
    """y_t = C_t h_t with h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t, over the leading axis.

    Shapes: x, dt (L, batch, D); A (D, N); B, C (L, batch, N); y (L, batch, D). Gu & Dao 2023, section 3.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
        length = x.shape[0]
        decay = (dt.unsqueeze(-1) * A).exp_()
        h = (dt * x).unsqueeze(-1) * B.unsqueeze(2)
        for t in range(1, length):
            h[t].addcmul_(decay[t], h[t - 1])
        y = torch.matmul(h, C.unsqueeze(-1)).squeeze(-1)
        ctx.save_for_backward(x, dt, A, B, C, decay, h)
        last = h[-1].clone()
        ctx.mark_non_differentiable(last)
        return y, last

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        x, dt, A, B, C, decay, h = ctx.saved_tensors
        length = x.shape[0]
        grad_C = torch.matmul(grad_y.unsqueeze(2), h).squeeze(2)
        g = grad_y.unsqueeze(-1) * C.unsqueeze(2)  # becomes dLoss/dh_t
        for t in range(length - 2, -1, -1):
            g[t].addcmul_(decay[t + 1], g[t + 1])
        grad_input = torch.matmul(g, B.unsqueeze(-1)).squeeze(-1)  # of dt x
        grad_B = torch.matmul((dt * x).unsqueeze(2), g).squeeze(2)
        # d/d(dt A) = dLoss/dh_t . h_{t-1} . decay_t; the first position has no h before it.
        g[1:].mul_(h[:-1]).mul_(decay[1:])
        g[0].zero_()
        # Multiply and sum: einsum takes 83 ms for grad_A where this takes 2 (length 256, batch 4, 256 x 16 states).
        grad_dt = grad_input * x + (g * A).sum(-1)
        grad_A = g.mul_(dt.unsqueeze(-1)).sum((0, 1))
        return grad_input * dt, grad_dt, grad_A, grad_B, grad_C


def selective_scan(
    hidden_states: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> Any:
    """The selective scan with the arguments of mamba-ssm's `selective_scan_fn`.

    Args:
        hidden_states, dt, z: (batch, D, L).
        A: (D, N). B, C: (batch, N, L), one group. D, delta_bias: (D,).

    Returns:
        (batch, D, L) in the dtype of `hidden_states`, computed in float32 (float64 where the input is); with
        `return_last_state` also h_L, (batch, D, N), through which no gradient flows.
    """
    dtype = hidden_states.dtype
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    step = dt.to(wide)
    if delta_bias is not None:
        step = step + delta_bias.to(wide).unsqueeze(-1)
    if delta_softplus:
        step = functional.softplus(step)
    x, step = hidden_states.to(wide).permute(2, 0, 1).contiguous(), step.permute(2, 0, 1).contiguous()
    B, C = (value.to(wide).permute(2, 0, 1).contiguous() for value in (B, C))
    with torch.autocast(x.device.type, enabled=False):  # which would make the products bfloat16
        y, last = _Recurrence.apply(x, step, A.to(wide), B, C)
    y = y.permute(1, 2, 0)
    if D is not None:
        y = y + hidden_states * D.to(wide).unsqueeze(-1)
    if z is not None:
        y = y * functional.silu(z)
    return (y.to(dtype), last) if return_last_state else y.to(dtype)


def choose_kernel(family: str, device: str, kernel: str = "auto") -> str:
    """The path a Mamba or Mamba2 runs on: one of KERNELS but "auto"; "torch" for any other family.

    On a GPU: mamba-ssm where it is installed, else mambapy's parallel scan (Mamba) or the chunked form of
    `transformers` (Mamba2). On a CPU, where nothing is gained by log L passes over the states, `selective_scan`.

    Raises:
        InputError: an unknown kernel, one that is not installed, or mamba-ssm without a GPU.
    """
    if kernel not in KERNELS:
        raise InputError(f"kernel: {kernel!r}; expected one of {', '.join(KERNELS)}")
    if family not in ("mamba", "mamba2"):
        return "torch"
    # mamba-ssm without its compiled module (a build without CUDA) has no kernels to offer.
    package = {"mamba-ssm": "selective_scan_cuda", "mambapy": "mambapy"}.get(kernel)
    if package is not None and importlib.util.find_spec(package) is None:
        raise InputError(f"kernel: {kernel!r} is not installed; expected 'auto' or: pip install {kernel}")
    if kernel == "mamba-ssm" and device == "cpu":
        raise InputError("kernel: 'mamba-ssm' on a CPU; expected a GPU, or 'auto'")
    if kernel != "auto":
        return kernel if family == "mamba" or kernel == "mamba-ssm" else "transformers"
    if device != "cpu" and importlib.util.find_spec("selective_scan_cuda") is not None:
        return "mamba-ssm"
    if family == "mamba2":
        return "transformers"
    return "mambapy" if device != "cpu" and importlib.util.find_spec("mambapy") is not None else "scan"


def use_kernel(family: str, kernel: str) -> None:
    """Make every model of this family in the process run on `kernel`, as `choose_kernel` returned it.

    `transformers` picks its kernels when it is imported, by what is installed: with mamba-ssm present it would hand CPU
    tensors to CUDA code. So its functions are set here, to the package's or to the plain torch one each wraps.
    """
    if family == "mamba":
        from transformers.models.mamba import modeling_mamba as module

        names = ("mamba_inner_fn", "mamba_selective_scan", "mamba_selective_state_update", "causal_conv1d_fn")
    elif family == "mamba2":
        from transformers.models.mamba2 import modeling_mamba2 as module

        names = (
            *("mamba2_split_conv1d_scan_combined", "mamba2_selective_state_update"),
            *("mamba2_chunk_scan", "causal_conv1d_fn"),
        )
    else:
        return
    for name in (*names, "causal_conv1d_update"):
        original = _original(module, name)
        setattr(module, name, original if kernel == "mamba-ssm" else inspect.unwrap(original))
    if family == "mamba" and kernel != "mamba-ssm":
        plain = module.mamba_selective_scan
        module.mamba_selective_scan = _scan_of(kernel, plain)


def _original(module: Any, name: str) -> Callable[..., Any]:
    """The function as `transformers` defined it, whatever was set since."""
    kept: dict[str, Callable[..., Any]] = module.__dict__.setdefault("_l2m_originals", {})
    return kept.setdefault(name, getattr(module, name))


def _scan_of(kernel: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    def scan(*args: Any, use_mambapy: bool = False, use_associative_scan: bool = False, **kwargs: Any) -> Any:
        if kernel == "scan":
            return selective_scan(*args, **kwargs)
        return plain(*args, use_mambapy=kernel == "mambapy", use_associative_scan=use_associative_scan, **kwargs)

    return scan
