"""Every parser on files that are almost right: a result or one InputError of one line, nothing else.

Each example is a true file with up to three edits (flipped, overwritten, inserted, repeated, removed bytes; cut ends), which
hypothesis draws and shrinks. `make campaign` draws more, each in a process of its own.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import l2m
from l2m.errors import InputError
from mutations import EDITS, VALUES, Edit, edit
from samples import gguf, megatron, samples

pytest.importorskip("pyarrow")
NEWS = (
    b"", b"\0", b"\xff" * 4, b"\xff" * 8, b"\x7f", b"\xff\xff\xff\x7f", b"[" * 3000, b"9" * 400, b"1e999", b"\xed\xa0\x80", b"\n", b'"', b",", b"-",
)  # fmt: skip
edits = st.lists(
    st.tuples(st.sampled_from(EDITS), st.floats(0, 1), st.sampled_from(NEWS) | st.binary(min_size=1, max_size=8)),
    min_size=1,
    max_size=3,
)
FILES = dict(samples())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def one_line(call: Callable[[], object]) -> None:
    """A result, or an InputError of one line that names what it is about."""
    try:
        call()
    except InputError as error:
        text = str(error)
        assert len(text.splitlines()) == 1
        assert ":" in text


@pytest.mark.parametrize("name", list(FILES))
@settings(max_examples=25)
@given(edits)
def test_sources(folder: Path, name: str, changes: list[Edit]) -> None:
    path = folder / name
    path.write_bytes(edit(FILES[name], changes))
    one_line(lambda: l2m.tokenize([path], "bytes", duplicates="keep"))


@settings(max_examples=40)
@given(edits, st.booleans())
def test_megatron(folder: Path, changes: list[Edit], both: bool) -> None:
    index, data = megatron()
    (folder / "m.idx").write_bytes(edit(index, changes))
    (folder / "m.bin").write_bytes(edit(data, changes) if both else data)
    one_line(lambda: l2m.tokenize([folder / "m.bin"], "bytes", duplicates="keep"))


def test_the_unedited_files_are_read(folder: Path) -> None:
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
        assert l2m.tokenize([folder / name], "bytes", duplicates="keep").tokens.size > 5, name


@settings(max_examples=40)
@given(edits)
def test_gguf(folder: Path, changes: list[Edit]) -> None:
    pytest.importorskip("gguf")
    (folder / "x.gguf").write_bytes(edit(gguf(), changes))
    one_line(lambda: l2m.history_state(folder / "x.gguf"))


CONFIG = {
    "model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "sliding_window": 32, "layer_types": ["sliding_attention", "full_attention"] * 3,
}  # fmt: skip


@settings(max_examples=60)
@given(st.sampled_from(sorted(CONFIG)), st.sampled_from(VALUES))
@example("layer_types", None)
def test_configs(name: str, value: object) -> None:
    one_line(lambda: l2m.history_state({**CONFIG, name: value}))


@settings(max_examples=40)
@given(edits)
def test_config_files(folder: Path, changes: list[Edit]) -> None:
    (folder / "config.json").write_bytes(edit(json.dumps(CONFIG).encode(), changes))
    one_line(lambda: l2m.history_state(folder / "config.json"))


@pytest.fixture(scope="module")
def record(folder: Path) -> bytes:
    path = folder / "law.json"
    l2m.fit_power_law([1, 2, 4, 8, 16], [1, 1.5, 2.1, 2.9, 4.2]).save(path)
    return path.read_bytes()


@settings(max_examples=60)
@given(edits)
def test_records(folder: Path, record: bytes, changes: list[Edit]) -> None:
    (folder / "law.json").write_bytes(edit(record, changes))
    one_line(lambda: l2m.load(folder / "law.json"))


SWEEP = b'out = "x"\n[train]\nlength = 16\nsteps = [4, 5]\n[[model]]\nname = "a"\npreset = "mamba-tiny"\nlength = [16, 64]\n'


@settings(max_examples=60)
@given(edits)
def test_sweeps(folder: Path, changes: list[Edit]) -> None:
    pytest.importorskip("torch")
    from l2m.training.sweep import read_sweep

    (folder / "sweep.toml").write_bytes(edit(SWEEP, changes))
    one_line(lambda: read_sweep(folder / "sweep.toml"))


TABLE = b"x,y,e\n1,2.5,0.1\n2,3.5,0.1\n4,5,0.2\n8,7,0.2\n16,10,0.4\n"


@settings(max_examples=40)
@given(edits)
def test_tables(folder: Path, changes: list[Edit]) -> None:
    from l2m.cli.table import read_table

    (folder / "t.csv").write_bytes(edit(TABLE, changes))
    one_line(lambda: read_table(folder / "t.csv"))
