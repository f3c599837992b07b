"""Arguments are checked in one place: what is taken, and the one line for what is not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2m.base import checks
from l2m.errors import InputError


@given(st.integers(-(2**70), 2**70))
def test_whole_takes_what_lies_in_range(value: int) -> None:
    if 1 <= value <= 2**63 - 1:
        assert checks.whole("n", value, 1) == value
    else:
        with pytest.raises(InputError, match=r"^n: "):
            checks.whole("n", value, 1)


@pytest.mark.parametrize("value", [np.int8(3), np.uint64(3), np.array(3)])
def test_whole_takes_integers_of_numpy(value: Any) -> None:
    assert checks.whole("n", value) == 3


@pytest.mark.parametrize("value", [True, np.True_, 2.7, 3.0, "3", None, [3], 2**63, -1, float("nan")])
def test_whole_refuses(value: Any) -> None:
    with pytest.raises(InputError, match=r"^n: .*; expected a whole number, 0 or more"):
        checks.whole("n", value)


@pytest.mark.parametrize("value", ["12", 5, {"a": 1}.keys()])
def test_wholes_refuses_what_is_no_list_of_them(value: Any) -> None:
    with pytest.raises(InputError, match=r"^distances: "):
        checks.wholes("distances", value)


@pytest.mark.parametrize("value", [True, "1", float("nan"), float("inf"), None, 1j, 0.0, -1])
def test_real_refuses(value: Any) -> None:
    with pytest.raises(InputError, match=r"^threshold: .*expected a finite number above 0"):
        checks.real("threshold", value, 0, above=True)


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(InputError, match="did you mean 'grassberger'"):
        checks.one_of("estimator", "grasberger", ("plug-in", "grassberger"))


@pytest.mark.parametrize("value", [0, -1, 10**6, 2**63, 2**200, 1.5, "2", True])
def test_threads_are_bounded(value: Any) -> None:
    with pytest.raises(InputError, match=r"^threads: "):
        checks.threads(value)


def test_threads_default_to_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", "3")
    assert checks.threads(None) == 3
    assert checks.threads(7) == 7


@pytest.mark.parametrize(
    ("value", "size"),
    [("2GiB", 2**31), ("500 MB", 5 * 10**8), ("1e9", 10**9), (7, 7), ("1.5k", 1500), ("64Ki", 65536), (None, None)],
)
def test_memory(value: Any, size: int | None) -> None:
    assert checks.memory(value) == size


@pytest.mark.parametrize("value", ["", "GiB", "-1", "nan", "inf", "1 parsec", 0, -5, True, 2.5, 2**63])
def test_memory_refuses(value: Any) -> None:
    with pytest.raises(InputError, match=r"^memory: "):
        checks.memory(value)


HIDDEN = [
    np.ma.array([1, 2], mask=[0, 1]),
    [1, None],
    np.array([1, None], dtype=object),
    pd.Series([1, None], dtype="Int64"),
    pd.array([1, pd.NA], dtype="Int64"),
    [[1, 2], [3]],
    [2**70, 1],
    ["1", "2"],
    np.array([b"1"]),
    [object()],
]


@pytest.mark.parametrize("value", HIDDEN)
def test_no_array_hides_or_loses_an_entry(value: Any) -> None:
    with pytest.raises(InputError, match=r"^ids: "):
        checks.integers("ids", value)
    with pytest.raises(InputError, match=r"^ids: "):
        checks.reals("ids", value)


@pytest.mark.parametrize("value", [[0.5], [float("nan")], [2.0**53], [-1], [[1]], 1, [True], [1j]])
def test_integers_refuses(value: Any) -> None:
    with pytest.raises(InputError, match=r"^ids: "):
        checks.integers("ids", value)


@pytest.mark.parametrize(
    "value", [[1, 2], (1, 2), [1.0, 2.0], np.uint16([1, 2]), pd.Series([1, 2]), pd.Series([1, 2], dtype="Int64"),
              np.ma.array([1, 2], mask=[0, 0])]
)  # fmt: skip
def test_integers_takes(value: Any) -> None:
    array = checks.integers("ids", value)
    assert array.dtype.kind in "iu"
    assert array.tolist() == [1, 2]


def test_integers_beyond_the_range_are_named_and_do_not_wrap() -> None:
    with pytest.raises(InputError, match="ids: holds 4294967296; expected 0 to 4294967295"):
        checks.integers("ids", [1, 2**32], high=2**32 - 1)
    assert checks.integers("ids", np.uint64([2**64 - 1]), high=2**64 - 1)[0] == 2**64 - 1
