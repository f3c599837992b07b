"""Presets: the shapes of the paper's tables."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from l2m.errors import InputError
from l2m.states.history_state import history_state
from l2m.training.models import PRESETS, backbone_config
from l2m.training.models.networks import ContinuousModel, build_backbone
from l2m.training.models.scan import KERNELS, choose_kernel


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_shape_of_the_tables(name: str) -> None:
    """State sizes of Table F.1 by hand: layers x 2 width x 16 (Mamba), x 128 (Mamba2); GPT2 keeps 2 width a token."""
    shape = PRESETS[name]
    with torch.device("meta"):
        model = ContinuousModel(build_backbone(backbone_config(name, 1024), text=False))
    if shape.family.startswith("growing"):  # 4 n^0.5 channels, each of the width of all heads together
        per_layer = math.ceil(4 * 512**0.5) * (128 if shape.family == "growing" else 64)
    else:
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
