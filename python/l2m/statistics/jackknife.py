"""The delete-one-group jackknife: estimates without each group of the data, and the errors they give.

Delete-m_j (Busing, Meijer & van der Leeden 1999). With h_j = n / m_j, the inverse of the share of the data in group j, the
pseudo-values are h_j t - (h_j - 1) t_(j). The squares of their distances from the jackknife estimate, each divided by
h_j - 1, are averaged. For groups of equal size this is (G-1)/G sum (t_(j) - mean)^2.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST_DOCUMENTS = 8
"""With fewer documents a jackknife over them has too few groups: windows are the groups instead."""


def jackknife_errors(
    replicates: Floats, estimate: Floats | None = None, shares: Floats | None = None
) -> tuple[Floats, Floats]:
    """Errors of an estimate from its values without each group.

    Args:
        replicates: (groups, values) the estimate without each group.
        estimate: (values,) from all of the data; needed for unequal groups only.
        shares: None: equal groups; else the fraction of the data in each group, (groups,), or (groups, values) where it
            differs by value. A share of 0 marks a group without data for that value.

    Returns:
        Standard errors (values,) and covariance (values, values); nan for values with fewer than two groups, or with a
        replicate that is not finite.
    """
    with np.errstate(invalid="ignore"):  # inf - inf is nan, which says that no error is known
        return _errors(replicates, estimate, shares)


def _errors(replicates: Floats, estimate: Floats | None, shares: Floats | None) -> tuple[Floats, Floats]:
    groups, values = replicates.shape
    if shares is None:
        if groups < 2:
            return np.full(values, np.nan), np.full((values, values), np.nan)
        centred = replicates - replicates.mean(0)
        covariance = centred.T @ centred * (groups - 1) / groups
        return np.sqrt(np.diag(covariance)), np.asarray(covariance)
    assert estimate is not None
    by_value = shares if shares.ndim == 2 else np.broadcast_to(shares[:, None], replicates.shape)
    deviations = np.zeros_like(replicates)
    stderr = np.full(values, np.nan)
    for column, theta in enumerate(estimate):
        present = by_value[:, column] > 0
        number = int(present.sum())
        if number < 2:
            deviations[:, column] = np.nan
            continue
        share, without = by_value[present, column], replicates[present, column]
        pseudo = theta / share - (1 / share - 1) * without
        centre = number * theta - ((1 - share) * without).sum()
        deviations[present, column] = (pseudo - centre) / np.sqrt((1 / share - 1) * number)
        stderr[column] = np.sqrt((deviations[present, column] ** 2).sum())
    return stderr, deviations.T @ deviations


def groups_of_windows(document: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """The groups that windows of a text leave one at a time: their documents, or each alone where documents are few.

    Args:
        document: (windows,) number of each window's document.

    Returns:
        The groups' names, ascending; (windows,) the place of each window's group among them; "documents" or "windows".
    """
    by_document = np.unique(document).size >= FEWEST_DOCUMENTS
    names, label = np.unique(document if by_document else np.arange(document.size), return_inverse=True)
    return names, label, "documents" if by_document else "windows"


def group_sums(values: Floats, label: NDArray[np.int64], groups: int) -> Floats:
    """(groups, values) sums of the rows of (windows, values) in each group."""
    total = np.zeros((groups, values.shape[-1]))
    np.add.at(total, label, values)
    return total


def means_without_each(values: Floats, label: NDArray[np.int64], groups: int) -> Floats:
    """(groups, values) means of the rows of (windows, values) that are not in each group; a group that holds all is left out."""
    count = len(values) - np.bincount(label, minlength=groups)
    kept = count > 0
    left = values.sum(0) - group_sums(values, label, groups)
    return np.asarray(left[kept] / count[kept, None])
