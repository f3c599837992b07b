"""Does the 95 % interval of alpha hold the truth 95 times of 100?

    python benches/two_point_coverage.py [--trials 1000] [--smoke]

The source has a power law that is exact at every distance: a document is the signs of a few independent stationary Gaussian
sequences, one symbol of 2^bits. Two signs with correlation rho agree with probability 1/2 + arcsin(rho)/pi, so rho(d) is solved from
I(d) = A d^-alpha; it is convex and falls to 0, hence a correlation function (Polya), and is drawn exactly by circulant
embedding. Every trial draws new documents, measures all distances with the exact null and the jackknife, and fits.
"""

import argparse
from collections.abc import Iterator

import numpy as np

import l2m

ALPHA, INFORMATION, BITS = 0.8, 0.2, 4
DISTANCES = [1 << k for k in range(11)]


def correlation(length: int) -> np.ndarray:
    """rho(0..length): each sign carries its share of INFORMATION d^-ALPHA nats."""
    target = INFORMATION / BITS * np.arange(1, length + 1) ** -ALPHA
    low, high = np.zeros(length), np.ones(length)
    for _ in range(60):
        middle = (low + high) / 2
        agree = (1 + middle) / 2
        information = np.log(2) + agree * np.log(agree) + (1 - agree) * np.log1p(-agree)
        low, high = np.where(information < target, middle, low), np.where(information < target, high, middle)
    return np.concatenate([[1.0], np.sin(np.pi / 2 * low)])


def documents(lengths: np.ndarray, random: np.random.Generator) -> Iterator[np.ndarray]:
    longest = int(lengths.max())
    rho = correlation(longest)
    spectrum = np.fft.rfft(np.concatenate([rho, rho[-2:0:-1]])).real
    assert spectrum.min() > 0, "not a correlation function"
    scale = np.sqrt(spectrum * 2 * longest)
    while True:
        for length in lengths:
            noise = random.standard_normal((2, BITS, scale.size))
            noise[1, :, [0, -1]] = 0  # real where the spectrum is its own mirror
            noise[:, :, 1:-1] /= np.sqrt(2)
            waves = np.fft.irfft(scale * (noise[0] + 1j * noise[1]), 2 * longest)
            yield ((waves[:, :length] > 0) << np.arange(BITS)[:, None]).sum(axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--smoke", action="store_true", help="20 trials")
    arguments = parser.parse_args()
    trials = 20 if arguments.smoke else arguments.trials
    shapes = {
        "64 documents of 4,096": np.full(64, 4096),
        "64 documents of 1,024 to 16,384 (log-normal)": np.clip(
            np.random.default_rng(0).lognormal(8.2, 0.7, 64), 1024, 16384
        ).astype(int),
    }
    print(f"alpha = {ALPHA}, {trials} trials, nominal 95 %\n")
    print("| corpus | groups | fit | coverage of alpha | mean width | bias of alpha | fits from d = 1 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for shape, lengths in shapes.items():
        for groups in (32, 16):
            source = documents(lengths, np.random.default_rng(1))
            names = {"default": {}, "min_distance=1": {"min_distance": 1}, "without offset": {"offset": False}}
            rows: dict[str, list[tuple[float, float, float, bool]]] = {name: [] for name in names}
            for _ in range(trials):
                some = [next(source) for _ in lengths]
                curve = l2m.two_point(
                    some, DISTANCES, groups=groups, within_document=False, fixed_documents=False, threads=1
                )
                for name, options in names.items():
                    law = curve.fit(**options)
                    rows[name].append((*law.interval("exponent"), law.exponent, law.settings["distances"][0] == 1))
            for name, laws in rows.items():
                low, high, exponent, whole = map(np.array, zip(*laws, strict=True))
                held = (low <= -ALPHA) & (high >= -ALPHA)
                print(
                    f"| {shape} | {groups} | {name} | {100 * held.mean():.1f} % | {np.median(high - low):.3f} | "
                    f"{-np.nanmean(exponent) - ALPHA:+.4f} | {100 * whole.mean():.0f} % |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
