"""Parts of a corpus, joined: the bytes of the corpus in one piece, however it was cut, stopped and put together."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import l2m
from damage import DAMAGES, outcome
from l2m.base.files import file_hash, read_sealed, write_sealed
from l2m.corpora.merge import in_use, merge_parts
from l2m.corpora.tokenize import TokenizeSettings, run_shard, tokenize_job
from shares import files, write_texts


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "texts")


@pytest.mark.parametrize("tokenizer", ["bytes", "words", "characters"])
@pytest.mark.parametrize("shared", [True, False])
def test_shards_in_any_order_merge_to_the_same_bytes(tmp_path: Path, texts: Path, tokenizer: str, shared: bool) -> None:
    l2m.tokenize(texts, tokenizer, tmp_path / "whole")
    folders = [tmp_path / "out" / ("all" if shared else str(index)) for index in range(7)]
    for index in random.Random(0).sample(range(7), 7):
        run_shard(tokenize_job(texts, tokenizer, folders[index], shards=7), index, 7)
    merged = merge_parts(list(dict.fromkeys(folders)), tmp_path / "merged")
    assert files(tmp_path / "merged") == files(tmp_path / "whole")
    assert merged.tokenizer["duplicates"] == [["copy.txt", "03.txt"]]
    assert not any(folder.joinpath("parts").exists() for folder in folders)


def shard(texts: Path, out: Path, index: int, tokenizer: str = "bytes", **options: Any) -> None:
    run_shard(tokenize_job(texts, tokenizer, out, TokenizeSettings(**options), shards=3), index, 3)


def test_what_is_wrong_with_shards_is_named(tmp_path: Path, texts: Path) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    shard(texts, one, 0)
    shard(texts, two, 2)
    with pytest.raises(l2m.InputError, match=r"one: of 4 parts, missing: 1; run again: --shard 1/3$"):
        merge_parts([one, two], tmp_path / "out")
    shutil.copytree(one, three)
    with pytest.raises(l2m.InputError, match=f"{three}: part 0 of .* is in {one} too: the same shard twice"):
        merge_parts([one, two, three], tmp_path / "out")
    shutil.rmtree(three)
    shard(texts, three, 1, "words")
    with pytest.raises(l2m.InputError, match=f"{three}: tokenizer 'words', but 'bytes' in {one}"):
        merge_parts([one, two, three], tmp_path / "out")
    shutil.rmtree(three)
    shard(texts, three, 1, min_tokens=3)
    with pytest.raises(l2m.InputError, match=f"{three}: min_tokens 3, but 0 in {one}"):
        merge_parts([one, two, three], tmp_path / "out")
    shutil.rmtree(three)
    shard(texts, three, 1)
    (texts / "new.txt").write_text("new")
    shard(texts, tmp_path / "four", 1)
    with pytest.raises(l2m.InputError, match="other sources or another number of shards"):
        merge_parts([one, two, tmp_path / "four"], tmp_path / "out")
    with pytest.raises(l2m.InputError, match=f"{texts}: no parts of a corpus"):
        merge_parts([texts], tmp_path / "out")
    merge_parts([one, two, three], tmp_path / "out")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folders of shards, few/0 to few/2, and the corpus they make."""
    folder = tmp_path_factory.mktemp("shards")
    texts = folder / "texts"
    write_texts(texts)
    for path in sorted(texts.iterdir())[3:]:
        path.unlink()
    shutil.copy(texts / "00.txt", texts / "copy.txt")
    l2m.tokenize(texts, "words", folder / "whole")
    for index in range(3):
        shard(texts, folder / "few" / str(index), index, "words")
    return folder


def copy_of(shards: Path, to: Path) -> list[Path]:
    shutil.copytree(shards / "few", to)
    return sorted(to.iterdir())


@pytest.mark.parametrize("second", ["0", pytest.param("half", marks=pytest.mark.slow)])
def test_a_merge_killed_at_any_change_of_a_file_is_finished_by_the_next(
    shards: Path, tmp_path: Path, second: str
) -> None:
    script = Path(__file__).parents[1] / "helpers" / "kill_at.py"
    command = [sys.executable, str(script), str(shards / "few"), str(shards / "whole"), str(tmp_path / "work"), second]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["changes"] > 30
    assert found["wrong"] == []


def test_a_merge_may_be_given_again(shards: Path, tmp_path: Path) -> None:
    folders = copy_of(shards, tmp_path / "few")
    for _ in range(2):
        merged = merge_parts(folders, tmp_path / "out")
        assert files(tmp_path / "out") == files(shards / "whole")
        assert len(merged) == 3
    assert len(merge_parts([tmp_path / "out"], tmp_path / "out")) == 3
    content = (tmp_path / "out" / "words.txt").read_bytes()
    (tmp_path / "out" / "words.txt").write_bytes(content[:-1])
    with pytest.raises(l2m.InputError, match=r"words\.txt"):
        merge_parts([tmp_path / "out"], tmp_path / "out")
    (tmp_path / "out" / "words.txt").write_bytes(content)
    (folders[0] / "notes.txt").write_text("not of a merge")
    with pytest.raises(l2m.InputError, match=f"{folders[0]}: no parts of a corpus"):
        merge_parts(folders, tmp_path / "out")


NAMES = ["part.json", "tokens.npy", "lengths.npy", "documents.jsonl", "digests.bin", "sketches.npz", "words.txt"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_to_a_part_is_named(shards: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    folders = copy_of(shards, tmp_path / "few")
    [path] = folders[1].glob(f"parts/*/*/{name}")
    damage(path)
    found = outcome(lambda: merge_parts(folders, tmp_path / "out"))
    if isinstance(found, l2m.Corpus):  # a line end at the end of JSON means nothing
        assert name == "part.json"
        assert files(tmp_path / "out") == files(shards / "whole")
    else:
        assert str(path) in found or (name == "part.json" and "missing: 1; run again: --shard 1/3" in found)
        assert not (tmp_path / "out" / "corpus.json").exists()


def reseal(folder: Path, /, **changes: object) -> None:
    """Write part.json as somebody would who means harm: with true checksums."""
    record = read_sealed(folder / "part.json")
    record["files"] = {name: file_hash(folder / name) for name in record["files"] if (folder / name).exists()}
    write_sealed(folder / "part.json", {**record, **changes})


STRANGE = [None, True, -2, 2.5, 10**30, "text", [], [1], {}, {"a": 1}]
KEYS = [
    "schema", "job", "part", "parts", "shard", "settings", "modified", "documents", "tokens", "holds", "vocab_size", "largest",
    "encoder", "short", "sampled_out", "skipped", "files",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_record_that_was_made_up_is_named_or_changes_no_id(shards: Path, tmp_path: Path, key: str) -> None:
    for number, value in enumerate(STRANGE):
        folders = copy_of(shards, tmp_path / f"few-{number}")
        [part] = folders[1].glob("parts/*/*/")
        reseal(part, **{key: value})
        found = outcome(partial(merge_parts, folders, tmp_path / f"out-{number}"))
        if isinstance(found, str):
            assert str(folders[1]) in found or "missing: 1; run again: --shard 1/3" in found
        else:  # a text or a list that is only noted
            assert key in ("encoder", "modified", "skipped", "shard")
            assert found.hash == l2m.Corpus.open(shards / "whole").hash


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("words.txt", b"\xff\xfe"), ("words.txt", b"only"), ("documents.jsonl", b""), ("documents.jsonl", b"[]\n"),
        ("documents.jsonl", b"{}\n{}\n{}\n"), ("digests.bin", b"short"), ("sketches.npz", b"PK"), ("lengths.npy", b""),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_though_their_checksums_are_right_are_named(
    shards: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    folders = copy_of(shards, tmp_path / "few")
    [part] = folders[0].glob("parts/*/00000/")
    (part / name).write_bytes(content)
    reseal(part)
    found = outcome(lambda: merge_parts(folders, tmp_path / "out"))
    assert isinstance(found, str)
    assert "part" in found or "words" in found
    assert not (tmp_path / "out" / "corpus.json").exists()


def test_parts_that_were_renamed_are_named(shards: Path, tmp_path: Path) -> None:
    folders = copy_of(shards, tmp_path / "few")
    [first] = folders[0].glob("parts/*/00000")
    [second] = folders[1].glob("parts/*/00001")
    first.rename(first.with_name("00001"))
    second.rename(second.with_name("00000"))
    with pytest.raises(l2m.InputError, match=r"part 0 of 4 in a folder named 00001: moved or renamed"):
        merge_parts(folders, tmp_path / "out")


def test_parts_of_the_version_before_have_no_checksums_and_are_named(shards: Path, tmp_path: Path) -> None:
    folders = copy_of(shards, tmp_path / "few")
    [part] = folders[1].glob("parts/*/*/")
    record = read_sealed(part / "part.json")
    del record["schema"], record["files"]
    (part / "part.json").write_text(json.dumps(record))
    with pytest.raises(l2m.InputError, match=f"{part / 'part.json'}: written by another version of l2m; run the same"):
        merge_parts(folders, tmp_path / "out")


def test_one_process_at_a_time_merges(shards: Path, tmp_path: Path) -> None:
    folders = copy_of(shards, tmp_path / "few")
    for held in (tmp_path / "out", folders[2]):
        for shared in (True, False):
            with (
                in_use(held, shared=shared),
                pytest.raises(l2m.InputError, match=rf"{held}: in use by process \d+ on "),
            ):
                merge_parts(folders, tmp_path / "out")
    merge_parts(folders, tmp_path / "out")
    assert files(tmp_path / "out") == files(shards / "whole")


def test_what_killed_merges_left_is_removed(shards: Path, tmp_path: Path) -> None:
    folders = copy_of(shards, tmp_path / "few")
    (tmp_path / "out").mkdir()
    host = tmp_path / "out" / "name"
    from l2m.base.files import temporary_path

    mine = temporary_path(host)
    gone = mine.with_name(mine.name.replace(mine.name.split("-")[1], "4194305"))  # no process has so high a number
    (gone).write_bytes(bytes(1000))
    foreign = tmp_path / "out" / ".tokens.npy.of-somebody.tmp"
    foreign.write_text("not ours")
    merge_parts(folders, tmp_path / "out")
    assert not gone.exists()
    assert foreign.read_text() == "not ours"
