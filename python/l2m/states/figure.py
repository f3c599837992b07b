"""The figure of required state against length, with what models hold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from l2m.base.numbers import short
from l2m.base.plots import GREY, INK, SERIES, new_axes
from l2m.states.history_state import HistoryState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


class Judged(Protocol):
    """What is drawn of a `Verdict`."""

    @property
    def state(self) -> HistoryState: ...
    @property
    def level(self) -> float: ...
    @property
    def ratio(self) -> float: ...
    @property
    def sufficient_length(self) -> float: ...
    def held(self, length: float) -> float: ...
    def required_curve(self, lengths: Floats) -> Floats: ...
    def available_curve(self, lengths: Floats) -> Floats: ...


def draw_states(
    verdicts: Sequence[Judged],
    axes: "Axes | None" = None,
    *,
    lengths: Sequence[float] | None = None,
    measured: tuple[float, float] | None = None,
    size: tuple[float, float] = (6.8, 6),
) -> "Axes":
    """Required state against length with its interval, each model's state as a line, crossings marked; log-log.

    Args:
        verdicts: by one law; the first says level, threshold and ratio.
        axes: matplotlib axes to draw into; None makes a figure.
        lengths: first and last length shown; None: 64 to 16 times the longest finite crossing.
        measured: the lengths between which the law was measured, which are shaded.
        size: of the figure that is made, inches.
    """
    own = axes is None
    drawn: Axes = new_axes(*size) if axes is None else axes
    first = verdicts[0]
    crossings = [float(v.sufficient_length) for v in verdicts if 0 < v.sufficient_length < 1e12]
    low, high = lengths or (64.0, max([1e6, *(16 * crossing for crossing in crossings)]))
    if measured is not None:
        low = min(low, measured[0])
    grid = np.geomspace(low, high, 200)
    required = first.required_curve(grid[None, :])
    tail = (1 - first.level) / 2
    if len(required) > 1:
        ends = np.quantile(required[1:], [tail, 1 - tail], axis=0)
        drawn.fill_between(grid, *ends, color=INK, alpha=0.15, linewidth=0)
    drawn.loglog(grid, required[0], color=INK, linewidth=2.5, label="required state")
    for number, verdict in enumerate(verdicts):
        style: dict[str, Any] = {
            "color": SERIES[number % len(SERIES)],
            "linestyle": ("-", "--", ":", "-.")[number // len(SERIES) % 4],
        }
        drawn.loglog(grid, verdict.available_curve(grid[None, :])[0], label=verdict.state.name, **style)
        crossing = float(verdict.sufficient_length)
        if low <= crossing <= high:
            drawn.plot(crossing, verdict.held(crossing), "o", color=style["color"])
    if measured is not None:
        drawn.axvspan(*measured, color=GREY, alpha=0.15, linewidth=0, label="lengths measured")
    drawn.set_xlabel("length L, past and future (tokens)")
    drawn.set_ylabel(f"numbers in the history state after L/{first.ratio:g} tokens")
    drawn.set_xlim(low, high)
    for axis in (drawn.xaxis, drawn.yaxis):
        axis.set_major_formatter(lambda value, _: short(float(value)))
    if own:
        drawn.figure.legend(loc="outside lower center", ncols=2 if len(verdicts) < 12 else 3, frameon=False)
    else:
        drawn.legend()
    return drawn
