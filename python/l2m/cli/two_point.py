from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from l2m.cli.work import CountingWork

if TYPE_CHECKING:
    from l2m.counting.two_point_curve import TwoPointCurve

DEFAULT = CountingWork()
OFFSETS: dict[str, dict[str, Any]] = {
    "free": {},
    "bounded": {"offset": "bounded", "method": "ols"},
    "none": {"offset": False},
}
"""What `TwoPointCurve.fit` is given for --offset."""


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
    permutations: int = 0,
    min_distance: int | None = None,
    max_distance: int | None = None,
    offset: Literal["free", "bounded", "none"] = "free",
    seed: int = 0,
    work: CountingWork = DEFAULT,
) -> None:
    """Two-point mutual information of a corpus at every distance, with error bars and its power law.

    Examples
    --------
    l2m two-point corpus --out two-point
    l2m two-point book.txt --tokenizer words --distances 1,2,4,8,16

    Parameters
    ----------
    text
        A folder (or its URL) made by l2m tokenize; or UTF-8 files and folders of them, or - for standard input.
    out
        Folder for the results of tasks, two_point.json, two_point.csv and figures. Run the same command again to resume.
        Default: nothing is kept.
    tokenizer
        For text: bytes, characters, words, or a Hugging Face tokenizer.
    distances
        Such as 1,2,4. Default: 1, 2, 4, ... as far as at least 8 groups of documents have pairs.
    estimator
        Of the entropies: grassberger or plug-in; any of l2m entropy with --null none and --groups 0.
    margins
        pairs: from the pairs themselves; corpus: the paper's 2 H_1 - H_d.
    null
        exact: subtract the permutation null; none: subtract nothing, as the paper does, and let the fit have an offset.
    groups
        Jackknife groups of whole documents; 0: no error bars.
    within_document
        Also measure after shuffling the tokens inside each document.
    cross_document
        Also pair tokens of different documents, a check of the null.
    subsamples
        Also measure halves, quarters and eighths of the documents, to see whether I(d) has converged.
    permutations
        Also give every distance a p-value from so many permutations within documents, such as 199, and q, the p-value
        adjusted for the number of distances.
    min_distance
        Of the fit. Default: the shortest from which a power law describes the curve.
    max_distance
        Of the fit.
    offset
        C of the fit I(d) = A d^-alpha + C: free; bounded, the paper's 0 < C < min I; none, where I(d) is known to fall to 0.
    seed
        Of the shuffles.
    """
    from l2m.cli.inputs import read_corpus
    from l2m.cli.output import print_result
    from l2m.cli.work import check_out, run_job, show_forecast
    from l2m.counting.two_point_job import TwoPointJob, TwoPointSettings

    check_out(out, work)
    settings = TwoPointSettings(
        distances=distances, estimator=estimator, margins=margins, null=null, groups=groups or None,
        within_document=within_document, cross_document=cross_document, subsamples=subsamples, permutations=permutations,
        seed=seed,
    )  # fmt: skip
    corpus = read_corpus(text, tokenizer, None if work.dry_run else out, sharded=work.share is not None)
    job = TwoPointJob(corpus, settings, **work.of_job(corpus, out))
    if work.dry_run:
        return show_forecast(job, work)
    curve = run_job(job, work, out, "pairs")
    if curve is None:
        result = {"out": str(out), "shard": work.shard, "done": False}
        return print_result(result, work.json, f"shard {work.shard} done -> {out}")
    fit = {"min_distance": min_distance, "max_distance": max_distance, **OFFSETS[offset]}
    return show(curve, out, work.json, **fit)


def show(curve: "TwoPointCurve", out: Path | None, json: bool, **fit: Any) -> None:
    """Print the curve and its law; write two_point.json, .csv and figures to `out`."""
    import numpy as np

    from l2m.cli.output import print_result
    from l2m.cli.work import keep
    from l2m.counting.segments import SUBSAMPLES
    from l2m.statistics.power_law import fit_or_reason

    law, sentence = fit_or_reason(curve, **fit)
    alpha = None
    if law is not None and law.holds:
        low, high = sorted(-end for end in law.interval("exponent"))
        alpha = {"value": -law.exponent, "low": low, "high": high}
        form = "A d^-alpha + C" if law.settings["offset"] else "A d^-alpha"
        sentence += f"\nI(d) = {form}   alpha = {-law.exponent:.3f}   95 %: {low:.3f} to {high:.3f}"
    if out is not None:
        figures: dict[str, Any] = {"two_point": lambda axes: curve.plot(axes, law)}
        if curve.subsample_information is not None:
            figures["two_point_subsamples"] = curve.plot_subsamples
        keep(curve, out, "two_point", figures)
    result: dict[str, Any] = {
        "curve": curve.to_dict(),
        "law": None if law is None else law.to_dict(),
        "alpha": alpha,
        "words": sentence,
        "growth": curve.growth_words,
        "significance": curve.significance_words,
    }
    columns = [(f"I ({curve.unit})", curve.information), ("error", curve.stderr)]
    if curve.fixed is not None:
        places = np.flatnonzero(np.isin(curve.distance, curve.fixed.distance))  # in the same order
        for name, values in (("I of fit", curve.fixed.information), ("error", curve.fixed.stderr)):
            columns.append((name, np.full(len(curve), np.nan)))
            columns[-1][1][places] = values
        few, all_of_them = int(curve.fixed.documents.max()), int(curve.settings["documents"])
        sentence = f"I of fit: over the {few:,} of {all_of_them:,} documents that have pairs at all of its distances.\n{sentence}"
    if curve.subsample_information is not None:
        names = (f"in 1/{share}" for share in SUBSAMPLES.values())
        columns += zip(names, curve.subsample_information, strict=True)
    if curve.permutation_p is not None and curve.permutation_q is not None:
        columns += [("p", curve.permutation_p), ("q", curve.permutation_q)]
    lines = [f"{'d':>8} {'pairs':>16} " + " ".join(f"{name:>10}" for name, _ in columns)]
    for index, (distance, pairs) in enumerate(zip(curve.distance, curve.pairs, strict=True)):
        cells = (f"{values[index]:>10.5f}" for _, values in columns)
        lines.append(f"{distance:>8,} {pairs:>16,} " + " ".join(cells))
    print_result(
        result, json, "\n".join(filter(None, [*lines, curve.growth_words, curve.significance_words, sentence]))
    )
