"""The L²M condition: does a model's history state grow as fast as the information a law says the data carry?

Three tiers (paper section 5): the growth exponent; the bound that bits prove; the nats that one number of a state was
seen to carry. The first decides the outcome; the last gives the lengths a designer plans with.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base.numbers import short
from l2m.base.records import Record, frame
from l2m.errors import InputError
from l2m.states.history_state import HistoryState, history_state

DRAWS = 2_000
LONGEST = 1e300
NORMAL_975 = 1.959964

Floats = NDArray[np.float64]
Curves = Callable[[Floats], Floats]
"""Lengths, (1, lengths) for every row alike or (rows, 1) one for each -> values, (rows, lengths)."""


class Law(Protocol):
    """What `condition` needs of a law: information predicted at x, and intervals of its parameters.

    `kind` names it: a kind that contains "log" grows like log x, every other like x**exponent. Where the law also has
    `draws(n, seed)`, its parameters are drawn jointly; else the corners of their intervals are taken, which is wider.
    """

    kind: ClassVar[str]

    def predict(self, x: ArrayLike) -> Any: ...
    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]: ...


class Bounded(float):
    """A number with the interval [low, high] that the uncertainty of the law and the threshold gives it."""

    low: float
    high: float

    def __new__(cls, value: float, low: float, high: float) -> "Bounded":
        self = super().__new__(cls, value)
        self.low, self.high = float(low), float(high)
        return self

    def __repr__(self) -> str:
        return f"{float(self):.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Threshold(Record):
    """Nats of past-future information that one number of the history state was seen to carry with little loss.

    `low` and `high` are its 95 % interval (None: published without one, then taken as exact). `source` says who saw it.
    """

    kind: ClassVar[str] = "threshold"
    information_fields: ClassVar[tuple[str, ...]] = ("nats_per_number", "low", "high")

    nats_per_number: float
    low: float | None = None
    high: float | None = None
    source: str = "given by the caller"

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
        x, y = np.asarray(ratio, dtype=np.float64), np.asarray(kl, dtype=np.float64)
        if x.ndim != 1 or x.shape != y.shape or x.size < 2 or x[0] <= 0 or np.any(np.diff(x) <= 0):
            raise InputError(f"ratio: shape {x.shape} with kl {y.shape}; expected two equal, ratios ascending above 0")
        over = np.flatnonzero(y > tolerance)
        if over.size == 0 or over[0] == 0:
            raise InputError(
                f"tolerance: {tolerance:g} with kl {y.min():g} to {y.max():g}; expected one the curve crosses"
            )
        after = int(over[0])
        share = (tolerance - y[after - 1]) / (y[after] - y[after - 1])
        return cls(float(x[after - 1] * (x[after] / x[after - 1]) ** share), source=source)


PAPER_THRESHOLD = Threshold(0.06, source="paper, not reproduced")
"""Read off the paper's Fig. 3(c): Mamba's recurrent state on the Gaussian language."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Verdict(Record):
    """Whether a history state keeps up with a law, and up to what length it will do.

    Lengths are total lengths L in tokens, past and future together: the state is the one after L / ratio tokens.

    Attributes:
        outcome: "holds": the state grows at least as fast as the law, so the model can do at every length;
            "fails": it does not, and some length is too long for it; "holds_as_series": it does not, but at `length`
            this state suffices, so models of this kind do as a series that grows (paper, theorem 5.6); "undetermined":
            the interval of the law leaves it open.
        growth_probability: probability, under the interval of the exponent, that the state grows fast enough.
        length_probability: probability that the state suffices at `length` (None without a length); the share of the
            corners where it does, for a law without `draws`.
    """

    kind: ClassVar[str] = "verdict"

    law: Any
    state: HistoryState
    threshold: Threshold
    outcome: str
    growth_probability: float
    length: float | None = None
    length_probability: float | None = None
    x: str = "length"
    ratio: float = 2.0
    level: float = 0.95
    seed: int = 0

    def information(self, length: float) -> Bounded:
        """What the past of a text of this length tells about its future, by the law, in `unit`."""
        return self._bounded(self._information(_row(length))[:, 0] / (math.log(2) if self.unit == "bits" else 1.0))

    def held(self, length: float) -> float:
        """Numbers the state holds at total length `length`, as the empirical threshold counts them: no convolutions."""
        return float(self._available(_row(length)).item())

    def required_state(self, length: float) -> Bounded:
        """Numbers the history state needs at total length `length` by the empirical threshold, with its interval."""
        return self._bounded(self._required(_row(length))[:, 0])

    def provable_state(self, length: float) -> Bounded:
        """Fewest numbers that can hold the information at all: (I - ln M) / (mean bits per number * ln 2)."""
        at = _row(length)
        held = self.state.numbers(at / self.ratio, least=True).item()
        bits = self.state.numbers(at / self.ratio, least=True, bits=True).item() / held if held else self.state.bits
        return self._bounded(self._provable_bits(at)[:, 0].clip(min=0) / bits)

    @cached_property
    def sufficient_length(self) -> Bounded:
        """Longest length the state suffices for by the empirical threshold; infinite where it keeps ahead for good.

        A state of windows alone also has to reach back over the whole past: L / ratio <= `state.reach`.
        """
        return self._bounded(np.minimum(_crossing(self._required, self._available), self.ratio * self.state.reach))

    @cached_property
    def provable_length(self) -> Bounded:
        """Length beyond which the state provably cannot hold the information: I > bits ln 2 + ln M."""

        def bits(lengths: Floats) -> Floats:
            return self.state.numbers(lengths / self.ratio, least=True, bits=True)

        return self._bounded(_crossing(self._provable_bits, bits))

    @property
    def margin(self) -> Bounded | None:
        """Tokens between `length` and the longest length the state suffices for (negative: too long)."""
        if self.length is None:
            return None
        longest = self.sufficient_length
        return Bounded(longest - self.length, longest.low - self.length, longest.high - self.length)

    def explain(self) -> str:
        """The verdict in words and numbers."""
        state, resolved = self.state, _is_resolved(self.law)
        growth = {"linear": "like n", "logarithmic": "like log n", "constant": "not at all"}[state.growth]
        if state.growth == "constant" and state.windows:
            growth += f" past {state.saturation_length:,.0f} tokens"
        law = (
            "log L"
            if _is_logarithm(self.law)
            else _power_words(self.law, self.level)
            if resolved
            else "no law resolved"
        )
        lines = [
            f"{state.name}: the L²M condition {_OUTCOME_WORDS[self.outcome]}.",
            f"Growth: the information grows like {law}; the state grows {growth}. "
            f"Probability that it keeps up in the limit: {self.growth_probability:.3g}.",
            f"Longest length by {self.threshold.nats_per_number:g} {self.threshold.unit} per number ({self.threshold.source}): "
            f"{_tokens(self.sufficient_length)}.",
            f"Provable limit, every bit of the state used: {_tokens(self.provable_length)}.",
        ]
        if math.isfinite(state.reach):
            lines.append(f"Reach: nothing older than {state.reach:,.0f} tokens can be in the state, whatever its size.")
        fitted = getattr(self.law, "x", None)
        if fitted is not None:
            lines.append(
                f"The law was fitted for {'L' if self.x == 'length' else 'l'} from {np.min(fitted):,.0f} to "
                f"{np.max(fitted):,.0f}; beyond that it is extrapolated."
            )
        if self.length is not None:
            required, held = self.required_state(self.length), self.held(self.length)
            lines.append(
                f"At {self.length:,.0f} tokens: needs {short(float(required))} numbers ({100 * self.level:g} %: "
                f"{short(required.low)} to {short(required.high)}), holds {short(held)}; enough with probability "
                f"{self.length_probability:.3g}."
            )
        return "\n".join(lines)

    @cached_property
    def _parameters(self) -> Floats:
        """Draws of the law's parameters, one a row; the corners of their intervals where it cannot be drawn from.

        A power law: amplitude, exponent (, offset); a logarithm: slope, intercept.
        """
        if not _is_resolved(self.law):
            return np.empty((0, 3))
        if hasattr(self.law, "draws"):
            return np.asarray(self.law.draws(DRAWS, self.seed), dtype=np.float64)
        if _is_logarithm(self.law):
            return np.empty((0, 2))
        amplitudes, exponents = (self.law.interval(name, self.level) for name in ("amplitude", "exponent"))
        return np.array([(amplitude, exponent) for amplitude in amplitudes for exponent in exponents])

    def _information(self, lengths: Floats) -> Floats:
        """`Curves`: nats by the law; the first row is its estimate, the others its draws."""
        x = lengths / self.ratio if self.x == "split" else lengths
        best = np.broadcast_to(np.asarray(self.law.predict(x[:1]), dtype=np.float64), (1, x.shape[1]))
        x = x[1:] if len(x) > 1 else x
        first, second, *rest = (self._parameters[:, [i]] for i in range(self._parameters.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):
            others = first * np.log(x) + second if _is_logarithm(self.law) else first * x**second + sum(rest)
        # A law with one degree of freedom draws amplitudes beyond 1e308 with exponents as wild: 0 times infinity bounds nothing.
        others = np.where(np.isnan(others), np.inf, others)
        scale = math.log(2) if getattr(self.law, "unit", "nats") == "bits" else 1.0
        return scale * np.concatenate([best, others])

    def _required(self, lengths: Floats) -> Floats:
        """`Curves`: numbers required by the threshold, whose own uncertainty is drawn too."""
        return self._information(lengths) / self._nats_per_number

    @cached_property
    def _nats_per_number(self) -> Floats:
        threshold, rows = self.threshold.to("nats"), len(self._parameters)
        nats = np.full((rows + 1, 1), threshold.nats_per_number)
        if threshold.low is not None and threshold.high is not None:
            deviates = np.random.default_rng([self.seed, 1]).standard_normal((rows, 1))
            nats[1:] *= np.exp(deviates * math.log(threshold.high / threshold.low) / (2 * NORMAL_975))
        return nats

    def _provable_bits(self, lengths: Floats) -> Floats:
        """`Curves`: bits the state must have: what the last token itself tells (ln M) is not asked of it.

        Real-valued tokens have no M (the term would be infinite, the bound empty): count the last token into the state.
        """
        token = math.log(self.state.vocabulary) if self.state.vocabulary else 0.0
        return (self._information(lengths) - token) / math.log(2)

    def _available(self, lengths: Floats) -> Floats:
        # Convolution windows are left out, as in the paper's Fig. 3(c), where the threshold comes from.
        return self.state.numbers(lengths / self.ratio, least=True, parts=("attention", "recurrent"))

    def _bounded(self, values: Floats) -> Bounded:
        """First entry: the value at the law's estimate; the others: draws."""
        if not _is_resolved(self.law):
            return Bounded(values[0], 0.0, math.inf)
        tail = (1 - self.level) / 2
        low, high = np.quantile(_draws(values), [tail, 1 - tail], method="nearest")
        return Bounded(values[0], min(low, values[0]), max(high, values[0]))


_OUTCOME_WORDS = {
    "holds": "holds",
    "fails": "fails: as one model it falls behind at some length",
    "holds_as_series": "holds as a series: this state suffices at this length, longer ones need a larger model",
    "undetermined": "is undetermined: the intervals leave it open",
}


def condition(
    law: Any,
    model: Any,
    length: float | None = None,
    *,
    threshold: Threshold | float = PAPER_THRESHOLD,
    x: str | None = None,
    ratio: float | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Verdict:
    """Does the model's history state keep up with the law (L²M condition; paper theorems 5.2, 5.4 and 5.6)?

    Args:
        law: bipartite information as a function of x: anything with `predict`, `interval` and `kind` (see `Law`).
        model: what `l2m.history_state` takes, or a `HistoryState`.
        length: a total length L (past and future) to judge at; None judges the limit of long texts alone.
        threshold: nats one number of the state carries; a number, or a `Threshold` with interval and source.
        x: what the law's x counts: "length" (L) or "split" (l, the past alone). Default: `law.settings["x"]`, else
            "length".
        ratio: L / l. Default: `law.settings["ratio"]`, else 2.
        level: of all intervals; a probability above 1 - (1 - level)/2 (or below its complement) decides.
        seed: of the draws from the law.

    Raises:
        InputError: a law without the methods, with an exponent outside (0, 1); a bad length, threshold or x.
    """
    if not all(hasattr(law, name) for name in ("predict", "interval", "kind")):
        raise InputError(f"law: a {type(law).__name__}; expected a fitted law (predict, interval, kind)")
    settings = getattr(law, "settings", None) or {}
    x = settings.get("x", "length") if x is None else x
    if x not in ("length", "split"):
        raise InputError(f"x: {x!r}; expected 'length' or 'split'")
    ratio = float(settings.get("ratio", 2) if ratio is None else ratio)
    if not 1 < ratio < math.inf:
        raise InputError(f"ratio: {ratio:g}; expected L / l above 1")
    if not 0 < level < 1:
        raise InputError(f"level: {level!r}; expected within (0, 1)")
    if _is_resolved(law) and not _is_logarithm(law) and not 0 < _exponent(law) < 1:
        raise InputError(f"law: exponent {_exponent(law):.4g}; expected within (0, 1), as the paper's law has it")
    threshold = (threshold if isinstance(threshold, Threshold) else Threshold(float(threshold))).to("nats")
    if not 0 < threshold.nats_per_number < math.inf:
        raise InputError(f"threshold: {threshold.nats_per_number!r}; expected nats per number above 0")
    verdict = Verdict(law, history_state(model), threshold, "undetermined", 0.5, None, None, x, ratio, level, seed)
    at_length = None
    if length is not None:
        at = _row(length)
        enough = _draws(verdict._required(at)[:, 0]) <= verdict._available(at).item()
        at_length = float(np.mean(enough)) if length / ratio <= verdict.state.reach else 0.0
    if not _is_resolved(law):
        return dataclasses.replace(verdict, length=length, length_probability=None if length is None else 0.5)
    growth = _growth_probability(verdict)
    outcome = _decide(growth, level)
    if outcome == "fails" and at_length is not None:
        outcome = {"holds": "holds_as_series"}.get(_decide(at_length, level), _decide(at_length, level))
    return dataclasses.replace(
        verdict,
        outcome=outcome,
        growth_probability=growth,
        length=None if length is None else float(length),
        length_probability=at_length,
    )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Comparison(Record):
    """Verdicts on several models by one law, longest sufficient length first."""

    kind: ClassVar[str] = "comparison"

    verdicts: tuple[Verdict, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a model: outcome, state and bytes held, state required (at `length`), longest lengths, reach."""
        rows = []
        for verdict in self.verdicts:
            state, longest, proof = verdict.state, verdict.sufficient_length, verdict.provable_length
            row: dict[str, Any] = {
                "model": state.name,
                "family": state.family,
                "growth": state.growth,
                "outcome": verdict.outcome,
                "sufficient_length": float(longest),
                "sufficient_length_low": longest.low,
                "sufficient_length_high": longest.high,
                "provable_length": float(proof),
                "reach": state.reach,
            }
            if verdict.length is not None:
                at = _row(verdict.length) / verdict.ratio
                required = verdict.required_state(verdict.length)
                row |= {
                    "length": verdict.length,
                    "state": verdict.held(verdict.length),
                    "bytes": state.numbers(at, bits=True).item() / 8,
                    "required_state": float(required),
                    "required_state_low": required.low,
                    "required_state_high": required.high,
                    "probability": verdict.length_probability,
                }
            row["source"] = state.source
            rows.append(row)
        return rows

    def table(self) -> list[dict[str, str]]:
        """What people read of `rows`: one mapping a model, column -> text."""
        lines = []
        for verdict in self.verdicts:
            longest = verdict.sufficient_length
            line = {"model": verdict.state.name, "grows": verdict.state.growth}
            line["condition"] = verdict.outcome.replace("_", " ")
            if verdict.length is not None:
                line[f"needs at {short(verdict.length)}"] = short(float(verdict.required_state(verdict.length)))
                line["holds"] = short(verdict.held(verdict.length))
                line["probability"] = short(verdict.length_probability)
            line["enough up to L"] = short(float(longest))
            exact = longest.low == longest.high
            line[f"{100 * verdict.level:g} %"] = "" if exact else f"{short(longest.low)} to {short(longest.high)}"
            line["provably lost past"] = short(float(verdict.provable_length))
            line["reach"] = short(verdict.state.reach)
            lines.append(line)
        return lines

    def to_frame(self) -> Any:
        """`rows` as a pandas DataFrame."""
        return frame(self.rows())

    def plot(self, axes: Any = None, *, lengths: Sequence[float] | None = None) -> Any:
        """Required state against length with its interval, each model's state as a line, crossings marked; log-log.

        Args:
            axes: matplotlib axes to draw into; None makes a figure.
            lengths: first and last length shown; None: 64 to 16 times the longest finite crossing.
        """
        own = axes is None
        if own:
            from l2m.base.plots import new_axes

            axes = new_axes(6.8, 6)
        first = self.verdicts[0]
        crossings = [float(v.sufficient_length) for v in self.verdicts if 0 < v.sufficient_length < 1e12]
        low, high = lengths or (64.0, max([1e6, *(16 * crossing for crossing in crossings)]))
        grid = np.geomspace(low, high, 200)
        required = first._required(grid[None, :])
        tail = (1 - first.level) / 2
        if len(required) > 1:
            ends = np.quantile(required[1:], [tail, 1 - tail], axis=0)
            axes.fill_between(grid, *ends, color="black", alpha=0.15, linewidth=0)
        axes.loglog(grid, required[0], color="black", linewidth=2.5, label="required state")
        for number, verdict in enumerate(self.verdicts):
            style = {"color": f"C{number % 10}", "linestyle": ("-", "--", ":", "-.")[number // 10 % 4]}
            axes.loglog(grid, verdict._available(grid[None, :])[0], label=verdict.state.name, **style)
            crossing = float(verdict.sufficient_length)
            if low <= crossing <= high:
                axes.plot(crossing, verdict.held(crossing), "o", color=style["color"])
        axes.set_xlabel("length L, past and future (tokens)")
        axes.set_ylabel(f"numbers in the history state after L/{first.ratio:g} tokens")
        axes.set_xlim(low, high)
        if own:
            axes.figure.legend(loc="outside lower center", ncols=2 if len(self.verdicts) < 12 else 3, frameon=False)
        else:
            axes.legend()
        return axes

    def to_html(self, law: str = "") -> str:
        """One self-contained page: the figure, the table, every verdict in words; `law` describes the law."""
        from importlib.resources import files

        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup

        from l2m.base.plots import svg

        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        template = environment.from_string(files("l2m.states").joinpath("comparison.html.j2").read_text("utf-8"))
        return template.render(
            law=law,
            first=self.verdicts[0],
            figure=Markup(svg(self.plot().figure)),
            rows=self.table(),
            verdicts=self.verdicts,
        )


def compare_models(law: Any, models: Iterable[Any], length: float | None = None, **options: Any) -> Comparison:
    """`condition` for several models by one law, the one that suffices longest first.

    Args:
        models: what `l2m.history_state` takes, each.
        options: passed on to `condition`.

    Raises:
        InputError: as `condition`; no model at all.
    """
    verdicts = [condition(law, model, length, **options) for model in models]
    if not verdicts:
        raise InputError("models: none; expected at least one")
    order = {"holds": 0, "undetermined": 1, "holds_as_series": 2, "fails": 3}
    verdicts.sort(key=lambda v: (-float(v.sufficient_length), order[v.outcome], v.state.name))
    return Comparison(tuple(verdicts))


def _row(length: float) -> Floats:
    if not (isinstance(length, (int, float, np.number)) and not isinstance(length, bool) and 0 < length < LONGEST):
        raise InputError(f"length: {length!r}; expected a number of tokens above 0")
    return np.array([[float(length)]])


def _draws(values: Floats) -> Floats:
    """All but the first row, which is the estimate; the estimate where there are no draws."""
    return values[1:] if len(values) > 1 else values


def _decide(probability: float, level: float) -> str:
    tail = (1 - level) / 2
    return "holds" if probability >= 1 - tail else "fails" if probability <= tail else "undetermined"


def _is_logarithm(law: Any) -> bool:
    return "log" in law.kind


def _is_resolved(law: Any) -> bool:
    return bool(getattr(law, "resolved", True))


def _exponent(law: Any) -> float:
    exponent = getattr(law, "exponent", None)
    return float(np.mean(law.interval("exponent", 0.5))) if exponent is None else float(exponent)


def _growth_probability(verdict: Verdict) -> float:
    """Probability that the state grows at least as fast as the law: by its draws, else a normal of its interval."""
    if _is_logarithm(verdict.law):
        return 0.0 if verdict.state.growth == "constant" else 1.0
    growth = verdict.state.growth_exponent
    if hasattr(verdict.law, "draws"):
        return float(np.mean(verdict._parameters[:, 1] <= growth))
    low, high = verdict.law.interval("exponent", 0.95)
    distance, spread = growth - _exponent(verdict.law), (high - low) / (2 * NORMAL_975)
    return 0.5 * math.erfc(-distance / spread / math.sqrt(2)) if spread > 0 else float(distance >= 0)


def _crossing(required: Curves, available: Curves) -> Floats:
    """Per row, the longest length at which required <= available: 0 if none, infinity if it lasts beyond 1e300."""
    grid = np.exp2(np.arange(0, math.log2(LONGEST)))
    with np.errstate(over="ignore"):
        enough = required(grid[None, :]) <= available(grid[None, :])
    last = np.where(enough.any(axis=1), enough.shape[1] - 1 - np.argmax(enough[:, ::-1], axis=1), -1)
    low, high = grid[np.maximum(last, 0)], grid[np.minimum(last + 1, len(grid) - 1)]
    for _ in range(55):
        middle = np.exp2((np.log2(low) + np.log2(high)) / 2)
        fits = (required(middle[:, None]) <= available(middle[:, None]))[:, 0]
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return np.where(last < 0, 0.0, np.where(last == len(grid) - 1, np.inf, low))


def _power_words(law: Any, level: float) -> str:
    low, high = law.interval("exponent", level)
    return f"L^{_exponent(law):.3g} ({100 * level:g} %: {low:.3g} to {high:.3g})"


def _tokens(value: Bounded) -> str:
    words = f"{short(float(value))} tokens" if math.isfinite(value) else "no limit"
    return words if value.low == value.high else f"{words} ({short(value.low)} to {short(value.high)})"
