"""Both estimators on a source whose information is known exactly, as a table and the figure of docs/scoring.md.

python benches/exact_sources.py [--smoke] [--out docs/figures/exact-source.svg]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import l2m
from l2m.base.files import atomic_write
from l2m.base.plots import BLUE, ORANGE, new_axes, svg
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
    axes = new_axes()
    with tempfile.TemporaryDirectory() as folder:
        ids = source.sample(windows, LENGTH, seed=0)
        scores = l2m.score(l2m.Corpus(list(ids)), source, out=folder, length=LENGTH, shuffles=2)
        print(f"{windows} windows of {LENGTH} tokens, L = 2 l\n")
        print("| estimator | l | measured | exact | standard errors apart |\n| --- | --- | --- | --- | --- |")
        for estimator, truth, color in (
            ("direct", source.bipartite_information, BLUE),
            ("vclub", source.vclub, ORANGE),
        ):
            curve = l2m.bipartite(scores, estimator=estimator)
            curve.plot(axes, label=f"{estimator}, measured", color=color)
            exact = np.array([truth(split, 2 * split) for split in curve.split])
            axes.plot(curve.length, exact, color=color, label=f"{estimator}, exact")
            for split, value, known, error in zip(curve.split, curve.information, exact, curve.stderr, strict=True):
                print(
                    f"| {estimator} | {split} | {value:.3f} ± {error:.3f} | {known:.3f} | {(value - known) / error:+.1f} |"
                )
    axes.legend()
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(options.out, "w") as file:
            file.write(svg(axes.figure))


if __name__ == "__main__":
    main()
