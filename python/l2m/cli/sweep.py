"""l2m sweep: many runs from one file, resumable, and what they show together."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from l2m.training.collapse import RunResult
    from l2m.training.text_results import TextPoint


def sweep(
    file: Path,
    *,
    out: Path | None = None,
    device: Literal["cpu", "cuda"] | None = None,
    workers: int = 1,
    threads: int | None = None,
    sequences: int = 64,
    select: str | None = None,
    results_only: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Train every model of a TOML file at every length, and put all runs on one curve of KL against I/dim.

    Parameters
    ----------
    file
        The sweep (docs/collapse.toml is one); or a collapse.csv or nll.csv, to draw its figures again.
    out
        Folder of the runs and results; default what the file says.
    device
        Default: cuda if there is one.
    workers
        Runs side by side, each a process; with several GPUs one each.
    threads
        Processor threads of each run; default all cores shared out.
    sequences
        Held-out sequences of an evaluation.
    select
        Only the runs whose folder (NAME-LENGTH) matches this pattern, as *-16.
    results_only
        Train nothing: gather what has been trained.
    dry_run
        Time a few steps of each run and say what all would take.
    json
        Print the result as one JSON object.
    """
    import sys
    from fnmatch import fnmatch

    from l2m.errors import InputError
    from l2m.training.sweep import estimate, read_sweep, run_sweep

    if file.suffix == ".csv":
        from l2m.training import collapse, text_results

        folder = file.parent if out is None else out
        if text_results.is_csv(file):
            return _show_text(text_results.read_csv(file), folder, json)
        return _show(collapse.read_csv(file), folder, json)
    runs = read_sweep(file, out=out)
    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None and value < 1:
            raise InputError(f"{name}: {value}; expected at least 1")

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    chosen = [run for run in runs if select is None or fnmatch(run.folder.name, select)]
    if not chosen:
        raise InputError(f"select: {select!r}; expected a pattern of {', '.join(run.folder.name for run in runs)}")
    if dry_run:
        from l2m.cli.output import print_result

        seconds = estimate(chosen, threads=threads or 1, device=device, say=say)
        words = f"{seconds / 60:.0f} min one after another, {seconds / 60 / workers:.0f} min on {workers} workers"
        return print_result({"runs": len(chosen), "seconds": seconds, "workers": workers}, json, words)
    if not results_only:
        run_sweep(chosen, device=device, workers=workers, threads=threads, sequences=sequences, say=say)
    folder = runs[0].folder.parent
    if runs[0].config.corpus is not None:
        from l2m.training.text_results import collect as collect_texts

        return _show_text(collect_texts(runs), folder, json)
    from l2m.training.collapse import collect

    return _show(collect(runs), folder, json)


def _show(rows: "list[RunResult]", folder: Path, json: bool) -> None:
    from l2m.cli.output import print_result
    from l2m.training.collapse import explain, table
    from l2m.training.collapse_figures import save

    _some(rows, folder)
    folder.mkdir(parents=True, exist_ok=True)
    curve = save(rows, folder)
    result = {
        "out": str(folder),
        "runs": curve.runs,
        "counted": int(curve.kl.size),
        "curve": curve.has_curve,
        "collapses": curve.collapses,
        "pairs": curve.pairs,
    }
    print_result(result, json, f"{table(rows)}\n\n{explain(curve)}\n-> {folder}")


def _show_text(points: "list[TextPoint]", folder: Path, json: bool) -> None:
    from l2m.cli.output import print_result
    from l2m.training.text_results import save, table

    _some(points, folder)
    folder.mkdir(parents=True, exist_ok=True)
    save(points, folder)
    runs = len({(point.name, point.length) for point in points})
    print_result({"out": str(folder), "runs": runs}, json, f"{table(points)}\n-> {folder}")


def _some(results: list[Any], folder: Path) -> None:
    from l2m.errors import InputError

    if not results:
        raise InputError(f"{folder}: no run is done; expected at least one")
