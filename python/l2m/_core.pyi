"""The Rust core. Private: the modules of `l2m` are its public face."""

from collections.abc import Callable
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DENSE",
    "HUBER",
    "LONGEST_NGRAM",
    "NORMAL_MAD",
    "REMOVED_UNIT",
    "CurveFitter",
    "GaussianFilter",
    "GaussianLaw",
    "NgramCounter",
    "PairCounter",
    "Sketches",
    "WordTable",
    "__version__",
    "check_curve",
    "entropy",
    "entropy_estimators",
    "expected_joint_entropy",
]
__version__: str

# --- counting (pairs, n-grams, null model) ---

DENSE: int
"""Alphabets of up to this many ids are counted in one table of id pairs."""
REMOVED_UNIT: float
"""Unit of the integers that say by how much sum n g(n) shrinks without a group."""
LONGEST_NGRAM: int
"""The largest order of n-grams."""

_Entries = tuple[NDArray[np.uint64], NDArray[np.uint64]]
_Segments = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

@final
class PairCounter:
    """A corpus as frequency ranks, its documents in the order of their jackknife groups."""

    def __new__(
        cls,
        tokens: NDArray[np.integer],
        segments: _Segments,
        groups: int,
        arrangement: str,
        seed: int,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        block: int = 1,
    ) -> PairCounter:
        """`segments`: start, end, limit and group of first tokens. `arrangement`: given, shuffled or cross-document; `block`: tokens
        that a shuffle keeps together."""

    @staticmethod
    def paired(x: NDArray[np.integer], y: NDArray[np.integer], groups: int, threads: int | None = None) -> PairCounter:
        """Two arrays of equal length, any integer types, as pairs (x[i], y[i]) in `groups` contiguous blocks."""

    @property
    def distinct(self) -> int:
        """How many different first tokens there are."""

    @property
    def frequencies(self) -> NDArray[np.uint64]:
        """How often each of them occurs, by rank."""

    @property
    def length(self) -> int:
        """How many tokens are laid out."""

    @property
    def narrow(self) -> bool:
        """Whether ranks take 16 bits or less."""

    def least(self, grouped: bool) -> int:
        """Bytes that a thread needs at least: the commonest token at one distance."""

    def bytes(self, threads: int) -> tuple[int, int]:
        """Bytes that stay while counting, and bytes that `margins` needs on this many threads."""

    def plan(
        self, low: int, high: int, distances: int, grouped: bool, budget: int, threads: int
    ) -> list[tuple[int, list[tuple[int, int]]]]:
        """Walks over the corpus: (distances at once, ranges of first ranks that a thread holds at a time)."""

    def count(
        self,
        distances: list[int],
        low: int,
        high: int,
        budget: int,
        estimator: str | None = None,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[tuple[_Entries, list[int]]]:
        """By distance, over first ranks low..high: (n, pairs of tokens that occurred n times) and, by group, how much
        sum n g(n) shrinks without it, in units of 2^-28. `budget`: bytes a thread may take."""

    def margins(
        self, distances: list[int], estimator: str, with_null: bool, threads: int | None = None
    ) -> list[tuple[_Entries, _Entries, list[int], list[tuple[float, float, float]]]]:
        """By distance: fingerprints of both margins, pairs by group, and (entropy_x, entropy_y, expected joint entropy of
        independent tokens) for all pairs and without each group."""

    def products(
        self,
        distances: list[int],
        vectors: NDArray[np.float64],
        width: int,
        transposed: bool,
        within: bool = False,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float64]:
        """Sums over the pairs at each distance: e_x v_y^T, or e_y v_x^T if `transposed`. `vectors`: a (distinct, width) matrix
        of each distance, by rank, one after the other; so is the result. `within`: v less its mean over a segment's pairs."""

    def group_sums(
        self,
        distances: list[int],
        left: NDArray[np.float64],
        right: NDArray[np.float64],
        width: int,
        within: bool = False,
        threads: int | None = None,
    ) -> NDArray[np.float64]:
        """By distance and group, one after the other: pairs, and sums over them of the `width` values u[x], of v[y], and of all
        products u_i[x] v_j[y]."""

@final
class NgramCounter:
    """A corpus whose ids are replaced by their place among those that occur."""

    def __new__(
        cls, tokens: NDArray[np.integer], offsets: NDArray[np.int64], threads: int | None = None
    ) -> NgramCounter: ...
    @property
    def distinct(self) -> int:
        """How many different ids occur."""

    @property
    def frequencies(self) -> NDArray[np.uint64]:
        """How often each of them occurs, in the order of ids."""

    def bytes(self) -> int:
        """Bytes that stay while counting."""

    def total(self, n: int) -> int:
        """How many n-grams there are."""

    def least(self, n: int) -> int:
        """Bytes that a thread needs at least: the commonest token's list."""

    def plan(self, n: int, budget: int) -> list[tuple[int, int]]:
        """Ranges of first ids whose lists take at most `budget` bytes."""

    def fingerprints(
        self,
        n: int,
        low: int,
        high: int,
        budget: int,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[_Entries]:
        """Fingerprints of the orders 1 to n over first ids low..high, `budget` bytes a thread."""

    def table(self, n: int, low: int, high: int) -> _Entries:
        """The n-grams over first ids low..high as ids side by side, sorted, and their counts."""

    def most_common(self, n: int, k: int, budget: int, threads: int | None = None) -> _Entries:
        """The k most frequent n-grams as ids side by side, ties by ids, and their counts."""

def expected_joint_entropy(x: _Entries, y: _Entries, estimator: str, exact: bool = False) -> float:
    """Expected entropy in nats of pairs with these margins, given as (n, symbols), under independence; `exact`: the slow
    oracle."""

# --- entropy ---

def entropy(
    counts: NDArray[np.uint64], symbols: NDArray[np.uint64], estimator: str, alphabet: int | None = None
) -> tuple[str, float, float]:
    """(name of the estimator, value, stderr) in nats of a fingerprint given as (n, symbols)."""

def entropy_estimators() -> list[tuple[str, bool]]:
    """(name, whether it uses the alphabet) of every estimator, the default first."""

# --- fits ---

HUBER: float
"""Tuning constant of Huber's weights: 95 % efficient for normal errors."""
NORMAL_MAD: float
"""median(|normal|), the normal's upper quartile."""

def check_curve(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    parameters: int,
    *,
    stderr: NDArray[np.float64] | None = None,
    covariance: NDArray[np.float64] | None = None,
    replicates: NDArray[np.float64] | None = None,
    shares: NDArray[np.float64] | None = None,
    logarithm: bool = False,
    logarithm_above: float | None = None,
) -> None:
    """Refuse a curve that cannot be fitted. `logarithm_above`: y - C is fitted in logarithms, C above this bound; `logarithm`:
    log y is."""

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

@final
class GaussianLaw:
    """The exact law of the hierarchical Gaussian language. Arrays are flat."""

    def __new__(cls, children: list[int], boundary: str) -> GaussianLaw: ...
    @property
    def length(self) -> int: ...
    def conditional_std(self) -> NDArray[np.float64]:
        """(L,)"""

    def half_information(self) -> NDArray[np.float64]:
        """(layers,): I_BP(L/2; L) of the laws of length 4, 16, ..., L."""

    def bipartite_information(self) -> NDArray[np.float64]:
        """(L + 1,): I_BP(l; L) for l = 0..L."""

    def correlation(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of each pair of positions."""

    def two_point(
        self, distances: list[int], threads: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Correlation and information, each averaged over all pairs at each distance."""

    def sample(
        self,
        z: NDArray[Any],
        mean: NDArray[Any],
        groups: int,
        channels: int,
        head: int,
        seed: int,
        first: int,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Fill values (groups, head + L, channels) but for the head, and conditional means (groups, L, channels); both
        float32 or both float64."""

    def conditional_mean(
        self,
        z: NDArray[Any],
        reverse: bool,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[Any]:
        """Of rows of L values; `reverse`: given the values after instead of before."""

    def filter(self, sequences: int) -> GaussianFilter: ...

@final
class GaussianFilter:
    """Reads sequences one value at a time."""

    @property
    def position(self) -> int: ...
    def mean(self) -> NDArray[np.float64] | None:
        """Of the next value; None after the last."""

    def step(self, z: NDArray[np.float64]) -> None: ...
    def copy(self) -> GaussianFilter: ...

# --- text ---

@final
class Sketches:
    """Sketches of documents, for finding near-duplicates (`l2m.near_duplicates`)."""

    def __new__(
        cls,
        bound: int | None = None,
        sizes: NDArray[np.uint32] | None = None,
        hashes: NDArray[np.uint64] | None = None,
    ) -> Sketches: ...
    def add_texts(self, texts: list[str], width: int) -> None:
        """Add texts; shingles of `width` bytes without ASCII white space."""

    def add_ids(self, documents: list[NDArray[np.uint32]], width: int) -> None:
        """Add documents of token ids; shingles of `width` ids."""

    def absorb(self, other: Sketches) -> None:
        """Add the documents of `other` behind these."""

    def parts(self) -> tuple[int, NDArray[np.uint32], NDArray[np.uint64]]:
        """(bound, hashes a document, all hashes side by side): what the constructor takes."""

    def find(self, threshold: float) -> list[tuple[int, int]]:
        """(copy, original), sorted."""

@final
class WordTable:
    """Words and their ids, in order of first occurrence."""

    def __new__(cls) -> WordTable: ...
    def __len__(self) -> int: ...
    def encode(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Ids of all texts side by side, and (texts + 1) offsets."""

    def add(self, words: list[str]) -> NDArray[np.uint32]:
        """The ids of `words`, new ones where they are new."""

    def words(self) -> list[str]:
        """The words in the order of their ids."""
