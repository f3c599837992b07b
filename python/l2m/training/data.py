"""What a step trains on, as a function of its number alone: a run that stops and resumes sees the data of one that did not."""

from collections.abc import Iterator
from itertools import count, islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from l2m.corpora.corpus import Corpus
from l2m.errors import InputError
from l2m.training.config import TrainConfig
from l2m.training.inputs import Inputs, find_inputs

if TYPE_CHECKING:
    from l2m.truth.gaussian import HierarchicalGaussian

HELD_OUT = 2**62
"""Gaussian sequences of this number and above are never trained on."""
HELD_OUT_SHARE = 10
"""One document in this many is never trained on."""

Batch = dict[str, Tensor]


class Data(Protocol):
    """Batches of `size` sequences: `train` of any number, `held_out` of 0, 1, ... below `held_out_batches`."""

    def train(self, number: int, size: int) -> Batch: ...
    def held_out(self, number: int, size: int) -> Batch: ...


def gaussian_law(config: TrainConfig) -> "HierarchicalGaussian":
    """The law that a complete config without a corpus trains on."""
    from l2m.truth.gaussian import HierarchicalGaussian

    return HierarchicalGaussian(round(np.log(config.length) / np.log(4)), config.children, boundary=config.boundary)


class GaussianData:
    """The hierarchical Gaussian language: `copies` independent sequences side by side, an all-zero vector in front.

    A batch: inputs (batch, L, copies), the vectors before each position; true_mean (batch, L, copies) and true_std (L,)
    of the exact conditionals.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.law = gaussian_law(config)
        self.config = config

    def train(self, number: int, size: int) -> Batch:
        return self._batch(number * size * self.config.copies, size)

    def held_out(self, number: int, size: int) -> Batch:
        return self._batch(HELD_OUT + number * size * self.config.copies, size)

    def _batch(self, first: int, size: int) -> Batch:
        batch = gaussian_batch(
            self.law, size, channels=self.config.copies, seed=self.config.seed, first=first, threads=1
        )
        # A copy: the slice that leaves out the last vector is not contiguous.
        return {**batch, "inputs": batch["inputs"].contiguous()}


def gaussian_batch(
    law: "HierarchicalGaussian", size: int, *, channels: int, seed: int, first: int, threads: int | None
) -> Batch:
    """Sequences from number `first` on as tensors that share the sampler's memory: nothing is copied.

    inputs: (size, L, channels), BOS and all vectors but the last; true_mean: (size, L, channels); true_std: (L,); float32.
    """
    tokens, mean = law.tokens(size, seed=seed, channels=channels, first=first, threads=threads, dtype=np.float32)
    return {
        "inputs": torch.from_numpy(tokens)[:, :-1],
        "true_mean": torch.from_numpy(mean),
        "true_std": torch.from_numpy(law.conditional_std.astype(np.float32)),
    }


class GaussianTokens(IterableDataset[Batch]):  # type: ignore[misc]
    """An endless stream of batches of the Gaussian language (`gaussian_batch`), for `DataLoader(dataset, batch_size=None)`.

    Step s of rank r is a function of (seed, s, r) alone: the same with any number of workers, which take steps in turn, and
    after a resumption with `start`. With batch_size * ranks fixed, all ranks together see the same sequences at a step.

    Args:
        law: what is sampled.
        batch_size: sequences of vectors in a batch of one rank.
        channels: independent sequences side by side in a vector.
        seed: of the stream.
        start: first step.
        steps: how many; None: without end.
        rank, ranks: this process among those that train together.
        threads: of the sampler, in each worker.
    """

    def __init__(
        self,
        law: "HierarchicalGaussian",
        batch_size: int,
        *,
        channels: int = 64,
        seed: int = 0,
        start: int = 0,
        steps: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        threads: int = 1,
    ) -> None:
        if batch_size < 1 or start < 0 or not 0 <= rank < ranks:
            raise InputError(
                f"batch_size, start, rank, ranks: {batch_size}, {start}, {rank}, {ranks}; "
                "expected batch_size >= 1, start >= 0, 0 <= rank < ranks"
            )
        self.law, self.batch_size, self.channels, self.seed = law, batch_size, channels, seed
        self.start, self.steps, self.rank, self.ranks, self.threads = start, steps, rank, ranks, threads

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        first = (step * self.ranks + self.rank) * self.batch_size * self.channels
        return gaussian_batch(
            self.law, self.batch_size, channels=self.channels, seed=self.seed, first=first, threads=self.threads
        )

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        steps = count(self.start) if self.steps is None else range(self.start, self.start + self.steps)
        return map(self.batch, islice(steps, offset, None, stride))


class TextData:
    """Windows of a corpus at places drawn by the batch's number; one document in ten is held out.

    A batch: inputs (batch, L), the start token and all but the last of the window; targets (batch, L), the window. The start
    token is the pretrained model's own, else one more id than the corpus has.

    Raises:
        InputError: no such corpus, no document long enough, or a pretrained model of another tokenizer.
    """

    def __init__(self, config: TrainConfig, inputs: Inputs | None = None) -> None:
        inputs = inputs or find_inputs(config)
        assert inputs.corpus is not None
        self.config, self.corpus = config, inputs.corpus
        self.start_token = self.corpus.vocab_size
        if inputs.source is not None:
            from l2m.scoring.request import check_tokenizer
            from l2m.training.models.presets import backbone_config

            check_tokenizer(self.corpus, inputs.source)
            shape = backbone_config(config.preset, config.length, vocabulary=None, file=inputs.config_file)
            known = shape.get_text_config().vocab_size
            if self.corpus.vocab_size > known:
                raise InputError(
                    f"{config.corpus}: {self.corpus.vocab_size} ids; expected at most {known}, those of {config.preset}"
                )
            self.start_token = inputs.source.start_token()[0]
        lengths = np.diff(self.corpus.offsets)
        long_enough = np.flatnonzero(lengths >= config.length)
        held_out = long_enough[long_enough % HELD_OUT_SHARE == 0]
        trained = np.setdiff1d(long_enough, held_out)
        if not trained.size or not held_out.size:
            raise InputError(
                f"{config.corpus}: {trained.size} documents of at least {config.length} tokens to train on and "
                f"{held_out.size} to hold out; expected at least one of each"
            )
        self._trained, self._held_out = trained, held_out

    @property
    def held_out_corpus(self) -> Corpus:
        """The documents that are never trained on."""
        return self.corpus.select(self._held_out.tolist())

    def train(self, number: int, size: int) -> Batch:
        return self._batch(self._trained, np.random.default_rng([self.config.seed, 0, number]), size)

    def held_out(self, number: int, size: int) -> Batch:
        return self._batch(self._held_out, np.random.default_rng([self.config.seed, 1, number]), size)

    def _batch(self, documents: NDArray[np.int64], random: np.random.Generator, size: int) -> Batch:
        """Windows with equal odds for each place of the documents."""
        starts, ends = self.corpus.offsets[documents], self.corpus.offsets[documents + 1]
        places = np.cumsum(ends - starts - self.config.length + 1)
        drawn = random.integers(0, places[-1], size)
        which = np.searchsorted(places, drawn, side="right")
        first = starts[which] + drawn - np.concatenate([[0], places])[which]
        window = self.corpus.tokens[first[:, None] + np.arange(self.config.length)].astype(np.int64)
        inputs = np.concatenate([np.full((size, 1), self.start_token), window[:, :-1]], axis=1)
        return {"inputs": torch.from_numpy(inputs), "targets": torch.from_numpy(window)}


def open_data(config: TrainConfig, inputs: Inputs | None = None) -> GaussianData | TextData:
    """The data that a complete config names.

    Args:
        inputs: `find_inputs(config)`, where they have been found already.

    Raises:
        InputError: no such corpus, or no document long enough.
    """
    return GaussianData(config) if config.corpus is None else TextData(config, inputs)
