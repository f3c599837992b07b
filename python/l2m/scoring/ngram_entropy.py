"""Entropies of n-grams, which the "ngram" correction of the bipartite estimates needs; once for each store.

They are of the whole corpus, or of another one that is named (`ngrams_from`). Too little text has too low an entropy; the
coverage, 1 - the share of n-grams that occur once (Good 1953), says how much. Of books, SmolLM2's tokens:

    tokens             1,024   24,576   100,000   400,000   1,600,000   6,290,581
    coverage, 2-grams   0.16     0.42      0.56      0.70        0.84        0.88
    H_2, nats           7.81    10.05     10.76     11.25       11.50       11.76
"""

import logging
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2m.base.files import read_sealed, write_sealed
from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus
from l2m.counting.ngrams import NgramCounts, ngrams
from l2m.errors import InputError
from l2m.scoring.store import Store

FILE = "statistics.json"
LARGEST_N = 3
ENOUGH = 0.7
"""Coverage from which H_2 of the table above is at most half a nat too low."""


class NgramSource(NamedTuple):
    """What n-grams are counted of: `named` where the user said so."""

    corpus: Corpus | NDArray[Any]
    named: bool = False

    @property
    def tokens(self) -> int:
        """Tokens to count; 0 where there are no ids."""
        ids = ids_of(self.corpus)
        return 0 if ids is None else int(ids.size)


class NgramEntropies(NamedTuple):
    """What a store keeps of n-grams.

    Attributes:
        entropy: n -> Grassberger's entropy, nats.
        coverage: n -> the share of the text that n-grams make which occur twice or more; empty in stores of versions before.
        tokens: how many were counted; 0 in stores of versions before.
        source: "corpus", "windows" (rows of an array), or "named" with `ngrams_from`.
    """

    entropy: dict[int, float]
    coverage: dict[int, float]
    tokens: int = 0
    source: str = "corpus"

    def too_few(self, n: int) -> str | None:
        """What there is to say where n-grams cover too little of a text; None where they cover enough."""
        coverage = self.coverage.get(n, 1.0)
        if coverage >= ENOUGH:
            return None
        of = "the windows alone, " if self.source == "windows" else ""
        return (
            f"the {n}-grams of {of}{self.tokens:,} tokens, which cover {100 * coverage:.0f} % of such text: H_{n}, and I with it, comes out too "
            "low (for books by 0.5 nats at 70 %, by 1.7 at 42 %); score again with ngrams_from a larger corpus of the same kind"
        )

    def refused(self, n: int) -> bool:
        """Whether these are n-grams of the windows of an array alone, and too few."""
        return self.source == "windows" and self.too_few(n) is not None


def ngram_tokens(store: Store, source: NgramSource) -> int:
    """Tokens to count; 0 where the store has the entropies, or where there are no ids."""
    return 0 if _holds(store, source) else source.tokens


def keep_ngram_entropies(store: Store, source: NgramSource, progress: Progress | None) -> None:
    """Count n-grams and keep Grassberger's entropies, in nats, unless they are there."""
    tokens = ngram_tokens(store, source)
    if not tokens:
        return
    logging.getLogger("l2m").debug(f"counting the n-grams of {tokens:,} tokens")
    rows = not isinstance(source.corpus, Corpus)
    whole = source.corpus if isinstance(source.corpus, Corpus) else Corpus(list(source.corpus))
    counts = ngrams(whole, LARGEST_N, progress=progress)
    orders = range(1, LARGEST_N + 1)
    kept = {
        "ngram_entropy": {str(n): counts.entropy(n).value for n in orders},
        "coverage": {str(n): _coverage(counts, n) for n in orders},
        "tokens": tokens,
        "source": "named" if source.named else "windows" if rows else "corpus",
        "hash": whole.hash,
    }
    write_sealed(store.folder / FILE, kept)


def read_ngram_entropies(store: Store) -> NgramEntropies:
    """What the store keeps; empty where it keeps none.

    Raises:
        InputError: the file was changed or damaged.
    """
    path = store.folder / FILE
    if not path.exists():
        return NgramEntropies({}, {})
    held = read_sealed(path, unsealed=not store.sealed)
    try:
        entropy = {int(n): float(value) for n, value in held["ngram_entropy"].items()}
        coverage = {int(n): float(value) for n, value in held.get("coverage", {}).items()}
        tokens, source = int(held.get("tokens", 0)), str(held.get("source", "corpus"))
    except (AttributeError, KeyError, TypeError, ValueError):
        entropy, coverage, tokens, source = {}, {}, 0, ""
    orders = set(range(1, LARGEST_N + 1))
    sound = all(-1 < h < 64 for h in entropy.values()) and all(0 <= share <= 1 for share in coverage.values())
    if set(entropy) != orders or not sound or set(coverage) not in (set(), orders):
        raise InputError(f"{path}: damaged; expected n-gram entropies: remove it and score again to count them anew")
    return NgramEntropies(entropy, coverage, tokens, source)


def _holds(store: Store, source: NgramSource) -> bool:
    path = store.folder / FILE
    if not path.exists():
        return False
    # A corpus that is named replaces what was counted before; without a name whatever is there stays.
    if not (source.named and isinstance(source.corpus, Corpus)):
        return True
    return read_sealed(path, unsealed=not store.sealed).get("hash") == source.corpus.hash


def _coverage(counts: NgramCounts, n: int) -> float:
    found = counts.fingerprint(n)
    total = float((found.counts * found.symbols).sum())
    return 1 - float(found.symbols[found.counts == 1].sum()) / total if total else 0.0


def ids_of(corpus: Corpus | NDArray[Any]) -> NDArray[Any] | None:
    """All token ids; None for real numbers."""
    values = corpus.tokens if isinstance(corpus, Corpus) else np.asarray(corpus)
    return values if values.dtype.kind in "iu" else None
