"""The look of every figure, and figures as SVG that is the same bytes each time."""

import io
import re
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from l2m.base.optional import require

BLUE, ORANGE, GREEN, PURPLE, GREY = "#20639b", "#d1602a", "#3a7d44", "#7b4fa3", "#6b7280"
INK = "#1c2430"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, "#b0892f", "#0f8b8d", "#a23b72")
"""Colors of lines in one figure, in this order. They differ in lightness too, and read on white."""

_STYLE = {
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "errorbar.capsize": 2.5,
}


def new_axes(width: float = 6.4, height: float = 4.2, *, panels: int = 1) -> Any:
    """Axes of a new figure in the house style, or an array of them side by side; matplotlib's globals stay as they are.

    Raises:
        InputError: matplotlib is not installed.
    """
    require("figures", "matplotlib")
    from matplotlib import rc_context

    from l2m.base.figure import NotebookFigure

    with rc_context(_STYLE):
        return NotebookFigure(figsize=(width, height), layout="constrained").subplots(1, panels)


class FittedCurve(Protocol):
    """What a curve needs to be drawn."""

    @property
    def kind(self) -> str: ...
    @property
    def x(self) -> NDArray[np.float64]: ...
    @property
    def resolved(self) -> bool: ...
    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]: ...
    def band(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...


def draw_law(axes: Any, law: FittedCurve, color: str = BLUE) -> None:
    """The curve over the range of its data (1 to a million where it has none), with its 95 % band."""
    x = np.geomspace(law.x.min(), law.x.max(), 200) if law.x.size else np.geomspace(1, 1e6, 200)
    exponent = getattr(law, "exponent", None)
    source = "fit" if law.x.size else "given"
    name = law.kind if exponent is None else f"{source}, exponent {exponent:.2f}"
    label = name if law.resolved else "fit: no law resolved"
    axes.plot(x, law.predict(x), color=color, linewidth=1.2, label=label)
    axes.fill_between(x, *law.band(x), color=color, alpha=0.15, linewidth=0)
    axes.legend()


def svg(figure: Any, name: str = "", *, title: str = "", description: str = "") -> str:
    """`figure` as an SVG element: no date, no random ids, scaled by its container.

    Args:
        name: of the figure in a page: its text stays text, and its ids begin with it, so that no two figures share one. Without
            it, text becomes outlines, which look the same wherever the file is shown.
        title, description: what a screen reader says of it.
    """
    from xml.sax.saxutils import escape

    from matplotlib import rc_context

    buffer = io.StringIO()
    kind = "none" if name else "path"
    with rc_context({**_STYLE, "svg.hashsalt": "l2m", "svg.fonttype": kind}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(
        r'(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"|(<svg[^>]*?) width="[^"]*" height="[^"]*"',
        r"\1\2\3",
        text,
        count=1,
    )
    if not name:
        return text
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    label = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-words">{escape(description)}</desc>'
    labelled = f'<svg role="img" aria-labelledby="{name}-title" aria-describedby="{name}-words"'
    return text.replace("<svg", labelled, 1).replace(">", f">{label}", 1)
