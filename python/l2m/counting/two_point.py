"""Two-point information: how much a token tells about the token d places later, with its null, levels and error bars."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m import _core
from l2m.base import checks
from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus
from l2m.counting.pair_counts import budget_of, combine, count_joint, count_margins
from l2m.counting.two_point_curve import TwoPointCurve
from l2m.counting.two_point_job import TwoPointJob, TwoPointSettings, check_estimator, check_groups
from l2m.errors import InputError
from l2m.statistics.entropy import Estimate


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
    permutations: int = 0,
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
        permutations: also give each distance a p-value from so many permutations of blocks of d tokens within documents (0: none;
            at least 19), and control over all distances. Each costs as much as the counting without error bars.
        threads: None: all cores. Never changes the result.
        memory: for the counting, bytes or e.g. "2GiB"; None: what full speed needs. Never changes the result.
        seed: of the shuffles.
        progress: called as progress(done, total), in pairs.

    Returns:
        The curve, one value for each distance, with its jackknife errors.

    Raises:
        InputError: distances that are not whole numbers >= 1 or repeat, an unknown choice, a corpus without any pair where
            distances are to be chosen, groups < 2, memory below what is needed (the message says how much).

    Example:
        >>> tokens = np.random.default_rng(0).integers(0, 20, 20_000)
        >>> corpus = l2m.Corpus(np.repeat(tokens, 2), np.arange(0, 40_001, 4000))  # each token occurs twice in a row
        >>> curve = l2m.two_point(corpus, [1, 2, 3])
        >>> curve
        TwoPointCurve(d = 1 to 3, I = 0.903 to 0.000323 nats, 10 documents)
        >>> curve.information.round(2)
        array([0.9 , 0.01, 0.  ])
    """
    settings = TwoPointSettings(
        distances=distances,
        estimator=estimator,
        margins=margins,
        null=null,
        groups=groups,
        within_document=within_document,
        cross_document=cross_document,
        subsamples=subsamples,
        fixed_documents=fixed_documents,
        permutations=permutations,
        seed=seed,
    )
    return TwoPointJob(corpus, settings, threads=threads, memory=memory, parts=1).run_all(progress)


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
        x, y: (n,) integers of any type and sign. Not copied if they are contiguous.
        estimator, null: as in `two_point`.
        groups: the standard error is a jackknife over that many contiguous blocks; pairs need not be independent as long as
            blocks are. None: no standard error.
        threads: None: all cores. Never changes the result.

    Returns:
        The estimate in nats, null subtracted; `settings["null_level"]` is what was subtracted.

    Raises:
        InputError: not integers, different lengths, no pairs, an unknown choice.

    Example:
        >>> x = np.random.default_rng(0).integers(0, 4, 2000)
        >>> l2m.mutual_information(x, np.where(x > 1, x, 0))
        Estimate(1.054 ± 0.0073 nats, grassberger)
    """
    first, second = _labels("x", x), _labels("y", y)
    if first.size != second.size:
        raise InputError(f"y: {second.size} values; expected {first.size}, as many as x")
    if first.size == 0:
        raise InputError("x: no values; expected at least one pair")
    check_estimator(estimator)
    checks.one_of("null", null, ("exact", "none"))
    chosen, threads = check_groups(groups), checks.threads(threads)
    blocks = 1 if chosen is None else min(chosen, first.size)
    counter = _core.PairCounter.paired(first, second, blocks, threads)
    grouped = estimator if blocks > 1 else None
    _, budget = budget_of(counter, grouped is not None, threads, None)
    sample = combine(
        count_margins(counter, [0], estimator, corpus=False, null=null, threads=threads),
        [count_joint(counter, [0], 0, counter.distinct, budget=budget, estimator=grouped, threads=threads)],
        estimator,
        null,
    )
    stderr = sample.errors()[0][0] if blocks > 1 else float("nan")
    settings = {
        "pairs": first.size,
        "distinct": int(sample.distinct[0]),
        "null": null,
        "null_level": float(sample.null[0]),
        "groups": blocks,
    }
    return Estimate(float(sample.information[0]), float(stderr), estimator, settings=settings)


def _labels(name: str, values: ArrayLike) -> NDArray[np.integer]:
    """Integers of any type and sign, contiguous; truth values as 0 and 1."""
    array = checks.plain_array(name, values)
    if array.ndim != 1:
        raise InputError(f"{name}: an array of shape {array.shape}; expected one dimension")
    if array.size and array.dtype.kind not in "iub":
        raise InputError(f"{name}: dtype {array.dtype}; expected integers")
    if array.dtype.kind == "b" or not array.size:
        array = array.astype(np.uint8)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
