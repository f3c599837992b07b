"""The latent forest against the enumeration of everything it can say, and the scorers that are wrong by a stated amount."""

import itertools

import numpy as np
import pytest

import l2m
from l2m.truth.frontier import factor_of, future_factor, truncated
from l2m.truth.imperfect import ForgetfulForest, LinearGaussian, WrongStart
from l2m.truth.sources import LatentForest

FOREST = LatentForest(0.6, trees=3, noise=0.2)


def every_sequence(forest: LatentForest, n: int) -> tuple[np.ndarray, np.ndarray]:
    """All sequences of n tokens and their probabilities, summed over the bits of all roots."""
    tokens = np.array(list(itertools.product(range(forest.vocab_size), repeat=n)))
    probability = np.zeros(len(tokens))
    for roots in itertools.product((0, 1), repeat=forest.vocab_size // 2):
        right = np.array(roots)[tokens >> 1] == tokens & 1
        leaf = forest.probability[tokens >> 1] * np.where(right, 1 - forest.noise, forest.noise)
        probability += leaf.prod(1) / 2 ** len(roots)
    return tokens, probability


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_conditionals_and_block_entropies_are_those_of_the_enumerated_law(n: int) -> None:
    tokens, probability = every_sequence(FOREST, n)
    assert probability.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(FOREST.log_prob(tokens)[0].sum(1), np.log(probability), atol=1e-12)
    assert FOREST.block_entropy(n) == pytest.approx(-(probability * np.log(probability)).sum(), abs=1e-12)


@pytest.mark.parametrize("split", [1, 2, 3])
def test_information_and_vclub_are_those_of_the_enumerated_law(split: int) -> None:
    _, probability = every_sequence(FOREST, 5)
    joint = probability.reshape(FOREST.vocab_size**split, -1)
    product = joint.sum(1, keepdims=True) * joint.sum(0)
    ratio = np.log(joint / product)
    assert FOREST.bipartite_information(split, 5) == pytest.approx((joint * ratio).sum(), abs=1e-12)
    assert FOREST.vclub(split, 5) == pytest.approx(((joint - product) * ratio).sum(), abs=1e-12)


def test_information_is_that_of_block_entropies_and_grows_as_the_exponent_says() -> None:
    forest = LatentForest(0.5, trees=1000)
    h = {n: forest.block_entropy(n) for n in (64, 128, 256, 512)}
    information = {split: forest.bipartite_information(split, 2 * split) for split in (64, 256)}
    for split, value in information.items():
        assert value == pytest.approx(2 * h[split] - h[2 * split], abs=1e-8)
    # Towards 1/2 from above: 0.53 here.
    assert np.log(information[256] / information[64]) / np.log(4) == pytest.approx(0.5, abs=0.05)


def test_samples_follow_the_law() -> None:
    tokens = FOREST.sample(20_000, 2, seed=0)
    _, probability = every_sequence(FOREST, 2)
    counts = np.bincount(tokens[:, 0] * FOREST.vocab_size + tokens[:, 1], minlength=36)
    # Pearson's statistic with 35 degrees of freedom: above 67 once in a thousand.
    assert ((counts - 20_000 * probability) ** 2 / (20_000 * probability)).sum() < 67


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5])
def test_an_exponent_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(l2m.InputError, match="beta"):
        LatentForest(value)
    with pytest.raises(l2m.InputError, match="noise"):
        LatentForest(0.5, noise=0.5)


SCORERS = [
    FOREST,
    ForgetfulForest(FOREST, window=2),
    ForgetfulForest(FOREST, kept=1),
    ForgetfulForest(FOREST, kept=2, temperature=1.3),
    ForgetfulForest(FOREST, temperature=0.7),
]


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: str(scorer.settings))
def test_a_scorer_of_the_forest_gives_probabilities_and_continues_from_its_state(scorer) -> None:
    tokens = FOREST.sample(3, 9, seed=1)
    whole = scorer.log_prob(tokens)[0]
    first, state = scorer.log_prob(tokens[:, :4])
    np.testing.assert_allclose(np.concatenate([first, scorer.log_prob(tokens[:, 4:], state)[0]], 1), whole, atol=1e-12)
    for n in (0, 4, 8):
        next_ones = np.concatenate([np.repeat(tokens[:1, :n], 6, 0), np.arange(6)[:, None]], 1)
        assert np.exp(scorer.log_prob(next_ones)[0][:, n]).sum() == pytest.approx(1, abs=1e-12)


def test_less_memory_of_the_forest_is_what_it_says() -> None:
    tokens = FOREST.sample(4, 12, seed=2)
    exact = FOREST.log_prob(tokens)[0]
    np.testing.assert_array_equal(ForgetfulForest(FOREST, window=11).log_prob(tokens)[0], exact)
    np.testing.assert_array_equal(ForgetfulForest(FOREST, kept=3).log_prob(tokens)[0], exact)
    last = FOREST.log_prob(tokens[:, -3:])[0][:, -1]
    np.testing.assert_allclose(ForgetfulForest(FOREST, window=2).log_prob(tokens)[0][:, -1], last, atol=1e-12)
    unknown = np.log(FOREST.probability[tokens >> 1] / 2)
    np.testing.assert_allclose(ForgetfulForest(FOREST, kept=0).log_prob(tokens)[0], unknown, atol=1e-12)


def test_the_gaussian_predictor_of_r_numbers_is_on_the_frontier() -> None:
    law = l2m.HierarchicalGaussian(3, 3)
    weights, std = LinearGaussian(law, 64, numbers=4).predictor(0)
    error = np.eye(64) - weights
    variance = np.einsum("ij,jk,ik->i", error, law.covariance(), error)
    kl = np.log(std / law.conditional_std) + (variance / std**2 - 1) / 2
    np.testing.assert_allclose(kl, law.frontier(4).kl, atol=1e-12)
    np.testing.assert_allclose(factor_of(law.covariance()), future_factor(law), atol=1e-12)


def test_the_trace_of_the_truncation_leaves_its_result_alone() -> None:
    law = l2m.HierarchicalGaussian(2, 3)
    given = (future_factor(law), np.square(law.conditional_std), np.full(16, 3))
    plain, traced = truncated(*given), truncated(*given, [])
    np.testing.assert_array_equal(plain[0], traced[0])


def test_linear_gaussians_with_all_of_the_past_are_exact_anywhere() -> None:
    law = l2m.HierarchicalGaussian(3, 2)
    z = law.sample(3, seed=0)[0]
    for options in ({}, {"window": 64}, {"numbers": 64}):
        scorer = LinearGaussian(law, 64, **options)
        np.testing.assert_allclose(scorer.log_prob(z)[0], law.log_conditionals(z), atol=1e-9)
        inside = scorer.log_prob(z[:, 16:40], scorer.begin(16))[0]
        np.testing.assert_allclose(inside, law.log_conditionals(z[:, 16:40], start=16), atol=1e-9)
    first, state = scorer.log_prob(z[:, :10])
    np.testing.assert_allclose(np.concatenate([first, scorer.log_prob(z[:, 10:], state)[0]], 1), scorer.log_prob(z)[0])


def test_temperature_of_a_gaussian_multiplies_its_variance() -> None:
    law = l2m.HierarchicalGaussian(2, 3)
    z = np.zeros((1, 16))
    exact, hot = (LinearGaussian(law, 16, temperature=t).log_prob(z)[0] for t in (1, 1.5))
    np.testing.assert_allclose(exact - hot, np.full((1, 16), np.log(1.5) / 2), atol=1e-12)


def test_a_wrong_start_costs_what_it_says_in_every_pass_and_nothing_later() -> None:
    wrong = WrongStart(FOREST, 2.0)
    tokens = FOREST.sample(2, 40, seed=3)
    cost = FOREST.log_prob(tokens)[0] - wrong.log_prob(tokens)[0]
    np.testing.assert_allclose(cost[:, :3], [[1, 0.5, 0.25]] * 2)
    np.testing.assert_allclose(cost.sum(1), 2)
    assert not hasattr(wrong, "begin")
    law = l2m.HierarchicalGaussian(2, 3)
    z, exact = law.sample(1, seed=0)[0], LinearGaussian(law, 16)
    inside = WrongStart(exact, 2.0)
    cost_inside = exact.log_prob(z[:, 8:], exact.begin(8))[0] - inside.log_prob(z[:, 8:], inside.begin(8))[0]
    np.testing.assert_allclose(cost_inside[:, :2], [[1, 0.5]])
    first, state = wrong.log_prob(tokens[:, :2])
    np.testing.assert_allclose(
        np.concatenate([first, wrong.log_prob(tokens[:, 2:], state)[0]], 1), wrong.log_prob(tokens)[0]
    )


def test_a_subset_of_scores_is_that_of_a_store_of_these_windows(tmp_path) -> None:
    forest = LatentForest(0.6, trees=64)
    tokens = forest.sample(40, 32, seed=4)
    every = l2m.score(l2m.Corpus(list(tokens)), forest, out=tmp_path / "all", length=32, contexts=64)
    some = every.subset(range(10))
    assert len(some) == some.windows_asked == 10
    few = l2m.score(l2m.Corpus(list(tokens)), forest, out=tmp_path / "few", length=32, contexts=64, windows=10)
    for options in ({}, {"correction": "averaged"}, {"correction": "ngram"}, {"estimator": "vclub"}):
        expected, found = l2m.bipartite(few, **options), l2m.bipartite(some, **options)
        np.testing.assert_array_equal(found.information, expected.information)
        np.testing.assert_array_equal(found.stderr, expected.stderr)
    np.testing.assert_array_equal(l2m.bipartite(every).pointwise[:10], l2m.bipartite(some).pointwise)
    for wrong in ([40], [], [-1]):
        with pytest.raises(l2m.InputError, match="windows"):
            every.subset(wrong)
