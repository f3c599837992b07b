"""Verdicts on several models by one law: as rows, a figure and a page."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from l2m.base.numbers import short
from l2m.base.records import Record, frame
from l2m.errors import InputError
from l2m.states.condition import COUNTED, Law, Verdict, condition
from l2m.states.threshold import PAPER_THRESHOLD, Threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Comparison(Record):
    """Verdicts on several models by one law, longest sufficient length first."""

    kind: ClassVar[str] = "comparison"

    verdicts: tuple[Verdict, ...]

    def __post_init__(self) -> None:
        if not self.verdicts or not all(isinstance(verdict, Verdict) for verdict in self.verdicts):
            raise InputError("verdicts: none; expected at least one")

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
                "frontier_length": float(verdict.frontier_length),
                "provable_length": float(proof),
                "reach": state.reach,
            }
            if verdict.length is not None:
                required = verdict.required_state(verdict.length)
                row |= {
                    "length": verdict.length,
                    "state": verdict.held(verdict.length),
                    "bytes": verdict.held_bytes(verdict.length),
                    "state_counts": COUNTED,
                    "beyond_positions": verdict.beyond_positions,
                    "required_state": float(required),
                    "required_state_low": required.low,
                    "required_state_high": required.high,
                    "frontier_state": float(verdict.frontier_state(verdict.length)),
                    "probability": verdict.length_probability,
                }
            row |= {"positions": state.positions, "source": state.source}
            rows.append(row)
        return rows

    def table(self) -> list[dict[str, str]]:
        """What people read of `rows`: one mapping a model, column -> text."""
        lines = []
        for verdict in self.verdicts:
            longest = verdict.sufficient_length
            line = {"model": verdict.state.name, "grows": verdict.state.growth}
            line["condition"] = verdict.outcome.replace("_", " ")
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

    def to_frame(self) -> "DataFrame":
        """`rows` as a pandas DataFrame."""
        return frame(self.rows())

    def plot(self, axes: "Axes | None" = None, *, lengths: Sequence[float] | None = None) -> "Axes":
        """Required state against length with its interval, each model's state as a line, crossings marked; log-log.

        Args:
            axes: matplotlib axes to draw into; None makes a figure.
            lengths: first and last length shown; None: 64 to 16 times the longest finite crossing.
        """
        from l2m.base.plots import new_axes

        own = axes is None
        drawn: Axes = new_axes(6.8, 6) if axes is None else axes
        first = self.verdicts[0]
        crossings = [float(v.sufficient_length) for v in self.verdicts if 0 < v.sufficient_length < 1e12]
        low, high = lengths or (64.0, max([1e6, *(16 * crossing for crossing in crossings)]))
        grid = np.geomspace(low, high, 200)
        required = first.required_curve(grid[None, :])
        tail = (1 - first.level) / 2
        if len(required) > 1:
            ends = np.quantile(required[1:], [tail, 1 - tail], axis=0)
            drawn.fill_between(grid, *ends, color="black", alpha=0.15, linewidth=0)
        drawn.loglog(grid, required[0], color="black", linewidth=2.5, label="required state")
        for number, verdict in enumerate(self.verdicts):
            style = {"color": f"C{number % 10}", "linestyle": ("-", "--", ":", "-.")[number // 10 % 4]}
            drawn.loglog(grid, verdict.available_curve(grid[None, :])[0], label=verdict.state.name, **style)
            crossing = float(verdict.sufficient_length)
            if low <= crossing <= high:
                drawn.plot(crossing, verdict.held(crossing), "o", color=style["color"])
        drawn.set_xlabel("length L, past and future (tokens)")
        drawn.set_ylabel(f"numbers in the history state after L/{first.ratio:g} tokens")
        drawn.set_xlim(low, high)
        if own:
            drawn.figure.legend(loc="outside lower center", ncols=2 if len(self.verdicts) < 12 else 3, frameon=False)
        else:
            drawn.legend()
        return drawn

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

    Raises:
        InputError: as `condition`; no model at all.
    """
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
