"""One self-contained HTML page for a measurement. Every number of its tables names the key in results.json it was read from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from l2m.base import plots
from l2m.base.numbers import short
from l2m.base.pages import column_style, in_page, render_page, shown
from l2m.pipeline.measurement import Measurement
from l2m.states.condition import OUTCOMES, condition
from l2m.states.figure import draw_states
from l2m.states.history_state import HistoryState

if TYPE_CHECKING:
    from l2m.statistics.power_law import PowerLaw


def figures(result: Measurement) -> dict[str, str]:
    """The figures of a measurement as SVG: "bipartite", "two_point", and "two_point_N" for the other domains.

    "states", required and held state against length, is there where the verdicts keep the history states they judged.
    """
    drawn = {}
    if states := _states(result):
        verdicts = [condition(result.law, state) for state in states]
        axes = draw_states(verdicts, measured=measured(result), size=(5.6, 4.8))
        drawn["states"] = plots.svg(
            axes.figure,
            "states",
            title="Memory needed and memory held, by length of the text",
            description="The black line is the state that the law requires, the colored lines are the states of the models. "
            "A model is large enough as long as its line is above the black one. The lengths measured are shaded.",
        )
    drawn["bipartite"] = plots.svg(
        result.bipartite.plot(plots.new_axes(5.6, 3.8), result.law).figure,
        "bipartite",
        title="Bipartite information by length",
        description="Information between the halves of a window against its length, with error bars and the fitted law.",
    )
    for number, domain in enumerate(result.domains):
        name = "two_point" if number == 0 else f"two_point_{number}"
        drawn[name] = plots.svg(
            domain.curve.plot(plots.new_axes(5.6, 3.8), domain.law).figure,
            name,
            title=f"Two-point information by distance: {domain.name}",
            description="Information between two tokens against their distance, with error bars, the fitted law and the level "
            "that remains after shuffling within documents.",
        )
    return drawn


def _states(result: Measurement) -> list[HistoryState]:
    """The states that were judged; none without a law, and in files of versions before 0.2."""
    law = result.law
    if law is None or not (law.holds and 0 < law.exponent < 1 and law.amplitude > 0):
        return []
    states = [(verdict["model"], verdict.get("history_state")) for verdict in result.verdicts]
    return [replace(state, name=model) for model, state in states if isinstance(state, HistoryState)]


def measured(result: Measurement) -> tuple[float, float]:
    """First and last length L at which information was measured."""
    return float(result.bipartite.length.min()), float(result.bipartite.length.max())


def render(result: Measurement, drawn: Mapping[str, str]) -> str:
    """The report as one HTML page: no script, no request, readable on a phone and on A4, light and dark.

    Numbers are written by `number(key)`, which looks the key up in the saved form of `result` and marks the element with
    `data-key`, so that page and results.json cannot differ.
    """
    from markupsafe import Markup

    saved = result.to_dict()

    def number(key: str, style: str = ".3g") -> Markup:
        return Markup('<span class="number" data-key="{}">{}</span>').format(key, shown(lookup(saved, key), style))

    def interval(key: str, style: str = "short") -> Markup:
        """`value (low to high)` of a mapping with these keys; the value alone where they are equal."""
        value, low, high = (lookup(saved, f"{key}.{part}") for part in ("value", "low", "high"))
        if value == low == high:
            return number(f"{key}.value", style)
        return Markup("{} ({} to {})").format(*(number(f"{key}.{part}", style) for part in ("value", "low", "high")))

    def style_of(*keys: str) -> str:
        values = [value for key in keys for value in lookup(saved, key)["data"]]
        return column_style(value for value in values if isinstance(value, (int, float)))

    return render_page(
        "l2m.pipeline",
        "report.html.j2",
        result=result,
        number=number,
        interval=interval,
        style_of=style_of,
        drawn={name: in_page(picture) for name, picture in drawn.items()},
        outcomes=OUTCOMES,
        last=int(result.bipartite.length.max()),
        about=_about,
        choice=_choice(result.verdicts),
        windows=[
            (verdict["model"], f"{state.reach:,.0f}")
            for verdict in result.verdicts
            if isinstance(state := verdict.get("history_state"), HistoryState) and math.isfinite(state.reach)
        ],
        positions=[
            number
            for number, verdict in enumerate(result.verdicts)
            if isinstance(state := verdict.get("history_state"), HistoryState) and state.positions is not None
        ],
        fixed=next((n for n, v in enumerate(result.verdicts) if v["growth_exponent"] == 0 and n), None),
    )


def _choice(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """How far each model can be taken, as far as memory and positions decide it: a sentence, the shortest first."""
    if not verdicts:
        return ""
    reach = []
    for verdict in verdicts:
        memory = math.inf if verdict["outcome"] == "holds" else float(verdict["sufficient_length"]["low"])
        state = verdict.get("history_state")
        positions = (isinstance(state, HistoryState) and state.positions) or math.inf
        ends = min(memory, positions)
        limit = "no limit" if ends == math.inf else f"{short(ends)} ({'positions' if positions < memory else 'memory'})"
        reach.append((ends, f"{verdict['model']} {limit}"))
    ordered = "; ".join(words for _, words in sorted(reach, key=lambda one: one[0]))
    return f"The longest text in tokens, by memory (low end of its interval) and by positions: {ordered}."


def _about(law: "PowerLaw | None") -> list[str]:
    """What a law is worth, in sentences: against other curves, and by local slopes."""
    if law is None or not law.resolved:
        return []
    slopes = ", ".join(f"{slope:.2f} from {low:,.0f} to {high:,.0f}" for low, high, slope in law.local_slopes())
    return [law.compare().verdict, f"Local exponents: {slopes}." if slopes else ""]


def lookup(saved: Any, key: str) -> Any:
    """The value under a dotted key of a saved record; arrays are indexed through their `data`."""
    value = saved
    for part in key.split("."):
        if isinstance(value, dict) and part not in value and "data" in value:
            value = value["data"]
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value
