"""Design aid: the smallest history state, among a family of models, that a law asks for at a target length."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base.numbers import short
from l2m.base.records import Record
from l2m.errors import InputError
from l2m.states.condition import Verdict, condition
from l2m.states.history_state import HistoryState, history_state
from l2m.states.history_state.read import config_fields

MOST_CANDIDATES = 10_000


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Design(Record):
    """Candidates of a search: those whose state is large enough first, each group by bytes.

    Attributes:
        length: the target, past and future together; a state is the one after length / ratio tokens.
        required, required_high: numbers needed by the law's estimate, and by the upper end of its interval.
        full_attention_bytes: what global attention in every layer, with the same heads, would hold (None: unknown).
        candidates: `fields` varied, `state` (numbers, convolutions left out), `bytes`, `growth`, `reach`, `suffices`.
    """

    kind: ClassVar[str] = "design"

    length: float
    required: float
    required_high: float
    full_attention_bytes: float | None
    candidates: tuple[Mapping[str, Any], ...]

    def _brief(self) -> str:
        best = "none suffices" if self.best is None else f"best {short(float(self.best['state']))} numbers"
        return f"{len(self.candidates)} candidates, {short(self.required)} numbers needed at {short(self.length)} tokens, {best}"

    def columns(self) -> dict[str, NDArray[Any]]:
        """`rows`, by column."""
        rows = self.rows()
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def rows(self) -> list[dict[str, Any]]:
        """One row a candidate: the fields varied, state, bytes, growth, reach, suffices."""
        return [{**one["fields"], **{name: one[name] for name in one if name != "fields"}} for one in self.candidates]

    def table(self) -> list[dict[str, str]]:
        """The columns that people read, as text."""
        rows = []
        for one in self.candidates:
            fields = {name: str(value) for name, value in one["fields"].items()}
            numbers = {"state": short(one["state"]), "bytes": short(one["bytes"]), "grows": one["growth"]}
            rows.append(fields | numbers | {"large enough": "yes" if one["suffices"] else "no"})
        return rows

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The candidate with the fewest bytes that suffices; None where none does."""
        first = self.candidates[0]
        return first if first["suffices"] else None

    def explain(self) -> str:
        """The result in words and numbers."""
        needs = f"At {self.length:,.0f} tokens the state needs {self.required:,.0f} numbers (up to {self.required_high:,.0f})"
        best = self.best
        if best is None:
            largest = max(self.candidates, key=lambda one: float(one["state"]))
            return f"{needs}: none of {len(self.candidates)} candidates holds that many; the largest holds {largest['state']:,.0f}."
        fields = ", ".join(f"{name} {value}" for name, value in best["fields"].items())
        share = ""
        if self.full_attention_bytes:
            percent = 100 * best["bytes"] / self.full_attention_bytes
            share = f", {percent:.3g} % of full attention's {self.full_attention_bytes:,.0f}"
        return (
            f"{needs}: the smallest of {len(self.candidates)} candidates that holds that many is {fields}, "
            f"{best['state']:,.0f} numbers in {best['bytes']:,.0f} bytes{share}; its growth is {best['growth']}."
        )


def design(
    law: Any,
    length: float,
    model: Any,
    vary: Mapping[str, Sequence[Any]],
    *,
    dtype: str | float | None = None,
    cache_dtype: str | float | None = None,
    **options: Any,
) -> Design:
    """Search a family of models for the smallest history state that is large enough at a target length.

    A candidate suffices if its state (attention and recurrence) holds at least the upper end of the required state's
    interval, and if its windows, where it has nothing else, reach back over the whole past.

    Args:
        law, options: as for `l2m.condition`.
        length: target length, past and future.
        model: a model to start from: its name, folder or config file, or a config of any family with a formula, such as
            `{"model_type": "hybrid", ...}` (global, windowed and recurrent layers in any proportion; see
            `l2m.states.history_state.outside.hybrid`).
        vary: config field -> values to try; every combination is a candidate.
        dtype, cache_dtype: precision, as for `l2m.history_state`.

    Returns:
        Every candidate, those that suffice first, by bytes.

    Raises:
        InputError: nothing to vary, more than 10,000 combinations, or what `condition` and `history_state` raise.

    Example:
        >>> law = l2m.fit_power_law([16, 64, 256, 1024], [19, 54, 153, 440])
        >>> model = {"model_type": "hybrid", "hidden_size": 768, "num_hidden_layers": 24, "num_attention_heads": 12,
        ...          "global_layers": 0, "window_layers": 8, "sliding_window": 4096, "expand": 2, "conv_kernel": 4}
        >>> l2m.design(law, 8192, model, {"state_size": [16, 32, 64]})
        Design(3 candidates, 35.1 k numbers needed at 8,192 tokens, best 50.7 M numbers)
    """
    if not isinstance(vary, Mapping):
        raise InputError(f"vary: {type(vary).__name__}; expected a mapping of a config's fields")
    config = config_fields(model)
    for name, values in vary.items():
        if isinstance(values, str) or not isinstance(values, Collection):
            raise InputError(f"vary: {name}: {values!r}; expected a list of values")
    count = math.prod(len(values) for values in vary.values())
    if not vary or not 0 < count <= MOST_CANDIDATES:
        raise InputError(f"vary: {count if vary else 0} combinations; expected 1 to {MOST_CANDIDATES:,}")

    def state_of(fields: Mapping[str, Any]) -> HistoryState:
        return history_state({**config, **fields}, dtype=dtype, cache_dtype=cache_dtype)

    candidates = []
    states: list[tuple[Mapping[str, Any], HistoryState]] = []
    verdict: Verdict | None = None
    for values in itertools.product(*vary.values()):
        fields = dict(zip(vary, values, strict=True))
        state = state_of(fields)
        states.append((fields, state))
        if verdict is None:
            verdict = condition(law, state, length, **options)
            required = verdict.required_state(length)
        past = length / verdict.ratio
        numbers = state.numbers(past, least=True, parts=("attention", "recurrent")).item()
        candidates.append(
            {
                "fields": fields,
                "state": numbers,
                "bytes": state.numbers(past, bits=True).item() / 8,
                "growth": state.growth,
                "reach": state.reach,
                "suffices": bool(numbers >= required.high and state.reach >= past),
            }
        )
    for name in vary:
        if name not in config and not _changes(name, states, state_of):
            raise InputError(
                f"vary: {name!r}; expected a field of the config of {states[0][1].family} that changes its state"
            )
    candidates.sort(key=lambda one: (not one["suffices"], one["bytes"]))
    heads = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")
    full = {"model_type": "llama", **{name: config[name] for name in heads if name in config}}
    reference = None
    if len(full) > 3:  # without heads of its own there is no attention to compare with
        with suppress(InputError):
            reference = history_state(full, dtype=dtype, cache_dtype=cache_dtype).numbers(past, bits=True).item() / 8
    return Design(
        length=float(length),
        required=float(required),
        required_high=required.high,
        full_attention_bytes=reference,
        candidates=tuple(candidates),
        settings={"model": config, "vary": {name: list(values) for name, values in vary.items()}},
    )


def _changes(
    name: str,
    states: Sequence[tuple[Mapping[str, Any], HistoryState]],
    state_of: Callable[[Mapping[str, Any]], HistoryState],
) -> bool:
    """Whether any candidate keeps something else for having the field `name` than it would without it."""
    for fields, state in states:
        try:
            without = state_of({other: value for other, value in fields.items() if other != name})
        except InputError:
            return True  # the config is not whole without it
        if [memory.kept for memory in without.memories] != [memory.kept for memory in state.memories]:
            return True
    return False
