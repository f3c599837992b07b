"""A job cut into shares gives the bytes of the job in one piece, however it was cut, stopped and put together."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import l2m
from l2m.tokenize import merge_parts, plan, run_parts


def sentences(number: int) -> str:
    chosen = random.Random(number)
    return " ".join(
        f"{chosen.choice(['Der', 'A', 'Le'])} {chosen.randrange(300)} {chosen.random():.3f}." for _ in range(150)
    )


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}.txt").write_text(sentences(number))
    (folder / "copy.txt").write_text(sentences(3))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("tokenizer", ["bytes", "words", "characters"])
@pytest.mark.parametrize("shared", [True, False])
def test_shards_in_any_order_merge_to_the_same_bytes(tmp_path: Path, texts: Path, tokenizer: str, shared: bool) -> None:
    l2m.tokenize(texts, tokenizer, tmp_path / "whole")
    folders = [tmp_path / "out" / ("all" if shared else str(index)) for index in range(7)]
    for index in random.Random(0).sample(range(7), 7):
        job = plan(texts, tokenizer, folders[index], shards=7)
        run_parts(job, job.shard(index, 7), shard=f"{index}/7")
    merged = merge_parts(list(dict.fromkeys(folders)), tmp_path / "merged")
    assert files(tmp_path / "merged") == files(tmp_path / "whole")
    assert merged.tokenizer["duplicates"] == [["copy.txt", "03.txt"]]
    assert not any(folder.joinpath("parts").exists() for folder in folders)


def shard(texts: Path, out: Path, index: int, tokenizer: str = "bytes", **options: object) -> None:
    job = plan(texts, tokenizer, out, shards=3, **options)  # type: ignore[arg-type]
    run_parts(job, job.shard(index, 3), shard=f"{index}/3")


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


def test_only_what_is_missing_or_changed_is_done_again(tmp_path: Path, texts: Path) -> None:
    job = plan(texts, "bytes", tmp_path / "out", shards=3)
    parts = range(len(job.parts))
    assert run_parts(job, parts) == list(parts)
    assert run_parts(job, parts) == []
    shutil.rmtree(job.folder / "00001")
    os.utime(texts / "00.txt", (1, 1))
    again = plan(texts, "bytes", tmp_path / "out", shards=3)
    assert run_parts(again, parts) == [0, 1]


def test_a_killed_run_leaves_whole_parts_and_the_same_command_goes_on(tmp_path: Path, texts: Path) -> None:
    l2m.tokenize(texts, "words", tmp_path / "whole")
    code = (
        "import sys, time, l2m; m = sys.modules['l2m.tokenize']; m._PART_BYTES = 10_000; run = m._run_part\n"
        "def slow(*arguments):\n    time.sleep(0.05); run(*arguments); print('part', flush=True)\n"
        "m._run_part = slow; l2m.tokenize(sys.argv[1], 'words', sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(texts), str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = list((tmp_path / "out" / "parts").glob("*/*/part.json"))
    total = json.loads(done[0].read_text())["parts"]
    assert 3 <= len(done) < total
    rest = subprocess.run(command, capture_output=True, text=True, check=True).stdout.count("part")
    assert rest == total - len(done)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_the_command_line_shards_and_merges(tmp_path: Path, texts: Path) -> None:
    l2m.tokenize(texts, "words", tmp_path / "whole")
    run = [sys.executable, "-m", "l2m"]
    for index in (2, 0, 1):
        flags = ["--tokenizer", "words", "--shard", f"{index}/3", "--out", str(tmp_path / "out")]
        subprocess.run([*run, "tokenize", str(texts), *flags], check=True, capture_output=True)
    subprocess.run([*run, "merge", str(tmp_path / "out")], check=True, capture_output=True)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    bad = subprocess.run([*run, "tokenize", str(texts), "--out", "x", "--shard", "3/3"], capture_output=True, text=True)
    assert (bad.returncode, "shard: '3/3'; expected I/N" in bad.stderr) == (2, True)
