"""alpha_D = gamma / (2 b): the published numbers, and an interval that covers."""

import math

import numpy as np
import pytest

import l2m


@pytest.mark.parametrize(
    ("gamma", "decay", "expected"),
    [((0.265, 0.016), (0.94, 0.16), (0.141, 0.025)), ((0.325, 0.0), (0.88, 0.0), (0.185, 0.0))],
)
def test_published_values(gamma, decay, expected):
    """WikiText-103 and TinyStories (Cagnetta et al. 2026)."""
    found = l2m.learning_exponent(gamma, decay)
    assert float(found) == pytest.approx(expected[0], abs=5e-4)
    assert found.stderr == pytest.approx(expected[1], abs=1e-3)
    assert "alpha_D = gamma / (2 b)" in found.explain()


def test_the_interval_covers():
    random = np.random.default_rng(0)
    gamma, decay = random.normal(0.3, 0.03, 4_000), random.normal(0.9, 0.15, 4_000)
    inside = 0
    for g, b in zip(gamma, decay, strict=True):
        found = l2m.learning_exponent((g, 0.03), (b, 0.15))
        inside += found.low <= 0.3 / 1.8 <= found.high
    # Fieller's interval is exact for normal errors: 3,800 expected with a standard deviation of 14.
    assert abs(inside - 3_800) < 4 * 14


def test_an_unresolved_decay_bounds_nothing_above():
    found = l2m.learning_exponent((0.3, 0.01), (0.1, 0.2))
    assert found.low == 0
    assert math.isinf(found.high)


@pytest.mark.parametrize("bad", [(-0.1, 0.1), (0.3, -1), 0.3, (0.3,), (math.nan, 0.1), ("a", 0)])
def test_bad_values_are_named(bad):
    with pytest.raises(l2m.InputError, match=r"^gamma"):
        l2m.learning_exponent(bad, (0.9, 0.1))
    with pytest.raises(l2m.InputError, match=r"^decay"):
        l2m.learning_exponent((0.3, 0.1), bad)
