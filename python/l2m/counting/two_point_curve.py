"""The two-point curve: information between tokens at distance d, its fit and its figures."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from l2m.base.records import Record, span
from l2m.counting.permutations import SIGNIFICANT
from l2m.counting.segments import ENOUGH_GROUPS, SUBSAMPLES, between, jackknife_of
from l2m.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from l2m.statistics.power_law import PowerLaw

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TwoPointCurve(Record):
    """Information between tokens at distance d, over pairs inside documents. One entry per distance; nan: no pairs there.

    Attributes:
        distance: int64, d.
        information: raw - null. Zero in expectation for independent tokens, so single values may be negative. It remains too
            small in proportion to itself, by 11 to 16 % at 1e8 pairs.
        stderr: delete-one-group jackknife over documents (delete-m_j weights, a null per replicate); sampling error only. At the
            shortest d what a larger sample would add is as large: see `growing`.
        covariance: (distances, distances), of the same jackknife; None without groups.
        raw: entropy_x + entropy_y - entropy_xy.
        null: expectation of `raw` for independent tokens with these margins; zero with null="none".
        pairs, distinct: uint64, pairs and different pairs.
        entropy_x, entropy_y, entropy_xy: entropies of first token, second token and pair.
        within_document: information after shuffling the tokens inside every document, null subtracted: what two tokens share
            merely because they are in the same document. None if it was not measured.
        within_document_stderr: its jackknife standard error.
        cross_document: information between the first token and one drawn from other documents, null subtracted. A check: zero
            up to noise. None if it was not measured.
        documents: int64, documents that contribute pairs.
        contributing: int64, jackknife groups that contribute pairs.
        replicates: (groups, distances), information without each group; None without groups.
        group_pairs: (groups, distances), pairs of each group.
        subsample_information: (3, distances), information in an eighth, a quarter and a half of the documents, each with its own
            null: the mean over all 8, 4, 2 parts of the corpus. It rises towards `information` and shows how far that has
            converged. nan if a part has no pairs; None if it was not measured.
        subsample_stderr: standard error of those means, from the scatter of the parts.
        fixed: the same curve over the one set of documents that a fit uses (those that contribute at every distance
            fitted); None if these are all documents.
        permutation_p: share of permutations, the text itself among them, with at least as much information: blocks of d tokens are
            shuffled within documents, so what documents share and what tokens closer than d share is no evidence. None if
            not measured.
        permutation_q: these p-values adjusted for the number of distances (Benjamini & Hochberg 1995): of the distances with a value
            of at most q, an expected share of at most q has no information of its own.
    """

    kind: ClassVar[str] = "two-point"
    axes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("distance", "information", "stderr", "raw", "null", "pairs", "distinct"), "distances"),
        **dict.fromkeys(("entropy_x", "entropy_y", "entropy_xy", "documents", "contributing"), "distances"),
        **dict.fromkeys(("within_document", "within_document_stderr", "cross_document"), "distances"),
        "covariance": "distances distances",
        "replicates": "groups distances",
        "group_pairs": "groups distances",
        "subsample_information": "subsamples distances",
        "subsample_stderr": "subsamples distances",
        **dict.fromkeys(("permutation_p", "permutation_q"), "distances"),
    }
    information_fields: ClassVar[tuple[str, ...]] = (
        "information",
        "stderr",
        "raw",
        "null",
        "entropy_x",
        "entropy_y",
        "entropy_xy",
        "within_document",
        "within_document_stderr",
        "cross_document",
        "replicates",
        "subsample_information",
        "subsample_stderr",
        "fixed",
    )
    squared_fields: ClassVar[tuple[str, ...]] = ("covariance",)

    distance: Integers
    information: Floats
    stderr: Floats
    covariance: Floats | None
    raw: Floats
    null: Floats
    pairs: NDArray[np.uint64]
    distinct: NDArray[np.uint64]
    entropy_x: Floats
    entropy_y: Floats
    entropy_xy: Floats
    within_document: Floats | None
    within_document_stderr: Floats | None
    cross_document: Floats | None
    documents: Integers
    contributing: Integers
    replicates: Floats | None
    group_pairs: NDArray[np.uint64] | None
    subsample_information: Floats | None = None
    subsample_stderr: Floats | None = None
    fixed: "TwoPointCurve | None" = None
    permutation_p: Floats | None = None
    permutation_q: Floats | None = None

    def __len__(self) -> int:
        """The number of distances."""
        return self.distance.size

    def _brief(self) -> str:
        return f"d = {span(self.distance)}, I = {span(self.information, self.unit)}, {int(self.documents.max(initial=0)):,} documents"

    @property
    def fittable(self) -> NDArray[np.bool_]:
        """(distances,) Which may enter a fit: enough groups have pairs there (without groups: any pairs), of the same documents."""
        enough = self.pairs > 0 if self.replicates is None else self.contributing >= ENOUGH_GROUPS
        same = self.documents == self.documents.max(initial=0) if self.replicates is not None else enough
        return enough & same

    @property
    def growing(self) -> NDArray[np.bool_]:
        """(distances,) Where the information still grows with the sample, by more than half of `stderr` from half of the documents to
        all, and from each part to the next: `stderr`, which is of sampling alone, is too small an error there. Nowhere where no
        subsamples were measured.
        """
        if self.subsample_information is None:
            return np.zeros(len(self), bool)
        steps = np.diff(np.vstack([self.subsample_information, self.information]), axis=0)
        with np.errstate(invalid="ignore"):
            return np.asarray((steps > 0).all(0) & (steps[-1] > np.nan_to_num(self.stderr) / 2))

    @property
    def growth_words(self) -> str:
        """What `growing` says, in a sentence; empty where nothing grows."""
        growing = self.growing
        if self.subsample_information is None or not growing.any():
            return ""
        where = ", ".join(f"{distance:,}" for distance in self.distance[growing])
        most = float((1 - self.subsample_information[-1, growing] / self.information[growing]).max())
        return (
            f"I(d) still grows with the sample at d = {where}, by up to {most:.1%} from half of the documents to all. The errors there "
            "are of sampling alone: what a larger sample would add comes on top, and is about as much again."
        )

    @property
    def significance_words(self) -> str:
        """At which distances permutations do not explain the information, in a sentence; empty where none were made."""
        if self.permutation_q is None:
            return ""
        named = self.distance[self.permutation_q <= SIGNIFICANT]
        where = "d = " + ", ".join(f"{distance:,}" for distance in named) if named.size else "no distance"
        return (
            f"I(d) is above chance at {where} (false discovery rate of {SIGNIFICANT:.0%} over {len(self)} distances, "
            f"{self.settings['permutations']:,} permutations within documents)."
        )

    def explain(self) -> str:
        """The result in words: its headline, what each field holds, where it still grows with the sample, and where it is significant."""
        return "\n".join(filter(None, [super().explain(), self.growth_words, self.significance_words]))

    def fit(
        self,
        *,
        offset: bool | Literal["free", "bounded"] = True,
        offset_bounds: tuple[float, float] | None = None,
        method: Literal["ols", "wls", "gls", "robust", "nonlinear"] | None = None,
        min_distance: int | None = None,
        max_distance: int | None = None,
    ) -> "PowerLaw":
        """Fit amplitude * d**exponent + offset over distances at which the same documents have pairs: to the curve `fixed`, if
        there is one, else to this curve.

        By default in linear space with weights 1/stderr^2, an offset of any sign, everything refitted in every jackknife
        replicate. Compare the offset with `within_document`: what is left at any distance is the documents' identity.
        `.resolved` is False, and the exponent nan, if the amplitude is within 2 standard errors of 0.
        `.settings["distances"]` are those fitted, `.settings["documents"]` the number of documents with pairs at all of them, and
        `.settings["missed"]` the distances at which the law does not describe the curve.

        Args:
            offset, offset_bounds, method: see `l2m.fit_power_law`; method None: "wls", without groups "ols". The paper's own
                fit is offset="bounded", method="ols" of a curve with margins="corpus", null="none".
            min_distance, max_distance: fit only these. min_distance None: the shortest distance from which the law misses no
                value by both more than 10 % of it and more than chance allows. (In text the first few tokens, a word or a
                phrase, follow a law of their own.) All distances if no start leaves two distances more than parameters, or
                without error bars.

        Raises:
            InputError: fewer distances than the law has parameters, with at least 8 contributing groups each.
        """
        curve = self.fixed or self
        kept = curve.fittable & between(curve.distance, min_distance, max_distance)
        from l2m.statistics.law_start import first_that_holds, starts_of

        needed = 3 if offset else 2
        if kept.sum() < needed:
            raise InputError(f"distances: {_few(int(kept.sum()))} pairs in {_whom(curve)}; a fit needs {needed}")
        starts = [0.0]
        if min_distance is None and curve.replicates is not None:
            starts = starts_of(curve.distance[kept], needed)

        def law_from(start: float) -> "PowerLaw":
            return curve._law(
                kept & (curve.distance >= start), offset=offset, offset_bounds=offset_bounds, method=method
            )

        return first_that_holds(starts, law_from)

    def _law(
        self,
        kept: NDArray[np.bool_],
        *,
        offset: bool | Literal["free", "bounded"],
        offset_bounds: tuple[float, float] | None,
        method: Literal["ols", "wls", "gls", "robust", "nonlinear"] | None,
    ) -> "PowerLaw":
        """The law fitted to these distances."""
        from l2m.statistics.law_start import misfit, misfit_words
        from l2m.statistics.power_law import fit_power_law

        distance, information = self.distance[kept], self.information[kept]
        jackknife: dict[str, Any] = {}
        if self.replicates is not None and self.group_pairs is not None:
            jackknife = {
                "stderr": self.stderr[kept],
                "covariance": self.covariance[np.ix_(kept, kept)]
                if self.covariance is not None and method == "gls"
                else None,
                **jackknife_of(self.replicates, self.group_pairs, kept),
            }
        law = fit_power_law(
            distance,
            information,
            offset=offset,
            offset_bounds=offset_bounds,
            method=method or ("wls" if jackknife else "ols"),
            **jackknife,
        )
        law = dataclasses.replace(law, settings={**law.settings, "symbol": "d"})
        missed = misfit(law, jackknife["replicates"]) if jackknife else {}
        note = f"Fitted from d = {distance.min():,} to {distance.max():,}. {misfit_words(missed, 'd')}".rstrip()
        within = self.within_document
        about = {
            "distances": distance,
            "documents": int(self.documents[kept].min()),
            "groups": self.settings["groups"],
            "within_document": None if within is None else float(within[kept].mean()),
            "missed": {int(d): share for d, share in missed.items()},
            "note": note,
        }
        return dataclasses.replace(law, unit=self.unit, settings={**law.settings, **about})

    def plot(self, axes: "Axes | None" = None, law: "PowerLaw | None" = None) -> "Axes":
        """The curve on log-log axes: information, the level within documents and, if given, a law with its 95 % band.

        Filled points are `information`, over all documents. If a fit uses fewer documents (`fixed`), their information is drawn
        in open squares: these are the points that the law is fitted to. A value <= 0 is an open triangle at the lower edge.
        """
        from l2m.base.plots import BLUE, GREEN, ORANGE, draw_law, new_axes

        axes = new_axes() if axes is None else axes
        axes.set(
            xscale="log", yscale="log", xlabel="distance d (tokens)", ylabel=f"two-point information ({self.unit})"
        )
        name = "I(d), null subtracted" if self.settings["null"] == "exact" else "I(d)"
        if self.fixed is None:
            self._draw_points(axes, name, fmt="o", color=BLUE, markersize=4)
        else:
            self._draw_points(axes, f"{name}: all documents", fmt="o", color=BLUE, markersize=4)
            self.fixed._draw_points(
                axes, f"{name}: {self.fixed.documents.max():,} documents of the fit",
                fmt="s", color=GREEN, markersize=6, fillstyle="none",
            )  # fmt: skip
        if self.within_document is not None:
            axes.plot(
                self.distance, self.within_document, "--", color=ORANGE, linewidth=1, label="shuffled within documents"
            )
        if law is not None:
            draw_law(axes, law, BLUE if self.fixed is None else GREEN)
        negative = np.isfinite(self.information) & (self.information <= 0)
        if negative.any():
            floor = axes.get_ylim()[0]
            axes.plot(
                self.distance[negative],
                np.full(negative.sum(), floor),
                "v",
                color=BLUE,
                fillstyle="none",
                label="<= 0",
            )
        axes.legend(frameon=False, fontsize="small")
        return axes

    def _draw_points(self, axes: "Axes", label: str, **style: Any) -> None:
        """The values above zero with their error bars."""
        positive = self.information > 0
        error = np.where(np.isfinite(self.stderr), self.stderr, 0)
        lower = np.minimum(error, self.information * (1 - 1e-3))
        axes.errorbar(
            self.distance[positive],
            self.information[positive],
            yerr=np.stack([lower, error])[:, positive],
            capsize=2,
            label=label,
            **style,
        )

    def plot_subsamples(self, axes: "Axes | None" = None) -> "Axes":
        """Information in an eighth, a quarter and a half of the documents, divided by that in all, by distance: 1 when converged.

        Raises:
            InputError: the curve has no subsamples.
        """
        from matplotlib import colormaps

        from l2m.base.plots import new_axes

        if self.subsample_information is None or self.subsample_stderr is None:
            raise InputError("subsamples: not measured in this curve; expected one measured with subsamples=True")
        axes = new_axes() if axes is None else axes
        shares = np.array([1 / parts for parts in SUBSAMPLES.values()])
        # A ratio to what is not clearly above zero says nothing.
        clear = np.flatnonzero(self.information > 4 * np.nan_to_num(self.stderr))
        if not clear.size:
            axes.set_title("no distance has information clearly above zero", fontsize="small")
        for place, index in enumerate(clear):
            axes.errorbar(
                np.append(shares, 1.0) * 1.02 ** (place - clear.size / 2),  # side by side, not one above the other
                np.append(self.subsample_information[:, index] / self.information[index], 1.0),
                yerr=np.append(self.subsample_stderr[:, index] / self.information[index], 0.0),
                fmt="o-",
                color=colormaps["viridis"](place / max(1, clear.size)),
                markersize=3,
                linewidth=1,
                label=f"d = {self.distance[index]:,}",
            )
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_xscale("log", base=2)
        axes.set(xlabel="share of the documents", ylabel="I(d) / I(d) in all documents")
        axes.set_xticks([*shares, 1], ["1/8", "1/4", "1/2", "1"])
        if clear.size:
            axes.legend(frameon=False, fontsize="x-small", ncols=2)
        return axes


def _few(number: int) -> str:
    return "none has" if number == 0 else f"only {number} {'has' if number == 1 else 'have'}"


def _whom(curve: TwoPointCurve) -> str:
    return f"at least {ENOUGH_GROUPS} groups of the same documents" if curve.replicates is not None else "this range"
