"""Verdicts on several models by one law: as rows, a figure and a page."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.numbers import short
from l2m.base.records import Record
from l2m.errors import InputError
from l2m.states.condition import OUTCOMES, Law, Verdict, condition
from l2m.states.threshold import PAPER_THRESHOLD, Threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Comparison(Record):
    """Verdicts on several models by one law, longest sufficient length first."""

    kind: ClassVar[str] = "comparison"

    verdicts: tuple[Verdict, ...]

    def __post_init__(self) -> None:
        if not self.verdicts or not all(isinstance(verdict, Verdict) for verdict in self.verdicts):
            raise InputError("verdicts: none; expected at least one")

    def _brief(self) -> str:
        return "; ".join(f"{verdict.state.name} {OUTCOMES[verdict.outcome]}" for verdict in self.verdicts)

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a model: outcome, state and bytes held, state required (at `length`), longest lengths, reach."""
        return [verdict.row() for verdict in self.verdicts]

    def columns(self) -> dict[str, NDArray[Any]]:
        """`rows`, by column."""
        rows = self.rows()
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def table(self) -> list[dict[str, str]]:
        """What people read of `rows`: one mapping a model, column -> text."""
        lines = []
        for verdict in self.verdicts:
            longest = verdict.sufficient_length
            line = {"model": verdict.state.name, "grows": verdict.state.growth}
            line["condition"] = OUTCOMES[verdict.outcome]
            if verdict.beyond_positions:
                line["condition"] = f"beyond its {verdict.state.positions:,} positions"
            if verdict.length is not None:
                line[f"needs at {short(verdict.length)}"] = short(float(verdict.required_state(verdict.length)))
                line["holds"] = short(verdict.held(verdict.length))
                line["probability"] = short(verdict.length_probability)
            line["large enough up to"] = _length(longest)
            interval = "" if longest.exact else f"{short(longest.low)} to {_length(longest.high)}"
            line[f"{100 * verdict.level:g} %"] = interval
            line["at the optimum"] = _length(verdict.frontier_length)
            line["provable limit"] = _length(verdict.provable_length)
            line["reach"] = short(verdict.state.reach)
            lines.append(line)
        return lines

    def plot(self, axes: "Axes | None" = None, *, lengths: Sequence[float] | None = None) -> "Axes":
        """Required state against length with its interval, each model's state as a line, crossings marked; log-log.

        Args:
            axes: matplotlib axes to draw into; None makes a figure.
            lengths: first and last length shown; None: 64 to 16 times the longest finite crossing.
        """
        from l2m.states.figure import draw_states

        return draw_states(self.verdicts, axes, lengths=lengths)

    def to_html(self, law: str = "") -> str:
        """One self-contained page: the answer, the figure, caveats, the table; `law` describes the law."""
        from l2m.base.pages import in_page, render_page
        from l2m.base.plots import svg

        figure = svg(
            self.plot().figure,
            "states",
            title="Memory needed and memory held, by length of the text",
            description="The black line is the state that the law requires, the colored lines are the states of the models.",
        )
        fitted = getattr(self.verdicts[0].law, "x", None)
        return render_page(
            "l2m.states",
            "comparison.html.j2",
            law=law,
            first=self.verdicts[0],
            passing=[one for one in self.verdicts if one.outcome == "holds" and not one.beyond_positions],
            unread=[one for one in self.verdicts if one.beyond_positions],
            figure=in_page(figure),
            rows=self.table(),
            verdicts=self.verdicts,
            measured=None if fitted is None or not np.size(fitted) else (float(np.min(fitted)), float(np.max(fitted))),
        )


def compare_models(
    law: Law,
    models: Iterable[Any],
    length: float | None = None,
    *,
    threshold: Threshold | float = PAPER_THRESHOLD,
    x: str | None = None,
    ratio: float | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """`condition` for several models by one law; the model that is large enough for the longest text comes first.

    Args:
        models: what `l2m.history_state` takes, each.
        law, length, threshold, x, ratio, level, seed: as for `condition`.

    Returns:
        The verdicts, best first.

    Raises:
        InputError: as `condition`; no model at all.

    Example:
        >>> law = l2m.fit_power_law([16, 64, 256, 1024], [19, 54, 153, 440])
        >>> l2m.compare_models(law, ['mamba-130m', 'gpt2'])
        Comparison(openai-community/gpt2 passes; state-spaces/mamba-130m fails on long texts)
    """
    models = checks.several("models", models, "a list of models, each as l2m.history_state takes it")
    verdicts = [
        condition(law, model, length, threshold=threshold, x=x, ratio=ratio, level=level, seed=seed) for model in models
    ]
    if not verdicts:
        raise InputError("models: none; expected at least one")
    order = {"holds": 0, "undetermined": 1, "holds_as_series": 2, "fails": 3}
    verdicts.sort(key=lambda v: (-float(v.sufficient_length), order[v.outcome], v.state.name))
    return Comparison(tuple(verdicts))


def _length(tokens: float) -> str:
    return "any length" if tokens == float("inf") else short(float(tokens))
