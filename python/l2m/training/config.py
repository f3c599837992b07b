"""Everything that decides a training run, in one dataclass: saved beside the weights, loadable, printable."""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any, Literal

from l2m.base.files import read_json, write_json
from l2m.errors import InputError

FREE = ("save_every", "keep", "log_every", "tensorboard")
"""Fields that may change when a run goes on: they do not touch the loss curve."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training run; defaults are the paper's (section 4) where the preset does not say otherwise.

    Parameters
    ----------
    preset
        A name of the paper's Tables F.1 and F.2 (mamba-130m, gpt2, mamba2-370m, ...), a tiny one (mamba-tiny, ...), a
        folder with config.json of a transformers model, or its name on the Hugging Face hub (OWNER/NAME).
    length
        Positions L of a sequence: a power of 4 for the Gaussian language, any for text.
    corpus
        Folder of a tokenized corpus to train on; default the Gaussian language.
    pretrained
        Start from the weights that preset names; default random weights. The corpus must be of its tokenizer.
    layers
        Layers, in place of the preset's.
    width
        Width of the residual stream, in place of the preset's.
    state
        Numbers of recurrent state a channel, in place of the preset's.
    copies
        Independent copies of the Gaussian law side by side in a position's vector.
    positions
        Give a state-space model a learned embedding of the position, as GPT2 has one. Not the paper's setting.
    children
        Copies of the layer below: 3 (information like L^0.79), 2 (L^0.5) or 1 (log L).
    boundary
        How the Gaussian law mixes row boundaries.
    batch
        Sequences of a step on each process, at a time.
    accumulate
        Batches whose gradients make one step.
    steps
        Optimiser steps; default the preset's.
    learning_rate
        Peak; default the preset's. Linear warm-up, then a cosine to 0.
    warmup
        Steps of warm-up; default the preset's.
    beta2
        Of AdamW: how slowly its second moment forgets.
    weight_decay
        Of AdamW, on matrices (not on biases, norms, A and D).
    clip
        Largest norm of the gradient; 0 for none.
    precision
        float32, or bfloat16 for the backbone's arithmetic (weights and loss stay float32).
    compile
        Use torch.compile.
    recompute
        Gradient checkpointing: recompute activations instead of keeping them.
    kernel
        How Mamba and Mamba2 scan.
    seed
        Of weights and data.
    evaluate_every
        Steps between evaluations on held-out sequences; default a twelfth of all steps.
    evaluate_sequences
        Sequences of such an evaluation.
    save_every
        Steps between checkpoints.
    keep
        Checkpoints kept.
    log_every
        Steps between lines of metrics.jsonl.
    tensorboard
        Also write TensorBoard events, where the package is installed.
    """

    preset: str = "mamba-tiny"
    length: int = 256
    corpus: str | None = None
    pretrained: bool = False
    layers: int | None = None
    width: int | None = None
    state: int | None = None
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
            InputError: a field out of range, an unknown preset, a length that is no power of 4.
        """
        from l2m.training.models.presets import Preset, is_named, preset

        shape = Preset("", 0, 0) if is_named(self.preset) else preset(self.preset)
        steps = shape.steps if self.steps is None else self.steps
        filled = dataclasses.replace(
            self,
            steps=steps,
            learning_rate=shape.learning_rate if self.learning_rate is None else self.learning_rate,
            warmup=min(shape.warmup, max(1, steps // 10)) if self.warmup is None else self.warmup,
            evaluate_every=max(1, steps // 12) if self.evaluate_every is None else self.evaluate_every,
        )
        for name in ("length", "copies", "batch", "accumulate", "steps", "evaluate_every", "evaluate_sequences"):
            filled._check(name, "at least 1", getattr(filled, name) >= 1)
        for name in ("save_every", "keep", "log_every"):
            filled._check(name, "at least 1", getattr(filled, name) >= 1)
        for name in ("weight_decay", "clip", "warmup", "seed"):
            filled._check(name, "at least 0", getattr(filled, name) >= 0 and math.isfinite(getattr(filled, name)))
        filled._check("beta2", "a number of [0, 1)", 0 <= filled.beta2 < 1)
        rate = filled.peak_rate
        filled._check("learning_rate", "a number above 0", rate > 0 and math.isfinite(rate))
        for name, choices in (("precision", ("float32", "bfloat16")), ("boundary", ("weighted", "printed"))):
            filled._check(name, f"one of {', '.join(choices)}", getattr(filled, name) in choices)
        if self.corpus is None:
            filled._check("children", "1, 2 or 3", filled.children in (1, 2, 3))
            power = 4 ** max(1, round(math.log(filled.length, 4)))
            filled._check("length", "a power of 4, as the Gaussian law branches by 4", filled.length == power)
            filled._check("pretrained", "a corpus to go with it", not filled.pretrained)
        else:
            filled._check("positions", "False with a corpus: only the Gaussian language has them", not filled.positions)
        return filled

    def _check(self, name: str, expected: str, holds: bool) -> None:
        if not holds:
            raise InputError(f"{name}: {getattr(self, name)!r}; expected {expected}")

    @property
    def total_steps(self) -> int:
        return int(self.steps or 0)

    @property
    def tokens_per_step(self) -> int:
        """Positions of one step, on one process."""
        return self.batch * self.accumulate * self.length

    @property
    def peak_rate(self) -> float:
        return float(self.learning_rate or 0.0)

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ...: linear warm-up to the peak, then half a cosine that ends at 0."""
        warmup = int(self.warmup or 0)
        if step < warmup:
            return self.peak_rate * (step + 1) / warmup
        done = (step - warmup) / max(1, self.total_steps - warmup)
        return self.peak_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, atomically."""
        write_json(path, dataclasses.asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "TrainConfig":
        """Read what `save` wrote.

        Raises:
            InputError: no such file, or a field this version does not know.
        """
        return cls.from_dict(read_json(path), str(path))

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], origin: str = "config") -> "TrainConfig":
        """From field names and values.

        Raises:
            InputError: a field that does not exist.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        for name in value:
            if name not in names:
                raise InputError(f"{origin}: field {name!r}; expected one of {', '.join(sorted(names))}")
        return cls(**value)

    def difference(self, other: "TrainConfig") -> str | None:
        """The first field that makes `other` another run, in words; None where there is none."""
        for field in dataclasses.fields(self):
            mine, its = getattr(self, field.name), getattr(other, field.name)
            if field.name not in FREE and mine != its:
                return f"{field.name}: {its!r}, but this run was started with {mine!r}"
        return None

    def __str__(self) -> str:
        return "\n".join(f"{field.name} = {getattr(self, field.name)!r}" for field in dataclasses.fields(self))
