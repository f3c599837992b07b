from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from l2m.errors import InputError

if TYPE_CHECKING:
    from l2m.counting.covariance_curve import CovarianceCurve


def covariance(
    *text: str,
    out: Path | None = None,
    tokenizer: str = "bytes",
    distances: list[int] | None = None,
    values: int = 4,
    center: Literal["corpus", "document"] = "corpus",
    groups: int = 32,
    floor: bool = True,
    min_distance: int | None = None,
    max_distance: int | None = None,
    scores: Path | None = None,
    gamma: list[float] | None = None,
    seed: int = 0,
    threads: int | None = None,
    json: bool = False,
) -> None:
    """Token covariance by distance: its largest singular values, their power law, and the learning exponent they predict.

    Examples
    --------
    l2m covariance corpus --out covariance
    l2m covariance book.txt --tokenizer words --distances 1,2,4,8

    Parameters
    ----------
    text
        A folder (or its URL) made by l2m tokenize; or UTF-8 files and folders of them.
    out
        Folder for covariance.json, covariance.csv and a figure. Default: nothing is kept.
    tokenizer
        For text: bytes, characters, words, or a Hugging Face tokenizer.
    distances
        Such as 1,2,4. Default: 1, 2, 4, ... as far as one set of documents reaches.
    values
        How many of the largest singular values, 1 to 8.
    center
        Whose frequencies are subtracted: the corpus's, or each document's own. That documents differ is covariance too, which
        does not fall with distance.
    groups
        Jackknife groups of whole documents; 0: no error bars.
    floor
        Also measure with the tokens of every document shuffled. A fit ends where the largest value is below twice that.
    min_distance
        Of the fit.
    max_distance
        Of the fit.
    scores
        A folder made by l2m score, for gamma: then the exponent of learning curves gamma / (2 b) is predicted.
    gamma
        Or gamma itself and its standard error, such as 0.27,0.02.
    seed
        Of the shuffle and of the iteration.
    threads
        Default: all cores. Never changes the result.
    json
        Print the result as one JSON object.
    """
    from l2m.base.folders import claim
    from l2m.base.progress import progress_bar
    from l2m.cli.inputs import read_corpus
    from l2m.cli.output import print_result
    from l2m.cli.work import keep
    from l2m.counting.covariance import token_covariance
    from l2m.statistics.power_law import fit_or_reason

    if gamma is not None and (scores is not None or len(gamma) != 2):
        raise InputError(f"gamma: {gamma}; expected a value and its standard error, or --scores alone")
    known = _gamma_of(scores) if scores is not None else gamma
    corpus = read_corpus(text, tokenizer, None)
    if out is not None:
        how = {
            "values": values,
            "center": center,
            "groups": groups,
            "floor": floor,
            "seed": seed,
            "fit": [min_distance, max_distance],
        }
        claim(out, "covariance", {"corpus": corpus.hash, "distances": distances, **how})
    with progress_bar("covariance", "distances") as progress:
        curve = token_covariance(
            corpus, distances, values=values, center=center, groups=groups or None, floor=floor, seed=seed, threads=threads,
            progress=progress,
        )  # fmt: skip
    law, words = fit_or_reason(curve, min_distance=min_distance, max_distance=max_distance)
    if out is not None:
        keep(curve, out, "covariance", {"covariance": lambda axes: curve.plot(axes, law)})
    result: dict[str, Any] = {"curve": curve.to_dict(), "law": None if law is None else law.to_dict(), "words": words}
    if known is not None and law is not None:
        from l2m.statistics.learning_exponent import learning_exponent

        predicted = learning_exponent((known[0], known[1]), (-law.exponent, law.standard_error("exponent")))
        result["learning_exponent"] = predicted.to_dict()
        words = f"{words}\n{predicted.explain()}"
    print_result(result, json, f"{_table(curve)}\n{words}")


def _gamma_of(scores: Path) -> tuple[float, float]:
    """gamma and its standard error from the NLL by position in a score store."""
    from l2m.scoring.position_nll import position_nll
    from l2m.scoring.scores import Scores

    law = position_nll(Scores.open(scores)).fit()
    return -law.exponent, law.standard_error("exponent")


def _table(curve: "CovarianceCurve") -> str:
    values = curve.singular.shape[1]
    head = f"{'d':>8} {'largest':>10} {'error':>9} " + " ".join(
        f"{f'no. {value + 1}':>10}" for value in range(1, values)
    )
    lines = [f"{head} {'shuffled':>10}" if curve.floor is not None else head]
    for place, distance in enumerate(curve.distance):
        cells = [f"{distance:>8,} {curve.singular[place, 0]:>10.3e} {curve.stderr[place, 0]:>9.1e}"]
        cells += [f"{value:>10.3e}" for value in curve.singular[place, 1:]]
        if curve.floor is not None:
            cells.append(f"{curve.floor[place]:>10.3e}")
        lines.append(" ".join(cells))
    return "\n".join(lines)
