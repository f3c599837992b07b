"""What a measurement found, as records: the content of results.json."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base.records import Record, span
from l2m.counting.two_point_curve import TwoPointCurve
from l2m.scoring.agreement import Agreement
from l2m.scoring.bipartite import BipartiteCurve
from l2m.scoring.exponents import ExponentRange
from l2m.statistics.power_law import PowerLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WHAT = "the information that the past holds about the future"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Domain(Record):
    """Two-point information of one corpus: what it was made of, the curve, the law (None: `words` says why there is none)."""

    kind: ClassVar[str] = "domain"
    derived: ClassVar[tuple[str, ...]] = ("headline",)

    name: str
    corpus: Mapping[str, Any]
    curve: TwoPointCurve
    law: PowerLaw | None
    words: str

    @property
    def headline(self) -> str:
        """What one may quote of the two-point information, in a line."""
        if self.law is None or not self.law.holds or self.law.amplitude <= 0:
            return _no_exponent("", "the information between two tokens d apart", self.law, self.words)
        low, high = (-end for end in reversed(self.law.interval("exponent")))
        return (
            f"alpha = {_number(-self.law.exponent, high - low)}: the information between two tokens d apart falls like "
            f"d^-{_number(-self.law.exponent, high - low)} towards {self.law.offset:.2g} {self.unit} over d = "
            f"{self.law.x.min():,.0f} to {self.law.x.max():,.0f} (95 % sampling interval {_ends(low, high)})"
        )

    def _brief(self) -> str:
        return f"{self.name}: d = {span(self.curve.distance)}, I = {span(self.curve.information, self.unit)}"

    def explain(self) -> str:
        """The law in words, or why there is none."""
        return f"{self.name}: {self.words}"

    def columns(self) -> dict[str, NDArray[Any]]:
        """Those of the curve."""
        return self.curve.columns()

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """The curve with its law; see `TwoPointCurve.plot`."""
        return self.curve.plot(axes, self.law)

    def _scaled(self, factor: float) -> dict[str, Any]:
        return {"words": _words(self.law, self.words, factor)}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Measurement(Record):
    """All that `measure` found: what `results.json` holds and the report shows.

    Attributes:
        headline: what one may quote of it, in a line: one beta, its 95 % interval, and the range over the choices
            that can be defended; or that no single law describes the information, and its local slopes.
        summary: the numbers people quote: alpha, beta, their 95 % intervals (None where no law holds), the range of beta over
            the choices, the outcome for the scored model.
        domains: two-point information: of the measured text first, then of the other domains.
        bipartite: bipartite information of the text under the model, one value per split.
        law: its power law, I = A L^beta (`settings["x"]` says what x is); None where there is none to fit.
        words: the law in words, or why there is none.
        verdicts: the L²M condition, for the scored model first, then for the others: states in numbers, lengths in tokens
            as {value, low, high} at 95 %, the threshold in `unit` per number, the frontier's too, with its tolerance in
            `unit` a value; `headline` and `words` say it in words.
            Empty where no exponent within (0, 1) was resolved.
        command: the command line that repeats the measurement.
        note: what a reader of the error bars must know; empty where they are over documents.
        agreement: whether the entropy of the next token, from the conditional pass alone, grows as the information does; None
            where it has no law, and in files of versions before 0.2.
        agreement_words: the same in words, or why there is none.
        choices: beta by every estimator and start that can be defended; None in files of versions before 0.2.

    The words of the verdicts keep their unit, which they name.
    """

    kind: ClassVar[str] = "measurement"
    derived: ClassVar[tuple[str, ...]] = ("headline",)

    title: str
    summary: Mapping[str, Any]
    model: Mapping[str, Any]
    domains: tuple[Domain, ...]
    bipartite: BipartiteCurve
    law: PowerLaw | None
    words: str
    verdicts: tuple[Mapping[str, Any], ...]
    command: str
    note: str
    choices: ExponentRange | None = None
    agreement: Agreement | None = None
    agreement_words: str = ""

    @property
    def headline(self) -> str:
        """See the class."""
        reader = f"as {self.model.get('name', 'the model')} reads {self.title}"
        if self.law is None or not self.law.holds or self.law.amplitude <= 0:
            return _no_exponent(f"{reader}, ", WHAT, self.law, self.words)
        low, high = self.law.interval("exponent")
        beta = _number(self.law.exponent, high - low)
        units = f"{len(self.bipartite.replicates)} {self.bipartite.groups}"
        beside = f"95 % interval {_ends(low, high)} over {units}"
        if self.choices is not None and self.choices.exponent.size > 1:
            beside += f"; other estimators and fit ranges give {_ends(*self.choices.ends)}"
        return (
            f"beta = {beta}: {reader}, {WHAT} "
            f"{'grows' if self.law.exponent > 0 else 'changes'} like L^{beta} over L = {self.law.x.min():,.0f} to "
            f"{self.law.x.max():,.0f} tokens ({beside})"
        )

    def _brief(self) -> str:
        first = self.verdicts[0] if self.verdicts else {}
        verdict = " ".join(str(first[name]) for name in ("model", "headline") if name in first)
        return f"{self.title}: I = {span(self.bipartite.information, self.unit)}; {verdict or 'no verdict'}"

    def columns(self) -> dict[str, NDArray[Any]]:
        """One row: title, the numbers people quote (alpha, beta with their 95 % intervals, amplitude), the outcome."""
        found: dict[str, Any] = {"title": self.title}
        for name, value in self.summary.items():
            if isinstance(value, Mapping):
                found |= {name if part == "value" else f"{name}_{part}": item for part, item in value.items()}
            else:
                found[name] = value
        return {name: np.array([value]) for name, value in found.items()}

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Bipartite information with its law; see `BipartiteCurve.plot`, and `.domains[0].plot()` for the two-point curve."""
        drawn: Axes = self.bipartite.plot(axes, self.law)
        return drawn

    def _scaled(self, factor: float) -> dict[str, Any]:
        def scaled(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
            return {**values, **{name: values[name] * factor for name in names if values.get(name) is not None}}

        return {
            "summary": scaled(self.summary, "amplitude"),
            "model": scaled(self.model, "noise_floor"),
            "verdicts": tuple(
                scaled(verdict, "threshold", "frontier_threshold", "frontier_tolerance") for verdict in self.verdicts
            ),
            "words": _words(self.law, self.words, factor),
            "agreement_words": self.agreement_words
            if self.agreement is None
            else self.agreement.to("bits" if factor > 1 else "nats").explain(),
        }


def _no_exponent(reader: str, what: str, law: PowerLaw | None, words: str) -> str:
    """The line where there is no exponent to quote."""
    if law is None:
        return f"no exponent: {words}"
    if not law.settings.get("missed") and (not law.resolved or law.amplitude <= 0):
        return f"no exponent: {reader}{what} cannot be told from a constant over {law.symbol} = {_range(law)}"
    return f"no exponent: {reader}{law.no_single_law(what if reader else '')}"


def _range(law: PowerLaw) -> str:
    return f"{law.x.min():,.0f} to {law.x.max():,.0f}"


def _number(value: float, width: float) -> str:
    """With a digit more where its interval is narrow."""
    return f"{value:.3f}" if width < 0.02 else f"{value:.2f}"


def _ends(low: float, high: float) -> str:
    return f"{_number(low, high - low)} to {_number(high, high - low)}"


def _words(law: PowerLaw | None, words: str, factor: float) -> str:
    """The words about a law in nats or bits, which are `factor` times the numbers they were."""
    return words if law is None else law.to("bits" if factor > 1 else "nats").explain()
