"""n-gram counts of every order up to 8: fingerprints, entropies, the most common, and the whole table as a stream."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m import _core
from l2m.corpus import Corpus
from l2m.entropy import Estimate, Fingerprint, entropy
from l2m.errors import InputError
from l2m.progress import Progress
from l2m.records import Record
from l2m.tasks import parse_memory

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
        """Joint entropy of n tokens in a row."""
        return entropy(self.fingerprint(n), estimator)

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

        from l2m.files import atomic_write

        names = [*(f"token_{place}" for place in range(1, self._order(n) + 1)), "count"]
        schema = pa.schema([(name, pa.uint64() if name == "count" else pa.uint32()) for name in names])
        with atomic_write(Path(path)) as file, pq.ParquetWriter(file, schema) as writer:
            for ids, counts in self.table(n):
                columns = [*(ids[:, place].astype(np.uint32) for place in range(n)), counts]
                writer.write_table(pa.table(columns, schema=schema))

    def _order(self, n: int) -> int:
        if not 1 <= n <= self.n_max:
            raise InputError(f"n: {n}; expected 1 to {self.n_max}")
        return n

    def _source(self) -> "tuple[_core.NgramCounter, int, int]":
        source: tuple[_core.NgramCounter, int, int] | None = self.__dict__.get("_counter")
        if source is None:
            raise InputError("n-grams: loaded from a file, without their corpus; expected l2m.ngrams(corpus) once more")
        return source


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
    corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
    if not 1 <= n_max <= LONGEST:
        raise InputError(f"n_max: {n_max}; expected 1 to {LONGEST}")
    if corpus.tokens.size == 0:
        raise InputError("corpus: no tokens; expected at least one")
    workers = len(os.sched_getaffinity(0)) if threads is None else threads
    if workers < 1:
        raise InputError(f"threads: {threads}; expected at least 1")
    counter = _core.NgramCounter(np.ascontiguousarray(corpus.tokens), corpus.offsets, workers)
    least, limit = counter.least(n_max), parse_memory(memory)
    if limit is None:
        budget = max(least, 64 << 20, corpus.tokens.size * 10 // workers)
    else:
        room = limit - counter.bytes()
        if room < least:
            raise InputError(f"memory: {limit:,} bytes; this corpus needs at least {counter.bytes() + least:,} bytes")
        workers = min(workers, room // least)
        budget = room // workers
    found = counter.fingerprints(n_max, 0, counter.distinct, budget, workers, progress)
    counts = NgramCounts(
        n_max,
        tuple(Fingerprint(counts, symbols) for counts, symbols in found),
        settings={"tokens": corpus.tokens.size, "documents": len(corpus), "tokenizer": corpus.tokenizer["name"]},
    )
    counts.__dict__["_counter"] = (counter, workers, budget)
    return counts
