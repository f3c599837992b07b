"""Mamba's selective scan against its reference, and the choice of kernels."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from l2m.training.models import backbone_config
from l2m.training.models.networks import build_backbone
from l2m.training.models.scan import selective_scan, use_kernel
from scans import scan_inputs, scan_reference


@pytest.mark.parametrize("length", [1, 2, 3, 17, 64])
def test_scan_and_its_gradients_equal_the_recurrence(length: int) -> None:
    """float64: both sum the same few hundred terms, so 1e-12 of the largest value is rounding alone."""
    inputs = scan_inputs(length, torch.float64)
    expected, last = scan_reference(*inputs)
    found, found_last = selective_scan(*inputs, delta_softplus=True, return_last_state=True)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found_last, last, rtol=1e-12, atol=1e-12)
    weight = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).view_as(expected)
    slow = torch.autograd.grad((expected * weight).sum(), inputs)
    fast = torch.autograd.grad((found * weight).sum(), inputs)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def test_scan_gradients_against_finite_differences() -> None:
    inputs = scan_inputs(4, torch.float64)
    assert torch.autograd.gradcheck(lambda *values: selective_scan(*values, delta_softplus=True), inputs)


@pytest.mark.skipif(
    None in (importlib.util.find_spec("mamba_ssm"), importlib.util.find_spec("triton")),
    reason="mamba-ssm, or triton, which it imports and torch for the CPU does not bring, is not installed",
)
def test_scans_against_the_references_of_mamba_ssm() -> None:
    """Mamba's scan against `selective_scan_ref`, which its CUDA kernel is tested against; the chunked path of transformers
    against `ssd_minimal_discrete`, listing 1 of the Mamba2 paper.

    In a process of its own: mamba-ssm imports compiled modules that exist only with CUDA, so empty ones stand in, which
    `transformers` must not find in this process.
    """
    code = """
import sys, types, torch
for name in ("selective_scan_cuda", "causal_conv1d_cuda"):
    sys.modules[name] = types.ModuleType(name)
from mamba_ssm.modules.ssd_minimal import ssd_minimal_discrete
from mamba_ssm.ops.selective_scan_interface import selective_scan_ref
from scans import scan_inputs
from l2m.training.models.scan import selective_scan, use_kernel

inputs = scan_inputs(33, torch.float32)
found = selective_scan(*inputs, delta_softplus=True)
expected = selective_scan_ref(*inputs, delta_softplus=True)
torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
for one, other in zip(torch.autograd.grad(found.sum(), inputs), torch.autograd.grad(expected.sum(), inputs)):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)

use_kernel("mamba2", "transformers")
from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

torch.manual_seed(0)
x, dt, A = torch.randn(2, 32, 4, 8), torch.rand(2, 32, 4), -torch.rand(4)
B, C = torch.randn(2, 32, 1, 16), torch.randn(2, 32, 1, 16)
found = mamba2_chunk_scan(x, dt, A, B, C, chunk_size=8)
spread = lambda value: value.expand(-1, -1, 4, -1)
expected, _ = ssd_minimal_discrete(x * dt[..., None], A * dt, spread(B), spread(C), 16)
torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
"""
    folder = Path(__file__).parents[2] / "helpers"
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def restored_kernels() -> Any:
    yield
    use_kernel("mamba", "scan")
    use_kernel("mamba2", "transformers")


@pytest.mark.parametrize("kernel", ["scan", "mambapy"])
def test_mamba_paths_agree(kernel: str, restored_kernels: None) -> None:
    """Outputs and gradients of a whole model against `transformers`' own loop, in float32."""
    torch.manual_seed(0)
    model = build_backbone(backbone_config("mamba-tiny", 16), text=False).train()
    inputs = torch.randn(2, 16, 128)
    results = []
    for path in ("transformers", kernel):
        use_kernel("mamba", path)
        model.zero_grad()
        output = model(inputs_embeds=inputs, use_cache=False).last_hidden_state
        # Not the square: its gradient is 0, for the last norm fixes the length of the output.
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        results.append((output.detach(), model.layers[0].mixer.A_log.grad.clone()))
    (slow, slow_gradient), (fast, fast_gradient) = results
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast_gradient, slow_gradient, rtol=1e-3, atol=1e-5)
