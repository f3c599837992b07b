"""Permutation p-values of two-point information: uniform where there is none, small where there is some, exact by count."""

import json

import numpy as np
import pytest

import l2m
from l2m import TwoPointJob, TwoPointSettings
from l2m.counting.permutations import p_values, q_values
from l2m.counting.tasks import merge_folders, run_in_folder
from markov import markov

QUICK = {"groups": None, "within_document": False, "threads": 1}


def copies(seed, distance=7, share=0.05):
    """Independent tokens, of which a share repeats the one `distance` before."""
    random = np.random.default_rng(seed)
    documents = [random.integers(0, 20, 3_000) for _ in range(10)]
    return [np.where(random.random(ids.size) < share, np.roll(ids, distance), ids) for ids in documents]


def many_p(documents_of, distance, number):
    return np.array(
        [l2m.two_point(documents_of(k), [distance], permutations=19, **QUICK).permutation_p[0] for k in range(number)]
    )


def assert_uniform(p):
    """On 1/20, 2/20, ... 1: shares below a level within four standard errors of it."""
    for level in (0.05, 0.25, 0.5, 0.75):
        assert abs(np.mean(p <= level + 1e-9) - level) < 4 * np.sqrt(level * (1 - level) / p.size)


@pytest.mark.parametrize("distance", [1, 5])
def test_p_values_are_uniform_for_independent_tokens(distance):
    random = np.random.default_rng(distance)
    assert_uniform(many_p(lambda _: list(random.integers(0, 6, (4, 150))), distance, 150))


def test_shuffled_text_is_not_significant_though_its_documents_differ():
    random = np.random.default_rng(2)

    def documents(_):
        return [random.integers(3 * k, 3 * k + 6, 200) for k in range(4)]

    assert l2m.two_point(documents(0), [5], **QUICK).information[0] > 0.3
    assert_uniform(many_p(documents, 5, 120))


def test_memory_that_is_shorter_than_the_distance_is_not_significant():
    """It widens the scatter of I(d): tokens shuffled one by one would be taken for information nearly always."""
    transition = 0.8 * np.eye(6) + 0.2 / 6
    p = many_p(lambda k: [markov(transition, 800, 10 * k + place) for place in range(4)], 64, 100)
    # The block at a document's end and the joins make the test not quite exact.
    assert np.mean(p <= 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 100)
    assert 0.4 < p.mean() < 0.6


def test_a_copy_is_found_at_its_distance_alone():
    curve = l2m.two_point(copies(0), [1, 3, 7, 14, 50], permutations=199)
    assert curve.permutation_p[2] == 1 / 200
    assert (curve.permutation_q <= 0.05).tolist() == [False, False, True, False, False]
    assert curve.significance_words == (
        "I(d) is above chance at d = 7 (false discovery rate of 5% over 5 distances, 199 permutations within documents)."
    )
    assert curve.significance_words in curve.explain()


def test_p_and_q_by_hand():
    permuted = np.array([[0.1, 0.5, np.nan], [0.2, 0.4, np.nan], [0.3, 0.3, np.nan]])
    p = p_values(np.array([0.25, 0.5, np.nan]), permuted)
    np.testing.assert_allclose(p, [2 / 4, 2 / 4, np.nan])
    q = q_values(np.array([0.01, np.nan, 0.04, 0.03]))
    np.testing.assert_allclose(q, [0.03, np.nan, 0.04, 0.04])  # 3 p / rank, not falling
    assert np.isnan(q_values(np.full(2, np.nan))).all()


def test_permutations_in_folders_and_records_of_before(tmp_path):
    documents = copies(1)
    settings = TwoPointSettings(distances=[1, 7], permutations=19)
    job = TwoPointJob(documents, settings, parts=2, threads=1)
    assert run_in_folder(job, tmp_path / "a", (0, 2)) is None
    assert run_in_folder(TwoPointJob(documents, settings, parts=2, threads=2), tmp_path / "b", (1, 2)) is None
    _, merged = merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "c", job.corpus)
    direct = l2m.two_point(documents, [1, 7], permutations=19)
    merged.save(tmp_path / "merged")
    direct.save(tmp_path / "direct")
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "direct").read_bytes()
    assert l2m.load(tmp_path / "direct").to("bits").permutation_p.tolist() == direct.permutation_p.tolist()
    # Without permutations, options and settings are those of folders that knew none.
    plain = TwoPointJob(documents, TwoPointSettings(distances=[1, 7]), parts=2)
    assert "permutations" not in json.dumps([plain.options, plain.settings])
    assert TwoPointJob.remake(plain.corpus, plain.options).measured.permutations == 0
    assert plain.run_all().permutation_p is None
    damaged = tmp_path / "a" / "tasks" / "permutation-00000.json"
    if not damaged.exists():
        damaged = tmp_path / "b" / "tasks" / "permutation-00000.json"
    damaged.write_text(damaged.read_text().replace("[", '["x",', 1))
    with pytest.raises(l2m.InputError, match=r"permutation-00000.json"):
        run_in_folder(job, damaged.parent.parent)


@pytest.mark.parametrize(
    ("number", "message"), [(18, "permutations: 18"), (-1, "permutations: -1"), (2.5, "permutations: 2.5")]
)
def test_too_few_permutations_are_refused(number, message):
    with pytest.raises(l2m.InputError, match=f"^{message}"):
        l2m.two_point([np.arange(10)], [1], permutations=number)
