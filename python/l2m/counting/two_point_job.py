"""The measurement of `two_point` as tasks whose results add."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from time import perf_counter
from typing import Any, Literal, NamedTuple, Self, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from l2m import _core
from l2m.base import checks
from l2m.base.forecast import Forecast, makespan
from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus
from l2m.counting.pair_counts import (
    Floats,
    Joint,
    Margins,
    Sample,
    budget_of,
    check_joint,
    check_margins,
    combine,
    count_joint,
    count_margins,
    is_dense,
    least_budget,
)
from l2m.counting.permutations import FEWEST, MOST, p_values, permuted_information, q_values
from l2m.counting.results import check_rows
from l2m.counting.segments import SUBSAMPLES, Selection
from l2m.counting.tasks import Calibration, calibrate, check_parts, default_parts, part_of
from l2m.counting.two_point_curve import TwoPointCurve
from l2m.errors import InputError
from l2m.statistics.entropy import ENTROPY_ESTIMATORS

MOST_DISTANCES = 4096
"""At most so many distances: their covariance takes 134 MB."""

MOST_GROUPS = 4096
"""At most so many jackknife groups: each holds two tables as long as the vocabulary."""

Arrangement = Literal["given", "shuffled", "cross-document", "permuted"]


class Permuted(TypedDict):
    """Raw information by distance after one permutation, in nats; None without pairs."""

    information: list[float | None]


@dataclass(frozen=True, kw_only=True)
class TwoPointSettings:
    """What `two_point` measures; see there. Every value is checked.

    Raises:
        InputError: distances that are not whole numbers >= 1 or repeat, an unknown choice, groups < 2, a seed out of range.
    """

    distances: Iterable[int] | None = None
    estimator: str = "grassberger"
    margins: str = "pairs"
    null: str = "exact"
    groups: int | None = 32
    within_document: bool = True
    cross_document: bool = False
    subsamples: bool = False
    fixed_documents: bool = True
    permutations: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.distances is not None:
            object.__setattr__(self, "distances", check_distances(self.distances))
        check_estimator(self.estimator)
        checks.one_of("margins", self.margins, ("pairs", "corpus"))
        checks.one_of("null", self.null, ("exact", "none"))
        object.__setattr__(self, "groups", check_groups(self.groups))
        object.__setattr__(self, "seed", checks.whole("seed", self.seed, 0, (1 << 64) - 1))
        object.__setattr__(self, "permutations", check_permutations(self.permutations))
        for name in ("within_document", "cross_document", "subsamples", "fixed_documents"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise InputError(f"{name}: {getattr(self, name)!r}; expected True or False")


class TwoPointTask(NamedTuple):
    """One task: the margins of a sample, the joint counts over one range of its first tokens, or a permutation of all documents.

    Attributes:
        documents: "all", "fixed" (those of a fit, if they differ) or a subsample ("half0" ... "eighth7").
        arrangement: of the tokens.
        part: the range of first tokens; None: the margins; the number of the permutation where the arrangement is "permuted".
    """

    documents: str
    arrangement: Arrangement
    part: int | None

    @property
    def name(self) -> str:
        """Of the file that keeps the result."""
        if self.arrangement == "permuted":
            return f"permutation-{self.part:05}"
        what = "margins" if self.part is None else f"joint-{self.part:05}"
        return f"{self.documents}-{self.arrangement}-{what}"


class TwoPointJob:
    """The measurement of `two_point` as tasks whose results add; see `l2m.counting.tasks`.

    Args:
        corpus: see `two_point`.
        settings: what is measured.
        threads, memory: see `two_point`.
        reserved: bytes of `memory` that other things in this process take.
        parts: tasks that a count is cut into, by ranges of first tokens; None: 8; more from 5e8 tokens on.

    Raises:
        InputError: see `two_point`; parts < 1.
    """

    def __init__(
        self,
        corpus: Corpus | ArrayLike | Sequence[ArrayLike],
        settings: TwoPointSettings | None = None,
        *,
        threads: int | None = None,
        memory: int | str | None = None,
        reserved: int = 0,
        parts: int | None = None,
    ) -> None:
        chosen = settings or TwoPointSettings()
        self.corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
        self.measured, self.reserved = chosen, reserved
        self.threads, self.memory = checks.threads(threads), checks.memory(memory)
        self.parts = default_parts(self.corpus) if parts is None else check_parts(parts)
        starts, ends = self.corpus.offsets[:-1], self.corpus.offsets[1:]
        distances = None if chosen.distances is None else list(chosen.distances)
        everything = Selection.of(starts, ends, groups=chosen.groups, distances=distances)
        self.selections = {"all": everything}
        if chosen.fixed_documents and chosen.groups is not None:
            fixed = everything.fixed(chosen.groups)
            if fixed is not None:
                self.selections["fixed"] = fixed
        self._samples: list[tuple[str, Arrangement]] = []
        for documents in self.selections:
            self._samples.append((documents, "given"))
            if chosen.within_document:
                self._samples.append((documents, "shuffled"))
            if chosen.cross_document and documents == "all":
                self._samples.append((documents, "cross-document"))
        if chosen.subsamples:
            parts_of = everything.subsamples()
            self.selections |= parts_of
            self._samples += [(documents, "given") for documents in parts_of]
        self._held: tuple[tuple[str, Arrangement], _core.PairCounter] | None = None

    @classmethod
    def remake(
        cls, corpus: Corpus, options: Mapping[str, Any], *, memory: int | None = None, reserved: int = 0
    ) -> Self:
        """The job whose `options` these are.

        Raises:
            InputError: options of another kind of job, or values that it cannot have.
        """
        expected = {field.name for field in fields(TwoPointSettings)} | {"parts"}
        if set(options) | {"permutations"} != expected:
            raise InputError(f"options: other fields than {', '.join(sorted(expected))}")
        settings = TwoPointSettings(**{name: value for name, value in options.items() if name != "parts"})
        return cls(corpus, settings, memory=memory, reserved=reserved, parts=options["parts"])

    @property
    def options(self) -> dict[str, Any]:
        """What `remake` takes, JSON-ready."""
        options = {**asdict(self.measured), "distances": self.distances, "parts": self.parts}
        if not self.measured.permutations:  # as in folders of before there were any
            del options["permutations"]
        return options

    @property
    def distances(self) -> list[int]:
        """As asked for, or as chosen."""
        return self.selections["all"].distances

    @property
    def tasks(self) -> list[TwoPointTask]:
        """Sample by sample, the margins of each first; then the permutations."""
        counts = [
            TwoPointTask(documents, arrangement, part)
            for documents, arrangement in self._samples
            for part in (None, *range(self._parts(documents)))
        ]
        return counts + self._permutations

    @property
    def _permutations(self) -> list[TwoPointTask]:
        return [TwoPointTask("all", "permuted", number) for number in range(self.measured.permutations)]

    def _parts(self, documents: str) -> int:
        """Tasks of one count: fewer of a part of the corpus."""
        return max(1, self.parts * self.selections[documents].tokens // max(1, self.selections["all"].tokens))

    @property
    def settings(self) -> dict[str, Any]:
        """What is measured on what: equal settings, equal tasks, equal results."""
        return {
            "job": "two-point",
            "corpus": self.corpus.hash,
            "distances": self.distances,
            **self._choices("all"),
            "samples": [list(sample) for sample in self._samples],
            "parts": self.parts,
            **({"permutations": self.measured.permutations} if self.measured.permutations else {}),
        }

    def _choices(self, documents: str) -> dict[str, Any]:
        segments, chosen = self.selections[documents].segments, self.measured
        return {
            "estimator": chosen.estimator,
            "margins": chosen.margins,
            "null": chosen.null,
            "groups": {"unit": segments.unit, "number": segments.groups},
            "seed": chosen.seed,
        }

    @property
    def work(self) -> int:
        """Pairs to count in all, for progress: tokens x distances of every sample."""
        chosen = [self.selections[documents] for documents, _ in self._samples]
        chosen += [self.selections["all"]] * self.measured.permutations
        return sum(selection.tokens * len(selection.distances) for selection in chosen)

    @property
    def _grouped(self) -> bool:
        return self.selections["all"].segments.groups > 1

    @property
    def least_memory(self) -> int:
        """The smallest budget with which the job can run, in bytes."""
        return self.reserved + least_budget(self._counter(*self._samples[0]), self._grouped)

    def _budget(self, counter: "_core.PairCounter", grouped: bool) -> tuple[int, int]:
        return budget_of(counter, grouped, self.threads, self.memory, self.reserved)

    def forecast(self) -> Forecast:
        """What a run will take, from counting a few percent of the pairs on this machine."""
        start = perf_counter()
        counter = self._counter(*self._samples[0])
        prepare = perf_counter() - start
        threads, budget = self._budget(counter, self._grouped)
        resident, margin_bytes = counter.bytes(threads)
        number = len(self.distances)
        ends = np.concatenate([[0], np.cumsum(counter.frequencies)]).astype(np.int64)
        calibration = self._calibrate(counter, budget)

        pieces, largest, disk = [], 0, 0.0
        for part in range(self.parts):
            low, high = part_of(counter.frequencies, part, self.parts)
            costs = []
            for at_once, ranges in counter.plan(low, high, number, self._grouped, budget, threads):
                for first, end in ranges:
                    tokens = int(ends[end] - ends[first])
                    largest = max(largest, tokens * (1 if is_dense(counter) else 8))
                    costs += [calibration.seconds(tokens * min(at_once, number) / number)] * -(-number // at_once)
            pieces.append(makespan(costs, threads))
            disk += calibration.result_bytes(float(ends[high] - ends[low]) / max(1, ends[-1]))
        start = perf_counter()
        self._margins(counter, self.distances[:1], threads)
        margin = (perf_counter() - start) * number

        tasks: dict[str, float] = {}
        for task in self.tasks:
            share = self.selections[task.documents].tokens / max(1, self.selections["all"].tokens)
            # The null costs the same however many tokens there are.
            if task.arrangement == "permuted":
                tasks[task.name] = number * prepare + sum(pieces)
            else:
                tasks[task.name] = margin if task.part is None else share * sum(pieces) / self._parts(task.documents)
        counted = threads * budget
        if not is_dense(counter):
            counted = min(counted, threads * (largest + counter.least(self._grouped)))
        return Forecast(
            tasks=tasks,
            work={"pairs": self.work},
            prepare=prepare * len(self._samples),
            threads=threads,
            memory_bytes=self.reserved + resident + max(margin_bytes, counted),
            least_memory_bytes=self.least_memory,
            disk_bytes=int(disk * sum(self._parts(name) for name, _ in self._samples) / self.parts),
        )

    def _calibrate(self, counter: "_core.PairCounter", budget: int) -> Calibration:
        """From counting all distances on one thread; with one table of pairs, from one distance in full."""
        estimator = self.measured.estimator if self._grouped else None

        def count(low: int, high: int, distances: list[int]) -> Joint:
            return count_joint(counter, distances, low, high, budget=budget, estimator=estimator, threads=1)

        if is_dense(counter):
            return calibrate(
                counter.frequencies, lambda low, high: count(low, high, self.distances[:1]), whole=len(self.distances)
            )
        return calibrate(counter.frequencies, lambda low, high: count(low, high, self.distances))

    def run(self, task: TwoPointTask, progress: Progress | None = None) -> Margins | Joint | Permuted:
        """The result of one task: integers, and floats that depend on the corpus alone."""
        documents, arrangement, part = task
        if arrangement == "permuted" and part is not None:
            self._held = None
            information = permuted_information(
                self.corpus, self.selections[documents], part,
                estimator=self.measured.estimator, margins=self.measured.margins, seed=self.measured.seed,
                threads=self.threads, memory=self.memory, reserved=self.reserved, progress=progress,
            )  # fmt: skip
            return {"information": [None if np.isnan(value) else float(value) for value in information]}
        counter, selection = self._counter(documents, arrangement), self.selections[documents]
        grouped = selection.segments.groups > 1
        threads, budget = self._budget(counter, grouped)
        if part is None:
            return self._margins(counter, selection.distances, threads)
        parts, estimator = self._parts(documents), self.measured.estimator if grouped else None
        if is_dense(counter):
            # One table holds all first tokens: such a count is cut by distances.
            own = [index % parts == part for index in range(len(selection.distances))]
            distances = [distance for distance, mine in zip(selection.distances, own, strict=True) if mine]
            counted = count_joint(
                counter, distances, 0, counter.distinct,
                budget=budget, estimator=estimator, threads=threads, progress=progress,
            )  # fmt: skip
            some = iter(range(len(distances)))
            places = [next(some) if mine else None for mine in own]
            return {
                "counts": [[] if place is None else counted["counts"][place] for place in places],
                "symbols": [[] if place is None else counted["symbols"][place] for place in places],
                "removed": [
                    [0] * selection.segments.groups if place is None else counted["removed"][place] for place in places
                ],
            }
        low, high = part_of(counter.frequencies, part, parts)
        return count_joint(
            counter, selection.distances, low, high,
            budget=budget, estimator=estimator, threads=threads, progress=progress,
        )  # fmt: skip

    def _margins(self, counter: "_core.PairCounter", distances: list[int], threads: int) -> Margins:
        chosen = self.measured
        return count_margins(
            counter, distances, chosen.estimator,
            corpus=chosen.margins == "corpus", null=chosen.null, threads=threads,
        )  # fmt: skip

    def run_all(self, progress: Progress | None = None) -> TwoPointCurve:
        """Run every task here and combine."""
        results: dict[TwoPointTask, Margins | Joint | Permuted] = {}
        done = 0
        for task in self.tasks:
            results[task] = self.run(task, None if progress is None else _offset(progress, done, self.work))
            if task.part is not None:
                selection = self.selections[task.documents]
                parts = 1 if task.arrangement == "permuted" else self._parts(task.documents)
                done += selection.tokens * len(selection.distances) // parts
        self._held = None
        return self.combine(results)

    def check(self, task: TwoPointTask, result: object) -> None:
        """Refuse what cannot be the result of this task.

        Raises:
            InputError: what is wrong, without the file's name.
        """
        selection = self.selections[task.documents]
        if task.arrangement == "permuted":
            (values,) = check_rows(result, {"information": len(selection.distances)})
            if not all(value is None or type(value) is float for value in values):
                raise InputError("information: a value that is not a number")
            return
        verify = check_margins if task.part is None else check_joint
        verify(result, len(selection.distances), selection.segments.groups)

    def combine(self, results: Mapping[TwoPointTask, Any]) -> TwoPointCurve:
        """The curve from the results of all tasks.

        Raises:
            InputError: results that do not belong together.
        """
        samples = {}
        for documents, arrangement in self._samples:
            parts = range(self._parts(documents))
            joints = [results[TwoPointTask(documents, arrangement, part)] for part in parts]
            margin = results[TwoPointTask(documents, arrangement, None)]
            samples[documents, arrangement] = combine(margin, joints, self.measured.estimator, self.measured.null)
        fixed = self._curve("fixed", samples, None) if "fixed" in self.selections else None
        curve = self._curve("all", samples, fixed)
        if not self.measured.permutations:
            return curve
        permuted = np.array([results[task]["information"] for task in self._permutations], float)
        p = p_values(curve.raw, permuted)
        settings = {**curve.settings, "permutations": len(permuted)}
        return replace(curve, permutation_p=p, permutation_q=q_values(p), settings=settings)

    def _counter(self, documents: str, arrangement: Arrangement) -> "_core.PairCounter":
        """The ranked tokens of one sample; one is held at a time."""
        if self._held is None or self._held[0] != (documents, arrangement):
            self._held = None
            segments = self.selections[documents].segments
            tokens = np.ascontiguousarray(self.corpus.tokens)
            counter = _core.PairCounter(
                tokens, segments.arrays, segments.groups, arrangement, self.measured.seed, self.threads
            )
            self._held = (documents, arrangement), counter
        return self._held[1]

    def _curve(
        self, documents: str, samples: Mapping[tuple[str, Arrangement], Sample], fixed: TwoPointCurve | None
    ) -> TwoPointCurve:
        selection = self.selections[documents]
        sample = samples[documents, "given"]
        within, across = samples.get((documents, "shuffled")), samples.get((documents, "cross-document"))
        jackknifed, lengths = selection.segments.groups > 1, selection.lengths
        subsampled = documents == "all" and self.measured.subsamples
        means, errors = _subsample_curve(samples) if subsampled else (None, None)
        stderr, covariance = sample.errors() if jackknifed else (np.full(len(selection.distances), np.nan), None)
        return TwoPointCurve(
            distance=np.array(selection.distances, np.int64),
            information=sample.information,
            stderr=stderr,
            covariance=covariance,
            raw=sample.raw,
            null=sample.null,
            pairs=sample.pairs,
            distinct=sample.distinct,
            entropy_x=sample.entropy_x,
            entropy_y=sample.entropy_y,
            entropy_xy=sample.entropy_xy,
            within_document=None if within is None else within.information,
            within_document_stderr=within.errors()[0] if within is not None and jackknifed else None,
            cross_document=None if across is None else across.information,
            documents=np.array([(lengths > distance).sum() for distance in selection.distances], np.int64),
            contributing=(sample.group_pairs > 0).sum(axis=0).astype(np.int64),
            replicates=sample.replicates if jackknifed else None,
            group_pairs=sample.group_pairs if jackknifed else None,
            subsample_information=means,
            subsample_stderr=errors,
            fixed=fixed,
            settings={
                **self._choices("all"),
                "groups": self._choices(documents)["groups"],
                "tokens": selection.tokens,
                "documents": int(lengths.size),
                "vocab_size": self.corpus.vocab_size,
                "tokenizer": self.corpus.tokenizer["name"],
            },
        )


def _subsample_curve(samples: Mapping[tuple[str, Arrangement], Sample]) -> tuple[Floats, Floats]:
    """Mean and standard error over the parts of each subsample."""
    means, errors = [], []
    for name, parts in SUBSAMPLES.items():
        values = np.stack([samples[f"{name}{part}", "given"].information for part in range(parts)])
        means.append(values.mean(axis=0))
        errors.append(values.std(axis=0, ddof=1) / np.sqrt(parts))
    return np.stack(means), np.stack(errors)


def _offset(progress: Progress, done: int, total: int) -> Progress:
    return lambda units, _: progress(min(done + units, total), total)


def check_estimator(estimator: str) -> None:
    """Refuse an estimator of unknown name; case and punctuation do not matter."""
    if not isinstance(estimator, str) or _letters(estimator) not in map(_letters, ENTROPY_ESTIMATORS):
        checks.one_of("estimator", estimator, ENTROPY_ESTIMATORS)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def check_permutations(permutations: int) -> int:
    """Permutations; 0: none."""
    number = checks.whole("permutations", permutations, 0, MOST)
    if 0 < number < FEWEST:
        raise InputError(
            f"permutations: {number}; expected 0, or at least {FEWEST}: the smallest p-value is 1 / (permutations + 1)"
        )
    return number


def check_groups(groups: int | None) -> int | None:
    """Jackknife groups; None: none."""
    return None if groups is None else checks.whole("groups", groups, 2, MOST_GROUPS)


def check_distances(distances: Iterable[int]) -> list[int]:
    """Distances as a list.

    Raises:
        InputError: none, more than 4,096, what is not a whole number of 1 or more, or a distance twice.
    """
    values = list(checks.wholes("distances", distances, 1, 1 << 62))
    if not 1 <= len(values) <= MOST_DISTANCES:
        raise InputError(f"distances: {len(values)} of them; expected 1 to {MOST_DISTANCES:,}")
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise InputError(f"distances: {twice} twice; expected each distance once")
    return values
