"""What the tests of scoring share: sources known exactly, a scorer that counts, a plain pass to compare with."""

import numpy as np

import l2m
from l2m import scoring
from l2m.truth.sources import CopySource, LatentSource, MarkovSource

LENGTH = 64


def strong_chain(symbols=8, noise=0.04):
    """A cycle that goes astray now and then: I is 1.8 nats, so that 1,000 windows give a standard error below 2 % of it."""
    cycle = np.roll(np.eye(symbols), 1, axis=1)
    uneven = np.arange(1, symbols + 1) / np.arange(1, symbols + 1).sum()
    return MarkovSource((1 - noise) * cycle + noise * uneven)


SOURCES = {
    "markov": strong_chain(),
    "latent": LatentSource(np.linspace(0.02, 0.98, 9)),
    "copy": CopySource(8, 5, 0.2),
}


def measured(source, tmp_path, *, windows=3000, scorer=None, **options):
    ids = source.sample(windows, LENGTH, seed=3)
    return scoring.score(l2m.Corpus(list(ids)), scorer or source, out=tmp_path / "scores", length=LENGTH, **options)


def full_pass(model, prefix, targets):
    """Slow and obvious: log q(targets | start token 1, prefix), one sequence, no state, all logits."""
    import torch

    both = torch.tensor([[1, *map(int, prefix), *map(int, targets)]])
    with torch.no_grad():
        logits = model(both[:, :-1], use_cache=False).logits[0].double()
    return torch.log_softmax(logits, 1)[torch.arange(both.size(1) - 1), both[0, 1:]].numpy()[len(prefix) :]


class Counting:
    """A scorer that counts the tokens it is asked for."""

    def __init__(self, scorer):
        self.scorer, self.settings, self.tokens = scorer, scorer.settings, 0

    def log_prob(self, tokens, state=None):
        self.tokens += tokens.size
        return self.scorer.log_prob(tokens, state)


def self_test_tokens(length, stops):
    """One plain pass; a batch of two; two again from the last cut; passes over the first tokens."""
    return length + 2 * length + 2 * (length - stops[-1]) + sum({stops[0], min(32, length // 2), length // 2})


def files_of(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name[0] != "."
    }
