"""Heads against windows from anywhere, and random halves of one store against each other: the default estimate of each.

python benches/window_starts.py ANYWHERE HEAD [--halves 100]

Both are stores of `l2m score`, of the same corpus with `--window-starts anywhere` and `head`. Two halves agree where their betas
differ by less than the 95 % interval of the difference.
"""

import argparse
import logging

import numpy as np

import l2m
from l2m.errors import InputError
from l2m.scoring.exponents import default_estimate

SPREAD = 1.96


def beta(scores):
    """(curve, exponent, half the width of its 95 % interval)"""
    curve = default_estimate(scores)
    law = curve.fit()
    low, high = law.interval("exponent", 0.95)
    return curve, law.exponent, (high - low) / 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs=2)
    parser.add_argument("--halves", type=int, default=100)
    options = parser.parse_args()
    logging.getLogger("l2m").setLevel(logging.ERROR)
    found = []
    print(
        "| windows | default estimate | l fitted | beta, 95 % | I at each l | halves that agree |\n"
        + "| --- " * 6
        + "|"
    )
    for name, path in zip(("anywhere", "head"), options.stores, strict=True):
        scores = l2m.load(path)
        curve, exponent, width = beta(scores)
        found.append((exponent, width))
        random, agree, tried = np.random.default_rng(0), 0, 0
        for _ in range(options.halves):
            documents = random.permutation(np.unique(scores.documents))
            first = np.isin(scores.documents, documents[: len(documents) // 2])
            try:
                halves = [beta(scores.subset(np.flatnonzero(part))) for part in (first, ~first)]
            except InputError:  # a half that no law describes
                continue
            (_, one, one_width), (_, other, other_width) = halves
            tried += 1
            agree += abs(one - other) < np.hypot(one_width, other_width)
        splits = ", ".join(map(str, np.asarray(curve.fit().settings["splits"]).tolist()))
        values = ", ".join(f"{value:.1f}" for value in curve.information)
        print(
            f"| {name}, {len(scores)} of {len(np.unique(scores.documents))} documents | {curve.name} | {splits} "
            f"| {exponent:.3f} ± {width:.3f} | {values} | {agree} of {tried} |"
        )
    (one, one_width), (other, other_width) = found
    print(f"\nanywhere - head: {one - other:+.3f} ± {np.hypot(one_width, other_width):.3f} (95 %, as if independent)")


if __name__ == "__main__":
    main()
