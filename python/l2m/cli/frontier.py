from pathlib import Path
from typing import Any


def frontier(
    *,
    layers: str = "2..5",
    children: int = 3,
    state: list[str] | None = None,
    bound: bool = False,
    refine: int = 0,
    out: Path | None = None,
    seed: int = 0,
    json: bool = False,
) -> None:
    """What a state of r numbers can hold of the Gaussian language: KL against length, for each way the state grows.

    Examples
    --------
    l2m frontier --out frontier
    l2m frontier --layers 2..4 --children 2 --state 8,log:4,power:beta:1.25 --bound

    Parameters
    ----------
    layers
        Lengths 4^layers: a range such as 2..5, or a list such as 2,4.
    children
        1, 2 or 3: information grows like log L, L^0.5 or L^0.79.
    state
        Numbers after t values: 8; log:4 (4 ln(1 + t)); power:0.5:2 (2 t^0.5; power:beta:2 takes the law's exponent).
        Default: 8,24,log:4,power:0.4:1.5,power:beta:0.75,power:beta:1,power:beta:1.25.
    bound
        Also print the mean KL that no linear state of this size goes below.
    refine
        Gradient steps on the projections of each state, with torch: 300 to 600 at L = 64.
    out
        Folder for frontier.json, frontier.csv and, where matplotlib is installed, frontier_lengths.svg and frontier_collapse.svg.
    seed
        Of the refinement.
    json
        Print the result as one JSON object.
    """
    from l2m.base.folders import claim
    from l2m.base.optional import require
    from l2m.base.progress import progress_bar
    from l2m.cli.output import print_result
    from l2m.cli.work import keep
    from l2m.truth.frontier_curves import frontier_curves
    from l2m.truth.gaussian import HierarchicalGaussian

    if refine:
        require("frontier --refine", "torch")
    states = list(dict.fromkeys(state or DEFAULT))
    chosen = _layers(layers)
    if out is not None:
        claim(out, "frontier", {"layers": chosen, "children": children, "states": states})
    with progress_bar("frontier") as progress:
        curves = frontier_curves(chosen, states, children=children, constants=out is not None, progress=progress)
    rows: list[dict[str, Any]] = []
    for name in states:
        for length, kl, numbers in zip(*curves.of(name), strict=True):
            row: dict[str, Any] = {"state": name, "length": int(length), "mean_kl": float(kl), "numbers": int(numbers)}
            if bound or refine:
                law = HierarchicalGaussian((int(length).bit_length() - 1) // 2, children)
                found = law.frontier(name, refine=refine, bound=bound, seed=seed)
                row |= {"bound": found.bound, "refined": found.mean_kl if refine else None}
            rows.append(row)
    if out is not None:
        keep(
            curves,
            out,
            "frontier",
            {
                "frontier_lengths": lambda axes: curves.plot(axes, states),
                "frontier_collapse": curves.plot_collapse,
            },
        )
    head = (
        f"{'state':<18} {'L':>6} {'KL':>9} {'numbers':>8}"
        + (f" {'bound':>9}" if bound else "")
        + (f" {'refined':>9}" if refine else "")
    )
    lines = [
        f"{row['state']:<18} {row['length']:>6,} {max(row['mean_kl'], 0):>9.4f} {row['numbers']:>8,}"
        + (f" {row['bound']:>9.4f}" if bound else "")
        + (f" {row['refined']:>9.4f}" if refine else "")
        for row in rows
    ]
    words = [
        head,
        *lines,
        "KL: mean KL divergence of the best linear model found, nats a value; numbers: the most it holds.",
    ]
    spread = curves.spread()
    if out is not None:
        words.append(
            "Constant states, residual spread of log KL about a cubic: "
            + ", ".join(f"{value:.2f} against {name}" for name, value in spread.items())
        )
        words.append(f"-> {out}")
    result = {"frontiers": rows, "spread": {name: None if value != value else value for name, value in spread.items()}}
    print_result(result, json, "\n".join(words))


DEFAULT = ("8", "24", "log:4", "power:0.4:1.5", "power:beta:0.75", "power:beta:1", "power:beta:1.25")


def _layers(text: str) -> list[int]:
    from l2m.errors import InputError

    first, dots, last = text.partition("..")
    try:
        found = list(range(int(first), int(last) + 1)) if dots else [int(entry) for entry in text.split(",")]
    except ValueError:
        found = []
    if not found:
        raise InputError(f"layers: {text!r}; expected a range such as 2..5, or a list such as 2,4")
    return found
