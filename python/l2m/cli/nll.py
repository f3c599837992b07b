import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from l2m.scoring.effective_context import ContextRatio, EffectiveContext
    from l2m.scoring.position_nll import PositionCurve
    from l2m.statistics.power_law import PowerLaw


def nll(
    *scores: Path,
    axis: Literal["tokens", "characters", "bytes"] | None = None,
    per_octave: int = 1,
    quantiles: list[float] | None = None,
    entropy: bool | None = None,
    effective_context: str | None = None,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Negative log-likelihood by position in the context, its quantiles and its law, of one model or of several with paired
    differences; beside it the entropy that the model predicts.

    Examples
    --------
    l2m nll scores
    l2m nll scores --quantiles 0.1,0.5,0.9 --per-octave 2
    l2m nll scores --effective-context 5%
    l2m nll small large --effective-context 0.05nats --axis bytes --out nll

    Parameters
    ----------
    scores
        Folders made by l2m score, one a model. Differences are those to the first.
    axis
        Count positions in tokens; or in characters or bytes, which models with different tokenizers need. Default: tokens where
        all folders hold the same corpus, else bytes.
    per_octave
        Bins per doubling of the position.
    quantiles
        Of the NLL of single tokens in each bin. Default: 0.05,0.25,0.5,0.75,0.95.
    entropy
        The entropy of the model's own predictions, which scores hold that were made with l2m score --entropy, and how far the
        NLL is above it: overconfidence. Default: where the scores hold it.
    effective_context
        Find the position from which the NLL is within this of its value at the end: a share of it, such as 5% or 0.05, or nats
        per token, such as 0.1nats. Of several models also the ratios to the first, on the windows that both have.
    out
        Folder for one JSON record per curve and a figure.
    json
        Print the result as one JSON object.
    """
    from l2m.base.files import json_hash
    from l2m.base.folders import claim, record_name
    from l2m.cli.output import print_result
    from l2m.cli.work import can_draw
    from l2m.errors import InputError
    from l2m.scoring.position_nll import LEVELS, position_nll
    from l2m.scoring.scores import Scores

    if not scores:
        raise InputError("SCORES: nothing named; expected folders made by l2m score")
    held = [Scores.open(path) for path in scores]
    same = len({one.settings["corpus"]["hash"] for one in held}) == 1
    axis = axis or ("tokens" if same else "bytes")
    levels = LEVELS if quantiles is None else quantiles
    options: dict[str, Any] = {"axis": axis, "levels": levels, "entropy": entropy}
    curves = [position_nll(one, per_octave=per_octave, **options) for one in held]
    differences = [curve.difference(curves[0]) for curve in curves[1:]]
    names = [path.resolve().name for path in scores]
    if len(set(names)) < len(names):  # of different folders: records of one name would replace each other
        names = [str(path).strip("/").replace("/", "-") for path in scores]
    if len(set(names)) < len(names):
        raise InputError(f"SCORES: {max(names, key=names.count)} is named twice; expected each folder once")
    tolerance = None if effective_context is None else _tolerance(effective_context)
    if tolerance is not None:
        every = [position_nll(one, axis=axis, per_octave=None, levels=(), entropy=False) for one in held]
        contexts = [curve.effective_context(**tolerance) for curve in every]
        ratios = [curve.context_ratio(every[0], **tolerance) for curve in every[1:]]
    else:
        contexts, ratios = [], []
    if out is not None:
        of = {name: json_hash(one.settings) for name, one in zip(names, held, strict=True)}
        claim(
            out,
            "nll",
            {"scores": of, "axis": axis, "per_octave": per_octave, "quantiles": levels, "effective_context": tolerance},
        )
        for name, curve in zip(names, curves, strict=True):
            curve.save(out / record_name(name))
        for name, curve in zip(names[1:], differences, strict=True):
            curve.save(out / f"{name}-minus-{names[0]}.json")
        for name, context in zip(names, contexts, strict=False):
            context.save(out / f"{name}-effective-context.json")
        for name, ratio in zip(names[1:], ratios, strict=False):
            ratio.save(out / f"{name}-over-{names[0]}.json")
        if can_draw():
            draw(curves, differences, names, out / "nll.svg", contexts)
    result = {
        "axis": axis,
        "models": [_table(name, curve) for name, curve in zip(names, curves, strict=True)],
        "differences": [
            _table(f"{name} minus {names[0]}", curve) for name, curve in zip(names[1:], differences, strict=True)
        ],
    }
    if tolerance is not None:
        result["effective_context"] = [
            {"name": name, **_numbers(one)} for name, one in zip(names, contexts, strict=True)
        ]
        result["context_ratios"] = [
            {"name": f"{name} over {names[0]}", **_numbers(one)} for name, one in zip(names[1:], ratios, strict=True)
        ]
    print_result(result, json, _in_words(result))


def _table(name: str, curve: "PositionCurve") -> dict[str, Any]:
    from l2m.statistics.power_law import fit_or_reason

    columns = {name: values.tolist() for name, values in curve.columns().items()}
    shown = ("model", "windows", "documents", "nll", "bits_per_byte", "bits_per_character", "entropy")
    overall = {key: curve.settings[key] for key in shown if key in curve.settings}
    value, error, unit = curve.in_unit_of_axis()
    table: dict[str, Any] = {"name": name, "overall": overall, "unit": unit, "columns": columns}
    table["words"] = _lines(curve, value, error)
    if "minus" not in curve.settings:
        law, words = fit_or_reason(curve)
        table |= {"law": None if law is None else _law(law), "law_words": words}
    return table


def _tolerance(text: str) -> dict[str, float]:
    """The tolerance of an effective context: 5%, 0.05 or 0.1nats.

    Raises:
        InputError: something else.
    """
    from l2m.errors import InputError

    number, name, scale = text.strip(), "share", 1.0
    if number.endswith("%"):
        number, scale = number[:-1], 0.01
    elif number.endswith("nats"):
        number, name = number.removesuffix("nats"), "nats"
    try:
        value = float(number) * scale
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InputError(
            f"effective-context: {text!r}; expected a share such as 5% or 0.05, or nats per token such as 0.1nats"
        )
    return {name: value}


def _numbers(record: "EffectiveContext | ContextRatio") -> dict[str, Any]:
    """What a record says in numbers and in words."""
    numbers = {name: value[0].item() for name, value in record.columns().items()}
    return {**numbers, "words": record.explain()}


def _lines(curve: "PositionCurve", value: Any, error: Any) -> list[str]:
    """A line for each bin: the mean in the unit of the axis; quantiles, entropy and overconfidence in nats per token."""
    cells = [[f"{first:,.0f} to {last:,.0f}" for first, last in zip(curve.first, curve.last, strict=True)]]
    cells.append([f"{mean:.4f} ± {spread:.4f}" for mean, spread in zip(value, error, strict=True)])
    titles = ["", "mean"]
    if curve.levels is not None and curve.quantiles is not None:
        titles += [f"{100 * level:.3g} %" for level in curve.levels]
        cells += [[f"{item:.2f}" for item in row] for row in curve.quantiles]
    for name in ("entropy", "overconfidence"):
        if (of := getattr(curve, name)) is not None:
            titles.append(name)
            cells.append([f"{v:.4f} ± {e:.4f}" for v, e in zip(of, getattr(curve, f"{name}_stderr"), strict=True)])
    columns = [[title, *column] for title, column in zip(titles, cells, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    rows = ["  ".join(cell.rjust(n) for cell, n in zip(row, widths, strict=True)) for row in zip(*columns, strict=True)]
    return [f"  {row}" for row in rows]


def _law(law: "PowerLaw") -> dict[str, Any]:
    """H_n = H_inf + A n^-gamma with its 95 % intervals."""
    low, high = law.interval("exponent")
    return {
        "gamma": -law.exponent,
        "gamma_low": -high,
        "gamma_high": -low,
        "amplitude": law.amplitude,
        "entropy_rate": law.offset,
        "first": law.settings["first"],
        "holds": law.holds,
    }


def _in_words(result: dict[str, Any]) -> str:
    lines = [
        f"{table['name']}: {table['overall']['model']}, {table['overall']['nll']:.4f} nats per token, "
        + (
            ""
            if math.isnan(table["overall"]["bits_per_byte"])
            else f"{table['overall']['bits_per_byte']:.4f} bits per byte, "
        )
        + f"{table['overall']['windows']} windows"
        for table in result["models"]
    ]
    for table in result["models"] + result["differences"]:
        others = "" if result["axis"] == "tokens" else "; other columns in nats per token"
        lines.append(f"\n{table['name']}, {table['unit']} by position in {result['axis']}{others}")
        lines += table.pop("words")
        if context := next((one for one in result.get("effective_context", ()) if one["name"] == table["name"]), None):
            lines.append(f"  Effective context: {context['words']}")
        if "law_words" in table:
            lines.append(f"  H_n = H_inf + A n^-gamma: {table['law_words']}")
    if result.get("context_ratios"):
        lines.append("")
        lines += [f"{ratio['name']}: {ratio['words']}" for ratio in result["context_ratios"]]
    return "\n".join(lines)


def draw(
    curves: list["PositionCurve"],
    differences: list["PositionCurve"],
    names: list[str],
    path: Path,
    contexts: list["EffectiveContext"],
) -> None:
    """All models in one panel, with their effective contexts where they are known; below it, where there are several, their
    paired differences to the first."""
    from matplotlib.figure import Figure

    from l2m.base.files import atomic_write
    from l2m.base.plots import svg

    rows = 2 if differences else 1
    figure = Figure(figsize=(6.4, 3.6 * rows), layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0]
    for name, curve in zip(names, curves, strict=True):
        curve.plot(panels[0], label=name)
    for number, context in enumerate(contexts):
        context.plot(panels[0], color=f"C{number}")
    if differences:
        panels[1].axhline(0, color="0.6", linewidth=0.8)
    for number, (name, curve) in enumerate(zip(names[1:], differences, strict=True), 1):
        curve.plot(panels[1], label=f"{name} minus {names[0]}", color=f"C{number}")
    with atomic_write(path, "w") as file:
        file.write(svg(figure))
