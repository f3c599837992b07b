"""Texts to a corpus: in one go, again, after a stop, beside others, and with arguments that are none."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import l2m
from damage import DAMAGES
from l2m.corpora.merge import in_use, merge_parts
from l2m.corpora.tokenize import TokenizeSettings, forecast, run_parts, run_shard, tokenize_job
from shares import files, write_texts


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "texts")


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


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_parts_that_were_damaged_are_made_again(tmp_path: Path, damage: Any) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in "abc":
        (texts / name).write_text(f"a text named {name} ")
    l2m.tokenize(texts, "words", tmp_path / "whole")
    job = tokenize_job(texts, "words", tmp_path / "job", shards=3)
    run_parts(job, range(3))
    for path in sorted((tmp_path / "job" / "parts").glob("*/*/*")):
        out = tmp_path / "out"
        shutil.copytree(tmp_path / "job", out)
        damage(out / path.relative_to(tmp_path / "job"))
        again = tokenize_job(texts, "words", out, shards=3)
        assert len(run_parts(again, range(3))) <= 1
        merge_parts([out], out)
        assert files(out) == files(tmp_path / "whole")
        shutil.rmtree(out)


def test_parts_of_the_version_before_are_made_again(tmp_path: Path, texts: Path) -> None:
    job = tokenize_job(texts, "bytes", tmp_path / "out", shards=3)
    run_parts(job, [0, 1])
    record = json.loads((job.folder / "00001" / "part.json").read_text())
    for name in ("schema", "files", "checksum"):
        del record[name]
    (job.folder / "00001" / "part.json").write_text(json.dumps(record))
    assert job.left([0, 1]) == [1]


def test_one_process_at_a_time_writes_to_a_folder(tmp_path: Path, texts: Path) -> None:
    out = tmp_path / "out"
    busy = rf"{out}: in use by process {os.getpid()} on "
    for shared in (True, False):
        with in_use(out, shared=shared), pytest.raises(l2m.InputError, match=busy):
            l2m.tokenize(texts, out=out)
        assert not out.exists()
    job = tokenize_job(texts, "bytes", out, shards=3)
    with in_use(out), pytest.raises(l2m.InputError, match=busy):
        run_shard(job, 0, 3)
    with in_use(out, shared=True):  # by another shard
        run_shard(job, 0, 3)
    l2m.tokenize(texts, out=out)
    l2m.tokenize(texts, out=tmp_path / "whole")
    assert files(out) == files(tmp_path / "whole")


def test_a_shard_runs_once_at_a_time(tmp_path: Path, texts: Path) -> None:
    job = tokenize_job(texts, "bytes", tmp_path / "out", shards=3)

    def beside(done: int, total: int) -> None:
        run_shard(job, 1, 3)
        with pytest.raises(l2m.InputError, match="in use by process"):
            run_shard(job, 0, 3)

    run_shard(job, 0, 3, progress=beside)
    run_shard(job, 2, 3)
    l2m.tokenize(texts, out=tmp_path / "whole")
    merge_parts([tmp_path / "out"], tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_stale_parts_of_another_job_are_not_in_the_way(tmp_path: Path, texts: Path) -> None:
    out = tmp_path / "out"
    job = tokenize_job(texts, "words", out, shards=3)
    run_parts(job, range(len(job.parts)))
    l2m.tokenize(texts, "bytes", out)
    l2m.tokenize(texts, "bytes", tmp_path / "whole")
    assert files(out) == files(tmp_path / "whole")


def test_a_folder_of_another_kind_of_run_is_refused(tmp_path: Path, texts: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores.json").write_text("{}")
    with pytest.raises(l2m.InputError, match=r"out: holds scores \(scores\.json\); use another folder"):
        l2m.tokenize(texts, out=tmp_path / "out")
    (tmp_path / "file").write_text("text")
    with pytest.raises(l2m.InputError, match=r"file: a file; expected a folder"):
        l2m.tokenize(texts, out=tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duplicates": "most"}, "duplicates: 'most'"),
        ({"duplicates": None}, "duplicates: None"),
        ({"min_tokens": -1}, "min_tokens: -1"),
        ({"min_tokens": 2.7}, "min_tokens: 2.7"),
        ({"min_tokens": True}, "min_tokens: True"),
        ({"min_tokens": 2**63}, "min_tokens: 9223372036854775808"),
        ({"min_tokens": "3"}, "min_tokens: '3'"),
        ({"sample": 0}, "sample: 0"),
        ({"sample": 1.5}, "sample: 1.5"),
        ({"sample": float("nan")}, "sample: nan"),
        ({"sample": "half"}, "sample: 'half'"),
        ({"separator": -1}, "separator: -1"),
        ({"separator": 2**32}, "separator: 4294967296"),
        ({"format": "exe"}, "format: 'exe'"),
        ({"dtype": "float64"}, "dtype: 'float64'"),
        ({"on_error": "ignore"}, "on_error: 'ignore'"),
    ],
)
def test_arguments_are_refused_by_name(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(l2m.InputError, match=f"^{message}"):
        l2m.tokenize("a text", out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sources", [[], (), iter([])])
def test_no_sources_are_named_as_such(tmp_path: Path, sources: Any) -> None:
    with pytest.raises(l2m.InputError, match=r"^sources: "):
        l2m.tokenize(sources, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shards", [0, -1, 1.5, True, 2**40])
def test_numbers_of_shards_are_bounded(tmp_path: Path, texts: Path, shards: Any) -> None:
    with pytest.raises(l2m.InputError, match=r"^shards: "):
        tokenize_job(texts, "bytes", tmp_path / "out", TokenizeSettings(), shards=shards)
