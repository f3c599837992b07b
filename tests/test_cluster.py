"""A job cut into shares gives the bytes of the job in one piece, however it was cut, stopped and put together."""

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import l2m
from l2m.cli import main
from l2m.corpora.tokenize import estimate, merge_parts, plan, run_parts
from l2m.scoring import resolve_model
from l2m.truth.sources import MarkovSource


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


def tree(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


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


TWO_POINT = "--distances 1 --distances 2 --distances 5 --parts 5"
NGRAMS = "--n-max 4 --parts 9"
SCORE = "--model MODEL --length 32 --windows 6 --max-batch-tokens 64"


def test_a_ray_cluster_that_loses_two_of_three_machines_gives_the_same_bytes(
    tmp_path: Path, texts: Path, tiny_model: Path
) -> None:
    pytest.importorskip("ray")
    corpus = l2m.tokenize(texts, "words", tmp_path / "corpus")
    local, ray = (
        [tmp_path / f"{place}-{name}" for name in ("two-point", "ngrams", "scores")] for place in ("local", "ray")
    )
    encoder = resolve_model(str(tiny_model)).encoder()
    l2m.tokenize([sentences(number) for number in range(4)], encoder, tmp_path / "model-corpus")
    score = SCORE.replace("MODEL", str(tiny_model)).split()
    for arguments, out in (
        (["two-point", tmp_path / "corpus", *TWO_POINT.split()], local[0]),
        (["ngrams", tmp_path / "corpus", *NGRAMS.split()], local[1]),
        (["score", tmp_path / "model-corpus", *score], local[2]),
    ):
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments), "--out", str(out)])
        assert not end.value.code
    script = Path(__file__).with_name("on_ray.py")
    command = [sys.executable, str(script), str(tmp_path), TWO_POINT, NGRAMS, " ".join(score)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"kept"')))  # Ray prints too

    assert files(tmp_path / "ray-tokenize") == files(tmp_path / "corpus")
    assert tree(ray[0]) == tree(local[0])
    assert tree(ray[1]).items() <= tree(local[1]).items()  # without table and figure
    assert (ray[1] / "ngrams.json").exists()
    assert tree(ray[2]) == tree(local[2])
    source = MarkovSource([[0.9, 0.1], [0.2, 0.8]])
    l2m.score(l2m.load(tmp_path / "ray-markov"), source, out=tmp_path / "scores", length=64, max_batch_tokens=128)
    assert tree(tmp_path / "ray-markov-scores") == tree(tmp_path / "scores")
    assert "nobody/absent" in found["refused"]
    assert len(corpus) == 20

    runs: dict[str, list[list[str]]] = {}
    for path in (tmp_path / "marks").iterdir():
        kind, task, machine, process, _ = path.name.split("@")
        runs.setdefault(kind, []).append([task, machine, process])
    for kind, tasks, machines in (
        ("two-point", len(list((local[0] / "tasks").iterdir())), 3),
        ("tokenize", len(list(texts.iterdir())), 2),
    ):
        assert len({machine for _, machine, _ in runs[kind]}) == machines  # all had work
        started = [task for task, _, _ in runs[kind]]
        assert len(set(started)) == tasks
        assert 1 <= len(started) - tasks <= 2  # what the killed machine was at, and at most one more it was handed
    # A job is made once by a worker process: in all of them once for two-point, twice for n-grams stopped and gone on with.
    made = [process for _, _, process in runs["two-point-made"]]
    assert len(set(made)) == len(made)
    # The driver stopped with three results; those were not run again.
    assert len(found["kept"]) == 3
    assert max(sum(task == kept for task, _, _ in runs["n-grams"]) for kept in found["kept"]) == 2


@pytest.mark.parametrize(
    ("address", "message"),
    [("127.0.0.1:9", "no answer from 127.0.0.1:9 within .*ray start --head"), ("here", "expected auto, HOST:PORT")],
)
def test_a_ray_address_that_does_not_answer_is_named(tmp_path: Path, texts: Path, address: str, message: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(l2m.InputError, match=message):
        l2m.tokenize(texts, out=tmp_path / "out", ray=address)
    assert not (tmp_path / "out").exists()
    with pytest.raises(l2m.InputError, match="out: None with ray"):
        l2m.tokenize(texts, ray=address)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_dry_run_predicts_and_writes_nothing(tmp_path: Path, texts: Path, compressed: bool) -> None:
    if compressed:
        for path in texts.iterdir():
            path.with_suffix(".txt.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    expected = estimate(plan(texts, "words", tmp_path / "out", shards=4))
    assert not (tmp_path / "out").exists()
    corpus = l2m.tokenize(texts, "words", tmp_path / "out", duplicates="keep")
    # All of it is the sample: the tokens are exact.
    assert expected.tokens == corpus.tokens.size
    assert expected.disk_bytes >= corpus.tokens.nbytes
    assert expected.seconds > 0


class FewMemory:
    """What `_run` uses of Ray, where the tasks named in `failing` are killed for memory so often."""

    class exceptions:
        class OutOfMemoryError(Exception): ...

        class RayTaskError(Exception): ...

        class RaySystemError(Exception): ...

    def __init__(self, failing: dict[str, int]) -> None:
        self.failing = dict(failing)
        self.started: list[tuple[str, int]] = []
        self.last: dict[str, object] = {}

    def put(self, value: object) -> object:
        return value

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 6.0}

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": True, "Resources": {"CPU": 4.0}}]

    def remote(self, **needs: Any) -> Callable[[object], "Handle"]:
        return lambda call: Handle(self, needs)

    def cancel(self, reference: object, force: bool) -> None: ...

    def wait(self, references: list[str], timeout: float) -> tuple[list[str], list[str]]:
        return references[:1], references[1:]

    def get(self, reference: tuple[str, int]) -> str:
        task, _ = reference
        if self.failing.get(task, 0):
            self.failing[task] -= 1
            raise self.exceptions.OutOfMemoryError("killed by the memory monitor")
        return task.upper()


class Handle:
    def __init__(self, ray: FewMemory, needs: dict[str, Any]) -> None:
        self.ray, self.needs = ray, needs

    def options(self, **needs: Any) -> "Handle":
        return Handle(self.ray, needs)

    def remote(self, function: object, task: str, cpus: int) -> tuple[str, int]:
        self.ray.started.append((task, self.needs["num_cpus"]))
        self.ray.last[task] = function
        return task, len(self.ray.started)


def test_a_task_out_of_memory_runs_once_more_alone_and_then_stops() -> None:
    from l2m.base.cluster import _run

    once = FewMemory({"b": 1})
    assert dict(_run(once, str, ["a", "b", "c"], {"num_cpus": 1, "num_gpus": 0})) == {"a": "A", "b": "B", "c": "C"}
    with_less = FewMemory({"b": 1})
    assert list(_run(with_less, str, ["a", "b"], {"num_cpus": 1, "num_gpus": 0}, len)) == [("a", "A"), ("b", "B")]
    assert with_less.last == {"a": str, "b": len}
    assert once.started == [("a", 1), ("b", 1), ("c", 1), ("b", 4)]
    with pytest.raises(l2m.InputError, match="task 'b' is out of memory, alone on its machine too"):
        list(_run(FewMemory({"b": 2}), str, ["a", "b", "c"], {"num_cpus": 1, "num_gpus": 0}))
