"""`l2m.load`: any saved record, corpus or score folder. Imports every module that defines a record, so that each kind is known."""

import os
from typing import Any

from l2m.base import checks
from l2m.base.records import read_record
from l2m.corpora.corpus import Corpus
from l2m.counting import covariance_curve, ngrams, two_point  # noqa: F401
from l2m.errors import InputError
from l2m.pipeline import laws, measurement  # noqa: F401
from l2m.scoring import Scores, bipartite, position_nll  # noqa: F401
from l2m.states import comparison, condition, design, history_state, memory_plan, plans, threshold  # noqa: F401
from l2m.statistics import curve_comparison, entropy, joint_entropy, learning_exponent, logarithm, power_law  # noqa: F401
from l2m.training import collapse, evaluation  # noqa: F401
from l2m.truth import equivalent, frontier, frontier_curves, gaussian_curves  # noqa: F401


def load(path: str | os.PathLike[str]) -> Any:
    """Read any saved record; a corpus or score folder opens as what it is.

    Returns:
        What was saved: a record, a `Corpus` or `Scores`.

    Raises:
        InputError: no such file, not a record, or a record of another schema.

    Example:
        >>> l2m.entropy([3, 2, 1]).save('entropy.json')
        >>> l2m.load('entropy.json')
        Estimate(1.395 ± 0.3 nats, grassberger; about 12 % of the probability is in symbols that did not occur: the value is likely too low)
    """
    path = checks.path("path", path)
    if not path.is_dir():
        return read_record(path)
    if (path / "corpus.json").exists():
        return Corpus.open(path)
    if (path / "scores.json").exists():
        return Scores.open(path)
    raise InputError(
        f"{path}: a folder without corpus.json or scores.json; expected a saved record, corpus or score folder"
    )
