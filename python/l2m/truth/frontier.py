"""The frontier of memory: how well a state of r numbers can predict the Gaussian language, and what it must lose.

A linear recurrent model keeps s_t, r_t numbers that are a linear map of s_{t-1} and Z_t, and predicts Z_{t+1} from s_t alone. All is
Gaussian, so the KL divergence of its best prediction is 1/2 ln(Var(Z_{t+1} | s_t) / Var(Z_{t+1} | Z_1..Z_t)), whatever the data.

The achieved value is sequential canonical truncation. With the covariance S = U U^T, U upper triangular, the future of t has
covariance U[t:, t:] U[t:, t:]^T. Kept is V, the covariance of the (white) state with the future, whitened by that factor:

    1. c = U[t, t:] V               covariance of Z_t with the state;  Var(Z_t | state) = S_tt - c c
    2. J = [V[1:], e]               e = (U[t, t+1:] - V[1:] c) / sqrt(Var): the part of Z_t that is new
    3. J loses the eigenvectors of J^T J with the smallest eigenvalues: the squared canonical correlations of state and future

Nothing of V but its first row is lost from step to step, so a position costs O(L r), and the whole O(L^2 r).

The proven bound: for disjoint blocks of the sequence, what the past tells about a block beyond the r largest canonical correlations
of past and block, -1/2 sum_{i > r} ln(1 - rho_i^2), is lost by any linear state of r numbers. Dynamic programming finds the best blocks.
"""

import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base import checks
from l2m.base.growth import Growth
from l2m.base.optional import require
from l2m.base.records import Record
from l2m.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Allowed = int | str | ArrayLike | Callable[[int], float]
"""Numbers a state may hold: always, after each value, or as it grows."""


class Law(Protocol):
    """What the frontier needs of a `HierarchicalGaussian`."""

    length: int
    conditional_std: Floats

    @property
    def nominal_exponent(self) -> float: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    def covariance(self) -> Floats: ...
    def bipartite_information(self) -> Any: ...


MAX_LENGTH = 4096
"""Longest sequence: its factor U takes 128 MiB, and the covariance as much again."""
ZERO = 1e-12
"""Squared canonical correlations below this are rounding: the directions hold nothing."""
BOUND_BLOCKS = 64
"""Blocks of the bound begin at multiples of L / 64; any choice of blocks gives a valid bound."""
FORMS = "a whole number, an array with one entry a position, 'log:A' (A ln(1 + t)), 'power:P:A' (A t^P; P may be 'beta'), or a callable"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MemoryFrontier(Record):
    """How well a state of limited size predicts the Gaussian language.

    Attributes:
        position: 1..L.
        kl: KL divergence at each position, nats, of the model found: an achievable value, (L,).
        allowed: numbers the state may hold after each position, (L,).
        numbers: numbers it does hold: fewer where fewer hold everything, (L,).
        mean_kl: mean of `kl`, nats a value.
        bound: mean KL that no linear state of these sizes goes below; None unless asked for.
        captured: information about the second half that the model has at L/2, I_BP(L/2; L) - sum of `kl` over the second half, nats.
        information: I_BP(L/2; L), nats.
        state: the growth as it was asked for.
    """

    kind: ClassVar[str] = "memory frontier"
    information_fields: ClassVar[tuple[str, ...]] = ("kl", "mean_kl", "bound", "captured", "information")

    position: Integers
    kl: Floats
    allowed: Integers
    numbers: Integers
    mean_kl: float
    captured: float
    information: float
    state: str
    bound: float | None = None

    @property
    def ratio(self) -> float:
        """I_BP(L/2; L) over the numbers allowed at L/2: nats a number; infinite for none."""
        held = int(self.allowed[self.allowed.size // 2 - 1])
        return self.information / held if held else math.inf

    def explain(self) -> str:
        """The frontier in one sentence."""
        bound = "" if self.bound is None else f" (no linear state of this size goes below {self.bound:.4g})"
        return (
            f"state {self.state}, at most {int(self.numbers.max()):,} numbers: KL {self.mean_kl:.4g} {self.unit} a value{bound}, "
            f"{self.captured:.4g} of {self.information:.4g} {self.unit} captured at L/2, {self.ratio:.3g} {self.unit} a number"
        )

    def _brief(self) -> str:
        return f"state {self.state}, KL {self.mean_kl:.4g} {self.unit} a value, {self.ratio:.3g} {self.unit} a number"

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """KL against position, and its mean over octaves of positions."""
        from l2m.base.plots import BLUE, GREY, new_axes

        axes = new_axes() if axes is None else axes
        shown = np.maximum(self.kl, 0)
        axes.plot(
            self.position, shown, ".", color=GREY, markersize=2, alpha=0.5, rasterized=True, label="every position"
        )
        edges = 2 ** np.arange(int(np.log2(self.position.size)) + 1)
        means = [shown[a - 1 : b - 1].mean() for a, b in pairwise(edges)]
        axes.plot(edges[:-1] * math.sqrt(2), means, "o-", color=BLUE, label="mean of an octave")
        axes.set_xscale("log", base=2)
        axes.set_xlabel("position t")
        axes.set_ylabel(f"KL divergence ({self.unit})")
        axes.set_title(f"state {self.state}")
        axes.legend()
        return axes


def frontier(law: Law, state: Allowed, *, refine: int = 0, bound: bool = False, seed: int = 0) -> MemoryFrontier:
    """See `HierarchicalGaussian.frontier`."""
    length = law.length
    allowed, name = allowed_numbers(state, law)
    refine = checks.whole("refine", refine, 0, 100_000)
    seed = checks.seed(seed)
    factor = future_factor(law)
    variance = np.square(law.conditional_std)
    kl, numbers = truncated(factor, variance, allowed)
    if refine:
        kl = _refined(factor, variance, numbers, kl, refine, seed)
    half = length // 2
    information = law.bipartite_information()
    return MemoryFrontier(
        position=np.arange(1, length + 1),
        kl=kl,
        allowed=allowed,
        numbers=numbers,
        mean_kl=float(kl.mean()),
        captured=float(information - kl[half:].sum()),
        information=information,
        state=name,
        bound=_bound(factor, law, allowed) if bound else None,
        settings={**law.settings, "state": name, "refine": refine, "seed": seed},
    )


def smallest_state(law: Law) -> Integers:
    """See `HierarchicalGaussian.smallest_state`."""
    everything = np.full(law.length, law.length, np.int64)
    return truncated(future_factor(law), np.square(law.conditional_std), everything)[1]


def allowed_numbers(state: Allowed, law: Law) -> tuple[Integers, str]:
    """Numbers allowed after 1..L values, and a name for them.

    Raises:
        InputError: a growth that cannot be read; numbers that are negative or not whole; an array of another length.
    """
    length = law.length
    positions = np.arange(1, length + 1)
    if isinstance(state, str):
        values = Growth.read(state, beta=law.nominal_exponent, argument="state", forms=FORMS).at(positions)
        if not np.isfinite(values).all():
            raise InputError(f"state: {state!r}; expected {FORMS}")
        return np.minimum(values, length).astype(np.int64), state
    if callable(state):
        given = [checks.real(f"state({t})", state(t), 0) for t in positions.tolist()]
        return np.ceil(given).astype(np.int64), getattr(state, "__name__", "callable")
    array = checks.plain_array("state", state)
    if array.ndim == 0:
        number = checks.whole("state", state, 0)
        return np.full(length, min(number, length), np.int64), str(number)
    array = checks.integers("state", array).astype(np.int64)
    if array.size != length:
        raise InputError(f"state: {array.size} entries; expected {length:,}, one for each position")
    return np.minimum(array, length), f"array of {array.min()} to {array.max()}"


def future_factor(law: Law) -> Floats:
    """U, upper triangular, with U[t:, t:] U[t:, t:]^T the covariance of Z_t..Z_L for every t.

    The law is its own mirror image, so U is its Cholesky factor read backwards.

    Raises:
        InputError: L above 4,096.
    """
    if law.length > MAX_LENGTH:
        size = 2 * 8 * law.length**2 / 2**30
        raise InputError(
            f"length: {law.length:,} values; the frontier keeps two dense matrices, {size:,.0f} GiB; "
            f"expected at most {MAX_LENGTH:,}"
        )
    return np.ascontiguousarray(np.linalg.cholesky(law.covariance())[::-1, ::-1])


def factor_of(covariance: Floats) -> Floats:
    """`future_factor` of any covariance: the law of a window need not be its own mirror image."""
    return np.ascontiguousarray(np.linalg.cholesky(covariance[::-1, ::-1])[::-1, ::-1])


def truncated(
    factor: Floats,
    variance: Floats,
    allowed: Integers,
    trace: list[tuple[Floats, float, Floats]] | None = None,
    *,
    negligible: float = ZERO,
) -> tuple[Floats, Integers]:
    """KL by position and numbers held, by sequential canonical truncation (see the module).

    Args:
        factor: U.
        variance: of Z_t given all before it.
        allowed: numbers after each position.
        trace: takes, for each position, what a reader with this state needs: with s the numbers held before Z_t, c with
            E[Z_t | s] = c s; the variance of Z_t given s; and P, (numbers before + 1, numbers after), with which s and the
            innovation e of Z_t, of variance 1, become the new numbers, (s, e) P.
        negligible: squared canonical correlations up to this are dropped though there is room. Below 0 none is: then every P is
            the identity, or all but the last column of one reflection.
    """
    from scipy.linalg import eigh

    length = variance.size
    kl, numbers = np.zeros(length), np.zeros(length, np.int64)
    width = 16
    V = np.zeros((length, width))  # rows t.. and the first r columns are in use
    gram = np.zeros((width, width))  # V^T V of these, kept up to date instead of multiplied out
    r = 0
    for t in range(length):
        row = factor[t, t:]
        c = row @ V[t:, :r]
        given_state = 1.0 - c @ c
        kl[t] = 0.5 * math.log(given_state / variance[t])
        if t == length - 1:
            if trace is not None:
                trace.append((c, float(given_state), np.zeros((r + 1, 0))))
            break
        if r + 1 > width:
            V = np.concatenate([V, np.zeros_like(V)], axis=1)
            gram = np.pad(gram, (0, width))
            width *= 2
        J = V[t + 1 :, : r + 1]
        J[:, r] = (row[1:] - J[:, :r] @ c) / math.sqrt(given_state)
        gram[:r, :r] -= np.outer(V[t, :r], V[t, :r])
        gram[r, : r + 1] = gram[: r + 1, r] = J.T @ J[:, r]
        if r and allowed[t] == r:
            # The one direction that goes: 0.2 ms for r = 64, where all eigenvectors take 0.5.
            smallest, direction = eigh(gram[: r + 1, : r + 1], subset_by_index=(0, 0), check_finite=False)
            if smallest[0] > negligible:
                if trace is not None:
                    projection = np.eye(r + 1)
                    _reflect(projection, np.zeros_like(projection), direction[:, 0])
                    trace.append((c, float(given_state), projection[:, :r]))
                _reflect(J, gram[: r + 1, : r + 1], direction[:, 0])
                numbers[t] = r
                continue
        eigenvalues, vectors = np.linalg.eigh(gram[: r + 1, : r + 1])
        kept = min(int(allowed[t]), int((eigenvalues > negligible).sum()))
        if trace is not None:
            trace.append((c, float(given_state), vectors[:, r + 1 - kept :] if kept < r + 1 else np.eye(r + 1)))
        if kept < r + 1:
            J[:, :kept] = J @ vectors[:, r + 1 - kept :]
            gram[:kept, :kept] = np.diag(eigenvalues[r + 1 - kept :])
        r = numbers[t] = kept
    return kl, numbers


def _reflect(J: Floats, gram: Floats, direction: Floats) -> None:
    """Turn J's columns by the Householder reflection that brings `direction` to the last axis; O(L r), in place."""
    u = direction.copy()
    u[-1] += math.copysign(1.0, u[-1])
    u /= np.linalg.norm(u)
    J -= np.multiply.outer(2.0 * (J @ u), u)
    along = gram @ u
    gram -= 2.0 * (np.outer(along, u) + np.outer(u, along) - 2.0 * (u @ along) * np.outer(u, u))


def _refined(factor: Floats, variance: Floats, numbers: Integers, start: Floats, steps: int, seed: int) -> Floats:
    """KL by position after gradient steps on every projection, from the truncation's: never worse in the mean.

    Each projection, (r + 1) -> r', is orthonormal through a QR decomposition of its parameter. Adam at a rate of 0.01 that falls
    to 0 (cosine). `seed` draws the parameters' first nudge, 1e-3, which parts directions that tie.

    Raises:
        InputError: torch is not installed.
    """
    require("refine", "torch")
    import torch

    length = variance.size
    generator = torch.Generator().manual_seed(seed)
    U, conditional = torch.from_numpy(factor.copy()), torch.from_numpy(variance)
    held = numbers.tolist()
    parameters: list[Any] = []

    def run(learned: bool) -> Any:
        """KL by position; the first call, with `learned` false, makes the truncation's projections the parameters."""
        V, kl, index = torch.zeros((length, 0), dtype=torch.float64), [], 0
        for t in range(length):
            row = U[t, t:]
            c = row @ V
            given_state = 1.0 - c @ c
            kl.append(0.5 * torch.log(given_state / conditional[t]))
            new = (row[1:] - V[1:] @ c) / torch.sqrt(given_state)
            V = torch.cat([V[1:], new[:, None]], dim=1)
            if held[t] < V.shape[1]:
                if learned:
                    projection, triangle = torch.linalg.qr(parameters[index])
                    # Signs as in the parameter: the later projections are relative to this basis.
                    projection = projection * torch.sign(torch.diagonal(triangle))
                else:
                    _, vectors = torch.linalg.eigh(V.T @ V)
                    projection = vectors[:, V.shape[1] - held[t] :]
                    parameters.append(projection.clone())
                index += 1
                V = V @ projection
        return torch.stack(kl)

    with torch.no_grad():
        run(learned=False)
        for value in parameters:
            value += 1e-3 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
    if not parameters:
        return start
    for value in parameters:
        value.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, best_mean = start, float(start.mean())
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        kl = run(learned=True)
        mean = kl.mean()
        if mean.item() < best_mean:
            best, best_mean = kl.detach().numpy().copy(), mean.item()
        mean.backward()
        optimizer.step()
        schedule.step()
    return best


def _bound(factor: Floats, law: Law, allowed: Integers) -> float:
    """Mean KL, nats a value, that no linear state of these sizes goes below; see the module.

    The past of t enters through its smallest exact state, whose covariance with the whitened future is V without truncation.
    """
    length = law.length
    step = max(1, length // BOUND_BLOCKS)
    starts = range(0, length, step)
    covariance = law.covariance()
    exact = _exact_states(factor, [t for t in starts if t])
    # best[b]: the largest sum of bounds over disjoint blocks that end at or before b.
    best = np.zeros(length // step + 1)
    losses: dict[int, list[tuple[int, float]]] = {}
    for t in starts:
        if t == 0:
            continue
        V = exact[t]
        cross = factor[t:, t:] @ V  # covariance of the future with the exact state, (L - t, m)
        r = int(allowed[t - 1])
        for end in range(t + step, length + 1, step):
            size = end - t
            if min(size, V.shape[1]) <= r:
                continue
            block = np.linalg.cholesky(covariance[t:end, t:end])
            rho = np.linalg.svd(np.linalg.solve(block, cross[:size]), compute_uv=False)
            lost = np.minimum(np.square(rho[r:]), 1 - 1e-15)
            losses.setdefault(end // step, []).append((t // step, float(-0.5 * np.log1p(-lost).sum())))
    for index in range(1, best.size):
        best[index] = max([best[index - 1], *(best[begin] + value for begin, value in losses.get(index, []))])
    return float(best[-1] / length)


def _exact_states(factor: Floats, wanted: list[int]) -> dict[int, Floats]:
    """V without truncation after each wanted number of values, orthogonal columns without those that hold nothing."""
    states = {}
    for t in wanted:
        # Rows 1..t of the factor against the future's whitened coordinates; their covariance among themselves is S[:t, :t].
        past = factor[:t]
        white = np.linalg.solve(np.linalg.cholesky(past @ past.T), past[:, t:])
        u, singular, _ = np.linalg.svd(white.T, full_matrices=False)
        keep = np.square(singular) > ZERO
        states[t] = u[:, keep] * singular[keep]
    return states
