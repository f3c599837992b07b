"""The table of formats, its options, and damaged files of every format."""

import bz2
import gzip
import json
import lzma
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import l2m
from l2m.corpora.documents import Document, ReadingOptions
from l2m.corpora.formats import FORMATS
from l2m.corpora.sources import Reader
from reading import ROWS, arrow_bytes, as_lines, read, write

DAMAGED = """
import random, sys
from pathlib import Path
import l2m
from l2m.corpora.sources import Reader, find_units
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
for path in sorted(folder.iterdir()):
    content = path.read_bytes()
    chance = random.Random(seed)
    for trial in range(int(sys.argv[3])):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 1, 4))):
            place = chance.randrange(len(damaged))
            damaged[place] = chance.choice((0, 255, 128, 127, chance.randrange(256)))
        if trial % 4 == 0:
            del damaged[chance.randrange(len(damaged)) :]
        bad = folder / ("damaged" + "".join(path.suffixes))
        bad.write_bytes(damaged)
        try:
            for unit in find_units(bad):
                for document in Reader().documents(unit):
                    len(document.text)
        except l2m.InputError as error:
            assert "\\n" not in str(error), (path, seed, trial, str(error))
            assert "damaged" in str(error), (path, seed, trial, str(error))
        except BaseException as error:
            raise SystemExit(f"{path.name} seed {seed} trial {trial}: {type(error).__name__}: {error}")
        bad.unlink()
"""


def test_damaged_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    """Flipped bytes and cuts in every format, in a process of its own: a damaged arrow file once ended it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "files"
    folder.mkdir()
    texts = [f"text number {number} \u00fc" for number in range(20)]
    pq.write_table(pa.table({"text": texts}), folder / "a.parquet")
    pq.write_table(pa.table({"text": [[1, 2, 3]] * 10}), folder / "b.parquet", compression="zstd")
    for name, column in (
        ("a", pa.array(texts)),
        ("b", pa.array([[1, 2], [3]])),
        ("c", pa.array(texts).dictionary_encode()),
    ):
        write(folder / f"{name}.arrow", bytes(arrow_bytes(column, stream=name != "a")))
    np.save(folder / "a.npy", np.arange(20))
    write(folder / "a.json", json.dumps(ROWS))
    write(folder / "a.jsonl.gz", gzip.compress(as_lines().encode()))
    write(folder / "b.txt.xz", lzma.compress(as_lines().encode()))
    write(folder / "c.txt.bz2", bz2.compress(as_lines().encode()))
    command = [sys.executable, "-c", DAMAGED, str(folder), "0", "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_format_is_one_line_of_the_table() -> None:
    suffixes = [suffix for format in FORMATS.values() for suffix in format.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


def test_a_new_format_is_found_by_its_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from l2m.corpora import formats

    monkeypatch.setitem(
        FORMATS, "upper", formats.Format(lambda file, options, log: iter([Document(file.id, "UP")]), (".up",))
    )
    monkeypatch.setitem(formats._BY_SUFFIX, ".up", "upper")
    assert read(write(tmp_path / "a.up", "x")) == [("a.up", "UP")]
    assert read(write(tmp_path / "a.txt", "x"), format="upper") == [("a.txt", "UP")]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"separator": -1}, "separator: -1"), ({"separator": 2**32}, "separator"), ({"separator": True}, "separator"),
     ({"separator": 1.5}, "separator"), ({"field": ""}, "field: ''"), ({"id_field": 5}, "id_field: 5"),
     ({"dtype": "object"}, "dtype: 'object'"), ({"format": "pickle"}, "format: 'pickle'"), ({"on_error": None}, "on_error")],
)  # fmt: skip
def test_options_are_checked_before_anything_is_read(options: dict[str, object], message: str) -> None:
    with pytest.raises(l2m.InputError, match=message):
        Reader(ReadingOptions(**options))  # type: ignore[arg-type]
