"""Speed of the Gaussian language beside the dense way, on 2 threads; prints Markdown tables for docs/benchmarks.md.

Dense: z = factor @ noise in float32 through numpy, the Cholesky factor given for free; the conditional means are
z - diag(factor) * noise. The factor's values do not matter to its speed, so it is filled at random. `--smoke`: L = 1024 and
4096 in place of 16,384 and 4^10.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

THREADS = 2
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(THREADS)

import numpy as np  # noqa: E402

from goals import Goals, add_option  # noqa: E402
from l2m import HierarchicalGaussian  # noqa: E402

SEQUENCES = 64
REPEATS = 7

MEMORY = """
import pathlib, re, sys
from l2m import HierarchicalGaussian
def kib(name):
    return int(re.search(name + r":\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
law = HierarchicalGaussian(int(sys.argv[1]))
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = kib("VmRSS")
z, mean = law.sample(1, seed=0)
print(((kib("VmHWM") - before) * 1024 - z.nbytes - mean.nbytes) / law.length)
"""


def median(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Seconds of one call, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def beside_dense(layers: int, goals: Goals) -> None:
    law = HierarchicalGaussian(layers)
    random = np.random.default_rng(0)
    factor = np.zeros((law.length, law.length), np.float32)
    for row in range(law.length):
        factor[row, : row + 1] = random.standard_normal(row + 1, np.float32)
    noise = random.standard_normal((law.length, SEQUENCES), np.float32)
    diagonal = np.diag(factor).copy()[:, None]

    def dense() -> object:
        z = factor @ noise
        return z, z - diagonal * noise

    ours = median(lambda: law.sample(SEQUENCES, seed=0, threads=THREADS, dtype=np.float32))
    given = law.sample(SEQUENCES, seed=0, dtype=np.float32)[0]
    means = median(lambda: law.conditional_mean(given, threads=THREADS))
    theirs = median(dense)
    print(f"L = {law.length:,}, {SEQUENCES} sequences, {THREADS} threads, float32 out; medians of {REPEATS}.\n")
    print("| work | l2m, ms | dense, ms | ratio |\n| --- | --- | --- | --- |")
    print(f"| sample with conditional means | {1e3 * ours:.1f} | {1e3 * theirs:.1f} | {theirs / ours:.0f} |")
    print(f"| conditional means of given sequences | {1e3 * means:.1f} | | |\n")
    goals.add(f"sample of the Gaussian language, L = {law.length:,}", theirs / ours, unit="times dense", at_least=20)


def by_length(largest: int, goals: Goals) -> None:
    print("One thread, float64; ns per value with conditional means, of about a million values and of one sequence.\n")
    print("| L | many sequences | one sequence |\n| --- | --- | --- |")
    for layers in range(4, largest + 1):
        law = HierarchicalGaussian(layers)
        n = max(1, 4**largest // law.length)
        many, one = (median(lambda law=law, n=n: law.sample(n, seed=0, threads=1)) / (n * law.length) for n in (n, 1))
        print(f"| {law.length:,} | {1e9 * many:.1f} | {1e9 * one:.1f} |")
    law = HierarchicalGaussian(largest)
    built = median(lambda: HierarchicalGaussian(largest))
    lag = median(lambda: law.two_point([1000 % law.length], threads=1), 5)
    sampled = median(lambda: law.sample(1, seed=0))
    extra = float(subprocess.run([sys.executable, "-c", MEMORY, str(largest)], capture_output=True, text=True).stdout)
    print(f"\nL = {law.length:,}:\n\n| work | |\n| --- | --- |")
    print(f"| the law | {1e3 * built:.0f} ms |")
    print(f"| one sequence with conditional means | {1e3 * sampled:.0f} ms |")
    print(f"| two-point information at one distance, mean over all pairs | {1e3 * lag:.0f} ms |")
    print(f"| memory beyond law and output, peak | {extra:.1f} bytes per value |")
    shape = f"L = {law.length:,}"
    goals.add(f"the Gaussian law, {shape}", built, unit="s", at_most=2)
    goals.add(f"a sequence with conditional means, {shape}", sampled, unit="s", at_most=1)
    goals.add(f"memory of a sample, {shape}", extra, unit="bytes per value beyond the output", at_most=16)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    add_option(parser)
    arguments = parser.parse_args()
    reached = Goals.of(arguments)
    beside_dense(5 if arguments.smoke else 7, reached)
    by_length(6 if arguments.smoke else 10, reached)
