"""Runs of seconds on known data, that several tests of training share."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from l2m import Corpus
from l2m.training.config import TrainConfig
from l2m.training.runs import Run, load_model
from l2m.truth.sources import save_tokenizer_of_ids

QUICK: dict[str, Any] = {
    "preset": "gpt2-tiny",
    "length": 16,
    "width": 32,
    "layers": 1,
    "copies": 4,
    "batch": 2,
    "tensorboard": False,
}


def quick(**changes: Any) -> TrainConfig:
    return TrainConfig(**{**QUICK, "steps": 12, "log_every": 2, "save_every": 5, "evaluate_sequences": 4, **changes})


def weights(run: Path) -> list[Tensor]:
    model = load_model(Run.open(run), device="cpu")
    return list(model.state_dict().values())


def text_corpus(folder: Path, documents: int = 40, seed: int = 0) -> Path:
    """Markov chains of 4 symbols: stay with 0.7, else any of the other three alike."""
    random = np.random.default_rng(seed)
    texts = []
    for _ in range(documents):
        steps = np.where(random.random(200) < 0.7, 0, random.integers(1, 4, 200))
        texts.append(np.cumsum(steps) % 4)
    Corpus(texts, vocab_size=4).save(folder)
    return folder


MARKOV_ENTROPY = -0.7 * math.log(0.7) - 0.3 * math.log(0.1)


def named_model(folder: Path, *, positions: int = 32, symbols: int = 4) -> Path:
    """A GPT2 with dropout in its config, over the ids of `text_corpus`, with their tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": positions, "vocab_size": symbols + 1}
    GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=symbols)).save_pretrained(folder)
    save_tokenizer_of_ids(folder, symbols)
    return folder


def run_command(*arguments: str) -> int:
    from l2m.cli import main

    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(str(stopped.value.code))


SMALL_SWEEP = """
[train]
preset = "gpt2-tiny"
length = [4, 16]
steps = [6, 4]
width = 32
layers = 1
copies = 4
batch = 2
evaluate_sequences = 2
tensorboard = false

[[model]]
name = "a"

[[model]]
name = "b"
preset = "mamba-tiny"
state = 2
"""


def write_sweep(folder: Path, text: str = SMALL_SWEEP) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text)
    return path
