"""Information from the conditional pass alone: entropies of the next token, summed.

Where a text is stationary, Y alone costs what the first tokens of a window cost, so that with h_n the entropy of the token at
position n given all before it

    I(X; Y) = h_1 + ... + h_(r-1)l  -  (h_l+1 + ... + h_rl),    L = r l.

If h_n = H_inf + A n^-gamma, I grows like L^(1 - gamma) in the limit, but at finite length faster: the sums of n^-gamma hold a
constant, which is negative. With gamma = 0.54 the slope over l = 2 .. 512 is 0.62, not 0.46.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2m.errors import InputError
from l2m.scoring.position_nll import position_nll
from l2m.scoring.scores import Scores
from l2m.statistics.jackknife import groups_of_windows, means_without_each

Floats = NDArray[np.float64]
PER_OCTAVE = 4


def signs(points: Sequence[int] | NDArray[np.int64], ratio: int, length: int) -> Floats:
    """(points, length): how often h_n is in I(X; Y), -1, 0 or 1."""
    n = np.arange(1, length + 1)
    split = np.asarray(points, np.int64)[:, None]
    return np.asarray((n <= (ratio - 1) * split) * 1.0 - ((n > split) & (n <= ratio * split)))


def summed_entropy(
    scores: Scores, points: Sequence[int], ratio: int, correction: str
) -> tuple[Floats, Floats, str, NDArray[np.bool_], dict[str, Any]]:
    """I(X; Y) of each window, (windows, points), the mean without each group, what a group is, which windows, and notes.

    Args:
        correction: "none"; "fitted": positions before those that the law H_inf + A n^-gamma describes have the law's values.

    Raises:
        InputError: "fitted" where no such law holds.
    """
    whole = np.asarray(np.isfinite(scores.conditional).all(1))
    values = -scores.conditional[whole].astype(np.float64)
    document = scores.documents[whole]
    names, label, unit = groups_of_windows(document)
    weights = signs(points, ratio, scores.length)
    notes: dict[str, Any] = {}
    replaced = np.zeros((names.size, len(points)))
    if correction == "fitted":
        law = position_nll(scores, per_octave=PER_OCTAVE, levels=(), entropy=False).fit()
        if not law.holds or law.refits is None:
            raise InputError(f"correction: 'fitted'; no law of the next token's entropy holds: {law.explain()}")
        begin = int(law.settings["first"]) - 1
        n = np.arange(1, begin + 1)
        values[:, :begin] = law.predict(n)
        refitted = np.array([law._curve(refit, n.astype(float)) for refit in law.refits])
        replaced = (refitted - law.predict(n)) @ weights[:, :begin].T
        notes = {"gamma": -law.exponent, "fitted_from": begin + 1}
    pointwise = values @ weights.T
    replicates = means_without_each(pointwise, label, names.size)
    if len(replicates) == len(replaced):  # a group that holds all windows is left out
        replicates = replicates + replaced
    return pointwise, replicates, unit, whole, notes
