"""Two-point information: how much a token tells about the token d places later, with its null, levels and error bars."""

import copy
import dataclasses
import heapq
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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
from l2m.statistics.jackknife import jackknife_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from l2m.statistics.power_law import PowerLaw

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ENOUGH_GROUPS = 8
"""A distance enters a fit only if at least this many jackknife groups contribute pairs; fewer documents: blocks instead."""

FIXED_SHARE = 0.5
"""The documents of a fit hold at least this share of all tokens: fits reach as far as that allows."""

REMAINING_ERROR = 0.1
"""A law may miss a value by this share: what is left of the estimator's error is 11 to 16 % of the information at 1e8 pairs."""

SUBSAMPLES = {"eighth": 8, "quarter": 4, "half": 2}
"""Into how many parts the corpus is cut for each row of a subsample curve."""

DENSE = 256
"""Alphabets of up to this many ids are counted in one table (rust/pairs.rs)."""

PAIR_COST, WALK_COST = 7, 0.5
"""Nanoseconds of a pair with error bars, and of a token that a walk passes by (docs/scaling.md): their ratio is what counts."""

REMOVED_UNIT = 2.0**-28
"""Unit of the integers in which a counting task returns by how much sum f(n) shrinks without a group."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TwoPointCurve(Record):
    """Information between tokens at distance d, over pairs inside documents. One entry per distance; nan: no pairs there.

    Attributes:
        distance: int64, d.
        information: raw - null. Zero in expectation for independent tokens; a value <= 0 is a legal observation. What
            remains is a downward error proportional to the information itself, 11 to 16 % at 1e8 pairs.
        stderr: delete-one-group jackknife over documents (delete-m_j weights, a null per replicate); sampling only.
        covariance: (distances, distances), of the same jackknife; None without groups.
        raw: entropy_x + entropy_y - entropy_xy.
        null: expectation of `raw` for independent tokens with these margins; zero with null="none".
        pairs, distinct: uint64, pairs and different pairs.
        entropy_x, entropy_y, entropy_xy: entropies of first token, second token and pair.
        within_document: information after the tokens were shuffled inside every document, null subtracted: what merely
            being in one document tells. None where it was left out.
        within_document_stderr: its jackknife standard error.
        cross_document: information between the first token and one drawn from other documents, null subtracted: zero up to
            noise, a check. None where it was left out.
        documents: int64, documents that contribute pairs.
        contributing: int64, jackknife groups that contribute pairs.
        replicates: (groups, distances), information without each group; None without groups.
        group_pairs: (groups, distances), pairs of each group.
        subsample_information: (3, distances), information in an eighth, a quarter and a half of the documents, each with its own
            null: the mean over all 8, 4, 2 parts of the corpus. It rises to `information` and shows how far that has
            converged. nan where a part has no pairs; None where it was left out.
        subsample_stderr: standard error of those means, from the scatter of the parts.
        fixed: the same curve over the one set of documents that a fit uses (those that contribute at every distance
            fitted); None where these are all documents.
    """

    kind: ClassVar[str] = "two-point"
    axes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("distance", "information", "stderr", "raw", "null", "pairs", "distinct"), "distances"),
        **dict.fromkeys(("entropy_x", "entropy_y", "entropy_xy", "documents", "contributing"), "distances"),
        **dict.fromkeys(("within_document", "within_document_stderr", "cross_document"), "distances"),
        "covariance": "distances distances",
        "replicates": "groups distances",
        "group_pairs": "groups distances",
    }
    information_fields: ClassVar[tuple[str, ...]] = (
        "information",
        "stderr",
        "raw",
        "null",
        "entropy_x",
        "entropy_y",
        "entropy_xy",
        "within_document",
        "within_document_stderr",
        "cross_document",
        "replicates",
        "subsample_information",
        "subsample_stderr",
        "fixed",
    )
    squared_fields: ClassVar[tuple[str, ...]] = ("covariance",)

    distance: Integers
    information: Floats
    stderr: Floats
    covariance: Floats | None
    raw: Floats
    null: Floats
    pairs: NDArray[np.uint64]
    distinct: NDArray[np.uint64]
    entropy_x: Floats
    entropy_y: Floats
    entropy_xy: Floats
    within_document: Floats | None
    within_document_stderr: Floats | None
    cross_document: Floats | None
    documents: Integers
    contributing: Integers
    replicates: Floats | None
    group_pairs: NDArray[np.uint64] | None
    subsample_information: Floats | None = None
    subsample_stderr: Floats | None = None
    fixed: "TwoPointCurve | None" = None

    def __len__(self) -> int:
        """The number of distances."""
        return self.distance.size

    @property
    def fittable(self) -> NDArray[np.bool_]:
        """Distances that may enter a fit: enough groups contribute (without groups: any pairs), by the same documents."""
        enough = self.pairs > 0 if self.replicates is None else self.contributing >= ENOUGH_GROUPS
        same = self.documents == self.documents.max(initial=0) if self.replicates is not None else enough
        return enough & same

    def fit(
        self,
        *,
        offset: bool | Literal["free", "bounded"] = True,
        offset_bounds: tuple[float, float] | None = None,
        method: Literal["ols", "wls", "gls", "robust", "nonlinear"] | None = None,
        min_distance: int | None = None,
        max_distance: int | None = None,
    ) -> "PowerLaw":
        """Fit amplitude * d**exponent + offset over the distances that one set of documents carries.

        By default in linear space with weights 1/stderr^2, any sign of the offset, everything refitted in every jackknife
        replicate. Compare the offset with `within_document`: what is left at any distance is the documents' identity.
        `.resolved` is False, and the exponent nan, where the amplitude is within 2 standard errors of 0.
        `.settings["distances"]` are those fitted, `.settings["missed"]` those at which the law does not describe the curve.

        Args:
            offset, offset_bounds, method: see `l2m.fit_power_law`; method None: "wls", without groups "ols". The paper's own
                fit is offset="bounded", method="ols" of a curve with margins="corpus", null="none".
            min_distance, max_distance: fit only these. min_distance None: the shortest distance from which the law misses no
                value by both more than 10 % of it and more than chance allows. (In text the first few tokens, a word or a
                phrase, follow a law of their own.) Where there is none with two distances more than parameters, and without
                error bars: all distances.

        Raises:
            InputError: fewer distances than the law has parameters, with at least 8 contributing groups each.
        """
        curve = self.fixed or self
        kept = curve.fittable & (curve.distance >= (min_distance or 1))
        if max_distance is not None:
            kept &= curve.distance <= max_distance
        needed = 3 if offset else 2
        if kept.sum() < needed:
            raise InputError(
                f"distances: {int(kept.sum())} at which at least {ENOUGH_GROUPS} groups of the same documents have pairs;"
                f" expected {needed} or more for a fit"
            )
        starts = [0]
        if min_distance is None and curve.replicates is not None:
            starts = sorted(curve.distance[kept])[: max(1, int(kept.sum()) - needed - 1)]
        laws = (
            curve._law(kept & (curve.distance >= start), offset=offset, offset_bounds=offset_bounds, method=method)
            for start in starts
        )
        first = next(laws)
        if not first.resolved or not first.settings["missed"]:
            return first
        return next((law for law in laws if law.resolved and not law.settings["missed"]), first)

    def _law(
        self,
        kept: NDArray[np.bool_],
        *,
        offset: bool | Literal["free", "bounded"],
        offset_bounds: tuple[float, float] | None,
        method: Literal["ols", "wls", "gls", "robust", "nonlinear"] | None,
    ) -> "PowerLaw":
        """The law fitted to these distances."""
        from l2m.statistics.power_law import fit_power_law

        distance, information = self.distance[kept], self.information[kept]
        jackknife: dict[str, Any] = {}
        if self.replicates is not None and self.group_pairs is not None:
            # A group without pairs anywhere (in the fixed set) left nothing out: it is no replicate.
            sizes = self.group_pairs[:, kept].sum(axis=1).astype(float)
            present = sizes > 0
            jackknife = {
                "stderr": self.stderr[kept],
                "covariance": self.covariance[np.ix_(kept, kept)]
                if self.covariance is not None and method == "gls"
                else None,
                "replicates": self.replicates[np.ix_(present, kept)],
                "group_weights": sizes[present] / sizes.sum(),
            }
        law = fit_power_law(
            distance,
            information,
            offset=offset,
            offset_bounds=offset_bounds,
            method=method or ("wls" if jackknife else "ols"),
            **jackknife,
        )
        missed: dict[int, float] = {}
        if jackknife:
            error = law.misfit_error(jackknife["replicates"])
            away = law.predict(distance) - information
            beyond = (np.abs(away) > error) & (np.abs(away) > REMAINING_ERROR * np.abs(information))
            missed = {
                int(d): float(part) for d, part in zip(distance[beyond], (away / information)[beyond], strict=True)
            }
        note = f"Fitted from d = {distance.min():,} to {distance.max():,}."
        if missed:
            worst = max(missed, key=lambda d: abs(missed[d]))
            note += f" The law does not describe the curve: at d = {worst:,} it is {abs(missed[worst]):.0%} too "
            note += "high." if missed[worst] > 0 else "low."
        within = self.within_document
        about = {
            "distances": distance,
            "documents": int(self.documents[kept].min()),
            "groups": self.settings["groups"],
            "within_document": None if within is None else float(within[kept].mean()),
            "missed": missed,
            "note": note,
        }
        return dataclasses.replace(law, unit=self.unit, settings={**law.settings, **about})

    def plot(self, axes: "Axes | None" = None, law: "PowerLaw | None" = None) -> "Axes":
        """Information, within-document level and, where given, a law with its 95 % band, on log-log axes.

        A value <= 0 is drawn as an open triangle at the lower edge, its upper error bar kept.
        """
        from l2m.base.plots import draw_law, new_axes

        curve = self.fixed or self
        axes = new_axes() if axes is None else axes
        axes.set(
            xscale="log", yscale="log", xlabel="distance d (tokens)", ylabel=f"two-point information ({self.unit})"
        )
        positive = curve.information > 0
        error = np.where(np.isfinite(curve.stderr), curve.stderr, 0)
        lower = np.minimum(error, curve.information * (1 - 1e-3))
        axes.errorbar(
            curve.distance[positive],
            curve.information[positive],
            yerr=np.stack([lower, error])[:, positive],
            fmt="o",
            color="C0",
            markersize=4,
            capsize=2,
            label="I(d), null subtracted" if self.settings["null"] == "exact" else "I(d)",
        )
        if curve.within_document is not None:
            axes.plot(
                curve.distance, curve.within_document, "--", color="C1", linewidth=1, label="shuffled within documents"
            )
        if law is not None:
            draw_law(axes, law, "C0")
        negative = np.isfinite(curve.information) & ~positive
        if negative.any():
            floor = axes.get_ylim()[0]
            axes.plot(
                curve.distance[negative],
                np.full(negative.sum(), floor),
                "v",
                color="C0",
                fillstyle="none",
                label="<= 0",
            )
        axes.legend(frameon=False, fontsize="small")
        return axes

    def plot_subsamples(self, axes: "Axes | None" = None) -> "Axes":
        """Information in an eighth, a quarter and a half of the documents over that in all, by distance: 1 where converged.

        Raises:
            InputError: the curve has no subsamples.
        """
        from matplotlib import colormaps

        from l2m.base.plots import new_axes

        if self.subsample_information is None or self.subsample_stderr is None:
            raise InputError("subsamples: left out of this curve; expected one measured with subsamples=True")
        axes = new_axes() if axes is None else axes
        shares = np.array([1 / parts for parts in SUBSAMPLES.values()])
        # A ratio to what is not clearly above zero says nothing.
        clear = np.flatnonzero(self.information > 4 * np.nan_to_num(self.stderr))
        for place, index in enumerate(clear):
            axes.errorbar(
                np.append(shares, 1.0) * 1.02 ** (place - clear.size / 2),  # side by side, not one above the other
                np.append(self.subsample_information[:, index] / self.information[index], 1.0),
                yerr=np.append(self.subsample_stderr[:, index] / self.information[index], 0.0),
                fmt="o-",
                color=colormaps["viridis"](place / max(1, clear.size)),
                markersize=3,
                linewidth=1,
                label=f"d = {self.distance[index]:,}",
            )
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_xscale("log", base=2)
        axes.set(xlabel="share of the documents", ylabel="I(d) / I(d) in all documents")
        axes.set_xticks([*shares, 1], ["1/8", "1/4", "1/2", "1"])
        axes.legend(frameon=False, fontsize="x-small", ncols=2)
        return axes


def two_point(
    corpus: Corpus | ArrayLike | Sequence[ArrayLike],
    distances: Iterable[int] | None = None,
    *,
    estimator: str = "grassberger",
    margins: str = "pairs",
    null: str = "exact",
    groups: int | None = 32,
    within_document: bool = True,
    cross_document: bool = False,
    subsamples: bool = False,
    fixed_documents: bool = True,
    threads: int | None = None,
    memory: int | str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> TwoPointCurve:
    """Mutual information between tokens d apart (paper section 2, "Two-point"), in nats.

    Args:
        corpus: a corpus, or what `Corpus` takes: one array of ids, or a list of arrays, one a document. Pairs never cross
            a document.
        distances: whole numbers >= 1; None: 1, 2, 4, ..., 8192 as far as at least 8 groups have pairs.
        estimator: of the three entropies; one of `l2m.ENTROPY_ESTIMATORS`. The exact null and error bars need one that is a
            sum over symbols ("grassberger", "plug-in").
        margins: "pairs": entropies of first and second token from the pairs themselves; "corpus": the paper's
            2 H_1 - H_d, with H_1 over the whole corpus.
        null: "exact": subtract the expectation for independent tokens with the observed margins (Vinh, Epps & Bailey 2010);
            "none": subtract nothing, as the paper does, which leaves a floor for the fit's offset to take.
        groups: jackknife groups of whole documents, balanced by tokens. With fewer than 8 documents the groups are
            contiguous blocks of tokens instead (`settings["groups"]` says which). None: no error bars.
        within_document: also measure the level after shuffling inside documents. Costs as much as the curve.
        cross_document: also measure pairs across documents, a check of the null.
        subsamples: also measure in halves, quarters and eighths of the documents (of blocks, where there are fewer than 8
            documents): how far the information has converged. Costs as much as the counting without error bars, three times.
        fixed_documents: where documents run out as the distance grows, also measure over the one set of documents a fit
            uses (`.fixed`).
        threads: None: all cores. Never changes the result.
        memory: for the counting, bytes or e.g. "2GiB"; None: what full speed needs. Never changes the result.
        seed: of the shuffles.
        progress: called as progress(done, total), in pairs.

    Raises:
        InputError: distances that are not whole numbers >= 1 or repeat, an unknown choice, a corpus without any pair where
            distances are to be chosen, groups < 2, memory below what is needed (the message says how much).
    """
    job = TwoPointJob(
        corpus,
        distances,
        estimator=estimator,
        margins=margins,
        null=null,
        groups=groups,
        within_document=within_document,
        cross_document=cross_document,
        subsamples=subsamples,
        fixed_documents=fixed_documents,
        threads=threads,
        memory=memory,
        seed=seed,
        parts=1,
    )
    return job.run_all(progress)


def mutual_information(
    x: ArrayLike,
    y: ArrayLike,
    *,
    estimator: str = "grassberger",
    null: str = "exact",
    groups: int | None = 32,
    threads: int | None = None,
) -> Estimate:
    """Mutual information of two sequences of labels observed together, I(X; Y) in nats.

    Args:
        x, y: integers of any type and sign, one dimension, the same length. Not copied where they are contiguous.
        estimator, null: as in `two_point`.
        groups: the standard error is a jackknife over that many contiguous blocks (pairs need not be independent as long as
            blocks are). None: no standard error.

    Raises:
        InputError: not integers, different lengths, no pairs, an unknown choice.
    """
    first, second = _labels(x, "x"), _labels(y, "y")
    if first.size != second.size:
        raise InputError(f"y: {second.size} values; expected {first.size}, as many as x")
    if first.size == 0:
        raise InputError("x: no values; expected at least one pair")
    _check_choices(estimator=estimator, margins="pairs", null=null, groups=groups)
    blocks = 1 if groups is None else min(groups, first.size)
    counter = _core.PairCounter.paired(first, second, blocks, threads)
    grouped = estimator if blocks > 1 else None
    budget = _budget(counter, grouped is not None, _threads(threads), None)[1]
    sample = _combine(
        _margins(counter, [0], estimator, False, null, threads),
        [_joint(counter, [0], 0, counter.distinct, budget, grouped, threads, None)],
        estimator,
        null,
    )
    stderr = _jackknife(sample)[0][0] if blocks > 1 else float("nan")
    settings = {
        "pairs": first.size,
        "distinct": int(sample.distinct[0]),
        "null": null,
        "null_level": float(sample.null[0]),
        "groups": blocks,
    }
    return Estimate(float(sample.information[0]), float(stderr), estimator, settings=settings)


@dataclasses.dataclass(frozen=True)
class _Sample:
    """Everything measured on one arrangement of the tokens; arrays over distances, replicates and group_pairs by group."""

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


def _dense(counter: "_core.PairCounter") -> bool:
    """Whether pairs are counted in one table."""
    return counter.distinct <= DENSE


def _joint(
    counter: "_core.PairCounter",
    distances: list[int],
    low: int,
    high: int,
    budget: int,
    estimator: str | None,
    threads: int | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Joint counts over first ranks low..high as JSON-ready integers, by distance."""
    counted = counter.count(distances, low, high, budget, estimator, threads, progress)
    return {
        "counts": [counts.tolist() for (counts, _), _ in counted],
        "symbols": [symbols.tolist() for (_, symbols), _ in counted],
        "removed": [removed for _, removed in counted],
    }


def _margins(
    counter: "_core.PairCounter", distances: list[int], estimator: str, corpus: bool, null: str, threads: int | None
) -> dict[str, Any]:
    """What the margins say, JSON-ready: pairs by distance and group, and by distance rows (H_X, H_Y, E[H_XY]), first for all
    pairs, then without each group. `corpus`: H_X = H_Y = H_1 over all tokens."""
    sides = counter.margins(distances, estimator, null == "exact", threads)
    levels = [np.array(side[3]) for side in sides]
    if corpus:
        unigram = np.array(counter.margins([0], estimator, False, threads)[0][3])[:, :1]
        for index, side in enumerate(sides):
            if sum(side[2]):
                levels[index][:, :2] = unigram
    as_json = [[[None if np.isnan(value) else float(value) for value in row] for row in level] for level in levels]
    return {"pairs": [side[2] for side in sides], "levels": as_json}


def _combine(margins: dict[str, Any], joints: Sequence[dict[str, Any]], estimator: str, null: str) -> _Sample:
    """Entropies from the fingerprints of all ranges, replicates from what each group removes."""
    group_pairs = np.array(margins["pairs"], np.uint64).T
    groups, number = group_pairs.shape
    pairs = group_pairs.sum(axis=0)
    columns = {name: np.full(number, np.nan) for name in ("x", "y", "xy", "null_xy")}
    distinct = np.zeros(number, np.uint64)
    replicates = np.full((groups, number), np.nan)
    for index in range(number):
        total = int(pairs[index])
        if total == 0:
            continue
        joint_counts = Fingerprint(np.zeros(0, np.uint64), np.zeros(0, np.uint64))
        for joint in joints:
            joint_counts += Fingerprint(*(np.array(joint[name][index], np.uint64) for name in ("counts", "symbols")))
        levels = np.array(margins["levels"][index], float)
        _, entropy_xy, _ = _core.entropy(joint_counts.counts, joint_counts.symbols, estimator)
        distinct[index] = joint_counts.distinct
        for name, value in zip(columns, (*levels[0, :2], entropy_xy, levels[0, 2]), strict=True):
            columns[name][index] = value
        if groups > 1:
            removed = [sum(joint["removed"][index][group] for joint in joints) for group in range(groups)]
            left = (total - group_pairs[:, index].astype(np.int64)).astype(float)
            summed = total * (np.log(total) - entropy_xy) - np.array([float(value) for value in removed]) * REMOVED_UNIT
            with np.errstate(divide="ignore", invalid="ignore"):
                without = np.log(left) - summed / left
            independent = levels[1:, 2] if null == "exact" else levels[1:, 0] + levels[1:, 1]
            replicates[:, index] = independent - without
    x, y, xy = columns["x"], columns["y"], columns["xy"]
    level = x + y - columns["null_xy"] if null == "exact" else np.where(pairs > 0, 0.0, np.nan)
    raw = x + y - xy
    return _Sample(raw - level, raw, level, pairs, distinct, x, y, xy, replicates, group_pairs)


def _threads(threads: int | None) -> int:
    if threads is not None and threads < 1:
        raise InputError(f"threads: {threads}; expected at least 1")
    return threads or cores()


def _budget(counter: "_core.PairCounter", grouped: bool, threads: int, memory: int | None) -> tuple[int, int]:
    """(threads, bytes a thread may take) within `memory`, which also holds ranks and margins; None: what full speed needs.

    Raises:
        InputError: a budget below what one thread needs for the commonest token at one distance.
    """
    resident, _ = counter.bytes(1)
    least = counter.least(grouped)
    if memory is None:
        # Lists of 9 bytes a token in all beside 2 for 16-bit ranks, 15 beside 4.
        room = counter.length * (9 if counter.narrow else 15) // threads
        return threads, max(room, least, 64 << 20)
    for number in range(threads, 0, -1):
        share = (memory - resident) // number
        if share >= least and counter.bytes(number)[1] <= memory - resident:
            return number, share
    needed = resident + max(least, counter.bytes(1)[1])
    raise InputError(f"memory: {memory:,} bytes; this corpus needs at least {needed:,} bytes")


def _jackknife(sample: _Sample) -> tuple[Floats, Floats]:
    """Standard errors and covariance of the information."""
    sizes = sample.group_pairs.astype(float)
    with np.errstate(invalid="ignore"):  # a distance without pairs
        return jackknife_errors(sample.replicates, sample.information, sizes / sizes.sum(axis=0))


class TwoPointJob:
    """The measurement of `two_point` as tasks whose results add; see `l2m.counting.tasks`.

    Args: those of `two_point`, and
        parts: tasks a count is cut into, by ranges of first tokens; None: 8, more from 5e8 tokens on.

    Attributes:
        tasks: names: DOCUMENTS-ARRANGEMENT-margins, and DOCUMENTS-ARRANGEMENT-joint-PART. The documents are "all", "fixed" (those of a
            fit, where they differ) or a subsample ("half0" ... "eighth7"), the arrangement "given", "shuffled" or
            "cross-document".
    """

    def __init__(
        self,
        corpus: Corpus | ArrayLike | Sequence[ArrayLike],
        distances: Iterable[int] | None = None,
        *,
        estimator: str = "grassberger",
        margins: str = "pairs",
        null: str = "exact",
        groups: int | None = 32,
        within_document: bool = True,
        cross_document: bool = False,
        subsamples: bool = False,
        fixed_documents: bool = True,
        threads: int | None = None,
        memory: int | str | None = None,
        seed: int = 0,
        parts: int | None = None,
    ) -> None:
        _check_choices(estimator=estimator, margins=margins, null=null, groups=groups)
        if not 0 <= seed < 1 << 64:
            raise InputError(f"seed: {seed}; expected 0 to 2^64 - 1")
        self.corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
        self.estimator, self.margins, self.null, self.seed = estimator, margins, null, seed
        self.threads, self.memory = _threads(threads), parse_memory(memory)
        if parts is not None and parts < 1:
            raise InputError(f"parts: {parts}; expected at least 1")
        self.parts = parts or max(8, self.corpus.tokens.size >> 26)
        cut = _Cut(self.corpus.offsets, None, groups, distances)
        self.options = {
            "distances": cut.distances, "estimator": estimator, "margins": margins, "null": null,
            "groups": None if groups is None else int(groups),
            "within_document": within_document, "cross_document": cross_document, "subsamples": subsamples,
            "fixed_documents": fixed_documents,
            "seed": int(seed), "parts": self.parts,
        }  # fmt: skip
        self.cuts = {"all": cut}
        keep = cut.fixed_documents() if fixed_documents and groups is not None else None
        if keep is not None:
            reach = int(cut.lengths[keep].min())
            self.cuts["fixed"] = _Cut(self.corpus.offsets, keep, groups, [d for d in cut.distances if d < reach])
        self._samples = [
            (documents, arrangement)
            for documents in self.cuts
            for arrangement, wanted in (
                ("given", True),
                ("shuffled", within_document),
                ("cross-document", cross_document and documents == "all"),
            )
            if wanted
        ]
        if subsamples:
            parts_of = cut.subsamples()
            self.cuts |= parts_of
            self._samples += [(documents, "given") for documents in parts_of]
        self._held: tuple[tuple[str, str], _core.PairCounter] | None = None

    @property
    def distances(self) -> list[int]:
        """As asked for, or as chosen."""
        return self.cuts["all"].distances

    @property
    def tasks(self) -> list[str]:
        return [
            f"{documents}-{kind}-{name}"
            for documents, kind in self._samples
            for name in ("margins", *(f"joint-{part:05}" for part in range(self._parts(documents))))
        ]

    def _parts(self, documents: str) -> int:
        """Tasks of one count: fewer of a part of the corpus."""
        return max(1, self.parts * self.cuts[documents].tokens // max(1, self.cuts["all"].tokens))

    @property
    def settings(self) -> dict[str, Any]:
        """What is measured on what: equal settings, equal tasks, equal results."""
        return {
            "job": "two-point",
            "corpus": self.corpus.hash,
            "distances": self.distances,
            **self._settings(),
            "samples": [list(sample) for sample in self._samples],
            "parts": self.parts,
        }

    def _settings(self) -> dict[str, Any]:
        cut = self.cuts["all"]
        return {
            "estimator": self.estimator,
            "margins": self.margins,
            "null": self.null,
            "groups": {"unit": cut.unit, "number": cut.groups},
            "seed": self.seed,
        }

    @property
    def work(self) -> int:
        """Pairs to count in all, for progress: tokens x distances of every sample."""
        return sum(self.cuts[documents].tokens * len(self.cuts[documents].distances) for documents, _ in self._samples)

    @property
    def least_memory(self) -> int:
        """The smallest budget with which it can run, in bytes."""
        counter = self._counter(*self._samples[0])
        resident, margins = counter.bytes(1)
        return resident + max(counter.least(self.cuts["all"].groups > 1), margins)

    def forecast(self) -> Forecast:
        """What a run will take, from counting a few percent of the pairs on this machine."""
        start = perf_counter()
        counter = self._counter(*self._samples[0])
        prepare = perf_counter() - start
        grouped = self.cuts["all"].groups > 1
        threads, budget = _budget(counter, grouped, self.threads, self.memory)
        resident, margins = counter.bytes(threads)
        number = len(self.distances)
        ends = np.concatenate([[0], np.cumsum(counter.frequencies)]).astype(np.int64)
        seconds, size = self._calibrate(counter, budget, ends)

        pieces, largest, bytes_of_parts = [], 0, 0.0
        for part in range(self.parts):
            low, high = part_of(counter.frequencies, part, self.parts)
            shared = self._shared(counter, low, high, grouped, threads, budget)
            costs = []
            for at_once, ranges in counter.plan(low, high, number, grouped, shared):
                for first, end in ranges:
                    tokens = int(ends[end] - ends[first])
                    largest = max(largest, tokens * (1 if _dense(counter) else 64))
                    costs += [seconds(tokens * min(at_once, number))] * -(-number // at_once)
            pieces.append(makespan(costs, threads))
            # Fingerprints grow with the root of what is counted.
            bytes_of_parts += size * np.sqrt(float(ends[high] - ends[low]) / max(1, ends[-1]))
        start = perf_counter()
        _margins(counter, self.distances[:1], self.estimator, self.margins == "corpus", self.null, threads)
        margin = (perf_counter() - start) * number

        tasks: dict[str, float] = {}
        for documents, kind in self._samples:
            share = self.cuts[documents].tokens / max(1, self.cuts["all"].tokens)
            parts = self._parts(documents)
            # The null costs the same however many tokens there are.
            tasks[f"{documents}-{kind}-margins"] = margin
            tasks |= {f"{documents}-{kind}-joint-{part:05}": share * sum(pieces) / parts for part in range(parts)}
        counted = threads * budget
        if not _dense(counter):
            counted = min(counted, threads * (largest + counter.least(grouped)))
        return Forecast(
            tasks=tasks,
            work={"pairs": self.work},
            prepare=prepare * len(self._samples),
            threads=threads,
            memory_bytes=resident + max(margins, counted),
            least_memory_bytes=self.least_memory,
            disk_bytes=int(bytes_of_parts * sum(self._parts(name) for name, _ in self._samples) / self.parts),
        )

    def _calibrate(
        self, counter: "_core.PairCounter", budget: int, ends: Integers
    ) -> tuple[Callable[[int], float], float]:
        """Seconds of one thread for a piece of so many pairs, and bytes of the results of all first tokens in one task."""
        estimator = self.estimator if self.cuts["all"].groups > 1 else None

        def timed(low: int, high: int, distances: list[int]) -> tuple[float, int]:
            start = perf_counter()
            joint = _joint(counter, distances, low, high, budget, estimator, 1, None)
            return perf_counter() - start, len(json.dumps(joint, indent=1))

        if _dense(counter):
            took, size = timed(0, counter.distinct, self.distances[:1])
            return lambda pairs: took * pairs / max(1, int(ends[-1])), size * len(self.distances)
        ranges = [part_of(counter.frequencies, part, 64) for part in range(64)]
        ranges = [bounds for bounds in ranges if bounds[0] < bounds[1]]
        walk, _ = timed(counter.distinct - 1, counter.distinct, self.distances)
        took, tokens, total = 0.0, 0, 0.0
        for low, high in (ranges[0], ranges[len(ranges) // 2], ranges[-1]):
            spent, written = timed(low, high, self.distances)
            here = int(ends[high] - ends[low])
            took, tokens = took + max(spent - walk, 0), tokens + here
            total += written / np.sqrt(here / int(ends[-1])) / 3
        return lambda pairs: walk + took * pairs / (tokens * len(self.distances)), total

    def run(self, task: str, progress: Progress | None = None) -> dict[str, Any]:
        """The result of one task: integers, and floats that depend on the corpus alone."""
        if task not in self.tasks:
            raise InputError(f"task: {task!r}; expected one of {', '.join(self.tasks[:3])}, ...")
        documents, rest = task.split("-", 1)
        kind, name = rest.split("-margins") if rest.endswith("-margins") else rest.split("-joint-")
        counter = self._counter(documents, kind)
        cut = self.cuts[documents]
        grouped = cut.groups > 1
        threads, budget = _budget(counter, grouped, self.threads, self.memory)
        if not name:
            return _margins(counter, cut.distances, self.estimator, self.margins == "corpus", self.null, threads)
        parts, estimator = self._parts(documents), self.estimator if grouped else None
        if _dense(counter):
            # One table holds all first tokens: such a count is cut by distances.
            own = [index % parts == int(name) for index in range(len(cut.distances))]
            distances = [distance for distance, is_own in zip(cut.distances, own, strict=True) if is_own]
            counted = _joint(counter, distances, 0, counter.distinct, budget, estimator, threads, progress)
            none: dict[str, Any] = {"counts": [], "symbols": [], "removed": [0] * cut.groups}
            return {key: [values.pop(0) if mine else none[key] for mine in own] for key, values in counted.items()}
        low, high = part_of(counter.frequencies, int(name), parts)
        budget = self._shared(counter, low, high, grouped, threads, budget)
        return _joint(counter, cut.distances, low, high, budget, estimator, threads, progress)

    def _shared(
        self, counter: "_core.PairCounter", low: int, high: int, grouped: bool, threads: int, budget: int
    ) -> int:
        """A budget, at most this, at which the pieces of one of several ranges of first tokens keep all threads busy."""
        if self.parts == 1 or threads == 1:
            return budget
        ends = np.concatenate([[0], np.cumsum(counter.frequencies)]).astype(np.int64)
        number, best, shortest = len(self.distances), budget, float("inf")
        # Below 16 MB a piece costs less than a walk over the corpus for it.
        while budget >= max(counter.least(grouped), 16 << 20) or best == budget:
            costs = [
                PAIR_COST * int(ends[end] - ends[first]) * number + WALK_COST * counter.length * -(-number // at_once)
                for at_once, pieces in counter.plan(low, high, number, grouped, budget)
                for first, end in pieces
            ]
            span = makespan(sorted(costs, reverse=True), threads)
            if span < 0.95 * shortest:
                best, shortest = budget, span
            budget = budget * 3 // 4
        return best

    def run_all(self, progress: Progress | None = None) -> TwoPointCurve:
        """Run every task here and combine."""
        results, done = {}, 0
        for task in self.tasks:
            step: Progress | None = None
            if progress is not None:
                step = _offset(progress, done, self.work)
            results[task] = self.run(task, step)
            if "-joint-" in task:
                documents = task.split("-", 1)[0]
                cut = self.cuts[documents]
                done += cut.tokens * len(cut.distances) // self._parts(documents)
        self._held = None
        return self.combine(results)

    def combine(self, results: Mapping[str, dict[str, Any]]) -> TwoPointCurve:
        """The curve from the results of all tasks."""
        samples = {}
        for documents, kind in self._samples:
            name = f"{documents}-{kind}"
            joints = [results[f"{name}-joint-{part:05}"] for part in range(self._parts(documents))]
            samples[documents, kind] = _combine(results[f"{name}-margins"], joints, self.estimator, self.null)
        fixed = self._curve("fixed", samples, None) if "fixed" in self.cuts else None
        return self._curve("all", samples, fixed)

    def _counter(self, documents: str, arrangement: str) -> "_core.PairCounter":
        """The ranked tokens of one sample; one is held at a time."""
        if self._held is None or self._held[0] != (documents, arrangement):
            self._held = None
            cut = self.cuts[documents]
            tokens = np.ascontiguousarray(self.corpus.tokens)
            counter = _core.PairCounter(tokens, cut.segments, cut.groups, arrangement, self.seed, self.threads)
            self._held = (documents, arrangement), counter
        return self._held[1]

    def _curve(
        self, documents: str, samples: Mapping[tuple[str, str], _Sample], fixed: TwoPointCurve | None
    ) -> TwoPointCurve:
        cut = self.cuts[documents]
        sample = samples[documents, "given"]
        within, across = samples.get((documents, "shuffled")), samples.get((documents, "cross-document"))
        jackknifed = cut.groups > 1
        means, errors = _subsample_curve(samples) if documents == "all" and "half0" in self.cuts else (None, None)
        stderr, covariance = _jackknife(sample) if jackknifed else (np.full(len(cut.distances), np.nan), None)
        return TwoPointCurve(
            distance=np.array(cut.distances, np.int64),
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
            within_document_stderr=_jackknife(within)[0] if within is not None and jackknifed else None,
            cross_document=None if across is None else across.information,
            documents=np.array([(cut.lengths > distance).sum() for distance in cut.distances], np.int64),
            contributing=(sample.group_pairs > 0).sum(axis=0).astype(np.int64),
            replicates=sample.replicates if jackknifed else None,
            group_pairs=sample.group_pairs if jackknifed else None,
            subsample_information=means,
            subsample_stderr=errors,
            fixed=fixed,
            settings={
                **self._settings(),
                "groups": {"unit": cut.unit, "number": cut.groups},
                "tokens": cut.tokens,
                "documents": int(cut.lengths.size),
                "vocab_size": self.corpus.vocab_size,
                "tokenizer": self.corpus.tokenizer["name"],
            },
        )


def _subsample_curve(samples: Mapping[tuple[str, str], _Sample]) -> tuple[Floats, Floats]:
    """Mean and standard error over the parts of each subsample."""
    means, errors = [], []
    for name, parts in SUBSAMPLES.items():
        values = np.stack([samples[f"{name}{part}", "given"].information for part in range(parts)])
        means.append(values.mean(axis=0))
        errors.append(values.std(axis=0, ddof=1) / np.sqrt(parts))
    return np.stack(means), np.stack(errors)


def _offset(progress: Progress, done: int, total: int) -> Progress:
    return lambda units, _: progress(min(done + units, total), total)


class _Cut:
    """Which documents are counted at which distances, and how they are cut into jackknife groups."""

    def __init__(
        self, offsets: Integers, documents: Integers | None, groups: int | None, distances: Iterable[int] | None
    ) -> None:
        starts, ends = offsets[:-1], offsets[1:]
        if documents is not None:
            starts, ends = starts[documents], ends[documents]
        self._spans = starts, ends
        self.lengths = ends - starts
        self.tokens = int(self.lengths.sum())
        self.all_documents = documents is None
        chosen = None if distances is None else _check_distances(distances)
        self.unit, self.segments, self.groups = _segments(starts, ends, groups, min(chosen) if chosen else 1)
        self.distances = self._default_distances() if chosen is None else chosen

    def _contributing(self, distance: int) -> int:
        """Groups with pairs at this distance."""
        start, end, limit, group = self.segments
        return int(np.unique(group[np.minimum(end, limit - distance) > start]).size)

    def _default_distances(self) -> list[int]:
        powers = [1 << power for power in range(14) if (self.lengths > 1 << power).any()]
        if not powers:
            raise InputError(
                f"corpus: {self.tokens} tokens in {self.lengths.size} documents, without any pair;"
                " expected a document of two tokens or more"
            )
        needed = ENOUGH_GROUPS if self.groups >= ENOUGH_GROUPS else 1
        return [power for power in powers if self._contributing(power) >= needed] or powers

    def subsamples(self) -> dict[str, "_Cut"]:
        """The corpus in eighths, quarters and halves of whole documents (blocks where there are fewer than 8), without groups.

        A quarter is two eighths, a half two quarters: the levels differ in size alone.
        """
        smallest = max(SUBSAMPLES.values())
        _, (start, end, limit, group), number = _segments(*self._spans, smallest, min(self.distances))
        if number < smallest:
            raise InputError(f"subsamples: a corpus of {self.tokens} tokens; expected at least {smallest}")
        cuts = {}
        for name, parts in SUBSAMPLES.items():
            for part in range(parts):
                mine = group * parts // smallest == part
                cut = copy.copy(self)
                cut.segments = start[mine], end[mine], limit[mine], np.zeros(mine.sum(), np.int64)
                cut.groups, cut.unit = 1, "none"
                cut.tokens = int((end - start)[mine].sum())
                cuts[f"{name}{part}"] = cut
        return cuts

    def fixed_documents(self) -> Integers | None:
        """The documents of a fit: those longer than the largest distance at which documents that long hold half of all
        tokens and fill 8 groups. None where that is every document with a pair, or no such distance exists."""
        needed = ENOUGH_GROUPS if self.unit == "documents" else 1
        for distance in sorted(self.distances, reverse=True):
            long = self.lengths > distance
            if long.sum() >= needed and self.lengths[long].sum() >= FIXED_SHARE * self.tokens:
                every = (self.lengths > min(self.distances)).sum() == long.sum()
                return None if every else np.flatnonzero(long)
        return None


def _segments(
    starts: Integers, ends: Integers, groups: int | None, nearest: int
) -> tuple[str, tuple[Integers, Integers, Integers, Integers], int]:
    """(what a group consists of, (start, end, limit, group) of first tokens ordered by group, number of groups).

    Whole documents, the longest first into the lightest group; contiguous blocks of equal size where fewer than 8 documents
    have pairs at the nearest distance.
    """
    lengths = ends - starts
    some = np.flatnonzero(lengths > 0)
    starts, ends, lengths = starts[some], ends[some], lengths[some]
    if groups is None or some.size == 0:
        return "none", (starts, ends, ends.copy(), np.zeros(some.size, np.int64)), 1
    contributing = int((lengths > nearest).sum())
    if contributing >= ENOUGH_GROUPS:
        number = min(groups, contributing)
        group = np.zeros(some.size, np.int64)
        heap = [(0, index) for index in range(number)]
        for document in np.argsort(-lengths, kind="stable"):
            weight, lightest = heap[0]
            group[document] = lightest
            heapq.heapreplace(heap, (weight + int(lengths[document]), lightest))
        order = np.argsort(group, kind="stable")
        return "documents", (starts[order], ends[order], ends[order], group[order]), number
    total = int(lengths.sum())
    number = max(1, min(groups, total))
    # In coordinates that leave out what lies between the documents, a border inside a document cuts it into two segments with
    # the same limit.
    before = np.concatenate([[0], np.cumsum(lengths)])
    cuts = np.arange(number) * total // number
    borders = np.unique(np.concatenate([before[:-1], cuts]))
    document = np.searchsorted(before, borders, side="right") - 1
    shift = starts[document] - before[document]
    stops = np.minimum(np.append(borders[1:], total), before[document + 1])
    group = np.searchsorted(cuts, borders, side="right") - 1
    return "blocks", (borders + shift, stops + shift, ends[document], group.astype(np.int64)), number


def _check_choices(*, estimator: str, margins: str, null: str, groups: int | None) -> None:
    from l2m.statistics.entropy import ENTROPY_ESTIMATORS

    if not isinstance(estimator, str) or not any(_plain(estimator) == _plain(name) for name in ENTROPY_ESTIMATORS):
        raise InputError(f"estimator: {estimator!r}; expected one of {', '.join(ENTROPY_ESTIMATORS)}")
    if margins not in ("pairs", "corpus"):
        raise InputError(f"margins: {margins!r}; expected 'pairs' or 'corpus'")
    if null not in ("exact", "none"):
        raise InputError(f"null: {null!r}; expected 'exact' or 'none'")
    if groups is not None and (isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 2):
        raise InputError(f"groups: {groups!r}; expected a whole number of 2 or more, or None for no error bars")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _check_distances(distances: Iterable[int]) -> list[int]:
    values = np.asarray(list(distances) if not isinstance(distances, np.ndarray) else distances)
    if values.ndim != 1 or values.size == 0 or values.dtype.kind not in "iu":
        raise InputError(f"distances: {values.dtype} of shape {values.shape}; expected whole numbers of 1 or more")
    result = [int(value) for value in values]
    if min(result) < 1 or max(result) >= 1 << 62:
        raise InputError(f"distances: {min(result)} to {max(result)}; expected whole numbers of 1 or more")
    if len(set(result)) < len(result):
        raise InputError(f"distances: {result}; expected each distance once")
    return result


def _labels(values: ArrayLike, name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise InputError(f"{name}: an array of shape {array.shape}; expected one dimension")
    if array.size and array.dtype.kind not in "iub":
        raise InputError(f"{name}: dtype {array.dtype}; expected integers")
    if array.dtype.kind == "b" or not array.size:
        array = array.astype(np.uint8)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
