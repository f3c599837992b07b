"""Does KL depend on information per number of state alone? The runs of a sweep on one curve (paper, Fig. 3c), and its verdict.

A run counts only if it measures memory rather than optimisation:
    settled     its held-out KL fell by less than 3 % over the last third of its steps, and
    controlled  another run at the same length, with at least 8 times the state and no more training sequences, reached a
                lower KL: what limits this run is then neither its budget nor what the family can learn.
The others are drawn hollow and left out of the fit.
"""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.records import Record
from l2m.errors import InputError
from l2m.states.threshold import PAPER_THRESHOLD, Threshold
from l2m.training.rows import read_rows, write_rows

if TYPE_CHECKING:
    from l2m.training.sweep import SweepRun

Floats = NDArray[np.float64]

LARGEST_FALL = 0.03
CONTROL_FACTOR = 8
FEWEST_COUNTED = 8
WIDEST_PAIR = 0.1
"""Two runs are of equal ratio if I/dim differs by at most this, relatively."""


@dataclasses.dataclass(frozen=True)
class RunResult:
    """One run of a sweep, as a row of its CSV. Informations and KLs in nats; KL per value, averaged over positions.

    Attributes:
        state: dim(z), numbers kept after L/2 positions.
        budget: training sequences, steps x batch.
        information: I_BP(L/2; L) of all copies together.
        captured: information - sum of KL over the second half, all copies together; may be negative.
        fall: share by which the held-out KL fell over the last third of the steps; nan where that was not measured.
        control: name of the run that shows a lower KL to be within reach ("" where there is none), and its KL.
        counted: settled and controlled.
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
    control: str = ""
    control_kl: float = math.nan
    counted: bool = False

    @property
    def ratio(self) -> float:
        """I_BP of all copies together over dim(z), nats per number."""
        return self.information / self.state

    @property
    def budget(self) -> int:
        return self.steps * self.batch


def collect(runs: "Sequence[SweepRun]") -> list[RunResult]:
    """The finished runs of a sweep on the Gaussian language, judged by `judge`."""
    from l2m.training.build import model_size
    from l2m.training.models.presets import PRESETS
    from l2m.training.runs import Run

    rows = []
    for run in runs:
        curve, config = run.evaluation(), run.config
        if curve is None or config.corpus is not None:
            continue
        history = Run.open(run.folder).held_out()
        shape = PRESETS.get(config.preset)
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
            )
        )
    return judge(rows)


def _fall(history: dict[int, float], steps: int) -> float:
    """Share by which the held-out loss fell over the last third; nan where it was not measured before that."""
    before = max((step for step in history if 3 * step <= 2 * steps), default=None)
    return math.nan if before is None else 1 - history[max(history)] / history[before]


def judge(rows: Sequence[RunResult]) -> list[RunResult]:
    """The same rows with `control`, `control_kl` and `counted` set: the control is the lowest KL that qualifies."""
    judged = []
    for row in rows:
        controls = [
            other
            for other in rows
            if other.length == row.length
            and other.budget <= row.budget
            and other.state >= CONTROL_FACTOR * row.state
            and other.kl < row.kl
        ]
        best = min(controls, key=lambda other: other.kl, default=None)
        judged.append(
            dataclasses.replace(
                row,
                control=best.name if best else "",
                control_kl=best.kl if best else math.nan,
                counted=best is not None and row.fall < LARGEST_FALL,
            )
        )
    return judged


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Collapse(Record):
    """log KL as a function of log(I/dim): the fitted curve, how far the runs lie from it, and whether they fall on it.

    Attributes:
        ratio, kl: of the counted runs: I_BP of all copies over dim(z), and KL per value.
        length, state: of the counted runs.
        coefficients: of the polynomial in log(ratio), highest power first; empty where there is no curve.
        scatter, scatter_length, scatter_state: residual standard deviation of log KL against log ratio, against log L
            alone and against log dim alone, each with a polynomial of the same degree.
        pairs: how many pairs of counted runs have the same ratio (to 10 %) and different L.
        runs: how many runs there were, counted or not.
    """

    kind: ClassVar[str] = "collapse"
    information_fields: ClassVar[tuple[str, ...]] = ("ratio", "kl")
    axes: ClassVar[Mapping[str, str]] = dict.fromkeys(("ratio", "kl", "length", "state"), "runs")

    ratio: Floats
    kl: Floats
    length: NDArray[np.int64]
    state: NDArray[np.int64]
    coefficients: Floats
    scatter: float
    scatter_length: float
    scatter_state: float
    pairs: int
    runs: int

    def _scaled(self, factor: float) -> dict[str, Any]:
        """Of log KL as a polynomial of log(ratio) both sides move by the log of the factor."""
        changes = super()._scaled(factor)
        if self.has_curve:
            shift = math.log(factor)
            moved = np.poly1d(self.coefficients)(np.poly1d([1.0, -shift])) + shift
            changes["coefficients"] = np.array(moved.coeffs)
        return changes

    @property
    def has_curve(self) -> bool:
        """At least 8 counted runs over a factor of 10 in I/dim."""
        return self.coefficients.size > 0

    @property
    def collapses(self) -> bool:
        """The scatter is at most half of that against L or dim alone, with at least 3 pairs of equal ratio."""
        return self.has_curve and self.pairs >= 3 and 2 * self.scatter <= min(self.scatter_length, self.scatter_state)

    def predict(self, ratio: Any) -> Any:
        """KL per value at an I/dim within the range of the counted runs."""
        return np.exp(np.polyval(self.coefficients, np.log(ratio)))

    def threshold(self, kl: float = 0.01) -> Threshold:
        """I_BP / dim(z) at which the KL per value is `kl` nats, with the interval that two standard deviations of scatter give.

        Without a curve of our own, or with runs that do not fall on it, it is the paper's 0.06, labelled so: a KL that does
        not depend on I/dim alone has no such threshold.

        Raises:
            InputError: a KL the curve does not reach.
        """
        if not self.collapses:
            return PAPER_THRESHOLD
        if self.unit != "nats":
            return self.to("nats").threshold(kl)
        checks.real("kl", kl, 0, above=True)
        grid = np.geomspace(self.ratio.min(), self.ratio.max(), 2_000)
        curve = np.log(self.predict(grid))
        if not curve[0] <= math.log(kl) <= curve[-1]:
            raise InputError(
                f"kl: {kl:g}; expected {math.exp(curve[0]):.3g} to {math.exp(curve[-1]):.3g}, as the curve spans"
            )

        def crossing(shift: float) -> float:
            above = np.flatnonzero(curve + shift > math.log(kl))
            return float(grid[above[0] if above.size else -1])

        spread = 2 * self.scatter
        source = (
            f"own sweep: {self.kl.size} of {self.runs} runs, KL {kl:g} a value, scatter {self.scatter:.2f} in log KL"
        )
        return Threshold(crossing(0), crossing(spread), crossing(-spread), source=source)


def collapse(rows: Sequence[RunResult], *, families: Sequence[str] = ("mamba", "mamba2")) -> Collapse:
    """The curve through the counted runs of these families: a straight line in logarithms, or a parabola from 12 runs on."""
    kept = [row for row in rows if row.counted and row.family in families]
    ratio, kl = np.array([row.ratio for row in kept]), np.array([row.kl for row in kept])
    length, state = (np.array([getattr(row, name) for row in kept], np.int64) for name in ("length", "state"))
    enough = len(kept) >= FEWEST_COUNTED and ratio.max() >= 10 * ratio.min()
    degree = 2 if len(kept) >= 12 else 1
    coefficients, scatter = _fit(ratio, kl, degree) if enough else (np.zeros(0), math.nan)
    pairs = sum(
        length[i] != length[j] and abs(math.log(ratio[i] / ratio[j])) <= math.log1p(WIDEST_PAIR)
        for i in range(len(kept))
        for j in range(i)
    )
    return Collapse(
        ratio=ratio,
        kl=kl,
        length=length,
        state=state,
        coefficients=coefficients,
        scatter=scatter,
        scatter_length=_fit(length, kl, degree)[1] if enough else math.nan,
        scatter_state=_fit(state, kl, degree)[1] if enough else math.nan,
        pairs=int(pairs),
        runs=len(rows),
        settings={"families": tuple(families)},
    )


def _fit(x: NDArray[Any], kl: Floats, degree: int) -> tuple[Floats, float]:
    """Polynomial of log KL in log x, and the residual standard deviation; no more terms than x has values."""
    degree = min(degree, np.unique(x).size - 1)
    coefficients = np.polyfit(np.log(x), np.log(kl), degree)
    residual = np.log(kl) - np.polyval(coefficients, np.log(x))
    return coefficients, float(math.sqrt((residual**2).sum() / (kl.size - degree - 1)))


def write_csv(rows: Sequence[RunResult], path: str | os.PathLike[str]) -> None:
    """One line a run, atomically."""
    write_rows(RunResult, rows, path)


def read_csv(path: str | os.PathLike[str]) -> list[RunResult]:
    """What `write_csv` wrote, judged again.

    Raises:
        InputError: no such file, other columns, or numbers that no run has.
    """
    rows = read_rows(RunResult, path, "the results of a sweep")
    for line, row in enumerate(rows, 2):
        for name in ("length", "state", "steps", "batch"):
            checks.whole(f"{path}: line {line}: {name}", getattr(row, name), 1)
        for name in ("information", "kl"):  # whose logarithms are fitted
            checks.real(f"{path}: line {line}: {name}", getattr(row, name), 0, above=True)
    return judge(rows)


def table(rows: Sequence[RunResult]) -> str:
    """A Markdown table of the runs, by ratio."""
    lines = [
        "| model | L | dim(z) | I/dim | steps | KL | untrained | captured | fall | control | counted |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda row: row.ratio):
        control = f"{row.control} {row.control_kl:.4f}" if row.control else "none lower"
        lines.append(
            f"| {row.name} | {row.length:,} | {row.state:,} | {row.ratio:.4f} | {row.steps:,} | "
            f"{row.kl:.4f} ± {row.kl_stderr:.4f} | {row.untrained_kl:.4f} | {row.captured:.1f} of {row.information:.1f} | "
            f"{100 * row.fall:.1f} % | {control} | {'yes' if row.counted else 'no'} |"
        )
    return "\n".join(lines)


def explain(curve: Collapse) -> str:
    """What the sweep showed, in words and numbers."""
    if not curve.has_curve:
        spread = f" over a factor {curve.ratio.max() / curve.ratio.min():.1f} in I/dim" if curve.kl.size else ""
        return (
            f"{curve.kl.size} of {curve.runs} runs counted{spread}; fewer than {FEWEST_COUNTED} over a factor 10: no curve of "
            f"our own. The verdict keeps {_paper()}."
        )
    found = "the runs collapse on one curve" if curve.collapses else "the runs do not collapse on one curve"
    kept = "" if curve.collapses else f" The verdict keeps {_paper()}."
    return (
        f"{curve.kl.size} of {curve.runs} runs counted: {found}. Residual standard deviation of log KL: "
        f"{curve.scatter:.3f} against I/dim, {curve.scatter_length:.3f} against L, {curve.scatter_state:.3f} against dim; "
        f"{curve.pairs} pairs of equal ratio and different L.{kept}"
    )


def _paper() -> str:
    return f"{PAPER_THRESHOLD.nats_per_number:g} nats per number ({PAPER_THRESHOLD.source})"
