"""How much of beta is a choice: the estimate that errs least, and the exponent by every choice that can be defended.

docs/exponent.md ran every estimator on sources whose exponent is known. Where models find the first tokens of Y too unlikely, a
constant is added to I and beta comes out too low: a correction mends most of it. vCLUB estimates another quantity, and sums of
entropies need a text that is stationary: neither is an alternative to a beta.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base.records import Record
from l2m.errors import InputError
from l2m.scoring.bipartite import BipartiteCurve, bipartite, every_estimate
from l2m.scoring.scores import Scores
from l2m.statistics.power_law import PowerLaw

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ExponentRange(Record):
    """The exponent of I = A L^beta by every choice that can be defended, one entry a choice.

    A choice is an estimate of one store and the l that its fit begins at. It can be defended where the law misses no value
    (`PowerLaw.holds`), has a positive amplitude, is fitted to at least half of the doublings of l, and to no l at which what the
    first tokens may be wrong by is as large as the information (`settings["dominated"]`).

    Attributes:
        estimate: names of the estimates ("direct", "direct, ngram correction", ...), (choices,).
        split: the l that the fit begins at, (choices,).
        exponent, low, high: beta and its 95 % interval of sampling, (choices,).
        passed_over: estimates of which no law holds.
    """

    kind: ClassVar[str] = "exponent range"
    axes: ClassVar[Mapping[str, str]] = dict.fromkeys(("estimate", "split", "exponent", "low", "high"), "choices")

    estimate: tuple[str, ...]
    split: NDArray[np.int64]
    exponent: Floats
    low: Floats
    high: Floats
    passed_over: tuple[str, ...]

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest exponent; nan without any choice."""
        if not self.exponent.size:
            return np.nan, np.nan
        return float(self.exponent.min()), float(self.exponent.max())


def exponent_range(curves: Sequence[BipartiteCurve], **options: Any) -> ExponentRange:
    """Fit every curve from every start.

    Args:
        curves: estimates of one store at one ratio.
        options: passed on to `BipartiteCurve.fit`.
    """
    rows: list[tuple[str, int, float, float, float]] = []
    passed_over = []
    for curve in curves:
        try:
            laws = {law.settings["splits"][0]: law for law in curve.laws(**options) if _defended(law)}
        except InputError:  # values that the fit has no place for
            laws = {}
        half = np.sqrt(float(curve.split.min()) * float(curve.split.max()))
        chosen = {split: law for split, law in laws.items() if split <= half or split == min(laws)}
        if not chosen:
            passed_over.append(curve.title)
        rows += [(curve.name, int(split), law.exponent, *law.interval("exponent")) for split, law in chosen.items()]
    estimate, split, exponent, low, high = zip(*rows, strict=True) if rows else ((),) * 5
    return ExponentRange(
        estimate=tuple(estimate),
        split=np.array(split, np.int64),
        exponent=np.array(exponent, float),
        low=np.array(low, float),
        high=np.array(high, float),
        passed_over=tuple(passed_over),
        settings=dict(options),
    )


def _defended(law: PowerLaw) -> bool:
    return law.holds and law.amplitude > 0 and not law.settings["dominated"]


def range_of(scores: Scores) -> ExponentRange:
    """The range over the direct estimates that a store has the passes for, at L = 2 l: uncorrected and corrected."""
    return exponent_range([c for c in every_estimate(scores, ratios=(2,)) if c.settings["estimator"] == "direct"])


def default_estimate(scores: Scores) -> BipartiteCurve:
    """The estimate at L = 2 l that errs least of those a store has the passes for.

    "averaged" if contexts were scored, else "ngram" if the n-grams were counted in enough text, else uncorrected. The passes
    decide, not the values: an estimate that is chosen by its outcome differs between two halves of one text.
    """
    plain = bipartite(scores)
    if scores.contexts and np.isfinite(scores.given_contexts(int(plain.split[0]))).all(1).sum() >= len(plain.pointwise):
        return bipartite(scores, correction="averaged")
    if scores.ngram_entropy and scores.ngrams.too_few(2) is None:
        return bipartite(scores, correction="ngram")
    return plain
