"""Whether information and the entropy of the next token, measured apart, grow alike."""

import dataclasses
from typing import ClassVar

import numpy as np

from l2m.base.records import Record
from l2m.errors import InputError
from l2m.scoring.bipartite import BipartiteCurve
from l2m.scoring.position_nll import PositionCurve, position_nll
from l2m.scoring.scores import Scores
from l2m.scoring.summed_entropy import PER_OCTAVE, signs
from l2m.statistics.jackknife import jackknife_errors


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Agreement(Record):
    """Whether information and the next token's entropy, measured apart, grow alike.

    Attributes:
        gamma: of H_n = H_inf + A n^-gamma, with the 95 % interval.
        implied: the exponent that those H_n give I, summed, over the same l and by the same fit as `measured`.
        measured: the exponent of I, and its 95 % interval.
        difference: measured - implied, and its 95 % interval, in which the errors they share are gone.
        limit: 1 - gamma, the exponent of the summed H_n in the limit.
        free: the exponent of I by a fit with an offset, which is what `limit` is compared with; nan where it is not resolved.
        rate: H_inf, in `unit` per token.
        first_split, last_split: the l that were compared.
    """

    kind: ClassVar[str] = "entropy agreement"
    information_fields: ClassVar[tuple[str, ...]] = ("rate",)
    derived: ClassVar[tuple[str, ...]] = ("limit", "agrees")

    gamma: float
    gamma_low: float
    gamma_high: float
    rate: float
    first_split: int
    last_split: int
    measured: float
    measured_low: float
    measured_high: float
    implied: float
    difference: float
    difference_low: float
    difference_high: float
    free: float
    free_low: float
    free_high: float

    @property
    def limit(self) -> float:
        return 1 - self.gamma

    @property
    def agrees(self) -> bool:
        """The interval of the difference holds 0."""
        return self.difference_low <= 0 <= self.difference_high

    def explain(self) -> str:
        """In words, with the numbers behind it."""
        free = (
            f"gives {self.free:.2f} ({self.free_low:.2f} to {self.free_high:.2f})"
            if np.isfinite(self.free_low)
            else "does not resolve it"
        )
        return (
            f"The entropy of the next token falls as n^-{self.gamma:.2f} ({self.gamma_low:.2f} to {self.gamma_high:.2f}) towards "
            f"{self.rate:.2f} {self.unit}. Summed over l = {self.first_split:,} to {self.last_split:,} it gives beta = {self.implied:.2f}; the information "
            f"gives {self.measured:.2f}: they {'agree' if self.agrees else 'do not agree'} (difference {self.difference:+.2f}, "
            f"{self.difference_low:+.2f} to {self.difference_high:+.2f}). In the limit 1 - gamma = {self.limit:.2f}; the "
            f"information fitted with a free constant {free}."
        )


def agreement(curve: BipartiteCurve, positions: PositionCurve) -> Agreement:
    """Compare the exponent of information with what the next token's entropy gives over the same l.

    Args:
        curve: of the windows that `positions` is of; its own fit chooses the l.

    Raises:
        InputError: different windows or positions in bytes; no law of one of them.
    """
    from l2m.statistics.power_law import fit_power_law

    if positions.settings["axis"] != "tokens" or not np.array_equal(curve.document, positions.document):
        raise InputError("agreement: curves of different windows; expected both of one store, positions in tokens")
    entropy, law = positions.fit(), curve.fit_quietly()
    if not entropy.holds or entropy.refits is None:
        raise InputError(f"agreement: the entropy of the next token has no law to compare: {entropy.explain()}")
    if not law.resolved or law.refits is None or len(law.refits) != len(entropy.refits):
        raise InputError(f"agreement: no law of the information to compare: {law.explain()}")
    splits, ratio = law.settings["splits"], curve.settings["ratio"]
    longest = ratio * int(splits.max())
    weights, n = signs(splits, ratio, longest), np.arange(1.0, longest + 1)
    implied = fit_power_law(
        law.x,
        weights @ entropy.predict(n),
        stderr=law.stderr,
        method=law.settings["method"],
        replicates=np.array([entropy._curve(refit, n) for refit in entropy.refits]) @ weights.T,
    )
    assert implied.refits is not None
    difference = float(law.parameters[1] - implied.parameters[1])
    error, _ = jackknife_errors((law.refits - implied.refits)[:, 1:2])
    reach = float(law._quantile(0.95) * error[0])
    try:
        free = curve.fit_quietly(splits=splits.tolist(), offset=True)
    except InputError:  # fewer than three splits
        free = None
    resolved = free is not None and free.resolved
    free_low, free_high = free.interval("exponent") if free is not None and resolved else (np.nan, np.nan)
    (gamma_high, gamma_low), (low, high) = entropy.interval("exponent"), law.interval("exponent")
    return Agreement(
        gamma=-entropy.exponent,
        gamma_low=-gamma_low,
        gamma_high=-gamma_high,
        rate=entropy.offset,
        measured=float(law.parameters[1]),
        measured_low=low,
        measured_high=high,
        implied=float(implied.parameters[1]),
        difference=difference,
        difference_low=difference - reach,
        difference_high=difference + reach,
        free=free.exponent if free is not None and resolved else np.nan,
        free_low=free_low,
        free_high=free_high,
        first_split=int(splits.min()),
        last_split=int(splits.max()),
        unit=curve.unit,
        settings={"from_position": entropy.settings["first"]},
    )


def agreement_or_reason(curve: BipartiteCurve, scores: Scores) -> tuple[Agreement | None, str]:
    """The agreement with its words, or None and why there is none."""
    try:
        found = agreement(curve, position_nll(scores, per_octave=PER_OCTAVE, levels=(), entropy=False))
    except InputError as error:
        return None, str(error)
    return found, found.explain()
