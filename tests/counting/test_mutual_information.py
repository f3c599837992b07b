"""The information of two lists of labels."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=200),
    st.sampled_from([np.int8, np.int16, np.int32, np.int64]),
    st.sampled_from([np.uint8, np.uint16, np.uint32, np.uint64]),
)
def test_mutual_information_of_two_arrays(pairs, first, second):
    x, y = (np.array(side) for side in zip(*pairs, strict=True))
    tables = (np.unique(x, return_counts=True)[1], np.unique(y, return_counts=True)[1], list(Counter(pairs).values()))
    entropy = [l2m.entropy(table).value for table in tables]
    estimate = l2m.mutual_information(x.astype(first), y.astype(second), null="none")
    assert estimate.value == pytest.approx(entropy[0] + entropy[1] - entropy[2], abs=1e-12)
    # Labels are names: other names, far apart or negative, change nothing.
    renamed = l2m.mutual_information(x * 10**15, -y, null="none")
    assert (renamed.value, renamed.stderr) == pytest.approx((estimate.value, estimate.stderr), abs=1e-12, nan_ok=True)


def test_mutual_information_subtracts_what_scikit_learn_expects():
    from sklearn.metrics import mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

    random = np.random.default_rng(8)
    x, y = random.integers(0, 12, 300), random.integers(0, 9, 300)
    expected = expected_mutual_information(contingency_matrix(x, y, sparse=True), 300)
    estimate = l2m.mutual_information(x, y, estimator="plug-in")
    assert estimate.settings["null_level"] == pytest.approx(expected, abs=1e-10)
    assert estimate.value == pytest.approx(mutual_info_score(x, y) - expected, abs=1e-10)


def test_mutual_information_refuses_what_is_not_two_lists_of_labels():
    for x, y in (([1.0], [1]), ([1, 2], [1]), ([], []), ([[1]], [1]), (["a"], ["b"])):
        with pytest.raises(l2m.InputError):
            l2m.mutual_information(x, y)


@pytest.mark.parametrize(
    "x",
    [
        np.ma.array([1, 2, 3], mask=[0, 1, 0]),
        [1, None, 2],
        [1.5, 2.5, 3.5],
        [1, 2**64, 3],
        np.array([[1, 2, 3]]),
        np.array(["a", "b", "c"]),
        np.array([1, 2, float("nan")]),
    ],
)
def test_what_hides_a_value_or_is_none_is_refused(x):
    for pair in ((x, [1, 2, 3]), ([1, 2, 3], x)):
        with pytest.raises(l2m.InputError, match=r"^[xy]: ") as error:
            l2m.mutual_information(*pair)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 10**6},
        {"threads": -1},
        {"threads": "2"},
        {"groups": 1},
        {"groups": 2.5},
        {"null": "no"},
        {"estimator": 3},
    ],
)
def test_bad_options_are_named(options):
    with pytest.raises(l2m.InputError, match=f"^{next(iter(options))}: "):
        l2m.mutual_information([1, 2, 1, 2], [1, 2, 2, 1], **options)
