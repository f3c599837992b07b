"""Corpora: tokenizing beside plain loops over the same libraries; what dry runs predict; Ray beside threads.

    python benches/corpora.py TEXT_FOLDER --tokenizer FILE_OR_NAME [--smoke] [--model | --machines [--repeats 3]]

Each run is a process of its own; seconds of tokenizing count from texts' first byte read to the corpus on disk, after imports and
after the tokenizer is loaded. `--model` holds the dry runs' predictions against three sizes. `--machines` times one l2m two-point
from command to result: threads, Ray on this machine, and two Ray machines pinned to a core each. Prints Markdown.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import l2m
from goals import Goals, add_option

COMMON = """
import json, resource, sys, tempfile, time
from pathlib import Path
folder, tokenizer, files = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
paths = sorted(path for path in folder.iterdir() if path.is_file())[:files]
def report(seconds, cpu, tokens, **more):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "tokens": tokens, "peak": peak, **more}))
"""
OURS = """
import l2m
from l2m.corpora.encoders import load_encoder
from l2m.corpora.tokenize import forecast, tokenize_job
encoder = load_encoder(tokenizer)
if encoder.name not in ("bytes", "characters", "words", "ids"):
    encoder.encode(["load and check"])
with tempfile.TemporaryDirectory() as out:
    expected = forecast(tokenize_job(paths, tokenizer, out)) if PREDICT else None
    start, cpu = time.perf_counter(), time.process_time()
    corpus = l2m.tokenize(paths, encoder, out, duplicates=DUPLICATES)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    more = {} if expected is None else {"predicted": expected.seconds(), "predicted_tokens": expected.work["tokens"]}
    report(seconds, cpu, int(corpus.tokens.size), **more)
"""
COUNTING = """
import l2m
from l2m.counting.ngrams import NgramsJob
from l2m.counting.tasks import run_in_folder
from l2m.counting.two_point_job import TwoPointJob
corpus = l2m.tokenize(paths, tokenizer)
expected = JOB(corpus).forecast()
with tempfile.TemporaryDirectory() as out:
    start, cpu = time.perf_counter(), time.process_time()
    run_in_folder(JOB(corpus), out)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    disk = sum(path.stat().st_size for path in Path(out).rglob("*.json"))
report(seconds, cpu, disk, predicted=expected.seconds(), predicted_tokens=expected.disk_bytes)
"""
TOKENIZERS = """
import numpy as np
from tokenizers import Tokenizer
library = Tokenizer.from_file(tokenizer)
start, cpu = time.perf_counter(), time.process_time()
ids = [item.ids for item in library.encode_batch_fast([path.read_text("utf-8") for path in paths], add_special_tokens=False)]
flat = np.array([id for part in ids for id in part], np.uint32)
np.save(tempfile.mktemp(), flat)
report(time.perf_counter() - start, time.process_time() - cpu, int(flat.size))
"""
COUNTER = r"""
import re
import numpy as np
start, cpu = time.perf_counter(), time.process_time()
table, ids = {}, []
for path in paths:
    ids += [table.setdefault(word, len(table)) for word in re.findall(r"\w+|[^\w\s]", path.read_text("utf-8"))]
np.save(tempfile.mktemp(), np.array(ids, np.uint32))
report(time.perf_counter() - start, time.process_time() - cpu, len(ids))
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--tokenizer", required=True)
    arguments.add_argument("--smoke", action="store_true", help="ten files, once")
    arguments.add_argument("--model", action="store_true", help="the dry runs' predictions at three sizes")
    arguments.add_argument("--machines", action="store_true", help="Ray beside threads")
    arguments.add_argument("--repeats", type=int, default=3, help="of --machines")
    add_option(arguments)
    chosen = arguments.parse_args()
    every = sorted(path for path in chosen.folder.iterdir() if path.is_file())
    files, repeats = (10, 1) if chosen.smoke else (len(every), 5)
    if chosen.machines:
        return machines(every[:files], chosen)
    if chosen.model:
        print("| job | files | MB | predicted s | measured s | predicted tokens (results: bytes) | measured |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for name, code, values in (
            ("tokenize", OURS, {"PREDICT": "True", "DUPLICATES": "'drop'"}),
            ("two-point", COUNTING, {"JOB": "TwoPointJob"}),
            ("ngrams", COUNTING, {"JOB": "NgramsJob"}),
        ):
            for number in (files // 4, files // 2, files):
                runs = measure(code, chosen, chosen.tokenizer, number, repeats, **values)
                size = sum(path.stat().st_size for path in every[:number]) / 1e6
                predicted, measured = (statistics.median(run[key] for run in runs) for key in ("predicted", "seconds"))
                found = f"{runs[0]['predicted_tokens']:,} | {runs[0]['tokens']:,}"
                print(f"| {name} | {number} | {size:.1f} | {predicted:.2f} | {measured:.2f} | {found} |", flush=True)
        return None
    size = sum(path.stat().st_size for path in every[:files]) / 1e6
    print(f"{files} files, {size:.1f} MB, medians of {repeats}\n")
    print("| what | s | processor s | MB/s | peak MB | tokens |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    jobs = [
        ("l2m, BPE, near-duplicates dropped", OURS, chosen.tokenizer, {"DUPLICATES": "'drop'"}),
        ("l2m, BPE", OURS, chosen.tokenizer, {"DUPLICATES": "'keep'"}),
        ("tokenizers, encode_batch_fast", TOKENIZERS, chosen.tokenizer, {}),
        ("l2m, words", OURS, "words", {"DUPLICATES": "'keep'"}),
        ("re.findall and a dict", COUNTER, "words", {}),
        ("l2m, characters", OURS, "characters", {"DUPLICATES": "'keep'"}),
        ("l2m, bytes", OURS, "bytes", {"DUPLICATES": "'keep'"}),
    ]
    goals, spent = Goals.of(chosen), {}
    for name, code, tokenizer, values in jobs:
        runs = measure(code, chosen, tokenizer, files, repeats, PREDICT="False", **values)
        seconds, cpu, peak = (statistics.median(run[key] for run in runs) for key in ("seconds", "cpu", "peak"))
        print(f"| {name} | {seconds:.2f} | {cpu:.2f} | {size / seconds:.0f} | {peak:.0f} | {runs[0]['tokens']:,} |")
        spent[name] = seconds
    ratio = spent["re.findall and a dict"] / spent["l2m, words"]
    goals.add("tokenizing into words", ratio, unit="times re.findall and a dict")
    return None


def machines(paths: list[Path], chosen: argparse.Namespace) -> None:
    """One count, four ways; the clusters are up before the clock starts."""
    from ray.cluster_utils import Cluster

    all_cores = sorted(os.sched_getaffinity(0))
    repeats, copies = (1, 1) if chosen.smoke else (chosen.repeats, 4)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        books = l2m.tokenize(paths, chosen.tokenizer)
        lengths = np.tile(np.diff(books.offsets), copies)
        l2m.Corpus(np.tile(books.tokens, copies), np.concatenate([[0], np.cumsum(lengths)])).save(folder / "corpus")
        print(f"l2m two-point of {books.tokens.size * copies:,} tokens, medians of {repeats}\n")
        print("| where | s | times 1 thread's speed | beside 2 threads |\n| --- | ---: | ---: | ---: |")

        def timed(*options: str) -> float:
            out = folder / "out"
            shutil.rmtree(out, ignore_errors=True)
            command = [
                sys.executable,
                "-m",
                "l2m",
                "two-point",
                str(folder / "corpus"),
                "--parts",
                "16",
                "--out",
                str(out),
                *options,
            ]
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds = time.perf_counter() - start
            results.add((out / "two_point.json").read_bytes())
            return seconds

        def row(name: str, *options: str) -> None:
            times[name] = statistics.median(timed(*options) for _ in range(repeats))
            one, two = times["1 thread"], times.get("2 threads", times["1 thread"])
            print(f"| {name} | {times[name]:.1f} | {one / times[name]:.2f} | {two / times[name]:.2f} |", flush=True)

        def start(cores: list[set[int]]) -> Cluster:
            """A Ray machine for each set of cores, pinned to them."""
            cluster = Cluster()
            for own in cores:
                os.sched_setaffinity(0, own)
                cluster.add_node(num_cpus=len(own), include_dashboard=False)
            os.sched_setaffinity(0, all_cores)
            return cluster

        times: dict[str, float] = {}
        results: set[bytes] = set()
        row("1 thread", "--threads", "1")
        row("2 threads", "--threads", "2")
        for name, cores in (
            ("Ray, one machine of 2 cores", [set(all_cores[:2])]),
            ("Ray, two machines of one core", [{all_cores[0]}, {all_cores[1]}]),
        ):
            cluster = start(cores)
            row(name, "--ray", cluster.address)
            cluster.shutdown()
        assert len(results) == 1, "the ways differ"


def measure(
    code: str, chosen: argparse.Namespace, tokenizer: str, files: int, repeats: int, **values: str
) -> list[dict[str, float]]:
    for name, value in values.items():
        code = code.replace(name, value)
    command = [sys.executable, "-c", COMMON + code, str(chosen.folder), tokenizer, str(files)]
    runs = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(repeats))
    return [json.loads(run) for run in runs]


if __name__ == "__main__":
    main()
