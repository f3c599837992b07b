"""The figures of a sweep: KL against information per number of state, and both against length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from l2m.base.files import atomic_write
from l2m.base.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, new_axes, svg
from l2m.training.collapse import Collapse, RunResult, collapse, write_csv

COLORS = (BLUE, GREEN, ORANGE, PURPLE, GREY, "#b0892f")
SHAPES = {"mamba": "o", "mamba2": "s", "gpt2": "^"}


def draw(rows: Sequence[RunResult], curve: Collapse, axes: Any = None) -> Any:
    """KL per value against I/dim: a point a run, filled where it reaches the frontier; a line a length, the frontier. Color by
    length, shape by family.
    """
    axes = new_axes(7.2, 4.6) if axes is None else axes
    colors = dict(zip(sorted({row.length for row in rows}), COLORS, strict=False))
    for row in rows:
        color = colors.get(row.length, "black")
        axes.errorbar(
            row.ratio,
            row.kl,
            2 * row.kl_stderr,
            fmt=SHAPES.get(row.family, "D"),
            color=color,
            markerfacecolor=color if row.reached else "white",
            markersize=6,
        )
    low = min(row.kl for row in rows) / 2
    for length, color in colors.items():
        axes.plot([], [], "o", color=color, label=f"L = {length:,}")
        if curve.frontier is not None:
            ratio, kl = curve.frontier.of_length(length)
            axes.plot(
                ratio, np.maximum(kl, low / 10), color=color, linewidth=1.2
            )  # a state that holds everything: straight down
    for family in sorted({row.family for row in rows}):
        axes.plot([], [], SHAPES.get(family, "D"), color="black", label=family)
    axes.plot([], [], "o", color="black", markerfacecolor="white", label="misses over 3 %")
    if curve.frontier is not None:
        axes.plot([], [], color="black", linewidth=1.2, label="frontier")
    axes.set(xscale="log", yscale="log", xlabel="I_BP / dim(z), nats per number", ylabel="KL per value, nats")
    axes.set_ylim(bottom=low)
    axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)  # points lie in every corner
    return axes


def draw_lengths(rows: Sequence[RunResult]) -> Any:
    """Two panels against L, a line a model: KL per value and that of an untrained model, captured information and the
    law's, all copies together. Returns their array.
    """
    panels = new_axes(10, 4.6, panels=2)
    names = list(dict.fromkeys(row.name for row in sorted(rows, key=lambda row: (row.family, row.state))))
    at_length = {row.length: row for row in sorted(rows, key=lambda row: row.length)}
    for axes, field, truth, words in zip(
        panels,
        ("kl", "captured"),
        ("untrained_kl", "information"),
        ("untrained: mean 0, deviation 1", "I_BP of the law"),
        strict=True,
    ):
        axes.plot(
            list(at_length), [getattr(row, truth) for row in at_length.values()], "--", color="black", label=words
        )
        for number, name in enumerate(names):
            mine = sorted((row for row in rows if row.name == name), key=lambda row: row.length)
            axes.errorbar(
                [row.length for row in mine],
                [getattr(row, field) for row in mine],
                [2 * getattr(row, f"{field}_stderr") for row in mine],
                # Shape says the family, color the model within it: no two of a family look alike.
                marker=SHAPES.get(mine[0].family, "D"),
                color=f"C{number % 10}",
                markersize=5,
                linewidth=1.0,
                label=name if axes is panels[0] else None,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(at_length), [f"{length:,}" for length in at_length])
        axes.set_xlabel("length L")
    panels[0].set(yscale="log", ylabel="KL per value, nats")
    panels[1].set_yscale("symlog", linthresh=10)
    panels[1].set_ylabel("captured information, nats")
    panels[1].legend()
    panels[0].figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
    return panels


def save(rows: Sequence[RunResult], folder: Path) -> Collapse:
    """Write collapse.csv, collapse.json, and the figures collapse.svg and lengths.svg into `folder`."""
    curve = collapse(rows)
    write_csv(rows, folder / "collapse.csv")
    curve.save(folder / "collapse.json")
    for name, axes in (("collapse", draw(rows, curve)), ("lengths", draw_lengths(rows)[0])):
        with atomic_write(folder / f"{name}.svg", "w") as file:
            file.write(svg(axes.figure))
    return curve
