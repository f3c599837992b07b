"""A model whose state opens as the sequence grows: n(t) channels a head after t tokens, constant, like log t or like t^p.

A channel is silent before its time: nothing writes into it and nothing reads it, so that state and work per token follow n(t).
Two kinds of layer share the recurrence (training.models.delta_scan):

    linear = false   addresses come from the token: the gated delta rule with a short convolution, norms and a perceptron, for text
    linear = true    addresses are learned for each position: a linear recurrence that varies with time, without anything else

A `transformers` model of type "growing"; importing this module registers it.
"""

import dataclasses
from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import ModelOutput

from l2m.base.growth import Growth
from l2m.training.models.delta_scan import delta_scan

State = dict[str, Any]
"""{"tokens": read so far, "layers": what each keeps: {"recurrent": (batch, heads, n(t), head_dim)}, and in a layer that is not linear
{"convolution": (batch, kernel - 1, width)}}."""


@strict
class GrowingConfig(PreTrainedConfig):  # type: ignore[misc]
    """Shapes of a model of type "growing".

    Attributes:
        growth: channels a head after t tokens, in the notation of `l2m.base.growth`.
        max_position_embeddings: longest sequence: the addresses have as many channels as are open then.
        linear: see the module.
        conv_kernel: positions that the short convolution of a layer that is not linear looks at.
    """

    model_type = "growing"

    vocab_size: int = 256
    hidden_size: int = 128
    num_hidden_layers: int = 2
    num_heads: int = 2
    head_dim: int = 64
    growth: str = "power:0.5:4"
    max_position_embeddings: int = 1024
    linear: bool = False
    conv_kernel: int = 4
    initializer_range: float = 0.02
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    use_cache: bool = True
    tie_word_embeddings: bool = True

    def channels(self, tokens: int) -> list[int]:
        """Channels a head has after 1, 2, ..., `tokens` tokens."""
        opened = Growth.read(self.growth).at(range(1, tokens + 1))
        return [int(n) for n in opened]


def _wide(x: Tensor) -> Tensor:
    """In float32 at least: the system that a chunk solves is not for bfloat16."""
    return x if x.dtype == torch.float64 else x.float()


class InputAddresses(nn.Module):  # type: ignore[misc]
    """Addresses that the token chooses: unit keys over the open channels, written with strength beta, forgotten at rate a."""

    def __init__(self, config: GrowingConfig) -> None:
        super().__init__()
        self.heads, self.most = config.num_heads, config.channels(config.max_position_embeddings)[-1]
        self.query = nn.Linear(config.hidden_size, self.heads * self.most, bias=False)
        self.key = nn.Linear(config.hidden_size, self.heads * self.most, bias=False)
        self.strength = nn.Linear(config.hidden_size, self.heads)
        self.forget = nn.Linear(config.hidden_size, self.heads, bias=False)
        self.rate = nn.Parameter(torch.empty(self.heads))

    def forward(self, x: Tensor, first: int, opened: Tensor) -> tuple[Tensor, ...]:
        """q, k, w, b and ln a of positions `first`, first + 1, ...; `opened`, (L, channels), is 1 where a channel is open."""

        def address(layer: nn.Linear) -> Tensor:
            values = _wide(layer(x)).unflatten(-1, (self.heads, self.most)).transpose(1, 2)
            return functional.normalize(functional.silu(values[..., : opened.shape[1]]) * opened, dim=-1)

        q, k = address(self.query), address(self.key)
        beta = _wide(self.strength(x)).sigmoid().transpose(1, 2).unsqueeze(-1)
        log_decay = -functional.softplus(_wide(self.forget(x) + self.rate)).transpose(1, 2)
        return q, k, beta * k, beta * k, log_decay

    def reset(self) -> None:
        """First weights that are not plain normal ones: heads that forget half in 14 to 760 tokens."""
        init.copy_(self.rate, -torch.linspace(3, 7, self.heads))


class PositionAddresses(nn.Module):  # type: ignore[misc]
    """Addresses that the position chooses, each a learned table; nothing is forgotten but by them."""

    NAMES = ("query", "key", "erase", "write")

    def __init__(self, config: GrowingConfig) -> None:
        super().__init__()
        length = config.max_position_embeddings
        shape = (config.num_heads, length, config.channels(length)[-1])
        for name in self.NAMES:
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))

    def forward(self, x: Tensor, first: int, opened: Tensor) -> tuple[Tensor | None, ...]:
        """As `InputAddresses.forward`."""
        length, channels = opened.shape
        places = (None, slice(None), slice(first, first + length), slice(channels))
        return (*(_wide(getattr(self, name)[places]) * opened for name in self.NAMES), None)

    def reset(self) -> None:
        """A delta rule of strength 1/2 with random unit keys."""
        width = self.key.shape[-1]
        for name in ("query", "key"):
            init.normal_(getattr(self, name), std=width**-0.5)
        for name in ("erase", "write"):
            init.copy_(getattr(self, name), 0.5 * self.key)


class Mixer(nn.Module):  # type: ignore[misc]
    """What mixes positions: values written into and read from a state of n(t) channels a head."""

    def __init__(self, config: GrowingConfig) -> None:
        super().__init__()
        self.heads, inner = config.num_heads, config.num_heads * config.head_dim
        self.addresses = (PositionAddresses if config.linear else InputAddresses)(config)
        self.value = nn.Linear(config.hidden_size, inner, bias=False)
        self.out = nn.Linear(inner, config.hidden_size, bias=False)

    def forward(self, x: Tensor, first: int, channels: list[int], state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Of (batch, L, width) at positions `first`, ...: as much again, and the state after the last."""
        counts = torch.tensor(channels, device=x.device).unsqueeze(-1)
        opened = torch.arange(channels[-1], device=x.device) < counts
        q, k, w, b, log_decay = self.addresses(x, first, opened)
        v = _wide(self.value(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        with torch.autocast(x.device.type, enabled=False):  # a system of equations is solved in float32
            o, state = delta_scan(q, k, w, b, v, channels=channels, log_decay=log_decay, state=state)
        return self.out(o.transpose(1, 2).flatten(2).to(x.dtype)), state


class LinearBlock(GradientCheckpointingLayer):  # type: ignore[misc]
    """The mixer, added to what it reads."""

    def __init__(self, config: GrowingConfig) -> None:
        super().__init__()
        self.mixer = Mixer(config)

    def forward(
        self, x: Tensor, first: int, channels: list[int], state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        mixed, recurrent = self.mixer(x, first, channels, state.get("recurrent"))
        return x + mixed, {"recurrent": recurrent}


class Block(GradientCheckpointingLayer):  # type: ignore[misc]
    """A short convolution and the mixer, then a perceptron, each behind a norm and added to what it reads."""

    def __init__(self, config: GrowingConfig) -> None:
        super().__init__()
        width, self.past = config.hidden_size, config.conv_kernel - 1
        self.norm, self.second_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.convolution = nn.Conv1d(width, width, config.conv_kernel, groups=width)
        self.mixer = Mixer(config)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self, x: Tensor, first: int, channels: list[int], state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        read = self.norm(x)
        past = state.get("convolution")
        read = torch.cat([read.new_zeros(len(x), self.past, x.shape[-1]) if past is None else past, read], dim=1)
        near = functional.silu(self.convolution(read.mT).mT)
        mixed, recurrent = self.mixer(near, first, channels, state.get("recurrent"))
        x = x + mixed
        # A copy: a slice would keep the whole sequence in memory.
        kept = read[:, read.shape[1] - self.past :].clone()
        return x + self.perceptron(self.second_norm(x)), {"recurrent": recurrent, "convolution": kept}


class _Growing(PreTrainedModel):  # type: ignore[misc]
    config_class = GrowingConfig
    base_model_prefix = "backbone"
    supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["Block", "LinearBlock"]
    _is_stateful = True

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, (InputAddresses, PositionAddresses)):
            module.reset()


@dataclasses.dataclass
class GrowingOutput(ModelOutput):  # type: ignore[misc]
    """Hidden states, and the state after the last position where it was asked for."""

    last_hidden_state: Tensor | None = None
    state: "State | None" = None


@dataclasses.dataclass
class GrowingLMOutput(ModelOutput):  # type: ignore[misc]
    """Log-odds of the next token, and the state after the last position where it was asked for."""

    logits: Tensor | None = None
    state: "State | None" = None


class GrowingModel(_Growing):
    """The backbone: vectors or token ids to hidden states."""

    def __init__(self, config: GrowingConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        block = LinearBlock if config.linear else Block
        self.layers = nn.ModuleList(block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.Identity() if config.linear else nn.RMSNorm(config.hidden_size)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        state: State | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> GrowingOutput:
        """Hidden states of the tokens that follow those in `state`.

        Raises:
            ValueError: more tokens than the config has positions.
        """
        x = self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        first = 0 if state is None else state["tokens"]
        tokens = first + x.shape[1]
        if tokens > self.config.max_position_embeddings:
            raise ValueError(f"{tokens:,} tokens; expected at most {self.config.max_position_embeddings:,} positions")
        channels = self.config.channels(tokens)[first:]
        before = [{}] * len(self.layers) if state is None else state["layers"]
        after = []
        for layer, held in zip(self.layers, before, strict=True):
            x, kept = layer(x, first, channels, held)
            after.append(kept)
        kept_state = {"tokens": tokens, "layers": after} if use_cache else None
        return GrowingOutput(last_hidden_state=self.norm(x), state=kept_state)


class GrowingForCausalLM(_Growing):
    """The backbone with a head that predicts the next token; embeddings serve both."""

    _tied_weights_keys: ClassVar = {"lm_head.weight": "backbone.embeddings.weight"}

    def __init__(self, config: GrowingConfig) -> None:
        super().__init__(config)
        self.backbone = GrowingModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone.embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.backbone.embeddings = value

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        state: State | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> GrowingLMOutput:
        """Log-odds of the tokens after those given, which follow those in `state`."""
        output = self.backbone(input_ids=input_ids, inputs_embeds=inputs_embeds, state=state, use_cache=use_cache)
        return GrowingLMOutput(logits=self.lm_head(output[0]), state=output.state)


AutoConfig.register(GrowingConfig.model_type, GrowingConfig)
AutoModel.register(GrowingConfig, GrowingModel)
AutoModelForCausalLM.register(GrowingConfig, GrowingForCausalLM)
