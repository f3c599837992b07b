"""The main job: text and a language model in; two laws, a verdict and a report out."""

import dataclasses
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from l2m._core import __version__
from l2m.base import checks
from l2m.base.devices import pick_device, pick_dtype
from l2m.base.files import atomic_write, json_hash, read_json, read_sealed, write_sealed
from l2m.base.folders import lock, require_own, require_same
from l2m.base.optional import RUNS_ENDPOINT, RUNS_MODEL, require
from l2m.base.progress import Progress, progress_bar, stage
from l2m.corpora.corpus import Corpus
from l2m.corpora.sources import Sources
from l2m.corpora.tokenize import tokenize
from l2m.counting.two_point import two_point
from l2m.counting.two_point_curve import TwoPointCurve
from l2m.errors import InputError
from l2m.pipeline.measurement import Domain, Measurement
from l2m.pipeline.page import figures, render
from l2m.scoring import score
from l2m.scoring.agreement import agreement_or_reason
from l2m.scoring.bipartite import BipartiteCurve
from l2m.scoring.endpoint import Endpoint
from l2m.scoring.exponents import ExponentRange, default_estimate, range_of
from l2m.scoring.model_source import ModelSource, resolve_model
from l2m.scoring.prefix import Prefix, as_prefix, recorded
from l2m.scoring.settings import split_spans
from l2m.scoring.windows import STARTS, room
from l2m.states.condition import COUNTED, Bounded, condition
from l2m.states.history_state import history_state
from l2m.statistics.power_law import PowerLaw, fit_or_reason

log = logging.getLogger("l2m")

LENGTH = 1024
"""Tokens in a window where the user gives no number."""

WINDOWS = 40
"""Windows scored in all where the user gives no number: about 4 minutes with a 135M model on two cores."""

STAGES = 5
BESIDE = ("state-spaces/mamba-130m", "mistralai/Mistral-7B-v0.1", "ai21labs/Jamba-v0.1")
"""Models of the catalogue that are judged as well as the scored one: a fixed state, a sliding window, a hybrid."""


def measure(
    texts: Sources,
    model: "str | os.PathLike[str] | Endpoint",
    out: str | os.PathLike[str],
    *,
    length: int | None = None,
    windows: int | None = None,
    window_starts: Literal["anywhere", "head"] = "anywhere",
    prefix: Prefix = None,
    ngrams_from: Corpus | str | os.PathLike[str] | None = None,
    distances: Sequence[int] | None = None,
    beside: Sequence[str] = BESIDE,
    domains: Mapping[str, Sources] | None = None,
    glob: str = "*",
    duplicates: str = "drop",
    title: str | None = None,
    command: str = "",
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    max_batch_tokens: int | None = None,
    threads: int | None = None,
    seed: int = 0,
) -> Measurement:
    """Measure the two laws of a text with a language model, judge its state, and write a report.

    The same call resumes an earlier one that was stopped, and gives the same `results.json`. One process at a time works in
    `out`.

    Args:
        texts: files, folders, texts (see `l2m.tokenize`).
        model: a causal language model: hub name, folder, GGUF file, or a package that carries one; or one behind a server
            (`l2m.Endpoint`, with its tokenizer). Its state is judged where the tokenizer's folder has its config.json.
        out: folder for the corpus, the scores, results.json, the curves as CSV, the figures and report.html.
        length: tokens in a window, past and future together; splits are l = 2, 4, ..., length / 2 with L = 2 l. Default:
            1,024, or the largest power of 2 that the server takes.
        windows: how many are scored in all: one of each document, then a second of each, and so on. Default: 40, or fewer
            where the text has no room for so many.
        window_starts: "anywhere" or "head", as in `l2m.score`.
        prefix: text before X and before Y alone, as in `l2m.score`: default a blank line; "none" for the start token alone.
        ngrams_from: a corpus, or its folder, whose n-grams correct the first tokens of Y; default: those of `texts`.
        distances: for the two-point information; default 1, 2, 4, ...
        beside: names of other models to judge, as `l2m.history_state` takes them.
        domains: name -> sources of other texts whose two-point information is measured too.
        command: what the report names as the command that repeats it.

    Returns:
        What `results.json` holds.

    Raises:
        InputError: see `l2m.tokenize`, `l2m.score`; text shorter than a window; a context shorter than a window; `out`
            belongs to another run, holds files that were changed, or is in use by another process.

    Example:
        >>> l2m.measure('novels/', 'HuggingFaceTB/SmolLM2-135M', 'results')  # doctest: +SKIP
    """
    require("measure", *needs(model))
    out = Path(out)
    require_own(out, "run.json")
    length, seed = None if length is None else checks.whole("length", length, 1), checks.seed(seed)
    windows = None if windows is None else checks.whole("windows", windows, 1)
    checks.one_of("window_starts", window_starts, STARTS)
    asked = as_prefix(prefix)
    ngrams_corpus = ngrams_from if ngrams_from is None or isinstance(ngrams_from, Corpus) else Corpus.open(ngrams_from)
    distances = None if distances is None else checks.wholes("distances", distances, 1)
    checks.threads(threads)
    if device is not None:
        pick_device(device, maps=True)
    pick_dtype(dtype)
    source, scorer, context = find_model(model, revision)
    scored = str(scorer.settings["name"]) if isinstance(scorer, Endpoint) else source.name
    length = window_length(length, scored, scorer, context)
    for name in beside:
        history_state(name)  # an unknown name is found now, not after the scoring
    was_there = out.exists()
    with lock(out):
        with _nothing_left_behind(out, was_there):
            stage(1, STAGES, "tokenizing the text")
            corpus = _tokenized(texts, source, out / "corpus", "tokenizing", glob=glob, duplicates=duplicates)
            windows = windows_that_fit(corpus, length, windows, distances)
            others = {
                name: _tokenized(sources, source, _folder(out, number), f"tokenizing {name}", duplicates=duplicates)
                for number, (name, sources) in enumerate((domains or {}).items(), 1)
            }
            run = {
                "model": scorer.hash,
                "length": length,
                "windows": windows,
                "window_starts": window_starts,
                "prefix": None if asked is None else recorded(asked),
                "ngrams_from": None if ngrams_corpus is None else ngrams_corpus.hash,
                "distances": None if distances is None else list(distances),
                "corpus": corpus.hash,
                "domains": {name: other.hash for name, other in others.items()},
                "beside": list(beside),
                "device": device,
                "dtype": dtype,
                "seed": seed,
                "version": __version__,
            }
            older = _claim(out, run)

        names = [document["id"] for document in corpus.documents[:3]]
        title = title or ", ".join(names) + ("" if len(corpus) <= 3 else ", ...")
        stage(2, STAGES, "counting pairs of tokens")
        measured = [
            _domain(label, other, _folder(out, number), older, distances, threads, seed)
            for number, (label, other) in enumerate([(title, corpus), *others.items()])
        ]
        stage(3, STAGES, f"loading {scored}")
        with progress_bar(f"scoring with {scored}", "tokens") as bar:
            progress = _announced(bar, f"scoring {windows} windows of {length:,} tokens")
            scores = score(
                corpus, scorer, out=out / "scores", length=length, ratios=(2,), shuffles=0, windows=windows,
                window_starts=window_starts, prefix=prefix, ngrams_from=ngrams_corpus, device=device, dtype=dtype,
                max_batch_tokens=max_batch_tokens, seed=seed, progress=progress,
            )  # fmt: skip
        stage(5, STAGES, "fitting the laws, judging models, writing the report")
        curve = default_estimate(scores)
        law, words = fit_or_reason(curve)
        choices = range_of(scores)
        agreed, agreement_words = agreement_or_reason(curve, scores)
        verdicts = _verdicts(law, scored, source, beside, length)
        result = Measurement(
            title=title,
            summary=_summary(measured[0], law, choices, verdicts),
            model={"name": scored, **scores.settings["model"], "noise_floor": scores.noise_floor},
            domains=tuple(measured),
            bipartite=curve,
            law=law,
            words=words,
            verdicts=tuple(verdicts),
            command=command,
            note=_note(measured[0].curve, curve),
            choices=choices,
            agreement=agreed,
            agreement_words=agreement_words,
            settings=run,
        )
        _write(out, result)
    return result


def needs(model: "str | os.PathLike[str] | ModelSource | Endpoint") -> tuple[str, ...]:
    """The packages of extras that a measurement imports."""
    return (*(RUNS_ENDPOINT if isinstance(model, Endpoint) else RUNS_MODEL), "matplotlib")


def window_length(length: int | None, scored: str, scorer: "ModelSource | Endpoint", context: int | None) -> int:
    """Tokens in a window: as asked for, else `LENGTH` or the largest power of 2 that a server takes.

    Raises:
        InputError: more than the model reads.
    """
    if length is None:
        length = LENGTH
        if isinstance(scorer, Endpoint) and context is not None and 4 <= context < LENGTH:
            length = 1 << context.bit_length() - 1
            log.info(f"{scored}: windows of {length} tokens, since the server takes at most {context}")
    if context is not None and context < length:
        raise InputError(f"length: {length} tokens; {scored} reads at most {context}")
    return length


def find_model(
    model: "str | os.PathLike[str] | Endpoint", revision: str | None
) -> "tuple[ModelSource, ModelSource | Endpoint, int | None]":
    """(the source of the tokenizer and config, what is scored with, its longest input)."""
    if not isinstance(model, Endpoint):
        source = resolve_model(model, revision=revision)
        return source, source, source.context
    if model.source is None:
        raise InputError("endpoint: no tokenizer; expected l2m.Endpoint(url, tokenizer=...), to make ids of the text")
    return model.source, model, model.context


def _announced(bar: Progress | None, words: str) -> Progress:
    """`bar`, before whose first call the stage of scoring is announced: until then the model is loaded."""
    began = False

    def progress(done: int, total: int) -> None:
        nonlocal began
        if not began:
            began = True
            stage(4, STAGES, words)
        if bar is not None:
            bar(done, total)

    return progress


def _tokenized(texts: Sources, source: ModelSource, out: Path, label: str, **options: Any) -> Corpus:
    with progress_bar(label, "bytes") as progress:
        return tokenize(texts, source.encoder(), out, progress=progress, **options)


def windows_that_fit(corpus: Corpus, length: int, windows: int | None, distances: Sequence[int] | None) -> int:
    """How many windows are scored.

    Raises:
        InputError: the text has no room for so many, for a window of this length, or for one of the distances.
    """
    lengths = np.diff(corpus.offsets)
    longest = int(lengths.max(initial=0))
    split_spans(length, None, (2,))
    if longest < length:
        raise InputError(f"TEXT: the longest document has {longest:,} tokens; a window needs {length:,} (--length)")
    for distance in distances or ():
        if not 1 <= distance < longest:
            raise InputError(f"distances: {distance}; expected 1 to {longest - 1:,}, below the longest document")
    most = int(room(lengths, length).sum())
    if windows is not None and not 1 <= windows <= most:
        raise InputError(f"windows: {windows}; expected 1 to {most:,}, as many as the text has room for")
    return min(WINDOWS, most) if windows is None else windows


def _folder(out: Path, number: int) -> Path:
    """Where the n-th domain is kept; the measured text, the first, in `out` itself."""
    return out if number == 0 else out / "domains" / str(number - 1)


@contextmanager
def _nothing_left_behind(out: Path, was_there: bool) -> Iterator[None]:
    """Bad input leaves no folder where none was."""
    try:
        yield
    except InputError:
        if not was_there:
            shutil.rmtree(out, ignore_errors=True)
        raise


# --- What the folder keeps --------------------------------------------------------------------------------------------


def _claim(out: Path, run: Mapping[str, Any]) -> bool:
    """Make `out` the folder of this run; whether a version before 0.2 began it, whose files have no checksums.

    Raises:
        InputError: it belongs to another run, or run.json was changed.
    """
    path = out / "run.json"
    if not path.exists():
        write_sealed(path, run)
        return False
    held = read_sealed(path, unsealed=True)
    require_same(out, held, run)
    return "checksum" not in read_json(path)


def _kept_curve(
    folder: Path, corpus: Corpus, settings: Mapping[str, Any], older: bool, count: Callable[[], TwoPointCurve]
) -> TwoPointCurve:
    """The two-point curve that `folder` keeps, else the one that `count` gives, kept there.

    kept.json tells this run's curve from any other. It is written first: a curve without it came from elsewhere.

    Raises:
        InputError: the curve was changed, or is not the one this run counted.
    """
    path, index = folder / "two_point.json", folder / "kept.json"
    of = json_hash({"corpus": corpus.hash, **settings})
    if not path.exists():
        curve = count()
        write_sealed(index, {"of": of, "curve": json_hash(curve.to_dict())})
        curve.save(path)
    curve = TwoPointCurve.load(path)
    if index.exists():
        kept = read_sealed(index)
        ours = (kept.get("of"), kept.get("curve")) == (of, json_hash(curve.to_dict()))
    else:
        about = {"documents": len(corpus), "vocab_size": corpus.vocab_size, "tokenizer": corpus.tokenizer["name"]}
        ours = older and all(curve.settings.get(name) == value for name, value in about.items())
    if not ours:
        raise InputError(
            f"{path}: not the curve that this run counted; remove it to count again, or use another folder"
        )
    return curve


def _domain(
    name: str,
    corpus: Corpus,
    folder: Path,
    older: bool,
    distances: Sequence[int] | None,
    threads: int | None,
    seed: int,
) -> Domain:
    def count() -> TwoPointCurve:
        with progress_bar(f"counting pairs of {name}", "pairs") as progress:
            return two_point(corpus, distances, threads=threads, seed=seed, progress=progress)

    settings = {"distances": None if distances is None else list(distances), "seed": seed}
    curve = _kept_curve(folder, corpus, settings, older, count)
    law, words = fit_or_reason(curve)
    return Domain(name=name, corpus=_describe(corpus), curve=curve, law=law, words=words)


def _describe(corpus: Corpus) -> dict[str, Any]:
    made_by = dict(corpus.tokenizer)
    duplicates = made_by.pop("duplicates", [])
    return {
        "documents": len(corpus),
        "tokens": int(corpus.tokens.size),
        "bytes": sum(document.get("bytes", 0) for document in corpus.documents),
        "vocabulary": corpus.vocab_size,
        "hash": corpus.hash,
        "tokenizer": made_by,
        "near_duplicates_left_out": len(duplicates),
    }


def _verdicts(
    law: PowerLaw | None, name: str, source: ModelSource, beside: Sequence[str], length: int
) -> list[dict[str, Any]]:
    if law is None or not (law.holds and 0 < law.exponent < 1):
        return []
    # A tokenizer may come without the config of its model.
    own = [(name, source.config)] if source.config else []
    models = [*own, *((other, other) for other in beside)]
    return [_judged(name, law, model, length) for name, model in models]


def _judged(name: str, law: PowerLaw, model: Any, length: int) -> dict[str, Any]:
    """A verdict with the numbers behind it: states in numbers, lengths in tokens, [low, high] at 95 %.

    `outcome` and `headline` judge the model as it is at every length, `outcome_at_length` at the length measured.
    """
    state = dataclasses.replace(history_state(model), name=name)  # a config alone has no name but its family's
    verdict, at_length = condition(law, state), condition(law, state, length)

    def bounded(value: Bounded) -> dict[str, float]:
        return {"value": float(value), "low": value.low, "high": value.high}

    return {
        "model": name,
        "outcome": verdict.outcome,
        "outcome_at_length": at_length.outcome,
        "headline": verdict.headline,
        "growth_exponent": verdict.state.growth_exponent,
        "growth_probability": verdict.growth_probability,
        "state": verdict.held(length),
        "state_counts": COUNTED,
        "required_state": bounded(verdict.required_state(length)),
        "sufficient_length": bounded(verdict.sufficient_length),
        "provable_length": bounded(verdict.provable_length),
        "threshold": verdict.threshold.nats_per_number,
        "threshold_source": verdict.threshold.source,
        "frontier_state": bounded(verdict.frontier_state(length)),
        "frontier_length": bounded(verdict.frontier_length),
        "frontier_threshold": verdict.frontier.nats_per_number,
        "frontier_tolerance": verdict.frontier.tolerance,
        "frontier_source": verdict.frontier.source,
        "words": at_length.explain(),
        "history_state": verdict.state,
    }


def _note(two: TwoPointCurve, bipartite_curve: BipartiteCurve) -> str:
    units = {"two-point": two.settings["groups"]["unit"], "bipartite": bipartite_curve.groups}
    others = [f"{unit} ({name})" for name, unit in units.items() if unit != "documents"]
    if not others:
        return ""
    return (
        f"Fewer than 8 documents: error bars are over {' and '.join(others)}, which are alike within a document. "
        "They hold for these documents, not for others of their kind."
    )


def _summary(
    domain: Domain, law: PowerLaw | None, choices: ExponentRange, verdicts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    def exponent(fitted: PowerLaw | None, sign: int) -> dict[str, Any]:
        if fitted is None or not fitted.holds:
            return {"value": None, "low": None, "high": None}
        low, high = sorted(sign * bound for bound in fitted.interval("exponent", 0.95))
        return {"value": sign * fitted.exponent, "low": low, "high": high}

    return {
        "alpha": exponent(domain.law, -1),
        "beta": exponent(law, 1),
        "beta_over_choices": {
            name: end if np.isfinite(end) else None for name, end in zip(("low", "high"), choices.ends, strict=True)
        },
        "amplitude": law.amplitude if law is not None and law.holds else None,
        "outcome": verdicts[0]["outcome"] if verdicts else None,
    }


def _write(out: Path, result: Measurement) -> None:
    """The curves, the figures, the report, and last results.json, which says that all is there."""
    for stem, curve in [("two_point", result.domains[0].curve), ("bipartite", result.bipartite)]:
        curve.write_csv(out / f"{stem}.csv")
    drawn = figures(result)
    for stem, picture in drawn.items():
        with atomic_write(out / f"{stem}.svg", "w") as file:
            file.write(picture)
    with atomic_write(out / "report.html", "w") as file:
        file.write(render(result, drawn))
    result.save(out / "results.json")
