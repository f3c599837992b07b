"""Where torch computes, in what precision and with how many threads: one answer for scoring, training and evaluation."""

from typing import TYPE_CHECKING, Any

from l2m.base import checks
from l2m.base.optional import require
from l2m.errors import InputError

if TYPE_CHECKING:
    import torch

DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
"""Values of `device` that spread a model over all devices there are."""


def pick_device(device: str | None, *, maps: bool = False) -> str:
    """The device asked for; None: the first GPU, else the CPU.

    Args:
        device: what torch calls it: "cpu", "cuda", "cuda:1", "mps".
        maps: take `DEVICE_MAPS` too.

    Raises:
        InputError: no such device on this machine.
    """
    require("device", "torch")
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if maps and device in DEVICE_MAPS:
        return device
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0][:200]
        raise InputError(
            f"device: {device!r} is not available here ({reason}); expected cpu, cuda, cuda:1, mps"
        ) from None
    return device


def pick_dtype(dtype: "str | torch.dtype | None") -> "torch.dtype | None":
    """A floating-point torch dtype from its name; None stays None.

    Raises:
        InputError: no such dtype, or none of floating-point numbers.
    """
    if dtype is None:
        return None
    require("dtype", "torch")
    import torch

    named: Any = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not (isinstance(named, torch.dtype) and named.is_floating_point):
        raise InputError(f"dtype: {dtype!r}; expected float32, bfloat16, float16 or float64")
    return named


def use_threads(threads: int | None) -> None:
    """Give torch this many processor threads; None leaves it as it is.

    Raises:
        InputError: see `l2m.base.checks.threads`.
    """
    if threads is not None:
        require("threads", "torch")
        import torch

        torch.set_num_threads(checks.threads(threads))
