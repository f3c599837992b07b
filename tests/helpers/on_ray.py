"""Run by base/test_cluster.py: a Ray cluster of three machines of one core each, in processes of their own, that loses two of them
while they work.

    python tests/helpers/on_ray.py FOLDER       with texts/, corpus/ and model/ in it
"""

import contextlib
import io
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from ray.cluster_utils import Cluster

import l2m
import l2m.corpora.tokenize
import l2m.counting.tasks
from l2m.cli import main
from l2m.scoring.on_ray import score_on_ray
from l2m.scoring.settings import ScoreSettings
from l2m.truth.sources import MarkovSource

folder = Path(sys.argv[1])
marks = folder / "marks"
marks.mkdir()
quick_part, quick_remake = sys.modules["l2m.corpora.tokenize"].run_part, l2m.counting.tasks.remake


def mark(what: str) -> None:
    (marks / f"{what}@{ray.get_runtime_context().get_node_id()}@{os.getpid()}@{time.monotonic_ns()}").touch()


def all_at_work(kind: str, machines: int) -> None:
    """Wait until each machine has begun a task of this kind: where workers start slowly, one machine would do them all."""
    until = time.monotonic() + 60
    while len({path.name.split("@")[2] for path in marks.glob(f"{kind}@*")}) < machines and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)


def slow_part(job: Any, part: int) -> None:
    mark(f"tokenize@{part}")
    all_at_work("tokenize", 2)
    quick_part(job, part)


def slow_remake(description: Any, **options: Any) -> Any:
    job = quick_remake(description, **options)
    kind, run = description["settings"]["job"], job.run
    mark(f"{kind}-made@")

    def slow(task: l2m.counting.tasks.Task) -> Any:
        mark(f"{kind}@{task.name}")
        all_at_work(kind, 3 if kind == "two-point" else 1)
        return run(task)

    job.run = slow
    return job


# Of this module, so Ray sends them to the workers; what they call is imported there.
sys.modules["l2m.corpora.tokenize"].run_part = slow_part  # type: ignore[attr-defined]
l2m.counting.tasks.remake = slow_remake


def command(*arguments: str) -> str:
    """What a command that must succeed prints."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            main([*arguments, "--ray", cluster.address])
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"{arguments}: exit status {end.code}") from None
    return printed.getvalue()


def lose(node: Any, kind: str) -> None:
    """Kill a machine when it has begun a task of this kind."""

    def killer() -> None:
        while not list(marks.glob(f"{kind}@*@{node.node_id}@*")):
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)

    threading.Thread(target=killer, daemon=True).start()


class Stopped(Exception):
    pass


def stop_after_three(done: int, total: int) -> None:
    if done >= 3:
        raise Stopped


cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
first, second = (cluster.add_node(num_cpus=1) for _ in range(2))
corpus, texts, out = (str(folder / name) for name in ("corpus", "texts", "ray-"))

lose(second, "two-point")
command("two-point", corpus, *sys.argv[2].split(), "--out", out + "two-point")
# Connecting takes seconds: once more for all that follows, by name.
ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
assert json.loads(command("ngrams", corpus, *sys.argv[3].split(), "--json"))["orders"][0]["n"] == 1

# Ray may not have noticed yet that one is lost.
assert json.loads(command("two-point", corpus, "--dry-run", "--json"))["workers"] in (2, 3)

lose(first, "tokenize")
l2m.tokenize(texts, "words", out + "tokenize", ray=cluster.address)

counting = l2m.ngrams.__globals__["NgramsJob"](l2m.load(folder / "corpus"), 4, parts=9)
for stop in (stop_after_three, None):
    try:
        counts = l2m.counting.tasks.run_in_folder(counting, out + "ngrams", progress=stop, ray=cluster.address)
    except Stopped:
        kept = sorted(path.stem for path in Path(out + "ngrams", "tasks").iterdir())
counts.save(out + "ngrams/ngrams.json")

source = MarkovSource([[0.9, 0.1], [0.2, 0.8]])
l2m.Corpus(list(source.sample(6, 64, seed=1))).save(out + "markov")
score_on_ray(
    out + "markov",
    source,
    cluster.address,
    out=out + "markov-scores",
    threads=1,
    settings=ScoreSettings(length=64, max_batch_tokens=128),
)
command("score", str(folder / "model-corpus"), *sys.argv[4].split(), "--out", out + "scores", "--threads", "1")

refused = ""
try:
    l2m.tokenize(texts + "/00.txt", "nobody/absent", out + "bad", ray=cluster.address)
except l2m.InputError as error:
    refused = str(error)
print(json.dumps({"kept": kept, "refused": refused}))
ray.shutdown()
cluster.shutdown()
