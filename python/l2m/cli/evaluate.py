"""l2m evaluate: what trained runs have learned, by position."""

from pathlib import Path
from typing import Literal


def evaluate(
    *run: Path,
    out: Path | None = None,
    figure: Path | None = None,
    quantity: Literal["kl", "nll", "utilization"] = "kl",
    sequences: int = 64,
    device: str | None = None,
    threads: int | None = None,
    json: bool = False,
) -> None:
    """KL by position, captured over available information against length and compute, and the share of the state that is used, of
    runs on the Gaussian language; NLL by position of runs on text.

    Examples
    --------
    l2m evaluate runs/gpt2-tiny-64 --figure kl.svg
    l2m evaluate runs/* --figure utilization.svg --quantity utilization
    l2m evaluate runs/* --out evaluation

    Parameters
    ----------
    run
        Folders of runs.
    out
        Folder for the records, NAME.json for each run; default evaluation.json in the run's own folder.
    figure
        Draw the curves of all runs into this file (svg, png, pdf).
    quantity
        What the figure shows of runs on the Gaussian language: KL; NLL = KL + conditional entropy; or utilization, captured over
        available information, against length and against the FLOPs of the training.
    sequences
        Number of held-out sequences to read.
    device
        cpu, cuda, cuda:1, mps; default: cuda if there is one.
    threads
        Processor threads; default all cores.
    json
        Print the result as one JSON object.
    """
    from l2m.base.devices import use_threads
    from l2m.base.folders import claim, record_name
    from l2m.base.optional import TRAINING, require
    from l2m.cli.output import print_result
    from l2m.errors import InputError
    from l2m.training.evaluation import draw, headline, summary
    from l2m.training.evaluation import evaluate as measure
    from l2m.training.runs import Run

    if not run:
        raise InputError("RUN: no folder given; expected folders of runs")
    require("evaluate", *TRAINING, *(["matplotlib"] if figure is not None else []))
    use_threads(threads)
    names = [folder.name for folder in run]
    if (out is not None or figure is not None) and len(set(names)) < len(names):
        raise InputError(
            f"RUN: {', '.join(map(str, run))}; expected folders of different names, which name the records"
        )
    if quantity == "utilization" and all(Run.open(folder).config.corpus is not None for folder in run):
        raise InputError(
            "quantity: 'utilization' of runs on text; expected runs on the Gaussian language, whose information is known"
        )
    if out is not None:
        runs = {folder.name: Run.open(folder) for folder in run}
        of = {name: found.config.fingerprint(found.identity) for name, found in runs.items()}
        claim(out, "evaluate", {"runs": of, "sequences": sequences})
    curves = {folder: measure(folder, sequences=sequences, device=device) for folder in run}
    for folder, curve in curves.items():
        curve.save(folder / "evaluation.json" if out is None else out / record_name(folder.name))
    if figure is not None:
        draw({folder.name: curve for folder, curve in curves.items()}, figure, quantity=quantity)
    print_result(
        {str(folder): headline(curve) for folder, curve in curves.items()},
        json,
        "\n".join(f"{folder}: {summary(curve)}" for folder, curve in curves.items()),
    )
