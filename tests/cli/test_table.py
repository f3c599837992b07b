"""Tables from text files: columns by number first, names once, numbers of any size."""

from pathlib import Path

import pytest

from l2m import InputError
from l2m.cli.table import is_number, read_table


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    return path


def test_columns_by_number_then_by_name(tmp_path: Path) -> None:
    read = read_table(table(tmp_path, "2,1\n10,20\n30,40\n"))  # no names
    assert read.column("1", "x").tolist() == [2, 10, 30]
    read = read_table(table(tmp_path, "d,2,1\n1,3,5\n2,4,6\n"))
    assert read.column("2", "x").tolist() == [3, 4]
    assert read.column("d", "x").tolist() == [1, 2]


def test_the_unnamed_index_of_pandas_is_no_column(tmp_path: Path) -> None:
    read = read_table(table(tmp_path, ",0,1\n0,1,3\n1,4,6\n2,16,12\n"))
    assert read.column("1", "x").tolist() == [1, 4, 16]
    assert read.column("2", "y").tolist() == [3, 6, 12]
    assert read.column("0", "x").tolist() == [1, 4, 16]
    kept = read_table(table(tmp_path, ",a\n5,1\n7,3\n"))  # it does not number the rows
    assert kept.column("1", "x").tolist() == [5, 7]


def test_a_name_twice_is_refused_and_a_number_is_not(tmp_path: Path) -> None:
    read = read_table(table(tmp_path, "d,I,I\n1,3,5\n4,6,1.25\n"))
    with pytest.raises(InputError, match="columns 2 and 3 are both named 'I'; expected a number for y"):
        read.column("I", "y")
    assert read.column("3", "y").tolist() == [5, 1.25]
    for which in ("0", "4", "-1", "9" * 30, "²"):
        with pytest.raises(InputError, match="no column"):
            read.column(which, "y")


def test_line_ends_and_comments(tmp_path: Path) -> None:
    read = read_table(table(tmp_path, "\ufeffx;y\r\n# words\r\n\r\n1;2\r\n3;4\r\n"))
    assert read.names == ["x", "y"]
    assert read.column("y", "y").tolist() == [2, 4]


def test_what_is_a_number() -> None:
    assert all(map(is_number, ("1", "-1.5", "+.5", "2.", "1e400", "9" * 5000)))
    assert not any(map(is_number, ("", "nan", "inf", "1_000", "0x10", "²", "1 2", "e5", ".")))
