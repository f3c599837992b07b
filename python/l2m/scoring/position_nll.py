"""How well a model predicts text by position in its context: negative log-likelihood from the conditional passes.

NLL_i = KL_i + H(w_i | w_<i): a model that loses track of the past stops improving with i (paper, section 4). Models with different
tokenizers are compared in bits per byte, over positions counted in bytes.
"""

import dataclasses
import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.records import Record, span
from l2m.errors import InputError
from l2m.scoring.scores import SCORES, Scores
from l2m.statistics.jackknife import groups_of_windows, jackknife_errors, means_without_each

if TYPE_CHECKING:
    from l2m.statistics.power_law import PowerLaw

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PositionCurve(Record):
    """Negative log-likelihood in bins of positions, with errors over documents.

    Attributes:
        first, last: ends of each bin, both included, in tokens or bytes (`settings["axis"]`), float64, (bins,).
        nll: nats per token, (bins,); a difference of two models where `settings["minus"]` is set.
        stderr: by the delete-one-document jackknife, (bins,).
        bits_per_byte, bits_per_byte_stderr: the same in bits per byte of text, (bins,); nan where bytes are unknown.
        pointwise: nats per token of each window, (windows, bins).
        bytes_per_token: (windows,).
        document, number: (windows,): the document a window is from, and which of its windows it is.
    """

    kind: ClassVar[str] = "position nll"
    axes: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("first", "last", "nll", "stderr", "bits_per_byte", "bits_per_byte_stderr"), "bins"),
        "pointwise": "windows bins",
        "bytes_per_token": "windows",
        "document": "windows",
        "number": "windows",
    }
    information_fields: ClassVar[tuple[str, ...]] = ("nll", "stderr", "pointwise")

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
        if self.unit != other.unit or self.settings["axis"] != other.settings["axis"]:
            raise InputError(
                f"difference: {self.settings['axis']} in {self.unit} and {other.settings['axis']} in {other.unit}; expected the same"
            )
        same_text = self.settings["corpus"] == other.settings["corpus"]
        if self.settings["axis"] == "tokens" and not same_text:
            raise InputError(
                "difference: positions in tokens of different corpora or tokenizers; expected axis='bytes'"
            )
        bins, mine, theirs = np.intersect1d(self.first, other.first, return_indices=True)
        places = [
            dict(zip(zip(c.document, c.number, strict=True), range(c.document.size), strict=True))
            for c in (self, other)
        ]
        common = sorted(places[0].keys() & places[1].keys())
        if not common or not bins.size:
            raise InputError("difference: no window or bin in common; expected scores of the same documents")
        rows = [[place[key] for key in common] for place in places]
        values = self.pointwise[rows[0]][:, mine] - other.pointwise[rows[1]][:, theirs]
        scales = [1 / c.bytes_per_token[row][:, None] for c, row in zip((self, other), rows, strict=True)]
        bits = self.pointwise[rows[0]][:, mine] * scales[0] - other.pointwise[rows[1]][:, theirs] * scales[1]
        document = self.document[rows[0]]
        width = self.last[mine] - self.first[mine] + 1
        settings = {
            **self.settings,
            "minus": other.settings["model"],
            "windows": len(common),
            "documents": int(np.unique(document).size),
            "nll": float(np.average(values.mean(0), weights=width)),
            "bits_per_byte": float(np.average(bits.mean(0), weights=width)) * self._bits,
        }
        return _curve(
            self.first[mine], self.last[mine], values, bits * self._bits, self.bytes_per_token[rows[0]], document,
            self.number[rows[0]], settings, self.unit,
        )  # fmt: skip

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
        unit = "byte" if self.settings["axis"] == "bytes" else "token"
        note = f"Fitted from {unit} {first.min():,.0f} to {last.max():,.0f}. {misfit_words(missed, 'n')}".rstrip()
        about = {"symbol": "n", "first": float(first.min()), "last": float(last.max()), "missed": missed, "note": note}
        settings = {**self.settings, **law.settings, **about}
        return dataclasses.replace(law, unit=self.unit, settings=settings)

    @property
    def _bits(self) -> float:
        return 1 / math.log(2) if self.unit == "nats" else 1.0

    def columns(self) -> dict[str, NDArray[Any]]:
        """first, last, nll, stderr, bits_per_byte, bits_per_byte_stderr."""
        names = ("first", "last", "nll", "stderr", "bits_per_byte", "bits_per_byte_stderr")
        return {name: getattr(self, name) for name in names}

    def plot(self, axes: Any = None, *, label: str | None = None, color: str | None = None) -> Any:
        """Mean and 95 % band by position: nats per token against tokens, or bits per byte against bytes."""
        from l2m.base.plots import new_axes

        axes = new_axes() if axes is None else axes
        in_bytes = self.settings["axis"] == "bytes"
        value = self.bits_per_byte if in_bytes else self.nll
        error = 1.96 * (self.bits_per_byte_stderr if in_bytes else self.stderr)
        (line,) = axes.plot(self.position, value, label=label or self.settings["model"], color=color)
        axes.fill_between(self.position, value - error, value + error, color=line.get_color(), alpha=0.15, linewidth=0)
        axes.set_xscale("log", base=2)
        axes.set_xlabel("position (bytes)" if in_bytes else "position (tokens)")
        quantity = "bits per byte" if in_bytes else f"{self.unit} per token"
        axes.set_ylabel(f"difference of {quantity}" if "minus" in self.settings else quantity)
        axes.legend()
        return axes


def position_nll(scores: Scores, *, axis: str = "tokens", per_octave: int | None = 4) -> PositionCurve:
    """Negative log-likelihood by position, from a score store's conditional passes.

    Args:
        scores: from `l2m.score` or `l2m.load(folder)`.
        axis: "tokens", or "bytes": a token is where it ends, at the model's mean bytes per token.
        per_octave: bins per doubling of the position; None: every token a bin.

    Returns:
        The curve, one value for each bin of positions.

    Raises:
        InputError: no finished window; bytes asked for where the corpus is not known as text.

    Example:
        >>> l2m.position_nll(scores)  # of the example of l2m.score
        PositionCurve(positions 1 to 32, 0.6931 to 0.3324 nats a token, 300 windows)
    """
    checks.instance("scores", scores, Scores, SCORES)
    whole = np.isfinite(scores.conditional).all(1)
    if not whole.any():
        raise InputError(f"{scores.folder}: no conditional pass is complete yet; score again with the same settings")
    checks.one_of("axis", axis, ("tokens", "bytes"))
    if per_octave is not None:
        checks.whole("per_octave", per_octave, 1, 1024)
    if (held := int(whole.sum())) < scores.windows_asked:
        logging.getLogger("l2m").warning(
            f"{scores.folder}: {held} of {scores.windows_asked} windows have their conditional pass; the curve is of these alone"
        )
    values, document = -scores.conditional[whole].astype(np.float64), scores.documents[whole]
    bytes_per_token = scores.bytes[whole] / scores.length
    if axis == "bytes" and not np.isfinite(bytes_per_token).all():
        raise InputError(
            f"{scores.folder}: bytes of its windows are unknown; expected a corpus made by a model's tokenizer"
        )
    place = np.arange(1, scores.length + 1) * (bytes_per_token.mean() if axis == "bytes" else 1.0)
    label = np.arange(scores.length) if per_octave is None else np.floor(per_octave * np.log2(place) + 1e-9).astype(int)
    bins, starts = np.unique(label, return_index=True)
    counts = np.diff(np.append(starts, scores.length))
    pointwise = np.add.reduceat(values, starts, axis=1) / counts
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
        "bits_per_byte": float(values.sum() / math.log(2) / (bytes_per_token.sum() * scores.length)),
        "scores": dict(scores.settings),
    }
    bits = pointwise / math.log(2) / bytes_per_token[:, None]
    return _curve(first, last, pointwise, bits, bytes_per_token, document, number, settings, "nats")


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
    pointwise: Floats,
    bits: Floats,
    bytes_per_token: Floats,
    document: NDArray[np.int64],
    number: NDArray[np.int64],
    settings: dict[str, Any],
    unit: str,
) -> PositionCurve:
    bins = pointwise.shape[1]
    both = np.concatenate([pointwise, bits], 1)
    names, label, groups = groups_of_windows(document)
    means = both.mean(0)
    stderr, _ = jackknife_errors(means_without_each(both, label, names.size))
    return PositionCurve(
        first=first,
        last=last,
        nll=means[:bins],
        stderr=stderr[:bins],
        bits_per_byte=means[bins:],
        bits_per_byte_stderr=stderr[bins:],
        pointwise=pointwise,
        bytes_per_token=bytes_per_token,
        document=document,
        number=number,
        settings={**settings, "groups": groups},
        unit=unit,
    )
