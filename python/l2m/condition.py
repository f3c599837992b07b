"""The L²M condition: does a model's history state grow as fast as the information a law says the data carry?

Three tiers (paper section 5): the growth exponent; the bound that bits prove; the nats that one number of a state was
seen to carry. The first decides the outcome; the last gives the lengths a designer plans with.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.errors import InputError
from l2m.history_state import HistoryState, history_state
from l2m.records import Record

DRAWS = 2_000
LONGEST = 1e300


class Law(Protocol):
    """What `condition` needs of a law: information in nats predicted at x, and intervals of its parameters.

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
        length_probability: probability that the state suffices at `length` (None without a length).
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
        """Nats the past of a text of this length holds about its future, by the law."""
        curves = _curves(self)(np.array([self._length(length)]))
        return self._bounded(curves[:, 0])

    def required_state(self, length: float) -> Bounded:
        """Numbers the history state needs at total length `length` by the empirical threshold, with its interval."""
        required = _required(self)(np.array([self._length(length)]))
        return self._bounded(required[:, 0])

    def provable_state(self, length: float) -> Bounded:
        """Fewest numbers that can hold the information at all: (I - ln M) / (mean bits per number * ln 2)."""
        length = self._length(length)
        held = self.state.numbers(length / self.ratio, least=True)
        bits = self.state.numbers(length / self.ratio, least=True, bits=True) / held if held else self.state.bits
        curves = _curves(self)(np.array([length]))[:, 0]
        return self._bounded(np.maximum(curves - _token_nats(self.state), 0) / (bits * math.log(2)))

    @property
    def sufficient_length(self) -> Bounded:
        """Longest length the state suffices for by the empirical threshold; infinite where the state keeps ahead."""
        return self._bounded(_crossing(_required(self), self._available))

    @property
    def provable_length(self) -> Bounded:
        """Length beyond which the state provably cannot hold the information: I > bits ln 2 + ln M."""
        curves = _curves(self)
        return self._bounded(
            _crossing(
                lambda lengths: (curves(lengths) - _token_nats(self.state)) / math.log(2),
                lambda lengths: self.state.numbers(lengths / self.ratio, least=True, bits=True),
            )
        )

    @property
    def margin(self) -> Bounded | None:
        """Tokens between `length` and the longest length the state suffices for (negative: too long)."""
        if self.length is None:
            return None
        longest = self.sufficient_length
        return Bounded(longest - self.length, longest.low - self.length, longest.high - self.length)

    def explain(self) -> str:
        """The verdict in words and numbers."""
        state, percent = self.state, f"{100 * self.level:g} %"
        growth = {"linear": "like n", "logarithmic": "like log n", "constant": "not at all"}[state.growth]
        if state.growth == "constant" and state.windows:
            growth += f" past {state.saturation_length:,.0f} tokens"
        law = "log L" if _is_logarithm(self.law) else _power_words(self.law, self.level)
        lines = [
            f"{state.name}: the L²M condition {_OUTCOME_WORDS[self.outcome]}.",
            f"Growth: the information grows like {law}; the state grows {growth}. "
            f"Probability that it keeps up in the limit: {self.growth_probability:.3g}.",
            f"Longest length by {self.threshold.nats_per_number:g} nats per number ({self.threshold.source}): "
            f"{_tokens(self.sufficient_length)}.",
            f"Provable limit at {state.bits:g} bits a number: {_tokens(self.provable_length)}.",
        ]
        if self.length is not None:
            held = float(self._available(np.array([self.length]))[0])
            required = self.required_state(self.length)
            lines.append(
                f"At {self.length:,.0f} tokens: needs {required:,.0f} numbers ({percent}: {required.low:,.0f} to "
                f"{required.high:,.0f}), holds {held:,.0f}; enough with probability {self.length_probability:.3g}."
            )
        return "\n".join(lines)

    def _available(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        # Convolution windows are left out, as in the paper's Fig. 3(c), where the threshold comes from.
        return self.state.numbers(lengths / self.ratio, least=True, parts=("attention", "recurrent"))

    def _length(self, length: float) -> float:
        if not (isinstance(length, (int, float, np.number)) and 0 < length < LONGEST):
            raise InputError(f"length: {length!r}; expected a number of tokens above 0")
        return float(length)

    def _bounded(self, draws: NDArray[np.float64]) -> Bounded:
        """First entry: the value at the law's estimate; the others: draws."""
        tail = (1 - self.level) / 2
        low, high = np.quantile(draws, [tail, 1 - tail], method="nearest")
        return Bounded(draws[0], min(low, draws[0]), max(high, draws[0]))


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
        law: bipartite information in nats as a function of x: anything with `predict`, `interval` and `kind`.
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
    if not ratio > 1:
        raise InputError(f"ratio: {ratio:g}; expected L / l above 1")
    if not 0 < level < 1:
        raise InputError(f"level: {level!r}; expected within (0, 1)")
    if not _is_logarithm(law) and not 0 < _exponent(law) < 1:
        raise InputError(
            f"law: exponent {_exponent(law):.4g}; expected within (0, 1), as bipartite information of text grows"
        )
    if not isinstance(threshold, Threshold):
        threshold = Threshold(float(threshold))
    threshold = threshold.to("nats")
    if not 0 < threshold.nats_per_number < math.inf:
        raise InputError(f"threshold: {threshold.nats_per_number!r}; expected nats per number above 0")
    verdict = Verdict(
        law=law,
        state=history_state(model),
        threshold=threshold,
        outcome="undetermined",
        growth_probability=0.0,
        x=x,
        ratio=ratio,
        level=level,
        seed=seed,
    )
    growth = _growth_probability(verdict)
    at_length = None
    if length is not None:
        length = verdict._length(length)
        required = _required(verdict)(np.array([length]))[:, 0]
        at_length = float(np.mean(required <= verdict._available(np.array([length]))[0]))
    outcome = _decide(growth, level)
    if outcome == "fails" and at_length is not None:
        outcome = {"holds": "holds_as_series"}.get(_decide(at_length, level), _decide(at_length, level))
    return dataclasses.replace(
        verdict, outcome=outcome, growth_probability=growth, length=length, length_probability=at_length
    )


def _decide(probability: float, level: float) -> str:
    tail = (1 - level) / 2
    return "holds" if probability >= 1 - tail else "fails" if probability <= tail else "undetermined"


def _is_logarithm(law: Any) -> bool:
    return "log" in law.kind


def _exponent(law: Any) -> float:
    exponent = getattr(law, "exponent", None)
    return float(np.mean(law.interval("exponent", 0.5))) if exponent is None else float(exponent)


def _growth_probability(verdict: Verdict) -> float:
    """Probability that the state grows at least as fast as the law."""
    growth = verdict.state.growth
    if _is_logarithm(verdict.law):
        return 0.0 if growth == "constant" else 1.0
    law, exponent = verdict.law, _exponent(verdict.law)
    low, high = law.interval("exponent", 0.95)
    spread = (high - low) / (2 * 1.959964)
    distance = verdict.state.growth_exponent - exponent
    if spread <= 0:
        return float(distance >= 0)
    return 0.5 * math.erfc(-distance / spread / math.sqrt(2))


def _curves(verdict: Verdict) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Lengths -> information, (1 + draws, lengths): the first row from the estimate, the others from draws."""
    law, divisor = verdict.law, verdict.ratio if verdict.x == "split" else 1.0
    scale = math.log(2) if getattr(law, "unit", "nats") == "bits" else 1.0
    rows: list[Callable[[NDArray[np.float64]], Any]] = [law.predict]
    corners = _corners(law, verdict.level)

    def curves(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        at = lengths / divisor
        values = [np.asarray(row(at), dtype=np.float64) for row in rows]
        values += [amplitude * at**exponent for amplitude, exponent in corners]
        return scale * np.stack(values)

    return curves


def _corners(law: Any, level: float) -> list[tuple[float, float]]:
    """Parameters at the corners of their intervals: wider than their joint interval, never narrower."""
    if _is_logarithm(law):
        return []
    return [(a, b) for a in law.interval("amplitude", level) for b in law.interval("exponent", level)]


def _required(verdict: Verdict) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Lengths -> numbers required, one row per row of `_curves`."""
    curves, threshold = _curves(verdict), verdict.threshold
    return lambda lengths: curves(lengths) / threshold.nats_per_number


def _crossing(
    required: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    available: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Per row, the longest length at which required <= available: 0 if none, infinity if it lasts beyond 1e300."""
    grid = np.exp2(np.arange(0, math.log2(LONGEST), 0.25))
    with np.errstate(over="ignore"):
        enough = required(grid) <= available(grid)
    rows = np.arange(len(enough))
    last = np.where(enough.any(axis=1), enough.shape[1] - 1 - np.argmax(enough[:, ::-1], axis=1), -1)
    low, high = grid[np.maximum(last, 0)], grid[np.minimum(last + 1, len(grid) - 1)]
    for _ in range(50):
        middle = np.exp2((np.log2(low) + np.log2(high)) / 2)
        fits = required(middle)[rows, rows] <= available(middle)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return np.where(last < 0, 0.0, np.where(last == len(grid) - 1, np.inf, low))


def _token_nats(state: HistoryState) -> float:
    """ln M: what the last token itself tells, beside the state (0 where tokens are real-valued: no bound follows)."""
    return math.log(state.vocabulary) if state.vocabulary else 0.0


def _power_words(law: Any, level: float) -> str:
    low, high = law.interval("exponent", level)
    return f"L^{_exponent(law):.3g} ({100 * level:g} %: {low:.3g} to {high:.3g})"


def _tokens(value: Bounded) -> str:
    def words(tokens: float) -> str:
        return "no limit" if math.isinf(tokens) else f"{tokens:,.0f}" if tokens < 1e15 else f"{tokens:.1e}"

    if value.low == value.high:
        return f"{words(value)}" + ("" if math.isinf(value) else " tokens")
    return f"{words(value)} tokens ({words(value.low)} to {words(value.high)})"
