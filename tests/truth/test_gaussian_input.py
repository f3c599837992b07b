"""What the Gaussian language is given from outside: masks, gaps, shapes and types."""

import math

import numpy as np
import pytest

import l2m

LAW = l2m.HierarchicalGaussian(2)


@pytest.mark.parametrize(
    "bad", [np.ma.array([1.0, 2], mask=[0, 1]), [1, None], ["1", "2"], [[1, 2], [3]], "ab", {0: 1}, None]
)
def test_a_filter_reads_numbers_that_are_there(bad):
    with pytest.raises(l2m.InputError, match="z: "):
        LAW.filter(2).step(bad)


def test_positions_broadcast():
    with pytest.raises(l2m.InputError, match=r"i, j: shapes \(3,\) and \(2,\)"):
        LAW.correlation([1, 2, 3], [1, 2])
    with pytest.raises(l2m.InputError, match="i, j: "):
        LAW.two_point_information([], [1, 2])


@pytest.mark.parametrize("bad", [None, 2, [2, None], [2, 2.5], [[2]], "23", [0], [math.nan], [10**5000]])
def test_layers_of_frontier_curves_are_whole_numbers(bad):
    with pytest.raises(l2m.InputError, match="layers: "):
        l2m.frontier_curves(bad, [1], constants=False)


@pytest.mark.parametrize("bad", [None, 2, "log:1", b"12", {1: 2}, [None], [[1, [2]]], [math.nan]])
def test_states_of_frontier_curves_are_a_list(bad):
    with pytest.raises(l2m.InputError, match="state"):
        l2m.frontier_curves([2], bad, constants=False)


def test_a_state_of_many_digits_is_no_state_that_binds():
    assert LAW.frontier("9" * 5000).mean_kl == LAW.frontier(16).mean_kl
