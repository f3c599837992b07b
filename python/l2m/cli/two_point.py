from pathlib import Path
from typing import Any, Literal


def two_point(
    *text: Path,
    out: Path | None = None,
    tokenizer: str = "bytes",
    distances: list[int] | None = None,
    estimator: str = "grassberger",
    margins: Literal["pairs", "corpus"] = "pairs",
    null: Literal["exact", "none"] = "exact",
    groups: int = 32,
    within_document: bool = True,
    cross_document: bool = False,
    threads: int | None = None,
    memory: str | None = None,
    shard: str | None = None,
    seed: int = 0,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Two-point mutual information of a corpus at every distance, with error bars and its power law.

    Parameters
    ----------
    text
        A folder made by l2m tokenize; or UTF-8 files and folders of them.
    out
        Folder for the tasks' results, two_point.json, two_point.csv and two_point.svg. The same command goes on where it
        stopped. Without it nothing is kept.
    tokenizer
        For text: bytes, characters, words, or a Hugging Face tokenizer.
    distances
        Default: 1, 2, 4, ... as far as at least 8 groups of documents have pairs.
    estimator
        Of the entropies.
    margins
        pairs: from the pairs themselves; corpus: the paper's 2 H_1 - H_d.
    null
        exact: subtract the permutation null; none: the paper's, fit a floor instead.
    groups
        Jackknife groups of whole documents; 0: no error bars.
    within_document
        Also measure after shuffling the tokens inside documents.
    cross_document
        Also pair tokens across documents, a check of the null.
    threads
        Default: all cores. Never changes the result.
    memory
        For counting, as 2GiB. Default: what full speed needs. Never changes the result.
    shard
        I/N: run only these tasks; all shards may share one --out, else l2m merge joins theirs.
    seed
        Of the shuffles.
    dry_run
        Print tasks, pairs and memory; run nothing.
    json
        Print the result as one JSON object.
    """
    from l2m.cli.inputs import read_corpus
    from l2m.cli.output import print_result, read_shard
    from l2m.errors import InputError
    from l2m.power_law import fit_or_reason
    from l2m.progress import progress_bar
    from l2m.tasks import run_in_folder
    from l2m.two_point import TwoPointJob

    own = None if shard is None else read_shard(shard)
    if own is not None and out is None:
        raise InputError("out: not named; expected the folder in which a shard keeps its results")
    corpus = read_corpus(text, tokenizer, None if dry_run else out)
    job = TwoPointJob(
        corpus, distances, estimator=estimator, margins=margins, null=null, groups=groups or None, within_document=within_document,
        cross_document=cross_document, threads=threads, memory=memory, seed=seed, parts=None if out else 1,
    )  # fmt: skip
    if dry_run:
        plan = job.plan()
        words = f"{plan['tasks']} tasks, {plan['pairs']:,} pairs, {plan['threads']} threads, at most {plan['memory']:,} bytes"
        return print_result(plan, json, words)
    with progress_bar("counting", "" if out else "pairs") as progress:
        curve = job.run_all(progress) if out is None else run_in_folder(job, out, own, progress)
    if curve is None:
        return print_result({"out": str(out), "shard": shard, "done": False}, json, f"shard {shard} done -> {out}")
    law, sentence = fit_or_reason(curve)
    if out is not None:
        _write(curve, law, out)
    result: dict[str, Any] = {
        "curve": curve.to_dict(),
        "law": None if law is None else law.to_dict(),
        "words": sentence,
    }
    rows = [
        f"{d:>8,} {pairs:>16,} {value:>10.5f} {error:>9.5f}"
        for d, pairs, value, error in zip(curve.distance, curve.pairs, curve.information, curve.stderr, strict=True)
    ]
    head = f"{'d':>8} {'pairs':>16} {'I (nats)':>10} {'error':>9}"
    return print_result(result, json, "\n".join([head, *rows, sentence]))


def _write(curve: Any, law: Any, out: Path) -> None:
    """two_point.json, two_point.csv, and two_point.svg where matplotlib is installed."""
    from importlib.util import find_spec

    from l2m import plots
    from l2m.files import atomic_write

    curve.write_csv(out / "two_point.csv")
    if find_spec("matplotlib") is not None:
        with atomic_write(out / "two_point.svg", "w") as file:
            file.write(plots.svg(curve.plot(plots.new_axes(), law).figure))
    curve.save(out / "two_point.json")
