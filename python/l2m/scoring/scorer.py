"""What scoring asks of a source of log-probabilities, and how its answers are checked."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from l2m.errors import InputError

# Largest difference, in nats, that the self-test takes for rounding. A state that is lost costs whole nats; float32 over
# 30 layers leaves 2e-5; bfloat16 keeps 8 bits, so a logit near 20 is known to 0.1. In float64 many models still compute norms
# and scans in float32: Zamba2 of 4 layers leaves 1.4e-5.
TOLERANCE = {"float64": 1e-4, "float32": 5e-4, "float16": 0.1, "bfloat16": 0.75}
# Bits of a number's significand, the leading one included.
_PRECISION = {"float64": 24, "float32": 24, "float16": 11, "bfloat16": 8}  # all are stored as float32


class Scorer(Protocol):
    """A source of log-probabilities: a language model, or anything else with this one method.

    Optional attributes:
        settings: a JSON-ready mapping that tells stores of different scorers apart, with "name" and, where its numbers are
            not float64, "dtype". Default: the name of the class.
        vocab_size: token ids it knows are below this.
        context: the longest input, in tokens; None for no limit.
        sliding_window: tokens that attention reaches back.
        platform: what it runs on, JSON-ready.
        token_budget(): tokens that one call should hold.
        begin(position): the state from which a marginal pass scores a Y that begins at `position` of the window, for sources
            that are not the same everywhere.
        source: a `ModelSource`, whose tokenizer turns the ids into text.
        state_is_ids: a state is nothing but the ids read so far, (batch, n).
        log_prob_and_entropy(tokens, state): what `log_prob` returns, and between the two the entropy of each prediction in nats,
            (batch, n): - sum of q log q over the vocabulary (of a density, its differential entropy). Runs that keep the
            entropy call it for the conditional pass.
        windows_at_once: windows that should run side by side. A source that waits for others names it: several such groups
            then run in threads.
        self_test(windows, cuts): its own test before scoring, in place of `l2m.scoring.self_test`.
        stop(), resume(): end whatever waits for an answer; take work again.
        plain(tokens): `log_prob` without shortcuts, where `log_prob` takes any; the self-test compares the two.
        precise(tokens): `plain` in double precision, or None; the self-test takes the noise floor from it.
    """

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[Any], Any]:
        """Log q of each token given all before it, and the state after the last.

        Args:
            tokens: (batch, n) ids, or real numbers for a scorer of densities.
            state: what an earlier call returned: the tokens follow those it has read. None: they follow the start token
                alone. The same state may be passed several times, so it must not be changed in place.

        Returns:
            (batch, n) nats; the new state.
        """
        ...


def settings_of(scorer: Any) -> Mapping[str, Any]:
    """A scorer's settings; its class's name where it has none."""
    return getattr(scorer, "settings", None) or {"name": f"{type(scorer).__module__}.{type(scorer).__qualname__}"}


def tolerance_of(scorer: Any) -> float:
    """Nats by which two ways to compute one log-probability may differ in this scorer's precision."""
    return TOLERANCE.get(str(settings_of(scorer).get("dtype")), TOLERANCE["float32"])


def rounding_of(scorer: Any, values: NDArray[Any]) -> float:
    """Half a unit in the last place of the largest value, in nats: what one rounding to the scorer's precision costs."""
    bits = _PRECISION.get(str(settings_of(scorer).get("dtype")), 24)
    return float(np.abs(values).max(initial=0.0) * 2.0**-bits)


def checked(scorer: Any, tokens: NDArray[Any], values: Any, what: str = "a log-probability") -> NDArray[np.float32]:
    """What a scorer gave for `tokens`, as float32.

    Args:
        what: one of the values, in words.

    Raises:
        InputError: another shape than that of the tokens, or values that are not finite.
    """
    values = np.asarray(values)
    if values.shape != tokens.shape:
        raise InputError(f"scorer: {what} of shape {values.shape}; expected {tokens.shape}, one value for each token")
    if values.dtype.kind not in "fiu":
        raise InputError(f"scorer: {what} of {values.dtype}; expected real numbers")
    if not np.isfinite(values).all():
        worst = values[~np.isfinite(values)][0]
        raise InputError(
            f"scorer: {what} of {worst} from {settings_of(scorer).get('name')}; expected finite values: "
            "information is infinite where the model rules an event out"
        )
    return np.asarray(values, np.float32)


def out_of_memory(error: Exception) -> bool:
    """Whether an error of torch or Python says that memory ran out."""
    name, text = type(error).__name__, str(error).lower()
    return (
        name == "OutOfMemoryError"
        or isinstance(error, MemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )
