"""Markov chains with known information."""

import numpy as np


def markov(transition, length, seed):
    """A stationary chain of `length` tokens."""
    random = np.random.default_rng(seed)
    cumulative = np.cumsum(transition, axis=1)
    uniform = random.random(length)
    tokens = np.empty(length, np.int64)
    state = random.choice(len(transition), p=stationary(transition))
    for i in range(length):
        tokens[i] = state
        state = int(np.searchsorted(cumulative[state], uniform[i]))
    return np.minimum(tokens, len(transition) - 1)


def stationary(transition):
    values, vectors = np.linalg.eig(np.array(transition).T)
    vector = np.real(vectors[:, np.argmax(np.real(values))])
    return vector / vector.sum()


def markov_information(transition, distance):
    """I(X_i; X_{i+d}) = sum_ab pi_a P^d_ab log(P^d_ab / pi_b)."""
    law, power = stationary(transition), np.linalg.matrix_power(np.array(transition), distance)
    return float((law[:, None] * power * np.log(power / law[None, :])).sum())
