"""Two-point information: against a slow obvious reference, closed forms, and the jackknife's own definition."""

import math
import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m
from markov import markov, markov_information

documents_of_ids = st.lists(
    st.lists(st.integers(0, 5), max_size=30).map(lambda ids: np.array(ids, np.int64)), min_size=1, max_size=12
)


def reference_pairs(documents, distance):
    """Every pair inside a document, counted with a dictionary."""
    return Counter((int(a), int(b)) for ids in documents for a, b in zip(ids, ids[distance:], strict=False))


def reference_information(documents, distance, estimator="grassberger"):
    """(raw, pairs, distinct) from that dictionary."""
    pairs = reference_pairs(documents, distance)
    x, y = Counter(), Counter()
    for (a, b), count in pairs.items():
        x[a] += count
        y[b] += count
    entropy = [l2m.entropy(list(table.values()), estimator).value for table in (x, y, pairs)]
    return entropy[0] + entropy[1] - entropy[2], sum(pairs.values()), len(pairs)


@settings(max_examples=150, deadline=None)
@given(documents_of_ids, st.sampled_from(["grassberger", "plug-in"]), st.sampled_from([1, 300, 70_000]))
def test_counts_are_those_of_a_dictionary(documents, estimator, spread):
    """Dense tables (up to 256 ids), 16-bit ranks, and ids far apart; documents of any length, also empty."""
    documents = [ids * spread for ids in documents]
    if spread > 1:  # more than 256 different ids, in a document that has no pair at the distances asked
        documents.append(np.arange(400) + 1_000_000)
    distances = [1, 2, 5, 29, 500]
    curve = l2m.two_point(documents, distances, estimator=estimator)
    for index, distance in enumerate(distances):
        raw, pairs, distinct = (
            reference_information(documents, distance, estimator)
            if any(len(ids) > distance for ids in documents)
            else (math.nan, 0, 0)
        )
        assert (curve.pairs[index], curve.distinct[index]) == (pairs, distinct)
        # Sums over at most 430 pairs of terms below 10: 1e-12 is a thousand roundings.
        assert curve.raw[index] == pytest.approx(raw, abs=1e-12, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(documents_of_ids, st.integers(2, 6), st.booleans())
def test_replicates_are_estimates_without_one_group(documents, groups, wide):
    """Every replicate equals the estimate on the corpus without that group's first tokens."""
    documents = [ids for ids in documents if ids.size > 1] * 4
    if wide:
        documents.append(np.arange(300) + 10)
    if len(documents) < 8:
        return
    curve = l2m.two_point(documents, [1, 3], groups=groups, fixed_documents=False, within_document=False)
    assert curve.settings["groups"] == {"unit": "documents", "number": groups}
    group = _balanced(documents, groups)
    for left_out in range(groups):
        kept = [ids for ids, its in zip(documents, group, strict=True) if its != left_out]
        again = l2m.two_point(kept, [1, 3], groups=None)
        # Removals are kept in units of 2^-28 nats, rounded once a pair.
        np.testing.assert_allclose(curve.replicates[left_out], again.information, atol=1e-7, equal_nan=True)


def _balanced(documents, groups):
    weight, group = [0] * groups, [0] * len(documents)
    for index in sorted(range(len(documents)), key=lambda i: -len(documents[i])):
        group[index] = weight.index(min(weight))
        weight[group[index]] += len(documents[index])
    return group


def test_stderr_is_the_delete_one_group_jackknife():
    """For groups of equal size, delete-m_j is sqrt((G-1)/G sum (t_(g) - mean)^2)."""
    documents = list(np.random.default_rng(3).integers(0, 5, (16, 400)))
    curve = l2m.two_point(documents, [1, 2, 4], groups=16)
    replicates = curve.replicates
    expected = np.sqrt(15 / 16 * ((replicates - replicates.mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(curve.stderr, expected, rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(curve.covariance)), curve.stderr, rtol=1e-12)


@pytest.mark.parametrize("stay", [0.6, 0.9])
def test_a_markov_chain_has_its_closed_form(stay):
    transition = np.full((4, 4), (1 - stay) / 3) + np.eye(4) * (stay - (1 - stay) / 3)
    documents = [markov(transition, 20_000, seed) for seed in range(16)]
    curve = l2m.two_point(documents, [1, 2, 3, 5, 8])
    truth = np.array([markov_information(transition, distance) for distance in curve.distance])
    z = (curve.information - truth) / curve.stderr
    # t with 15 degrees of freedom, five correlated values: |z| < 4.5 fails once in about 1,000 seeds; the seeds are fixed.
    assert np.abs(z).max() < 4.5, z
    assert (curve.stderr[:2] < 0.05 * truth[:2]).all()


def test_a_noisy_copy_has_its_closed_form():
    """Y copies X with probability 1 - e, else is uniform: H(Y|X) is known; at any other distance nothing is left."""
    random = np.random.default_rng(0)
    symbols, noise, lag = 50, 0.4, 7
    documents = []
    for _ in range(32):
        ids = random.integers(0, symbols, 8000)
        for start in range(
            0, 8000 - 2 * lag, 2 * lag
        ):  # blocks of `lag` fresh tokens, each followed by their noisy copy
            copied = random.random(lag) >= noise
            ids[start + lag : start + 2 * lag] = np.where(
                copied, ids[start : start + lag], random.integers(0, symbols, lag)
            )
        documents.append(ids)
    curve = l2m.two_point(documents, [3, lag, 11], within_document=False)
    # Half of the pairs at distance `lag` are (token, copy), the others independent.
    same = (0.5 * (1 - noise)) + (1 - 0.5 * (1 - noise)) / symbols
    other = (1 - same) / (symbols - 1)
    truth = math.log(symbols) + same * math.log(same) + (symbols - 1) * other * math.log(other)
    expected = np.array([0, truth, 0])
    # The downward bias proportional to I is 2 % here at most (255,000 pairs, 2,500 cells); |z| < 4.
    assert (np.abs(curve.information - expected) < 4 * curve.stderr + 0.02 * expected).all()


def test_independent_tokens_have_no_information_and_may_come_out_negative():
    random = np.random.default_rng(1)
    weights = 1 / (np.arange(2000) + 2.7)
    documents = [random.choice(2000, 3000, p=weights / weights.sum()) for _ in range(40)]
    curve = l2m.two_point(documents, [1, 2, 4, 8, 16, 32, 64], cross_document=True)
    assert curve.raw.min() > 0.5  # the floor that the null takes away
    assert np.abs(curve.information / curve.stderr).max() < 4
    assert curve.information.min() < 0
    assert np.abs(curve.within_document / curve.stderr).max() < 5
    assert np.abs(curve.cross_document / curve.stderr).max() < 5


def test_documents_with_their_own_words_leave_a_level_after_shuffling():
    """Half the tokens of a document come from its own two words: the same information at every distance, also shuffled."""
    random = np.random.default_rng(2)
    documents = []
    for document in range(24):
        own = random.random(2000) < 0.5
        documents.append(np.where(own, 100 + document * 2 + random.integers(0, 2, 2000), random.integers(0, 10, 2000)))
    curve = l2m.two_point(documents, [1, 10, 100])
    # p(both own, same document) = 1/4: I = E log p(x,y)/p(x)p(y) = 1/4 log 24.
    truth = math.log(24) / 4
    for level in (curve.information, curve.within_document):
        assert np.abs(level - truth).max() < 0.05 * truth


def test_the_corpus_margins_are_twice_the_unigram_entropy():
    documents = list(np.random.default_rng(4).integers(0, 9, (12, 50)))
    curve = l2m.two_point(documents, [1, 4], margins="corpus", null="none")
    unigram = l2m.entropy(np.bincount(np.concatenate(documents))).value
    np.testing.assert_allclose(curve.information, 2 * unigram - curve.entropy_xy, rtol=1e-12)
    np.testing.assert_allclose(curve.entropy_x, unigram)
    assert (curve.null == 0).all()


def test_few_documents_are_cut_into_blocks_and_the_curve_says_so():
    tokens = np.random.default_rng(5).integers(0, 5, 10_000)
    curve = l2m.two_point(l2m.Corpus(tokens, [0, 3000, 10_000]), [1, 2, 4])
    assert curve.settings["groups"] == {"unit": "blocks", "number": 32}
    assert (curve.contributing == 32).all()
    assert curve.group_pairs.sum(axis=0).tolist() == [9998, 9996, 9992]
    assert np.abs(curve.information / curve.stderr).max() < 4


def test_one_set_of_documents_enters_a_fit():
    """Short documents do not mix into the short distances of a fit that long documents alone can carry on."""
    random = np.random.default_rng(6)
    documents = [random.integers(0, 5, 100) for _ in range(50)] + [random.integers(0, 5, 3000) for _ in range(10)]
    curve = l2m.two_point(documents, [1, 64, 512])
    assert curve.documents.tolist() == [60, 60, 10]
    assert curve.fixed.documents.tolist() == [10, 10, 10]
    np.testing.assert_array_equal(curve.fixed.information, l2m.two_point(documents[50:], [1, 64, 512]).information)
    assert l2m.two_point(documents[50:], [1, 64]).fixed is None


def test_a_distance_without_pairs_is_absent_not_zero():
    curve = l2m.two_point([np.arange(5), np.arange(5)], [1, 5, 100])
    assert curve.pairs.tolist() == [8, 0, 0]
    assert np.isnan(curve.information[1:]).all()
    assert np.isnan(curve.stderr[1:]).all()
    assert np.isfinite(curve.information[0])


def test_threads_do_not_change_the_bytes(tmp_path):
    documents = list(np.random.default_rng(7).integers(0, 600, (20, 3000)))
    for threads in (1, 2, 5):
        l2m.two_point(documents, threads=threads).save(tmp_path / f"{threads}.json")
    assert len({(tmp_path / f"{threads}.json").read_bytes() for threads in (1, 2, 5)}) == 1
    again = l2m.load(tmp_path / "1.json")
    assert again.settings["groups"] == {"unit": "documents", "number": 20}
    bits = again.to("bits")
    np.testing.assert_allclose(bits.information, again.information / math.log(2))
    assert bits.to_frame().shape == (11, 14) or "information" in bits.to_frame()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"distances": [0]}, "distances"),
        ({"distances": [1, 1]}, "distances"),
        ({"distances": [1.5]}, "distances"),
        ({"distances": []}, "distances"),
        ({"distances": [1 << 63]}, "distances"),
        ({"estimator": "magic"}, "estimator: 'magic'"),
        ({"margins": "both"}, "margins: 'both'"),
        ({"null": "shuffle"}, "null: 'shuffle'"),
        ({"groups": 1}, "groups: 1"),
        ({"groups": 10**9}, "groups: 1000000000"),
        ({"groups": 2.5}, "groups: 2.5"),
        ({"distances": "12"}, "distances"),
        ({"distances": 3}, "distances: 3"),
        ({"distances": [True]}, "distances: True"),
        ({"distances": range(1, 5000)}, "distances: 4999 of them"),
        ({"seed": 1 << 64}, "seed"),
        ({"seed": 0.5}, "seed: 0.5"),
        ({"threads": 10**6}, "threads: 1000000"),
        ({"threads": 1 << 63}, "threads"),
        ({"threads": -1}, "threads: -1"),
        ({"threads": 1.5}, "threads: 1.5"),
        ({"threads": "2"}, "threads: '2'"),
        ({"memory": 0}, "memory: 0"),
        ({"within_document": "no"}, "within_document: 'no'"),
        ({"seed": -1}, "seed: -1"),
        ({"threads": 0}, "threads: 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(l2m.InputError, match=message):
        l2m.two_point(np.arange(100) % 7, **arguments)


@pytest.mark.parametrize("tokens", [[1.5, 2.5], [-1, 2], [[1, 2], [3, 4]], [1 << 32], []])
def test_bad_tokens_are_named(tokens):
    with pytest.raises(l2m.InputError):
        l2m.two_point(np.array(tokens))


def test_ctrl_c_ends_the_counting_in_rust_within_a_second():
    import signal
    import threading
    import time

    corpus = l2m.Corpus(np.random.default_rng(13).integers(0, 3000, 3_000_000), [0, 3_000_000])
    pressed = []

    def press():
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    def count_on():
        for _ in range(1000):
            l2m.two_point(corpus, threads=2)

    timer = threading.Timer(1.0, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        count_on()
    assert time.monotonic() - pressed[0] < 1


def test_masked_and_missing_tokens_are_not_read_as_if_they_were_there():
    masked = np.ma.array([5, 3, 900, 2], mask=[0, 0, 1, 0])
    for tokens in (masked, [masked, [1, 2]], [1, None, 2], np.array([1.0, np.nan]), [2**64, 1], [[1, 2], [3.5]]):
        for count in (l2m.two_point, lambda tokens: l2m.ngrams(tokens, 2)):
            with pytest.raises(l2m.InputError):
                count(tokens)


def test_a_corpus_without_pairs_says_what_it_lacks():
    with pytest.raises(
        l2m.InputError, match="2 tokens in 2 documents, without any pair; expected a document of two tokens"
    ):
        l2m.two_point([[1], [2]])
    with pytest.raises(l2m.InputError, match="one document"):
        l2m.two_point([1, 2, 1, 2], [1], cross_document=True)
    few = l2m.two_point([[1, 2, 1]] * 3, [1], groups=32)
    assert few.settings["groups"] == {"unit": "blocks", "number": 9}
    with pytest.raises(
        l2m.InputError, match=r"distances: only 1 has pairs in at least 8 groups of the same documents; a fit needs 3"
    ):
        l2m.two_point(list(np.random.default_rng(0).integers(0, 3, (20, 9))), [1]).fit()
    with pytest.raises(l2m.InputError, match="distances: none has pairs"):
        l2m.two_point([[1, 2, 1]] * 3, [7, 8, 9]).fit()
