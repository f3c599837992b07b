"""The frontier's recurrence as first weights of a growing linear model: its KL starts there, and training can only refine it.

The best linear state found (l2m.truth.frontier) takes one value a step and drops at most one direction, by a reflection. With s the
numbers held, c s the prediction of Z_t and e = (Z_t - c s) / sd its innovation, the new numbers are

    room for one more:  (s, e)                           k = unit vector of the new channel
    none:               s (1 - m) + e p,  m = p p / (2 - tr m)    k = p, the last row of the reflection less its last entry

so that in both s' = s - k (w s) + b Z_t with w = p / (2 - tr m) + c / sd and b = p / sd: a step of the model's recurrence. The
two perceptrons around the backbone are set to pass their values on: gelu(x) - gelu(-x) = x.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from l2m.errors import InputError
from l2m.truth.frontier import future_factor, truncated

if TYPE_CHECKING:
    from l2m.truth.gaussian import HierarchicalGaussian

Floats = NDArray[np.float64]


def start_from_frontier(model: Any, law: "HierarchicalGaussian") -> None:
    """Set the weights of a `ContinuousModel` to the frontier of as many numbers as it holds.

    Raises:
        InputError: another model than one linear growing layer of one head, without positions, or too narrow for its copies.
    """
    config, copies = model.backbone.config, model.copies
    if config.model_type != "growing" or not config.linear or config.num_hidden_layers != 1 or config.num_heads != 1:
        raise InputError("start: 'frontier'; expected the preset growing-linear-tiny, of one layer")
    if model.positions is None:
        raise InputError("start: 'frontier' without positions; expected positions = true")
    width, log_std = config.hidden_size, 2 * copies
    if config.head_dim < copies or width < 2 * copies + 2:
        raise InputError(
            f"start: 'frontier' with {copies} copies; expected at most {config.head_dim} and a width of {2 * copies + 2}"
        )
    addresses, deviation = frontier_addresses(law, config.channels(law.length))
    mixer = model.backbone.layers[0].mixer
    with torch.no_grad():
        for name, table in addresses.items():
            getattr(mixer.addresses, name).copy_(torch.from_numpy(table)[None])
        # Channels of the residual stream: the value read, its prediction, the logarithm of the deviation.
        _pass_on(model.read, list(range(copies)), list(range(copies)))
        model.positions.zero_()
        model.positions[:, log_std] = torch.from_numpy(np.log(deviation)).float()
        mixer.value.weight.zero_()
        mixer.value.weight[:copies, :copies] = torch.eye(copies)
        mixer.out.weight.zero_()
        mixer.out.weight[copies:log_std, :copies] = torch.eye(copies)
        # The copies have one deviation.
        _pass_on(model.write, [*range(copies, log_std), *[log_std] * copies], list(range(2 * copies)))


def _pass_on(perceptron: nn.Sequential, sources: list[int], targets: list[int]) -> None:
    """Make outputs `targets` the inputs `sources`, all others 0; hidden units that this does not take keep their weights."""
    first, last = perceptron[0], perceptron[-1]
    last.weight.zero_()
    last.bias.zero_()
    for number, source in enumerate(dict.fromkeys(sources)):
        for unit, sign in ((2 * number, 1.0), (2 * number + 1, -1.0)):
            first.weight[unit].zero_()
            first.bias[unit] = 0.0
            first.weight[unit, source] = sign
            for target in [t for s, t in zip(sources, targets, strict=True) if s == source]:
                last.weight[target, unit] = sign


def frontier_addresses(law: "HierarchicalGaussian", channels: list[int]) -> tuple[dict[str, Floats], Floats]:
    """Tables of addresses by position, each (L, channels), and the standard deviation of the prediction at each position.

    Args:
        channels: open after 1, 2, ..., L tokens, of which the first is the token before the sequence.
    """
    length = law.length
    trace: list[tuple[Floats, float, Floats]] = []
    allowed = np.minimum([*channels[1:], channels[-1]], length).astype(np.int64)
    truncated(future_factor(law), np.square(law.conditional_std), allowed, trace, negligible=-1.0)
    tables = {name: np.zeros((length, channels[-1])) for name in ("query", "key", "erase", "write")}
    for t in range(1, length):
        c, variance, projection = trace[t - 1]
        held, kept = c.size, projection.shape[1]
        if kept > held:
            row, turned = np.eye(kept)[held], 0.0
        else:
            row, turned = projection[held], 1.0 / (2.0 - np.trace(np.eye(held) - projection[:held]))
        deviation = np.sqrt(variance)
        tables["key"][t, :kept] = row
        tables["write"][t, :kept] = row / deviation
        tables["erase"][t, :held] = turned * row[:held] + c / deviation
        tables["query"][t, : trace[t][0].size] = trace[t][0]
    return tables, np.sqrt([variance for _, variance, _ in trace])
