"""Equivalent state: the frontier of constant states, read backwards."""

import math
import pickle
from itertools import pairwise

import numpy as np
import pytest

import l2m
from l2m.errors import InputError


@pytest.mark.parametrize(("layers", "children"), [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3), (4, 2)])
def test_the_frontier_of_r_numbers_is_worth_r(layers: int, children: int) -> None:
    law = l2m.HierarchicalGaussian(layers, children)
    frontier = [law.frontier(r).mean_kl for r in range(int(law.smallest_state().max()) + 1)]
    exact = 0
    for r, kl in enumerate(frontier):
        if kl > 1e-9 and all(lower < kl for lower in frontier[r + 1 :]) and all(higher > kl for higher in frontier[:r]):
            assert law.equivalent_state(kl) == r
            exact += 1
        elif kl > 1e-9:
            # Greedy is not always better with more: once here, 7 and 8 numbers at L = 256 with two children.
            assert (layers, children, r) in {(4, 2, 7), (4, 2, 8)}
            assert law.equivalent_state(kl) == pytest.approx(r, abs=1.2)
    assert exact >= len(frontier) - 4


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("children", [1, 2, 3])
def test_from_no_state_to_all_of_it(layers: int, children: int) -> None:
    law = l2m.HierarchicalGaussian(layers, children)
    none = law.frontier(0).mean_kl
    assert none == pytest.approx(-np.log(law.conditional_std).mean(), abs=1e-12)
    assert law.equivalent_state(none) == law.equivalent_state(2 * none) == law.equivalent_state(1e9) == 0
    full = law.smallest_state().max()
    assert law.equivalent_state(0) == law.equivalent_state(1e-13) == full
    values = [law.equivalent_state(kl) for kl in np.geomspace(1e-12, none, 60)]
    assert all(more >= fewer for more, fewer in pairwise(values))
    assert full >= values[0] > full - 1
    assert values[-1] == pytest.approx(0, abs=1e-9)


def test_between_whole_numbers_the_kl_is_linear() -> None:
    law = l2m.HierarchicalGaussian(3)
    above, below = law.frontier(6).mean_kl, law.frontier(7).mean_kl
    assert law.equivalent_state(0.75 * above + 0.25 * below) == pytest.approx(6.25)
    use = law.state_use(6.25, 0.75 * above + 0.25 * below)
    assert use.frontier_kl == pytest.approx(0.75 * above + 0.25 * below)
    assert use.share == pytest.approx(1)
    assert use.missed == pytest.approx(0, abs=1e-12)


def test_a_kl_is_split_into_what_the_size_forces_and_the_rest() -> None:
    law = l2m.HierarchicalGaussian(3)
    use = law.state_use(8, 0.06)
    assert use.frontier_kl == law.frontier(8).mean_kl
    assert use.frontier_kl + use.missed == pytest.approx(0.06)
    assert 5 < use.equivalent < 6
    assert use.share == use.equivalent / 8
    assert use.useful == use.numbers == 8
    lower = law.state_use(8, law.frontier(9).mean_kl)
    assert lower.share == 9 / 8
    assert lower.missed < 0
    assert " at the frontier - " in lower.explain()


def test_numbers_beyond_what_the_law_needs_are_no_use() -> None:
    law = l2m.HierarchicalGaussian(3)
    use = law.state_use(512, 0)
    assert (use.useful, use.equivalent, use.share, use.frontier_kl) == (16, 16, 1, pytest.approx(0, abs=1e-12))
    # Whichever is asked first.
    fresh = l2m.HierarchicalGaussian(3)
    assert fresh.equivalent_state(0.01) == law.equivalent_state(0.01)
    assert fresh.state_use(512, 0.01).useful == 16
    nothing = law.state_use(0, 1.0)
    assert math.isnan(nothing.share)
    assert nothing.frontier_kl == law.frontier(0).mean_kl


def test_at_most_eleven_frontiers(monkeypatch: pytest.MonkeyPatch) -> None:
    from l2m.truth import equivalent

    asked: list[int] = []
    frontier = equivalent.frontier

    def counted(law: l2m.HierarchicalGaussian, state: int) -> l2m.MemoryFrontier:
        asked.append(state)
        return frontier(law, state)

    monkeypatch.setattr(equivalent, "frontier", counted)
    for kl in (0.2, 0.1, 0.01, 1e-3, 1e-5, 0):
        law = l2m.HierarchicalGaussian(4)
        asked.clear()
        first = law.equivalent_state(kl)
        assert len(asked) <= 11
        assert len(set(asked)) == len(asked)
        asked.clear()
        assert law.equivalent_state(kl) == first
        assert not asked


def test_a_law_that_was_asked_can_be_sent_to_another_process() -> None:
    law = l2m.HierarchicalGaussian(2)
    assert pickle.loads(pickle.dumps(law)).equivalent_state(0.05) == law.equivalent_state(0.05)


def test_the_record_comes_back_in_either_unit(tmp_path) -> None:  # type: ignore[no-untyped-def]
    use = l2m.HierarchicalGaussian(2).state_use(2, 0.1)
    use.save(tmp_path / "use.json")
    back = l2m.load(tmp_path / "use.json")
    assert (back.equivalent, back.share, back.missed) == (use.equivalent, use.share, use.missed)
    assert dict(back.settings) == {
        "name": "hierarchical Gaussian",
        "layers": 2,
        "children": (3,),
        "boundary": "weighted",
    }
    bits = use.to("bits")
    assert bits.missed == pytest.approx(use.missed / math.log(2))
    assert bits.share == use.share
    assert " bits " in bits.explain()


@pytest.mark.parametrize("kl", [-1e-9, math.nan, math.inf, "0.1", True, None])
def test_what_is_no_kl_is_named(kl: object) -> None:
    law = l2m.HierarchicalGaussian(2)
    with pytest.raises(InputError, match=r"^kl: "):
        law.equivalent_state(kl)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^kl: "):
        law.state_use(2, kl)  # type: ignore[arg-type]


@pytest.mark.parametrize("numbers", [-1, math.nan, math.inf, "8"])
def test_what_is_no_state_is_named(numbers: object) -> None:
    with pytest.raises(InputError, match=r"^numbers: "):
        l2m.HierarchicalGaussian(2).state_use(numbers, 0.1)  # type: ignore[arg-type]


def test_a_law_too_long_is_refused() -> None:
    with pytest.raises(InputError, match="4,096"):
        l2m.HierarchicalGaussian(7).equivalent_state(0.1)
