"""Plans of several models side by side: what fits, what holds the information, and which of the two ends first."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.numbers import short
from l2m.base.records import Record
from l2m.errors import InputError
from l2m.states.condition import COUNTED_PARTS, Verdict
from l2m.states.history_state.state import LONGEST_LENGTH
from l2m.states.memory_plan import MOST_SEQUENCES, MemoryPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Plans(Record):
    """Memory plans of several models, for the same batch and budget.

    Attributes:
        plans: one for each model.
        lengths: tokens of a sequence at which states are given.
        batch: sequences held at once.
        memory: bytes for weights, states and reserve (None: no budget).
        verdicts: one for each plan, by the same law (None: no law).
    """

    kind: ClassVar[str] = "memory_plans"

    plans: tuple[MemoryPlan, ...]
    lengths: tuple[int, ...] = (1024, 8192, 131072)
    batch: int = 1
    memory: int | None = None
    verdicts: tuple[Verdict, ...] | None = None

    def __post_init__(self) -> None:
        if not self.plans:
            raise InputError("models: none; expected at least one")
        checks.wholes("lengths", self.lengths, 1, LONGEST_LENGTH)
        checks.whole("batch", self.batch, 1, MOST_SEQUENCES)
        if self.verdicts is not None and len(self.verdicts) != len(self.plans):
            raise InputError(f"verdicts: {len(self.verdicts)} for {len(self.plans)} plans; expected one for each")

    def _brief(self) -> str:
        budget = "no budget" if self.memory is None else f"{short(self.memory)} bytes"
        return f"{', '.join(plan.state.name for plan in self.plans)}; {budget}, batch {self.batch:,}"

    def fits(self, plan: MemoryPlan) -> float:
        """Longest context of each sequence that the budget holds; infinite without a budget."""
        return math.inf if self.memory is None else plan.longest_length(self.memory, self.batch)

    def usable(self, index: int) -> tuple[float, str]:
        """The longest text that model `index` can use, and what ends it: "memory", "positions", "information" or "nothing".

        The text must fit, the model must have positions for it, and its state must suffice for the law in practice.
        """
        plan = self.plans[index]
        limits: list[tuple[float, str]] = [(self.fits(plan), "memory")]
        if plan.state.positions is not None:
            limits.append((plan.state.positions, "positions"))
        if self.verdicts is not None:
            longest = float(self.verdicts[index].sufficient_length)
            limits.append((math.floor(longest) if math.isfinite(longest) else longest, "information"))
        length, why = min(limits, key=lambda limit: limit[0])
        return length, why if math.isfinite(length) else "nothing"

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a model. Numbers and bytes of a state are all that is stored, convolution columns included.

        `bytes_L` is one sequence of L tokens in the engine, `batch_bytes_L` all of them, `total_bytes_L` with weights and
        reserve, `read_per_token_L` the bytes read for a generated token, `sequences_L` the most that fit.
        """
        rows = []
        for index, plan in enumerate(self.plans):
            state = plan.state
            row: dict[str, Any] = {"model": state.name, "family": state.family, "growth": state.growth}
            for length in self.lengths:
                row[f"numbers_{length}"] = float(state.numbers(length))
                row[f"bytes_{length}"] = float(plan.reserved(length).total)
                if self.batch > 1:
                    row[f"batch_bytes_{length}"] = plan.reserved(length, self.batch).total
                if plan.weights is not None:
                    row[f"total_bytes_{length}"] = plan.bytes(length, self.batch)
                    row[f"read_per_token_{length}"] = plan.read_per_token(length, self.batch)
                if self.memory is not None:
                    row[f"sequences_{length}"] = plan.most_sequences(self.memory, length)
            row |= {"engine": plan.engine, "batch": self.batch, "bytes_per_token": plan.bytes_per_token}
            if plan.weights is not None:
                row |= {"parameters": plan.weights.parameters, "weight_bytes": plan.weights.bytes}
            row |= {"saturation_length": state.saturation_length, "reach": state.reach, "positions": state.positions}
            if self.memory is not None:
                row |= {"memory": self.memory, "fits_length": self.fits(plan)}
            if self.verdicts is not None:
                verdict = self.verdicts[index]
                longest = verdict.sufficient_length
                row |= {
                    "frontier_length": float(verdict.frontier_length),
                    "sufficient_length": float(longest),
                    "sufficient_length_low": longest.low,
                    "sufficient_length_high": longest.high,
                }
            if self.memory is not None or self.verdicts is not None:
                row["usable_length"], row["limited_by"] = self.usable(index)
            rows.append(row | {"source": state.source})
        return rows

    def table(self, *, lengths: bool = True) -> list[dict[str, str]]:
        """What people read of `rows`: one mapping a model, column -> text; without the states at each length if so asked."""
        lines = []
        for plan, row in zip(self.plans, self.rows(), strict=True):
            line = {"model": plan.state.name, "grows": plan.state.growth}
            if plan.weights is not None:
                line["weights"] = f"{short(plan.weights.bytes)}B"
            for length in self.lengths if lengths else ():
                numbers, one = short(row[f"numbers_{length}"]), short(row[f"bytes_{length}"])
                if self.batch == 1:
                    line[f"at {length:,}"] = f"{numbers} ({one}B)"
                else:
                    line[f"{self.batch} at {length:,}"] = f"{short(row[f'batch_bytes_{length}'])}B"
                if plan.weights is not None:
                    line[f"total at {length:,}"] = f"{short(row[f'total_bytes_{length}'])}B"
                    line[f"read a token at {length:,}"] = f"{short(row[f'read_per_token_{length}'])}B"
                if self.memory is not None:
                    line[f"sequences of {length:,}"] = short(row[f"sequences_{length}"])
            if self.memory is None and self.verdicts is None:
                line["full from"] = short(plan.state.saturation_length)
            if self.memory is not None:
                line["fits up to" if self.batch == 1 else f"{self.batch} fit up to"] = _tokens(row["fits_length"])
            if self.verdicts is not None:
                line["holds (optimum)"] = _tokens(row["frontier_length"])
                line["holds (practice)"] = _tokens(row["sufficient_length"])
            if self.memory is not None or self.verdicts is not None:
                line["usable"], line["limited by"] = _tokens(row["usable_length"]), row["limited_by"]
            lines.append(line)
        return lines

    def columns(self) -> dict[str, NDArray[Any]]:
        """`rows`, by column."""
        rows = self.rows()
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Numbers required by the law, held by each model, and where the memory ends; log-log.

        A model's line is solid as far as its memory and positions go, dotted beyond; a square marks where the memory ends, a
        circle where the state becomes too small for the law.

        Args:
            axes: matplotlib axes to draw into; None makes a figure.
        """
        from l2m.base.plots import new_axes

        own = axes is None
        drawn: Axes = new_axes(6.8, 5.6) if axes is None else axes
        ends = [self.usable(index)[0] for index in range(len(self.plans))]
        fits = [self.fits(plan) for plan in self.plans]
        high = max([1e6, *(8 * end for end in (*ends, *fits) if 0 < end < 1e12)])
        grid = np.geomspace(64, high, 300)
        ratio = 2.0 if self.verdicts is None else self.verdicts[0].ratio
        if self.verdicts is not None:
            first = self.verdicts[0]
            required = first.required_curve(grid[None, :])
            if len(required) > 1:
                tail = (1 - first.level) / 2
                drawn.fill_between(
                    grid, *np.quantile(required[1:], [tail, 1 - tail], axis=0), color="black", alpha=0.12, linewidth=0
                )
            drawn.loglog(grid, required[0], color="black", linewidth=2.2, label="required in practice")
            optimum = [float(first.frontier_state(length)) for length in grid]
            drawn.loglog(grid, optimum, color="black", linewidth=1.2, linestyle="--", label="required at the optimum")
        if self.memory is not None:
            drawn.plot([], [], "s", color="grey", markersize=6, label="the memory ends")
        if self.verdicts is not None:
            drawn.plot([], [], "o", color="grey", markersize=6, label="the state is too small from here")
        for number, (plan, fit) in enumerate(zip(self.plans, fits, strict=True)):
            color = f"C{number % 10}"
            held = plan.state.numbers(grid / ratio, least=True, parts=COUNTED_PARTS)
            reach = min(fit, plan.state.positions or math.inf)
            drawn.loglog(grid, held, color=color, linewidth=1, linestyle=":")
            within = grid <= reach
            drawn.loglog(grid[within], held[within], color=color, linewidth=2, label=plan.state.name)
            if 64 <= fit <= high:
                at = plan.state.numbers(fit / ratio, least=True, parts=COUNTED_PARTS)
                drawn.plot(fit, float(at), "s", color=color, markersize=6)
            if self.verdicts is not None and 64 <= (end := float(self.verdicts[number].sufficient_length)) <= high:
                drawn.plot(end, self.verdicts[number].held(end), "o", color=color, markersize=6)
        drawn.set_xlabel("length L, past and future (tokens)")
        drawn.set_ylabel(f"numbers in attention and recurrence after L/{ratio:g} tokens")
        drawn.set_xlim(64, high)
        if own:
            drawn.figure.legend(loc="outside lower center", ncols=2, frameon=False)
        else:
            drawn.legend()
        return drawn


def plan_models(
    plans: Sequence[MemoryPlan],
    *,
    lengths: Sequence[int] = (1024, 8192, 131072),
    batch: int = 1,
    memory: int | str | None = None,
    law: Any = None,
    **options: Any,
) -> Plans:
    """Plans side by side, those that use the longest texts first (without budget and law: the smallest state first).

    Args:
        plans: what `l2m.memory_plan` returns, for each model.
        lengths, batch: tokens of a sequence at which states are given; sequences held at once.
        memory: budget in bytes, or a size such as "24GB".
        law: bipartite information by length, as for `l2m.condition`; None: only what fits.
        options: of `l2m.condition`, with a law.

    Returns:
        The plans with their verdicts: `rows`, `table`, `to_frame` and `plot`.

    Raises:
        InputError: no plan, a bad length, batch or budget, or what `condition` raises.

    Example:
        >>> plans = [l2m.memory_plan(name) for name in ("mamba-130m", "Qwen3-8B", "Qwen3-32B")]
        >>> found = l2m.plan_models(plans, memory="48GB", law=l2m.PowerLaw.of(2.27, 0.76))
        >>> [(row["model"], row["usable_length"], row["limited_by"]) for row in found.rows()]
        [('state-spaces/mamba-130m', 328779, 'information'), ('Qwen/Qwen3-8B', 40960, 'positions'), ('Qwen/Qwen3-32B', 0, 'memory')]
    """
    from l2m.states.condition import condition

    verdicts = None if law is None else tuple(condition(law, plan.state, **options) for plan in plans)
    found = Plans(
        plans=tuple(plans),
        lengths=checks.wholes("lengths", lengths, 1, LONGEST_LENGTH),
        batch=checks.whole("batch", batch, 1, MOST_SEQUENCES),
        memory=checks.memory(memory),
        verdicts=verdicts,
    )
    longest = max(found.lengths)
    order = sorted(
        range(len(plans)),
        key=lambda i: (
            -found.usable(i)[0] if memory is not None or law is not None else 0,
            plans[i].reserved(longest).total,
        ),
    )
    return dataclasses.replace(
        found,
        plans=tuple(plans[i] for i in order),
        verdicts=None if verdicts is None else tuple(verdicts[i] for i in order),
    )


def _tokens(length: float) -> str:
    """Digit by digit where a planner needs them."""
    if math.isinf(length):
        return "any length"
    return f"{length:,.0f}" if length < 1e7 else short(float(length))
