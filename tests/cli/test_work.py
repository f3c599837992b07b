"""l2m two-point and l2m ngrams as a user runs them: kept, sharded, resumed, refused."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

import l2m
from l2m.cli import main
from l2m.counting.ngrams import NgramsJob
from texts import some_texts


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    l2m.tokenize(some_texts(10, words=300), "words", folder)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out, printed.err


def test_shards_in_one_folder_and_a_whole_run_give_the_same_bytes(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    assert run(capsys, "two-point", corpus, "--out", whole, "--threads", "1")[0] == 0
    for shard in ("2/3", "0/3", "1/3"):
        assert run(capsys, "two-point", corpus, "--out", shared, "--shard", shard, "--memory", "8GiB")[0] == 0
        assert (shared / "two_point.json").exists() == (shard == "1/3")
    assert (shared / "two_point.json").read_bytes() == (whole / "two_point.json").read_bytes()
    curve = l2m.load(whole / "two_point.json")
    assert np.array_equal(curve.information, l2m.two_point(l2m.Corpus.open(corpus)).information)
    # What is there is not run again, and a lost part is.
    part = sorted((shared / "tasks").glob("*joint*.json"))[0]
    part.unlink()
    assert run(capsys, "two-point", corpus, "--out", shared)[0] == 0
    assert part.exists()
    assert (shared / "two_point.json").read_bytes() == (whole / "two_point.json").read_bytes()
    status, _, error = run(capsys, "two-point", corpus, "--out", shared, "--groups", "4")
    assert (status, error.count("\n")) == (2, 1)
    assert "holds a run with" in error
    part.write_text(part.read_text().replace('"counts"', '"count"'))
    status, _, error = run(capsys, "two-point", corpus, "--out", shared)
    assert status == 2
    assert str(part) in error


COUNTS = {
    "two-point": ["two-point", "--distances", "1", "--distances", "2", "--distances", "5", "--parts", "5"],
    "ngrams": ["ngrams", "--n-max", "4", "--parts", "9"],
}


@pytest.fixture(scope="module", params=sorted(COUNTS))
def whole(
    request: pytest.FixtureRequest, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[str], Path]:
    """A command, and the folder it wrote in one run of one thread."""
    command, out = COUNTS[request.param], tmp_path_factory.mktemp("whole") / "out"
    with pytest.raises(SystemExit) as end:
        main([command[0], str(corpus), *command[1:], "--out", str(out), "--threads", "1"])
    assert not end.value.code
    return command, out


def test_seven_shards_in_any_order_merge_to_the_folder_of_one_run(
    whole: tuple[list[str], Path], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, expected = whole
    order = Random(0).sample(range(7), 7)
    for index in order:
        here = ["--threads", str(1 + 5 * (index % 4)), "--out", tmp_path / str(index), "--shard", f"{index}/7"]
        assert run(capsys, command[0], corpus, *command[1:], *here)[0] == 0
    status, printed, _ = run(
        capsys, "merge", *(tmp_path / str(index) for index in order), "--out", tmp_path / "all", "--json"
    )
    assert status == 0
    assert tree(tmp_path / "all") == tree(expected)
    assert json.loads(printed)
    # Merged again, into one of the shards, by name: as much as was there.
    assert run(capsys, "merge", *(tmp_path / str(index) for index in order), "--out", tmp_path / "0")[0] == 0
    assert tree(tmp_path / "0") == tree(expected)


def test_what_is_wrong_with_shards_of_a_count_is_named(
    whole: tuple[list[str], Path], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, expected = whole
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))

    def shard(index: int, out: Path, parts: str = command[-1]) -> None:
        arguments = [*command[1:-1], parts, "--out", out, "--shard", f"{index}/3"]
        assert run(capsys, command[0], corpus, *arguments)[0] == 0

    def refused(*folders: Path) -> str:
        status, _, error = run(capsys, "merge", *folders, "--out", tmp_path / "all")
        assert (status, error.count("\n")) == (2, 1)
        assert not (tmp_path / "all").exists()
        return error

    shard(0, one)
    shard(2, two)
    assert "--shard 1/3" in refused(one, two)
    assert "missing" in refused(one)
    shutil.copytree(one, three)
    assert f"{three}: task " in refused(one, two, three)
    assert "the same shard twice?" in refused(one, two, three)
    shutil.rmtree(three)
    shard(1, three, parts="4")
    assert f"{three}: parts 4, but {command[-1]} in {one}" in refused(one, two, three)
    assert "no job.json" in refused(one, corpus)
    shutil.rmtree(three)
    shard(1, three)
    part = next((three / "tasks").iterdir())
    content = part.read_text()
    part.write_text(content.replace("[", "[0,", 1))
    assert f"{part}: its checksum differs" in refused(one, two, three)
    part.write_text(content)
    job = one / "job.json"
    content = job.read_text()
    job.write_text(content.replace(str(corpus), str(tmp_path / "moved")))
    assert "moved/corpus.json: no such file" in refused(one, two, three)
    assert run(capsys, "merge", one, two, three, "--out", one, "--corpus", corpus)[0] == 0
    job.write_text(content)
    assert tree(one) == tree(expected)


def test_an_interrupted_count_goes_on(
    whole: tuple[list[str], Path], corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, expected = whole
    out = tmp_path / "out"
    shutil.copytree(expected, out)
    lost = sorted((out / "tasks").iterdir())[3:]
    for path in [*lost, *out.glob("*.json"), *out.glob("*.svg")]:
        path.unlink()
    kept = {path: path.stat().st_mtime_ns for path in (out / "tasks").iterdir()}
    assert run(capsys, command[0], corpus, *command[1:], "--out", out)[0] == 0
    assert tree(out) == tree(expected)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # not run again


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_library_and_the_command_count_the_same(
    whole: tuple[list[str], Path], corpus: Path, tmp_path: Path
) -> None:
    command, expected = whole
    if command[0] == "ngrams":
        counts = l2m.ngrams(l2m.load(corpus), 4, threads=16, memory="4MiB")
        counts.save(tmp_path / "saved")
        assert (tmp_path / "saved").read_bytes() == (expected / "ngrams.json").read_bytes()
        assert (expected / "ngrams.svg").read_text().count("<path") > 10
        rows = counts.columns()
        assert np.allclose(np.cumsum(rows["rate"]), rows["entropy"])
        assert rows["entropy"][1] == counts.entropy(2).value
    else:
        l2m.two_point(l2m.load(corpus), [1, 2, 5], threads=16).save(tmp_path / "saved")
        assert (tmp_path / "saved").read_bytes() == (expected / "two_point.json").read_bytes()


def test_the_three_ways_of_the_readme_give_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    """The laptop's line, and the job array's with the script of docs/corpora.md as SLURM would run it; Ray's is the first with
    --ray, in test_cluster.py."""
    pages = Path(__file__).parents[2]
    lines = {line.removeprefix("$ ").split("  ")[0] for line in (pages / "README.md").read_text().splitlines()}
    assert {"l2m two-point corpus --out results", "l2m two-point corpus --out results --ray auto"} <= lines
    [script] = [
        block.split("```")[0]
        for block in (pages / "docs" / "corpora.md").read_text().split("```bash\n")
        if block.startswith("#!/bin/bash")
    ]
    few = "--distances 1 --groups 4 --parts 3"
    assert "--parts 64" in script
    script = script.replace("--parts 64", few)
    for way in ("laptop", "slurm"):
        (tmp_path / way).mkdir()
        (tmp_path / way / "corpus").symlink_to(corpus)

    def bash(way: str, script: str, **variables: str) -> None:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables}
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path / way, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    bash("laptop", f"l2m two-point corpus {few} --out results")
    for index in Random(1).sample(range(3), 3):
        array = {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_CPUS_PER_TASK": "2"}
        bash("slurm", script, **array)
    bash("slurm", "l2m merge results")
    one, other = (tree(tmp_path / way / "results") for way in ("laptop", "slurm"))
    assert one.pop("job.json") != other.pop("job.json")  # each names its folder of the corpus
    assert one == other


def test_dry_run_writes_nothing_and_json_is_one_object(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each command times a few milliseconds for its forecast: only seconds out of one and the same can be compared.
    forecasts: dict[type, object] = {}
    for job in (l2m.TwoPointJob, NgramsJob):
        forecast = job.forecast
        monkeypatch.setattr(job, "forecast", lambda self, of=forecast: forecasts.setdefault(type(self), of(self)))
    for command in ("two-point", "ngrams"):
        flags = ["--out", tmp_path / "out", "--dry-run", "--json"]
        whole, shard = (json.loads(run(capsys, command, corpus, *flags, *more)[1]) for more in ([], ["--shard", "1/4"]))
        assert whole["tasks"] >= 8
        assert 0 < shard["seconds"] < whole["seconds"]
        assert 0 < whole["least_memory_bytes"] <= whole["memory_bytes"]
        assert not (tmp_path / "out").exists()
    _, printed, _ = run(capsys, "two-point", corpus, "--distances", "1", "--distances", "2", "--json")
    assert json.loads(printed)["curve"]["distance"]["data"] == [1, 2]


def test_ngrams_of_text_are_those_of_a_dictionary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("abracadabra" * 30)
    _, printed, _ = run(capsys, "ngrams", tmp_path / "text.txt", "--n-max", "3", "--most-common", "2", "--json")
    text = b"abracadabra" * 30
    for order in json.loads(printed)["orders"]:
        n = order["n"]
        counted = Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
        assert (order["total"], order["distinct"]) == (sum(counted.values()), len(counted))
        best = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:2]
        assert order["most_common"] == [[list(ids), count] for ids, count in best]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["two-point"], "TEXT: nothing named"),
        (["two-point", "CORPUS", "--memory", "2 bananas"], "memory"),
        (["two-point", "CORPUS", "--memory", "1000"], "memory"),
        (["two-point", "CORPUS", "--shard", "3/3", "--out", "x"], "shard"),
        (["two-point", "CORPUS", "--shard", "0/3"], "out: not named"),
        (["two-point", "CORPUS", "--distances", "0"], "distances"),
        (["ngrams", "CORPUS", "--n-max", "9"], "n_max: 9"),
        (["ngrams", "CORPUS", "--table", "2"], "out: not named"),
        (["ngrams", "CORPUS", "--table", "9", "--out", "x"], "table: 9"),
        (["ngrams", "CORPUS", "--shard", "0/3"], "out: not named"),
        (["ngrams", "CORPUS", "--parts", "-1", "--out", "x"], "parts: -1"),
        (["ngrams", "CORPUS", "--memory", "1000"], "this corpus needs at least"),
        (["two-point", "CORPUS", "--parts", "-1", "--out", "x"], "parts: -1"),
        (["two-point", "CORPUS", "--shard", "0/3", "--ray", "auto", "--out", "x"], "given together with ray"),
        (["two-point", "text.txt", "--shard", "0/2", "--out", "x"], "TEXT: text.txt with --shard"),
        (["two-point", "s3:/nowhere/corpus"], "nowhere"),
        (["two-point", "CORPUS", "--threads", "1000000"], "threads: 1000000"),
        (["two-point", "CORPUS", "--threads", "0"], "threads: 0"),
        (["two-point", "CORPUS", "--parts", "99999999", "--out", "x"], "parts: 99999999"),
        (["two-point", "CORPUS", "--groups", "1000000000"], "groups: 1000000000"),
        (["two-point", "CORPUS", "--distances", "2.7"], "distances: '2.7'"),
        (["two-point", "CORPUS", "--distances", "1", "2"], "a list is written with commas"),
        (["two-point", "CORPUS", "--seed", "-1"], "seed: -1"),
        (["ngrams", "CORPUS", "--most-common", "-1"], "most_common: -1"),
        (["merge"], "FOLDERS: nothing named"),
        (["merge", "a", "b"], "out: not named for 2 folders"),
    ],
)
def test_bad_input_is_one_line(
    corpus: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    status, _, error = run(capsys, *(str(corpus) if part == "CORPUS" else part for part in arguments))
    assert (status, error.count("\n")) == (2, 1)
    assert message in error


PEAK = """
import re, sys
from pathlib import Path
from l2m.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="peak memory is read from Linux's /proc")
def test_the_memory_option_is_that_of_the_process(tmp_path: Path) -> None:
    """Interpreter and modules included, mapped tokens apart."""
    size, budget = 6_000_000, 120 << 20
    tokens = np.minimum(np.random.default_rng(12).zipf(1.3, size), 30_000).astype(np.uint16)
    l2m.Corpus(tokens, np.arange(0, size + 1, 100_000), 30_001).save(tmp_path / "corpus")
    options = ["--distances", "1,2,4,8,16,32,64", "--no-within-document", "--threads", "2", "--memory", str(budget)]
    command = [sys.executable, "-c", PEAK, "two-point", str(tmp_path / "corpus"), *options]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    peak = int(printed.split()[-1]) << 10
    assert peak - tokens.nbytes <= 1.02 * budget
    # Without a budget the lists take more: the bound above is one.
    free = subprocess.run([*command[:-2]], check=True, capture_output=True, text=True).stdout
    assert int(free.split()[-1]) << 10 > peak
