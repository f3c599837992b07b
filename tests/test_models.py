"""Models to train: presets of the paper's tables, continuous input, and the selective scan against its reference."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from l2m.errors import InputError
from l2m.states.history_state import history_state
from l2m.training.models import PRESETS, backbone_config
from l2m.training.models.networks import ContinuousModel, TextModel, build_backbone
from l2m.training.models.scan import KERNELS, choose_kernel, selective_scan, use_kernel


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


@pytest.mark.skipif(importlib.util.find_spec("mamba_ssm") is None, reason="mamba-ssm is not installed")
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
from test_models import scan_inputs
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
    folder = Path(__file__).parent / "helpers"
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


@pytest.mark.parametrize("family", ["gpt2", "mamba", "mamba2"])
def test_models_are_causal(family: str) -> None:
    """A change at position t leaves what was said up to t - 1 as it was, and changes what is said at t."""
    torch.manual_seed(0)
    model = ContinuousModel(build_backbone(backbone_config(f"{family}-tiny", 32), text=False)).eval()
    nn.init.normal_(model.write[-1].weight)  # type: ignore[arg-type]
    one = torch.randn(1, 32, 64)
    other = one.clone()
    other[0, 20] += 1
    with torch.no_grad():
        before, after = model(one)[0], model(other)[0]
    torch.testing.assert_close(before[:, :20], after[:, :20], rtol=0, atol=1e-6)
    assert (before[:, 20:] - after[:, 20:]).abs().amax() > 1e-3


def test_learned_positions_are_added_to_what_the_first_mlp_reads() -> None:
    """Without them there is no such parameter; at zero they change nothing; the one of position t changes t and later alone."""
    torch.manual_seed(0)
    backbone = build_backbone(backbone_config("mamba-tiny", 16), text=False)
    with_table, without = ContinuousModel(backbone, 4, positions=16).eval(), ContinuousModel(backbone, 4).eval()
    assert with_table.positions is not None
    assert with_table.positions.shape == (16, 128)
    assert "positions" not in dict(without.named_parameters())
    assert with_table.state_size(8) == without.state_size(8)
    nn.init.normal_(with_table.write[-1].weight)  # type: ignore[arg-type]
    without.load_state_dict({k: v for k, v in with_table.state_dict().items() if k != "positions"})
    values = torch.randn(2, 16, 4)
    with torch.no_grad():
        with_table.positions.zero_()
        plain = without(values)[0]
        assert torch.equal(with_table(values)[0], plain)
        with_table.positions[10] = 1.0
        moved = (with_table(values)[0] - plain).abs().amax(dim=(0, 2))
    assert moved[:10].max() == 0
    assert moved[10:].min() > 0


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_shape_of_the_tables(name: str) -> None:
    """State sizes of Table F.1 by hand: layers x 2 width x 16 (Mamba), x 128 (Mamba2); GPT2 keeps 2 width a token."""
    shape = PRESETS[name]
    with torch.device("meta"):
        model = ContinuousModel(build_backbone(backbone_config(name, 1024), text=False))
    per_layer = 2 * shape.width * (512 if shape.state is None else shape.state)
    assert model.state_size(512) == shape.layers * per_layer
    assert history_state(model.backbone).layers == shape.layers


def test_nominal_sizes() -> None:
    """The names say the backbone's parameters with a vocabulary of 50,280: within 10 % for the state-space models."""
    for name in ("mamba-130m", "mamba-370m", "mamba2-130m"):
        with torch.device("meta"):
            model = build_backbone(backbone_config(name, 1024, vocabulary=50_280), text=True)
        nominal = float(name.split("-")[1].removesuffix("m")) * 1e6
        assert sum(value.numel() for value in model.parameters()) == pytest.approx(nominal, rel=0.1)


def test_text_model_gives_log_odds_of_its_vocabulary() -> None:
    model = TextModel(build_backbone(backbone_config("gpt2-tiny", 16, vocabulary=257), text=True))
    assert model(torch.zeros(2, 16, dtype=torch.int64)).shape == (2, 16, 257)
    assert model.state_size(8) == 2 * 2 * 128 * 8


class NoEmbeddings(nn.Module):
    config = backbone_config("gpt2-tiny", 16)

    def forward(self, input_ids: Tensor) -> Tensor:
        return input_ids


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: backbone_config("mamba-13b", 64), "preset: 'mamba-13b'"),
        (lambda: backbone_config("gpt2", 64, state=16), "state: 16"),
        (lambda: backbone_config("mamba", 64, layers=0), "preset: 'mamba'"),
        (lambda: backbone_config("mamba-tiny", 64, layers=0), "layers: 0"),
        (lambda: backbone_config("mamba2-tiny", 64, width=100), "width: 100"),
        (lambda: backbone_config("/no/such/folder", 64), "/no/such/folder"),
        (lambda: ContinuousModel(NoEmbeddings()), "NoEmbeddings does not take inputs_embeds"),
        (lambda: choose_kernel("mamba", "cpu", "cuda"), f"expected one of {', '.join(KERNELS)}"),
        (lambda: choose_kernel("mamba", "cpu", "mamba-ssm"), "mamba-ssm"),
    ],
)
def test_bad_input_names_the_argument(make: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert message in str(caught.value)
