"""The runs of a sweep on text, side by side: NLL by position, and where each model stops improving."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from l2m.base.files import atomic_write
from l2m.training.rows import columns, read_rows, write_rows
from l2m.training.sweep import SweepRun


@dataclasses.dataclass(frozen=True)
class TextPoint:
    """One bin of one run's curve, as a row of nll.csv: positions first..last, nats per token.

    `state` is dim(z) at L/2, `plateau` the position from which the run no longer improves, nan where it cannot be told.
    """

    name: str
    length: int
    parameters: int
    state: int
    steps: int
    plateau: float
    first: float
    last: float
    nll: float
    stderr: float


def collect(runs: Sequence[SweepRun]) -> list[TextPoint]:
    """The finished runs of a sweep on text."""
    from l2m.training.build import model_size
    from l2m.training.evaluation import plateau
    from l2m.training.inputs import find_inputs

    points = []
    for run in runs:
        curve = run.evaluation()
        if curve is None:
            continue
        parameters = model_size(run.config, find_inputs(run.config, verify=False)).parameters
        common = (
            run.name,
            run.config.length,
            parameters,
            int(curve.settings["state"]),
            run.config.total_steps,
            plateau(curve),
        )
        for bin in zip(curve.first, curve.last, curve.nll, curve.stderr, strict=True):
            points.append(TextPoint(*common, *map(float, bin)))
    return points


def write_csv(points: Sequence[TextPoint], path: str | os.PathLike[str]) -> None:
    """One line a bin, atomically."""
    write_rows(TextPoint, points, path)


def read_csv(path: str | os.PathLike[str]) -> list[TextPoint]:
    """What `write_csv` wrote.

    Raises:
        InputError: no such file, or other columns.
    """
    return read_rows(TextPoint, path, "the results of a sweep on text")


def is_csv(path: str | os.PathLike[str]) -> bool:
    """Whether `write_csv` wrote the file, by its columns."""
    return columns(path) == [field.name for field in dataclasses.fields(TextPoint)]


def draw(points: Sequence[TextPoint], axes: Any = None) -> Any:
    """NLL by position, one line a run with its 95 % band; a mark where it stops improving."""
    import numpy as np

    from l2m.base.plots import new_axes

    axes = new_axes(7.2, 4.6) if axes is None else axes
    for name, length in dict.fromkeys((point.name, point.length) for point in points):
        mine = [point for point in points if (point.name, point.length) == (name, length)]
        at = np.sqrt([point.first * point.last for point in mine])
        nll, error = (np.array([getattr(point, field) for point in mine]) for field in ("nll", "stderr"))
        (line,) = axes.plot(at, nll, label=f"{name}, L = {length:,}, state {mine[0].state:,}")
        axes.fill_between(at, nll - 1.96 * error, nll + 1.96 * error, color=line.get_color(), alpha=0.15, linewidth=0)
        if not np.isnan(mine[0].plateau):
            axes.plot(mine[0].plateau, np.interp(mine[0].plateau, at, nll), "o", color=line.get_color())
    axes.set_xscale("log", base=2)
    axes.set(xlabel="position (tokens)", ylabel="nats per token")
    axes.legend()
    return axes


def table(points: Sequence[TextPoint]) -> str:
    """A Markdown table: one line a run."""
    from l2m.training.evaluation import shown_plateau

    lines = [
        "| model | L | parameters | dim(z) | steps | NLL at the end | no better from position |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    ends = {(point.name, point.length): point for point in points}  # the last bin of each run is kept
    for point in ends.values():
        lines.append(
            f"| {point.name} | {point.length:,} | {point.parameters:,} | {point.state:,} | {point.steps:,} | "
            f"{point.nll:.4f} ± {point.stderr:.4f} | {shown_plateau(point.plateau)} |"
        )
    return "\n".join(lines)


def save(points: Sequence[TextPoint], folder: Path) -> None:
    """Write nll.csv and nll.svg into `folder`."""
    from l2m.base.plots import svg

    write_csv(points, folder / "nll.csv")
    with atomic_write(folder / "nll.svg", "w") as file:
        file.write(svg(draw(points).figure))
