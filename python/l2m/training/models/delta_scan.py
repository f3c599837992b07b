"""The recurrence of a state that grows: one rank-one change a token, over as many channels as are open.

    S_t = a_t S_{t-1} - k_t y_t + b_t v_t,   y_t = w_t (a_t S_{t-1}),   o_t = q_t S_t

S_t is n(t) x d numbers, v_t and o_t d; k, w, b and q are addresses over n(t) channels, of which those that are not open yet are 0.
With w = beta k and b = beta k this is the gated delta rule (Yang et al. 2024, arXiv 2412.06464); with addresses of the position
alone it is any step of a linear recurrence that drops one direction, so also the frontier's (`l2m.truth.frontier`).

`selective_scan` (training.models.scan) is for recurrences that are diagonal. Here the y of a chunk solve one triangular system,
(I + tril(W K^T, -1)) Y = tril(W B^T, -1) V + W S_0, all in matrix products, so autograd has its gradient.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 128
"""Positions solved at once: the work within a chunk is quadratic, between chunks a loop in Python."""


def delta_scan(
    q: Tensor,
    k: Tensor,
    w: Tensor,
    b: Tensor,
    v: Tensor,
    *,
    channels: Sequence[int],
    log_decay: Tensor | None = None,
    state: Tensor | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """All outputs, and the state after the last position. A single position is the step of inference.

    Args:
        q, k, w, b: (batch, heads, L, channels), or batch 1 for addresses that all sequences share; 0 where a channel is not open.
        v: (batch, heads, L, d).
        channels: open after each position, never fewer than before: the work and the state of a chunk have so many.
        log_decay: ln a_t, (batch or 1, heads, L); None: no decay.
        state: S before the first position, (batch, heads, up to channels[0], d); None: zeros.

    Returns:
        o, (batch, heads, L, d), and S, (batch, heads, channels[-1], d).
    """
    batch, heads, length, width = v.shape
    shared = q.shape[0] == 1 and batch > 1 and (log_decay is None or log_decay.shape[0] == 1)
    if shared:  # one system for all sequences, side by side
        v = v.permute(1, 2, 0, 3).reshape(1, heads, length, batch * width)
        if state is not None:
            state = state.permute(1, 2, 0, 3).reshape(1, heads, state.shape[2], batch * width)
    outputs = []
    edges = [*range(0, length, chunk), length]
    for first, end in itertools.pairwise(edges):
        n = int(channels[end - 1])
        piece = (..., slice(first, end), slice(n))
        decay = None if log_decay is None else log_decay[..., first:end].cumsum(-1)
        output, state = _chunk(q[piece], k[piece], w[piece], b[piece], v[..., first:end, :], decay, state)
        outputs.append(output)
    o = torch.cat(outputs, dim=-2)
    assert state is not None
    if shared:
        o, state = (x.reshape(heads, -1, batch, width).permute(2, 0, 1, 3) for x in (o, state))
    return o, state


def _chunk(
    q: Tensor, k: Tensor, w: Tensor, b: Tensor, v: Tensor, decay: Tensor | None, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """One chunk; `decay` is ln of the product of a up to each position."""
    written, erased = b.mT, k.mT
    between = since = left = None
    if decay is not None:
        size = decay.shape[-1]
        future = torch.ones(size, size, dtype=torch.bool, device=decay.device).triu(1)
        between = (decay.unsqueeze(-1) - decay.unsqueeze(-2)).masked_fill(future, -torch.inf).exp()
        since, left = decay.exp().unsqueeze(-1), (decay[..., -1:] - decay).exp().unsqueeze(-2)

    def weighted(rows: Tensor, columns: Tensor, diagonal: int) -> Tensor:
        product = (rows @ columns).tril(diagonal)
        return product if between is None else product * between

    read = weighted(w, written, -1) @ v
    if state is not None:
        state = functional.pad(state, (0, 0, 0, q.shape[-1] - state.shape[-2]))
        before = w @ state
        read = read + (before if since is None else since * before)
    y = torch.linalg.solve_triangular(weighted(w, erased, -1), read, upper=False, unitriangular=True)
    output = weighted(q, written, 0) @ v - weighted(q, erased, 0) @ y
    if left is not None:
        written, erased = written * left, erased * left
    after = written @ v - erased @ y
    if state is not None:
        before = q @ state
        output = output + (before if since is None else since * before)
        after = after + (state if since is None else since[..., -1:, :] * state)
    return output, after
