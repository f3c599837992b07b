"""Files that are whole or absent."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from l2m.base import files
from l2m.base.files import atomic_write, temporary_path

KILLED = "import os, sys\nfrom l2m.base.files import atomic_write\nwith atomic_write(sys.argv[1]) as file: file.write(b'half'); os._exit(9)"


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.json")], check=False)
    assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"]
    with atomic_write(tmp_path / "b.json", "w") as file:
        file.write("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


def test_what_living_processes_write_stays(tmp_path: Path) -> None:
    mine = temporary_path(tmp_path / "a.json")
    mine.write_text("another thread is at it")
    with atomic_write(tmp_path / "b.json", "w") as file:
        file.write("whole")
    assert mine.exists()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_of_the_system_names_the_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(OSError, match=r"a\.json") as caught, atomic_write(tmp_path / "a.json") as file:
        file.write(b"x")
    assert caught.value.filename == str(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_names_the_file_and_not_its_temporary_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "absent" / "a.json"):
        pass
    assert caught.value.filename == str(tmp_path / "absent" / "a.json")


def test_another_error_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "a.json"):
        open(tmp_path / "source")  # noqa: SIM115
    assert caught.value.filename == str(tmp_path / "source")
