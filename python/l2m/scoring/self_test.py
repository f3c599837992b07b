"""Does a scorer give the same numbers whichever way the run computes them? Asked at the start of every run, on its first windows.

The reference is one pass over one window, at the run's own length. The run's own way (a batch, cut where shuffled passes leave,
each continued twice from the same state) has to give the same values, and so do shorter passes over the window's first
tokens. So positions beyond which a family changes (sliding and chunked windows, long ropes, sparse indices) are inside the
test wherever they are inside the run.
"""

import dataclasses
import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2m.errors import InputError
from l2m.scoring.scorer import checked, out_of_memory, rounding_of, settings_of, tolerance_of
from l2m.scoring.windows import Windows

log = logging.getLogger("l2m")

# A pass as short as this is on the near side of any position at which a family changes.
_SHORT = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfTest:
    """What the self-test found.

    Attributes:
        recompute: a state cannot be continued; passes are computed in full.
        one_by_one: sequences disturb each other in a batch; they are scored one by one.
        report: what a score store keeps of it.
    """

    recompute: bool
    one_by_one: bool
    report: dict[str, Any]


def self_test(scorer: Any, windows: Windows, cuts: Sequence[int]) -> SelfTest:
    """Compare the run's way with plain passes.

    A lost state is worked around by computing in full, a batch that disturbs its sequences by batches of one; both are
    logged.

    Args:
        cuts: where the run leaves the conditional pass and continues from its state; empty: it never does.

    Raises:
        InputError: values that are not finite, that depend on later tokens, or that depend on how long the input is.
    """
    settings, tolerance, length = settings_of(scorer), tolerance_of(scorer), windows.length
    name = settings.get("name")
    tokens = windows.tokens([0, min(1, len(windows) - 1)]).copy()
    if len(windows) == 1:
        tokens[1] = np.roll(tokens[1], 1)
    reference = _plain(scorer, tokens[:1])
    evaluated = length

    def scored(part: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        nonlocal evaluated
        evaluated += part.size
        values, state = scorer.log_prob(part, state)
        return checked(scorer, part, values), state

    # As the conditional pass runs: a batch, cut at every split, and at the last one two passes from one state.
    stops = sorted({cut for cut in cuts if 0 < cut < length}) or [length // 2]
    chain = np.full(tokens.shape, np.nan, np.float32)
    try:
        state = None
        for begin, end in pairwise([0, *stops, length]):
            before = state
            chain[:, begin:end], state = scored(tokens[:, begin:end], state)
        again, _ = scored(tokens[:, stops[-1] :], before)
        continued = max(_largest(chain[:1] - reference), _largest(again[:1] - reference[:, stops[-1] :]))
    except InputError:
        raise
    except Exception as error:  # whatever a model's own code raises when it cannot continue
        if out_of_memory(error):
            raise
        log.warning(f"{name}: cannot continue from a cached state ({type(error).__name__})")
        continued = np.inf

    prefixes = 0.0
    for size in sorted({stops[0], min(_SHORT, length // 2), length // 2}):
        prefixes = max(prefixes, _largest(scored(tokens[:1, :size])[0] - reference[:, :size]))
    if prefixes > tolerance:
        # The same start with another end, each of whose tokens differs.
        half, values = length // 2, np.unique(tokens)
        changed = tokens[:1].copy()
        changed[:, half:] = values[(np.searchsorted(values, changed[:, half:]) + 1) % values.size]
        future = _largest((_plain(scorer, changed) - reference)[:, :half])
        if future > tolerance:
            raise InputError(
                f"{name}: later tokens change the log-probabilities of earlier ones by {future:.2g} nats; expected a causal "
                "model"
            )
        raise InputError(
            f"{name}: the same tokens score differently in a longer input, by {prefixes:.2g} nats of {length} tokens against "
            f"{length // 2} or fewer (such as a rope that changes beyond the original context); expected a shorter length"
        )

    batched = 0.0
    if continued > tolerance:
        batched = _largest(scored(tokens)[0][:1] - reference)
    one_by_one = batched > tolerance
    recompute = continued > tolerance
    if recompute and one_by_one and np.isfinite(continued):
        # Is it the batch alone? Then a state may be continued, one sequence at a time.
        recompute = _continued_alone(scored, tokens[:1], stops, reference) > tolerance
    if recompute:
        log.warning(
            f"{name}: continuing from a state is off by {continued:.2g} nats; shuffled passes are computed in full"
        )
    if one_by_one:
        log.warning(f"{name}: in a batch its values change by {batched:.2g} nats; sequences are scored one by one")
    differences = {
        "run against one plain pass": continued,
        "batched against single": batched,
        "shorter passes": prefixes,
    }
    trusted = [value for value in differences.values() if value <= tolerance]
    first = reference[:, :_SHORT]
    if (precise := getattr(scorer, "precise", lambda part: None)(tokens[:1, :_SHORT])) is not None:
        evaluated += first.size
        differences["single against double precision"] = _largest(first - precise)
        trusted.append(differences["single against double precision"])
    report = {
        "tokens": evaluated,
        "length": length,
        "tolerance": tolerance,
        "differences": {key: value if np.isfinite(value) else None for key, value in differences.items()},
        # Two ways that agree to the last bit may both be off by the rounding of the model's own precision: float32 misses float64
        # by up to 2e-3 nats at the first tokens, where some models have activations in the thousands.
        "noise_floor": max([*trusted, rounding_of(scorer, reference)]),
        "recomputed_in_full": recompute,
        "one_by_one": one_by_one,
        "platform": getattr(scorer, "platform", None),
    }
    return SelfTest(recompute=recompute, one_by_one=one_by_one, report=report)


def _continued_alone(scored: Any, tokens: NDArray[Any], stops: Sequence[int], reference: NDArray[np.float32]) -> float:
    worst, state = 0.0, None
    for begin, end in pairwise([0, *stops, tokens.shape[1]]):
        values, state = scored(tokens[:, begin:end], state)
        worst = max(worst, _largest(values - reference[:, begin:end]))
    return worst


def _plain(scorer: Any, tokens: NDArray[Any]) -> NDArray[np.float32]:
    return checked(scorer, tokens, getattr(scorer, "plain", lambda part: scorer.log_prob(part)[0])(tokens))


def _largest(difference: NDArray[Any]) -> float:
    return float(np.abs(difference).max(initial=0.0))
