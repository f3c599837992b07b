"""From what commands leave to a curve of the table, and back: a row measured again by its own commands."""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from l2m.base import checks
from l2m.base.records import read_record
from l2m.counting import two_point_curve  # noqa: F401  its record is read
from l2m.errors import InputError
from l2m.pipeline.laws import LawCurve, LawRow, find
from l2m.scoring.exponents import default_estimate
from l2m.scoring.position_nll import PositionCurve, position_nll
from l2m.scoring.scores import Scores
from l2m.statistics.power_law import PowerLaw, fit_or_reason
from l2m.truth import gaussian_curves  # noqa: F401  likewise

Described = dict[str, Any]


def measured(path: Path, quantity: str, commands: Sequence[str], date: str, **fit: Any) -> LawCurve:
    """The curve and the law in what the commands left.

    Args:
        path: a folder of scores, or two_point.json, growth.json.
        quantity: "bipartite", "two-point" or "entropy".
        fit: passed on to the curve's own `fit`.

    Raises:
        InputError: nothing of that kind is there.
    """
    if path.is_dir():
        scores = Scores.open(path)
        found = position_nll(scores, levels=(), entropy=False) if quantity == "entropy" else default_estimate(scores)
    else:
        found = read_record(path)
    law, words = fit_or_reason(found, **fit)
    holds = law is not None and law.holds
    exponent, low, high = _exponent(law if holds else None, quantity)
    return LawCurve(
        quantity=quantity, estimator=_estimator(found), **_points(found), law=law if holds else None,
        exponent=exponent, low=low, high=high, words=words, compared=_compared(found, law), commands=tuple(commands), date=date,
        settings={"result": "", "fit": dict(fit)},
    )  # fmt: skip


def _exponent(law: PowerLaw | None, quantity: str) -> tuple[float, float, float]:
    """(value, low, high), positive where the quantity falls."""
    if law is None:
        return np.nan, np.nan, np.nan
    low, high = law.interval("exponent")
    return (law.exponent, low, high) if quantity == "bipartite" else (-law.exponent, -high, -low)


def _points(curve: Any) -> Described:
    if isinstance(curve, PositionCurve):
        return {"x": np.sqrt(curve.first * curve.last.astype(float)), "information": curve.nll, "stderr": curve.stderr}
    x = curve.distance if hasattr(curve, "distance") else curve.length
    stderr = getattr(curve, "stderr", None)
    return {
        "x": x.astype(float), "information": curve.information, "stderr": np.full(x.size, np.nan) if stderr is None else stderr,
    }  # fmt: skip


def _estimator(curve: Any) -> str:
    if curve.kind == "two-point":
        return f"{curve.settings['estimator']}, null {curve.settings['null']}"
    if curve.kind == "bipartite":
        return str(curve.name)
    return {"position nll": "mean NLL of the model", "gaussian growth": "exact", "gaussian two-point": "exact"}[
        curve.kind
    ]


def _compared(curve: Any, law: PowerLaw | None) -> str:
    """The verdict on the points that a law was fitted to; of all where none holds."""
    from l2m.statistics.curve_comparison import compare_curves

    points = _points(curve)
    kept = np.isfinite(points["information"])
    if law is not None and law.holds:
        kept &= np.isin(points["x"], law.x)
    if kept.sum() < 4 or isinstance(curve, PositionCurve):
        return ""
    stderr = points["stderr"][kept]
    weighted = bool((stderr > 0).all())
    try:
        return compare_curves(
            points["x"][kept], points["information"][kept], stderr=stderr if weighted else None,
        ).verdict  # fmt: skip
    except InputError as error:
        return f"not compared: {error}"


def verify(
    row: LawRow | str, out: Path, *, corpus: str | None = None, quantity: str | None = None
) -> list[tuple[LawCurve, LawCurve]]:
    """Run a row's commands in the folder `out` and measure each curve again.

    Args:
        corpus: what `CORPUS` in the commands stands for, where the row's corpus is not one that l2m writes.
        quantity: that curve alone.

    Returns:
        (shipped, measured now) for each curve.

    Raises:
        InputError: no such row, a corpus that must be named, a command that failed.
    """
    row = find(row) if isinstance(row, str) else row
    chosen = [curve for curve in row.curves if quantity in (None, curve.quantity)]
    if not chosen:
        row.curve(quantity or "bipartite")
    out.mkdir(parents=True, exist_ok=True)
    pairs, done = [], set()
    for curve in chosen:
        for command in curve.commands:
            words = _words(command, row, out, corpus)
            if tuple(words) in done:
                continue
            done.add(tuple(words))
            status = subprocess.run([sys.executable, "-m", "l2m", *words], stdout=subprocess.DEVNULL).returncode
            if status:
                raise InputError(f"verify: {command!r} ended with status {status}; expected 0")
        options = curve.settings["fit"]
        pairs.append(
            (curve, measured(out / curve.settings["result"], curve.quantity, curve.commands, curve.date, **options))
        )
    return pairs


def _words(command: str, row: LawRow, out: Path, corpus: str | None) -> list[str]:
    """The words of a command after `l2m`, with the folder and the corpus in place of OUT and CORPUS."""
    if "CORPUS" in command and corpus is None:
        raise InputError(f"verify: {row.name} is measured on {row.corpus['name']}; name its files with --corpus FOLDER")
    given: Mapping[str, str] = {"OUT": str(out), "CORPUS": checks.path("corpus", corpus or ".").as_posix()}
    words = shlex.split(command)[1:]
    for name, value in given.items():
        words = [
            value if word == name else word.replace(f"{name}/", f"{value}/", 1) if word.startswith(f"{name}/") else word
            for word in words
        ]
    return words
