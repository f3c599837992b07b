"""Which windows an estimate pairs, and how its value changes when a document of theirs is left out."""

import math

import numpy as np
from numpy.typing import NDArray

from l2m.errors import InputError
from l2m.statistics.jackknife import group_sums, groups_of_windows, means_without_each

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
OFFSET = 1234
"""Of the authors' permutation."""


def disjoint_halves(count: int) -> tuple[Integers, Integers]:
    """The authors' pairs: the conditional pass of window A[i] with the marginal pass of window B[i]; an odd window is left out.

    The windows in the order i -> (i p + 1234) mod count, with p the next prime above the root of count, cut in the middle. A
    prime that divides the count would draw windows twice: then the next one that does not is taken.

    Raises:
        InputError: fewer than two windows.
    """
    if count < 2:
        raise InputError(f"marginal: 'halves' of {count} window; expected at least 2")
    step = math.isqrt(count) + 1
    while count % step == 0 or any(step % factor == 0 for factor in range(2, math.isqrt(step) + 1)):
        step += 1
    order = (np.arange(count) * step + OFFSET) % count
    half = count // 2
    return order[:half], order[half : 2 * half]


def halves_without_each(
    first: Floats, second: Floats, document: Integers, halves: tuple[Integers, Integers]
) -> tuple[Floats, Floats, str]:
    """mean(first[A]) - mean(second[B]), the same without each group in turn, (groups, points), and what a group is.

    A and B share no window, so that each pair is independent of the others where every window is of a document of its own:
    then a pair is a group, and the error is that of a mean over pairs, the authors'. Where documents have several windows, a
    document leaves both halves.

    Args:
        first, second: (windows, points).
        document: (windows,).
        halves: the windows of A and of B.
    """
    a, b = halves
    both = np.concatenate([a, b])
    names, label, unit = groups_of_windows(document[both])
    pairs = a.size
    if names.size == both.size:
        pointwise = first[a] - second[b]
        return pointwise.mean(0), means_without_each(pointwise, np.arange(pairs), pairs), f"pairs of {unit}"
    counts = [np.bincount(part, minlength=names.size) for part in (label[:pairs], label[pairs:])]
    kept = (counts[0] < pairs) & (counts[1] < pairs)
    left = [
        (values.sum(0) - group_sums(values, part, names.size))[kept] / (pairs - count[kept])[:, None]
        for values, part, count in ((first[a], label[:pairs], counts[0]), (second[b], label[pairs:], counts[1]))
    ]
    return first[a].mean(0) - second[b].mean(0), left[0] - left[1], unit


def without_each_document(
    first: Floats, second: Floats, document: NDArray[np.int64], partners: NDArray[np.int64]
) -> tuple[Floats, Floats, str]:
    """mean(first) - mean(second), and the same without each document in turn, (groups, points).

    A pair of two documents leaves with either of them, so that the errors know a partner may be drawn several times.

    Args:
        first: (windows, points).
        second: (windows, pairs, points).
        document: (windows,).
        partners: (windows, pairs), the other document of each pair.
    """
    names, label, unit = groups_of_windows(document)
    groups = names.size
    own = np.bincount(label, minlength=groups)
    first_left, count = first.sum(0) - group_sums(first, label, groups), document.size - own
    second_left = second.sum((0, 1)) - group_sums(second.sum(1), label, groups)
    pairs = partners.size - own * partners.shape[1]
    if unit == "documents":
        # A partner's own windows may be incomplete: then its document is no group.
        place = np.minimum(np.searchsorted(names, partners), groups - 1)
        other = (names[place] == partners) & (partners != document[:, None])
        second_left -= group_sums(second[other], place[other], groups)
        pairs = pairs - np.bincount(place[other], minlength=groups)
    kept = (count > 0) & (pairs > 0)
    replicates = first_left[kept] / count[kept, None] - second_left[kept] / pairs[kept, None]
    return first.mean(0) - second.mean((0, 1)), replicates, unit
