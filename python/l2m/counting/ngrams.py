"""n-gram counts of every order up to 8: fingerprints, entropies, the most common, and the whole table as a stream."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m import _core
from l2m.base import checks
from l2m.base.forecast import Forecast, makespan
from l2m.base.optional import require
from l2m.base.progress import Progress
from l2m.base.records import Record
from l2m.corpora.corpus import Corpus
from l2m.counting.results import check_entries, check_rows, sum_of_fingerprints
from l2m.counting.tasks import calibrate, check_parts, default_parts, part_of
from l2m.errors import InputError
from l2m.statistics.entropy import Estimate, Fingerprint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_COMMON = 10_000_000
"""At most so many n-grams in a list of the most frequent: each takes some 200 bytes."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NgramCounts(Record):
    """Counts of the n-grams inside documents, n = 1 to `n_max`.

    Attributes:
        n_max: the largest order.
        fingerprints: one an order, from n = 1.
        source: the job that counted, which the most common n-grams and the table ask again; None for counts from a file.
    """

    kind: ClassVar[str] = "n-grams"

    n_max: int
    fingerprints: tuple[Fingerprint, ...]
    source: "NgramsJob | None" = dataclasses.field(default=None, kw_only=True)

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
        """The k most frequent n-grams, (ids, count), ties in the order of ids. Reads the corpus again.

        Raises:
            InputError: n outside 1 to `n_max`, k outside 1 to 10,000,000, or counts that were loaded from a file.
        """
        n, k = self._order(n), checks.whole("k", k, 1, MOST_COMMON)
        job = self._job()
        threads, budget = job.budget
        ids, counts = job.counter.most_common(n, k, budget, threads)
        rows = ids.reshape(-1, n).tolist()
        return [(tuple(row), count) for row, count in zip(rows, counts.tolist(), strict=True)]

    def table(self, n: int) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
        """The full table in the order of ids, in batches of ((rows, n) ids, (rows,) counts), in bounded memory.

        Raises:
            InputError: n outside 1 to `n_max`, or counts that were loaded from a file.
        """
        n, job = self._order(n), self._job()
        counter, (_, budget) = job.counter, job.budget
        # An n-gram in a batch takes about ten times its packed key.
        for low, high in counter.plan(n, max(budget // 10, counter.least(n))):
            ids, counts = counter.table(n, low, high)
            yield ids.reshape(-1, n), counts

    def to_parquet(self, path: str | os.PathLike[str], n: int) -> None:
        """Write the full table: columns token_1 ... token_n and count, in the order of ids."""
        require("parquet", "pyarrow")
        import pyarrow as pa
        import pyarrow.parquet as pq

        from l2m.base.files import atomic_write

        n = self._order(n)
        names = [*(f"token_{place}" for place in range(1, n + 1)), "count"]
        schema = pa.schema([(name, pa.uint64() if name == "count" else pa.uint32()) for name in names])
        with atomic_write(Path(path)) as file, pq.ParquetWriter(file, schema) as writer:
            for ids, counts in self.table(n):
                columns = [*(ids[:, place].astype(np.uint32) for place in range(n)), counts]
                writer.write_table(pa.table(columns, schema=schema))

    @property
    def block_entropies(self) -> NDArray[np.float64]:
        """(n_max,) H_n (Grassberger) in `unit`; nan for orders that no document is long enough for."""
        return np.array([self.entropy(n).value if self.total(n) else np.nan for n in range(1, self.n_max + 1)])

    def _brief(self) -> str:
        return f"n = 1 to {self.n_max}, {self.total(1):,} tokens, {self.distinct(1):,} distinct"

    def columns(self) -> dict[str, np.ndarray]:
        """One row an order: n, total, distinct, entropy H_n and rate H_n - H_(n-1) in `unit`."""
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
        """Block entropy H_n and entropy rate H_n - H_(n-1) by n, with the logarithm of the number of n-grams: no estimate can
        exceed it by much. Where H_n comes near it, the corpus is too small for n, and the rate falls for that reason alone."""
        from l2m.base.plots import BLUE, GREY, ORANGE, new_axes

        axes = new_axes() if axes is None else axes
        rows = self.columns()
        total = rows["total"].astype(float)
        most = np.log(total, out=np.full(total.size, np.nan), where=total > 0)
        most, log = (most / np.log(2), "log2") if self.unit == "bits" else (most, "ln")
        axes.plot(rows["n"], most, "--", color=GREY, linewidth=1, label=f"{log} of the number of n-grams")
        axes.plot(rows["n"], rows["entropy"], "o-", color=BLUE, label="block entropy $H_n$")
        axes.plot(rows["n"], rows["rate"], "s-", color=ORANGE, label="entropy rate $H_n - H_{n-1}$")
        axes.set(xlabel="n (tokens)", ylabel=f"entropy ({self.unit})", xticks=rows["n"])
        axes.set_ylim(bottom=0)
        axes.legend()
        return axes

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the source."""
        fields = super(NgramCounts, dataclasses.replace(self, source=None)).to_dict()
        del fields["source"]
        return fields

    def _order(self, n: int) -> int:
        return checks.whole("n", n, 1, self.n_max)

    def _job(self) -> "NgramsJob":
        if not isinstance(self.source, NgramsJob):
            raise InputError("n-grams: loaded from a file, without the corpus; count again with l2m.ngrams(corpus)")
        return self.source


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

    Returns:
        The counts: fingerprints, entropies and the most common n-grams of each order.

    Raises:
        InputError: n_max outside 1 to 8, an empty corpus, memory below what is needed.

    Example:
        >>> counts = l2m.ngrams([0, 1, 0, 1, 2, 0, 1], 2)
        >>> counts
        NgramCounts(n = 1 to 2, 7 tokens, 3 distinct)
        >>> counts.most_common(2, 1)
        [((0, 1), 3)]
    """
    return NgramsJob(corpus, n_max, threads=threads, memory=memory, parts=1).run_all(progress)


class NgramsResult(TypedDict):
    """Fingerprints by order: how many different n-grams (`symbols`) occurred n times (`counts`)."""

    counts: list[list[int]]
    symbols: list[list[int]]


class NgramsTask(NamedTuple):
    """One task: all orders over one range of first tokens."""

    part: int

    @property
    def name(self) -> str:
        """Of the file that keeps the result."""
        return f"part-{self.part:05}"


class NgramsJob:
    """The counts of `ngrams` as tasks whose results add; see `l2m.counting.tasks`.

    Args:
        corpus, n_max, threads, memory: see `ngrams`.
        reserved: bytes of `memory` that other things in this process take.
        parts: tasks, by ranges of first tokens; None: 8; more from 5e8 tokens on.

    Raises:
        InputError: see `ngrams`; parts < 1.
    """

    def __init__(
        self,
        corpus: Corpus | ArrayLike | Sequence[ArrayLike],
        n_max: int = 5,
        *,
        threads: int | None = None,
        memory: int | str | None = None,
        reserved: int = 0,
        parts: int | None = None,
    ) -> None:
        self.n_max = checks.whole("n_max", n_max, 1, _core.LONGEST_NGRAM)
        self.corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
        if self.corpus.tokens.size == 0:
            raise InputError("corpus: no tokens; expected at least one")
        self.threads, self.memory, self.reserved = checks.threads(threads), checks.memory(memory), reserved
        self.parts = default_parts(self.corpus) if parts is None else check_parts(parts)

    def __repr__(self) -> str:
        return f"<NgramsJob on {self.corpus.tokens.size:,} tokens>"

    @classmethod
    def remake(
        cls, corpus: Corpus, options: Mapping[str, Any], *, memory: int | None = None, reserved: int = 0
    ) -> Self:
        """The job whose `options` these are.

        Raises:
            InputError: options of another kind of job, or values that it cannot have.
        """
        if set(options) != {"n_max", "parts"}:
            raise InputError("options: other fields than n_max, parts")
        return cls(corpus, options["n_max"], memory=memory, reserved=reserved, parts=options["parts"])

    @property
    def options(self) -> dict[str, Any]:
        """What `remake` takes, JSON-ready."""
        return {"n_max": self.n_max, "parts": self.parts}

    @property
    def settings(self) -> dict[str, Any]:
        """What is counted of what: equal settings, equal tasks, equal results."""
        return {"job": "n-grams", "corpus": self.corpus.hash, **self.options}

    @property
    def tasks(self) -> list[NgramsTask]:
        """By ranges of first tokens."""
        return [NgramsTask(part) for part in range(self.parts)]

    @cached_property
    def counter(self) -> "_core.NgramCounter":
        """The corpus, its ids replaced by their place among those that occur."""
        return _core.NgramCounter(np.ascontiguousarray(self.corpus.tokens), self.corpus.offsets, self.threads)

    @cached_property
    def budget(self) -> tuple[int, int]:
        """(threads, bytes of each) within the memory given.

        Raises:
            InputError: less than the list of the commonest token needs.
        """
        counter = self.counter
        least = counter.least(self.n_max)
        # A token takes 8 bytes in a list. Four pieces at least: shorter lists stay nearer to the processor, which is worth more than
        # the walks over the corpus cost.
        full = max(least, (8 << 20) // self.parts, self.corpus.tokens.size * 10 // max(4, self.threads * self.parts))
        if self.memory is None:
            return self.threads, full
        room = self.memory - self.reserved - counter.bytes()
        if room < least:
            raise InputError(f"memory: {self.memory:,} bytes; this corpus needs at least {self.least_memory:,} bytes")
        threads = min(self.threads, room // least)
        return threads, room // threads

    @property
    def least_memory(self) -> int:
        """The smallest budget with which the job can run, in bytes."""
        return self.reserved + self.counter.bytes() + self.counter.least(self.n_max)

    def forecast(self) -> Forecast:
        """What a run will take, from counting a few percent of the tokens on this machine."""
        start = perf_counter()
        counter = self.counter
        prepare = perf_counter() - start
        threads, budget = self.budget
        ends = np.concatenate([[0], np.cumsum(counter.frequencies)]).astype(np.int64)
        calibration = calibrate(counter.frequencies, lambda low, high: self._count(low, high, budget, 1))
        tasks, disk = {}, 0.0
        pieces = counter.plan(self.n_max, budget)
        for task in self.tasks:
            low, high = part_of(counter.frequencies, task.part, self.parts)
            own = [(max(low, first), min(high, end)) for first, end in pieces]
            costs = [calibration.seconds(int(ends[end] - ends[first])) for first, end in own if first < end]
            tasks[task.name] = makespan(costs, threads)
            disk += calibration.result_bytes(float(ends[high] - ends[low]) / ends[-1])
        return Forecast(
            tasks=tasks,
            work={"tokens": self.corpus.tokens.size},
            prepare=prepare,
            threads=threads,
            memory_bytes=self.reserved + counter.bytes() + threads * budget,
            least_memory_bytes=self.least_memory,
            disk_bytes=int(disk),
        )

    def run(self, task: NgramsTask, progress: Progress | None = None) -> NgramsResult:
        """The fingerprints of one task, by order."""
        low, high = part_of(self.counter.frequencies, task.part, self.parts)
        threads, budget = self.budget
        return self._count(low, high, budget, threads, progress)

    def _count(self, low: int, high: int, budget: int, threads: int, progress: Progress | None = None) -> NgramsResult:
        found = self.counter.fingerprints(self.n_max, low, high, budget, threads, progress)
        return {
            "counts": [counts.tolist() for counts, _ in found],
            "symbols": [symbols.tolist() for _, symbols in found],
        }

    def run_all(self, progress: Progress | None = None) -> NgramCounts:
        """Run every task here and combine."""
        return self.combine({task: self.run(task, progress) for task in self.tasks})

    def check(self, task: NgramsTask, result: object) -> None:
        """Refuse what cannot be the result of this task.

        Raises:
            InputError: what is wrong, without the file's name.
        """
        rows = check_rows(result, {"counts": self.n_max, "symbols": self.n_max})
        for counts, symbols in zip(*rows, strict=True):
            check_entries(counts, symbols)

    def combine(self, results: Mapping[NgramsTask, Any]) -> NgramCounts:
        """The counts from the results of all tasks.

        Raises:
            InputError: results that do not hold all n-grams of the corpus.
        """
        lengths = np.diff(self.corpus.offsets)
        sums = []
        for order in range(1, self.n_max + 1):
            parts = [results[task] for task in self.tasks]
            total = sum_of_fingerprints((part["counts"][order - 1], part["symbols"][order - 1]) for part in parts)
            expected = int(np.maximum(lengths - order + 1, 0).sum())
            if total.total != expected:
                raise InputError(f"results: {total.total} {order}-grams; expected {expected}, as the corpus has")
            sums.append(total)
        corpus = self.corpus
        settings = {"tokens": corpus.tokens.size, "documents": len(corpus), "tokenizer": corpus.tokenizer["name"]}
        return NgramCounts(self.n_max, tuple(sums), settings=settings, source=self)
