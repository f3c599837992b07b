"""A job cut into shares gives the bytes of the job in one piece, however it was cut, stopped and put together."""

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import l2m
from l2m.corpora.merge import merge_parts
from l2m.corpora.tokenize import TokenizeSettings, forecast, run_parts, run_shard, tokenize_job
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


def test_only_what_is_missing_or_changed_is_done_again(tmp_path: Path, texts: Path) -> None:
    job = tokenize_job(texts, "bytes", tmp_path / "out", shards=3)
    parts = range(len(job.parts))
    assert run_parts(job, parts) == list(parts)
    assert run_parts(job, parts) == []
    shutil.rmtree(job.folder / "00001")
    os.utime(texts / "00.txt", (1, 1))
    again = tokenize_job(texts, "bytes", tmp_path / "out", shards=3)
    assert run_parts(again, parts) == [0, 1]


def test_a_killed_run_leaves_whole_parts_and_the_same_command_goes_on(tmp_path: Path, texts: Path) -> None:
    l2m.tokenize(texts, "words", tmp_path / "whole")
    code = (
        "import sys, time, l2m.corpora.tokenize; m = sys.modules['l2m.corpora.tokenize']; m._PART_BYTES = 10_000; run = m.run_part\n"
        "def slow(*arguments):\n    time.sleep(0.05); run(*arguments); print('part', flush=True)\n"
        "m.run_part = slow; l2m.tokenize(sys.argv[1], 'words', sys.argv[2])"
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
        threads = {**os.environ, "RAYON_NUM_THREADS": str([1, 16, 3][index])}
        subprocess.run([*run, "tokenize", str(texts), *flags], check=True, capture_output=True, env=threads)
    subprocess.run([*run, "merge", str(tmp_path / "out")], check=True, capture_output=True)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    bad = subprocess.run([*run, "tokenize", str(texts), "--out", "x", "--shard", "3/3"], capture_output=True, text=True)
    assert (bad.returncode, "shard: '3/3'; expected I/N" in bad.stderr) == (2, True)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_dry_run_predicts_and_writes_nothing(tmp_path: Path, texts: Path, compressed: bool) -> None:
    if compressed:
        for path in texts.iterdir():
            path.with_suffix(".txt.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    expected = forecast(tokenize_job(texts, "words", tmp_path / "out", shards=4))
    assert not (tmp_path / "out").exists()
    corpus = l2m.tokenize(texts, "words", tmp_path / "out", duplicates="keep")
    # All of it is the sample: the tokens are exact.
    assert expected.work["tokens"] == corpus.tokens.size
    assert expected.disk_bytes is not None
    assert expected.disk_bytes >= corpus.tokens.nbytes
    assert (expected.seconds() or 0) > 0
