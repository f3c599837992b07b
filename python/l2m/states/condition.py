"""The L²M condition: does a model's history state grow as fast as the information a law says the data carry?

Three tiers (paper section 5): the growth exponent; the bound that bits prove; the nats that one number of a state
carries, in trained models and in the best linear states. The first decides the outcome; the last gives the lengths a
designer plans with.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base import checks
from l2m.base.numbers import short
from l2m.base.records import Record
from l2m.errors import InputError
from l2m.states.history_state import HistoryState, history_state
from l2m.states.law import exponent_of, is_logarithm, is_resolved, power_words, require_law
from l2m.states.threshold import FRONTIER_THRESHOLD, PAPER_THRESHOLD, Threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWS = 2_000
LONGEST = 1e300
"""Crossings are sought up to this length; one that lies beyond counts as infinite."""
GRID = np.exp2(np.arange(0, math.log2(LONGEST)))[None, :]
"""Lengths between which crossings are sought first."""
LONGEST_ASKED = 1e18
OUTCOMES = {
    "holds": "passes",
    "fails": "fails on long texts",
    "holds_as_series": "enough at this length",
    "undetermined": "undetermined",
}
"""The outcomes, and what a table says for them."""
COUNTED_PARTS = ("attention", "recurrent")
COUNTED = "attention caches and recurrent states after length / ratio tokens; convolution windows are left out"
"""What a state's numbers are, wherever one is set against a law: `COUNTED_PARTS`, as the thresholds were measured."""
NORMAL_975 = 1.959964

Floats = NDArray[np.float64]
Curves = Callable[[Floats], Floats]
"""Lengths, (1, lengths) for every row alike or (rows, 1) one for each -> values, (rows, lengths)."""


class Law(Protocol):
    """What `condition` needs of a law: information predicted at x, and intervals of its parameters.

    The kind "logarithm" grows like log x, every other like x**exponent. Where the law also has `draws(n, seed)`, its
    parameters are drawn jointly; else the corners of their intervals are taken, which is wider.
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

    @property
    def exact(self) -> bool:
        """Whether the interval is the number itself."""
        return self.low == float(self) == self.high

    def scaled(self, factor: float) -> "Bounded":
        """The number and its interval times `factor`."""
        return Bounded(factor * self, factor * self.low, factor * self.high)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Verdict(Record):
    """Whether a history state keeps up with a law, and up to what length it is large enough.

    Lengths are total lengths L in tokens, past and future together: the state is the one after L / ratio tokens.

    Attributes:
        outcome: "holds": the state grows at least as fast as the law, so it can be large enough at every length;
            "fails": it does not, and some length is too long for it; "holds_as_series": it does not, but at `length`
            this state is large enough, so models of this kind are as a series that grows (paper, theorem 5.6);
            "undetermined": the interval of the law leaves it open.
        growth_probability: probability, under the interval of the exponent, that the state grows fast enough.
        length_probability: probability that the state suffices at `length` (None without a length); the share of the
            corners where it does, for a law without `draws`; 0 where the model has no positions for such a text.
        threshold: what a number of the state carries in practice; decides `required_state` and `sufficient_length`, and
            the outcome at `length`.
        frontier: what it carries in the best linear states of the Gaussian language; decides `frontier_state` and
            `frontier_length`, and no outcome.
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
    frontier: Threshold = FRONTIER_THRESHOLD

    def __post_init__(self) -> None:
        checks.one_of("outcome", self.outcome, OUTCOMES)
        checks.one_of("x", self.x, ("length", "split"))
        checks.real("ratio", self.ratio, 1, above=True)
        if checks.real("level", self.level, 0, above=True) >= 1:
            raise InputError(f"level: {self.level!r}; expected within (0, 1)")
        checks.seed(self.seed)
        if self.length is not None:
            checks.real("length", self.length, 0, LONGEST_ASKED, above=True)
        if not isinstance(self.state, HistoryState) or not isinstance(self.threshold, Threshold):
            raise InputError("verdict: no history state with a threshold; expected both")
        if not isinstance(self.frontier, Threshold):
            raise InputError(f"frontier: {type(self.frontier).__name__}; expected a threshold")
        # A verdict in bits that was saved before there was this field is loaded with the default, which is in nats.
        object.__setattr__(self, "frontier", self.frontier.to(self.unit))
        require_law(self.law)

    def _brief(self) -> str:
        return f"{self.state.name} {self.headline}"

    def row(self) -> dict[str, Any]:
        """The verdict as a row of a table: outcome, state and bytes held, state required (at `length`), longest lengths, reach."""
        state, longest = self.state, self.sufficient_length
        row: dict[str, Any] = {
            "model": state.name,
            "family": state.family,
            "growth": state.growth,
            "outcome": self.outcome,
            "sufficient_length": float(longest),
            "sufficient_length_low": longest.low,
            "sufficient_length_high": longest.high,
            "frontier_length": float(self.frontier_length),
            "provable_length": float(self.provable_length),
            "reach": state.reach,
        }
        if self.length is not None:
            required = self.required_state(self.length)
            row |= {
                "length": self.length,
                "state": self.held(self.length),
                "bytes": self.held_bytes(self.length),
                "state_counts": COUNTED,
                "beyond_positions": self.beyond_positions,
                "required_state": float(required),
                "required_state_low": required.low,
                "required_state_high": required.high,
                "frontier_state": float(self.frontier_state(self.length)),
                "probability": self.length_probability,
            }
        return row | {"positions": state.positions, "source": state.source}

    def columns(self) -> dict[str, NDArray[Any]]:
        """`row`, by column."""
        return {name: np.array([value]) for name, value in self.row().items()}

    def plot(self, axes: "Axes | None" = None, *, lengths: Sequence[float] | None = None) -> "Axes":
        """Required state against length with its interval, and the state of the model; log-log.

        Args:
            axes: matplotlib axes to draw into; None makes a figure.
            lengths: first and last length shown; None: 64 to 16 times the length at which they cross.
        """
        from l2m.states.figure import draw_states

        return draw_states([self], axes, lengths=lengths)

    def information(self, length: float) -> Bounded:
        """What the past of a text of this length tells about its future by the law, in `unit` (nats, or bits)."""
        return self._bounded(self._information(_row(length))[:, 0]).scaled(1 / _nats_in(self.unit))

    def held(self, length: float) -> float:
        """Numbers the state holds at total length `length`, as `COUNTED` says."""
        return float(self.available_curve(_row(length)).item())

    def held_bytes(self, length: float) -> float:
        """Bytes of the numbers of `held`."""
        at = _row(length) / self.ratio
        return float(self.state.numbers(at, least=True, parts=COUNTED_PARTS, bits=True).item()) / 8

    def required_state(self, length: float) -> Bounded:
        """Numbers the history state needs at total length `length` by the empirical threshold, with its interval."""
        return self._bounded(self.required_curve(_row(length))[:, 0])

    def frontier_state(self, length: float) -> Bounded:
        """Numbers the best linear state needs at total length `length`, by `frontier`, with the interval of the law."""
        return self._bounded(self._needed(self.frontier, _row(length))[:, 0])

    def provable_state(self, length: float) -> Bounded:
        """Fewest numbers that can hold the information at all: (I - ln M) / (mean bits per number * ln 2)."""
        at = _row(length)
        held = self.state.numbers(at / self.ratio, least=True).item()
        bits = self.state.numbers(at / self.ratio, least=True, bits=True).item() / held if held else self.state.bits
        return self._bounded(self._provable_bits(at)[:, 0].clip(min=0) / bits)

    @property
    def sufficient_length(self) -> Bounded:
        """Longest length at which the state is large enough by the empirical threshold; infinite where it always is.

        A state of windows alone also has to reach back over the whole past: L / ratio <= `state.reach`.
        """
        return self._longest[0]

    @property
    def frontier_length(self) -> Bounded:
        """Longest length at which the state would be large enough if it were used as well as the best linear state."""
        return self._longest[1]

    @property
    def provable_length(self) -> Bounded:
        """Length beyond which the state provably cannot hold the information: I > bits ln 2 + ln M."""
        return self._longest[2]

    @cached_property
    def _longest(self) -> tuple[Bounded, Bounded, Bounded]:
        """By the empirical threshold, by the frontier and provably: together, since the law's draws on the grid take the time."""

        def held(threshold: Threshold) -> Curves:
            return lambda lengths: self._nats_per_number(threshold) * self.available_curve(lengths)

        def provable(lengths: Floats) -> Floats:
            bits = self.state.numbers(lengths / self.ratio, least=True, bits=True)
            return bits * math.log(2) + self._last_token

        on_grid = self._information(GRID)
        reach = self.ratio * self.state.reach
        practice, optimum, bound = (
            _crossing(self._information, on_grid, limit)
            for limit in (held(self.threshold), held(self.frontier), provable)
        )
        return (
            self._bounded(np.minimum(practice, reach)),
            self._bounded(np.minimum(optimum, reach)),
            self._bounded(bound),
        )

    @property
    def margin(self) -> Bounded | None:
        """Tokens between `length` and the longest length at which the state is large enough (negative: too long)."""
        if self.length is None:
            return None
        longest = self.sufficient_length
        return Bounded(longest - self.length, longest.low - self.length, longest.high - self.length)

    @property
    def headline(self) -> str:
        """The outcome in a phrase, to follow a name: "fixed memory: enough up to 329 k tokens (95 %: 112 k to 909 k)"."""
        if not is_resolved(self.law):
            return "undetermined: no law is resolved"
        if self.beyond_positions:
            return f"cannot read {self.length:,.0f} tokens: it has {self.state.positions:,} positions"
        longest, memory = self.sufficient_length, self.memory
        interval = "" if longest.exact else f" ({self._interval(longest)})"
        tokens = f"{short(float(longest)) if math.isfinite(longest) else '1e+300'} tokens"
        endless = math.isinf(longest) and self.outcome not in ("fails", "holds_as_series")
        enough = (
            "enough at any length" if endless else f"enough up to {tokens}" if longest else "too small at every length"
        )
        if self.outcome == "holds":
            return f"passes: {memory}, {enough}{interval}"
        if self.outcome == "undetermined":
            return f"undetermined, the law leaves open whether its memory keeps up: {enough}{interval}"
        if self.outcome == "fails":
            return f"{memory}: {enough}{interval}"
        return (
            f"{memory}: enough at {short(self.length)} tokens; texts longer than {tokens}{interval} need a larger model"
        )

    @property
    def law_words(self) -> str:
        """How the law says the information grows."""
        if not is_resolved(self.law):
            return "no law resolved"
        return f"the information grows like {'log L' if is_logarithm(self.law) else power_words(self.law, self.level)}"

    @property
    def memory(self) -> str:
        """How the state grows, in words."""
        state = self.state
        if state.growth == "linear":
            return "its memory grows with the text"
        if state.growth == "logarithmic":
            return "its memory grows with the logarithm of the length"
        if state.growth == "power":
            return f"its memory grows like n^{state.growth_exponent:.3g}"
        return f"memory fixed from {state.saturation_length:,.0f} tokens on" if state.windows else "fixed memory"

    @property
    def beyond_positions(self) -> bool:
        """Whether `length` is longer than the text that the model has positions for."""
        return self.length is not None and self.state.positions is not None and self.length > self.state.positions

    def explain(self) -> str:
        """The verdict in words and numbers."""
        state = self.state
        growth = "does not grow" if state.growth == "constant" else state.growth_words
        if state.growth == "constant" and state.windows:
            growth += f" beyond {state.saturation_length:,.0f} tokens"
        lines = [
            f"{state.name}, L²M condition: {self.headline}.",
            f"Growth: {self.law_words}; the state {growth}. "
            f"It keeps up at every length in {100 * self.growth_probability:.3g} % of the draws from the law's interval.",
            f"Enough at {self.threshold.words}: {self._up_to(self.sufficient_length)}.",
            f"At the optimum of linear states, {self.frontier.words}: {self._up_to(self.frontier_length)}.",
            f"Provable limit, if every bit of the state is used: {self._up_to(self.provable_length)}.",
        ]
        if math.isfinite(state.reach):
            lines.append(f"Reach: nothing older than {state.reach:,.0f} tokens can be in the state, whatever its size.")
        fitted = getattr(self.law, "x", None)
        if fitted is not None and np.size(fitted):
            lines.append(
                f"The law was fitted for {'L' if self.x == 'length' else 'l'} from {np.min(fitted):,.0f} to "
                f"{np.max(fitted):,.0f}; beyond that it is extrapolated."
            )
        if self.length is not None:
            required, held = self.required_state(self.length), self.held(self.length)
            needs = f"At {self.length:,.0f} tokens it needs {short(float(required))} numbers"
            if not required.exact:
                needs += f" ({self._interval(required, 'no limit')})"
            enough = f"has {short(held)}: {self.share_words}"
            lines.append(f"{needs} and {f'would have {short(held)}' if self.beyond_positions else enough}.")
            lines.append(f"{self.needs}.")
        if self.beyond_positions:
            lines.append(f"The model has {state.positions:,} positions: it cannot read {self.length:,.0f} tokens.")
        return "\n".join(lines)

    @property
    def share_words(self) -> str:
        """In how many draws the state is large enough at `length`, and what that share leaves out."""
        error = "included" if self.threshold.low is not None else "not included"
        return (
            f"enough in {100 * (self.length_probability or 0):.3g} % of the draws from the law's interval (the error of the "
            f"{self.threshold.nats_per_number:.3g} {self.threshold.unit} per number is {error})"
        )

    @property
    def needs(self) -> str:
        """Both thresholds in a phrase, and with a `length` the numbers needed there; the same for every model of a law."""
        practice, optimum = self.threshold, self.frontier
        reached = "at what trained Mambas reach" if practice.source == PAPER_THRESHOLD.source else "by the threshold"
        kl = "" if optimum.tolerance is None else f" at a KL of {optimum.tolerance:.3g}"
        best = f"({optimum.nats_per_number:.3g} {optimum.unit} a number{kl})"
        taken = f"({practice.nats_per_number:.3g}; {practice.source}), which decides"
        if self.length is None:
            return f"Large enough: at the optimum {best}, {reached} {taken}"
        numbers = [short(float(state(self.length))) for state in (self.frontier_state, self.required_state)]
        return f"Needed at {self.length:,.0f} tokens: at the optimum {numbers[0]} numbers {best}, {reached} {numbers[1]} {taken}"

    def _interval(self, value: Bounded, endless: str = "any length") -> str:
        """`95 %: 112 k to 909 k`."""
        high = short(value.high) if math.isfinite(value.high) else endless
        return f"{100 * self.level:g} %: {short(value.low)} to {high}"

    def _up_to(self, value: Bounded) -> str:
        words = f"up to {short(float(value))} tokens" if math.isfinite(value) else "at every length"
        return words if value.exact else f"{words} ({self._interval(value)})"

    @cached_property
    def _parameters(self) -> Floats:
        """Draws of the law's parameters, one a row; the corners of their intervals where it cannot be drawn from.

        A power law: amplitude, exponent (, offset); a logarithm: slope, intercept.
        """
        if not is_resolved(self.law):
            return np.empty((0, 3))
        if hasattr(self.law, "draws"):
            return np.asarray(self.law.draws(DRAWS, self.seed), dtype=np.float64)
        if is_logarithm(self.law):
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
            others = first * np.log(x) + second if is_logarithm(self.law) else first * x**second + sum(rest)
        # A law with one degree of freedom draws amplitudes beyond 1e308 with exponents as wild: 0 times infinity bounds nothing.
        others = np.where(np.isnan(others), np.inf, others)
        return _nats_in(getattr(self.law, "unit", "nats")) * np.concatenate([best, others])

    def required_curve(self, lengths: Floats) -> Floats:
        """`Curves`: numbers required by the threshold, whose own uncertainty is drawn too."""
        return self._needed(self.threshold, lengths)

    def _needed(self, threshold: Threshold, lengths: Floats) -> Floats:
        return self._information(lengths) / self._nats_per_number(threshold)

    def _nats_per_number(self, threshold: Threshold) -> Floats:
        rows = len(self._parameters)
        nats = np.full((rows + 1, 1), threshold.nats_per_number)
        if threshold.low is not None and threshold.high is not None:
            deviates = np.random.default_rng([self.seed, 1]).standard_normal((rows, 1))
            nats[1:] *= np.exp(deviates * math.log(threshold.high / threshold.low) / (2 * NORMAL_975))
        return _nats_in(threshold.unit) * nats

    def _provable_bits(self, lengths: Floats) -> Floats:
        """`Curves`: bits the state must have: what the last token itself tells is not asked of it."""
        return (self._information(lengths) - self._last_token) / math.log(2)

    @property
    def _last_token(self) -> float:
        """ln M, nats. Real-valued tokens have no M (it would be infinite, the bound empty): the state holds the last one too."""
        return math.log(self.state.vocabulary) if self.state.vocabulary else 0.0

    def available_curve(self, lengths: Floats) -> Floats:
        """`Curves`: numbers in the state, as the empirical threshold counts them."""
        # Convolution windows are left out, as in the paper's Fig. 3(c), where the threshold comes from.
        return self.state.numbers(lengths / self.ratio, least=True, parts=COUNTED_PARTS)

    def _bounded(self, values: Floats) -> Bounded:
        """First entry: the value at the law's estimate; the others: draws."""
        if not is_resolved(self.law):
            return Bounded(values[0], 0.0, math.inf)
        tail = (1 - self.level) / 2
        low, high = np.quantile(_draws(values), [tail, 1 - tail], method="nearest")
        return Bounded(values[0], min(low, values[0]), max(high, values[0]))


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
        threshold: nats one number of the state carries; a number, or a `Threshold` with interval and source. The default
            is what the paper's trained Mambas reach; what the best linear state needs is reported with it.
        x: what the law's x counts: "length" (L) or "split" (l, the past alone). Default: `law.settings["x"]`, else
            "length".
        ratio: L / l. Default: `law.settings["ratio"]`, else 2.
        level: of all intervals; a probability above 1 - (1 - level)/2 (or below its complement) decides.
        seed: of the draws from the law.

    Returns:
        The verdict; `.explain()` says it in words.

    Raises:
        InputError: a law without the methods, with an exponent outside (0, 1); a bad length, threshold or x.

    Example:
        >>> law = l2m.fit_power_law([16, 64, 256, 1024], [19, 54, 153, 440])
        >>> l2m.condition(law, 'mamba-130m', length=4096)
        Verdict(state-spaces/mamba-130m fixed memory: enough at 4,096 tokens; texts longer than 343 k tokens (95 %: 321 k to 369 k) need a larger model)
    """
    require_law(law)
    settings = getattr(law, "settings", None) or {}
    x = checks.one_of("x", settings.get("x", "length") if x is None else x, ("length", "split"))
    ratio = checks.real("ratio", settings.get("ratio", 2) if ratio is None else ratio, 1, above=True)
    if checks.real("level", level, 0, above=True) >= 1:
        raise InputError(f"level: {level!r}; expected within (0, 1)")
    seed = checks.seed(seed)
    if length is not None:
        checks.real("length", length, 0, LONGEST_ASKED, above=True)
    if is_resolved(law) and not is_logarithm(law) and not 0 < exponent_of(law) < 1:
        raise InputError(f"law: exponent {exponent_of(law):.4g}; expected within (0, 1), as the paper's law has it")
    threshold = (
        threshold if isinstance(threshold, Threshold) else Threshold(checks.real("threshold", threshold, 0, above=True))
    ).to("nats")
    verdict = Verdict(law, history_state(model), threshold, "undetermined", 0.5, None, None, x, ratio, level, seed)
    at_length = None
    if length is not None:
        at = _row(length)
        enough = _draws(verdict.required_curve(at)[:, 0]) <= verdict.available_curve(at).item()
        readable = verdict.state.positions is None or length <= verdict.state.positions
        at_length = float(np.mean(enough)) if readable and length / ratio <= verdict.state.reach else 0.0
    if not is_resolved(law):
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


def _nats_in(unit: str) -> float:
    """Nats in one nat or bit."""
    return math.log(2) if unit == "bits" else 1.0


def _row(length: float) -> Floats:
    return np.array([[checks.real("length", length, 0, LONGEST, above=True)]])


def _draws(values: Floats) -> Floats:
    """All but the first row, which is the estimate; the estimate where there are no draws."""
    return values[1:] if len(values) > 1 else values


def _decide(probability: float, level: float) -> str:
    tail = (1 - level) / 2
    return "holds" if probability >= 1 - tail else "fails" if probability <= tail else "undetermined"


def _growth_probability(verdict: Verdict) -> float:
    """Probability that the state grows at least as fast as the law: by its draws, else a normal of its interval."""
    if is_logarithm(verdict.law):
        return 0.0 if verdict.state.growth == "constant" else 1.0
    growth = verdict.state.growth_exponent
    if hasattr(verdict.law, "draws"):
        return float(np.mean(verdict._parameters[:, 1] <= growth))
    low, high = verdict.law.interval("exponent", 0.95)
    distance, spread = growth - exponent_of(verdict.law), (high - low) / (2 * NORMAL_975)
    return 0.5 * math.erfc(-distance / spread / math.sqrt(2)) if spread > 0 else float(distance >= 0)


def _crossing(information: Curves, on_grid: Floats, limit: Curves) -> Floats:
    """Per row, the longest length at which information <= limit: 0 if none, infinity if it lasts beyond 1e300.

    Args:
        on_grid: `information(GRID)`.
    """
    grid = GRID[0]
    with np.errstate(over="ignore"):
        enough = on_grid <= limit(GRID)
    last = np.where(enough.any(axis=1), enough.shape[1] - 1 - np.argmax(enough[:, ::-1], axis=1), -1)
    low, high = grid[np.maximum(last, 0)], grid[np.minimum(last + 1, len(grid) - 1)]
    for _ in range(55):
        middle = np.exp2((np.log2(low) + np.log2(high)) / 2)
        fits = (information(middle[:, None]) <= limit(middle[:, None]))[:, 0]
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return np.where(last < 0, 0.0, np.where(last == len(grid) - 1, np.inf, low))
