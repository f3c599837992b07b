"""How often chance makes as much two-point information: permutations of blocks within documents, and p-values over many distances.

At distance d every document is cut into blocks of d tokens, and the blocks are shuffled. Both tokens of a pair then lie in different
blocks, so what the pairs share is what the documents' own frequencies make. What tokens closer than d share stays, as it must: it
widens the scatter of I(d), and a shuffle of single tokens would take that scatter for information at d. Where the tokens of a document
are exchangeable, the test is exact.

Many distances are tested at once, so their p-values are adjusted by Benjamini and Hochberg (1995): most distances of a text do carry
information, and what a reader can use is a bound on the share of wrong ones among those named. That control holds for tests that are
independent or rise together, as those at different distances do. The maximum over distances, the other choice, would need one
arrangement for all of them, and each distance has its own blocks.
"""

import numpy as np
from numpy.typing import NDArray

from l2m import _core
from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus
from l2m.counting.pair_counts import budget_of, combine, count_joint, count_margins
from l2m.counting.segments import Selection

Floats = NDArray[np.float64]

FEWEST = 19
"""The smallest p-value is 1 / (permutations + 1), 0.05 with so many."""
MOST = 99_999
SIGNIFICANT = 0.05


def permuted_information(
    corpus: Corpus,
    selection: Selection,
    number: int,
    *,
    estimator: str,
    margins: str,
    seed: int,
    threads: int,
    memory: int | None,
    reserved: int,
    progress: Progress | None,
) -> Floats:
    """(distances,) raw information of the pairs at each distance after permutation `number` of the blocks; nan where there are no pairs."""
    start, end, limit, group = selection.segments.arrays
    segments, tokens = (start, end, limit, np.zeros_like(group)), np.ascontiguousarray(corpus.tokens)
    chosen = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
    information = np.empty(len(selection.distances))
    for place, distance in enumerate(selection.distances):
        counter = _core.PairCounter(tokens, segments, 1, "shuffled", chosen, threads, None, distance)
        several, budget = budget_of(counter, False, threads, memory, reserved)
        margin = count_margins(counter, [distance], estimator, corpus=margins == "corpus", null="none", threads=several)
        joint = count_joint(
            counter, [distance], 0, counter.distinct, budget=budget, estimator=None, threads=several
        )  # fmt: skip
        information[place] = combine(margin, [joint], estimator, "none").raw[0]
        if progress is not None:
            progress((place + 1) * selection.tokens, len(selection.distances) * selection.tokens)
    return information


def p_values(observed: Floats, permuted: Floats) -> Floats:
    """(distances,) share of arrangements, the observed one among them, with at least the observed information; nan without pairs.

    Args:
        observed: (distances,) raw information.
        permuted: (permutations, distances) the same after each permutation.

    Source: Phipson & Smyth (2010): counting the observed arrangement makes the test exact, and no p-value is 0.
    """
    above = (permuted >= observed).sum(axis=0)
    return np.where(np.isfinite(observed), (1 + above) / (1 + len(permuted)), np.nan)


def q_values(p: Floats) -> Floats:
    """p-values adjusted for their number by Benjamini and Hochberg: at most so large a share of the distances named is false."""
    from scipy.stats import false_discovery_control

    known = np.isfinite(p)
    q = np.full(p.size, np.nan)
    if known.any():
        q[known] = false_discovery_control(p[known], method="bh")
    return q
