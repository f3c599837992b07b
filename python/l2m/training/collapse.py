"""The runs of a sweep against the frontier of memory: KL on information per number of state (paper, Fig. 3c).

The frontier of a run is the KL of the best linear state found of as many numbers (`HierarchicalGaussian.frontier`). What a run
loses beyond it, its training missed. A run reaches the frontier if that is at most 3 % of what there is to learn, the KL of an
untrained model.
"""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.records import Record, span
from l2m.errors import InputError
from l2m.states.threshold import PAPER_THRESHOLD, Threshold
from l2m.training.evaluation import gaussian_law
from l2m.training.rows import read_rows, write_rows
from l2m.truth.frontier import MAX_LENGTH
from l2m.truth.frontier_curves import FrontierCurves, frontier_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from l2m.training.sweep import SweepRun
    from l2m.truth.gaussian import HierarchicalGaussian

Floats = NDArray[np.float64]

LARGEST_DISTANCE = 0.03
FORMER_COLUMNS = ("control", "control_kl", "counted")
"""Of tables written before the frontier was known, in place of numbers, frontier_kl and equivalent."""


@dataclasses.dataclass(frozen=True)
class RunResult:
    """One run of a sweep, as a row of its CSV. Informations and KLs in nats; KL per value, averaged over positions.

    Attributes:
        state: dim(z), numbers kept after L/2 positions.
        information: I_BP(L/2; L) of all copies together.
        captured: information - sum of KL over the second half, all copies together; may be negative.
        untrained_kl: of a model that predicts mean 0 and deviation 1: what there is to learn, and the frontier of no state.
        fall: share by which the held-out KL fell over the last third of the steps; nan where that was not measured.
        numbers: of state for one copy; nan, as the two below, where the law is not known.
        frontier_kl: of the best linear state found of as many numbers.
        equivalent: numbers whose frontier has this KL, over the numbers that are of use (`StateUse.share`).
    """

    name: str
    family: str
    length: int
    state: int
    parameters: int
    steps: int
    batch: int
    learning_rate: float
    seed: int
    information: float
    kl: float
    kl_stderr: float
    captured: float
    captured_stderr: float
    untrained_kl: float
    fall: float
    numbers: float = math.nan
    frontier_kl: float = math.nan
    equivalent: float = math.nan

    @property
    def ratio(self) -> float:
        """I_BP of all copies together over dim(z), nats per number."""
        return self.information / self.state

    @property
    def distance(self) -> float:
        """What training missed over what there is to learn: (KL - frontier KL) / untrained KL; negative below the frontier."""
        return (self.kl - self.frontier_kl) / self.untrained_kl

    @property
    def reached(self) -> bool:
        """The distance to the frontier is at most 3 %."""
        return self.distance <= LARGEST_DISTANCE


def collect(runs: "Sequence[SweepRun]") -> list[RunResult]:
    """The finished runs of a sweep on the Gaussian language, beside their frontiers."""
    from l2m.training.build import model_size
    from l2m.training.models.presets import PRESETS
    from l2m.training.runs import Run

    rows = []
    for run in runs:
        curve, config = run.evaluation(), run.config
        if curve is None or config.corpus is not None:
            continue
        history = Run.open(run.folder).held_out()
        shape, use = PRESETS.get(config.preset), curve.state_use()
        rows.append(
            RunResult(
                name=run.name,
                family=shape.family if shape else config.preset,
                length=config.length,
                state=curve.state,
                parameters=model_size(config).parameters,
                steps=config.total_steps,
                batch=config.batch * config.accumulate,
                learning_rate=config.peak_rate,
                seed=config.seed,
                information=curve.copies * curve.information,
                kl=curve.mean_kl,
                kl_stderr=curve.mean_stderr,
                captured=curve.copies * curve.captured,
                captured_stderr=curve.copies * curve.captured_stderr,
                untrained_kl=float(np.mean(0.5 * math.log(2 * math.pi * math.e) - curve.entropy)),
                fall=_fall(history, config.total_steps),
                numbers=use.numbers if use else math.nan,
                frontier_kl=use.frontier_kl if use else math.nan,
                equivalent=use.share if use else math.nan,
            )
        )
    return rows


def _fall(history: dict[int, float], steps: int) -> float:
    """Share by which the held-out loss fell over the last third; nan where it was not measured before that."""
    before = max((step for step in history if 3 * step <= 2 * steps), default=None)
    return math.nan if before is None else 1 - history[max(history)] / history[before]


def law_of(row: RunResult) -> "tuple[HierarchicalGaussian, int] | None":
    """The law a run was trained on and its number of copies, found again by the KL of no state and the information.

    None where no law of one number of children has both, or where the law is too long for a frontier.
    """
    layers = round(math.log(row.length, 4))
    if 4**layers != row.length or row.length > MAX_LENGTH or layers < 1:
        return None
    for boundary in ("weighted", "printed"):
        for children in (3, 2, 1):
            law = gaussian_law(layers, children, boundary)
            copies = round(row.information / law.bipartite_information())
            untrained = -float(np.log(law.conditional_std).mean())
            if (
                copies >= 1
                and math.isclose(untrained, row.untrained_kl, rel_tol=1e-5)
                and math.isclose(copies * law.bipartite_information(), row.information, rel_tol=1e-5)
            ):
                return law, copies
    return None


def beside_frontier(row: RunResult) -> RunResult:
    """The row with `numbers`, `frontier_kl` and `equivalent` computed where its law can be told."""
    found = law_of(row)
    if found is None:
        return row
    law, copies = found
    use = law.state_use(row.state / copies, row.kl)
    return dataclasses.replace(row, numbers=use.numbers, frontier_kl=use.frontier_kl, equivalent=use.share)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Collapse(Record):
    """KL against I/dim: the runs of a sweep, and the frontier of constant states at their lengths.

    Attributes:
        ratio, kl: of each run: I_BP of all copies over dim(z), and KL per value, (runs,).
        length, state: of each run.
        numbers, frontier_kl, equivalent, distance: of each run, as in `RunResult`.
        frontier: the frontier at the lengths of the runs; None where they are not of one known law.
    """

    kind: ClassVar[str] = "collapse"
    information_fields: ClassVar[tuple[str, ...]] = ("ratio", "kl", "frontier_kl")
    axes: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("ratio", "kl", "length", "state", "numbers", "frontier_kl", "equivalent", "distance"), "runs"
    )

    ratio: Floats
    kl: Floats
    length: NDArray[np.int64]
    state: NDArray[np.int64]
    numbers: Floats
    frontier_kl: Floats
    equivalent: Floats
    distance: Floats
    frontier: FrontierCurves | None = None

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], where: str = "") -> Self:
        """See `Record.from_dict`; a record that holds a fit, of earlier versions, is refused."""
        if isinstance(value, Mapping) and "coefficients" in value:
            raise InputError(
                f"{where or cls.kind}: a fit of an earlier version; expected runs beside the frontier: l2m sweep FOLDER/collapse.csv"
            )
        return super().from_dict(value, where)

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Runs whose distance to the frontier is at most 3 %, (runs,)."""
        return np.asarray(self.distance <= LARGEST_DISTANCE)

    def threshold(self, kl: float = 0.01) -> Threshold:
        """I_BP / dim(z) at which the frontier has `kl` nats a value: geometric mean over the lengths of the runs, and their range.

        No linear state found does with fewer numbers. Without a frontier it is the paper's 0.06, labelled so.

        Raises:
            InputError: a KL that the frontier does not reach at any length.
        """
        if self.frontier is None:
            return PAPER_THRESHOLD
        curves = self.frontier.to("nats")
        found = curves.thresholds(kl)
        if not found:
            raise InputError(f"kl: {kl:g}; expected less than {curves.mean_kl.max():.3g}, the frontier of one number")
        values = np.array(list(found.values()))
        low, high = (float(values.min()), float(values.max())) if values.size > 1 else (None, None)
        middle = float(np.exp(np.log(values).mean())) if values.size > 1 else float(values[0])
        lengths = f"L = {min(found):,}" + (f" to {max(found):,}" if len(found) > 1 else "")
        return Threshold(middle, low, high, source=f"frontier of memory: KL {kl:g} a value, {lengths}")

    def _brief(self) -> str:
        return f"{self.kl.size} runs, {int(self.reached.sum())} reach the frontier, L = {span(np.unique(self.length))}"

    def explain(self) -> str:
        """What the sweep showed, in words and numbers."""
        runs = self.kl.size
        if self.frontier is None:
            return (
                f"{runs} runs, not of one known law: no frontier. The verdict keeps {PAPER_THRESHOLD.nats_per_number:g} nats per number "
                f"({PAPER_THRESHOLD.source})."
            )
        reached = int(self.reached.sum())
        missed = np.median(self.kl - self.frontier_kl)
        words = (
            f"{reached} of {runs} runs reach the frontier (miss at most {LARGEST_DISTANCE:.0%} of what there is to learn); the median run "
            f"misses {missed:.4f} {self.unit} a value by training and uses {np.median(self.equivalent):.0%} of its useful numbers."
        )
        try:
            threshold = self.threshold()
        except InputError:  # the lengths are so short that one number is enough
            return words
        return f"{words} At a KL of 0.01 the frontier holds {threshold.nats_per_number:.2g} nats per number ({threshold.source})."

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """KL against information per number of state: the runs as points, filled where they reach the frontier, which is a line a
        length; log-log."""
        from l2m.base.plots import SERIES, new_axes

        axes = new_axes() if axes is None else axes
        low = float(self.kl.min()) / 2
        for length, color in zip(np.unique(self.length).tolist(), SERIES, strict=False):
            for chosen, face in ((self.reached, color), (~self.reached, "white")):
                here = chosen & (self.length == length)
                axes.plot(self.ratio[here], self.kl[here], "o", color=color, markerfacecolor=face)
            axes.plot([], [], "o-", color=color, label=f"L = {length:,}")
            if self.frontier is not None:
                ratio, kl = self.frontier.of_length(length)
                axes.plot(ratio, np.maximum(kl, low / 10), color=color, linewidth=1.2)
        axes.set(
            xscale="log", yscale="log", xlabel=f"I / dim(z) ({self.unit} a number)", ylabel=f"KL ({self.unit} a value)"
        )
        axes.set_ylim(bottom=low)
        axes.legend()
        return axes


def collapse(rows: Sequence[RunResult]) -> Collapse:
    """The runs beside the frontier at their lengths."""

    def column(name: str) -> Floats:
        return np.array([getattr(row, name) for row in rows], np.float64)

    return Collapse(
        ratio=column("ratio"),
        kl=column("kl"),
        length=column("length").astype(np.int64),
        state=column("state").astype(np.int64),
        numbers=column("numbers"),
        frontier_kl=column("frontier_kl"),
        equivalent=column("equivalent"),
        distance=column("distance"),
        frontier=_frontier(rows),
    )


def _frontier(rows: Sequence[RunResult]) -> FrontierCurves | None:
    """At the lengths of the runs; None where they are not of one known law with the paper's boundary."""
    first = {row.length: row for row in rows}  # one run of a length tells its law
    found = [law_of(row) for row in first.values()]
    laws = [one[0] for one in found if one is not None]
    families = {(law.children[0] if law.children else 3, law.boundary) for law in laws if law.layers > 1}
    if not laws or len(laws) < len(found) or len(families) > 1 or any(law.boundary != "weighted" for law in laws):
        return None
    children = next(iter(families))[0] if families else 3
    return _curves(tuple(sorted(law.layers for law in laws)), children)


@lru_cache(maxsize=8)
def _curves(layers: tuple[int, ...], children: int) -> FrontierCurves:
    return frontier_curves(layers, (), children=children)


def write_csv(rows: Sequence[RunResult], path: str | os.PathLike[str]) -> None:
    """One line a run, atomically."""
    write_rows(RunResult, rows, path)


def read_csv(path: str | os.PathLike[str]) -> list[RunResult]:
    """What `write_csv` wrote; in a table of an earlier version, without the frontier, it is computed.

    Raises:
        InputError: no such file, other columns, or numbers that no run has.
    """
    rows = read_rows(RunResult, path, "the results of a sweep", former=FORMER_COLUMNS)
    for line, row in enumerate(rows, 2):
        for name in ("length", "state", "steps", "batch"):
            checks.whole(f"{path}: line {line}: {name}", getattr(row, name), 1)
        for name in ("information", "kl", "untrained_kl"):  # drawn on logarithmic axes, or divided by
            checks.real(f"{path}: line {line}: {name}", getattr(row, name), 0, above=True)
        for name in ("numbers", "frontier_kl", "equivalent"):
            if not math.isnan(getattr(row, name)):
                checks.real(f"{path}: line {line}: {name}", getattr(row, name), 0)
    return [beside_frontier(row) if math.isnan(row.frontier_kl) else row for row in rows]


def table(rows: Sequence[RunResult]) -> str:
    """A Markdown table of the runs, by ratio."""
    lines = [
        "| model | L | dim(z) | numbers a copy | I/dim | steps | KL | frontier | missed | uses | captured | fall | reached |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda row: row.ratio):
        lines.append(
            f"| {row.name} | {row.length:,} | {row.state:,} | {row.numbers:,.4g} | {row.ratio:.4f} | {row.steps:,} | "
            f"{row.kl:.4f} ± {row.kl_stderr:.4f} | {row.frontier_kl:.4f} | {row.kl - row.frontier_kl:.4f} | {row.equivalent:.0%} | "
            f"{row.captured:.1f} of {row.information:.1f} | {100 * row.fall:.1f} % | {'yes' if row.reached else 'no'} |"
        )
    return "\n".join(lines)
