"""The exact permutation null: against scikit-learn, permutations, and the exact sum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m
from l2m import _core


def expected(x, y, estimator="plug-in", exact=False):
    margins = [(table.counts, table.symbols) for table in (l2m.fingerprint(x), l2m.fingerprint(y))]
    return _core.expected_joint_entropy(*margins, estimator, exact)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=80), st.integers(0, 1000))
def test_the_plug_in_null_is_scikit_learns(x, seed):
    from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

    y = np.random.default_rng(seed).integers(0, 4, len(x))
    counts = [np.unique(side, return_counts=True)[1] for side in (x, y)]
    entropy = [l2m.entropy(table, "plug-in").value for table in counts]
    theirs = expected_mutual_information(contingency_matrix(x, y, sparse=True), len(x))
    assert entropy[0] + entropy[1] - expected(*counts) == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize("estimator", ["grassberger", "plug-in"])
def test_the_null_is_the_mean_over_permutations(estimator):
    random = np.random.default_rng(0)
    x, y = random.integers(0, 8, 120), random.choice(6, 120, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    values = []
    for _ in range(4000):
        table = np.bincount(random.permutation(x) * 6 + y)
        values.append(l2m.entropy(table, estimator).value)
    counts = [np.bincount(side) for side in (x, y)]
    standard_error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - expected(*counts, estimator)) < 4 * standard_error


@pytest.mark.parametrize("estimator", ["grassberger", "plug-in"])
def test_the_expansion_is_the_exact_sum_at_three_million_pairs(estimator):
    random = np.random.default_rng(1)
    weights = 1 / (np.arange(5000) + 2.7)
    margins = [random.multinomial(3_000_000, weights / weights.sum()) for _ in range(2)]
    assert expected(*margins, estimator) == pytest.approx(expected(*margins, estimator, exact=True), abs=1e-6)


def test_margins_must_hold_the_same_pairs():
    with pytest.raises(l2m.InputError, match="margins"):
        expected([1, 2], [1, 1])
