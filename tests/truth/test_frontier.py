"""The frontier against explicit covariances, its own bound, samples, and the cases where the answer is known."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m
from l2m.truth.frontier import FORMS, allowed_numbers

FAMILIES = [1, 2, 3]


def explicit(law: l2m.HierarchicalGaussian, allowed: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], bool]:
    """The same truncation on the state as a matrix over the past: dense covariances, canonical correlations by SVD.

    Returns KL by position; for each position, the state A of the values before it (state = A z); and whether two correlations
    tied, one kept and the other dropped: then either choice is right.
    """
    covariance, length = law.covariance(), law.length
    kl, states, tied = [], [], False
    A = np.zeros((0, 0))
    for t in range(length):
        states.append(A)
        inner = A @ covariance[:t, :t] @ A.T
        cross = A @ covariance[:t, t]
        given_state = covariance[t, t] - (cross @ np.linalg.solve(inner, cross) if len(A) else 0)
        kl.append(0.5 * np.log(given_state / law.conditional_std[t] ** 2))
        wide = np.block([[A, np.zeros((len(A), 1))], [np.zeros((1, t)), np.ones((1, 1))]])
        if t + 1 == length:
            break
        own = np.linalg.cholesky(wide @ covariance[: t + 1, : t + 1] @ wide.T)
        future = np.linalg.cholesky(covariance[t + 1 :, t + 1 :])
        between = np.linalg.solve(future, (wide @ covariance[: t + 1, t + 1 :]).T)
        left, rho, _ = np.linalg.svd(np.linalg.solve(own, between.T))
        rho = np.pad(rho, (0, len(wide) - rho.size))
        keep = min(int(allowed[t]), int((rho**2 > 1e-12).sum()))
        tied |= 0 < keep < len(rho) and rho[keep] > 1e-6 and rho[keep - 1] - rho[keep] < 1e-7
        A = left[:, :keep].T @ np.linalg.solve(own, wide)
    return np.array(kl), states, tied


STATES = [0, 1, 2, 3, 5, "log:2", "power:beta:0.6"]


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("children", FAMILIES)
def test_against_explicit_covariances(layers: int, children: int) -> None:
    law = l2m.HierarchicalGaussian(layers, children)
    for state in STATES:
        kl, _, tied = explicit(law, allowed_numbers(state, law)[0])
        if tied:  # the two choices differ by up to 1.1 % (L = 16, three children)
            assert law.frontier(state).mean_kl == pytest.approx(kl.mean(), rel=0.02)
        else:
            np.testing.assert_allclose(law.frontier(state).kl, kl, rtol=0, atol=1e-10)


def test_most_of_these_comparisons_are_exact() -> None:
    ties = {
        (layers, children): sum(explicit(law, allowed_numbers(state, law)[0])[2] for state in STATES)
        for layers in (2, 3)
        for children in FAMILIES
        for law in [l2m.HierarchicalGaussian(layers, children)]
    }
    assert all(count < len(STATES) - 1 for count in ties.values()), ties


@pytest.mark.parametrize("children", FAMILIES)
def test_no_state_loses_all_and_the_smallest_state_loses_nothing(children: int) -> None:
    law = l2m.HierarchicalGaussian(3, children)
    nothing = law.frontier(0)
    np.testing.assert_allclose(nothing.kl, -np.log(law.conditional_std), rtol=0, atol=1e-14)
    assert nothing.ratio == np.inf
    smallest = law.smallest_state()
    assert abs(law.frontier(smallest).kl).max() < 1e-12
    assert abs(law.frontier(10**6).kl).max() < 1e-12
    most = int(smallest.max())
    assert law.frontier(most).mean_kl < 1e-12
    assert law.frontier(most - 1).mean_kl > 1e-7
    np.testing.assert_array_equal(law.frontier(most).numbers, smallest)
    assert law.frontier(most).captured == pytest.approx(law.bipartite_information(), abs=1e-10)


def test_the_smallest_state_grows_as_the_information_does() -> None:
    """4, 10, 22, 46 for two children and 5, 16, 49 for three: doubled and tripled from one length to the next."""
    for children, expected in ((2, [4, 10, 22]), (3, [5, 16, 49])):
        assert [l2m.HierarchicalGaussian(k, children).smallest_state().max() for k in (2, 3, 4)] == expected


@given(st.integers(2, 3), st.integers(1, 3), st.integers(0, 12))
@settings(max_examples=25)
def test_more_numbers_are_never_worse_than_the_bound_of_fewer(layers: int, children: int, r: int) -> None:
    law = l2m.HierarchicalGaussian(layers, children)
    here, more = law.frontier(r, bound=True), law.frontier(r + 1, bound=True)
    assert here.bound is not None
    assert more.bound is not None
    assert -1e-12 <= more.bound <= here.bound + 1e-12
    assert here.bound <= here.mean_kl + 1e-12
    assert more.mean_kl <= here.mean_kl + 1e-12


@pytest.mark.parametrize(
    ("layers", "children", "r", "bound", "refined", "greedy"),
    [(2, 2, 1, 0.0412, 0.0449, 0.0480), (2, 3, 3, 0.0148, 0.0221, 0.0310), (3, 3, 4, 0.0432, 0.0594, 0.0829)],
)
def test_known_values(layers: int, children: int, r: int, bound: float, refined: float, greedy: float) -> None:
    law = l2m.HierarchicalGaussian(layers, children)
    found = law.frontier(r, bound=True)
    assert found.mean_kl == pytest.approx(greedy, rel=0.01)
    assert found.bound == pytest.approx(bound, rel=0.01)
    better = law.frontier(r, refine=40 if layers == 2 else 8)
    assert found.bound <= better.mean_kl < found.mean_kl
    assert better.mean_kl > 0.8 * refined
    np.testing.assert_allclose(better.kl, law.frontier(r, refine=40 if layers == 2 else 8).kl)


@pytest.mark.parametrize(
    ("state", "length_64", "length_256"),
    [(8, 0.042, 0.092), ("log:4", 0.0001, 0.047), ("power:0.4:1.5", 0.055, 0.076), ("power:beta:0.75", 0.030, 0.032)],
)
def test_the_rate_at_which_a_state_grows_decides(state: Any, length_64: float, length_256: float) -> None:
    """At a rate of t^beta the KL is the same at both lengths; below it, it grows."""
    values = [l2m.HierarchicalGaussian(k, 3).frontier(state).mean_kl for k in (3, 4)]
    assert values == pytest.approx([length_64, length_256], abs=5.1e-4)


def test_samples_through_the_recurrence_lose_what_the_frontier_says() -> None:
    """NLL of the predictions of the truncated state on samples, against the law's own, within 4 standard errors."""
    law = l2m.HierarchicalGaussian(3, [2, 3])
    allowed, _ = allowed_numbers(4, law)
    kl, states, _ = explicit(law, allowed)
    covariance, n = law.covariance(), 4000
    z, mean = law.sample(n, seed=1)
    excess = np.zeros((n, law.length))
    for t, A in enumerate(states):
        cross = A @ covariance[:t, t]
        weights = np.linalg.solve(A @ covariance[:t, :t] @ A.T, cross) if len(A) else np.zeros(0)
        predicted = z[:, :t] @ A.T @ weights
        given_state, exact = 1 - cross @ weights, law.conditional_std[t] ** 2
        excess[:, t] = 0.5 * (
            np.log(given_state / exact) + (z[:, t] - predicted) ** 2 / given_state - (z[:, t] - mean[:, t]) ** 2 / exact
        )
    per_sequence = excess.mean(axis=1)
    assert abs(per_sequence.mean() - kl.mean()) < 4 * per_sequence.std() / np.sqrt(n)


def test_every_way_to_name_a_state() -> None:
    law = l2m.HierarchicalGaussian(2, 3)
    seven = law.frontier(7).kl
    for state in ("7", np.full(16, 7), [7] * 16, lambda t: 7, lambda t: 6.2, np.int8(7)):
        np.testing.assert_array_equal(law.frontier(state).kl, seven)
    beta = law.frontier("power:beta:1.25")
    np.testing.assert_array_equal(beta.kl, law.frontier(f"power:{law.nominal_exponent}:1.25").kl)
    assert (law.frontier("log:4").allowed[:3] == [3, 5, 6]).all()


@pytest.mark.parametrize(
    "state", [-1, 2.5, "7.5", "-3", "log", "log:x", "log:-1", "log:1:2", "power:1", "power:nan:1", "power:0.5:inf", "root:2", "",
              [1] * 15, [[1] * 16], [1.5] * 16, [-1] * 16, None, True, lambda t: -1, lambda t: "x", lambda t: float("nan")]
)  # fmt: skip
def test_what_is_no_state_is_one_line(state: Any) -> None:
    with pytest.raises(l2m.InputError, match=r"^state"):
        l2m.HierarchicalGaussian(2, 3).frontier(state)


def test_a_growth_that_cannot_be_read_says_the_forms() -> None:
    with pytest.raises(l2m.InputError) as error:
        l2m.HierarchicalGaussian(2, 3).frontier("cubic:2")
    assert FORMS in str(error.value)


@pytest.mark.parametrize("options", [{"refine": -1}, {"refine": 2.5}, {"seed": -1}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(l2m.InputError, match=next(iter(options))):
        l2m.HierarchicalGaussian(2, 3).frontier(2, **options)


def test_a_length_beyond_memory_says_the_bytes() -> None:
    with pytest.raises(l2m.InputError, match=r"16,384 values; .* 4 GiB; expected at most 4,096"):
        l2m.HierarchicalGaussian(7, 3).frontier(4)


def test_the_record_is_kept(tmp_path: Path) -> None:
    found = l2m.HierarchicalGaussian(2, 3).frontier("log:1", bound=True)
    found.save(tmp_path / "frontier.json")
    again = l2m.load(tmp_path / "frontier.json")
    assert isinstance(again, l2m.MemoryFrontier)
    np.testing.assert_array_equal(again.kl, found.kl)
    assert again.bound == found.bound
    bits = found.to("bits")
    assert bits.mean_kl == pytest.approx(found.mean_kl / np.log(2))
    assert bits.ratio == pytest.approx(found.ratio / np.log(2))
    assert list(found.to_frame().columns) == ["position", "kl", "allowed", "numbers"]
    assert "log:1" in repr(found)
    found.plot().figure.savefig(tmp_path / "frontier.png")


def test_a_length_of_1024_takes_seconds() -> None:
    """1 s on a quiet core; bounded far above, to find a change of order and not a busy machine."""
    law = l2m.HierarchicalGaussian(5, 3)
    start = time.process_time()
    law.frontier(64)
    assert time.process_time() - start < 6
