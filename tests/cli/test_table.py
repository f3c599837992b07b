"""Tables of numbers: names, quotation marks, missing values, and files that are none."""

import os

import numpy as np
import pytest

import l2m
from l2m.cli.entropy import entropy
from l2m.cli.table import cells, read_table


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ('"1,000","2,000"', ["1,000", "2,000"]),
        ('1, "2"', ["1", "2"]),
        ('"a;b";2', ["a;b", "2"]),
        ('",5', ['"', "5"]),  # a count table in which the symbol is a quotation mark
        ('"\t5', ['"', "5"]),
        ('"",5', ["", "5"]),
        ("1  2", ["1", "2"]),
        ('"' + "a," * 100_000 + '"', None),
    ],
)
def test_a_separator_within_quotation_marks_is_part_of_its_field(line, fields):
    assert fields is None or cells(line) == fields


@pytest.mark.parametrize(
    "first",
    ["1,NA", "NA,3", "nan?,3", "1_000,2", "2x,3", "\u0663,2", "-,3", "none,4", '"1,000","2,000"', "1e5e,2", "+-3x,1"],
)
def test_a_first_row_that_is_no_number_is_not_taken_for_names(first, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(f"{first}\n1,2\n2,3\n")
    if first == "nan?,3":  # a name, as far as anyone can tell
        assert read_table(file).names == ["nan?", "3"]
    else:
        with pytest.raises(l2m.InputError, match=r"line 1 holds .*; expected numbers"):
            read_table(file)


@pytest.mark.parametrize("names", ["x,y", ",0", ' , "y"', "length,2", "l;I", "distance\tI (nats)"])
def test_names_that_look_like_numbers_may_follow_one_that_does_not(names, tmp_path):
    file = tmp_path / "a.csv"
    separator = next(mark for mark in ",;\t" if mark in names)
    file.write_text(f"{names}\n5{separator}2\n7{separator}3\n")
    assert np.array_equal(read_table(file).columns, [[5, 7], [2, 3]])


@pytest.mark.parametrize("symbols", ["characters", "bytes", "words"])
def test_pipes_and_devices_are_not_opened(symbols, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 1 << 40)
    for name in ("pipe", "zero", "large"):
        with pytest.raises(l2m.InputError, match=name):
            read_table(tmp_path / name)
        with pytest.raises(l2m.InputError, match=name):
            entropy(tmp_path / name, content="text", symbols=symbols)


def test_a_missing_value_is_no_line_of_names(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("NA\n1\n2\n2\n")
    with pytest.raises(l2m.InputError, match="'NA' among the numbers"):
        entropy(file, content="numbers")
