"""One self-contained HTML page for a measurement. Every number on it names the key in results.json it was read from."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from l2m.base import plots
from l2m.pipeline.measurement import Measurement


def figures(result: Measurement) -> dict[str, str]:
    """The figures of a measurement as SVG: "bipartite", "two_point", and "two_point_N" for the other domains."""
    drawn = {"bipartite": plots.svg(result.bipartite.plot(plots.new_axes(), result.law).figure)}
    for number, domain in enumerate(result.domains):
        axes = domain.curve.plot(plots.new_axes(), domain.law)
        drawn["two_point" if number == 0 else f"two_point_{number}"] = plots.svg(axes.figure)
    return drawn


def render(result: Measurement, drawn: Mapping[str, str]) -> str:
    """The report as one HTML page: no script, no request, readable on a phone and on A4.

    Numbers are written by `number(key)`, which looks the key up in the saved form of `result` and marks the element with
    `data-key`, so that page and results.json cannot differ.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    saved = result.to_dict()

    def number(key: str, style: str = ".3g") -> Markup:
        return Markup('<span class="number" data-key="{}">{}</span>').format(key, shown(lookup(saved, key), style))

    def interval(key: str, style: str = ".3g") -> Markup:
        """`value (low to high)` of a mapping with these keys."""
        return Markup("{} ({} to {})").format(*(number(f"{key}.{part}", style) for part in ("value", "low", "high")))

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("l2m.pipeline").joinpath("report.html.j2").read_text("utf-8"))
    pictures = {name: Markup(picture) for name, picture in drawn.items()}
    return template.render(result=result, number=number, interval=interval, drawn=pictures)


def lookup(saved: Any, key: str) -> Any:
    """The value under a dotted key of a saved record; arrays are indexed through their `data`."""
    value = saved
    for part in key.split("."):
        if isinstance(value, dict) and part not in value and "data" in value:
            value = value["data"]
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def shown(value: Any, style: str) -> str:
    """A saved number as the page writes it, by a format of Python; from 1,000 on whole and grouped."""
    if value is None or value == "nan":
        return "–"
    if value in ("inf", "-inf"):
        return "any length"
    if isinstance(value, str):
        return value
    if isinstance(value, float) and abs(value) >= 1e15:
        return f"{value:.2g}"
    if style == "," or (isinstance(value, float) and abs(value) >= 1000):
        return f"{value:,.0f}"
    return format(value, style)
