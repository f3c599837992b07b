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

import numpy as np
import pytest

import l2m
from l2m.scoring.exact import MarkovSource
from l2m.tokenize import estimate, merge_parts, plan, run_parts


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
        "import sys, time, l2m, l2m.tokenize; m = sys.modules['l2m.tokenize']; m._PART_BYTES = 10_000; run = m.run_part\n"
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
        subprocess.run([*run, "tokenize", str(texts), *flags], check=True, capture_output=True)
    subprocess.run([*run, "merge", str(tmp_path / "out")], check=True, capture_output=True)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    bad = subprocess.run([*run, "tokenize", str(texts), "--out", "x", "--shard", "3/3"], capture_output=True, text=True)
    assert (bad.returncode, "shard: '3/3'; expected I/N" in bad.stderr) == (2, True)


# A cluster of three machines of one core each, in processes of their own. One of them is killed with its task half done.
RAY = """
import json, os, sys, threading, time
from pathlib import Path
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import l2m, l2m.tokenize
from ray.cluster_utils import Cluster

module = sys.modules["l2m.tokenize"]
texts, out, kill, marks = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "kill", Path(sys.argv[4])
marks.mkdir()
quick = module.run_part

def slow(job, part):
    import ray
    mark = marks / f"{part}-{ray.get_runtime_context().get_node_id()}-{time.monotonic_ns()}"
    mark.touch()
    time.sleep(0.3)
    quick(job, part)

module.run_part = slow
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)] if kill else []

def killer():
    while not list(marks.glob(f"*-{nodes[1].node_id}-*")):
        time.sleep(0.02)
    cluster.remove_node(nodes[1], allow_graceful=False)

if kill:
    threading.Thread(target=killer, daemon=True).start()
corpus = l2m.tokenize(texts, "words", out, ray=cluster.address)
from l2m.cluster import score_on_ray
from l2m.scoring.exact import MarkovSource

class Count:
    def __init__(self, path):
        self.tokens, self.made = l2m.Corpus.open(path).tokens, time.monotonic_ns()

    def run(self, task):
        return [os.getpid(), self.made, int((self.tokens == int(task)).sum())]

from functools import partial
from l2m.cluster import run_job_on_ray
counted = dict(run_job_on_ray(partial(Count, out), [str(id) for id in range(20)], cluster.address))
print(json.dumps(counted))
source = MarkovSource([[0.9, 0.1], [0.2, 0.8]])
l2m.Corpus(list(source.sample(6, 64, seed=1))).save(out + "-markov")
score_on_ray(out + "-markov", source, cluster.address, out=out + "-scores", threads=1, length=64, max_batch_tokens=128)
if kill:
    try:
        l2m.tokenize(texts / "00.txt", "nobody/absent", out + "-bad", ray=cluster.address)
    except l2m.InputError as error:
        print("bad input:", error)
cluster.shutdown()
"""


def test_three_ray_machines_one_killed_give_the_same_bytes(tmp_path: Path, texts: Path) -> None:
    pytest.importorskip("ray")
    l2m.tokenize(texts, "words", tmp_path / "whole")
    script = tmp_path / "on_ray.py"
    script.write_text(RAY)
    command = [sys.executable, str(script), str(texts), str(tmp_path / "out"), "kill", str(tmp_path / "marks")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    counted = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))  # Ray prints too
    expected = np.bincount(l2m.load(tmp_path / "out").tokens, minlength=20)
    assert {task: result[2] for task, result in counted.items()} == {str(id): int(expected[id]) for id in range(20)}
    assert len({tuple(result[:2]) for result in counted.values()}) == len({result[0] for result in counted.values()})
    source = MarkovSource([[0.9, 0.1], [0.2, 0.8]])
    l2m.score(l2m.load(tmp_path / "out-markov"), source, out=tmp_path / "scores", length=64, max_batch_tokens=128)
    assert tree(tmp_path / "out-scores") == tree(tmp_path / "scores")
    assert "nobody/absent" in done.stdout
    starts = [path.name.split("-") for path in (tmp_path / "marks").iterdir()]
    tasks = [start[0] for start in starts]
    assert len({start[1] for start in starts}) == 3  # all machines had work
    assert len(set(tasks)) == len(list((tmp_path / "texts").iterdir()))
    assert 1 <= len(tasks) - len(set(tasks)) <= 2  # what the killed machine was at, and at most one more it was handed


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
        return task, len(self.ray.started)


def test_a_task_out_of_memory_runs_once_more_alone_and_then_stops() -> None:
    from l2m.cluster import _run

    once = FewMemory({"b": 1})
    assert dict(_run(once, str, ["a", "b", "c"], {"num_cpus": 1, "num_gpus": 0})) == {"a": "A", "b": "B", "c": "C"}
    assert once.started == [("a", 1), ("b", 1), ("c", 1), ("b", 4)]
    with pytest.raises(l2m.InputError, match="task 'b' is out of memory, alone on its machine too"):
        list(_run(FewMemory({"b": 2}), str, ["a", "b", "c"], {"num_cpus": 1, "num_gpus": 0}))
