"""Tokenizing: seconds, processor seconds and peak memory of `l2m.tokenize`, beside plain loops over the same libraries.

    python benches/corpora.py TEXT_FOLDER --tokenizer FILE_OR_NAME [--smoke] [--model]

Each run is a process of its own; seconds count from texts' first byte read to the corpus on disk, after imports and after the
tokenizer is loaded. Prints Markdown for docs/benchmarks.md. `--model` holds the dry run's prediction against three sizes.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

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
from l2m.encoders import load_encoder
from l2m.tokenize import estimate, plan
encoder = load_encoder(tokenizer)
if encoder.name not in ("bytes", "characters", "words", "ids"):
    encoder.encode(["load and check"])
with tempfile.TemporaryDirectory() as out:
    expected = estimate(plan(paths, tokenizer, out)) if PREDICT else None
    start, cpu = time.perf_counter(), time.process_time()
    corpus = l2m.tokenize(paths, encoder, out, duplicates=DUPLICATES)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    more = {} if expected is None else {"predicted": expected.seconds, "predicted_tokens": expected.tokens}
    report(seconds, cpu, int(corpus.tokens.size), **more)
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
    arguments.add_argument("--model", action="store_true", help="the dry run's prediction at three sizes")
    chosen = arguments.parse_args()
    every = sorted(path for path in chosen.folder.iterdir() if path.is_file())
    files, repeats = (10, 1) if chosen.smoke else (len(every), 5)
    if chosen.model:
        print(
            "| files | MB | predicted s | measured s | predicted tokens | tokens |\n| ---: | ---: | ---: | ---: | ---: | ---: |"
        )
        for number in (files // 4, files // 2, files):
            runs = measure(OURS, chosen, chosen.tokenizer, number, repeats, PREDICT="True", DUPLICATES="'drop'")
            size = sum(path.stat().st_size for path in every[:number]) / 1e6
            predicted, measured = (statistics.median(run[name] for run in runs) for name in ("predicted", "seconds"))
            tokens = f"{runs[0]['predicted_tokens']:,} | {runs[0]['tokens']:,}"
            print(f"| {number} | {size:.1f} | {predicted:.2f} | {measured:.2f} | {tokens} |")
        return
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
    for name, code, tokenizer, values in jobs:
        runs = measure(code, chosen, tokenizer, files, repeats, PREDICT="False", **values)
        seconds, cpu, peak = (statistics.median(run[key] for run in runs) for key in ("seconds", "cpu", "peak"))
        print(f"| {name} | {seconds:.2f} | {cpu:.2f} | {size / seconds:.0f} | {peak:.0f} | {runs[0]['tokens']:,} |")


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
