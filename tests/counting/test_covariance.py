"""Token covariance: against numpy's singular values of the full matrix, a chain's closed form, and the jackknife's own definition."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m
from markov import markov, stationary

documents_of_ids = st.lists(
    st.lists(st.integers(0, 5), max_size=30).map(lambda ids: np.array(ids, np.int64)), min_size=1, max_size=12
).filter(lambda documents: any(ids.size > 1 for ids in documents))


def matrix(documents, distance, symbols):
    """C(d), pair by pair."""
    joint = np.zeros((symbols, symbols))
    for ids in documents:
        np.add.at(joint, (ids[:-distance], ids[distance:]), 1)
    joint /= joint.sum()
    return joint - np.outer(joint.sum(1), joint.sum(0))


def texts(number=12, length=3_000, symbols=256, seed=0):
    """Documents of `symbols` ids, small ones more frequent, every second one a copy of the one before it."""
    random = np.random.default_rng(seed)
    documents = [(symbols * random.random(length) ** 3).astype(int) for _ in range(number)]
    return [np.where(np.arange(length) % 2, np.roll(ids, 1), ids) for ids in documents]


def test_256_symbols_against_numpy():
    documents = texts()
    curve = l2m.token_covariance(documents, [1, 2, 7], values=5, groups=8)
    for place, distance in enumerate((1, 2, 7)):
        full = matrix(documents, distance, 256)
        # 1e-9 is the aim; residuals of 1e-7 in C^T C leave their squares.
        np.testing.assert_allclose(curve.singular[place], np.linalg.svd(full, compute_uv=False)[:5], atol=1e-9)
        assert curve.frobenius[place] == pytest.approx(np.linalg.norm(full), abs=1e-12)
    assert curve.settings["residual"] <= 1e-7


@pytest.mark.parametrize("symbols", [40, 256])  # the whole matrix, and the iteration
def test_centred_on_documents_against_numpy(symbols):
    documents = [ids + number for number, ids in enumerate(texts(length=2_000, symbols=symbols - 11))]
    curve = l2m.token_covariance(documents, [1, 3], values=3, center="document", groups=12, floor=False)
    for place, distance in enumerate((1, 3)):
        full = np.mean([matrix([ids], distance, symbols) for ids in documents], axis=0)
        np.testing.assert_allclose(curve.singular[place], np.linalg.svd(full, compute_uv=False)[:3], atol=1e-9)
        if distance == 3:
            continue  # noise alone: many values are nearly equal, and what a document changes is no longer small
        without = [
            np.linalg.norm(
                np.mean([matrix([ids], distance, symbols) for ids in documents[:out] + documents[out + 1 :]], 0), 2
            )
            for out in range(12)
        ]
        away = curve.replicates[:, place] - without
        assert away.std() < 0.3 * np.std(without)
    assert np.isnan(curve.frobenius).all()


def test_that_documents_differ_is_no_covariance_within_them():
    """Each document repeats its own ten ids at random: P(x, y; d) = p p^T in each, and far from it in all."""
    random = np.random.default_rng(5)
    documents = [random.integers(10 * number, 10 * number + 10, 4_000) for number in range(12)]
    curve = l2m.token_covariance(documents, [1, 8], center="document")
    assert (curve.singular[:, 0] < 1.5 * curve.floor).all()
    plain = l2m.token_covariance(documents, [1, 8], floor=False)
    assert (plain.singular[:, 0] > 5 * curve.singular[:, 0]).all()


@settings(max_examples=100, deadline=None)
@given(documents_of_ids, st.integers(1, 8), st.sampled_from([1, 70_000]))
def test_small_alphabets_against_numpy(documents, values, spread):
    documents = [ids for ids in documents if ids.size > 1]
    curve = l2m.token_covariance([ids * spread for ids in documents], [1], values=values, groups=None, floor=False)
    expected = np.linalg.svd(matrix(documents, 1, 6), compute_uv=False)[:values]
    np.testing.assert_allclose(curve.singular[0, : expected.size], expected, atol=1e-12)
    assert not curve.singular[0, expected.size :].any()
    assert np.isnan(curve.stderr).all()
    assert curve.replicates is None


def test_a_chain_has_the_singular_values_of_its_transition_matrix():
    """C(d) = diag(pi) T^d - pi pi^T."""
    transition = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.25, 0.05, 0.7]])
    law = stationary(transition)
    documents = [markov(transition, 5_000, seed) for seed in range(20)]
    curve = l2m.token_covariance(documents, [1, 2, 4, 8], values=2)
    for place, distance in enumerate((1, 2, 4, 8)):
        exact = np.diag(law) @ np.linalg.matrix_power(transition, distance) - np.outer(law, law)
        expected = np.linalg.svd(exact, compute_uv=False)[:2]
        assert (np.abs(curve.singular[place] - expected) < 4 * curve.stderr[place] + 1e-4).all()


def test_replicates_are_first_order_in_what_a_group_changes():
    """The largest value recomputed without each document differs from its replicate by far less than their spread."""
    documents = texts(number=16, length=4_000)
    curve = l2m.token_covariance(documents, [1, 3], groups=16, floor=False)
    for place, distance in enumerate((1, 3)):
        again = np.array(
            [
                np.linalg.svd(matrix(documents[:out] + documents[out + 1 :], distance, 256), compute_uv=False)[0]
                for out in range(16)
            ]
        )
        # Documents are equally long, so group g is document g. What is left is of second order, a sixteenth of the data, and
        # at d = 3, where all is noise, the noise of a smaller sample, which is the same in every replicate.
        away = curve.replicates[:, place] - again
        assert away.std() < 0.15 * again.std()
        assert np.abs(away).max() < (0.15 if distance == 1 else 1.5) * again.std()
        error = np.sqrt(15 / 16 * ((again - again.mean()) ** 2).sum())
        assert curve.stderr[place, 0] == pytest.approx(error, rel=0.1)


def test_neither_threads_nor_other_distances_change_the_result():
    documents = texts(number=8, length=2_000)
    alone = l2m.token_covariance(documents, [4], threads=1)
    for threads in (1, 2, 3):
        together = l2m.token_covariance(documents, [1, 4, 9], threads=threads)
        assert together.singular[1].tobytes() == alone.singular[0].tobytes()
        assert together.stderr[1].tobytes() == alone.stderr[0].tobytes()
        assert together.floor[1] == alone.floor[0]


def test_shuffled_text_stays_at_the_floor():
    random = np.random.default_rng(3)
    documents = [random.choice(500, 5_000, p=np.arange(1, 501) / 125_250) for _ in range(10)]
    curve = l2m.token_covariance(documents, [1, 2, 4, 8, 16])
    assert (curve.singular[:, 0] < 1.3 * curve.floor).all()
    assert not curve.above_floor.any()
    with pytest.raises(l2m.InputError, match=r"^distances: 0 with a largest singular value of at least 2 times"):
        curve.fit()


def signs(number, length, decay, seed):
    """Signs of a stationary Gaussian sequence of correlation (1 + d)^-decay, by circulant embedding (the correlation is convex
    and falls to 0, so that a process has it: Pólya). Signs d apart have the correlation 2/pi arcsin((1 + d)^-decay)."""
    random = np.random.default_rng(seed)
    lags = np.minimum(np.arange(2 * length), np.arange(2 * length, 0, -1))
    power = np.maximum(np.fft.rfft((1.0 + lags) ** -decay).real, 0)
    noise = random.standard_normal((number, 2 * length))
    gaussian = np.fft.irfft(np.fft.rfft(noise) * np.sqrt(power), 2 * length)
    return list((gaussian[:, :length] > 0).astype(np.int64))


def test_a_planted_power_law_is_found():
    distances = 2 ** np.arange(7)
    curve = l2m.token_covariance(signs(40, 20_000, 0.6, 0), distances.tolist(), values=2)
    correlation = 2 / np.pi * np.arcsin((1.0 + distances) ** -0.6)
    # Joint probabilities are (1 ± correlation) / 4: one singular value, of half the correlation.
    assert (np.abs(curve.singular[:, 0] - correlation / 2) < 4 * curve.stderr[:, 0]).all()
    law = curve.fit()
    kept = np.isin(distances, law.settings["distances"])
    exact = l2m.fit_power_law(distances[kept], correlation[kept] / 2, stderr=curve.stderr[kept, 0], method="wls")
    assert abs(law.exponent - exact.exponent) < 4 * law.standard_error("exponent")
    assert law.standard_error("exponent") < 0.05


def test_bad_arguments_are_named():
    ids = [np.arange(10)]
    for options, message in [
        ({"values": 9}, "values: 9"),
        ({"values": 2.5}, "values: 2.5"),
        ({"groups": 1}, "groups: 1"),
        ({"threads": 0}, "threads: 0"),
        ({"distances": [0]}, "distances: 0"),
        ({"seed": -1}, "seed: -1"),
        ({"center": "median"}, "center: 'median'"),
    ]:
        with pytest.raises(l2m.InputError, match="^" + re.escape(message)):
            l2m.token_covariance(ids, **options)
    with pytest.raises(l2m.InputError, match=r"^corpus: 1 tokens"):
        l2m.token_covariance([np.arange(1)])


def test_a_saved_curve_and_its_figure(tmp_path):
    curve = l2m.token_covariance(texts(number=8, length=500), [1, 2, 3])
    curve.save(tmp_path / "covariance.json")
    again = l2m.load(tmp_path / "covariance.json")
    assert again.singular.tobytes() == curve.singular.tobytes()
    table = again.columns()
    assert list(table)[:3] == ["distance", "singular_1", "singular_2"]
    assert table["floor"].size == 3
    assert curve.plot().get_ylabel() == "singular values of C(d)"
