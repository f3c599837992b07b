import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from l2m.errors import InputError

if TYPE_CHECKING:
    from l2m.scoring.bipartite import BipartiteCurve
    from l2m.statistics.power_law import PowerLaw


def bipartite(
    scores: Path,
    *,
    estimator: Literal["direct", "vclub", "entropy"] | None = None,
    ratio: int | None = None,
    correction: Literal["none", "ngram", "averaged", "fitted"] | None = None,
    preset: Literal["paper"] | None = None,
    x: Literal["length", "split"] | None = None,
    nats: float = 1.0,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Bipartite information of past and future from scores, and its power law: all estimates side by side, or those named.

    Examples
    --------
    l2m bipartite scores
    l2m bipartite scores --estimator direct --correction ngram --out bipartite

    Parameters
    ----------
    scores
        Folder made by l2m score.
    estimator
        direct, vclub, or entropy (of the next token, summed). Default: all that were scored.
    ratio
        Total length over split. Default: all that were scored.
    correction
        Of the first tokens: none, ngram (the paper's) or averaged (over contexts) with direct, fitted with entropy.
        Default: all that were scored for.
    preset
        paper: fitted against l over 2..512, conditional passes of one half of the windows, marginal of the other.
    x
        What amplitudes refer to: length (L) or split (l). Default: length, or what the preset says.
    nats
        Show the exponent if all values were off by this many nats either way.
    out
        Folder for one JSON record per curve and a figure.
    json
        Print the result as one JSON object.
    """
    from l2m.base import checks
    from l2m.base.files import json_hash
    from l2m.base.folders import claim
    from l2m.cli.output import plain as plain_number
    from l2m.cli.output import print_result
    from l2m.cli.work import can_draw
    from l2m.scoring.agreement import agreement_or_reason
    from l2m.scoring.bipartite import every_estimate
    from l2m.scoring.exponents import default_estimate, exponent_range
    from l2m.scoring.scores import Scores
    from l2m.statistics.power_law import fit_or_reason

    checks.real("nats", nats, 0, 1e6, above=True)
    named = {"estimator": estimator, "ratio": ratio, "correction": correction}
    held = Scores.open(scores)
    curves = [
        curve
        for curve in every_estimate(held, preset=preset)
        if all(value is None or curve.settings[name] == value for name, value in named.items())
    ]
    if not curves:
        asked = ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)
        raise InputError(
            f"{scores}: no passes for {asked or 'any estimate'}; score with more windows, shuffles, contexts or ratios"
        )
    rows, laws = [], []
    for curve in curves:
        law, words = fit_or_reason(curve, x=x)
        laws.append(law)
        rows.append(_row(curve, law, words, x, nats))
    ratio_shown = curves[0].settings["ratio"]
    beta = exponent_range(
        [
            curve
            for curve in curves
            if curve.settings["ratio"] == ratio_shown and curve.settings["estimator"] == "direct"
        ]
    )
    agreed, agreement_words, chosen = None, "", ""
    if preset is None and any(curve.settings["ratio"] == 2 for curve in curves):
        best = default_estimate(held)
        agreed, agreement_words = agreement_or_reason(best, held)
        chosen = f"\nThe estimate that l2m measure takes: {best.name}."
    if out is not None:
        claim(out, "bipartite", {"scores": json_hash(held.settings), **named, "preset": preset, "x": x, "nats": nats})
        for curve in curves:
            curve.save(
                out / f"{curve.settings['estimator']}-{curve.settings['ratio']}-{curve.settings['correction']}.json"
            )
        if can_draw():
            draw(curves, laws, out / "bipartite.svg")
    low, high = beta.ends
    result = {
        "scores": str(scores),
        "nats": nats,
        "laws": rows,
        "range": {"low": plain_number(low), "high": plain_number(high), "choices": int(beta.exponent.size)},
        "agreement": None if agreed is None else agreed.to_dict(),
        "curves": [_table(curve) for curve in curves],
    }
    lines = [_in_words(rows, curves, nats)]
    if beta.exponent.size > 1:
        lines.append(
            f"\nbeta over the choices that can be defended at L = {ratio_shown} l (direct estimates, and the l that the fit begins "
            f"at): {low:.3f} to {high:.3f}, {beta.exponent.size} choices"
        )
    lines += [line for line in (chosen, agreement_words) if line]
    print_result(result, json, "\n".join(lines))


def _row(curve: "BipartiteCurve", law: "PowerLaw | None", words: str, x: str | None, nats: float) -> dict[str, Any]:
    """An estimate, its law (numbers None where there is none to quote) and the exponent of the values moved by `nats`."""
    low, high = law.interval("exponent") if law is not None else (math.nan, math.nan)
    moved = {}
    if law is not None:
        with suppress(InputError):  # logarithms of values that the shift takes to 0 or below
            moved = {change: one.exponent for change, one in curve.sensitivity(nats, x=x).items()}
    return {
        "estimator": curve.settings["estimator"],
        "ratio": curve.settings["ratio"],
        "correction": curve.settings["correction"],
        "x": x or curve.settings["x"],
        "amplitude": math.nan if law is None else law.amplitude,
        "exponent": math.nan if law is None else law.exponent,
        "low": low,
        "high": high,
        "holds": law is not None and law.holds,
        "splits": [] if law is None else law.settings["splits"].tolist(),
        "words": words,
        "exponent_if_too_high": moved.get(-nats, math.nan),
        "exponent_if_too_low": moved.get(nats, math.nan),
        "windows": curve.settings["windows"],
        "windows_asked": curve.settings["windows"] + curve.settings["windows_incomplete"],
        "groups": f"{len(curve.replicates)} {curve.groups}",
    }


def _table(curve: "BipartiteCurve") -> dict[str, Any]:
    columns = {name: values.tolist() for name, values in curve.columns().items()}
    return {"title": curve.title, **columns}


def _in_words(rows: list[dict[str, Any]], curves: list["BipartiteCurve"], nats: float) -> str:
    lines = []
    for curve in curves:
        lines.append(f"{curve.title}, I in nats at each l:")
        pairs = zip(curve.split, curve.information, curve.stderr, strict=True)
        lines.append("  " + "  ".join(f"{split}: {value:.2f}±{error:.2f}" for split, value, error in pairs))
    x = "L" if rows[0]["x"] == "length" else "l"
    lines.append(f"\nI = A {x}^beta, beta with 95 % interval; and beta if all I were {nats:g} nats too high or too low")
    for row in rows:
        name = f"{row['estimator']} L={row['ratio']}l" + (
            "" if row["correction"] == "none" else f" {row['correction']}"
        )
        about = f"({_windows(row)}, jackknife over {row['groups']})"
        if not row["holds"]:
            lines.append(f"{name:<24} {row['words']}  ({_windows(row)})")
            continue
        lines.append(
            f"{name:<24} {row['amplitude']:.3g} {x}^{row['exponent']:.3f}  [{row['low']:.3f}, {row['high']:.3f}]  "
            f"{row['exponent_if_too_high']:.3f} or {row['exponent_if_too_low']:.3f}  from l = {row['splits'][0]}  {about}"
        )
    return "\n".join(lines)


def _windows(row: dict[str, Any]) -> str:
    asked = row["windows_asked"]
    return f"{row['windows']} windows" if row["windows"] == asked else f"{row['windows']} of {asked} windows"


def draw(curves: list["BipartiteCurve"], laws: list["PowerLaw | None"], path: Path) -> None:
    """One panel per ratio with every estimate and its law."""
    from matplotlib.figure import Figure

    from l2m.base.files import atomic_write
    from l2m.base.plots import BLUE, GREEN, ORANGE, PURPLE, SERIES, svg

    colors = dict(
        zip(
            ("direct none", "direct ngram", "direct averaged", "vclub none", "entropy none", "entropy fitted"),
            (BLUE, GREEN, PURPLE, ORANGE, *SERIES[-2:]),
            strict=True,
        )
    )
    ratios = sorted({curve.settings["ratio"] for curve in curves})
    figure = Figure(figsize=(5.2 * len(ratios), 4.4), layout="constrained")
    panels = figure.subplots(1, len(ratios), squeeze=False, sharey=True)[0]
    for curve, law in zip(curves, laws, strict=True):
        key = f"{curve.settings['estimator']} {curve.settings['correction']}"
        curve.plot(panels[ratios.index(curve.settings["ratio"])], law, color=colors[key])
    with atomic_write(path, "w") as file:
        file.write(svg(figure))
