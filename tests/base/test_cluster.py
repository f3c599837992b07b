"""Ray: work on a cluster gives the bytes of work in one process, and a cluster in trouble is named."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import l2m
from l2m.cli import main
from l2m.scoring import resolve_model
from l2m.truth.sources import MarkovSource
from shares import files, sentences, tree, write_texts


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "texts")


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
    script = Path(__file__).parents[1] / "helpers" / "on_ray.py"
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
    with pytest.raises(l2m.InputError, match="task 'b' ran out of memory even alone on its machine"):
        list(_run(FewMemory({"b": 2}), str, ["a", "b", "c"], {"num_cpus": 1, "num_gpus": 0}))
