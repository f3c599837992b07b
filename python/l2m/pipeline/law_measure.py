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
from l2m.pipeline.laws import Floats, LawCurve, LawRow, find
from l2m.scoring.exponents import default_estimate
from l2m.scoring.position_nll import PositionCurve, position_nll
from l2m.scoring.scores import Scores
from l2m.statistics.power_law import PowerLaw, fit_or_reason
from l2m.truth import gaussian_curves  # noqa: F401  likewise


def measured(
    folder: Path, result: str, quantity: str, commands: Sequence[str], date: str, fit: Mapping[str, Any]
) -> LawCurve:
    """The curve and the law in what the commands left.

    Args:
        result: in the folder: a folder of scores, or two_point.json, growth.json.
        quantity: "bipartite", "two-point" or "entropy".
        fit: options of the curve's own `fit`.

    Raises:
        InputError: nothing of that kind is there.
    """
    path = folder / result
    if path.is_dir():
        scores = Scores.open(path)
        found = position_nll(scores, levels=(), entropy=False) if quantity == "entropy" else default_estimate(scores)
    else:
        found = read_record(path)
    law, words = fit_or_reason(found, **fit)
    x, information, stderr = _points(found)
    compared = "" if quantity == "entropy" else _compared(x, information, stderr, law, chosen=bool(fit))
    # An exponent that may be 0 is that of a constant: no law to quote.
    held = law if law is not None and law.holds and np.prod(law.interval("exponent")) > 0 else None
    exponent, low, high = _exponent(held, quantity)
    return LawCurve(
        quantity=quantity, estimator=_estimator(found), x=x, information=information, stderr=stderr,
        law=held, exponent=exponent, low=low, high=high, words=words, compared=compared, commands=tuple(commands), date=date,
        settings={"result": result, "fit": dict(fit)},
    )  # fmt: skip


def _exponent(law: PowerLaw | None, quantity: str) -> tuple[float, float, float]:
    """(value, low, high), positive where the quantity falls; nan without a law."""
    if law is None:
        return np.nan, np.nan, np.nan
    low, high = law.interval("exponent")
    return (law.exponent, low, high) if quantity == "bipartite" else (-law.exponent, -high, -low)


def _points(curve: Any) -> tuple[Floats, Floats, Floats]:
    """(x, information, its standard errors)."""
    if isinstance(curve, PositionCurve):
        return np.sqrt(curve.first * curve.last.astype(float)), curve.nll, curve.stderr
    x = curve.distance if hasattr(curve, "distance") else curve.length
    stderr = getattr(curve, "stderr", None)
    return x.astype(float), curve.information, np.full(x.size, np.nan) if stderr is None else stderr


def _estimator(curve: Any) -> str:
    if curve.kind == "two-point":
        return f"{curve.settings['estimator']}, null {curve.settings['null']}"
    if curve.kind == "bipartite":
        return str(curve.name)
    return "mean NLL of the model" if isinstance(curve, PositionCurve) else "exact"


def _compared(x: Floats, information: Floats, stderr: Floats, law: PowerLaw | None, *, chosen: bool) -> str:
    """The verdict on the points of the law; where none holds, on all, unless the range of the fit was chosen."""
    from l2m.statistics.curve_comparison import compare_curves

    if law is not None and not law.resolved:
        return ""  # nothing but noise to compare
    kept = np.isfinite(information)
    if law is not None and (law.holds or chosen):
        kept &= np.isin(x, law.x)
    if kept.sum() < 4:
        return ""
    weighted = bool((stderr[kept] > 0).all())
    try:
        return compare_curves(x[kept], information[kept], stderr=stderr[kept] if weighted else None).verdict
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
        result, fit = curve.settings["result"], curve.settings["fit"]
        pairs.append((curve, measured(out, result, curve.quantity, curve.commands, curve.date, fit)))
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
