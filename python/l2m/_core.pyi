"""The Rust core. Private: the modules of `l2m` are its public face."""

import numpy as np
from numpy.typing import NDArray

__version__: str

# --- counting (pairs, n-grams, null model) ---

# --- entropy ---

def entropy(
    counts: NDArray[np.uint64], symbols: NDArray[np.uint64], estimator: str, alphabet: int | None = None
) -> tuple[float, float]:
    """(value, stderr) in nats of a fingerprint given as (n, symbols)."""

def entropy_estimators() -> list[str]:
    """Names of the estimators, the default first."""

# --- fits ---

# --- gaussian ---

# --- text ---

def shingle_hashes(text: str, width: int, bound: int) -> NDArray[np.uint64]:
    """Sorted distinct hashes, at most `bound`, of all runs of `width` bytes of `text` without ASCII white space."""
