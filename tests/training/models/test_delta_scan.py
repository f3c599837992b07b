"""The rank-one recurrence over growing channels against the plain loop, gradients included."""

import pytest
import torch
from torch import Tensor

from l2m.base.growth import Growth
from l2m.training.models.delta_scan import delta_scan

HEADS, LENGTH, WIDTH = 2, 13, 3


def plain(
    q: Tensor, k: Tensor, w: Tensor, b: Tensor, v: Tensor, log_decay: Tensor | None, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The definition, one position and one sequence after another, over all channels whether open or not."""
    batch, heads, length, width = v.shape
    outputs, states = [], []
    for sequence in range(batch):
        of = [x[sequence if x.shape[0] > 1 else 0] for x in (q, k, w, b)]
        S = torch.zeros(heads, q.shape[-1], width, dtype=v.dtype)
        if state is not None:
            S = torch.cat([state[sequence], S[:, state.shape[2] :]], 1)
        rows = []
        for t in range(length):
            qt, kt, wt, bt = (x[:, t] for x in of)
            if log_decay is not None:
                decay = log_decay[sequence if log_decay.shape[0] > 1 else 0]
                S = S * decay[:, t].exp()[:, None, None]
            y = (wt.unsqueeze(-1) * S).sum(1)
            S = S - kt.unsqueeze(-1) * y.unsqueeze(1) + bt.unsqueeze(-1) * v[sequence, :, t].unsqueeze(1)
            rows.append((qt.unsqueeze(-1) * S).sum(1))
        outputs.append(torch.stack(rows, 1))
        states.append(S)
    return torch.stack(outputs), torch.stack(states)


def drawn(growth: str, *, shared: bool, decays: bool, starts: int) -> tuple[list[int], dict[str, Tensor]]:
    """Channels after each position, and the arguments of the scan, to be masked where a channel is not open."""
    channels = [int(n) for n in Growth.read(growth).at(range(1 + starts, LENGTH + 1 + starts))]
    generator = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    addresses = {name: 0.5 * normal(1 if shared else 3, HEADS, LENGTH, channels[-1]) for name in "qkwb"}
    given = {**addresses, "v": normal(3, HEADS, LENGTH, WIDTH)}
    if decays:
        given["log_decay"] = -normal(1 if shared else 3, HEADS, LENGTH).abs()
    if starts:
        given["state"] = normal(3, HEADS, int(Growth.read(growth).at(starts)), WIDTH)
    return channels, {name: value.requires_grad_() for name, value in given.items()}


@pytest.mark.parametrize("growth", ["4", "log:1.5", "power:0.5:1.3", "power:1:1"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("decays", [False, True])
@pytest.mark.parametrize(("starts", "chunk"), [(0, 128), (0, 4), (5, 5), (5, 1)])
def test_the_scan_is_the_plain_loop(growth: str, shared: bool, decays: bool, starts: int, chunk: int) -> None:
    channels, given = drawn(growth, shared=shared, decays=decays, starts=starts)
    opened = torch.arange(channels[-1]) < torch.tensor(channels)[:, None]
    masked = {name: value * opened if name in "qkwb" else value for name, value in given.items()}
    o, state = delta_scan(**masked, channels=channels, chunk=chunk)
    assert state.shape == (3, HEADS, channels[-1], WIDTH)
    expected, last = plain(*(masked[name] for name in "qkwbv"), given.get("log_decay"), given.get("state"))
    # Float64 and sums of a few hundred terms.
    torch.testing.assert_close(o, expected, rtol=0, atol=1e-10 * float(expected.detach().abs().max()))
    torch.testing.assert_close(state, last, rtol=0, atol=1e-10 * float(last.detach().abs().max()))
    weights = torch.randn(o.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs = list(given.values())
    found = torch.autograd.grad((o * weights).sum() + state.square().sum(), inputs, retain_graph=True)
    wanted = torch.autograd.grad((expected * weights).sum() + last.square().sum(), inputs)
    for name, mine, its in zip(given, found, wanted, strict=True):
        scale = float(its.abs().max())
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-9 * scale, msg=lambda text, name=name: f"{name}: {text}")


def test_a_cache_keeps_what_was_read() -> None:
    """n(t) = t, and each value is written into a channel of its own: the state is the sequence."""
    one = torch.eye(LENGTH, dtype=torch.float64)[None, None]
    nothing, v = torch.zeros_like(one), torch.randn(2, 1, LENGTH, WIDTH, dtype=torch.float64)
    o, state = delta_scan(one, nothing, nothing, one, v, channels=range(1, LENGTH + 1), chunk=3)
    assert torch.equal(state, v)
    assert torch.equal(o, v)
    assert state.numel() == v.numel()


def test_a_system_of_128_positions_in_float32() -> None:
    """Unit keys written with strength 1, the gated delta rule at its stiffest, without decay."""
    generator = torch.Generator().manual_seed(3)
    k = torch.nn.functional.normalize(torch.randn(1, 1, 256, 8, generator=generator, dtype=torch.float64), dim=-1)
    v = torch.randn(1, 1, 256, 4, generator=generator, dtype=torch.float64)
    channels = [8] * 256
    exact = plain(k, k, k, k, v, None, None)[0]
    single = delta_scan(*(x.float() for x in (k, k, k, k, v)), channels=channels)[0]
    # The step projects on the rest of the space: what was stored never grows. 2^-23 over a path of 256 steps.
    assert float((single - exact).abs().max()) < 256 * 2**-23 * float(exact.abs().max())
