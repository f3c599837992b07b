"""What comes from outside: masks, gaps, shapes, types and sizes that the statistics refuse in one line."""

import math

import numpy as np
import pytest

import l2m

GOOD = [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    "bad",
    [
        np.ma.array(GOOD, mask=[0, 0, 1, 0]),
        [1, 2, None, 8],
        [1, 2, math.nan, 8],
        [1, 2, math.inf, 8],
        ["1", "2", "4", "8"],
        [1, 2, "4", 8],
        [[1, 2], [4, 8]],
        [1, [2, 4], 8],
        np.array(GOOD, dtype=complex),
        np.array(["a"] * 4, dtype=object),
        5.0,
        "1248",
        [1, 2, 10**400, 8],
    ],
)
@pytest.mark.parametrize("argument", ["x", "y", "stderr"])
def test_a_curve_of_anything_else_is_refused(bad: object, argument: str) -> None:
    arguments = {"x": GOOD, "y": [2.0, 3.0, 5.0, 7.0], argument: bad}
    for fit in (l2m.fit_power_law, l2m.fit_logarithm, l2m.compare_curves):
        with pytest.raises(l2m.InputError) as caught:
            fit(**arguments)  # type: ignore[arg-type]
        assert str(caught.value).startswith(f"{argument}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [-1, 2.7, "3", True, 10**11, 2**62, 2**70, None])
def test_bootstraps_are_bounded_before_they_are_allocated(value: object) -> None:
    with pytest.raises(l2m.InputError, match=r"^bootstrap: "):
        l2m.fit_power_law(GOOD, [2, 3, 5, 7], bootstrap=value)  # type: ignore[arg-type]
    if value is not None:
        with pytest.raises(l2m.InputError, match=r"^n: "):
            l2m.fit_power_law(GOOD, [2, 3, 5, 7]).bootstrap(n=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1, 2**64, 1.5, "0", True])
def test_seeds_are_64_bits(value: object) -> None:
    with pytest.raises(l2m.InputError, match=r"^seed: "):
        l2m.fit_power_law(GOOD, [2, 3, 5, 7], seed=value)  # type: ignore[arg-type]
    with pytest.raises(l2m.InputError, match=r"^seed: "):
        l2m.fit_power_law(GOOD, [2, 3, 5, 7.5]).draws(seed=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("points", [4, 5, 6])
def test_few_points_make_no_verdict_on_curves_that_they_cannot_judge(points: int) -> None:
    x = 10.0 ** np.arange(points)
    y = 2 * x * np.exp(0.01 * np.cos(np.arange(points)))
    plain = l2m.compare_curves(x, y).verdict
    assert plain.startswith("There are too few points to compare models: 4.") == (points == 4)
    assert "constant fits better" not in plain
    assert ("points are too few for" in plain) == (points > 4)
    with_offset = l2m.fit_power_law(x, y, offset=True).compare().verdict
    assert ("There are too few points" in with_offset) == (points < 6)


@pytest.mark.parametrize("x", [[1, 1, 2, 2, 4], [1, 1, 2, 2, 2], [1, 1, 1, 4, 4, 4]])
def test_repeated_x_is_compared_without_the_broken_law(x: list[int]) -> None:
    comparison = l2m.compare_curves(x, np.array(x) * (1 + 0.1 * np.sin(np.arange(len(x)))))
    assert "broken power law" not in comparison.models
    assert np.isnan(comparison.slope[np.diff(np.sort(x)) == 0]).all()


@pytest.mark.parametrize(
    "counts",
    [
        np.ma.array([5, 3, 2], mask=[0, 1, 0]),
        [5, None, 2],
        [5, -3, 2],
        [5, 2.5],
        [5, math.nan],
        ["5", "2"],
        [2**63, 1],
        [2**70],
    ],
)
def test_counts_of_anything_else_are_refused(counts: object) -> None:
    for function in (l2m.entropy, l2m.fingerprint, l2m.entropy_table):
        with pytest.raises(l2m.InputError, match=r"^counts: "):
            function(counts)  # type: ignore[operator]


def test_masked_tables_are_refused() -> None:
    masked = np.ma.array([[5, 3], [2, 1]], mask=[[0, 1], [0, 0]])
    with pytest.raises(l2m.InputError, match=r"^table: 1 masked"):
        l2m.joint_entropy(masked)
    with pytest.raises(l2m.InputError, match=r"^q: 1 masked"):
        l2m.jensen_shannon([1, 2, 3, 4], masked.ravel())


@pytest.mark.parametrize("alphabet", [0, -3, 2.5, 2**64, "9"])
def test_alphabets_are_bounded(alphabet: object) -> None:
    with pytest.raises(l2m.InputError, match=r"^alphabet: "):
        l2m.entropy([3, 2], "nsb", alphabet=alphabet)  # type: ignore[arg-type]


def test_what_memory_cannot_hold_is_named_before_it_is_allocated() -> None:
    law = l2m.HierarchicalGaussian(10)
    for call in (lambda: law.sample(2**30, seed=0), lambda: law.tokens(2**30, seed=0), lambda: law.filter(2**31)):
        with pytest.raises(l2m.InputError, match=r"take [\d,]+ bytes .*; expected what memory holds"):
            call()


@pytest.mark.parametrize(
    "bad",
    [
        np.ma.array([1, 2], mask=[0, 1]),
        [1, None],
        [1, math.nan],
        [1.5, 2],
        [0, 1],
        [2, 1],
        [1, 1],
        [1, 2, 3],
        [[1, 2]],
        np.array([1, 2], "M8[s]"),
        "12",
        {1: 2},
        [1, 2**63],
    ],
)
def test_a_fingerprint_holds_counts(bad):
    with pytest.raises(l2m.InputError, match=r"^(counts|symbols): .{1,300}$"):
        l2m.Fingerprint(bad, np.array([3, 1], np.uint64))
    assert l2m.Fingerprint([1, 2], [3, 1]).total == 5


@pytest.mark.parametrize(
    "bad", [[1, None, 2], [1, math.nan, 2], [1, math.inf, 2], [1, 1.5, 2], np.zeros(3, [("a", "i4")]), {0: 1}]
)
def test_blocks_are_of_symbols_that_are_there(bad):
    with pytest.raises(l2m.InputError, match="source"):
        l2m.block_entropies(bad, 2)
    assert l2m.block_entropies([1.0, 2.0, 1.0], 2).block == pytest.approx(l2m.block_entropies("aba", 2).block)


def test_missing_values_of_pandas_are_named():
    pandas = pytest.importorskip("pandas")
    for bad in (pandas.NA, [pandas.NA, 1.0], pandas.Series([pandas.NA, 1], dtype="Int64")):
        with pytest.raises(l2m.InputError, match=r"entry 0 is missing|nan at position 0"):  # as pandas hands it over
            l2m.fit_power_law(bad, bad)


def test_messages_stay_short():
    for bad in (10**5000, list(range(10**5)), "x" * 10**5):
        with pytest.raises(l2m.InputError, match=r"^seed: .{1,150}$"):
            l2m.two_point([1, 2, 3], [1], seed=bad)
    with pytest.raises(l2m.InputError, match=r"^y: .{1,150}$"):
        l2m.fit_power_law(GOOD, dict(enumerate(range(10**5))))
