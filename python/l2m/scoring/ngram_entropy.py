"""Entropies of the corpus's n-grams, which the "ngram" correction of the bipartite estimates needs; once for each store."""

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2m.base.files import read_sealed, write_sealed
from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus
from l2m.counting.ngrams import ngrams
from l2m.errors import InputError
from l2m.scoring.store import Store

FILE = "statistics.json"
LARGEST_N = 3


def ngram_tokens(store: Store, corpus: Corpus | NDArray[Any]) -> int:
    """Tokens to count: those of the whole corpus; 0 where the store has the entropies, or where there are no ids."""
    ids = ids_of(corpus)
    return 0 if ids is None or (store.folder / FILE).exists() else int(ids.size)


def keep_ngram_entropies(store: Store, corpus: Corpus | NDArray[Any], progress: Progress | None) -> None:
    """Count the n-grams of the whole corpus and keep Grassberger's entropies, in nats, unless they are there."""
    tokens = ngram_tokens(store, corpus)
    if not tokens:
        return
    logging.getLogger("l2m").debug(f"counting the n-grams of {tokens:,} tokens")
    whole = corpus if isinstance(corpus, Corpus) else Corpus(list(corpus))
    counts = ngrams(whole, LARGEST_N, progress=progress)
    entropies = {str(n): counts.entropy(n).value for n in range(1, LARGEST_N + 1)}
    write_sealed(store.folder / FILE, {"ngram_entropy": entropies})


def read_ngram_entropies(store: Store) -> dict[int, float]:
    """n -> entropy; empty where none are kept.

    Raises:
        InputError: the file was changed or damaged.
    """
    path = store.folder / FILE
    if not path.exists():
        return {}
    held = read_sealed(path, unsealed=not store.sealed).get("ngram_entropy")
    try:
        entropies = {int(n): float(value) for n, value in held.items()}  # type: ignore[union-attr]
    except (AttributeError, TypeError, ValueError):
        entropies = {}
    if set(entropies) != set(range(1, LARGEST_N + 1)) or not all(-1 < h < 64 for h in entropies.values()):
        raise InputError(f"{path}: damaged; expected n-gram entropies: remove it and score again to count them anew")
    return entropies


def ids_of(corpus: Corpus | NDArray[Any]) -> NDArray[Any] | None:
    """All token ids; None for real numbers."""
    values = corpus.tokens if isinstance(corpus, Corpus) else np.asarray(corpus)
    return values if values.dtype.kind in "iu" else None
