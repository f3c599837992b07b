"""Joint tables, divergences and block entropies against other libraries and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import strategies as st

import l2m

COUNTS = [4, 2, 3, 1, 2, 4, 1, 1, 2, 17]
TABLES = st.lists(st.integers(0, 40), min_size=1, max_size=30).filter(lambda counts: max(counts) > 1)


def estimate(counts, name, **options):
    return l2m.entropy(counts, name, **options).value


def test_joint_entropy_against_scikit_learn():
    from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

    table = np.array([[30, 2, 5], [1, 20, 0], [4, 4, 9]])
    x, y = (np.repeat(axis.ravel(), table.ravel()) for axis in np.indices(table.shape))
    joint = l2m.joint_entropy(table, "plug-in")
    assert joint.mutual.value == pytest.approx(mutual_info_score(x, y), rel=1e-12)
    assert joint.normalized == pytest.approx(normalized_mutual_info_score(x, y), rel=1e-12)
    assert joint.conditional_x.value == pytest.approx(joint.entropy_x.value - joint.mutual.value, rel=1e-12)
    assert joint.variation.value == pytest.approx(joint.conditional_x.value + joint.conditional_y.value, rel=1e-12)
    turned = l2m.joint_entropy(table.T, "plug-in")
    assert turned.mutual.value == pytest.approx(joint.mutual.value, rel=1e-12)
    assert joint.to("bits").mutual.value == pytest.approx(joint.mutual.value / math.log(2))
    assert l2m.joint_entropy([[7]], "plug-in").normalized == 1


def test_joint_errors_are_the_spread_of_repeated_samples():
    p = np.array([[0.3, 0.1], [0.05, 0.25], [0.1, 0.2]])
    tables = np.random.default_rng(1).multinomial(500, p.ravel(), size=1500).reshape(-1, 3, 2)
    results = [l2m.joint_entropy(table, "plug-in") for table in tables]
    for name in ("mutual", "conditional_x", "conditional_y", "variation"):
        values = [getattr(result, name) for result in results]
        claimed = math.sqrt(np.mean([value.stderr**2 for value in values]))
        # 1.8 % from the number of samples, some 5 % from the first order
        assert claimed == pytest.approx(np.std([value.value for value in values]), rel=0.08), name


def test_divergences_against_scipy():
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import entropy as relative_entropy

    p, q = np.array([10, 5, 0, 3]), np.array([4, 4, 2, 9])
    assert l2m.kullback_leibler(p, q).value == pytest.approx(relative_entropy(p, q), rel=1e-13)
    smoothed = l2m.kullback_leibler(p, q, pseudocount=0.5).value
    assert smoothed == pytest.approx(relative_entropy(p + 0.5, q + 0.5), rel=1e-13)
    assert l2m.jensen_shannon(p, q).value == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-12)
    infinite = l2m.kullback_leibler(q, p)
    assert infinite.value == math.inf
    assert "1 symbols" in infinite.warning
    assert l2m.jensen_shannon([3, 0], [0, 5]).value == pytest.approx(math.log(2))
    for bad in (lambda: l2m.kullback_leibler([1, 2], [1, 2, 3]), lambda: l2m.jensen_shannon([1, 0], [0, 0])):
        with pytest.raises(l2m.InputError, match="q: "):
            bad()


def test_divergence_errors_are_the_spread_of_repeated_samples():
    generator = np.random.default_rng(4)
    pairs = zip(
        generator.multinomial(800, [0.5, 0.3, 0.2], 1500),
        generator.multinomial(600, [0.3, 0.3, 0.4], 1500),
        strict=True,
    )
    both = [(l2m.kullback_leibler(p, q), l2m.jensen_shannon(p, q)) for p, q in pairs]
    for results in zip(*both, strict=True):
        claimed = math.sqrt(np.mean([result.stderr**2 for result in results]))
        assert claimed == pytest.approx(np.std([result.value for result in results]), rel=0.08)


def test_block_entropies_of_a_periodic_and_a_markov_sequence():
    periodic = l2m.block_entropies("abcd" * 500, 4, "plug-in")
    assert periodic.block == pytest.approx([math.log(4)] * 4, abs=1e-5)
    assert periodic.rate[1:] == pytest.approx([0, 0, 0], abs=1e-5)
    assert periodic.excess == pytest.approx(math.log(4), abs=1e-4)
    # A binary chain that stays with probability 0.9: h = H(0.1) from n = 2 on, excess log 2 - h.
    stays = np.random.default_rng(0).random(200_000) < 0.9
    chain = np.cumsum(~stays) % 2
    rate = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    markov = l2m.block_entropies(chain, 4)
    assert markov.rate[1:] == pytest.approx([rate] * 3, abs=0.006)  # 4 standard errors of the sample
    assert markov.excess == pytest.approx(math.log(2) - rate, abs=0.01)
    with pytest.raises(l2m.InputError, match="n_max: 9"):
        l2m.block_entropies("abc", 9)
