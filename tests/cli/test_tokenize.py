"""`l2m tokenize` and `l2m merge` as commands."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import l2m
from shares import files, write_texts


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "texts")


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


RUN = [sys.executable, "-m", "l2m"]


def test_two_at_once_give_one_corpus_and_one_line(tmp_path: Path, texts: Path) -> None:
    l2m.tokenize(texts, "words", tmp_path / "whole")
    command = [*RUN, "tokenize", str(texts), "--tokenizer", "words", "--out", str(tmp_path / "out")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [run.communicate()[1] for run in runs]
    assert 0 in [run.returncode for run in runs]
    for run, line in zip(runs, told, strict=True):
        assert run.returncode == 0 or (run.returncode == 2 and "in use by " in line and line.count("\n") == 1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_folder_whose_name_is_not_utf_8(tmp_path: Path, texts: Path) -> None:
    out = os.fsencode(tmp_path) + b"/out-\xff"
    for flags in (["--json"], ["--shard", "0/2"], []):
        done = subprocess.run([*RUN, "tokenize", str(texts), "--out", out, *flags], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
    assert l2m.Corpus.open(os.fsdecode(out)).tokens.size


@pytest.mark.parametrize("shard", ["2/2", "-1/2", "a/b", "1", "0/" + "9" * 5000, "0/99999999", "٠/٢", "0/0"])
def test_a_shard_that_is_none_is_one_line(shard: str) -> None:
    from l2m.cli.inputs import read_shard

    with pytest.raises(l2m.InputError, match=r"^shard: .*; expected I/N"):
        read_shard(shard)


def test_ctrl_c_is_one_line_and_the_same_command_resumes(tmp_path: Path, texts: Path) -> None:
    code = (
        "import sys, time, l2m.corpora.tokenize; m = sys.modules['l2m.corpora.tokenize']; m._PART_BYTES = 10_000; run = m.run_part\n"
        "def told(*arguments):\n    run(*arguments); print('part', flush=True); time.sleep(0.2)\n"
        "m.run_part = told\nfrom l2m.cli import main\nmain(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "tokenize", str(texts), "--out", str(tmp_path / "out")]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stderr is not None
    run.stderr.readline()  # only results are on stdout
    run.send_signal(signal.SIGINT)
    lines = run.communicate()[1].splitlines()
    assert run.returncode == 130
    assert [line for line in lines if line != "part"] == ["l2m: stopped; run the same command again to resume"]
    subprocess.run(command, check=True, capture_output=True)
    l2m.tokenize(texts, out=tmp_path / "whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_corpus_is_described_and_damage_to_it_is_one_line(tmp_path: Path, texts: Path) -> None:
    l2m.tokenize(texts, "words", tmp_path / "corpus")
    command = [*RUN, "corpus", "info", str(tmp_path / "corpus"), "--top", "3", "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert [entry["rank"] for entry in told["most_frequent"]] == [1, 2, 3]
    (tmp_path / "corpus" / "words.txt").write_text("other words")
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "words.txt: its checksum differs" in done.stderr
