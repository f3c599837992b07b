"""Both estimators on a source whose information is known exactly, as a table and the data of a figure in docs/scoring.md.

python benches/exact_sources.py [--smoke] [--out docs/figures/exact-source.csv]
"""

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np

import l2m
from l2m.base.files import atomic_write
from l2m.truth.sources import LatentSource

LENGTH = 256


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    windows = 300 if options.smoke else 3000
    # Probabilities of a one kept away from 0 and 1, where vCLUB's divergence outgrows its estimate's sample.
    source = LatentSource(np.linspace(0.2, 0.8, 25))
    points = []
    with tempfile.TemporaryDirectory() as folder:
        ids = source.sample(windows, LENGTH, seed=0)
        scores = l2m.score(l2m.Corpus(list(ids)), source, out=folder, length=LENGTH, shuffles=2)
        print(f"{windows} windows of {LENGTH} tokens, L = 2 l\n")
        print("| estimator | l | measured | exact | standard errors apart |\n| --- | --- | --- | --- | --- |")
        for estimator, truth in (("direct", source.bipartite_information), ("vclub", source.vclub)):
            curve = l2m.bipartite(scores, estimator=estimator)
            exact = np.array([truth(split, 2 * split) for split in curve.split])
            for split, value, known, error in zip(curve.split, curve.information, exact, curve.stderr, strict=True):
                print(
                    f"| {estimator} | {split} | {value:.3f} ± {error:.3f} | {known:.3f} | {(value - known) / error:+.1f} |"
                )
                points.append([estimator, 2 * int(split), *(f"{number:.6f}" for number in (value, error, known))])
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(options.out, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["estimator", "length", "information", "stderr", "exact"])
            writer.writerows(points)


if __name__ == "__main__":
    main()
