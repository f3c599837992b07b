"""Entropy estimators and fits: speed beside numpy and scipy, coverage of intervals, bias against sample size.

python benches/estimators.py [--smoke]            speed and coverage, as Markdown
python benches/estimators.py --bias FILE.csv      bias of the estimators against sample size, the data of a figure
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import l2m
from goals import Goals, add_option

X = 2.0 ** np.arange(1, 14)
LAW = 2 * X**-0.6


def median_time(work: Callable[[], Any], runs: int = 5) -> float:
    """Seconds, median of `runs` after one that does not count."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def speed(smoke: bool, goals: Goals) -> None:
    from scipy.optimize import curve_fit, minimize
    from scipy.stats import entropy as scipy_entropy

    replicates = 10_000
    random = np.random.default_rng(0)
    y = LAW * np.exp(0.05 * random.standard_normal(X.size))
    with_offset = y + 0.01

    line = l2m.fit_power_law(X, y, bootstrap=replicates)

    def ours_linear() -> None:
        line.bootstrap("pairs")

    def numpy_linear() -> None:
        rows = random.integers(0, X.size, (replicates, X.size))
        u, t = np.log(X)[rows], np.log(y)[rows]
        u0, t0 = u - u.mean(1, keepdims=True), t - t.mean(1, keepdims=True)
        (u0 * t0).sum(1) / (u0 * u0).sum(1)

    bounded = l2m.fit_power_law(X, with_offset, offset="bounded", bootstrap=replicates)

    def ours_offset() -> None:
        bounded.bootstrap("pairs")

    looped = 20 if smoke else 200

    def scipy_offset() -> None:
        """The paper's objective, squared error of log(y - C), as its reader would minimise it."""
        for _ in range(looped):
            rows = random.integers(0, X.size, X.size)
            u, v = np.log(X[rows]), with_offset[rows]

            def square(p: np.ndarray, u: np.ndarray = u, v: np.ndarray = v) -> float:
                if not 0 < p[2] < v.min():
                    return 1e9
                return float(((np.log(v - p[2]) - p[0] - p[1] * u) ** 2).sum())

            minimize(square, (0.7, -0.6, 0.5 * v.min()), method="Nelder-Mead")

    def scipy_linear_space() -> None:
        for _ in range(looped):
            rows = random.integers(0, X.size, X.size)
            curve_fit(lambda x, a, b, c: a * x**b + c, X[rows], with_offset[rows], (2, -0.6, 0.0), maxfev=5000)

    print("| job | l2m | peer | ratio |\n| --- | --- | --- | --- |")
    a, b = median_time(ours_linear), median_time(numpy_linear)
    print(
        f"| 10,000 bootstrap fits of 13 points, log-log | {1e3 * a:.2f} ms | numpy, vectorised: {1e3 * b:.2f} ms | {b / a:.1f} |"
    )
    goals.add("10,000 bootstrap fits of a straight line", b / a, unit="times numpy, vectorised", at_least=15)
    a = median_time(ours_offset)
    for name, peer in (("minimize, Nelder-Mead", scipy_offset), ("curve_fit, in linear space", scipy_linear_space)):
        b = median_time(peer, 3) * replicates / looped
        print(
            f"| 10,000 bootstrap fits with offset | {1e3 * a:.0f} ms | "
            f"scipy {name}, in a loop ({looped} timed): {b:.1f} s | {b / a:.0f} |"
        )
        goals.add("10,000 bootstrap fits with offset", b / a, unit=f"times scipy, {name}")

    counts = random.zipf(1.5, 10**6 if smoke else 10**8)
    table = l2m.fingerprint(np.bincount(np.minimum(counts, 10**7)))
    samples = table.total
    names = [name for name in l2m.ENTROPY_ESTIMATORS if name != "nsb"]
    a = median_time(lambda: [l2m.entropy(table, name) for name in names])
    print(f"| {len(names)} estimators on a fingerprint of {samples:.0e} samples | {1e3 * a:.2f} ms | goal: 50 ms | |")
    goals.add(f"{len(names)} estimators on a fingerprint of {samples:.0e} samples", 1e3 * a, unit="ms", at_most=50)
    a = median_time(lambda: l2m.entropy(table, "nsb"))
    print(f"| NSB on the same | {1e3 * a:.1f} ms | goal: 1 s | |")
    goals.add(f"NSB on a fingerprint of {samples:.0e} samples", a, unit="s", at_most=1)
    dense = np.bincount(np.minimum(counts, 10**7))
    a, b = median_time(lambda: l2m.entropy(dense, "plug-in")), median_time(lambda: scipy_entropy(dense))
    print(
        f"| plug-in from a count table of {dense.size:,} symbols | {1e3 * a:.1f} ms | scipy.stats.entropy: {1e3 * b:.1f} ms | {b / a:.2f} |"
    )


def coverage(smoke: bool) -> None:
    """How often the 95 % interval of the exponent holds the true one: 13 points, 5 % independent noise in log y."""
    trials = 200 if smoke else 4000
    random = np.random.default_rng(1)
    inside: dict[str, int] = {}
    for _ in range(trials):
        y = LAW * np.exp(0.05 * random.standard_normal(X.size))
        law = l2m.fit_power_law(X, y, bootstrap=2000)
        groups = LAW * np.exp(0.05 * np.sqrt(32) * random.standard_normal((32, X.size)))
        mean = groups.mean(0)
        replicates = (groups.sum(0) - groups) / 31
        jackknifed = l2m.fit_power_law(X, mean, replicates=replicates)
        intervals = {
            "t (the default)": law.interval("exponent"),
            "bootstrap of pairs, percentile": law.interval("exponent", method="percentile"),
            "bootstrap of pairs, BCa": law.interval("exponent", method="bca"),
            "jackknife of 32 groups, t(31)": jackknifed.interval("exponent"),
        }
        for name, (low, high) in intervals.items():
            inside[name] = inside.get(name, 0) + (low <= -0.6 <= high)
    print(f"\n| 95 % interval of the exponent | covers ({trials} trials) |\n| --- | --- |")
    for name, count in inside.items():
        print(f"| {name} | {100 * count / trials:.1f} % |")


def bias(path: str) -> None:
    """Mean error of each estimator on Zipf samples over 10,000 symbols, by sample size, with the exact entropy."""
    import csv

    weights = 1 / np.arange(1, 10_001)
    probability = weights / weights.sum()
    truth = -(probability * np.log(probability)).sum()
    sizes = 2 ** np.arange(5, 21, 1)
    random = np.random.default_rng(2)
    names = ("plug-in", "miller-madow", "grassberger", "chao-shen", "chao-wang-jost", "zhang", "nsb", "james-stein")
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["estimator", "samples", "error"])
        for name in names:
            for size in sizes.tolist():
                values = [l2m.entropy(random.multinomial(size, probability), name).value for _ in range(10)]
                writer.writerow([name, size, f"{np.mean(values) - truth:.5f}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--bias", metavar="FILE")
    add_option(parser)
    arguments = parser.parse_args()
    if arguments.bias:
        bias(arguments.bias)
    else:
        speed(arguments.smoke, Goals.of(arguments))
        coverage(arguments.smoke)
