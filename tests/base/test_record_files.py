"""Saved records that are damaged, edited or made up: refused in one line that names the file and the field."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import l2m
from example_records import KINDS, example
from l2m.base.files import write_json, write_sealed
from l2m.base.records import _KINDS


def refused(path: Path) -> str:
    with pytest.raises(l2m.InputError) as caught:
        l2m.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def loaded(path: Path) -> Any:
    """The record, or None where it was refused as it should be."""
    try:
        return l2m.load(path)
    except l2m.InputError as error:
        message = str(error)
    assert str(path) in message
    assert "\n" not in message
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back(kind: str, tmp_path: Path) -> None:
    record = example(_KINDS[kind])
    record.save(tmp_path / "record.json")
    again = l2m.load(tmp_path / "record.json")
    assert type(again) is type(record)
    assert again.to_dict() == record.to_dict()


def test_every_flipped_bit_and_every_cut_is_named(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    l2m.entropy([5, 3, 2]).save(path)
    whole = path.read_bytes()
    generator = random.Random(0)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << generator.randrange(7))]) + whole[place + 1 :])
        found = loaded(path)
        assert found is None or found.to_dict() == l2m.entropy([5, 3, 2]).to_dict()  # white space
    for size in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:size])
        refused(path)


def test_a_digit_changed_by_hand_is_named(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    l2m.entropy([5, 3, 2]).save(path)
    text = path.read_text()
    path.write_text(text.replace('"samples": 10', '"samples": 11'))
    assert "checksum differs" in refused(path)
    path.write_text(text.replace("checksum", "checksun"))
    assert "checksum differs" in refused(path)


def test_records_of_schema_1_have_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    value = l2m.entropy([5, 3, 2]).to_dict()
    write_json(path, {**value, "schema": 1})
    assert l2m.load(path).to_dict() == value
    write_json(path, value)
    assert "checksum" in refused(path)
    write_json(path, {**value, "schema": 3})
    assert "schema 3; this version of l2m reads schemas 1 to 2" in refused(path)
    write_json(path, {**value, "schema": True})
    assert "schema True" in refused(path)


ARRAY = {"dtype": "<f8", "shape": [2], "data": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("information", {**ARRAY, "dtype": "S13000000000"}, "information: dtype 'S13000000000'"),
        ("information", {**ARRAY, "dtype": "O"}, "information: dtype 'O'"),
        ("information", {**ARRAY, "dtype": "U4000000000"}, "information: dtype"),
        ("information", {**ARRAY, "dtype": "<U4000000000", "data": ["a", "b"]}, "information: an array of <U1"),
        ("information", {**ARRAY, "dtype": "<f8,<f8"}, "information: dtype '<f8,<f8'"),
        ("information", {**ARRAY, "dtype": ["<f8"]}, "information: dtype a list"),
        ("information", {**ARRAY, "shape": [1000, 1000, 1000]}, "information: 2 values for shape [1000, 1000, 1000]"),
        ("information", {**ARRAY, "shape": [-1]}, "information: 2 values for shape [-1]"),
        ("information", {**ARRAY, "shape": [2.0]}, "information: 2 values for shape [2.0]"),
        ("information", {**ARRAY, "shape": [2] + [1] * 99}, "information: 2 values for shape"),
        ("information", {**ARRAY, "shape": [0, 2**60], "data": []}, "information: "),
        ("information", {**ARRAY, "data": [1.0, "two"]}, "information: 'two'; expected values of type <f8"),
        ("information", {**ARRAY, "data": [1.0, None]}, "information: null; expected values of type <f8"),
        ("information", {**ARRAY, "data": [1.0, [2.0]]}, "information: a list; expected values of type <f8"),
        ("information", {**ARRAY, "data": [1.0, True]}, "information: True; expected values of type <f8"),
        ("information", {**ARRAY, "data": [10**400, 1]}, "information: not an array of <f8"),
        ("information", [1.0, 2.0], "information: a list; expected an array"),
        ("information", None, "information: null; expected an array"),
        ("distance", {**ARRAY, "dtype": "<i8"}, "distance: 1.0; expected values of type <i8"),
        ("distance", {**ARRAY, "dtype": "<i2", "data": [1, 70000]}, "distance: not an array of <i2"),
        ("distance", ARRAY, "distance: an array of float64; expected integers"),
        (
            "distance",
            {"dtype": "<i8", "shape": [3], "data": [1, 2, 3]},
            "correlation: 2 distances; expected 3, as distance has",
        ),
        ("unit", "bans", "unit: 'bans'; expected 'nats' or 'bits'"),
        ("unit", 3, "unit: 3; expected text"),
        ("settings", [1], "settings: a list; expected an object"),
        ("settings", {"a": {"kind": "no such", "schema": 2}}, "settings.a: kind 'no such'"),
        ("settings", {"a": {"kind": ["x"], "schema": 2}}, "settings.a"),
        ("settings", {"a": {"kind": "estimate", "schema": 2, "value": "much"}}, "settings.a.value: 'much'"),
        ("surprise", 1, "'surprise' unknown"),
    ],
)
def test_fields_of_the_wrong_type_are_named(tmp_path: Path, field: str, value: Any, words: str) -> None:
    record = l2m.GaussianTwoPoint(np.array([1, 2]), np.array([0.5, 0.2]), np.array([0.1, 0.1]))
    path = tmp_path / "record.json"
    write_sealed(path, {**record.to_dict(), field: value})
    assert words in refused(path)


HOSTILE: list[Any] = [
    *(None, True, -1, 2**70, 10**400, 1e308, 0.5, "", "nan", "text", [], {}, [[1]], [None], {"kind": "estimate"}),
    *(
        {"kind": "power law", "schema": 2},
        {"kind": "estimate", "schema": [1]},
        {"dtype": "<f8", "shape": [], "data": []},
    ),
    *({"dtype": "S9000000000", "shape": [1], "data": ["x"]}, {"dtype": "<f8", "shape": [10**9], "data": [1.0]}),
    *({"dtype": "<i8", "shape": [1], "data": [2**64]}, {"dtype": "<f8", "shape": [3], "data": ["nan", 1, "x"]}),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for key, item in items for place in places(item, (*path, key))]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_records_with_a_true_checksum_load_or_are_refused(kind: str, tmp_path: Path) -> None:
    whole = example(_KINDS[kind]).to_dict()
    generator = random.Random(kind)
    everywhere = places(whole)
    for _ in range(60):
        value = copy.deepcopy(whole)
        *above, last = generator.choice(everywhere)
        inside = value
        for key in above:
            inside = inside[key]
        if generator.random() < 0.2:
            del inside[last]
        else:
            inside[last] = generator.choice(HOSTILE)
        write_sealed(tmp_path / "record.json", value)
        repr(loaded(tmp_path / "record.json"))


def test_other_files_are_no_records(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    for content in (
        "",
        "{",
        "[]",
        "3",
        '"text"',
        "null",
        "\x00\xff",
        '{"kind": {}}',
        '{"kind": ["estimate"], "schema": 1}',
    ):
        path.write_text(content)
        refused(path)
    path.write_text("[" * 100_000)
    refused(path)
    deep = '{"kind": "estimate", "schema": 1, "value": 1.0, "settings": {"a": ' + "[" * 900 + "]" * 900 + "}}"
    path.write_text(deep)
    loaded(path)
    path.write_bytes(b"\xff\xfe{}")
    refused(path)
    assert json.loads(json.dumps(l2m.entropy([1, 2]).to_dict()))["schema"] == 2


def test_text_stays_text(tmp_path: Path) -> None:
    made = l2m.Estimate(1.0, estimator="nan", warning="inf")
    made.save(tmp_path / "record.json")
    assert l2m.load(tmp_path / "record.json").estimator == "nan"


def test_a_record_in_a_word_a_table_and_a_notebook() -> None:
    curve = l2m.two_point(np.arange(4000) % 7, [1, 2, 3], groups=None)
    assert len(repr(curve)) < 900
    assert "<table>" in curve._repr_html_()
    assert "estimator" in l2m.entropy([3, 2])._repr_html_()


def test_a_missing_pandas_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    for record in (l2m.entropy_table([3, 2]), l2m.HierarchicalGaussian(2).growth()):
        with pytest.raises(l2m.InputError, match=r"pip install 'l2m-scaling\[frames\]'"):
            record.to_frame()
