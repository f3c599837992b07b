"""l2m sweep: many runs from one file, resumable, and what they show together."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from l2m.training.collapse import RunResult
    from l2m.training.text_results import TextPoint


def sweep(
    file: Path,
    *,
    out: Path | None = None,
    device: str | None = None,
    workers: int = 1,
    threads: int | None = None,
    sequences: int = 64,
    select: str | None = None,
    results_only: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Train every model of a TOML file at every length, and put all runs beside the frontier of memory, KL against I/dim.

    Examples
    --------
    l2m sweep docs/collapse.toml --dry-run
    l2m sweep docs/collapse.toml --workers 2

    Parameters
    ----------
    file
        The sweep (see docs/collapse.toml); or a collapse.csv or nll.csv, to redraw its figures.
    out
        Folder of the runs and results; default: the one named in the file.
    device
        cpu, cuda, cuda:1, mps; default: cuda if there is one.
    workers
        Runs at a time, each in a process; with several GPUs, one each.
    threads
        Processor threads of each run; default: all cores, divided among the workers.
    sequences
        Number of held-out sequences per evaluation.
    select
        Only the runs whose folder (NAME-LENGTH) matches this pattern, such as *-16.
    results_only
        Train nothing; collect the results of the runs that are done.
    dry_run
        Time a few steps of each run and print how long all of them would take.
    json
        Print the result as one JSON object.
    """
    from fnmatch import fnmatch

    from l2m.base import checks
    from l2m.base.folders import require_own
    from l2m.base.optional import TRAINING, require
    from l2m.errors import InputError
    from l2m.training.sweep import forecast, read_sweep
    from l2m.training.workers import run_sweep

    require("sweep", "matplotlib", *TRAINING)
    if file.suffix == ".csv":
        from l2m.training import collapse, text_results

        folder = file.parent if out is None else out
        if text_results.is_csv(file):
            return _show_text(text_results.read_csv(file), folder, json)
        return _show(collapse.read_csv(file), folder, json)
    runs = read_sweep(file, out=out)
    require_own(runs[0].folder.parent, "sweep")
    checks.whole("workers", workers, 1, 1_024)
    if threads is not None:
        checks.threads(threads)
    chosen = [run for run in runs if select is None or fnmatch(run.folder.name, select)]
    if not chosen:
        raise InputError(f"select: {select!r}; expected a pattern of {', '.join(run.folder.name for run in runs)}")
    if dry_run:
        from l2m.cli.output import print_result

        what = forecast(chosen, threads=threads or 1, device=device)
        alone, together = what.seconds() or 0.0, what.seconds(workers) or 0.0
        words = f"{alone / 60:.0f} min one after another, {together / 60:.0f} min on {workers} workers"
        return print_result({**what.to_dict(workers), "seconds_one_after_another": alone}, json, words)
    if not results_only:
        run_sweep(chosen, device=device, workers=workers, threads=threads, sequences=sequences)
    folder = runs[0].folder.parent
    if runs[0].config.corpus is not None:
        from l2m.training.text_results import collect as collect_texts

        return _show_text(collect_texts(runs), folder, json)
    from l2m.training.collapse import collect

    return _show(collect(runs), folder, json)


def _show(rows: "list[RunResult]", folder: Path, json: bool) -> None:
    from l2m.cli.output import print_result
    from l2m.training.collapse import table
    from l2m.training.collapse_figures import save

    _ready(rows, folder)
    curve = save(rows, folder)
    result = {
        "out": str(folder),
        "runs": len(rows),
        "reached": int(curve.reached.sum()),
        "equivalent_share": {f"{row.name}-{row.length}": row.equivalent for row in rows},
    }
    print_result(result, json, f"{table(rows)}\n\n{curve.explain()}\n-> {folder}")


def _show_text(points: "list[TextPoint]", folder: Path, json: bool) -> None:
    from l2m.cli.output import print_result
    from l2m.training.text_results import save, table

    _ready(points, folder)
    save(points, folder)
    runs = len({(point.name, point.length) for point in points})
    print_result({"out": str(folder), "runs": runs}, json, f"{table(points)}\n-> {folder}")


def _ready(results: list[Any], folder: Path) -> None:
    """Make the folder of the results."""
    from l2m.errors import InputError

    if not results:
        raise InputError(f"{folder}: no run is done; expected at least one")
    folder.mkdir(parents=True, exist_ok=True)
