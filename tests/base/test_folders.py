"""One folder, one run: refused, locked and cleaned in one place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from l2m.base.files import atomic_write, clear_temporaries, read_sealed, temporary_path, write_json, write_sealed
from l2m.base.folders import claim, first_difference, lock, require_own, require_same
from l2m.errors import InputError


def test_the_first_difference_is_named_with_its_path() -> None:
    held = {"corpus": {"hash": "a", "documents": 3}, "length": 8}
    assert first_difference(held, held) is None
    assert first_difference(held, {"corpus": {"hash": "a", "documents": 4}, "length": 8}) == ("corpus.documents", 3, 4)
    assert first_difference(held, {**held, "seed": 0}) == ("seed", None, 0)
    with pytest.raises(
        InputError, match=r"out: holds a run with length = 8, not 9; use the same settings to resume it"
    ):
        require_same("out", held, {**held, "length": 9})


def test_a_folder_of_another_kind_of_run_is_refused(tmp_path: Path) -> None:
    require_own(tmp_path, "job.json")
    require_own(tmp_path / "new", "job.json")
    write_json(tmp_path / "scores.json", {})
    with pytest.raises(InputError, match="holds scores"):
        require_own(tmp_path, "job.json")
    with pytest.raises(InputError, match="a file; expected a folder"):
        require_own(tmp_path / "scores.json", "job.json")


HOLD = "import sys, time; from l2m.base.folders import lock\nwith lock(sys.argv[1]): print('held', flush=True); time.sleep(60)"


def test_a_folder_in_use_names_its_owner_and_a_killed_owner_holds_nothing(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"in use by process {owner.pid} on "), lock(tmp_path):
        pass
    owner.kill()
    owner.wait()
    owner.stdout.close()
    with lock(tmp_path):
        pass


def test_leftovers_of_dead_processes_alone_are_removed(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import sys, pathlib; from l2m.base.files import temporary_path as t\n"
         "p = t(pathlib.Path(sys.argv[1], 'x.json')); p.write_text('x'); q = t(p.with_name('d')); q.mkdir(); (q / 'f').write_text('')",
         str(tmp_path)], check=True,
    )  # fmt: skip
    assert dead.returncode == 0
    own = temporary_path(tmp_path / "own")
    own.write_text("")
    elsewhere = tmp_path / f".x.00000000-{os.getpid()}-0123456789ab.tmp"
    elsewhere.write_text("")
    (tmp_path / "kept.tmp").write_text("")
    assert len(list(tmp_path.iterdir())) == 5
    clear_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {own.name, elsewhere.name, "kept.tmp"}
    clear_temporaries(tmp_path / "absent")


def test_any_changed_byte_of_a_sealed_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    value = {"a": [1, 2.5, "ü"], "b": {"c": None}}
    write_sealed(path, value)
    assert read_sealed(path) == value
    whole = path.read_bytes()
    silent = []
    for index in range(len(whole)):
        for byte in {whole[index] ^ 1, whole[index] ^ 32}:
            path.write_bytes(whole[:index] + bytes([byte]) + whole[index + 1 :])
            try:
                read = read_sealed(path)
            except InputError as error:
                named = str(path) in str(error)
            else:
                named = read == value  # white space between entries holds nothing
            if not named:
                silent.append((index, byte))
    assert not silent
    for cut in range(len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"value\.json"):
            read_sealed(path)


def test_an_unsealed_file_is_taken_only_where_asked(tmp_path: Path) -> None:
    write_json(tmp_path / "old.json", {"a": 1})
    with pytest.raises(InputError, match="checksum"):
        read_sealed(tmp_path / "old.json")
    assert read_sealed(tmp_path / "old.json", unsealed=True) == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"[1]", b"[" * 10**5, b"\xff", b'{"a": NaN, "checksum": "x"}', b"9" * 5000])
def test_what_is_no_sealed_object_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.json"):
        read_sealed(tmp_path / "bad.json")


def test_a_pipe_is_refused_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(InputError, match="not a file"):
        read_sealed(tmp_path / "pipe.json")


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path, "w") as file:
            file.write("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_results_belong_to_one_command_with_one_input(tmp_path: Path) -> None:
    out = tmp_path / "out"
    claim(out, "gaussian", {"layers": 3, "children": (3, 3)})
    claim(out, "gaussian", {"layers": 3, "children": [3, 3]})  # again: the same
    with pytest.raises(InputError, match=r"out: holds a run with layers = 3, not 4; use"):
        claim(out, "gaussian", {"layers": 4, "children": [3, 3]})
    with pytest.raises(InputError, match="holds a run with command = 'gaussian', not 'frontier'"):
        claim(out, "frontier", {})
    for manifest in ("corpus.json", "job.json", "scores.json", "run.json", "config.json"):
        with pytest.raises(InputError, match=r"holds the results of another command \(written.json\)"):
            require_own(out, manifest)
    (out / "written.json").write_text((out / "written.json").read_text().replace("3", "4"))
    with pytest.raises(InputError, match=r"written.json.*checksum"):
        claim(out, "gaussian", {"layers": 4, "children": [4, 4]})


def test_parts_of_a_corpus_are_no_place_for_another_run(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    require_own(tmp_path, "corpus.json")
    with pytest.raises(InputError, match="holds parts of a corpus"):
        require_own(tmp_path, "run.json")
