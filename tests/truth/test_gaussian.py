"""The hierarchical Gaussian language against dense linear algebra and closed forms."""

import math
import pickle
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from l2m import HierarchicalGaussian, InputError

Floats = NDArray[np.float64]
BOUNDARIES = ("weighted", "printed")
# Families up to L = 1024; order matters in the mixed ones.
FAMILIES = [(), (3,), (1,), (2,), (3, 3, 3), (1, 1, 1), (2, 2, 2), (1, 2, 3), (3, 1, 2, 2), (3, 3, 3, 3)]
# float64 rounding through at most 5 layers, each of condition number sqrt(5): 2e-16 * 56, with room for sums of L terms.
ROUNDING = 1e-12


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Several BLAS threads spin against each other on small matrices: five times the processor time here."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield


@cache
def dense_covariance(children: tuple[int, ...], boundary: str = "weighted") -> Floats:
    """The construction as the paper states it, on covariance matrices: O(L^2) memory, slow and obvious."""
    g, r = math.sqrt(5) / 4, 1 / 4
    m = np.array([[g, g, g, r], [-g, g, -g, r], [-g, -g, g, r], [g, -g, -g, r]])
    covariance = m @ m.T
    for copies in children:
        n = len(covariance)
        # Cov(Y_ia, Y_kb): columns that are copies, and columns of fresh noise.
        y = np.kron(covariance, m[:, :copies] @ m[:, :copies].T) + np.kron(np.eye(n), m[:, copies:] @ m[:, copies:].T)
        before = y.copy()
        for a in range(3, 4 * n - 1, 4):
            b, old = a + 1, before[a, a + 1]
            new = 2 / 5 * (before[a - 1, a] + before[b, b + 1]) + (1 / 5 * old if boundary == "weighted" else 1 / 5)
            total, difference = math.sqrt((1 + new) / (1 + old)), math.sqrt((1 - new) / (1 - old))  # p + q, p - q
            p, q = (total + difference) / 2, (total - difference) / 2
            y[a], y[b] = p * y[a] + q * y[b], q * y[a] + p * y[b]
            y[:, a], y[:, b] = p * y[:, a] + q * y[:, b], q * y[:, a] + p * y[:, b]
        covariance = y
    return covariance


@cache
def dense_factor(children: tuple[int, ...], boundary: str = "weighted") -> Floats:
    return np.linalg.cholesky(dense_covariance(children, boundary))


def dense_means(children: tuple[int, ...], boundary: str, z: Floats) -> Floats:
    """z minus its innovations, by solving with the Cholesky factor."""
    factor = dense_factor(children, boundary)
    return z - solve_triangular(factor, z.T, lower=True).T * np.diag(factor)


def dense_information(covariance: Floats, factor: Floats) -> Floats:
    """I(l; L) for l = 0..L by log-determinants of all prefixes and all suffixes: sums over two Cholesky factors."""
    reverse = np.linalg.cholesky(covariance[::-1, ::-1])
    before, after = (np.r_[0, np.cumsum(np.log(np.diag(matrix)))] for matrix in (factor, reverse))
    return before + after[::-1] - before[-1]


def log_determinant(matrix: Floats) -> float:
    return float(np.linalg.slogdet(matrix)[1])


def law_of(children: tuple[int, ...], boundary: str = "weighted") -> HierarchicalGaussian:
    return HierarchicalGaussian(len(children) + 1, children, boundary=boundary)


# --- the law ---


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("children", FAMILIES)
def test_law_equals_dense_algebra(children: tuple[int, ...], boundary: str) -> None:
    law, covariance, factor = (f(children, boundary) for f in (law_of, dense_covariance, dense_factor))
    length = law.length
    np.testing.assert_allclose(law.covariance(), covariance, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(law.conditional_std, np.diag(factor), rtol=0, atol=ROUNDING)
    expected = dense_information(covariance, factor)
    np.testing.assert_allclose(law.bipartite_information(range(length + 1)), expected, rtol=0, atol=1e-10)
    assert law.bipartite_information() == pytest.approx(law.bipartite_information(length // 2), abs=1e-10)


@pytest.mark.parametrize("children", [(3,) * 5, (1,) * 5, (2,) * 5, (1, 3, 2, 3, 1)])
def test_length_4096_to_1e_10(children: tuple[int, ...]) -> None:
    covariance = dense_covariance.__wrapped__(children)
    law, factor = law_of(children), np.linalg.cholesky(covariance)
    np.testing.assert_allclose(law.conditional_std, np.diag(factor), rtol=0, atol=1e-10)
    z, mean = law.sample(3, seed=5)
    expected = z - solve_triangular(factor, z.T, lower=True).T * np.diag(factor)
    np.testing.assert_allclose(mean, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(law.conditional_mean(z), expected, rtol=0, atol=1e-10)
    information = law.bipartite_information(range(law.length + 1))
    np.testing.assert_allclose(information, dense_information(covariance, factor), rtol=0, atol=1e-10)
    i, j = np.random.default_rng(0).integers(0, law.length, (2, 20_000))
    np.testing.assert_allclose(law.correlation(i, j), covariance[i, j], rtol=0, atol=1e-10)


def test_published_check_values() -> None:
    assert HierarchicalGaussian(2).bipartite_information() == pytest.approx(0.9013125395, abs=1e-10)
    assert HierarchicalGaussian(5).bipartite_information() == pytest.approx(24.68, abs=0.005)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 3), max_size=3), st.sampled_from(BOUNDARIES), st.integers(0, 2**64 - 1))
def test_reversal_symmetry(entries: list[int], boundary: str, seed: int) -> None:
    law = law_of(tuple(entries), boundary)
    covariance = law.covariance()
    np.testing.assert_allclose(covariance, covariance[::-1, ::-1], rtol=0, atol=ROUNDING)
    splits = np.arange(law.length + 1)
    information = law.bipartite_information(splits)
    np.testing.assert_allclose(information, information[::-1], rtol=0, atol=ROUNDING)
    z, _ = law.sample(2, seed=seed)
    np.testing.assert_allclose(law.log_density(z), law.log_density(z[:, ::-1]), rtol=1e-12)


def test_entropies_add_up_to_the_joint_entropy() -> None:
    law = law_of((1, 2, 3))
    joint = (law.length * math.log(2 * math.pi * math.e) + log_determinant(dense_covariance((1, 2, 3)))) / 2
    assert law.entropy().sum() == pytest.approx(joint, abs=1e-10)


# --- sequences ---


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("children", FAMILIES)
def test_conditional_means_equal_dense_regression(children: tuple[int, ...], boundary: str) -> None:
    law = law_of(children, boundary)
    z, mean = law.sample(5, seed=1)
    expected = dense_means(children, boundary, z)
    np.testing.assert_allclose(mean, expected, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(law.conditional_mean(z), expected, rtol=0, atol=ROUNDING)
    reader = law.filter(5)
    stepped = np.stack([reader.step(z[:, t]) for t in range(law.length)], axis=1)
    np.testing.assert_allclose(stepped, expected, rtol=0, atol=ROUNDING)
    covariance = dense_covariance(children, boundary)
    quadratic = (z * np.linalg.solve(covariance, z.T).T).sum(1)
    density = -0.5 * (quadratic + log_determinant(covariance) + law.length * math.log(2 * math.pi))
    np.testing.assert_allclose(law.log_density(z), density, rtol=1e-10)


def test_sample_follows_the_law() -> None:
    """Innovations by dense algebra are iid N(0, 1). Each statement fails for 1 seed in 10^6; the seed is fixed."""
    from scipy import stats

    law, n = law_of((3, 1)), 20_000
    z, _ = law.sample(n, seed=11)
    innovations = np.linalg.solve(dense_factor((3, 1)), z.T).T
    length = law.length
    assert n * (innovations.mean(0) ** 2).sum() < stats.chi2.isf(1e-6, length)
    scatter = innovations.T @ innovations / n
    # Likelihood ratio of "covariance is the identity", chi-squared with L (L + 1) / 2 degrees (n / L = 312).
    ratio = n * (np.trace(scatter) - log_determinant(scatter) - length)
    assert stats.chi2.isf(1 - 1e-6, length * (length + 1) // 2) < ratio
    assert ratio < stats.chi2.isf(1e-6, length * (length + 1) // 2)
    assert stats.kstest(innovations.ravel(), "norm").pvalue > 1e-6


def test_one_seed_one_answer() -> None:
    law = HierarchicalGaussian(5)
    z, mean = law.sample(21, seed=9, threads=1)  # above the size from which threads are used
    for other in (law.sample(21, seed=9, threads=2), law.sample(21, seed=9)):
        np.testing.assert_array_equal(other, (z, mean))
    for first, n in [(0, 1), (3, 2), (4, 4), (5, 7), (20, 1)]:
        part = law.sample(n, seed=9, first=first)
        np.testing.assert_array_equal(part, (z[first : first + n], mean[first : first + n]))
    assert not (law.sample(1, seed=10)[0] == z[0]).any()
    single = law.sample(21, seed=9, dtype=np.float32)
    np.testing.assert_array_equal(single, (z.astype(np.float32), mean.astype(np.float32)))


def test_a_known_sample_stays_the_same_on_every_machine() -> None:
    z, mean = HierarchicalGaussian(2).sample(1, seed=0)
    known = ["-0x1.6fd580994ffedp-3", "-0x1.edbbe754c7ffap-3", "0x1.cfd640e10f91cp-4"]
    assert [float(value).hex() for value in (z[0, 0], z[0, 15], mean[0, 15])] == known


def test_conditional_means_do_not_depend_on_company() -> None:
    law = HierarchicalGaussian(5)
    z, _ = law.sample(19, seed=2)
    order = np.random.default_rng(0).permutation(19)
    together = law.conditional_mean(z, threads=2)
    np.testing.assert_array_equal(law.conditional_mean(z[order], threads=1), together[order])
    np.testing.assert_array_equal(law.conditional_mean(z[7]), together[7])
    np.testing.assert_array_equal(law.conditional_mean(z.reshape(19, 1, -1))[:, 0], together)
    np.testing.assert_array_equal(law.conditional_mean(np.asfortranarray(z)), together)
    single = z.astype(np.float32)
    assert law.conditional_mean(single).dtype == np.float32
    np.testing.assert_allclose(
        law.conditional_mean(single), together, atol=1e-5
    )  # float32 rounding of z, of order 1e-7


def test_tokens_are_the_sampled_sequences_side_by_side() -> None:
    law = HierarchicalGaussian(4)
    tokens, mean = law.tokens(3, channels=6, seed=4, dtype=np.float64, first=10)
    z, expected = law.sample(18, seed=4, first=10)
    assert tokens.shape == (3, 257, 6)
    assert (tokens[:, 0] == 0).all()
    np.testing.assert_array_equal(tokens[:, 1:], z.reshape(3, 6, 256).transpose(0, 2, 1))
    np.testing.assert_array_equal(mean, expected.reshape(3, 6, 256).transpose(0, 2, 1))


def test_filter_tells_the_next_value_and_copies() -> None:
    law = HierarchicalGaussian(3, 2)
    z, mean = law.sample(1, seed=3)
    reader = law.filter()
    for t in range(40):
        assert reader.position == t
        assert reader.mean == pytest.approx(mean[0, t], abs=ROUNDING)
        assert reader.std == law.conditional_std[t]
        reader.step(z[0, t])
    branch = reader.copy()
    branch.step(0.0)
    assert (branch.position, reader.position) == (41, 40)
    for t in range(40, 64):
        assert reader.step(z[0, t]) == pytest.approx(mean[0, t], abs=ROUNDING)
    assert (reader.mean, reader.std) == (None, None)
    with pytest.raises(InputError, match="value 65"):
        reader.step(0.0)


# --- KL ---


def test_kl_is_the_closed_form_and_zero_at_the_truth() -> None:
    law = HierarchicalGaussian(3)
    _, truth = law.sample(4, seed=0)
    rng = np.random.default_rng(1)
    mean, std = truth + rng.normal(size=truth.shape), np.exp(rng.normal(size=truth.shape))
    s = law.conditional_std
    expected = np.log(std / s) + (s**2 + (truth - mean) ** 2) / (2 * std**2) - 0.5
    np.testing.assert_allclose(law.kl(mean, std, conditional_mean=truth), expected, rtol=1e-12, atol=1e-12)
    assert (law.kl(truth, s, conditional_mean=truth) == 0).all()
    # Nearly right deviations: second order, (delta / s)^2, and not lost to rounding.
    nearly = law.kl(truth, s * (1 + 1e-6), conditional_mean=truth)
    np.testing.assert_allclose(nearly, 1e-12, rtol=1e-4)
    # Ignoring the past costs the information in it: E KL of q = N(0, 1), summed, is half the sum of -log s^2.
    z, truth = law.sample(4000, seed=1)
    ignorance = law.kl(np.zeros(64), 1.0, conditional_mean=truth).sum(1)
    error = ignorance.std() / math.sqrt(len(z))
    assert abs(ignorance.mean() + np.log(s).sum()) < 5 * error  # fails for 1 seed in 2 million


# --- truth for estimators ---


@pytest.mark.parametrize("window", [(0, 256), (0, 100), (100, 256), (64, 128), (3, 9), (255, 256)])
def test_densities_of_windows_are_marginal(window: tuple[int, int]) -> None:
    from scipy.stats import multivariate_normal

    start, stop = window
    law, covariance = law_of((1, 3, 2)), dense_covariance((1, 3, 2))[start:stop, start:stop]
    z = law.sample(4, seed=6)[0][:, start:stop]
    expected = multivariate_normal(np.zeros(stop - start), covariance).logpdf(z)
    np.testing.assert_allclose(law.log_density(z, start=start), expected, rtol=0, atol=1e-10)
    conditionals = law.log_conditionals(z, start=start)
    np.testing.assert_allclose(conditionals.sum(1), expected, rtol=0, atol=1e-10)
    half = (stop - start + 1) // 2  # a shorter window is a prefix
    np.testing.assert_allclose(conditionals[:, :half], law.log_conditionals(z[:, :half], start=start), atol=1e-10)


def test_pointwise_information_is_the_log_ratio_and_averages_to_the_truth() -> None:
    law, n = law_of((3, 1)), 20_000
    z, _ = law.sample(n, seed=1)
    pointwise = law.pointwise_information(z)
    for split in (1, 5, 32, 63):
        x, y = law.log_density(z[:9, :split], start=0), law.log_density(z[:9, split:], start=split)
        np.testing.assert_allclose(pointwise[:9, split], law.log_density(z[:9]) - x - y, atol=1e-10)
    assert (pointwise[:, [0, -1]] == 0).all()
    error = pointwise.std(0) / math.sqrt(n)
    truth = law.bipartite_information(range(law.length + 1))
    # 63 splits, strongly dependent; 5 standard errors are passed by 1 seed in 25,000 at most.
    assert (np.abs(pointwise.mean(0) - truth) <= 5 * error + 1e-12).all()


def test_vclub_closed_form() -> None:
    assert HierarchicalGaussian(2).vclub() == pytest.approx(2.4451, abs=5e-5)
    assert HierarchicalGaussian(5).vclub() == pytest.approx(66.99, abs=5e-3)
    law, covariance = law_of((2, 3)), dense_covariance((2, 3))
    for split in (1, 7, 32, 60):
        independent = covariance.copy()
        independent[:split, split:] = independent[split:, :split] = 0
        expected = (np.trace(np.linalg.solve(covariance, independent)) - law.length) / 2
        assert law.vclub(split) == pytest.approx(expected, abs=1e-10)
    np.testing.assert_allclose(law.vclub([0, law.length]), 0, atol=1e-10)


def test_bipartite_pipeline_finds_the_truth_at_every_split(tmp_path: Path) -> None:
    """Log-densities through the store and both estimators; X and Y are windows from the start of sequences."""
    import l2m
    from l2m.truth.sources import GaussianSource

    source = GaussianSource(HierarchicalGaussian(3))
    z = source.sample(800, 64, seed=1)
    scores = l2m.score(
        z, source, out=tmp_path / "scores", length=64, ratios=[2], splits=[1, 2, 3, 4, 6, 8, 13, 16, 29, 32]
    )
    for estimator, truth in [("direct", source.bipartite_information), ("vclub", source.vclub)]:
        curve = l2m.bipartite(scores, estimator=estimator)
        expected = [truth(split, 2 * split) for split in curve.split]
        # 20 values, 4.5 standard errors each: 1 seed in 7,000 fails. The largest is within reach of a tenth of the truth.
        assert (np.abs(curve.information - expected) < 4.5 * curve.stderr).all()
        assert curve.stderr[-1] < 0.1 * expected[-1]
    last = l2m.bipartite(scores, splits=[32])  # the whole sequence: float32 storage of 64 log-densities
    np.testing.assert_allclose(last.pointwise[:, 0], source.law.pointwise_information(z)[:, 32], atol=1e-4)


def test_windows_of_a_source_have_dense_truths() -> None:
    from l2m.truth.sources import GaussianSource

    source, covariance = GaussianSource(law_of((1, 3))), dense_covariance((1, 3))
    x, y, both = (log_determinant(covariance[a:b, a:b]) for a, b in ((0, 5), (5, 15), (0, 15)))
    assert source.bipartite_information(5, 15) == pytest.approx((x + y - both) / 2, abs=1e-10)
    assert source.bipartite_information(7, 64) == pytest.approx(source.law.bipartite_information(7), abs=1e-10)
    assert source.vclub(7, 64) == pytest.approx(source.law.vclub(7), abs=1e-10)


# --- exponents and curves ---


@pytest.mark.parametrize(("copies", "beta"), [(2, 0.5), (3, math.log(3) / math.log(4))])
def test_growth_tends_to_the_nominal_exponent(copies: int, beta: float) -> None:
    law = HierarchicalGaussian(10, copies)
    growth = law.growth()
    np.testing.assert_array_equal(growth.length, 4 ** np.arange(1, 11))
    for layers, information in enumerate(growth.information[:5], start=1):
        shorter = HierarchicalGaussian(layers, copies)
        assert information == pytest.approx(shorter.bipartite_information(shorter.length // 2), abs=1e-10)
    assert law.nominal_exponent == pytest.approx(beta, abs=1e-12)
    assert (np.diff(np.abs(growth.local_exponents - beta)) < 0).all()  # ever nearer
    assert growth.local_exponents[-1] == pytest.approx(beta, abs=1e-3)
    assert growth.fitted_exponent == pytest.approx(growth.fit().exponent, abs=1e-9)


def test_one_copy_grows_like_log_and_the_printed_rule_stays_constant() -> None:
    per_layer = np.diff(HierarchicalGaussian(10, 1).growth().information)
    np.testing.assert_allclose(per_layer[3:], per_layer[-1], rtol=1e-2)
    constant = HierarchicalGaussian(10, 1, boundary="printed").growth().information
    np.testing.assert_allclose(constant[1:], constant[1], rtol=0, atol=1e-6)


def test_order_of_children_matters_at_finite_length() -> None:
    law = HierarchicalGaussian(6, [1, 1, 2, 1, 1])
    assert law.nominal_exponent == pytest.approx(0.10, abs=5e-3)
    assert law.fitted_exponent == pytest.approx(0.17, abs=5e-3)
    assert HierarchicalGaussian(6, [2, 1, 1, 1, 1]).fitted_exponent < 0.1


def test_both_pure_families_share_the_two_point_law_between_the_ends() -> None:
    one, two, three = (HierarchicalGaussian(7, copies).growth().end_information for copies in (1, 2, 3))
    np.testing.assert_allclose(one, three, rtol=1e-9)
    assert one[4] == HierarchicalGaussian(5, 1).two_point_information(0, 1023)
    np.testing.assert_allclose(two[1:], 0, atol=1e-30)  # squares of rounding; in layer 1 nothing is copied yet


def test_two_point_averages_over_all_pairs_at_a_distance() -> None:
    law, covariance = law_of((1, 3, 2)), dense_covariance((1, 3, 2))
    curve = law.two_point(range(1, 256))
    diagonals = [np.diag(covariance, d) for d in curve.distance]
    np.testing.assert_allclose(curve.correlation, [r.mean() for r in diagonals], rtol=0, atol=ROUNDING)
    expected = [(-0.5 * np.log1p(-(r**2))).mean() for r in diagonals]
    np.testing.assert_allclose(curve.information, expected, rtol=0, atol=ROUNDING)
    assert law.two_point().distance.tolist() == [1, 2, 4, 8, 16, 32, 64, 128]
    assert law.two_point_information(7, [7, 8])[0] == math.inf


def test_curves_are_saved_and_drawn(tmp_path: Path) -> None:
    import l2m

    law = HierarchicalGaussian(4)
    for record in (law.growth(), law.two_point()):
        record.save(tmp_path / "record.json")
        loaded = l2m.load(tmp_path / "record.json")
        np.testing.assert_array_equal(loaded.information, record.information)
        np.testing.assert_allclose(record.to("bits").information * math.log(2), record.information, rtol=1e-15)
        line = record.plot().lines[0]
        np.testing.assert_array_equal(line.get_ydata(), record.information)
        assert len(record.to_frame()) == record.information.size
    assert law.growth().plot_ends().lines[0].get_xdata().tolist() == [3, 15, 63, 255]
    assert HierarchicalGaussian(4, 2).growth().plot_ends().lines[0].get_xdata().tolist() == [3]
    octaves = law.plot_entropy().lines[1].get_ydata()
    assert octaves[2] == pytest.approx(law.entropy()[3:7].mean(), abs=1e-12)


@pytest.mark.parametrize("beta", np.linspace(0, 0.79, 12))
def test_with_exponent_finds_the_nearest_law(beta: float) -> None:
    law = HierarchicalGaussian.with_exponent(5, beta)
    nominal = [np.log(entries).mean() / math.log(4) for entries in product((1, 2, 3), repeat=4)]
    assert abs(law.nominal_exponent - beta) == pytest.approx(min(abs(value - beta) for value in nominal), abs=1e-9)


@pytest.mark.parametrize(("beta", "children"), [(0, {1}), (0.5, {2}), (0.7925, {3})])
def test_pure_families_are_reached(beta: float, children: set[int]) -> None:
    assert set(HierarchicalGaussian.with_exponent(8, beta).children) == children


def test_children_are_interleaved() -> None:
    assert HierarchicalGaussian.with_exponent(6, 0.1).children == (1, 1, 2, 1, 1)


# --- training stream ---


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has cores
@pytest.mark.parametrize("workers", [0, 2, 3])
def test_stream_is_the_same_with_any_workers_and_after_a_resumption(workers: int) -> None:
    from torch.utils.data import DataLoader

    from l2m.training.data import GaussianTokens

    law = HierarchicalGaussian(3)
    stream = GaussianTokens(law, 2, channels=5, seed=8, start=3, steps=5)
    batches = list(DataLoader(stream, batch_size=None, num_workers=workers))
    assert len(batches) == 5
    for step, batch in enumerate(batches, start=3):
        tokens, mean = law.tokens(2, channels=5, seed=8, first=step * 10)
        np.testing.assert_array_equal(batch["inputs"], tokens[:, :-1])
        np.testing.assert_array_equal(batch["true_mean"], mean)
        np.testing.assert_array_equal(batch["true_std"], law.conditional_std.astype(np.float32))


def test_ranks_share_one_stream_and_nothing_is_copied() -> None:
    from l2m.training.data import GaussianTokens

    law = HierarchicalGaussian(3)
    whole = GaussianTokens(law, 6, channels=4).batch(7)["inputs"]
    parts = [GaussianTokens(law, 2, channels=4, rank=rank, ranks=3).batch(7)["inputs"] for rank in range(3)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.untyped_storage().nbytes() == 6 * 65 * 4 * 4  # a view of all 65 vectors, the last left out
    assert next(iter(GaussianTokens(law, 1, steps=None)))["inputs"].shape == (1, 64, 64)
    with pytest.raises(InputError, match="0 <= rank < ranks"):
        GaussianTokens(law, 1, rank=1)


def test_law_can_be_pickled() -> None:
    law = HierarchicalGaussian(4, [1, 3, 2], boundary="printed")
    again = pickle.loads(pickle.dumps(law))
    assert again.settings == law.settings
    np.testing.assert_array_equal(again.conditional_std, law.conditional_std)


# --- bad input ---


LAW = HierarchicalGaussian(2)
GOOD = np.zeros((2, 16))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: HierarchicalGaussian(0), "layers: 0"),
        (lambda: HierarchicalGaussian(11), r"layers: 11 \(length 4\^11\)"),
        (lambda: HierarchicalGaussian(2.0), "layers: 2.0"),  # type: ignore[arg-type]
        (lambda: HierarchicalGaussian(3, 4), "children: 4"),
        (lambda: HierarchicalGaussian(3, [1, 0]), "children: 0"),
        (lambda: HierarchicalGaussian(3, [1, 2, 3]), "children: 3 entries; expected 2"),
        (lambda: HierarchicalGaussian(3, [1.5, 2]), "children"),  # type: ignore[list-item]
        (lambda: HierarchicalGaussian(3, boundary="soft"), "boundary: 'soft'"),
        (lambda: HierarchicalGaussian.with_exponent(5, 0.9), "beta: 0.9"),
        (lambda: HierarchicalGaussian.with_exponent(5, math.nan), "beta: nan"),
        (lambda: HierarchicalGaussian.with_exponent(1, 0.5), "layers: 1"),
        (lambda: LAW.bipartite_information(17), "split: 17"),
        (lambda: LAW.bipartite_information(1.5), "split: dtype"),
        (lambda: LAW.correlation(0, 16), "16; expected positions from 0 to 15"),
        (lambda: LAW.correlation(-1, 3), "-1; expected positions"),
        (lambda: HierarchicalGaussian(7).covariance(), "16,384 x 16,384"),
        (lambda: LAW.sample(-1, seed=0), "n: -1"),
        (lambda: LAW.sample(1, seed=-1), "seed: -1"),
        (lambda: LAW.sample(1, seed=0, threads=0), "threads: 0"),
        (lambda: LAW.sample(1, seed=0, dtype=np.float16), "dtype: float16"),
        (lambda: LAW.sample(2**40, seed=0), "expected what memory holds"),
        (lambda: LAW.conditional_mean(np.zeros(15)), r"z: shape \(15,\); expected \(..., 16\)"),
        (lambda: LAW.conditional_mean(np.full(16, np.nan)), "z: values that are not finite"),
        (lambda: LAW.conditional_mean(np.full(16, 41.0)), "none beyond 40"),
        (lambda: LAW.conditional_mean(np.full(16, "a")), "z: dtype"),
        (lambda: LAW.log_density(np.zeros((2, 17))), "z: shape"),
        (lambda: LAW.log_density(np.zeros(9), start=8), r"z: shape \(9,\) from position 8; expected at most 8"),
        (lambda: HierarchicalGaussian(7).log_density(np.zeros(5000), start=1), "5,000 values from position 1"),
        (lambda: LAW.vclub(-1), "split: -1"),
        (lambda: LAW.two_point([0]), "distances: 0"),
        (lambda: LAW.two_point([16]), "distances: 16; expected distances from 1 to 15"),
        (lambda: LAW.kl(GOOD, 0.0, conditional_mean=GOOD), "std: 0.0; expected finite values above 0"),
        (lambda: LAW.kl(GOOD, np.nan, conditional_mean=GOOD), "std: values that are not finite"),
        (lambda: LAW.kl(GOOD[:, :5], 1.0, conditional_mean=GOOD), "mean: shape"),
        (lambda: LAW.kl(GOOD, 1.0, conditional_mean=GOOD * np.inf), "conditional_mean: values"),
        (lambda: LAW.kl(GOOD, np.ones(3), conditional_mean=GOOD), "shapes"),
        (lambda: LAW.filter(2).step(0.0), r"z: shape \(\)"),
        (lambda: LAW.filter().step(math.inf), "z: inf at row 0, position 0"),
        (lambda: LAW.filter(0), "n: 0"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message), np.errstate(invalid="ignore"):
        call()
