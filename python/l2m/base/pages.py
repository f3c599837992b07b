"""Self-contained HTML pages: one style for all of them, numbers in one format, figures that follow the colors of the page."""

import math
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from l2m.base.numbers import short
from l2m.base.plots import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SERIES

if TYPE_CHECKING:
    from markupsafe import Markup

_COLORS = {
    **{color: f"var(--c{number})" for number, color in enumerate((BLUE, ORANGE, GREEN, PURPLE, *SERIES[4:]), 1)},
    GREY: "var(--grey)",
    INK: "currentColor",
    "#000000": "currentColor",
    "#ffffff": "none",
}
"""Colors of figures -> those of page.css, which has two values of each: on paper and in the dark."""


def render_page(package: str, template: str, **values: Any) -> str:
    """A page from the Jinja template of that name in `package`; `style` is the style of all pages."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(files(package).joinpath(template).read_text("utf-8"))
    style = Markup(files("l2m.base").joinpath("page.css").read_text("utf-8"))
    return page.render(style=style, **values)


def in_page(svg: str) -> "Markup":
    """A figure that follows the colors of the page, light or dark."""
    from markupsafe import Markup

    return Markup(re.sub("|".join(_COLORS), lambda color: _COLORS[color[0]], svg))


def shown(value: Any, style: str) -> str:
    """A saved number as a page writes it: "," whole and grouped; "short" 25.6 M, "padded" 25.0 M; else a format of Python."""
    if value is None or value == "nan":
        return "–"
    if value in ("inf", "-inf", math.inf):
        return "any length"
    if isinstance(value, str):
        return value
    if style == "short":
        return short(value)
    if style == "padded":
        return short(value, padded=True)
    if isinstance(value, float) and abs(value) >= 1e15:
        return f"{value:.2g}"
    if style == "," or (style == ".3g" and abs(value) >= 1000):
        return f"{value:,.0f}"
    return format(value, style)


def column_style(values: Iterable[float]) -> str:
    """The format that aligns the decimals of a column: as many as its smallest value needs for two digits, at most 6."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0]
    decimals = max((1 - math.floor(math.log10(size)) for size in sizes), default=0)
    return f".{max(decimals, 0)}f" if decimals <= 6 else ".3g"
