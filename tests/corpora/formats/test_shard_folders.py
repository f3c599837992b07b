"""Folders of shards: nothing that could run code or leave the folder is opened."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from l2m.corpora.documents import ReadingOptions
from l2m.corpora.sources import Reader, find_units
from reading import read_skipping, refusal, write


def litdata(
    folder: Path, *, formats: object = ("str",), names: object = ("chunk-0-0.bin",), spec: object = None
) -> Path:
    folder.mkdir(exist_ok=True)
    chunks = [{"filename": name, "chunk_bytes": 5, "chunk_size": 1} for name in names]  # type: ignore[attr-defined]
    config = {"data_format": formats, "data_spec": None if spec is None else json.dumps([1, spec])}
    write(folder / "index.json", json.dumps({"chunks": chunks, "config": config}))
    return folder


def mosaicml(folder: Path, *encodings: str, name: object = "shard.00000.mds", form: str = "mds") -> Path:
    folder.mkdir(exist_ok=True)
    shard = {"format": form, "column_names": ["text"], "column_encodings": encodings, "raw_data": {"basename": name},
             "zip_data": None}  # fmt: skip
    write(folder / "index.json", json.dumps({"version": 2, "shards": [shard]}))
    return folder


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shards' libraries must not be asked for what is refused."""
    from l2m.corpora.formats import shard_folders

    def ask(name: str, *arguments: object) -> None:
        raise AssertionError(f"{name} was opened")

    monkeypatch.setattr(shard_folders, "optional_library", ask)


DICT = {
    "type": "builtins.dict",
    "context": '["text"]',
    "children_spec": [{"type": None, "context": None, "children_spec": []}],
}


@pytest.mark.usefixtures("no_libraries")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        *((lambda folder, name=name: litdata(folder, formats=["str", name]), "may run code") for name in ("pickle", "pickle:1", "graph", "graph:pickle", "pil", "new", 5, None)),
        *((lambda folder, name=name: mosaicml(folder, "str", name), "may run code") for name in ("pkl", "pkl:1", "jpeg", "PKL", "list[pil]", "")),
        (lambda folder: litdata(folder, spec={**DICT, "type": "collections.defaultdict"}), "may run code"),
        (lambda folder: litdata(folder, spec={**DICT, "children_spec": [{**DICT, "type": "os.system"}]}), "may run code"),
        (lambda folder: litdata(folder, spec=5), "not an index that litdata writes"),
        (lambda folder: litdata(folder, formats=None), "not an index that litdata writes"),
        (lambda folder: litdata(folder, formats={"a": "pickle"}), "not an index that litdata writes"),
        *((lambda folder, name=name: litdata(folder, names=[name]), "expected files inside the folder") for name in ("../x.bin", "/etc/passwd", "", None, "a/b")),
        (lambda folder: mosaicml(folder, "str", name="../x.mds"), "expected files inside the folder"),
        (lambda folder: mosaicml(folder, "str", form="pickled"), "format 'pickled'"),
    ],
)  # fmt: skip
def test_shards_that_could_run_code_or_leave_their_folder_are_not_opened(
    tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    folder = make(tmp_path / "shards")
    assert message in refusal(folder)
    assert message in refusal(tmp_path / "shards" / ".." / "shards")
    write(tmp_path / "a.txt", "text")
    texts, skipped = read_skipping(tmp_path)
    assert (texts, len(skipped)) == (["text"], 1)  # a folder of shards inside a folder is one source


class Streams:
    """Stands in for the libraries: rows of a folder that passed the checks."""

    rows: tuple[object, ...] = (
        {"text": "one", "id": "a"}, {"text": "two"}, {"text": b"\1\0\2\0"}, {"text": b"odd"}, {"text": None}, {"other": 1},
        {"text": [[1], [2, 3]]}, {"text": 1.5},
    )  # fmt: skip

    @staticmethod
    def StreamingDataset(path: str) -> tuple[object, ...]:
        return Streams.rows

    @staticmethod
    def LocalDataset(*, local: str) -> tuple[object, ...]:
        return Streams.rows


def test_shards_of_texts_and_ids_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from l2m.corpora.formats import shard_folders

    monkeypatch.setattr(shard_folders, "optional_library", lambda *names: Streams)
    for folder in (
        litdata(tmp_path / "a", formats=["str", "no_header_numpy:3"], spec=DICT),
        mosaicml(tmp_path / "b", "str", "ndarray:int32"),
    ):
        reader = Reader(ReadingOptions(on_error="skip"))
        found = [document for unit in find_units(folder) for document in reader.documents(unit)]
        assert [document.id for document in found] == ["a", f"{folder.name}:1", f"{folder.name}:2"]
        assert found[2].ids is not None
        assert found[2].ids.tolist() == [1, 2]
        assert len(reader.log.skipped) == 5
