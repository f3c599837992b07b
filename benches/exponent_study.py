"""Which estimator of beta errs least, and over which l: every estimator on sources whose information is known exactly, with
scorers that are wrong by a stated amount.

    python benches/exponent_study.py --out docs/figures/exponent-study.csv           about half an hour on two cores
    python benches/exponent_study.py --out docs/figures/exponent-study.csv --table   the tables of docs/exponent.md from it
    python benches/exponent_study.py --curves docs/figures/forty-books.csv           beta of measured curves, the truth unknown
    python benches/exponent_study.py --smoke                                         a minute

Each case (a source and a scorer) is scored once with `l2m.score`; disjoint sets of its windows are the trials. The truth of a
trial is the same fit, over the same l, of the exact information. Cases that --out holds with the same trials and windows are
not run again.
"""

import argparse
import contextlib
import csv
import dataclasses
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import l2m
from l2m.base.files import atomic_write
from l2m.scoring.exponents import default_estimate
from l2m.truth.imperfect import ForgetfulForest, LinearGaussian, WrongStart
from l2m.truth.sources import GaussianSource, LatentForest

COLUMNS = (
    "source", "scorer", "estimator", "range", "exact", "bias", "bias_stderr", "spread", "stderr", "coverage", "failed",
    "trials", "windows",
)  # fmt: skip
RANGES: dict[str, dict[str, Any]] = {
    "all l": {"min_split": 1},
    "l >= 16": {"min_split": 16},
    "automatic": {},
    "all l, logs": {"min_split": 1, "method": "ols"},
    "l >= 16, logs": {"min_split": 16, "method": "ols"},
}
"""Options of `BipartiteCurve.fit`: where the law begins, and whether logarithms are fitted or, weighted, the values."""
FIXED = tuple(span for span, options in RANGES.items() if "min_split" in options)
CONTEXTS, PREFIX = 64, 16
"""How many contexts of the averaged correction; tokens of a prefix."""

Scorers = dict[str, Callable[[], Any]]


@dataclasses.dataclass(frozen=True)
class Source:
    """A source with the scorers that are tried on it."""

    make: Callable[[], Any]
    length: int
    splits: tuple[int, ...]
    scorers: Callable[[Any], Scorers]
    stationary: bool
    """Its values are ids, and alike at every position: the corrections apply, which read n-grams and other contexts."""


def gaussian(exponent: float, numbers: int) -> Source:
    def scorers(source: Any) -> Scorers:
        law, n = source.law, source.law.length
        return {
            "exact": lambda: LinearGaussian(law, n),
            "small state": lambda: LinearGaussian(law, n, numbers=numbers),
            "short window": lambda: LinearGaussian(law, n, window=256),
            "temperature 1.2": lambda: LinearGaussian(law, n, temperature=1.2),
            "start 1 nat": lambda: WrongStart(LinearGaussian(law, n), 1),
            "small state, start 1 nat": lambda: WrongStart(LinearGaussian(law, n, numbers=numbers), 1),
        }

    # Whole layers: in between the law's information goes up and down.
    return Source(
        lambda: GaussianSource(l2m.HierarchicalGaussian.with_exponent(5, exponent)), 1024, (2, 8, 32, 128, 512), scorers, False
    )  # fmt: skip


def trained(source: LatentForest, length: int, steps: int = 800) -> Any:
    """A GPT-2 of two layers and width 64 after a few minutes of training on the source: 1e5 numbers besides its embeddings."""
    import torch

    from l2m.scoring.language_model import LanguageModel
    from l2m.training.config import TrainConfig
    from l2m.training.loop import train
    from l2m.training.runs import Run, load_model

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        corpus = l2m.Corpus(list(source.sample(20_000, length, seed=2)))
        corpus.save(f"{folder}/corpus")
        config = TrainConfig(
            preset="gpt2-tiny", corpus=f"{folder}/corpus", length=length, batch=32, width=64, steps=steps, learning_rate=3e-3,
            evaluate_every=steps, tensorboard=False,
        )  # fmt: skip
        run = Run.open(train(config, f"{folder}/run", device="cpu"))
        model = load_model(run, device="cpu")
    return LanguageModel.of_instance(model.backbone, start_token=corpus.vocab_size)


def small_forest() -> Source:
    """What a tiny model can learn in minutes: 64 trees, and windows of 128 tokens."""
    return Source(
        lambda: LatentForest(0.75, trees=64), 128, tuple(2**k for k in range(1, 7)),
        lambda source: {"exact": lambda: source, "trained": lambda: trained(source, 128)}, True,
    )  # fmt: skip


def forest(exponent: float, numbers: int) -> Source:
    def scorers(source: Any) -> Scorers:
        return {
            "exact": lambda: source,
            "small state": lambda: ForgetfulForest(source, kept=numbers),
            "short window": lambda: ForgetfulForest(source, window=256),
            "temperature 1.2": lambda: ForgetfulForest(source, temperature=1.2),
            "start 1 nat": lambda: WrongStart(source, 1),
            "small state, start 1 nat": lambda: WrongStart(ForgetfulForest(source, kept=numbers), 1),
        }

    return Source(lambda: LatentForest(exponent), 512, tuple(2**k for k in range(1, 9)), scorers, True)


# Numbers of the small state: most, but not all, of the information at the longest l.
SOURCES = {
    "Gaussian 0.50": gaussian(0.5, 30),
    "Gaussian 0.65": gaussian(0.65, 56),
    "Gaussian 0.79": gaussian(0.7925, 112),
    "forest 0.50": forest(0.5, 8),
    "forest 0.75": forest(0.75, 24),
    "small forest 0.75": small_forest(),
}
# Options of `l2m.bipartite`; "default" is what `l2m measure` takes.
ESTIMATORS: dict[str, dict[str, Any]] = {
    "direct": {},
    "direct + C": {},
    "ngram": {"correction": "ngram"},
    "averaged": {"correction": "averaged"},
    "default": {},
    "vclub": {"estimator": "vclub"},
    "paper": {"preset": "paper"},
    "entropy": {"estimator": "entropy"},
    "entropy, fitted": {"estimator": "entropy", "correction": "fitted"},
    "prefix": {},
    "4 prefixes": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--smoke", action="store_true", help="8 trials of 32 windows, two sources")
    parser.add_argument("--table", action="store_true", help="print the tables of --out, run nothing")
    parser.add_argument("--trials", type=int, default=64, help="of 64 windows each")
    parser.add_argument("--sources", nargs="+", choices=list(SOURCES), default=list(SOURCES), help="these alone")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--curves", type=Path, help="a CSV of estimator, correction, ratio, length, information, stderr: fit these"
    )
    options = parser.parse_args()
    if options.curves is not None:
        print(refitted(read(options.curves)))
        return
    trials, windows = (8, 32) if options.smoke else (options.trials, 64)
    held = read(options.out) if options.out is not None and options.out.exists() else []
    if not options.table:
        shown = ["Gaussian 0.50", "forest 0.75"] if options.smoke else options.sources
        cases = [(source, scorer) for source in SOURCES for scorer in SOURCES[source].scorers(SOURCES[source].make())]
        done = cases_done(held, trials, windows) & set(cases)
        held = [row for row in held if (row["source"], row["scorer"]) in done]
        tasks = [(*case, trials, windows) for case in cases if case[0] in shown and case not in done]
        with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
            for number, rows in enumerate(pool.imap_unordered(measured, tasks), 1):
                held += rows
                held.sort(key=lambda row: cases.index((row["source"], row["scorer"])))
                print(f"{number} of {len(tasks)}: {rows[0]['source']}, {rows[0]['scorer']}", flush=True)
                if options.out is not None:
                    write(options.out, held)
    print(table(held))


def cases_done(rows: list[dict[str, Any]], trials: int, windows: int) -> set[tuple[str, str]]:
    """The cases that a file holds with so many trials of so many windows."""
    asked = {"estimator": "direct", "trials": str(trials), "windows": str(windows)}
    return {(row["source"], row["scorer"]) for row in rows if asked.items() <= row.items()}


def measured(task: tuple[str, str, int, int]) -> list[dict[str, Any]]:
    """One case: a row for each estimator and range."""
    logging.getLogger("l2m").setLevel(logging.ERROR)  # fits warn of starts that are wrong, as they should here
    name, scorer, trials, windows = task
    case = SOURCES[name]
    source = case.make()
    rows = []
    # In memory where there is such a folder: a store writes every file through to the disk.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        stores = scored(case, source, case.scorers(source)[scorer](), trials, windows, folder)
        exact = {split: source.bipartite_information(split, 2 * split) for split in case.splits}
        for estimator in ESTIMATORS:
            scores = stores.get(estimator, stores[""])
            if scores is None:
                continue
            # Contexts cost as much as all else together: a quarter of the trials has them.
            few = max(2, trials // 4) if estimator in ("averaged", "default") and case.stationary else trials
            curves = curves_of(scores, estimator, few, windows)
            for span in RANGES:
                constant = {"offset": True} if estimator.endswith("+ C") else {}
                found = [*fits(curves, span, exact, constant), *[None] * (few - len(curves))]
                rows.append({
                    "source": name, "scorer": scorer, "estimator": estimator, "range": span, **summary(found),
                    "trials": few, "windows": windows,
                })  # fmt: skip
    return rows


def scored(case: Source, source: Any, scorer: Any, trials: int, windows: int, folder: str) -> dict[str, Any]:
    """The store of each estimator, "" of those that are not named; None where an estimator does not apply."""
    data = source.sample(trials * windows, case.length, seed=1)
    options: dict[str, Any] = {"length": case.length, "splits": case.splits, "ratios": (2,)}
    if not case.stationary:
        stores: dict[str, Any] = {"": l2m.score(data, scorer, out=folder + "/scores", **options, shuffles=1)}
        return {**stores, **dict.fromkeys(("ngram", "averaged", "prefix", "4 prefixes"))}
    data = l2m.Corpus(list(data))
    stores = {"": l2m.score(data, scorer, out=folder + "/scores", **options, shuffles=1, prefix="none")}
    stores["averaged"] = stores["default"] = l2m.score(
        data, scorer, out=folder + "/scores", **options, shuffles=0, prefix="none", contexts=CONTEXTS,
        windows=max(2, trials // 4) * windows,
    )  # fmt: skip
    # Texts of other documents, as a neutral text is for a language model.
    prefixes = source.sample(4, PREFIX, seed=3).tolist()
    for name, some in (("prefix", prefixes[:1]), ("4 prefixes", prefixes)):
        stores[name] = l2m.score(data, scorer, out=f"{folder}/{name}", **options, shuffles=0, prefix=some)
    return stores


def curves_of(scores: Any, estimator: str, trials: int, windows: int) -> list[l2m.BipartiteCurve]:
    """The estimate of each trial; those that have none are left out."""
    curves = []
    for trial in range(trials):
        with contextlib.suppress(l2m.InputError):  # no law of the next token's entropy
            part = scores.subset(range(trial * windows, (trial + 1) * windows))
            curves.append(
                default_estimate(part) if estimator == "default" else l2m.bipartite(part, **ESTIMATORS[estimator])
            )
    return curves


def fits(
    curves: list[Any], span: str, exact: dict[int, float], constant: dict[str, Any]
) -> Iterator[tuple[float, float, float, float] | None]:
    """(beta, beta of the exact curve by the same fit, low, high) of each trial; None where no law would be quoted."""
    options = {**RANGES[span], **constant}
    for curve in curves:
        true = np.array([exact[int(split)] for split in curve.split])
        known = dataclasses.replace(curve, information=true, replicates=curve.replicates - curve.information + true)
        try:
            law = curve.fit(**options)
            truth = known.fit(**{**options, "min_split": None, "splits": law.settings["splits"]})
        except l2m.InputError:  # too few points for a constant, values that have no logarithm
            yield None
            continue
        quoted = law.holds if span == "automatic" else law.resolved
        yield (law.exponent, float(truth.parameters[1]), *law.interval("exponent")) if quoted else None


def summary(found: list[tuple[float, float, float, float] | None]) -> dict[str, Any]:
    """Medians, so that one trial whose law nearly fails does not decide: bias, half the width that holds 68 %, coverage."""
    laws = np.array([law for law in found if law is not None]).reshape(-1, 4)
    if len(laws) < 2:
        return {**dict.fromkeys(COLUMNS[4:10], float("nan")), "failed": len(found) - len(laws)}
    beta, truth, low, high = laws.T
    error = beta - truth
    spread = np.diff(np.quantile(error, [0.16, 0.84]))[0] / 2
    return {
        "exact": np.median(truth),
        "bias": np.median(error),
        "bias_stderr": 1.25 * spread / np.sqrt(len(laws)),
        "spread": spread,
        "stderr": np.median(high - low) / (2 * 1.98),
        "coverage": np.mean((low <= truth) & (truth <= high)),
        "failed": len(found) - len(laws),
    }


def read(path: Path) -> list[dict[str, Any]]:
    with open(path, newline="") as file:
        return [dict(row) for row in csv.DictReader(file)]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()})


def refitted(rows: list[dict[str, Any]]) -> str:
    """Beta of curves at L = 2 l, by estimator, range, and what is fitted."""
    lines = ["| estimator | " + " | ".join(FIXED) + " |", "| --- " * (1 + len(FIXED)) + "|"]
    for name in dict.fromkeys((row["estimator"], row["correction"]) for row in rows):
        mine = [row for row in rows if (row["estimator"], row["correction"]) == name and float(row["ratio"]) == 2]
        length, information, stderr = (
            np.array([float(row[key]) for row in mine]) for key in ("length", "information", "stderr")
        )
        cells = []
        for span in FIXED:
            some = length >= 2 * RANGES[span]["min_split"]
            method = RANGES[span].get("method", "nonlinear")
            law = l2m.fit_power_law(length[some], information[some], stderr=stderr[some], method=method)
            cells.append(f"{law.exponent:.2f}")
        title = name[0] if name[1] == "none" else name[1]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


MEANS = ("bias", "spread", "coverage")
SHOWN = ("all l", "l >= 16", "automatic")


def table(rows: list[dict[str, Any]]) -> str:
    """For each kind of source: the bias of beta by estimator and scorer, then spread and coverage of the automatic range."""
    parts = []
    for kind in dict.fromkeys(row["source"].rsplit(" ", 1)[0] for row in rows):
        mine = [row for row in rows if row["source"].rsplit(" ", 1)[0] == kind]
        sources = list(dict.fromkeys(row["source"] for row in mine))
        parts.append(f"{', '.join(sources)}: bias of beta, mean over the sources ({' / '.join(SHOWN)})")
        parts.append(grid(mine, lambda row: f"{row['bias']:+.2f}", SHOWN))
        parts.append(f"{', '.join(sources)}: automatic range, spread of beta and coverage of its 95 % interval")
        parts.append(grid(mine, lambda row: f"{row['spread']:.2f}, {row['coverage']:.0%}", ("automatic",)))
    return "\n\n".join(parts)


def grid(rows: list[dict[str, Any]], word: Callable[[dict[str, float]], str], ranges: tuple[str, ...]) -> str:
    """A line for each estimator, a column for each scorer, in each cell the mean over sources in `word`; a star where one has no law in most trials."""
    scorers, estimators = (list(dict.fromkeys(row[name] for row in rows)) for name in ("scorer", "estimator"))
    lines = ["| estimator | " + " | ".join(scorers) + " |", "| --- " * (1 + len(scorers)) + "|"]
    for estimator in estimators:
        cells = []
        for scorer in scorers:
            words = []
            for span in ranges:
                found = [
                    row for row in rows
                    if (row["scorer"], row["estimator"], row["range"]) == (scorer, estimator, span)
                ]  # fmt: skip
                laws = [
                    row
                    for row in found
                    if 2 * int(row["failed"]) <= int(row["trials"]) and np.isfinite(float(row["bias"]))
                ]
                mean = {name: float(np.mean([float(row[name]) for row in laws])) for name in MEANS} if laws else None
                words.append("none" if mean is None else word(mean) + "*" * (len(laws) < len(found)))
            cells.append(" / ".join(words))
        lines.append(f"| {estimator} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
