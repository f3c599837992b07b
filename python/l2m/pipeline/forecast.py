"""What `l2m.measure` will take, without writing anything: for `l2m measure --dry-run`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from l2m.base.forecast import Forecast
from l2m.base.optional import require
from l2m.corpora.corpus import Corpus
from l2m.corpora.sources import Sources
from l2m.corpora.tokenize import tokenize
from l2m.counting.two_point_job import TwoPointJob, TwoPointSettings
from l2m.pipeline.measure import find_model, needs, window_length, windows_that_fit
from l2m.scoring.endpoint import Endpoint
from l2m.scoring.prefix import Prefix
from l2m.scoring.request import Request
from l2m.scoring.run import forecast as forecast_scoring
from l2m.scoring.settings import ScoreSettings


def forecast(
    texts: Sources,
    model: "str | os.PathLike[str] | Endpoint",
    out: Path,
    *,
    length: int | None,
    windows: int | None,
    window_starts: Literal["anywhere", "head"],
    prefix: Prefix,
    ngrams_from: Corpus | str | os.PathLike[str] | None,
    distances: Sequence[int] | None,
    domains: Mapping[str, Sources],
    glob: str,
    duplicates: str,
    device: str | None,
    dtype: str | None,
    revision: str | None,
    max_batch_tokens: int | None,
    threads: int | None,
    seed: int,
) -> Forecast:
    """Time, memory and disk of `l2m.measure` with these arguments; the text is tokenized in memory to know its size.

    Returns:
        `work`: tokens of the text, pairs to count, tokens to evaluate. `tasks`: seconds of "counting" and "scoring".

    Raises:
        InputError: as `l2m.measure`, before it begins to score.
    """
    require("measure", *needs(model))
    source, scorer, context = find_model(model, revision)
    scored = str(scorer.settings["name"]) if isinstance(scorer, Endpoint) else source.name
    length = window_length(length, scored, scorer, context)
    corpus = tokenize(texts, source.encoder(), glob=glob, duplicates=duplicates)
    windows = windows_that_fit(corpus, length, windows, distances)
    corpora = [corpus, *(tokenize(other, source.encoder(), duplicates=duplicates) for other in domains.values())]
    counting = [
        TwoPointJob(one, TwoPointSettings(distances=distances, seed=seed), threads=threads, parts=1).forecast()
        for one in corpora
    ]
    settings = ScoreSettings(
        length=length, ratios=(2,), shuffles=0, windows=windows, window_starts=window_starts, prefix=prefix,  # type: ignore[arg-type]
        ngrams_from=ngrams_from,  # type: ignore[arg-type]
        device=device, dtype=dtype, max_batch_tokens=max_batch_tokens, seed=seed,
    )  # fmt: skip
    scores = out / "scores"
    with TemporaryDirectory() as nowhere:
        where = scores if (scores / "scores.json").exists() else Path(nowhere)
        scoring = forecast_scoring(Request(corpus=corpus, model=scorer, settings=settings), where)
    tokens = sum(int(one.tokens.size) for one in corpora)
    return Forecast(
        work={
            "tokens": tokens,
            "pairs": sum(sum(one.work.values()) for one in counting),
            "tokens_scored": sum(scoring.work.values()),
        },
        tasks={"counting": sum(one.seconds() or 0.0 for one in counting), "scoring": scoring.seconds() or 0.0},
        memory_bytes=max(filter(None, (scoring.memory_bytes, *(one.memory_bytes for one in counting))), default=None),
        # Ids, scores of float32 for each token that is evaluated, curves and figures.
        disk_bytes=4 * tokens + 4 * sum(scoring.work.values()) + 2**21,
        details={"documents": len(corpus), "windows": windows, "length": length, "model": scored},
    )


def words(plan: Forecast) -> str:
    """The forecast for people."""
    seconds: Mapping[str, Any] = plan.tasks
    return "\n".join(
        [
            f"1/5 tokenizing   {plan.work['tokens']:>14,} tokens in {plan.details['documents']:,} documents",
            f"2/5 counting     {plan.work['pairs']:>14,} pairs, about {seconds['counting']:,.0f} s",
            f"3/5 loading      {plan.details['model']}: about {(plan.memory_bytes or 0) / 2**30:.1f} GiB of memory in all",
            f"4/5 scoring      {plan.work['tokens_scored']:>14,} tokens in {plan.details['windows']:,} windows of "
            f"{plan.details['length']:,}, about {seconds['scoring'] / 60:,.1f} minutes",
            f"5/5 report       disk: about {(plan.disk_bytes or 0) / 2**20:,.0f} MiB in all; nothing was written",
        ]
    )
