"""n-gram counts of every order up to 8: fingerprints, entropies, the most common, and the whole table as a stream."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m import _core
from l2m.base.forecast import Forecast, makespan
from l2m.base.progress import Progress
from l2m.base.records import Record
from l2m.corpora.corpus import Corpus
from l2m.counting.tasks import cores, parse_memory, part_of
from l2m.errors import InputError
from l2m.statistics.entropy import Estimate, Fingerprint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST = 8


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NgramCounts(Record):
    """Counts of the n-grams inside documents, n = 1 to `n_max`.

    Attributes:
        n_max: the largest order.
        fingerprints: one an order, from n = 1.
    """

    kind: ClassVar[str] = "n-grams"

    n_max: int
    fingerprints: tuple[Fingerprint, ...]

    def fingerprint(self, n: int) -> Fingerprint:
        """How many n-grams occurred how often."""
        return self.fingerprints[self._order(n) - 1]

    def entropy(self, n: int, estimator: str = "grassberger") -> Estimate:
        """Joint entropy of n tokens in a row, in `unit`."""
        return self.fingerprint(n).entropy(estimator)

    def distinct(self, n: int) -> int:
        """How many different n-grams occurred."""
        return self.fingerprint(n).distinct

    def total(self, n: int) -> int:
        """How many n-grams there are, inside documents."""
        return self.fingerprint(n).total

    def most_common(self, n: int, k: int = 10) -> list[tuple[tuple[int, ...], int]]:
        """The k most frequent n-grams, (ids, count), ties in the order of ids. Walks over the corpus again.

        Raises:
            InputError: counts that were loaded from a file and are no longer beside their corpus.
        """
        self._order(n)
        if k < 1:
            raise InputError(f"k: {k}; expected at least 1")
        counter, threads, budget = self._source()
        ids, counts = counter.most_common(n, k, budget, threads)
        rows = ids.reshape(-1, n).tolist()
        return [(tuple(row), count) for row, count in zip(rows, counts.tolist(), strict=True)]

    def table(self, n: int) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
        """The full table in the order of ids, in batches of ((rows, n) ids, (rows,) counts), in bounded memory."""
        self._order(n)
        counter, _, budget = self._source()
        # An n-gram in a batch takes about ten times its packed key.
        for low, high in counter.plan(n, max(budget // 10, counter.least(n))):
            ids, counts = counter.table(n, low, high)
            yield ids.reshape(-1, n), counts

    def to_parquet(self, path: str | os.PathLike[str], n: int) -> None:
        """Write the full table: columns token_1 ... token_n and count, in the order of ids."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from l2m.base.files import atomic_write

        names = [*(f"token_{place}" for place in range(1, self._order(n) + 1)), "count"]
        schema = pa.schema([(name, pa.uint64() if name == "count" else pa.uint32()) for name in names])
        with atomic_write(Path(path)) as file, pq.ParquetWriter(file, schema) as writer:
            for ids, counts in self.table(n):
                columns = [*(ids[:, place].astype(np.uint32) for place in range(n)), counts]
                writer.write_table(pa.table(columns, schema=schema))

    @property
    def block_entropies(self) -> NDArray[np.float64]:
        """H_n (Grassberger) for n = 1 to n_max; nan where no document is that long."""
        return np.array([self.entropy(n).value if self.total(n) else np.nan for n in range(1, self.n_max + 1)])

    def columns(self) -> dict[str, np.ndarray]:
        """One row an order: n, total, distinct, entropy H_n and rate H_n - H_(n-1) in nats."""
        orders = range(1, self.n_max + 1)
        entropies = self.block_entropies
        return {
            "n": np.array(orders),
            "total": np.array([self.total(n) for n in orders], np.uint64),
            "distinct": np.array([self.distinct(n) for n in orders], np.uint64),
            "entropy": entropies,
            "rate": np.diff(entropies, prepend=0.0),
        }

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Block entropy H_n and entropy rate H_n - H_(n-1) by n, beside ln of the number of n-grams: no estimate can exceed
        it by much, so where H_n comes near it the corpus is too small for n, and the rate falls for that reason alone."""
        from l2m.base.plots import BLUE, GREY, ORANGE, new_axes

        axes = new_axes() if axes is None else axes
        rows = self.columns()
        total = rows["total"].astype(float)
        most = np.log(total, out=np.full(total.size, np.nan), where=total > 0)
        axes.plot(rows["n"], most, "--", color=GREY, linewidth=1, label="ln of the number of n-grams")
        axes.plot(rows["n"], rows["entropy"], "o-", color=BLUE, label="block entropy $H_n$")
        axes.plot(rows["n"], rows["rate"], "s-", color=ORANGE, label="entropy rate $H_n - H_{n-1}$")
        axes.set(xlabel="n (tokens)", ylabel="entropy (nats)", xticks=rows["n"])
        axes.set_ylim(bottom=0)
        axes.legend()
        return axes

    def _order(self, n: int) -> int:
        if not 1 <= n <= self.n_max:
            raise InputError(f"n: {n}; expected 1 to {self.n_max}")
        return n

    def _source(self) -> "tuple[_core.NgramCounter, int, int]":
        job: NgramsJob | None = self.__dict__.get("_job")
        if job is None:
            raise InputError("n-grams: loaded from a file, without their corpus; expected l2m.ngrams(corpus) once more")
        return job.counter, *job.budget


def ngrams(
    corpus: Corpus | ArrayLike | Sequence[ArrayLike],
    n_max: int = 5,
    *,
    threads: int | None = None,
    memory: int | str | None = None,
    progress: Progress | None = None,
) -> NgramCounts:
    """Count the n-grams of every order from 1 to `n_max` (at most 8); they never cross a document.

    Args:
        corpus: a corpus, or what `Corpus` takes.
        threads: None: all cores. Never changes the result.
        memory: bytes or e.g. "2GiB"; None: what full speed needs. Never changes the result.
        progress: called as progress(done, total), in tokens.

    Raises:
        InputError: n_max outside 1 to 8, an empty corpus, memory below what is needed.
    """
    return NgramsJob(corpus, n_max, threads=threads, memory=memory, parts=1).run_all(progress)


class NgramsJob:
    """The counts of `ngrams` as tasks whose results add; see `l2m.counting.tasks`.

    Args: those of `ngrams`, and
        parts: tasks, by ranges of first tokens; None: 8, more from 5e8 tokens on.
    """

    def __init__(
        self,
        corpus: Corpus | ArrayLike | Sequence[ArrayLike],
        n_max: int = 5,
        *,
        threads: int | None = None,
        memory: int | str | None = None,
        parts: int | None = None,
    ) -> None:
        self.corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
        if not 1 <= n_max <= LONGEST:
            raise InputError(f"n_max: {n_max}; expected 1 to {LONGEST}")
        if self.corpus.tokens.size == 0:
            raise InputError("corpus: no tokens; expected at least one")
        if threads is not None and threads < 1:
            raise InputError(f"threads: {threads}; expected at least 1")
        if parts is not None and parts < 1:
            raise InputError(f"parts: {parts}; expected at least 1")
        self.n_max, self.threads, self.memory = n_max, threads or cores(), parse_memory(memory)
        self.parts = parts or max(8, self.corpus.tokens.size >> 26)
        self.options = {"n_max": n_max, "parts": self.parts}

    @property
    def settings(self) -> dict[str, Any]:
        """What is counted of what: equal settings, equal tasks, equal results."""
        return {"job": "n-grams", "corpus": self.corpus.hash, **self.options}

    @property
    def tasks(self) -> list[str]:
        """part-PART, by ranges of first tokens."""
        return [f"part-{part:05}" for part in range(self.parts)]

    @cached_property
    def counter(self) -> "_core.NgramCounter":
        """The corpus by places of its ids."""
        return _core.NgramCounter(np.ascontiguousarray(self.corpus.tokens), self.corpus.offsets, self.threads)

    @cached_property
    def budget(self) -> tuple[int, int]:
        """(threads, bytes a thread may take) within the memory given.

        Raises:
            InputError: less than the list of the commonest token needs.
        """
        counter = self.counter
        least = counter.least(self.n_max)
        # Lists of 8 bytes a token in all; in a part of the corpus, a list for every thread.
        full = max(least, (64 << 20) // self.parts, self.corpus.tokens.size * 10 // (self.threads * self.parts))
        if self.memory is None:
            return self.threads, full
        room = self.memory - counter.bytes()
        if room < least:
            raise InputError(f"memory: {self.memory:,} bytes; this corpus needs at least {self.least_memory:,} bytes")
        threads = min(self.threads, room // least)
        return threads, room // threads

    @property
    def least_memory(self) -> int:
        """The smallest budget with which it can run, in bytes."""
        return self.counter.bytes() + self.counter.least(self.n_max)

    def forecast(self) -> Forecast:
        """What a run will take, from counting a few percent of the tokens on this machine."""
        start = perf_counter()
        counter = self.counter
        prepare = perf_counter() - start
        threads, budget = self.budget
        ends = np.concatenate([[0], np.cumsum(counter.frequencies)]).astype(np.int64)

        def timed(low: int, high: int) -> tuple[float, int]:
            start = perf_counter()
            found = counter.fingerprints(self.n_max, low, high, budget, 1)
            return perf_counter() - start, len(
                json.dumps([[part.tolist() for part in pair] for pair in found], indent=1)
            )

        ranges = [part_of(counter.frequencies, part, 64) for part in range(64)]
        ranges = [bounds for bounds in ranges if bounds[0] < bounds[1]]
        walk, _ = timed(counter.distinct - 1, counter.distinct)
        took, tokens, size = 0.0, 0, 0.0
        for low, high in (ranges[0], ranges[len(ranges) // 2], ranges[-1]):
            spent, written = timed(low, high)
            here = int(ends[high] - ends[low])
            took, tokens = took + max(spent - walk, 0), tokens + here
            size += written / np.sqrt(here / int(ends[-1])) / 3
        tasks, result_bytes = {}, 0.0
        pieces = counter.plan(self.n_max, budget)
        for part, task in enumerate(self.tasks):
            low, high = part_of(counter.frequencies, part, self.parts)
            own = [(max(low, first), min(high, end)) for first, end in pieces]
            costs = [walk + took / tokens * int(ends[end] - ends[first]) for first, end in own if first < end]
            tasks[task] = makespan(costs, threads)
            # Fingerprints grow with the root of what is counted.
            result_bytes += size * np.sqrt((ends[high] - ends[low]) / ends[-1])
        return Forecast(
            tasks=tasks,
            work={"tokens": self.corpus.tokens.size},
            prepare=prepare,
            threads=threads,
            memory_bytes=counter.bytes() + threads * budget,
            least_memory_bytes=self.least_memory,
            disk_bytes=int(result_bytes),
        )

    def run(self, task: str, progress: Progress | None = None) -> dict[str, Any]:
        """The fingerprints of one task, by order."""
        if task not in self.tasks:
            raise InputError(f"task: {task!r}; expected one of {', '.join(self.tasks[:3])}, ...")
        low, high = part_of(self.counter.frequencies, int(task.removeprefix("part-")), self.parts)
        threads, budget = self.budget
        found = self.counter.fingerprints(self.n_max, low, high, budget, threads, progress)
        return {
            "counts": [counts.tolist() for counts, _ in found],
            "symbols": [symbols.tolist() for _, symbols in found],
        }

    def run_all(self, progress: Progress | None = None) -> NgramCounts:
        """Run every task here and combine."""
        return self.combine({task: self.run(task, progress) for task in self.tasks})

    def combine(self, results: Mapping[str, dict[str, Any]]) -> NgramCounts:
        """The counts from the results of all tasks."""
        sums = [Fingerprint(np.zeros(0, np.uint64), np.zeros(0, np.uint64)) for _ in range(self.n_max)]
        for task in self.tasks:
            result = results[task]
            for index, (counts, symbols) in enumerate(zip(result["counts"], result["symbols"], strict=True)):
                sums[index] += Fingerprint(np.array(counts, np.uint64), np.array(symbols, np.uint64))
        corpus = self.corpus
        settings = {"tokens": corpus.tokens.size, "documents": len(corpus), "tokenizer": corpus.tokenizer["name"]}
        counts = NgramCounts(self.n_max, tuple(sums), settings=settings)
        counts.__dict__["_job"] = self
        return counts
