"""The model that a config describes: its size before anything is allocated, its weights, what of it decays."""

import dataclasses
import os
from typing import Any

import torch
from torch import nn

from l2m.base.numbers import short
from l2m.errors import InputError
from l2m.states.history_state import history_state
from l2m.training.config import TrainConfig
from l2m.training.data import gaussian_law
from l2m.training.inputs import Inputs, find_inputs
from l2m.training.models.frontier_start import start_from_frontier
from l2m.training.models.networks import ContinuousModel, TextModel, build_backbone, without_dropout
from l2m.training.models.presets import backbone_config
from l2m.training.models.scan import choose_kernel, use_kernel


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSize:
    """A model's numbers.

    Attributes:
        family: `model_type` of the backbone.
        parameters: those that are trained.
        state: numbers kept after L/2 positions (`memory_size`).
        everything: parameters that are trained or not.
    """

    family: str
    parameters: int
    state: int
    everything: int


def model_size(config: TrainConfig, inputs: Inputs | None = None) -> ModelSize:
    """The size of a complete config's model; no weights are made.

    Raises:
        InputError: as `find_inputs` and `backbone_config`.
    """
    inputs = inputs or find_inputs(config)
    shape = _shape(config, inputs)
    with torch.device("meta"):
        model = _assemble(config, build_backbone(shape, text=config.corpus is not None))
    return ModelSize(
        family=str(shape.model_type),
        parameters=sum(value.numel() for value in model.parameters() if value.requires_grad),
        state=model.state_size(max(1, config.length // 2)),
        everything=sum(value.numel() for value in model.parameters()),
    )


def check_memory(config: TrainConfig, size: ModelSize, device: str) -> None:
    """Refuse a run that cannot fit the memory of `device`.

    Counts what no setting avoids: weights, gradients and two moments in float32, and of the batch four copies on their way from the
    sampler and one activation a layer.

    Raises:
        InputError: naming the bytes it takes and those there are.
    """
    there = _memory_of(device)
    weights = 4 * size.everything + 12 * size.parameters
    if weights > there:
        raise InputError(
            f"preset: {config.preset} of {size.parameters:,} parameters takes {short(weights)}B to train (weights, "
            f"gradients, two moments); {device} has {short(there)}B"
        )
    numbers = 8 * config.copies if config.corpus is None else 4
    batch = 4 * config.batch * config.length * max(numbers, config.width or 0)
    if weights + batch > there:
        raise InputError(
            f"batch: {config.batch:,} sequences of {config.length:,} positions take {short(batch)}B; {device} has "
            f"{short(there - weights)}B left besides the model"
        )


def _memory_of(device: str) -> int:
    kind = torch.device(device)
    if kind.type == "cuda":
        return int(torch.cuda.get_device_properties(kind).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def build_model(config: TrainConfig, device: str, inputs: Inputs | None = None) -> tuple[Any, str]:
    """The model that a complete config describes, with its first weights, on `device`; and how it scans.

    Random weights come from torch's random state; pretrained ones from the model that is named; those of the frontier from the law.

    Raises:
        InputError: as `find_inputs`, `backbone_config`, `choose_kernel`, `build_backbone` and `start_from_frontier`.
    """
    inputs = inputs or find_inputs(config)
    shape = _shape(config, inputs)
    scan = choose_kernel(shape.model_type, torch.device(device).type, config.kernel)
    use_kernel(shape.model_type, scan)
    if inputs.source is None:
        backbone = build_backbone(shape, text=config.corpus is not None)
    else:
        backbone = inputs.source.load(device="cpu", dtype="float32")
    model = _assemble(config, backbone)
    if config.start == "frontier":
        start_from_frontier(model, gaussian_law(config))
    return model.to(device), scan


def describe(config: TrainConfig, device: str) -> dict[str, Any]:
    """Parameters and state of a complete config's model, and how it would scan on `device`; no weights are made."""
    size = model_size(config)
    scan = choose_kernel(size.family, torch.device(device).type, config.kernel)
    return {"parameters": size.parameters, "state": size.state, "scan": scan}


def _shape(config: TrainConfig, inputs: Inputs) -> Any:
    """The `transformers` config of the backbone."""
    vocabulary = 1 if inputs.corpus is None else inputs.corpus.vocab_size + 1  # and the start token
    return backbone_config(
        config.preset,
        config.length,
        vocabulary=None if config.pretrained else vocabulary,
        layers=config.layers,
        width=config.width,
        state=config.state,
        growth=config.numeric_growth,
        file=inputs.config_file,
    )


def _assemble(config: TrainConfig, backbone: Any) -> Any:
    without_dropout(backbone)
    history_state(backbone)  # refuses what keeps no state of the past, such as encoders
    if config.recompute:
        backbone.activation_checkpointing_enable()
    if config.corpus is not None:
        return TextModel(backbone)
    return ContinuousModel(backbone, config.copies, positions=config.length if config.positions else 0)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and Mamba's A and D, which set time scales, do not."""
    named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    decays = [value for name, value in named if value.ndim >= 2 and not name.endswith("A_log")]
    rest = [value for name, value in named if value.ndim < 2 or name.endswith("A_log")]
    return [{"params": decays, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
