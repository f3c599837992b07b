"""The self-test: what it refuses and works around."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from scored import LENGTH, SOURCES


class Peeking:
    """Not causal: every value knows the last token."""

    def log_prob(self, tokens, state=None):
        return -1.0 - 0.1 * np.broadcast_to(tokens[:, -1:], tokens.shape), None


def test_a_model_that_sees_the_future_is_refused(tmp_path):
    corpus = l2m.Corpus(list(SOURCES["markov"].sample(4, LENGTH, seed=1)))
    with pytest.raises(l2m.InputError, match="causal"):
        scoring.score(corpus, Peeking(), out=tmp_path, length=LENGTH)
