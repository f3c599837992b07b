"""The Ising model against what is known of it: the chain's correlation, Onsager's temperature, the exponent 1/4 of a spin."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import l2m
from l2m.truth.ising import CRITICAL, IsingModel, spin_information


@given(st.floats(-1, 1))
def test_information_of_two_spins_is_that_of_their_table(correlation: float) -> None:
    joint = np.array([1 + correlation, 1 - correlation, 1 - correlation, 1 + correlation]) / 4
    slow = sum(p * math.log(4 * p) for p in joint if p > 0)
    assert spin_information(correlation) == pytest.approx(slow, abs=1e-12)


def test_chain() -> None:
    model = IsingModel(1, 4096, 1.3)
    spins = model.sample(256, seed=0)
    for distance in (1, 2, 5):
        product = (2.0 * spins[:, distance:] - 1) * (2.0 * spins[:, :-distance] - 1)
        # 5 standard errors of a mean of 1e6 products whose neighbours are correlated over about 4 spins.
        assert product.mean() == pytest.approx(math.tanh(1 / 1.3) ** distance, abs=5 * 2 / math.sqrt(product.size))
        assert model.information(distance) == pytest.approx(float(spin_information(math.tanh(1 / 1.3) ** distance)))


def test_small_square_against_every_state() -> None:
    """Neighbours of a 4 x 4 lattice with helical boundaries, over its 65,536 states."""
    temperature, size = 2.5, 4
    model = IsingModel(2, 8, temperature)
    model.size = size  # smaller than what anyone should measure
    states = 2.0 * ((np.arange(1 << 16)[:, None] >> np.arange(16)) & 1) - 1
    energy = -sum((states * np.roll(states, -step, 1)).sum(1) for step in (1, size))
    weights = np.exp(-(energy - energy.min()) / temperature)
    exact = np.average((states * np.roll(states, -1, 1)).mean(1), weights=weights)
    spins = 2.0 * model.sample(600, seed=0, settle=50, between=2) - 1
    found = (spins * np.roll(spins, -1, 1)).mean(1)
    assert found.mean() == pytest.approx(exact, abs=5 * found.std() / math.sqrt(len(found) / 3))


def curve(temperature: float, distances: list[int], seed: int) -> l2m.TwoPointCurve:
    lattices = IsingModel(2, 256, temperature).sample(24, seed=seed, settle=100, between=10)
    corpus = l2m.Corpus(lattices.ravel(), np.arange(25) * lattices.shape[1])
    return l2m.two_point(corpus, distances=distances, within_document=False)


@pytest.mark.parametrize("seed", range(3))
def test_information_falls_as_the_root_of_distance_at_the_critical_temperature(seed: int) -> None:
    law = curve(CRITICAL, [2, 4, 8, 16], seed).fit(offset=False)
    low, high = law.interval("exponent")
    assert low < -0.5 < high
    assert high - low < 0.2


def test_and_exponentially_above_it() -> None:
    """The correlation is d^(-1/2) exp(-d / length): a power law with cutoff, and past the length an exponential does as well."""
    found = curve(1.2 * CRITICAL, [1, 2, 3, 4, 5, 6, 7, 8, 10, 12], 0)
    assert not found.fit(offset=False, min_distance=1).holds
    compared = l2m.compare_curves(found.distance, found.information, stderr=found.stderr)
    assert compared.best in ("exponential", "stretched exponential", "power law with cutoff")
    assert "faster than any power law." in compared.verdict
    far = found.distance >= 5
    verdict = l2m.compare_curves(found.distance[far], found.information[far], stderr=found.stderr[far]).verdict
    assert verdict.startswith("Not a power law: ")
    assert "an exponential" in verdict


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_row_of_the_table_by_other_seeds(seed: int) -> None:
    lattices = IsingModel(2, 512).sample(32, seed=seed, settle=200, between=10)
    corpus = l2m.Corpus(lattices.ravel(), np.arange(33) * lattices.shape[1])
    low, high = (
        l2m.two_point(corpus, distances=[4, 8, 16, 32], within_document=False)
        .fit(offset=False, min_distance=4)
        .interval("exponent")
    )
    assert low < -0.5 < high
    assert high - low < 0.12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimensions": 3}, "dimensions: 3"),
        ({"size": 1 << 14}, "size: 16384"),
        ({"temperature": 0.0}, "temperature: 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(l2m.InputError, match=message):
        IsingModel(**arguments)  # type: ignore[arg-type]


def test_one_seed_one_answer() -> None:
    first, second = (IsingModel(2, 16).sample(2, seed=3, settle=3, between=1) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    with pytest.raises(l2m.InputError, match="dimensions: 2; expected 1"):
        IsingModel(2, 16).information(1)
