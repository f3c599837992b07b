"""The Ising model read along a line: spins whose correlation is a power law at one temperature and exponential at all others.

One dimension: tanh(1/T)^d at every T. Two dimensions, at T_c = 2 / log(1 + sqrt 2): the correlation of two spins of one row
falls as 0.70338 d^(-1/4) (Wu 1966; McCoy & Wu 1973), and their information, half its square where it is small, as d^(-1/2).
Above and below T_c it falls exponentially, below towards a constant that the magnetisation leaves.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.progress import Progress
from l2m.errors import InputError

CRITICAL = 2 / math.log(1 + math.sqrt(2))
"""Temperature in units of the coupling, Boltzmann's constant 1: Onsager's."""
LARGEST = {1: 1 << 24, 2: 1 << 13}
"""Spins along a side."""


class IsingModel:
    """The Ising model without field, coupling 1, in one dimension or two, read along one line.

    In two dimensions the square lattice has helical boundaries: row after row it is one line through all spins, in which
    neighbours of a column are `size` apart, and no pair of the line straddles an edge.

    Two dimensions are drawn by Swendsen & Wang's (1987) clusters, which move at T_c too: the first lattice after `settle` sweeps
    from all spins up, each further one after `between`.

    Args:
        dimensions: 1 or 2.
        size: spins along a side, 8 to 8,192 (of a chain, to 16,777,216). In two dimensions use distances up to size / 16:
            beyond them the correlation rises since the lattice ends.
        temperature: above 0; None: the critical one of two dimensions.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> from l2m.truth.ising import IsingModel
        >>> round(float(IsingModel(1, 64, 1.0).information(1)), 4)
        0.3277
    """

    def __init__(self, dimensions: int = 2, size: int = 1024, temperature: float | None = None) -> None:
        self.dimensions = checks.whole("dimensions", dimensions, 1, 2)
        self.size = checks.whole("size", size, 8, LARGEST[self.dimensions])
        self.temperature = CRITICAL if temperature is None else checks.real("temperature", temperature, 0, above=True)
        self.settings: dict[str, Any] = {
            "name": "Ising model", "dimensions": self.dimensions, "size": self.size, "temperature": self.temperature,
        }  # fmt: skip

    def information(self, distance: int) -> float:
        """I of two spins of a long chain at this distance, exact, in nats.

        Raises:
            InputError: two dimensions, where no closed form is at hand.
        """
        if self.dimensions == 2:
            raise InputError("dimensions: 2; expected 1, whose correlation is tanh(1/T)^d")
        return float(spin_information(math.tanh(1 / self.temperature) ** checks.whole("distance", distance, 1)))

    def sample(
        self, lattices: int, *, seed: int = 0, settle: int = 200, between: int = 20, progress: Progress | None = None
    ) -> NDArray[np.uint8]:
        """Lattices of spins 0 and 1.

        Args:
            settle: sweeps before the first lattice of two dimensions.
            between: sweeps from one to the next.
            progress: called with (lattices done, lattices).

        Returns:
            (lattices, spins): `size` spins of a chain, `size` squared of a square, row after row.
        """
        lattices = checks.whole("lattices", lattices, 1, 1 << 20)
        settle, between = checks.whole("settle", settle, 0), checks.whole("between", between, 1)
        random = np.random.default_rng(checks.whole("seed", seed, 0, checks.LARGEST))
        if self.dimensions == 1:
            return self._chains(lattices, random)
        spins = np.ones(self.size**2, np.uint8)
        out = np.empty((lattices, spins.size), np.uint8)
        for number in range(lattices):
            for _ in range(between if number else settle):
                spins = self._sweep(spins, random)
            out[number] = spins
            if progress is not None:
                progress(number + 1, lattices)
        return out

    def _chains(self, count: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Open chains, exact: neighbours differ with probability 1 / (1 + exp(2/T)), independently."""
        flips = random.random((count, self.size)) < 1 / (1 + math.exp(min(700.0, 2 / self.temperature)))
        flips[:, 0] = random.random(count) < 0.5
        return (np.cumsum(flips, axis=1) % 2).astype(np.uint8)

    def _sweep(self, spins: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """Join equal neighbours with probability 1 - exp(-2/T), and give each cluster a new spin."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        sites = np.arange(spins.size, dtype=np.int32)
        joined = -math.expm1(-2 / self.temperature)
        bonds = [
            (sites[kept], np.roll(sites, -step)[kept])
            for step in (1, self.size)
            for kept in [(spins == np.roll(spins, -step)) & (random.random(spins.size, np.float32) < joined)]
        ]
        first, second = (np.concatenate(side) for side in zip(*bonds, strict=True))
        graph = coo_array((np.ones(first.size, np.uint8), (first, second)), shape=(spins.size, spins.size))
        clusters, label = connected_components(graph, directed=False)
        return random.integers(0, 2, clusters, dtype=np.uint8)[label]


def spin_information(correlation: Any) -> Any:
    """I of two spins with equal chances of up and down, in nats: sum of (1 +- c)/2 log(1 +- c)."""
    c = np.abs(np.asarray(correlation, float))
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.where(c < 1, (1 - c) * np.log1p(-c), 0.0)
    return ((1 + c) * np.log1p(c) + below) / 2
