"""The token covariance by distance: singular values with errors, the noise floor, the power law and the figure."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base.records import Record
from l2m.counting.segments import ENOUGH_GROUPS, between, jackknife_of
from l2m.errors import InputError

if TYPE_CHECKING:
    from l2m.statistics.power_law import PowerLaw

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ABOVE_FLOOR = 2.0
"""The largest singular value enters a fit where it is this many times that of the shuffled tokens. Independent noise adds in
squares, so at twice the floor it raises the value by at most 13 %."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CovarianceCurve(Record):
    """Singular values of C(d) = P(x, y; d) - p(x) q(y)^T by distance, in units of probability.

    Attributes:
        distance: (distances,) d.
        singular: (distances, values) the largest singular values, descending.
        stderr: (distances, values) their delete-one-group jackknife errors; nan without groups.
        frobenius: (distances,) square root of the sum of all squared entries of C(d), sampling noise included; nan where C(d) is
            centred on documents.
        floor: (distances,) the largest singular value with the tokens shuffled within documents; None: not measured.
        frobenius_floor: (distances,) the Frobenius norm there.
        pairs: (distances,) number of pairs.
        documents: (distances,) documents with pairs.
        contributing: (distances,) jackknife groups with pairs.
        replicates: (groups, distances) the largest value without each group, to first order; None without groups.
        group_pairs: (groups, distances) pairs of each group; None without groups.
    """

    kind: ClassVar[str] = "token covariance"
    axes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("distance", "frobenius", "floor", "frobenius_floor", "pairs", "documents"), "distances"),
        "contributing": "distances",
        "singular": "distances values",
        "stderr": "distances values",
        "replicates": "groups distances",
        "group_pairs": "groups distances",
    }

    distance: Integers
    singular: Floats
    stderr: Floats
    frobenius: Floats
    floor: Floats | None
    frobenius_floor: Floats | None
    pairs: Integers
    documents: Integers
    contributing: Integers
    replicates: Floats | None
    group_pairs: Floats | None

    def __len__(self) -> int:
        """The number of distances."""
        return self.distance.size

    @property
    def above_floor(self) -> NDArray[np.bool_]:
        """(distances,) Where the largest singular value is at least twice that of the shuffled tokens."""
        if self.floor is None:
            return np.ones(len(self), np.bool_)
        return np.asarray(self.singular[:, 0] >= ABOVE_FLOOR * self.floor)

    @property
    def fittable(self) -> NDArray[np.bool_]:
        """(distances,) Which may enter a fit: above the floor at this and all shorter distances, the same documents, enough groups."""
        order = np.argsort(self.distance)
        unbroken = np.empty(len(self), np.bool_)
        unbroken[order] = np.logical_and.accumulate(self.above_floor[order])
        return np.asarray(self._comparable & unbroken)

    @property
    def _comparable(self) -> NDArray[np.bool_]:
        enough = self.pairs > 0 if self.replicates is None else self.contributing >= ENOUGH_GROUPS
        return np.asarray(enough & (self.documents == self.documents.max(initial=0)))

    def fit(
        self, *, offset: bool = False, min_distance: int | None = None, max_distance: int | None = None
    ) -> "PowerLaw":
        """The power law A d^-b of the largest singular value, over distances where it is above the floor.

        Args:
            offset: fit A d^-b + C over all distances instead, above the floor or not: C is what does not fall with
                distance, such as that documents differ from each other.
            min_distance, max_distance: fit only these. min_distance None: the shortest from which the law describes the curve,
                as in `TwoPointCurve.fit`.

        Returns:
            The law, weighted by the jackknife errors and refitted without each group; minus its `exponent` is b.

        Raises:
            InputError: fewer distances are left than the law has parameters, and one more.
        """
        from l2m.statistics.law_start import first_that_holds, starts_of

        kept = (self._comparable if offset else self.fittable) & between(self.distance, min_distance, max_distance)
        needed = 3 if offset else 2
        if kept.sum() <= needed:
            above = (
                ""
                if offset
                else f" with a largest singular value of at least {ABOVE_FLOOR:g} times that of shuffled tokens"
            )
            raise InputError(f"distances: {int(kept.sum())}{above}; expected at least {needed + 1}")
        starts = [0.0]
        if min_distance is None and self.replicates is not None:
            starts = starts_of(self.distance[kept], needed)
        return first_that_holds(starts, lambda start: self._law(kept & (self.distance >= start), offset))

    def _law(self, kept: NDArray[np.bool_], offset: bool) -> "PowerLaw":
        """The law fitted to these distances."""
        from l2m.statistics.law_start import misfit, misfit_words
        from l2m.statistics.power_law import fit_power_law

        distance, value = self.distance[kept], self.singular[kept, 0]
        missed: dict[float, float] = {}
        if self.replicates is None or self.group_pairs is None:
            law = fit_power_law(distance, value, offset=offset)
        else:
            jackknife = jackknife_of(self.replicates, self.group_pairs, kept)
            law = fit_power_law(distance, value, method="wls", offset=offset, stderr=self.stderr[kept, 0], **jackknife)
            missed = misfit(law, jackknife["replicates"])
        note = f"Fitted from d = {distance.min():,} to {distance.max():,}. {misfit_words(missed, 'd')}".rstrip()
        settings = {**law.settings, "symbol": "d", "distances": distance, "missed": missed, "note": note}
        return dataclasses.replace(law, settings=settings)

    def columns(self) -> dict[str, NDArray[Any]]:
        """distance, singular_1 ... singular_k, stderr_1 ... stderr_k, frobenius, floor, frobenius_floor, pairs, documents."""
        values = range(self.singular.shape[1])
        table: dict[str, NDArray[Any]] = {"distance": self.distance}
        table |= {f"singular_{value + 1}": self.singular[:, value] for value in values}
        table |= {f"stderr_{value + 1}": self.stderr[:, value] for value in values}
        others = ("frobenius", "floor", "frobenius_floor", "pairs", "documents")
        return table | {name: array for name in others if (array := getattr(self, name)) is not None}

    def plot(self, axes: Any = None, law: "PowerLaw | None" = None) -> Any:
        """Singular values and Frobenius norm against distance on log-log axes, the floor, and a law with its 95 % band."""
        from l2m.base.plots import draw_law, new_axes

        axes = new_axes() if axes is None else axes
        axes.set(xscale="log", yscale="log", xlabel="distance d (tokens)", ylabel="singular values of C(d)")
        for value in range(self.singular.shape[1]):
            axes.errorbar(
                self.distance,
                self.singular[:, value],
                yerr=np.nan_to_num(self.stderr[:, value]),
                fmt="o",
                color=f"C{value}",
                markersize=4,
                label="largest" if value == 0 else f"number {value + 1}",
            )
        axes.plot(self.distance, self.frobenius, ":", color="0.5", linewidth=1, label="Frobenius norm")
        if self.floor is not None:
            axes.plot(self.distance, self.floor, "--", color="0.5", linewidth=1, label="largest, shuffled in documents")
        if law is not None:
            draw_law(axes, law, "C0")
        axes.legend(frameon=False, fontsize="small")
        return axes
