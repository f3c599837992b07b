from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from l2m.counting.two_point import TwoPointCurve


def two_point(
    *text: str,
    out: Path | None = None,
    tokenizer: str = "bytes",
    distances: list[int] | None = None,
    estimator: str = "grassberger",
    margins: Literal["pairs", "corpus"] = "pairs",
    null: Literal["exact", "none"] = "exact",
    groups: int = 32,
    within_document: bool = True,
    cross_document: bool = False,
    subsamples: bool = False,
    threads: int | None = None,
    memory: str | None = None,
    parts: int | None = None,
    shard: str | None = None,
    ray: str | None = None,
    min_distance: int | None = None,
    max_distance: int | None = None,
    seed: int = 0,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Two-point mutual information of a corpus at every distance, with error bars and its power law.

    Parameters
    ----------
    text
        A folder (or its URL) made by l2m tokenize; or UTF-8 files and folders of them.
    out
        Folder for the tasks' results, two_point.json, two_point.csv and figures. The same command goes on where it
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
    subsamples
        Also count halves, quarters and eighths of the documents: has I(d) converged?
    threads
        Default: all cores. With --ray: cores of a task, default 1, 0 all of a machine. Never changes the result.
    memory
        For counting, as 2GiB; with --ray, of each task. Default: what full speed needs. Never changes the result.
    parts
        Tasks a count is cut into: 4 times the workers, or more. Default: 8, more from 5e8 tokens on.
    shard
        I/N: run only these tasks; all shards may share one --out, else l2m merge joins theirs.
    ray
        Run on a Ray cluster whose machines all see the corpus: auto, HOST:PORT or ray://HOST:PORT.
    min_distance
        Of the fit. Default: the shortest from which a power law describes the curve.
    max_distance
        Of the fit.
    seed
        Of the shuffles.
    dry_run
        Print tasks, time, memory and disk, from counting a few percent; write nothing.
    json
        Print the result as one JSON object.
    """
    from l2m.cli.inputs import read_corpus, read_shard
    from l2m.cli.output import print_result
    from l2m.cli.work import check_out, cut, run_job, show_forecast
    from l2m.counting.two_point import TwoPointJob

    own = read_shard(shard, ray)
    check_out(out, own)
    corpus = read_corpus(text, tokenizer, None if dry_run else out, sharded=own is not None)
    job = TwoPointJob(
        corpus, distances, estimator=estimator, margins=margins, null=null, groups=groups or None, within_document=within_document,
        cross_document=cross_document, subsamples=subsamples, memory=memory, seed=seed, **cut(out, ray, threads, parts),
    )  # fmt: skip
    if dry_run:
        return show_forecast(job, own, ray, threads, json)
    curve = run_job(job, "pairs", out, own, ray, threads)
    if curve is None:
        return print_result({"out": str(out), "shard": shard, "done": False}, json, f"shard {shard} done -> {out}")
    return show(curve, out, json, min_distance=min_distance, max_distance=max_distance)


def show(curve: "TwoPointCurve", out: Path | None, json: bool, **fit: Any) -> None:
    """Print the curve and its law; keep two_point.json, .csv and figures in `out`."""
    from l2m.cli.output import print_result
    from l2m.cli.work import keep
    from l2m.counting.two_point import SUBSAMPLES
    from l2m.statistics.power_law import fit_or_reason

    law, sentence = fit_or_reason(curve, **fit)
    if out is not None:
        figures: dict[str, Any] = {"two_point": lambda axes: curve.plot(axes, law)}
        if curve.subsample_information is not None:
            figures["two_point_subsamples"] = curve.plot_subsamples
        keep(curve, out, "two_point", figures)
    result: dict[str, Any] = {
        "curve": curve.to_dict(),
        "law": None if law is None else law.to_dict(),
        "words": sentence,
    }
    parts = [] if curve.subsample_information is None else list(curve.subsample_information)
    rows = [
        f"{d:>8,} {pairs:>16,} {value:>10.5f} {error:>9.5f}" + "".join(f" {part[index]:>10.5f}" for part in parts)
        for index, (d, pairs, value, error) in enumerate(
            zip(curve.distance, curve.pairs, curve.information, curve.stderr, strict=True)
        )
    ]
    head = f"{'d':>8} {'pairs':>16} {'I (nats)':>10} {'error':>9}"
    head += "".join(f" {f'in 1/{share}':>10}" for share in SUBSAMPLES.values()) if parts else ""
    print_result(result, json, "\n".join([head, *rows, sentence]))
