"""Pair counts to entropies: the results of tasks, JSON-ready, their sum, and the information with its jackknife replicates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from l2m import _core
from l2m.base.progress import Progress
from l2m.counting.results import check_entries, check_numbers, check_rows, sum_of_fingerprints
from l2m.errors import InputError
from l2m.statistics.jackknife import jackknife_errors

Floats = NDArray[np.float64]


class Margins(TypedDict):
    """What the margins of a sample say, by distance.

    `pairs`: pairs of each jackknife group. `levels`: rows (H_X, H_Y, E[H_XY] of independent tokens) in nats, first for all pairs,
    then without each group; None where there is no value.
    """

    pairs: list[list[int]]
    levels: list[list[list[float | None]]]


class Joint(TypedDict):
    """Joint counts over a range of first tokens, by distance.

    `counts`, `symbols`: how many different pairs occurred n times. `removed`: by group, how much sum n g(n) shrinks without it, in
    units of `_core.REMOVED_UNIT`.
    """

    counts: list[list[int]]
    symbols: list[list[int]]
    removed: list[list[int]]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What is measured on one arrangement of the tokens; arrays over distances, `replicates` and `group_pairs` also by group."""

    information: Floats
    raw: Floats
    null: Floats
    pairs: NDArray[np.uint64]
    distinct: NDArray[np.uint64]
    entropy_x: Floats
    entropy_y: Floats
    entropy_xy: Floats
    replicates: Floats
    group_pairs: NDArray[np.uint64]

    def errors(self) -> tuple[Floats, Floats]:
        """Standard errors and covariance of the information, by the jackknife."""
        sizes = self.group_pairs.astype(float)
        with np.errstate(invalid="ignore"):  # a distance without pairs
            return jackknife_errors(self.replicates, self.information, sizes / sizes.sum(axis=0))


def is_dense(counter: "_core.PairCounter") -> bool:
    """Whether all pairs are counted in one table."""
    return counter.distinct <= _core.DENSE


def count_joint(
    counter: "_core.PairCounter",
    distances: list[int],
    low: int,
    high: int,
    *,
    budget: int,
    estimator: str | None,
    threads: int | None,
    progress: Progress | None = None,
) -> Joint:
    """Joint counts over the first ranks low..high. `estimator`: of the jackknife; None: none."""
    counted = counter.count(distances, low, high, budget, estimator, threads, progress)
    return {
        "counts": [counts.tolist() for (counts, _), _ in counted],
        "symbols": [symbols.tolist() for (_, symbols), _ in counted],
        "removed": [removed for _, removed in counted],
    }


def count_margins(
    counter: "_core.PairCounter", distances: list[int], estimator: str, *, corpus: bool, null: str, threads: int | None
) -> Margins:
    """The margins at every distance. `corpus`: H_X = H_Y = H_1 over all tokens."""
    sides = counter.margins(distances, estimator, null == "exact", threads)
    levels = [np.array(side[3]) for side in sides]
    if corpus:
        unigram = np.array(counter.margins([0], estimator, False, threads)[0][3])[:, :1]
        for index, side in enumerate(sides):
            if sum(side[2]):
                levels[index][:, :2] = unigram
    as_json = [[[None if np.isnan(value) else float(value) for value in row] for row in level] for level in levels]
    return {"pairs": [side[2] for side in sides], "levels": as_json}


def check_margins(result: object, distances: int, groups: int) -> None:
    """Refuse what are no margins of so many distances and groups.

    Raises:
        InputError: what is wrong, without the file's name.
    """
    pairs, levels = check_rows(result, {"pairs": distances, "levels": distances})
    for of_groups, rows in zip(pairs, levels, strict=True):
        check_numbers("pairs", of_groups, size=groups)
        if not isinstance(rows, list) or len(rows) != (1 + groups if groups > 1 else 1):
            raise InputError("levels: other rows than one for all pairs and one for each group")
        for row in rows:
            if (
                not isinstance(row, list)
                or len(row) != 3
                or not all(item is None or type(item) is float for item in row)
            ):
                raise InputError("levels: a row that is not three numbers")


def check_joint(result: object, distances: int, groups: int) -> None:
    """Refuse what are no joint counts of so many distances and groups.

    Raises:
        InputError: what is wrong, without the file's name.
    """
    rows = check_rows(result, {"counts": distances, "symbols": distances, "removed": distances})
    for counts, symbols, removed in zip(*rows, strict=True):
        check_entries(counts, symbols)
        check_numbers("removed", removed, size=groups, low=-(1 << 100), high=1 << 100)


def combine(margin: Margins, joints: Sequence[Joint], estimator: str, null: str) -> Sample:
    """Entropies from the joint counts of all ranges; replicates from what each group removes.

    Raises:
        InputError: the ranges do not hold the pairs that the margins count.
    """
    group_pairs = np.array(margin["pairs"], np.uint64).T
    groups, number = group_pairs.shape
    pairs = group_pairs.sum(axis=0)
    x, y, xy, null_xy = (np.full(number, np.nan) for _ in range(4))
    distinct = np.zeros(number, np.uint64)
    replicates = np.full((groups, number), np.nan)
    for index in range(number):
        total = int(pairs[index])
        fingerprint = sum_of_fingerprints((joint["counts"][index], joint["symbols"][index]) for joint in joints)
        if fingerprint.total != total:
            raise InputError(f"results: {fingerprint.total} pairs in the counts; expected {total}, as in the margins")
        if total == 0:
            continue
        levels = np.array(margin["levels"][index], float)
        _, xy[index], _ = _core.entropy(fingerprint.counts, fingerprint.symbols, estimator)
        distinct[index] = fingerprint.distinct
        x[index], y[index], null_xy[index] = levels[0]
        if groups > 1:
            removed = [sum(joint["removed"][index][group] for joint in joints) for group in range(groups)]
            left = (total - group_pairs[:, index].astype(np.int64)).astype(float)
            shrinks = np.array([float(value) for value in removed]) * _core.REMOVED_UNIT
            summed = total * (np.log(total) - xy[index]) - shrinks
            with np.errstate(divide="ignore", invalid="ignore"):
                without = np.log(left) - summed / left
            independent = levels[1:, 2] if null == "exact" else levels[1:, 0] + levels[1:, 1]
            replicates[:, index] = independent - without
    level = x + y - null_xy if null == "exact" else np.where(pairs > 0, 0.0, np.nan)
    raw = x + y - xy
    return Sample(
        information=raw - level, raw=raw, null=level, pairs=pairs, distinct=distinct, entropy_x=x, entropy_y=y, entropy_xy=xy,
        replicates=replicates, group_pairs=group_pairs,
    )  # fmt: skip


def budget_of(
    counter: "_core.PairCounter", grouped: bool, threads: int, memory: int | None, reserved: int = 0
) -> tuple[int, int]:
    """(threads, bytes of each) within `memory`, which also holds ranks, margins and what is reserved.

    Args:
        memory: None: what full speed needs.
        reserved: bytes of `memory` that are not for counting.

    Raises:
        InputError: less than one thread needs for the commonest token at one distance.
    """
    resident, _ = counter.bytes(1)
    least = counter.least(grouped)
    if memory is None:
        # Lists of 9 bytes a token in all beside 2 for 16-bit ranks, 15 beside 4.
        room = counter.length * (9 if counter.narrow else 15) // threads
        return threads, max(room, least, 64 << 20)
    room = memory - reserved - resident
    for number in range(threads, 0, -1):
        if room // number >= least and counter.bytes(number)[1] <= room:
            return number, room // number
    needed = reserved + least_budget(counter, grouped)
    raise InputError(f"memory: {memory:,} bytes; this corpus needs at least {needed:,} bytes")


def least_budget(counter: "_core.PairCounter", grouped: bool) -> int:
    """The smallest memory with which the counter can work, in bytes."""
    resident, margin = counter.bytes(1)
    return resident + max(counter.least(grouped), margin)
