"""Records survive saving; files are whole or absent."""

import dataclasses
import json
import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import l2m
from l2m.base.files import atomic_write


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Sample(l2m.Record):
    kind: ClassVar[str] = "sample"
    information_fields: ClassVar[tuple[str, ...]] = ("value", "curve")
    squared_fields: ClassVar[tuple[str, ...]] = ("covariance",)

    value: float
    curve: NDArray[np.float64]
    covariance: NDArray[np.float64]
    inner: "Sample | None" = None


@given(st.floats(), st.lists(st.floats(), max_size=5))
def test_saved_values_come_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, value: float, curve: list[float]
) -> None:
    path = tmp_path_factory.mktemp("records") / "sample.json"
    array = np.array(curve, float)
    inner = Sample(value, array, np.ones((3, 3)))
    Sample(value, array, np.ones((2, 0)), inner, settings={"seed": 3, "distances": [1, 2]}).save(path)
    loaded = l2m.load(path)
    assert np.array_equal(loaded.curve, array, equal_nan=True)
    assert np.array_equal(np.float64(loaded.inner.value), np.float64(value), equal_nan=True)
    assert loaded.covariance.shape == (2, 0)
    assert loaded.settings == {"seed": 3, "distances": (1, 2)}
    json.loads(path.read_text(), parse_constant=pytest.fail)  # strict JSON: no NaN, no Infinity


def test_bits_scale_values_and_squares() -> None:
    sample = Sample(math.log(2), np.array([math.log(4)]), np.array([[math.log(2) ** 2]]))
    bits = sample.to("bits")
    assert bits.value == pytest.approx(1, rel=1e-15)
    assert bits.curve == pytest.approx([2], rel=1e-15)
    assert bits.covariance == pytest.approx(np.ones((1, 1)), rel=1e-15)
    assert bits.to("bits") is bits
    with pytest.raises(l2m.InputError, match="expected 'nats' or 'bits'"):
        sample.to("bans")


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not a JSON file"), ("[]", "kind None"), ('{"kind": "sample", "schema": 99}', "schema 99")],
)
def test_a_file_that_is_no_record_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "thing.json"
    path.write_text(content)
    with pytest.raises(l2m.InputError, match=message) as caught:
        l2m.load(path)
    assert str(path) in str(caught.value)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail_half_way() -> None:
        with atomic_write(path, "w") as file:
            file.write("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_field_with_a_default_may_be_missing_and_others_may_not():
    value = l2m.entropy([1, 2, 3]).to_dict()
    again = type(l2m.entropy([1])).from_dict({key: item for key, item in value.items() if key != "settings"})
    assert again.settings == {}
    with pytest.raises(l2m.InputError, match="missing"):
        l2m.Estimate.from_dict({key: item for key, item in value.items() if key != "value"})
