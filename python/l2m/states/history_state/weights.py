"""How many numbers a model's weights are, and how many of them one step reads: counted on the meta device, or in a GGUF file."""

import dataclasses
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from l2m.base.numbers import short
from l2m.base.optional import require
from l2m.base.records import Record
from l2m.errors import InputError
from l2m.states.history_state.config import Config
from l2m.states.history_state.state import BITS

# How configs call the number of experts of a layer, and how many of them a token is sent to.
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts", "experts_per_token")

METHOD_BITS = {"mxfp4": BITS["mxfp4"], "nvfp4": BITS["nvfp4"], "fp8": 8.0}


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Weights(Record):
    """A language model's weights.

    Attributes:
        parameters: all of them; a table shared by input and output counts once.
        lookup: of them, in tables of which a token reads one row (an input embedding that is not the output's too).
        experts: of them, in routed experts.
        chosen, choices: experts that a layer sends a token to, and those it has (0: no experts).
        bits, expert_bits: bits per parameter, of experts and of the others.
        measured_bytes: size of the tensors in a file (None: none was read).
        source: where the count comes from.
    """

    kind: ClassVar[str] = "weights"

    parameters: int
    lookup: int = 0
    experts: int = 0
    chosen: int = 0
    choices: int = 0
    bits: float = 16.0
    expert_bits: float = 16.0
    measured_bytes: int | None = None
    source: str = ""

    def __post_init__(self) -> None:
        parts = (self.lookup, self.experts, self.parameters - self.lookup - self.experts)
        if min(parts) < 0 or not 0 <= self.chosen <= self.choices or (self.experts > 0) != (self.choices > 0):
            raise InputError(
                f"weights: {self.parameters} parameters, {self.lookup} looked up, {self.experts} in experts, "
                f"{self.chosen} of {self.choices} chosen; expected parts that add up"
            )
        if not (0 < self.bits <= 128 and 0 < self.expert_bits <= 128):
            raise InputError(f"weights: {self.bits!r} and {self.expert_bits!r} bits; expected above 0, at most 128")

    def _brief(self) -> str:
        return f"{short(self.parameters)} parameters, {short(self.bytes)} bytes"

    @property
    def bytes(self) -> int:
        """Bytes of all weights."""
        if self.measured_bytes is not None:
            return self.measured_bytes
        return self._bytes(self.parameters - self.experts, self.experts)

    def read(self, batch: int = 1) -> int:
        """Bytes one step for `batch` sequences reads at the most: every expert a token may be sent to, no lookup tables."""
        share = Fraction(min(self.choices, batch * self.chosen), self.choices) if self.choices else Fraction(0)
        whole = self._bytes(self.parameters - self.experts, self.experts)
        read = self._bytes(self.parameters - self.lookup - self.experts, self.experts * share)
        return math.ceil(read * Fraction(self.bytes, whole)) if whole else 0

    def with_bits(self, bits: float) -> "Weights":
        """The same weights at another precision."""
        return dataclasses.replace(self, bits=bits, expert_bits=bits, measured_bytes=None)

    def _bytes(self, plain: int | Fraction, experts: int | Fraction) -> int:
        return math.ceil((plain * Fraction(self.bits) + experts * Fraction(self.expert_bits)) / 8)


def count(config: Any, model_class: Any = None) -> dict[str, int]:
    """Fields of `Weights` for a model with this `transformers` config, built on the meta device.

    Raises:
        InputError: the model cannot be built.
    """
    from torch import nn

    from l2m.states.history_state.measured import build

    model = build(config, model_class)
    head = model.get_output_embeddings()
    shared = id(head.weight) if head is not None and getattr(head, "weight", None) is not None else None
    lookup = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, nn.Embedding) and id(module.weight) != shared
    )
    experts = sum(
        weight.numel() for name, weight in model.named_parameters() if ".experts." in name and "shared" not in name
    )
    fields = Config(model.config.get_text_config(decoder=True))
    choices = _first(fields, EXPERTS) if experts else 0
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "lookup": lookup,
        "experts": experts if choices else 0,
        "chosen": min(_first(fields, CHOSEN) or choices, choices),
        "choices": choices,
    }


def _first(config: Config, names: tuple[str, ...]) -> int:
    found = (config.get(name, None) for name in names)
    return next((value for value in found if isinstance(value, int) and value > 0), 0)


def published_bits(config: Mapping[str, Any], bits: float) -> tuple[float, float]:
    """Bits per parameter and per parameter of experts, as a config's `quantization_config` has them; else `bits`.

    A checkpoint's scales and the layers it leaves unquantized are not told apart, except that MXFP4 is of experts alone.
    """
    quantization = config.get("quantization_config") or {}
    if not isinstance(quantization, Mapping):
        raise InputError(f"config: quantization_config {quantization!r}; expected an object with fields")
    method = str(quantization.get("quant_method", "")).lower()
    if method == "mxfp4":
        return bits, METHOD_BITS["mxfp4"]
    named = METHOD_BITS.get(method, quantization.get("bits"))
    if isinstance(named, (int, float)) and not isinstance(named, bool) and 0 < named <= 16:
        return float(named), float(named)
    return bits, bits


def of_gguf(path: Path) -> Weights:
    """What a GGUF file holds.

    Raises:
        InputError: the package gguf is not installed, or the file cannot be read as GGUF.
    """
    require(f"{path}: its weights", "gguf")
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        fields = {
            name.split(".", 1)[1]: int(field.contents())
            for name, field in reader.fields.items()
            if name.endswith((".expert_count", ".expert_used_count"))
        }
        tensors = [(tensor.name, int(tensor.n_elements), int(tensor.n_bytes)) for tensor in reader.tensors]
    except Exception as error:  # the reader raises what numpy and enums raise
        raise InputError(f"{path}: cannot be read as GGUF ({type(error).__name__}: {error})") from None
    names = {name for name, _, _ in tensors}
    parameters, size = sum(n for _, n, _ in tensors), sum(b for _, _, b in tensors)
    tables = ("token_embd.weight",) if "output.weight" in names else ()
    experts = [(n, b) for name, n, b in tensors if "_exps." in name]
    choices = fields.get("expert_count", 0)
    in_experts = sum(n for n, _ in experts) if choices else 0
    expert_bytes = sum(b for _, b in experts) if choices else 0
    plain = parameters - in_experts
    return Weights(
        parameters=parameters,
        lookup=sum(n for name, n, _ in tensors if name in tables),
        experts=in_experts,
        chosen=fields.get("expert_used_count", choices) if in_experts else 0,
        choices=choices if in_experts else 0,
        bits=8 * (size - expert_bytes) / plain,
        expert_bits=8 * expert_bytes / in_experts if in_experts else 16.0,
        measured_bytes=size,
        source=f"the tensors of {path.name}",
    )
