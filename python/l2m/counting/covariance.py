"""Token covariance by distance: the leading singular values of C(d) = P(x, y; d) - p(x) q(y)^T, without a table of pairs.

Centred on documents, C(d) is the mean of P_i(d) - p_i q_i^T over documents i, weighted by their pairs. The difference between the two
is the covariance of the documents' own frequencies, which does not fall with distance.

Every walk over the tokens multiplies C(d) or its transpose with a block of vectors. A block Lanczos iteration on C^T C with
full reorthogonalisation (Golub & Van Loan, Matrix Computations, section 10.3) turns a dozen walks into the leading
singular values; it ends when the residuals of all of them are small.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from l2m import _core
from l2m.base import checks
from l2m.base.progress import Progress
from l2m.corpora.corpus import Corpus
from l2m.counting.covariance_curve import CovarianceCurve
from l2m.counting.pair_counts import budget_of
from l2m.counting.segments import Selection
from l2m.counting.two_point_job import check_distances, check_groups
from l2m.statistics.jackknife import jackknife_errors

Floats = NDArray[np.float64]

MOST_VALUES = 8
WIDTHS = (1, 2, 4, 8)
"""Vectors that one walk may carry."""
TOLERANCE = 1e-7
"""Residuals of C^T C at which the iteration ends, in units of its largest eigenvalue: no singular value is then off by more than
5e-8 of the largest, and their typical error is the square of that."""
FLOOR_TOLERANCE = 1e-2
"""The same for the shuffled tokens, whose largest value only sets a threshold: it is off by 0.5 % at most, on books by 0.01 %."""
MOST_BLOCKS = 40
DENSE = 64
"""Up to so many symbols the whole matrix is formed, in symbols / 8 walks."""


def token_covariance(
    corpus: Corpus | ArrayLike | Sequence[ArrayLike],
    distances: Sequence[int] | None = None,
    *,
    values: int = 4,
    center: Literal["corpus", "document"] = "corpus",
    groups: int | None = 32,
    floor: bool = True,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> CovarianceCurve:
    """The covariance of two tokens at distance d, C(d) = P(x, y; d) - p(x) q(y)^T, by its singular values.

    The margins p and q are those of the same pairs. Error bars are the delete-one-group jackknife over documents. What C is
    without a group is seen through the leading singular vectors of all of it: the singular values of U^T C V, which are exact to
    first order in what the group changes.

    Args:
        corpus: a corpus, an array of ids, or a sequence of arrays, one a document.
        distances: d >= 1. None: 1, 2, 4, ... as far as at least 8 groups of documents have pairs, over one set of documents
            that have pairs at all of them.
        values: how many of the largest singular values, 1 to 8.
        center: whose margins are subtracted. "corpus": those of all pairs; then that documents differ is covariance too, the same
            at every distance. "document": those of each document (or block, where documents are too few for groups).
        groups: jackknife groups of whole documents at most; None: no error bars.
        floor: measure the largest value again with the tokens of every document shuffled: sampling noise, and what two tokens
            share because they are in one document.
        seed: of the shuffle and of the iteration's first vectors.
        threads: None: all cores. Never changes the result: one thread takes a distance.
        progress: called with (distances done, all).

    Returns:
        `CovarianceCurve`, in units of probability; `fit()` gives the power law of the largest value.

    Raises:
        InputError: no pairs, or an argument out of its range.

    Example:
        >>> ids = np.random.default_rng(0).integers(0, 4, 8_000)
        >>> ids[1::2] = ids[::2]  # every second token repeats the one before it
        >>> curve = l2m.token_covariance([ids], [1], values=2)
        >>> bool(curve.singular[0, 0] > 10 * curve.floor[0])
        True

    Source: Cagnetta, Raventós, Ganguli & Wyart (2026), arXiv:2602.07488, for the largest value and its decay.
    """
    corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
    asked = None if distances is None else check_distances(distances)
    groups = check_groups(groups)
    checks.one_of("center", center, ("corpus", "document"))
    values = checks.whole("values", values, 1, MOST_VALUES)
    seed = checks.whole("seed", seed, 0, (1 << 64) - 1)
    threads = checks.threads(threads)
    selection = Selection.of(corpus.offsets[:-1], corpus.offsets[1:], groups=groups, distances=asked)
    if asked is None and groups is not None:
        selection = selection.fixed(groups) or selection
    steps = len(selection.distances) * (2 if floor else 1)
    done = 0

    def measured(arrangement: str, values: int, tolerance: float) -> list[_Decomposition]:
        nonlocal done
        segments, tokens = selection.segments, np.ascontiguousarray(corpus.tokens)
        counter = _core.PairCounter(tokens, segments.arrays, segments.groups, arrangement, seed, threads)
        found = []
        for start in range(0, len(selection.distances), threads):
            some = selection.distances[start : start + threads]
            covariances = _Covariances(counter, some, center == "document", threads)
            found += _decompose(covariances, values, seed, tolerance, jackknife=arrangement == "given")
            done = min(done + threads, steps)
            if progress is not None:
                progress(done, steps)
        return found

    # Threads of BLAS wait for each other longer than a product of such narrow blocks takes (13 s of 55 on the books), and change sums.
    with threadpool_limits(1, user_api="blas"):
        given = measured("given", values, TOLERANCE)
        shuffled = measured("shuffled", 1, FLOOR_TOLERANCE) if floor else None
    group_pairs = np.array([one.group_pairs for one in given]).T
    singular = np.array([one.singular for one in given])
    stderr, replicates = np.full_like(singular, np.nan), None
    if segments_grouped := selection.segments.groups > 1:
        shares = group_pairs / np.maximum(group_pairs.sum(0), 1)
        for column in range(values):
            each = np.array([one.replicates[:, column] for one in given]).T
            stderr[:, column] = jackknife_errors(each, singular[:, column], shares)[0]
        replicates = np.array([one.replicates[:, 0] for one in given]).T
    return CovarianceCurve(
        distance=np.array(selection.distances, np.int64),
        singular=singular,
        stderr=stderr,
        frobenius=np.array([one.frobenius for one in given]),
        floor=None if shuffled is None else np.array([one.singular[0] for one in shuffled]),
        frobenius_floor=None if shuffled is None else np.array([one.frobenius for one in shuffled]),
        pairs=group_pairs.sum(0).astype(np.int64),
        documents=np.array([(selection.lengths > distance).sum() for distance in selection.distances], np.int64),
        contributing=(group_pairs > 0).sum(0).astype(np.int64),
        replicates=replicates,
        group_pairs=group_pairs if segments_grouped else None,
        settings={
            "groups": {"unit": selection.segments.unit, "number": selection.segments.groups},
            "center": center,
            "seed": seed,
            "tokens": selection.tokens,
            "documents": int(selection.lengths.size),
            "vocab_size": corpus.vocab_size,
            "tokenizer": corpus.tokenizer["name"],
            "corpus": corpus.hash,
            "residual": max((one.residual for one in given), default=0.0),
        },
    )


@dataclass(kw_only=True)
class _Decomposition:
    """Of C at one distance: its leading singular values, what they are without each group (no rows: not asked for), pairs of each
    group, and its Frobenius norm."""

    singular: Floats
    replicates: Floats
    group_pairs: Floats
    frobenius: float
    residual: float


class _Covariances:
    """C(d) of a few distances as an operator: all vectors are (distances, symbols, width)."""

    def __init__(self, counter: "_core.PairCounter", distances: list[int], within: bool, threads: int) -> None:
        self.counter, self.distances, self.within, self.threads = counter, distances, within, threads
        ones = np.ones((len(distances), counter.distinct, 1))
        first, second = (self._walk(ones, transposed, within=False)[:, :, 0] for transposed in (False, True))
        self.pairs = first.sum(1)
        count = np.maximum(self.pairs, 1)[:, None]
        self.p, self.q = first / count, second / count

    def apply(self, vectors: Floats, transposed: bool = False, only: list[int] | None = None) -> Floats:
        """C v, or C^T v, at the distances at these places (None: at all)."""
        places = list(range(len(self.distances))) if only is None else only
        joint = (
            self._walk(vectors, transposed, places, within=self.within)
            / np.maximum(self.pairs[places], 1)[:, None, None]
        )
        if self.within:
            return np.asarray(joint)
        left, right = (self.q, self.p) if transposed else (self.p, self.q)
        inner = np.einsum("dn,dnw->dw", right[places], vectors)
        return np.asarray(joint - left[places][:, :, None] * inner[:, None, :])

    def _walk(self, vectors: Floats, transposed: bool, places: list[int] | None = None, *, within: bool) -> Floats:
        padded = _padded(vectors)
        chosen = self.distances if places is None else [self.distances[place] for place in places]
        sums = self.counter.products(chosen, padded.ravel(), padded.shape[2], transposed, within, self.threads)
        return np.asarray(sums.reshape(padded.shape)[:, :, : vectors.shape[2]])

    def frobenius(self) -> Floats:
        """Norms, from how many pairs occurred how often: |P|^2 - 2 p^T P q + |p|^2 |q|^2; nan where documents are the centre."""
        if self.within:
            return np.full(len(self.distances), np.nan)
        _, budget = budget_of(self.counter, False, self.threads, None)
        counted = self.counter.count(self.distances, 0, self.counter.distinct, budget, None, self.threads)
        joint = self._walk(self.q[:, :, None], False, within=False)[:, :, 0] / np.maximum(self.pairs, 1)[:, None]
        squares = [
            float(((counts / max(pairs, 1.0)) ** 2 * symbols).sum())
            for ((counts, symbols), _), pairs in zip(counted, self.pairs, strict=True)
        ]
        cross = np.einsum("dn,dn->d", self.p, joint)
        return np.asarray(np.sqrt(np.maximum(squares - 2 * cross + (self.p**2).sum(1) * (self.q**2).sum(1), 0.0)))

    def without_each_group(self, left: Floats, right: Floats) -> tuple[Floats, Floats]:
        """U^T C V without each group, (distances, groups, columns, columns); and pairs of each group, (distances, groups)."""
        u, v = _padded(left), _padded(right)
        (number, _, width), columns = u.shape, left.shape[2]
        sums = self.counter.group_sums(self.distances, u.ravel(), v.ravel(), width, self.within, self.threads)
        sums = sums.reshape(number, -1, 1 + 2 * width + width**2)
        rest = sums.sum(1, keepdims=True) - sums
        with np.errstate(divide="ignore", invalid="ignore"):  # a group that holds all pairs
            means = rest[:, :, 1:] / rest[:, :, :1]
        of_u, of_v, products = np.split(means, [width, 2 * width], axis=2)
        matrices = products.reshape(number, -1, width, width) - of_u[..., :, None] * of_v[..., None, :]
        return np.asarray(matrices[..., :columns, :columns]), np.asarray(sums[:, :, 0])


def _width(columns: int) -> int:
    """The narrowest walk that carries so many vectors."""
    return next(width for width in WIDTHS if width >= columns)


def _padded(vectors: Floats) -> Floats:
    """Vectors (distances, symbols, columns) with columns of zeros up to the width of a walk."""
    columns = vectors.shape[2]
    width = _width(columns)
    return vectors if width == columns else np.pad(vectors, ((0, 0), (0, 0), (0, width - columns)))


@dataclass(kw_only=True)
class _Lanczos:
    """The iteration at one distance."""

    values: int
    tolerance: float
    block: Floats
    basis: list[Floats] = field(default_factory=list)
    projected: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    leading: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    residual: float = np.inf
    done: bool = False

    def absorb(self, image: Floats) -> None:
        """Take C^T C times the block: extend the projected matrix, and make the next block."""
        self.basis.append(self.block)
        coefficients = [block.T @ image for block in self.basis]
        rest = image - sum(block @ part for block, part in zip(self.basis, coefficients, strict=True))
        # Once more: a single pass loses orthogonality as soon as values have converged.
        rest -= sum(block @ (block.T @ rest) for block in self.basis)
        old, new = self.projected.shape[0], self.block.shape[1]
        column = np.concatenate(coefficients)
        grown = np.zeros((old + new, old + new))
        grown[:old, :old] = self.projected
        grown[:, old:] = column
        grown[old:, :] = column.T
        self.projected = (grown + grown.T) / 2
        self.block, remainder = np.linalg.qr(rest)
        eigenvalues, vectors = np.linalg.eigh(self.projected)
        leading = vectors[:, ::-1][:, : self.values]
        largest = max(float(eigenvalues[-1]), np.finfo(float).tiny)
        self.residual = float(np.linalg.norm(remainder @ leading[old:], axis=0).max()) / largest
        full = old + new >= self.values and self.residual <= self.tolerance
        self.done = full or len(self.basis) >= MOST_BLOCKS or old + 2 * new > image.shape[0]
        self.leading = leading

    @property
    def right(self) -> Floats:
        """(symbols, values) the leading right singular vectors."""
        return np.asarray(np.concatenate(self.basis, axis=1) @ self.leading)


def _decompose(
    covariances: _Covariances, values: int, seed: int, tolerance: float, *, jackknife: bool
) -> list[_Decomposition]:
    symbols, number = covariances.counter.distinct, len(covariances.distances)
    residuals = np.zeros(number)
    if symbols <= DENSE:
        identity = np.broadcast_to(np.eye(symbols), (number, symbols, symbols))
        matrix = np.concatenate(
            [covariances.apply(identity[:, :, start : start + 8]) for start in range(0, symbols, 8)], axis=2
        )
        left, singular, right = np.linalg.svd(matrix)
        kept = min(values, symbols)
        u, v = left[:, :, :kept], np.swapaxes(right, 1, 2)[:, :, :kept]
        singular = singular[:, :kept]
    else:
        width = _width(max(values, 4))
        # The same first vectors at every distance, so that a distance's values do not depend on the others asked for. Weighted by
        # frequency they lie nearer to the singular vectors, which saves about one block in seven.
        normal = np.random.default_rng(seed).standard_normal((symbols, width))
        start = np.linalg.qr(normal * covariances.counter.frequencies[:, None])[0]
        runs = [_Lanczos(values=values, tolerance=tolerance, block=start) for _ in range(number)]
        active = list(range(number))
        while active:
            blocks = np.stack([runs[place].block for place in active])
            images = covariances.apply(covariances.apply(blocks, only=active), transposed=True, only=active)
            for place, image in zip(active, images, strict=True):
                runs[place].absorb(image)
            active = [place for place in active if not runs[place].done]
        residuals = np.array([run.residual for run in runs])
        v = np.stack([run.right for run in runs])
        u, singular, turn = np.linalg.svd(covariances.apply(v), full_matrices=False)
        v = v @ np.swapaxes(turn, 1, 2)
    columns = singular.shape[1]
    replicates, group_pairs = np.empty((number, 0, columns)), np.empty((number, 0))
    if jackknife:
        matrices, group_pairs = covariances.without_each_group(u, v)
        known = np.isfinite(matrices).all((2, 3))
        replicates = np.full((*known.shape, columns), np.nan)
        replicates[known] = np.linalg.svd(matrices[known], compute_uv=False)
    frobenius = covariances.frobenius()
    padding = ((0, 0), (0, values - columns))
    return [
        _Decomposition(
            singular=np.pad(singular[place], (0, values - columns)),
            replicates=np.pad(replicates[place], padding),
            group_pairs=group_pairs[place],
            frobenius=float(frobenius[place]),
            residual=float(residuals[place]),
        )
        for place in range(number)
    ]
