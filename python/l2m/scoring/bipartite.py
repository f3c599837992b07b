"""Bipartite information I(X; Y) of a text's past and future, from the log-probabilities a language model gave.

X is the first l tokens of a window, Y the next (r - 1) l; L = r l (paper, section 2). Three estimators:

    direct   E[log q(Y|X) - log q(Y)]                       I + KL(p(Y) || q(Y)) - KL(p(Y|X) || q(Y|X))
    vclub    E_p(x,y)[log q(Y|X)] - E_p(x)p(y)[log q(Y|X)]  I + KL(p(x)p(y) || p(x,y)) even where q = p
    entropy  E[log q(Y|X) - log q(W_1 .. W_(r-1)l)]         as direct, of a stationary text: Y costs what begins a window

q(Y) comes after a start token, as if Y began a text, though it begins mid-sentence: its first tokens look too unlikely, and
direct comes out too high by a near-constant. Two corrections of the marginal's first n tokens, for direct:

    ngram      (1 - w) of the model's cross-entropy and w of the n-gram entropy of the corpus; n = 2, w = 4/5 (the paper's)
    averaged   n = 2: log of the mean over K contexts c from other documents of q(y1 y2 | c). Biased upward: the mean of a
               logarithm lies below the logarithm of the mean, so that fewer contexts leave more information

and one for entropy, whose windows begin after a start token too:

    fitted     the first tokens cost what the law H_n = H_inf + A n^-gamma of the later ones gives them
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.records import Record, span
from l2m.errors import InputError
from l2m.scoring.pairing import disjoint_halves, halves_without_each, without_each_document
from l2m.scoring.scores import SCORES, Scores
from l2m.scoring.settings import LONGEST
from l2m.scoring.summed_entropy import summed_entropy
from l2m.statistics.jackknife import jackknife_errors

if TYPE_CHECKING:
    from l2m.statistics.power_law import PowerLaw

log = logging.getLogger("l2m")

Floats = NDArray[np.float64]
ESTIMATORS = ("direct", "vclub", "entropy")
CORRECTIONS = {"direct": ("none", "ngram", "averaged"), "vclub": ("none",), "entropy": ("none", "fitted")}
PRESETS: dict[str, dict[str, Any]] = {
    # The authors' scripts: fitted against l over 2..512, conditional passes of one half of the windows, marginal of the other.
    "paper": {"marginal": "halves", "splits": [2, 4, 8, 16, 32, 64, 128, 256, 512], "x": "split"},
}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class BipartiteCurve(Record):
    """I(X; Y) at each split, with errors over documents.

    Attributes:
        split: l, tokens of X, int64, (points,).
        length: L = ratio * l, tokens of X and Y together, int64, (points,).
        information: nats, (points,).
        stderr: standard errors by the delete-one-document jackknife, (points,). Splits share windows: see covariance.
        covariance: (points, points).
        pointwise: the estimate of each window, or of each pair of windows where halves are paired, (windows, points); their
            mean is `information`.
        document: int64, (windows,); of the window with the conditional pass.
        replicates: the estimates with one group left out, (groups, points).
        groups: "documents", or "windows" where fewer than 8 documents were scored: then the errors do not know that
            windows of one document are alike, and are likely too small. "pairs of documents", "pairs of windows" where halves
            are paired and every pair is of two windows that no other pair knows.
        start_error: about how many nats too much or too little the first tokens may cost, and the information with them, since
            a start token says that a text begins there: what the first two cost above their entropy in the corpus, less what
            the correction takes away; 0 within two standard errors. None where nothing in the store tells.
    """

    kind: ClassVar[str] = "bipartite"
    axes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("split", "length", "information", "stderr"), "points"),
        "covariance": "points points",
        "pointwise": "windows points",
        "document": "windows",
        "replicates": "groups points",
    }
    information_fields: ClassVar[tuple[str, ...]] = (
        "information", "stderr", "pointwise", "replicates", "start_error",
    )  # fmt: skip
    squared_fields: ClassVar[tuple[str, ...]] = ("covariance",)

    split: NDArray[np.int64]
    length: NDArray[np.int64]
    information: Floats
    stderr: Floats
    covariance: Floats
    pointwise: Floats
    document: NDArray[np.int64]
    replicates: Floats
    groups: str
    start_error: float | None = None

    def _brief(self) -> str:
        return f"L = {span(self.length)}, I = {span(self.information, self.unit)}, {len(self.pointwise):,} windows, errors over {self.groups}"

    def fit(
        self,
        *,
        x: str | None = None,
        splits: Sequence[int] | None = None,
        min_split: int | None = None,
        **options: Any,
    ) -> "PowerLaw":
        """The power law information = amplitude * x**exponent, refitted as a whole in each jackknife replicate.

        By default in linear space with weights 1/stderr^2, so that a value at or below 0 is an observation like any other.
        `.settings["splits"]` are those fitted, `.settings["missed"]` the l at which the law does not describe the curve (then
        `.holds` is False), and `.settings["dominated"]` the fitted l at which what the start of Y may be wrong by
        (`start_error`) is as large as the information. A warning is logged where there are any.

        Args:
            x: what the amplitude refers to: "length" (L, as in 2.27 L^0.76) or "split" (l, as the paper's scripts fit).
                None: "length", or what the curve's preset says. The law's settings keep it.
            splits: fit these only, whether the law describes them or not.
            min_split: fit from this l on. None, without `splits`: the shortest l from which the law misses no value by both
                more than 10 % of it and more than chance allows. All l if no start leaves four, without error bars, and for
                the preset "paper".
            options: passed on to `l2m.fit_power_law`. `method` None: "nonlinear"; with the preset "paper" "ols", in logarithms.

        Raises:
            InputError: fewer than two splits; values that the method has no place for.
        """
        law = self.fit_quietly(x=x, splits=splits, min_split=min_split, **options)
        if law.settings["dominated"]:
            log.warning(f"{self.title}: {self._start_words(law.settings['dominated'])}")
        return law

    def fit_quietly(
        self,
        *,
        x: str | None = None,
        splits: Sequence[int] | None = None,
        min_split: int | None = None,
        **options: Any,
    ) -> "PowerLaw":
        """As `fit`, without the warning."""
        from l2m.statistics.law_start import first_that_holds, with_start_error

        x = x or self.settings["x"]
        self._abscissa(x)  # refuses another name
        kept = np.ones(self.split.size, bool)
        if splits is not None:
            kept = np.isin(self.split, checks.wholes("splits", splits, 1))
        if min_split is not None:
            kept &= self.split >= checks.whole("min_split", min_split, 1)
        chosen = splits is not None or min_split is not None or self.settings.get("preset") == "paper"
        starts = [0.0] if chosen or len(self.replicates) < 2 else self.starts(bool(options.get("offset")))

        @cache
        def law_from(start: float) -> "PowerLaw":
            return self._law(kept & (self.split >= start), x, options)

        law = first_that_holds(starts, law_from)
        later = [law_from(start) for start in starts if start > law.settings["splits"].min()]
        return law if chosen else with_start_error(law, later)

    def laws(self, *, x: str | None = None, **options: Any) -> "list[PowerLaw]":
        """The law from every start, whether it describes the curve or not; arguments as in `fit`."""
        x = x or self.settings["x"]
        starts = self.starts(bool(options.get("offset")))
        return [self._law(self.split >= start, x, options) for start in starts]

    def starts(self, offset: bool = False) -> list[float]:
        """The l from which a law may be fitted: as many as leave two points more than it has parameters."""
        from l2m.statistics.law_start import starts_of

        return starts_of(self.split, 3 if offset else 2)

    def _law(self, kept: NDArray[np.bool_], x: str, options: Mapping[str, Any]) -> "PowerLaw":
        """The law fitted to these splits."""
        from l2m.statistics.law_start import misfit, misfit_words
        from l2m.statistics.power_law import fit_power_law

        if kept.sum() < 2:
            raise InputError(f"splits: {self.split[kept].tolist()}; a fit needs 2 of {self.split.tolist()}")
        several = len(self.replicates) > 1
        replicates, information = self.replicates[:, kept], self.information[kept]
        options = {"method": "ols" if self.settings.get("preset") == "paper" else "nonlinear", **options}
        notes = []
        if options["method"] in ("ols", "robust") and not options.get("offset") and (information > 0).all():
            without = int((replicates <= 0).any(1).sum())
            if several and without:
                several = False
                notes.append(
                    f"In {without} of {len(replicates)} jackknife replicates a value is at or below 0 and has no logarithm: the "
                    "interval is that of the points' scatter around the line."
                )
        law = fit_power_law(
            self._abscissa(x)[kept].astype(float),
            information,
            stderr=self.stderr[kept] if several and (self.stderr[kept] > 0).all() else None,
            replicates=replicates if several else None,
            **options,
        )
        symbol = "L" if x == "length" else "l"
        missed = misfit(law, replicates) if several else {}
        # Where nothing tells of the start, a value below 0 is noise and no sign of one.
        error = -np.inf if self.start_error is None else self.start_error
        # An error upward is part of what was measured: it is as large as the rest where it is half of the whole.
        dominated = self.split[kept & (self.information < 2 * error)].tolist()
        splits = self.split[kept]
        notes = [f"Fitted from l = {splits.min():,} to {splits.max():,}.", misfit_words(missed, symbol), *notes]
        if dominated:
            notes.append(self._start_words(dominated))
        settings = {
            **self.settings,
            **law.settings,
            "x": x,
            "symbol": symbol,
            "splits": splits,
            "missed": {int(place): share for place, share in missed.items()},
            "dominated": dominated,
            "note": " ".join(filter(None, notes)),
        }
        return dataclasses.replace(law, unit=self.unit, settings=settings)

    def _start_words(self, dominated: Sequence[int]) -> str:
        where = f"l = {dominated[0]}" + (f" to {dominated[-1]}" if len(dominated) > 1 else "")
        return (
            f"The interval rests on {where}, where what the first tokens may be wrong by ({self.start_error:.1f} {self.unit}) is as large "
            "as the information: fit from a longer l (min_split), or compare the estimates."
        )

    def shifted(self, constant: float) -> "BipartiteCurve":
        """The curve with a constant added to every value, in the curve's unit."""
        moved = {name: getattr(self, name) + constant for name in ("information", "pointwise", "replicates")}
        return dataclasses.replace(self, **moved, settings={**self.settings, "shifted": constant})

    def sensitivity(
        self,
        constant: float = 1.0,
        *,
        x: str | None = None,
        splits: Sequence[int] | None = None,
        min_split: int | None = None,
        **options: Any,
    ) -> dict[float, "PowerLaw"]:
        """The laws if every value were too high or too low by a constant: {-constant: law, 0: law, +constant: law}.

        All three are fitted to the splits that `fit` chooses for the curve itself. A wrong start of Y is such an error:
        2.9 nats on 2.27 L^0.76 turn 0.76 into 0.70.
        """
        law = self.fit_quietly(x=x, splits=splits, min_split=min_split, **options)
        same = law.settings["splits"].tolist()
        below, above = (
            self.shifted(change).fit_quietly(x=x, splits=same, **options) for change in (-constant, constant)
        )
        return {-constant: below, 0.0: law, constant: above}

    def bootstrap(self, n: int = 2000, *, seed: int = 0) -> Floats:
        """The curve under resampling of its groups, (n, points).

        Windows keep their partners, so for "vclub" and for paired halves this knows less than the jackknife: a partner's
        document that is drawn several times counts as independent.
        """
        _, label = np.unique(
            self.document if self.groups == "documents" else np.arange(self.document.size), return_inverse=True
        )
        groups = int(label.max()) + 1
        sums = np.zeros((groups, self.split.size))
        np.add.at(sums, label, self.pointwise)
        weights = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=n)
        return np.asarray((weights @ sums) / (weights @ np.bincount(label))[:, None])

    def columns(self) -> dict[str, NDArray[Any]]:
        """split, length, information, stderr."""
        return {name: getattr(self, name) for name in ("split", "length", "information", "stderr")}

    def plot(
        self, axes: Any = None, law: "PowerLaw | None" = None, *, label: str | None = None, color: str | None = None
    ) -> Any:
        """Points with one standard error either way and, where given, a law with its 95 % band, on log-log axes.

        Values <= 0 have no place there; the title says how many were left out. Where no value is above 0 the y axis is linear.
        """
        from l2m.base.plots import BLUE, draw_law, new_axes

        axes = new_axes() if axes is None else axes
        x = self.settings["x"] if law is None else law.settings.get("x", self.settings["x"])
        positive = bool((self.information > 0).any())
        shown = self.information > 0 if positive else np.isfinite(self.information)
        reach = np.where(np.isfinite(self.stderr), self.stderr, 0)
        lower = np.minimum(reach, 0.999 * self.information) if positive else reach
        axes.set_xscale("log", base=2)
        if positive:
            axes.set_yscale("log")
        axes.set_xlabel("total length L (tokens)" if x == "length" else "split l (tokens)")
        axes.set_ylabel(f"bipartite information ({self.unit})")
        axes.errorbar(
            self._abscissa(x)[shown],
            self.information[shown],
            np.stack([lower, reach])[:, shown],
            fmt="o",
            color=color or BLUE,
            label=label or self.title,
        )
        if law is not None:
            draw_law(axes, law, color or BLUE)
        axes.legend()
        if not shown.all():
            axes.set_title(f"{int((~shown).sum())} values <= 0 not drawn", fontsize=9)
        return axes

    @property
    def title(self) -> str:
        """Estimator, ratio and correction in words."""
        estimator, *correction = self.name.split(", ")
        return ", ".join([estimator, f"L = {self.settings['ratio']} l", *correction])

    @property
    def name(self) -> str:
        """Estimator and correction in words."""
        correction = self.settings["correction"]
        return str(self.settings["estimator"]) + ("" if correction == "none" else f", {correction} correction")

    def _abscissa(self, x: str) -> NDArray[np.int64]:
        if x not in ("length", "split"):
            raise InputError(f"x: {x!r}; expected 'length' or 'split'")
        return self.length if x == "length" else self.split


def bipartite(
    scores: Scores,
    *,
    estimator: str = "direct",
    ratio: int = 2,
    correction: str | None = None,
    splits: Sequence[int] | None = None,
    marginal: str = "same",
    ngram: int = 2,
    weight: float = 0.8,
    preset: str | None = None,
) -> BipartiteCurve:
    """Bipartite information at every split that was scored.

    Args:
        scores: from `l2m.score` or `l2m.load(folder)`.
        estimator: "direct", "vclub" or "entropy".
        ratio: L / l.
        correction: None, "ngram" or "averaged", for "direct"; None or "fitted", for "entropy"; see the module.
        splits: these l only; None for all that fit the ratio.
        marginal: the Y of log q(Y) in "direct": "same", each window's own, or "halves": log q(Y|X) of one half of the windows
            and log q(Y) of the other, as the paper's scripts pair them. How hard a text is cancels in the first and not in the
            second, whose errors are several times as large.
        ngram, weight: n and w of the "ngram" correction.
        preset: "paper" sets marginal = "halves", splits to 2..512, and l as the x of fits.

    Returns:
        The curve, one value for each split, with errors over documents.

    Raises:
        InputError: unknown names; passes that the store does not hold for any window; fewer than 64 contexts.

    Example:
        >>> l2m.bipartite(scores)  # of the example of l2m.score; exactly ln 2 - H(0.1) = 0.368 at every split
        BipartiteCurve(L = 4 to 32, I = 0.3388 to 0.3827 nats, 300 windows, errors over documents)
    """
    checks.instance("scores", scores, Scores, SCORES)
    chosen = PRESETS[checks.one_of("preset", preset, PRESETS)] if preset is not None else {}
    marginal, x = chosen.get("marginal", marginal), chosen.get("x", "length")
    checks.one_of("estimator", estimator, ESTIMATORS)
    correction = "none" if correction is None else correction
    checks.one_of("correction", correction, CORRECTIONS["direct"] + CORRECTIONS["entropy"][1:])
    if correction not in CORRECTIONS[estimator]:
        raise InputError(
            f"correction: {correction!r} with {estimator}; expected one of {', '.join(CORRECTIONS[estimator])}"
        )
    checks.one_of("marginal", marginal, ("same", "halves"))
    ratio, weight = checks.whole("ratio", ratio, 2, LONGEST), checks.real("weight", weight, 0, 1)
    if splits is not None:
        splits = checks.wholes("splits", splits, 1, LONGEST)

    def held(split: int) -> bool:
        return ratio * split <= scores.length if estimator == "entropy" else _holds(scores, split, ratio)

    scored = scores.splits or [1 << k for k in range(1, scores.length.bit_length())]
    wanted = splits if splits is not None else [one for one in chosen.get("splits", scored) if one in scored]
    points = [int(split) for split in wanted if held(int(split))]
    if not points or (splits is not None and len(points) < len(splits)):
        raise InputError(
            f"{'splits' if splits is not None else 'ratio'}: {splits or ratio}; {scores.folder} holds, for ratio {ratio}, "
            f"the splits {[split for split in scores.splits if _holds(scores, split, ratio)]}"
        )
    notes: dict[str, Any] = {}
    if estimator == "entropy":
        pointwise, replicates, groups, whole, notes = summed_entropy(scores, points, ratio, correction)
        information, document = pointwise.mean(0), scores.documents[whole]
    else:
        first = np.stack([_sum(scores.conditional[:, split : ratio * split]) for split in points], 1)
        if estimator == "direct":
            second, partners = _marginals(scores, points, ratio, correction, ngram, weight, notes)
        else:
            second, partners = _shuffled(scores, points, ratio)
        whole = np.logical_and(np.isfinite(first).all(1), np.isfinite(second).all((1, 2)))
        first, second, partners, document = first[whole], second[whole], partners[whole], scores.documents[whole]
    count, asked = int(whole.sum()), scores.windows_asked
    if not count:
        raise InputError(f"{scores.folder}: no window has all its passes yet; score again with the same settings")
    if count < asked:
        log.warning(
            f"{scores.folder}: {count} of {asked} windows have all passes for ratio {ratio}; the estimate is of these alone. "
            "Score again with the same settings to complete it"
        )
    documents = int(np.unique(document).size)
    if estimator == "direct" and marginal == "halves":
        halves = disjoint_halves(count)
        information, replicates, groups = halves_without_each(first, second[:, 0], document, halves)
        pointwise, document = first[halves[0]] - second[halves[1], 0], document[halves[0]]
    elif estimator != "entropy":
        information, replicates, groups = without_each_document(first, second, document, partners)
        pointwise = first - second.mean(1)
    stderr, covariance = jackknife_errors(replicates)
    split = np.array(points, np.int64)
    settings = {
        "estimator": estimator,
        "ratio": ratio,
        "correction": correction,
        "marginal": marginal,
        "preset": preset,
        "x": x,
        **notes,
        "windows": count,
        "windows_incomplete": asked - count,
        "documents": documents,
        "noise_floor": scores.noise_floor,
        "scores": dict(scores.settings),
    }
    return BipartiteCurve(
        split=split,
        length=ratio * split,
        information=information,
        stderr=stderr,
        covariance=covariance,
        pointwise=pointwise,
        document=document,
        replicates=replicates,
        groups=groups,
        start_error=_start_error(scores, points, estimator, correction, weight, notes),
        settings=settings,
    )


def every_estimate(scores: Scores, ratios: Sequence[int] | None = None, **options: Any) -> list[BipartiteCurve]:
    """Every estimator, ratio (of `ratios`, where given) and correction that the store has the passes for.

    Splits whose passes are gone altogether, though a run was asked for them, and n-gram entropies that are not there (yet)
    are logged as warnings.
    """
    absent = [split for split, _ in scores.asked.spans if split not in scores.splits]
    if absent and len(scores):
        log.warning(
            f"{scores.folder}: no marginal passes at the splits {absent}, which were asked for; score again with the same "
            "settings to complete it"
        )
    if scores.asked.ngrams and not scores.ngram_entropy and len(scores):
        log.warning(
            f"{scores.folder}: no n-gram entropies, so no estimate with the ngram correction; score again with the same "
            "settings to count them"
        )
    possible = range(2, scores.length // max(1, min(scores.splits, default=1)) + 1)
    ratios_held = [r for r in ratios or possible if sum(_holds(scores, split, r) for split in scores.splits) > 1]
    ngrams = scores.ngram_entropy and not scores.ngrams.refused(options.get("ngram", 2))
    corrections = ["none", *(["ngram"] if ngrams else []), *(["averaged"] if scores.contexts else [])]
    curves = []
    for ratio in ratios_held:
        curves += [bipartite(scores, ratio=ratio, correction=name, **options) for name in corrections]
        if scores.shuffles:
            curves.append(bipartite(scores, estimator="vclub", ratio=ratio, **options))
        if options.get("preset") is None:  # the paper has no such estimate
            curves.append(bipartite(scores, estimator="entropy", ratio=ratio, **options))
            with suppress(InputError):  # no law of the next token's entropy
                fitted = bipartite(scores, estimator="entropy", correction="fitted", ratio=ratio, **options)
                if fitted.settings["fitted_from"] > 1:  # else nothing was replaced
                    curves.append(fitted)
    return curves


def _holds(scores: Scores, split: int, ratio: int) -> bool:
    fits = split in scores.splits and ratio * split <= scores.length
    return fits and scores.marginal(split).shape[1] >= (ratio - 1) * split


def _marginals(
    scores: Scores,
    points: Sequence[int],
    ratio: int,
    correction: str,
    ngram: int,
    weight: float,
    notes: dict[str, Any],
) -> tuple[Floats, NDArray[np.int64]]:
    """log q(Y), (windows, 1, points), and the documents they are of, (windows, 1)."""
    second = np.stack([_sum(scores.marginal(split)[:, : (ratio - 1) * split]) for split in points], 1)
    if correction == "ngram":
        entropy = scores.ngram_entropy.get(ngram)
        if entropy is None:
            raise InputError(
                f"ngram: {ngram}; {scores.folder} holds n-gram entropies for n in {sorted(scores.ngram_entropy)}"
            )
        if scores.ngrams.refused(ngram):
            raise InputError(f"correction: ngram with {scores.ngrams.too_few(ngram)}")
        # A Y shorter than n has all its tokens replaced, by as many grams.
        for column, split in enumerate(points):
            n = min(ngram, (ratio - 1) * split)
            second[:, column] -= weight * (scores.ngram_entropy[n] + _sum(scores.marginal(split)[:, :n]))
        notes.update(ngram=ngram, weight=weight, ngram_entropy=entropy)
        if scores.ngrams.coverage:  # not kept by versions before
            notes["ngram_coverage"] = scores.ngrams.coverage[ngram]
    elif correction == "averaged":
        halves = []
        for column, split in enumerate(points):
            given = scores.given_contexts(split)
            count = given.shape[1]
            average, half = _log_mean(given), _log_mean(given[:, : count // 2])
            change = half - average
            if not np.isfinite(change).any():
                raise InputError(
                    f"{scores.folder}: no window was scored after contexts yet; score again with the same settings"
                )
            halves.append(float(np.nanmean(change)))
            second[:, column] += average - _sum(scores.marginal(split)[:, :2])
        notes.update(contexts=count, bias="upward", change_from_half_to_all_contexts=halves)
    documents = scores.documents
    return second[:, None], documents[:, None]


def _start_error(
    scores: Scores, points: Sequence[int], estimator: str, correction: str, weight: float, notes: Mapping[str, Any]
) -> float | None:
    """See `BipartiteCurve.start_error`."""
    entropy = scores.ngram_entropy.get(2)
    if correction == "averaged":
        return float(max(map(abs, notes["change_from_half_to_all_contexts"])))
    if estimator == "vclub" or correction == "fitted" or entropy is None or scores.ngrams.refused(2):
        return None
    begin = [scores.conditional] if estimator == "entropy" else [scores.marginal(split) for split in points]
    by_window = -np.stack([_sum(values[:, :2]) for values in begin]).mean(0)
    by_window = by_window[np.isfinite(by_window)]
    cost = float(by_window.mean()) if by_window.size else float(entropy)
    if abs(cost - float(entropy)) < 2 * by_window.std() / np.sqrt(max(1, by_window.size)):
        return 0.0  # no more than chance
    return abs(cost - float(entropy)) * (1 - weight if correction == "ngram" else 1.0)


def _shuffled(scores: Scores, points: Sequence[int], ratio: int) -> tuple[Floats, NDArray[np.int64]]:
    """log q(Y'|X), (windows, shuffles, points), and the documents of Y', (windows, shuffles)."""
    if not scores.shuffles:
        raise InputError(f"{scores.folder}: no shuffled passes; expected some for vclub: score with shuffles=1 or more")
    second = [
        [_sum(scores.shuffled(split, k)[:, : (ratio - 1) * split]) for k in range(scores.shuffles)] for split in points
    ]
    return np.moveaxis(np.array(second), (0, 1, 2), (2, 1, 0)), np.stack(scores.partners, 1)


def _sum(values: NDArray[np.float32]) -> Floats:
    return np.asarray(values.sum(1, dtype=np.float64))


def _log_mean(values: NDArray[np.float32]) -> Floats:
    with np.errstate(invalid="ignore"):  # rows not scored yet are nan and stay nan
        return np.asarray(np.logaddexp.reduce(values.astype(float), 1) - np.log(values.shape[1]))
