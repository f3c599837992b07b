"""The Rust core. Private: the modules of `l2m` are its public face."""

from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CurveFitter",
    "__version__",
    "entropy",
    "entropy_estimators",
]
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

@final
class CurveFitter:
    """A curve's abscissae, errors and model, prepared once and fitted to many ordinates."""

    def __new__(
        cls,
        x: NDArray[np.float64],
        model: str,
        *,
        weights: NDArray[np.float64] | None = None,
        covariance: NDArray[np.float64] | None = None,
        bounds: tuple[float, float] = ...,
        robust: bool = False,
    ) -> CurveFitter: ...
    def fit(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, 3): amplitude, exponent, offset of each row of `y` (rows, points); logarithms for "log-log". Rows
        without a fit are nan."""

    def bootstrap(
        self,
        y: NDArray[np.float64],
        fitted: NDArray[np.float64],
        *,
        resample: str,
        replicates: int,
        seed: int,
        base: float = 0.0,
        residuals: NDArray[np.float64] | None = None,
        scale: NDArray[np.float64] | None = None,
        covariance: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """(replicates, 3): refits of resampled curves. `resample`: "pairs", "residuals" (needs `residuals`, standardised,
        and `scale`), "normal" (`scale`) or "correlated" (`covariance`)."""

# --- gaussian ---

# --- text ---

def shingle_hashes(text: str, width: int, bound: int) -> NDArray[np.uint64]:
    """Sorted distinct hashes, at most `bound`, of all runs of `width` bytes of `text` without ASCII white space."""
