"""How well a model predicts text by position in its context: negative log-likelihood from the conditional passes.

NLL_i = KL_i + H(w_i | w_<i): a model that loses track of the past stops improving with i (paper, section 4). Models with different
tokenizers are compared in bits per byte, over positions counted in bytes.

The entropy of the model's own predictions is the NLL that the model expects. Where its probabilities are right the two have the
same mean; NLL - entropy above 0 is overconfidence, which can grow with position (Braverman et al. 2020).
"""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.records import Record, span
from l2m.errors import InputError
from l2m.scoring.effective_context import ContextRatio, EffectiveContext, context_ratio, effective_context
from l2m.scoring.scores import SCORES, Scores
from l2m.statistics.jackknife import groups_of_windows, jackknife_errors, means_without_each

if TYPE_CHECKING:
    from l2m.statistics.power_law import PowerLaw

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PositionCurve(Record):
    """Negative log-likelihood in bins of positions, with errors over documents.

    Attributes:
        first, last: ends of each bin, both included, in tokens, characters or bytes (`settings["axis"]`), float64, (bins,).
        nll: nats per token, (bins,); a difference of two models where `settings["minus"]` is set.
        stderr: by the delete-one-document jackknife, (bins,).
        bits_per_byte, bits_per_byte_stderr: the same in bits per byte of text, (bins,); nan where bytes are unknown.
        pointwise: nats per token of each window, (windows, bins).
        bytes_per_token: (windows,).
        document, number: (windows,): the document a window is from, and which of its windows it is.
        bits_per_character, bits_per_character_stderr: in bits per character of text, (bins,); nan where characters are unknown.
        characters_per_token: (windows,).
        levels, quantiles: quantiles of the NLL of single tokens over the windows and positions of a bin, nats: (levels,) and
            (levels, bins); None of a difference.
        entropy, entropy_stderr: entropy of the model's predictions, nats per token, (bins,); None where the scores hold none.
        overconfidence, overconfidence_stderr: NLL - entropy, paired, nats per token, (bins,): 0 for right probabilities.
        pointwise_entropy: nats per token of each window, (windows, bins).
    """

    kind: ClassVar[str] = "position nll"
    axes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("first", "last", "nll", "stderr", "bits_per_byte", "bits_per_byte_stderr"), "bins"),
        **dict.fromkeys(("bits_per_character", "bits_per_character_stderr"), "bins"),
        **dict.fromkeys(("entropy", "entropy_stderr", "overconfidence", "overconfidence_stderr"), "bins"),
        **dict.fromkeys(("pointwise", "pointwise_entropy"), "windows bins"),
        **dict.fromkeys(("bytes_per_token", "characters_per_token", "document", "number"), "windows"),
        "levels": "levels",
        "quantiles": "levels bins",
    }
    information_fields: ClassVar[tuple[str, ...]] = (
        *("nll", "stderr", "pointwise", "quantiles"),
        *("entropy", "entropy_stderr", "overconfidence", "overconfidence_stderr", "pointwise_entropy"),
    )

    first: Floats
    last: Floats
    nll: Floats
    stderr: Floats
    bits_per_byte: Floats
    bits_per_byte_stderr: Floats
    pointwise: Floats
    bytes_per_token: Floats
    document: NDArray[np.int64]
    number: NDArray[np.int64]
    bits_per_character: Floats | None = None
    bits_per_character_stderr: Floats | None = None
    characters_per_token: Floats | None = None
    levels: Floats | None = None
    quantiles: Floats | None = None
    entropy: Floats | None = None
    entropy_stderr: Floats | None = None
    overconfidence: Floats | None = None
    overconfidence_stderr: Floats | None = None
    pointwise_entropy: Floats | None = None

    def _brief(self) -> str:
        return f"positions {span([self.first[0], self.last[-1]])}, {span(self.nll, self.unit)} a token, {self.number.size:,} windows"

    @property
    def position(self) -> Floats:
        """Geometric middle of each bin."""
        return np.asarray(np.sqrt(self.first * self.last))

    def difference(self, other: "PositionCurve") -> "PositionCurve":
        """This model minus another, paired window by window: of what both windows of one place in one text say.

        Raises:
            InputError: other bins or units; no window in common; models of different tokenizers by tokens, where positions
                do not match: take axis="bytes".
        """
        rows = self.common_windows(other, "difference")
        bins, mine, theirs = np.intersect1d(self.first, other.first, return_indices=True)
        if not bins.size:
            raise InputError("difference: no bin in common; expected scores of the same documents")
        of_both = zip((self, other), rows, (mine, theirs), strict=True)
        one, two = ({name: v[row][:, at] for name, v in c._per_window().items()} for c, row, at in of_both)
        # What a tokenizer makes of entropy by token says nothing of that of another.
        by_token = () if self.settings["axis"] == "tokens" else ("entropy", "overconfidence")
        shared = [name for name in one if name in two and name not in by_token]
        values = {name: one[name] - two[name] for name in shared}
        document = self.document[rows[0]]
        width = self.last[mine] - self.first[mine] + 1
        overall = ("nll", "bits_per_byte", "bits_per_character", "entropy")
        settings = {
            **{name: value for name, value in self.settings.items() if name not in overall},
            "minus": other.settings["model"],
            "windows": document.size,
            "documents": int(np.unique(document).size),
            **{name: float(np.average(values[name].mean(0), weights=width)) for name in overall if name in values},
        }
        known = self.characters_per_token
        return _curve(
            self.first[mine], self.last[mine], values, document, self.number[rows[0]], settings, self.unit,
            bytes_per_token=self.bytes_per_token[rows[0]],
            characters_per_token=None if known is None else known[rows[0]],
        )  # fmt: skip

    def common_windows(self, other: "PositionCurve", argument: str) -> tuple[list[int], list[int]]:
        """The rows of the windows that both curves have, of this one and of the other: the same window of the same document.

        Args:
            argument: what messages begin with.

        Raises:
            InputError: there is none; positions or units that do not match.
        """
        if self.unit != other.unit or self.settings["axis"] != other.settings["axis"]:
            raise InputError(
                f"{argument}: {self.settings['axis']} in {self.unit} and {other.settings['axis']} in {other.unit}; expected the same"
            )
        if self.settings["axis"] == "tokens" and self.settings["corpus"] != other.settings["corpus"]:
            raise InputError(
                f"{argument}: positions in tokens of different corpora or tokenizers; expected axis='bytes'"
            )
        places = [
            dict(zip(zip(c.document, c.number, strict=True), range(c.document.size), strict=True))
            for c in (self, other)
        ]
        common = sorted(places[0].keys() & places[1].keys())
        if not common:
            raise InputError(f"{argument}: no window in common; expected scores of the same documents")
        mine, theirs = ([place[key] for key in common] for place in places)
        return mine, theirs

    def _per_window(self) -> dict[str, Floats]:
        """Every quantity in each window, by name, (windows, bins)."""
        values = {"nll": self.pointwise, "bits_per_byte": self.pointwise / self.bytes_per_token[:, None] * self._bits}
        if self.characters_per_token is not None:
            values["bits_per_character"] = self.pointwise / self.characters_per_token[:, None] * self._bits
        if self.pointwise_entropy is not None:
            values |= {"entropy": self.pointwise_entropy, "overconfidence": self.pointwise - self.pointwise_entropy}
        return values

    def fit(self, *, min_position: int | None = None) -> "PowerLaw":
        """The law H_n = H_inf + A n^-gamma of the entropy of the token at position n given all before it.

        Of the model's cross-entropy, that is: the KL to the text is in it. gamma is `-law.exponent`, H_inf `law.offset`. Bins are
        fitted by their means of n^-gamma, with weights 1/stderr^2, everything refitted in every jackknife replicate over
        documents (or windows, see `settings["groups"]`). `.settings["missed"]` are the positions at which the law does not
        describe the curve, and then `.holds` is False.

        Args:
            min_position: fit bins from this position on. None: the first bin from which the law misses none by both more than
                10 % of A n^-gamma and more than chance allows. (The first tokens follow a start token, as if a text began
                there.) All bins if there is no such start.

        Raises:
            InputError: a difference of two models; fewer than three bins, or than two documents or windows.
        """
        from l2m.statistics.law_start import first_that_holds, starts_of

        if "minus" in self.settings:
            raise InputError("fit: a difference of two models; expected the curve of one, which has an entropy")
        kept = np.ones(self.first.size, bool)
        if min_position is not None:
            kept = self.first >= checks.whole("min_position", min_position, 1)
        if kept.sum() < 3:
            raise InputError(f"positions: {int(kept.sum())} bins; a fit of H_inf + A n^-gamma needs 3 (per_octave)")
        replicates = self.replicates()
        if len(replicates) < 2:
            raise InputError(f"{self.settings['groups']}: {len(replicates)}; a fit needs 2 for its errors")
        starts = starts_of(self.first[kept], 3) if min_position is None else [0.0]
        return first_that_holds(starts, lambda start: self._law(kept & (self.first >= start), replicates))

    def effective_context(
        self, *, share: float | None = None, nats: float | None = None, level: float = 0.95
    ) -> EffectiveContext:
        """The position from which the NLL is within a tolerance of its value at the end.

        The first from which no later NLL is above (1 + share) times the value at the end, or that value and so many nats per
        token; to the bins of this curve, so take `position_nll(..., per_octave=None)`. `l2m.scoring.effective_context` says how. A
        curve that falls as a power law up to the end has one too, for it depends on the length of the window: compare at equal lengths.

        Args:
            share: tolerance as a share of the NLL at the end. None, without `nats`: 0.05.
            nats: tolerance in nats per token (in `unit`, of a curve in bits).
            level: of the interval. Of simulated texts 92 % to 100 % of the intervals of 95 % held the truth.

        Returns:
            The position, its interval, and the NLL at the end.

        Raises:
            InputError: both tolerances, or one that is not above 0; a difference of two models; fewer than three bins or eight windows.
        """
        return effective_context(self, share=share, nats=nats, level=level)

    def context_ratio(
        self,
        other: "PositionCurve",
        *,
        share: float | None = None,
        nats: float | None = None,
        level: float = 0.95,
    ) -> ContextRatio:
        """The effective context of this model over that of another, paired: both on the windows that both curves have.

        Args:
            other: of the same axis; of another tokenizer it takes axis="bytes" or "characters".
            share, nats, level: as `effective_context` takes them.

        Returns:
            The ratio with its interval, and both contexts on the common windows.

        Raises:
            InputError: as `effective_context`; curves of different axes or units, or without a window in common.
        """
        common = self.common_windows(other, "context_ratio")
        return context_ratio(self, other, common, share=share, nats=nats, level=level)

    def replicates(self) -> Floats:
        """`nll` without each group, (groups, bins)."""
        names, label, _ = groups_of_windows(self.document)
        return means_without_each(self.pointwise, label, names.size)

    def _law(self, kept: NDArray[np.bool_], replicates: Floats) -> "PowerLaw":
        """The law of these bins."""
        from l2m.statistics.law_start import misfit, misfit_words
        from l2m.statistics.power_law import fit_power_law

        first, last, nll = self.first[kept], self.last[kept], self.nll[kept]
        stderr = self.stderr[kept] if (self.stderr[kept] > 0).all() else None
        given: dict[str, Any] = {"offset": True, "stderr": stderr, "method": "ols" if stderr is None else "wls"}
        place = np.sqrt(first * last)
        for _ in range(4):  # the place in a bin where n^-gamma is its mean hardly depends on gamma
            place = _mean_place(first, last, float(fit_power_law(place, nll, **given).parameters[1]))
        law = fit_power_law(place, nll, replicates=replicates[:, kept], **given)
        # 10 % of what is left of A n^-gamma at the last positions is nothing: there chance alone decides, and more strictly.
        missed = misfit(law, replicates[:, kept], np.abs(nll - law.offset), level=0.99)
        unit = self.settings["axis"].removesuffix("s")
        note = f"Fitted from {unit} {first.min():,.0f} to {last.max():,.0f}. {misfit_words(missed, 'n')}".rstrip()
        about = {"symbol": "n", "first": float(first.min()), "last": float(last.max()), "missed": missed, "note": note}
        settings = {**self.settings, **law.settings, **about}
        return dataclasses.replace(law, unit=self.unit, settings=settings)

    @property
    def _bits(self) -> float:
        return 1 / math.log(2) if self.unit == "nats" else 1.0

    def columns(self) -> dict[str, NDArray[Any]]:
        """first, last, nll, stderr, and what else is known of: bits_per_byte, bits_per_character, entropy and overconfidence with
        their errors, and the quantiles, each named by its level ("q05" for 5 %)."""
        names = ["first", "last", *(name for both in _QUANTITIES.items() for name in both)]
        columns = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.levels is not None and self.quantiles is not None:
            columns |= {_quantile_name(level): row for level, row in zip(self.levels, self.quantiles, strict=True)}
        return columns

    def in_unit_of_axis(self) -> tuple[Floats, Floats, str]:
        """The NLL and its error where positions are counted as they are: nats per token, bits per character or bits per byte."""
        axis = self.settings["axis"]
        if axis == "bytes":
            return self.bits_per_byte, self.bits_per_byte_stderr, "bits per byte"
        if axis == "characters":
            assert self.bits_per_character is not None
            assert self.bits_per_character_stderr is not None
            return self.bits_per_character, self.bits_per_character_stderr, "bits per character"
        return self.nll, self.stderr, f"{self.unit} per token"

    def plot(self, axes: Any = None, *, label: str | None = None, color: str | None = None) -> Any:
        """Mean and 95 % band by position, in the unit of `in_unit_of_axis`; dashed, the entropy of the predictions."""
        from l2m.base.plots import new_axes

        axes = new_axes() if axes is None else axes
        value, stderr, unit = self.in_unit_of_axis()
        name = label or self.settings["model"]
        (line,) = axes.plot(self.position, value, label=name, color=color)
        low, high = value - 1.96 * stderr, value + 1.96 * stderr
        axes.fill_between(self.position, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        if self.entropy is not None and "minus" not in self.settings:
            # A share of the NLL, which holds in every unit.
            predicted = value * self.entropy / self.nll
            axes.plot(
                self.position,
                predicted,
                "--",
                color=line.get_color(),
                linewidth=1.0,
                label=f"{name}: predicted entropy",
            )
        axes.set_xscale("log", base=2)
        axes.set_xlabel(f"position ({self.settings['axis']})")
        axes.set_ylabel(f"difference of {unit}" if "minus" in self.settings else unit)
        axes.legend()
        return axes


_QUANTITIES = {
    "nll": "stderr",
    "bits_per_byte": "bits_per_byte_stderr",
    "bits_per_character": "bits_per_character_stderr",
    "entropy": "entropy_stderr",
    "overconfidence": "overconfidence_stderr",
}
"""What is known by position, and the field of its error."""


def _quantile_name(level: float) -> str:
    """0.05 -> "q05", 0.5 -> "q50", 0.975 -> "q97.5"."""
    return f"q{100 * level:04.1f}".removesuffix(".0")


LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the quantiles, unless others are asked for."""


def position_nll(
    scores: Scores,
    *,
    axis: str = "tokens",
    per_octave: int | None = 4,
    levels: Sequence[float] = LEVELS,
    entropy: bool | None = None,
) -> PositionCurve:
    """Negative log-likelihood by position, and the entropy of the predictions, from a score store's conditional passes.

    Args:
        scores: from `l2m.score` or `l2m.load(folder)`.
        axis: "tokens", or "characters" or "bytes": a token is where it ends, at the model's mean number of them per token.
        per_octave: bins per doubling of the position; None: every token a bin.
        levels: of the quantiles, between 0 and 1.
        entropy: True: of the windows whose entropies were kept (`l2m.score(..., entropy=True)`); False: without them; None: with them
            where every window has them.

    Returns:
        The curve, one value for each bin of positions.

    Raises:
        InputError: no finished window; characters or bytes asked for where the corpus is not known as text; `entropy` of scores that
            hold none.

    Example:
        >>> l2m.position_nll(scores)  # of the example of l2m.score
        PositionCurve(positions 1 to 32, 0.6931 to 0.3324 nats a token, 300 windows)
    """
    checks.instance("scores", scores, Scores, SCORES)
    whole = np.asarray(np.isfinite(scores.conditional).all(1))
    checks.one_of("axis", axis, ("tokens", "characters", "bytes"))
    if per_octave is not None:
        checks.whole("per_octave", per_octave, 1, 1024)
    asked = np.array(
        [checks.real("levels", level, 0, 1) for level in checks.several("levels", levels, "numbers from 0 to 1")]
    )
    if not whole.any():
        raise InputError(f"{scores.folder}: no conditional pass is complete yet; score again with the same settings")
    if (held := int(whole.sum())) < scores.windows_asked:
        logging.getLogger("l2m").warning(
            f"{scores.folder}: {held} of {scores.windows_asked} windows have their conditional pass; the curve is of these alone"
        )
    whole, kept = _with_entropy(scores, whole, entropy)
    values, document = -scores.conditional[whole].astype(np.float64), scores.documents[whole]
    per_token = {"tokens": np.ones(document.size)}
    per_token |= {name: getattr(scores, name)[whole] / scores.length for name in ("characters", "bytes")}
    if not np.isfinite(per_token[axis]).all():
        if axis == "characters" and np.isfinite(per_token["bytes"]).all():
            raise InputError(
                f"{scores.folder}: characters were not counted by the version that scored; expected axis 'bytes', or scores of this version"
            )
        raise InputError(
            f"{scores.folder}: {axis} of its windows are unknown; expected a corpus made by a model's tokenizer"
        )
    place = np.arange(1, scores.length + 1) * per_token[axis].mean()
    label = np.arange(scores.length) if per_octave is None else np.floor(per_octave * np.log2(place) + 1e-9).astype(int)
    bins, starts = np.unique(label, return_index=True)
    counts = np.diff(np.append(starts, scores.length))

    def binned(by_token: Floats) -> Floats:
        return np.asarray(np.add.reduceat(by_token, starts, axis=1) / counts)

    pointwise = {"nll": binned(values)}
    pointwise["bits_per_byte"] = pointwise["nll"] / math.log(2) / per_token["bytes"][:, None]
    pointwise["bits_per_character"] = pointwise["nll"] / math.log(2) / per_token["characters"][:, None]
    if kept is not None:
        pointwise["entropy"] = binned(kept)
        pointwise["overconfidence"] = pointwise["nll"] - pointwise["entropy"]
    ends = [*starts[1:], scores.length]
    quantiles = [np.quantile(values[:, begin:end], asked) for begin, end in zip(starts, ends, strict=True)]
    # Bins end where the next grid line is, so that two models' bins are the same.
    if per_octave is None:
        first, last = place, place
    else:
        first = np.ceil(np.exp2(bins / per_octave) - 1e-9)
        last = np.ceil(np.exp2((bins + 1) / per_octave) - 1e-9) - 1
        last[-1] = min(last[-1], np.ceil(place[-1]))
    order = np.argsort(document, kind="stable")
    number = np.empty(document.size, np.int64)
    number[order] = np.arange(document.size) - np.searchsorted(document[order], document[order])
    settings = {
        "axis": axis,
        "per_octave": per_octave,
        "model": scores.settings["model"].get("name"),
        "corpus": scores.settings["corpus"]["hash"],
        "windows": int(whole.sum()),
        "documents": int(np.unique(document).size),
        "nll": float(values.mean()),
        **{
            f"bits_per_{one}": float(values.sum() / math.log(2) / (per_token[several].sum() * scores.length))
            for one, several in (("byte", "bytes"), ("character", "characters"))
        },
        **({} if kept is None else {"entropy": float(kept.mean())}),
        "scores": dict(scores.settings),
    }
    return _curve(
        first, last, pointwise, document, number, settings, "nats",
        bytes_per_token=per_token["bytes"], characters_per_token=per_token["characters"],
        levels=asked, quantiles=np.stack(quantiles, 1),
    )  # fmt: skip


def _with_entropy(
    scores: Scores, whole: NDArray[np.bool_], asked: bool | None
) -> tuple[NDArray[np.bool_], Floats | None]:
    """The windows of a curve, and the entropies of their predictions by token, (windows, length); None: left out."""
    if asked is False:
        return whole, None
    having = whole & np.isfinite(scores.entropy).all(1)
    if not having.any() and asked:
        raise InputError(
            f"{scores.folder}: holds no entropies of predictions; score with entropy=True (l2m score --entropy), into this folder or another"
        )
    if having.sum() < whole.sum():
        if scores.asked.entropy:
            logging.getLogger("l2m").warning(
                f"{scores.folder}: {having.sum()} of {whole.sum()} windows have the entropies of their predictions; "
                + ("the curve is of these alone" if asked else "they are left out")
            )
        if not asked:
            return whole, None
    return having, scores.entropy[having].astype(np.float64)


def _mean_place(first: Floats, last: Floats, exponent: float) -> Floats:
    """Where n**exponent is its mean over the whole positions of each bin, (bins,)."""
    if abs(exponent) < 1e-3:
        exponent = 1e-3
    exponent = float(np.clip(exponent, -8, 8))
    places = []
    for low, high in zip(first, last, strict=True):
        n = np.arange(low, high + 0.5)
        places.append(np.mean((n / n[0]) ** exponent) ** (1 / exponent) * n[0])
    return np.array(places)


def _curve(
    first: Floats,
    last: Floats,
    per_window: Mapping[str, Floats],
    document: NDArray[np.int64],
    number: NDArray[np.int64],
    settings: dict[str, Any],
    unit: str,
    **fields: Any,
) -> PositionCurve:
    """The curve of quantities known in each window, (windows, bins) by the names of `_QUANTITIES`."""
    names, label, groups = groups_of_windows(document)
    found: dict[str, Any] = {}
    for name, values in per_window.items():
        found[name] = values.mean(0)
        found[_QUANTITIES[name]], _ = jackknife_errors(means_without_each(values, label, names.size))
    return PositionCurve(
        **found,
        **fields,
        first=first,
        last=last,
        pointwise=per_window["nll"],
        pointwise_entropy=per_window.get("entropy"),
        document=document,
        number=number,
        settings={**settings, "groups": groups},
        unit=unit,
    )
