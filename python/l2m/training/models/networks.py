"""What is trained: a backbone of `transformers` that reads vectors and says Gaussians, or one that reads and says tokens."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from l2m.errors import InputError
from l2m.states.history_state import HistoryState, history_state


class ContinuousModel(nn.Module):  # type: ignore[misc]
    """Reads one vector a position and predicts the next as independent Gaussians (paper, section 4).

        vector (copies) -> 2-layer MLP -> backbone -> 2-layer MLP -> copies means, copies standard deviations

    The last layer starts at zero, so that an untrained model says mean 0 and standard deviation 1, the law's margins:
    training starts from a KL that is known exactly.

    Args:
        backbone: a causal model of `transformers` that takes `inputs_embeds`.
        copies: numbers in a position's vector.
        positions: length of a table of learned position embeddings that is added to what the first MLP reads; 0 for none.
            GPT2 brings its own. A state-space model has none and must count, or it stays a filter that is the same at
            every position (docs/training.md).

    Raises:
        InputError: a backbone that does not take `inputs_embeds`.
    """

    def __init__(self, backbone: nn.Module, copies: int = 64, *, positions: int = 0) -> None:
        super().__init__()
        config = getattr(backbone, "config", None)
        if "inputs_embeds" not in inspect.signature(backbone.forward).parameters or config is None:
            raise InputError(f"backbone: {type(backbone).__name__} does not take inputs_embeds; expected one that does")
        width = config.get_text_config().hidden_size
        self.copies = copies
        self.read = nn.Sequential(nn.Linear(copies, width), nn.GELU(), nn.Linear(width, width))
        self.positions = nn.Parameter(torch.randn(positions, width)) if positions else None
        self.backbone = backbone
        self.write = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2 * copies))
        nn.init.zeros_(self.write[-1].weight)
        nn.init.zeros_(self.write[-1].bias)
        # The backbone's own table of embeddings is never used: frozen, so that several GPUs do not wait for its gradient.
        backbone.get_input_embeddings().requires_grad_(False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Of the vectors (batch, L, copies) the predictions of the one after each: mean and log standard deviation."""
        vectors = self.read(tokens)
        if self.positions is not None:
            vectors = vectors + self.positions[: tokens.shape[1]]
        hidden = self.backbone(inputs_embeds=vectors, use_cache=False).last_hidden_state
        mean, log_std = self.write(hidden).float().chunk(2, dim=-1)
        return mean, log_std

    def state_size(self, length: int) -> int:
        """Numbers the model keeps after `length` positions: keys and values, or recurrent states (`memory_size`)."""
        return memory_size(history_state(self.backbone), length)


class TextModel(nn.Module):  # type: ignore[misc]
    """A causal language model of `transformers`: tokens (batch, L) -> log-odds (batch, L, vocabulary) of the next."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.backbone(input_ids=tokens, use_cache=False).logits
        return logits

    def state_size(self, length: int) -> int:
        """Numbers the model keeps after `length` tokens (`memory_size`)."""
        return memory_size(history_state(self.backbone), length)


def without_dropout(model: nn.Module) -> None:
    """Set every dropout of a model to 0: each batch is fresh, so that there is nothing to overfit."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):  # attention modules hand such a number to a kernel
                setattr(module, name, 0.0)


def memory_size(state: HistoryState, length: int) -> int:
    """dim(z) as the paper's Fig. 3(c) counts it: attention caches and recurrent states, convolution windows left out."""
    size = state.at(length)
    return int(size.attention + size.recurrent)


def build_backbone(config: Any, *, text: bool) -> nn.Module:
    """A model with random weights from torch's random state.

    Raises:
        InputError: a config of no causal model.
    """
    from transformers import AutoModel, AutoModelForCausalLM

    from l2m.base.hub import quiet_transformers

    with quiet_transformers():
        try:
            backbone: nn.Module = (AutoModelForCausalLM if text else AutoModel).from_config(config, dtype=torch.float32)
        except (ValueError, KeyError) as error:
            raise InputError(f"backbone: {config.model_type}: {' '.join(str(error).split())[:200]}") from None
    return backbone
