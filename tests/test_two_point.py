"""Two-point information: against a slow obvious reference, closed forms, and the jackknife's own definition."""

import math
import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m

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


def markov(transition, length, seed):
    """A stationary chain of `length` tokens."""
    random = np.random.default_rng(seed)
    cumulative = np.cumsum(transition, axis=1)
    uniform = random.random(length)
    tokens = np.empty(length, np.int64)
    state = random.choice(len(transition), p=stationary(transition))
    for i in range(length):
        tokens[i] = state
        state = int(np.searchsorted(cumulative[state], uniform[i]))
    return np.minimum(tokens, len(transition) - 1)


def stationary(transition):
    values, vectors = np.linalg.eig(np.array(transition).T)
    vector = np.real(vectors[:, np.argmax(np.real(values))])
    return vector / vector.sum()


def markov_information(transition, distance):
    """I(X_i; X_{i+d}) = sum_ab pi_a P^d_ab log(P^d_ab / pi_b)."""
    law, power = stationary(transition), np.linalg.matrix_power(np.array(transition), distance)
    return float((law[:, None] * power * np.log(power / law[None, :])).sum())


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


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=200),
    st.sampled_from([np.int8, np.int16, np.int32, np.int64]),
    st.sampled_from([np.uint8, np.uint16, np.uint32, np.uint64]),
)
def test_mutual_information_of_two_arrays(pairs, first, second):
    x, y = (np.array(side) for side in zip(*pairs, strict=True))
    tables = (np.unique(x, return_counts=True)[1], np.unique(y, return_counts=True)[1], list(Counter(pairs).values()))
    entropy = [l2m.entropy(table).value for table in tables]
    estimate = l2m.mutual_information(x.astype(first), y.astype(second), null="none")
    assert estimate.value == pytest.approx(entropy[0] + entropy[1] - entropy[2], abs=1e-12)
    # Labels are names: other names, far apart or negative, change nothing.
    renamed = l2m.mutual_information(x * 10**15, -y, null="none")
    assert (renamed.value, renamed.stderr) == pytest.approx((estimate.value, estimate.stderr), abs=1e-12, nan_ok=True)


def test_mutual_information_subtracts_what_scikit_learn_expects():
    from sklearn.metrics import mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

    random = np.random.default_rng(8)
    x, y = random.integers(0, 12, 300), random.integers(0, 9, 300)
    expected = expected_mutual_information(contingency_matrix(x, y, sparse=True), 300)
    estimate = l2m.mutual_information(x, y, estimator="plug-in")
    assert estimate.settings["null_level"] == pytest.approx(expected, abs=1e-10)
    assert estimate.value == pytest.approx(mutual_info_score(x, y) - expected, abs=1e-10)


def test_mutual_information_refuses_what_is_not_two_lists_of_labels():
    for x, y in (([1.0], [1]), ([1, 2], [1]), ([], []), ([[1]], [1]), (["a"], ["b"])):
        with pytest.raises(l2m.InputError):
            l2m.mutual_information(x, y)


def test_a_memory_budget_does_not_change_the_bytes_and_one_too_small_says_what_is_needed(tmp_path):
    documents = list(np.random.default_rng(9).integers(0, 600, (20, 10_000)))
    l2m.two_point(documents).save(tmp_path / "free")
    for memory in ("4MiB", "8MiB"):
        l2m.two_point(documents, memory=memory).save(tmp_path / memory)
        assert (tmp_path / memory).read_bytes() == (tmp_path / "free").read_bytes()
    with pytest.raises(l2m.InputError, match=r"memory: 1,000 bytes; this corpus needs at least [\d,]+ bytes"):
        l2m.two_point(documents, memory=1000)


@pytest.mark.parametrize("ids", [60, 400])
def test_tasks_in_folders_add_to_the_same_bytes(tmp_path, ids):
    """Shards run apart and in any order; a damaged result and another job's folder are named."""
    from l2m.counting.tasks import merge_folders, run_in_folder

    documents = list(np.random.default_rng(10).integers(0, ids, (12, 500)))
    job = l2m.TwoPointJob(documents, [1, 2, 4], parts=3)
    assert run_in_folder(job, tmp_path / "b", (1, 2)) is None
    assert run_in_folder(l2m.TwoPointJob(documents, [1, 2, 4], parts=3, threads=1), tmp_path / "a", (0, 2)) is None
    _, merged = merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "c", job.corpus)
    merged.save(tmp_path / "shards")
    run_in_folder(job, tmp_path / "whole").save(tmp_path / "whole.json")
    l2m.two_point(documents, [1, 2, 4]).save(tmp_path / "direct")
    assert len({(tmp_path / name).read_bytes() for name in ("shards", "whole.json", "direct")}) == 1
    with pytest.raises(l2m.InputError, match="seed"):
        run_in_folder(l2m.TwoPointJob(documents, [1, 2, 4], parts=3, seed=1), tmp_path / "a")
    damaged = next((tmp_path / "a" / "tasks").iterdir())
    damaged.write_text(damaged.read_text().replace("[", "[1,", 1))
    with pytest.raises(l2m.InputError, match="damaged"):
        merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "d", job.corpus)
    with pytest.raises(l2m.InputError, match=r"missing: all-given-margins, .*--shard 0/2$"):
        merge_folders([tmp_path / "b"], tmp_path / "d", job.corpus)
    with pytest.raises(l2m.InputError, match="--corpus"):
        merge_folders([tmp_path / "b"], tmp_path / "d")


def test_subsamples_are_the_curves_of_parts_of_the_documents(tmp_path):
    """Eighths, quarters and halves hold every document once, and each row is the mean over its parts."""
    random = np.random.default_rng(11)
    documents = [
        markov([[0.9, 0.1], [0.2, 0.8]], length, seed) for seed, length in enumerate(random.integers(50, 400, 40))
    ]
    curve = l2m.two_point(documents, [1, 4], subsamples=True)
    offsets = np.cumsum([0, *map(len, documents)])
    for row, (name, parts) in enumerate({"eighth": 8, "quarter": 4, "half": 2}.items()):
        cuts = [l2m.TwoPointJob(documents, [1, 4], subsamples=True).cuts[f"{name}{part}"] for part in range(parts)]
        held = [np.searchsorted(offsets, cut.segments[0]) for cut in cuts]
        assert sorted(np.concatenate(held).tolist()) == list(range(40))
        alone = [l2m.two_point([documents[i] for i in some], [1, 4], groups=None).information for some in held]
        np.testing.assert_allclose(curve.subsample_information[row], np.mean(alone, axis=0), atol=1e-12)
        scatter = np.std(alone, axis=0, ddof=1) / math.sqrt(parts)
        np.testing.assert_allclose(curve.subsample_stderr[row], scatter, atol=1e-12)
    curve.save(tmp_path / "curve.json")
    again = l2m.load(tmp_path / "curve.json").to("bits")
    np.testing.assert_allclose(again.subsample_information * math.log(2), curve.subsample_information)
    assert curve.plot_subsamples().get_ylabel()
    with pytest.raises(l2m.InputError, match="subsamples"):
        l2m.two_point(documents, [1, 4]).plot_subsamples()
    with pytest.raises(l2m.InputError, match="subsamples: a corpus of 5 tokens"):
        l2m.two_point([0, 1, 0, 1, 1], [1], subsamples=True)


def measured(information, noise, seed=0):
    """A curve as if measured: replicates with errors that all distances share, and small ones of their own."""
    import dataclasses

    random = np.random.default_rng(seed)
    size, groups = len(information), 32
    curve = l2m.two_point(list(random.integers(0, 3, (groups, 600))), [1 << k for k in range(size)])
    shared = random.standard_normal((groups, 1)) * 20 * noise + random.standard_normal((groups, size)) * noise
    errors = (shared - shared.mean(axis=0)) / math.sqrt(groups)
    stderr = np.sqrt((groups - 1) / groups * (errors**2).sum(axis=0))
    values = information + random.standard_normal(size) * noise
    return dataclasses.replace(curve, information=values, stderr=stderr, replicates=values + errors, fixed=None)


def test_a_fit_starts_where_one_law_describes_the_curve():
    distance = 2.0 ** np.arange(10)
    law = 0.2 * distance**-0.6 + 0.01
    whole = measured(law, 1e-5).fit()
    assert whole.settings["distances"][0] == 1
    assert whole.exponent == pytest.approx(-0.6, abs=0.01)
    phrase = np.where(distance < 8, 1.5 * distance**-1.5, 0)
    curve = measured(law + phrase, 1e-5)
    fitted = curve.fit()
    assert fitted.settings["distances"].tolist() == distance[3:].tolist()
    assert fitted.settings["missed"] == {}
    assert fitted.exponent == pytest.approx(-0.6, abs=0.01)
    assert "Fitted from d = 8 to 512." in fitted.explain()
    all_of_it = curve.fit(min_distance=1)
    assert all_of_it.settings["distances"].size == 10
    assert "does not describe the curve" in all_of_it.explain()
    # No law anywhere: all distances, and it says so.
    waves = measured(0.05 + 0.04 * np.sin(np.arange(10) * 2.0), 1e-5).fit()
    assert waves.settings["distances"].size == 10
    assert waves.settings["missed"]


PEAK = """
import json, re, sys
import numpy as np
import l2m

def status(name):
    return int(re.search(name + r":\\s+(\\d+) kB", open("/proc/self/status").read()).group(1)) << 10

corpus = l2m.Corpus.open(sys.argv[1])
distances = [1 << k for k in range(14)]
l2m.two_point(l2m.Corpus(corpus.tokens[:200_000], [0, 100_000, 200_000]), distances)  # code and threads, once
corpus.tokens.sum()  # the mapped file is in memory
for budget in map(int, sys.argv[2:]):
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    l2m.two_point(corpus, distances, memory=budget, threads=2, within_document=False)
    print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="peak memory is read from Linux's /proc")
def test_memory_stays_within_a_tenth_of_the_budget(tmp_path):
    """Peak resident memory beside the mapped tokens, near the smallest budget and at that of full speed."""
    import subprocess
    import sys

    size = 16_000_000
    tokens = np.minimum(np.random.default_rng(12).zipf(1.3, size), 30_000).astype(np.uint16)
    l2m.Corpus(tokens, np.arange(0, size + 1, 100_000), 30_001).save(tmp_path / "corpus")
    budgets = [6 * size, 12 * size]
    command = [sys.executable, "-c", PEAK, str(tmp_path / "corpus"), *map(str, budgets)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for budget, peak in zip(budgets, map(int, printed.split()), strict=True):
        assert peak <= 1.1 * budget


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
