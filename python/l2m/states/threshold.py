"""How many nats of information one number of a history state was seen to carry."""

import dataclasses
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from l2m.base.checks import real, reals
from l2m.base.records import Record
from l2m.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Threshold(Record):
    """Nats of past-future information that one number of the history state was seen to carry with little loss.

    `low` and `high` are its 95 % interval (None: published without one, then taken as exact). `source` says who saw it.
    `tolerance` is the mean KL divergence a value that "little loss" stands for (None: not stated).
    """

    kind: ClassVar[str] = "threshold"
    information_fields: ClassVar[tuple[str, ...]] = ("nats_per_number", "low", "high", "tolerance")

    nats_per_number: float
    low: float | None = None
    high: float | None = None
    source: str = "given by the caller"
    tolerance: float | None = None

    def __post_init__(self) -> None:
        real("threshold", self.nats_per_number, 0, above=True)
        if self.tolerance is not None:
            real("threshold: tolerance", self.tolerance, 0)
        if (self.low is None) != (self.high is None):
            raise InputError(f"threshold: low {self.low!r} with high {self.high!r}; expected both or neither")
        if self.low is not None and self.high is not None:
            real("threshold: low", self.low, 0, above=True)
            real("threshold: high", self.high, 0, above=True)
            if not self.low <= self.nats_per_number <= self.high:
                raise InputError(
                    f"threshold: {self.nats_per_number:g} outside {self.low:g} to {self.high:g}; expected within its interval"
                )

    def _brief(self) -> str:
        return self.words

    @property
    def words(self) -> str:
        """`0.22 nats per number at a KL of 0.01 nats a value (source)`."""
        kl = "" if self.tolerance is None else f" at a KL of {self.tolerance:.4g} {self.unit} a value"
        return f"{self.nats_per_number:.4g} {self.unit} per number{kl} ({self.source})"

    @classmethod
    def from_curve(cls, ratio: ArrayLike, kl: ArrayLike, tolerance: float, *, source: str) -> "Threshold":
        """Read a threshold off a curve of excess loss against information per number of the state.

        Args:
            ratio: (points,) I_BP(L/2; L) / dim(z_{L/2}), ascending.
            kl: (points,) mean KL divergence a token in nats, of models trained there.
            tolerance: the KL still accepted.

        Returns:
            The largest ratio below which the curve, interpolated in log ratio, stays at or under `tolerance`.

        Raises:
            InputError: ratios not ascending and above 0, shapes that differ, or a curve that never crosses.
        """
        x, y, tolerance = reals("ratio", ratio), reals("kl", kl), real("tolerance", tolerance)
        if x.shape != y.shape or x.size < 2 or x[0] <= 0 or np.any(np.diff(x) <= 0):
            raise InputError(f"ratio: shape {x.shape} with kl {y.shape}; expected two equal, ratios ascending above 0")
        over = np.flatnonzero(y > tolerance)
        if over.size == 0 or over[0] == 0:
            raise InputError(
                f"tolerance: {tolerance:g} with kl {y.min():g} to {y.max():g}; expected one the curve crosses"
            )
        after = int(over[0])
        share = (tolerance - y[after - 1]) / (y[after] - y[after - 1])
        return cls(float(x[after - 1] * (x[after] / x[after - 1]) ** share), source=source, tolerance=tolerance)


PAPER_THRESHOLD = Threshold(0.06, source="paper, not reproduced")
"""Read off the paper's Fig. 3(c): Mamba's recurrent state on the Gaussian language."""

FRONTIER_THRESHOLD = Threshold(0.22, source="l2m frontier, docs/frontier.md", tolerance=0.01)
"""What the best linear states found carry on the Gaussian language at that mean KL: the median of 0.217, 0.209 and 0.229
at L = 64, 256 and 1,024, `l2m.frontier_curves([3, 4, 5], [], children=3).thresholds(0.01)`. Proven: no linear state of more than 0.27 nats a number
at L = 64, or 0.30 at L = 256, has a KL that small."""
