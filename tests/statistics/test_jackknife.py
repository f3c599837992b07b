"""The delete-one-group jackknife against its definition and against itself."""

import warnings

import numpy as np
import pytest

from l2m.statistics.jackknife import groups_of_windows, jackknife_errors, means_without_each


def test_equal_shares_give_the_formula_of_equal_groups():
    replicates = np.random.default_rng(0).normal(size=(12, 5))
    stderr, covariance = jackknife_errors(replicates)
    for shares in (np.full(12, 1 / 12), np.full((12, 5), 1 / 12)):
        other = jackknife_errors(replicates, replicates.mean(0), shares)
        assert other[0] == pytest.approx(stderr, rel=1e-12)
        assert other[1] == pytest.approx(covariance, rel=1e-12, abs=1e-15)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(1).normal(size=(30, 2))
    replicates = means_without_each(values, np.arange(30), 30)
    stderr, _ = jackknife_errors(replicates)
    assert stderr == pytest.approx(values.std(axis=0, ddof=1) / np.sqrt(30), rel=1e-12)


def test_groups_without_data_for_a_value_are_no_groups_of_it():
    generator = np.random.default_rng(2)
    replicates, sizes = generator.normal(size=(6, 3)), generator.integers(1, 9, (6, 3)).astype(float)
    sizes[4:, 0] = 0
    sizes[1:, 1] = 0
    stderr, covariance = jackknife_errors(replicates, np.ones(3), sizes / sizes.sum(0))
    alone, _ = jackknife_errors(replicates[:4, :1], np.ones(1), sizes[:4, :1] / sizes[:4, :1].sum())
    assert stderr[0] == pytest.approx(alone[0], rel=1e-12)
    assert np.isnan(stderr[1])
    assert np.isnan(covariance[1]).all()
    assert np.sqrt(covariance[2, 2]) == pytest.approx(stderr[2])
    assert np.isnan(jackknife_errors(np.ones((1, 2)))[0]).all()


def test_few_documents_leave_by_window_and_a_group_with_all_data_is_none():
    assert groups_of_windows(np.array([3, 3, 5]))[2] == "windows"
    names, label, unit = groups_of_windows(np.repeat(np.arange(8) * 2, 2))
    assert unit == "documents"
    assert names[label].tolist() == np.repeat(np.arange(8) * 2, 2).tolist()
    assert means_without_each(np.ones((4, 1)), np.zeros(4, int), 2).tolist() == [[1.0]]


@pytest.mark.parametrize("shares", [None, np.full(4, 0.25)])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_value_with_a_replicate_that_is_not_finite_has_no_error_and_its_neighbours_keep_theirs(
    shares: np.ndarray | None, bad: float
) -> None:
    replicates = np.random.default_rng(3).normal(size=(4, 2))
    expected, _ = jackknife_errors(replicates, np.zeros(2), shares)
    replicates[2, 1] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stderr, covariance = jackknife_errors(replicates, np.zeros(2), shares)
    assert stderr[0] == expected[0]
    assert np.isnan(stderr[1])
    assert np.isnan(covariance[1]).all()
