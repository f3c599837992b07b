"""Scoring on a Ray cluster: its machines share the windows and write to one store."""

import dataclasses
import os
from functools import partial
from typing import Any

from l2m.base.cluster import run_on_ray
from l2m.corpora.corpus import Corpus
from l2m.scoring.request import Request
from l2m.scoring.run import prepare
from l2m.scoring.scores import Scores
from l2m.scoring.settings import ScoreSettings


def score_on_ray(
    corpus: str | os.PathLike[str],
    model: Any,
    address: str,
    *,
    out: str | os.PathLike[str],
    settings: ScoreSettings | None = None,
    threads: int = 0,
    gpus: int | None = None,
) -> Scores:
    """`l2m.score` with its windows shared among the machines of a Ray cluster, which all see `corpus` (a folder) and `out`.

    Args:
        corpus, model, out: as in `l2m.score`; a model that is not a name or folder is sent to every machine.
        settings: the options of `l2m.score`.
        threads: cores of one task, 0: all of the smallest machine.
        gpus: GPUs of one task; None: one where the cluster has any.
    """
    folder = os.path.abspath(out)
    model = os.path.abspath(model) if isinstance(model, (str, os.PathLike)) and os.path.exists(model) else model
    corpus = corpus if isinstance(corpus, str) and "://" in corpus else os.path.abspath(corpus)
    options = dataclasses.asdict(settings or ScoreSettings())
    if options["ngrams_from"] is not None and "://" not in options["ngrams_from"]:
        options["ngrams_from"] = os.path.abspath(options["ngrams_from"])
    share = partial(_score_share, corpus, model, folder, options)
    for _ in run_on_ray(share, lambda room: [(index, room) for index in range(room)], address, cpus=threads, gpus=gpus):
        pass
    return Scores.open(folder)


def _score_share(corpus: str, model: Any, out: str, options: dict[str, Any], shard: tuple[int, int]) -> None:
    request = Request(corpus=Corpus.open(corpus, verify=False), model=model, settings=ScoreSettings(**options))
    prepare(request, out, shard).run(None)
