"""n-gram counts against a dictionary, whatever the memory and threads."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m

documents_of_ids = st.lists(
    st.lists(st.integers(0, 4), max_size=30).map(lambda ids: np.array(ids, np.int64)), min_size=1, max_size=6
).filter(lambda documents: any(len(ids) for ids in documents))


def reference(documents, n):
    return Counter(tuple(ids[i : i + n].tolist()) for ids in documents for i in range(len(ids) - n + 1))


@settings(max_examples=60, deadline=None)
@given(documents_of_ids, st.integers(1, 8), st.sampled_from([1, 1000, (1 << 30) - 1]))
def test_every_order_is_counted_as_a_dictionary_would(documents, n_max, spread):
    documents = [ids * spread for ids in documents]
    counts = l2m.ngrams(documents, n_max)
    for n in range(1, n_max + 1):
        expected = reference(documents, n)
        assert (counts.total(n), counts.distinct(n)) == (sum(expected.values()), len(expected))
        if expected:
            assert counts.entropy(n).value == l2m.entropy(list(expected.values())).value
        common = sorted(expected.items(), key=lambda item: (-item[1], item[0]))
        assert counts.most_common(n, 5) == common[:5]
        rows = [
            (tuple(row), int(count))
            for ids, number in counts.table(n)
            for row, count in zip(ids.tolist(), number, strict=True)
        ]
        assert rows == sorted(expected.items())


def test_threads_and_memory_do_not_change_the_answer(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 3000, 200_000)
    for name, options in {"a": {}, "b": {"threads": 1}, "c": {"memory": "4MiB"}}.items():
        l2m.ngrams(tokens, 4, **options).save(tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1
    with pytest.raises(l2m.InputError, match="loaded from a file"):
        l2m.load(tmp_path / "a").most_common(2)


def test_the_table_goes_to_parquet(tmp_path):
    import pyarrow.parquet as pq

    counts = l2m.ngrams([[1, 2, 1, 2], [2, 1]], 2)
    counts.to_parquet(tmp_path / "table.parquet", 2)
    rows = pq.read_table(tmp_path / "table.parquet").to_pylist()
    assert rows == [{"token_1": 1, "token_2": 2, "count": 2}, {"token_1": 2, "token_2": 1, "count": 2}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_max": 0}, "n_max: 0"),
        ({"n_max": 9}, "n_max: 9"),
        ({"threads": 0}, "threads: 0"),
        ({"threads": 10**6}, "threads: 1000000"),
        ({"n_max": 2.5}, "n_max: 2.5"),
        ({"n_max": 10**30}, "n_max"),
        ({"memory": "1KB"}, "needs"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(l2m.InputError, match=message):
        l2m.ngrams([1, 2, 3], **arguments)
    with pytest.raises(l2m.InputError, match="no tokens"):
        l2m.ngrams([])


def test_bits_are_bits():
    counts = l2m.ngrams(np.random.default_rng(1).integers(0, 9, 500), 3)
    bits = counts.to("bits")
    np.testing.assert_allclose(bits.block_entropies * np.log(2), counts.block_entropies)
    np.testing.assert_allclose(bits.columns()["rate"] * np.log(2), counts.columns()["rate"])
    assert bits.entropy(2).unit == "bits"
    assert bits.entropy(2).value == pytest.approx(counts.entropy(2).value / np.log(2))
    assert bits.plot().get_ylabel() == "entropy (bits)"
    assert (bits.total(2), bits.most_common(2)) == (counts.total(2), counts.most_common(2))


def test_the_source_is_not_saved_and_a_file_cannot_bring_one(tmp_path):
    import json

    counts = l2m.ngrams([1, 2, 1, 2], 2)
    counts.save(tmp_path / "saved")
    assert "source" not in json.loads((tmp_path / "saved").read_text())
    loaded = l2m.load(tmp_path / "saved")
    assert loaded.source is None
    assert loaded.total(2) == 3
    with pytest.raises(l2m.InputError, match="loaded from a file"):
        next(loaded.table(2))


@pytest.mark.parametrize("k", [0, -1, 1 << 63, 1.5, "3"])
def test_how_many_of_the_most_common_is_bounded(k):
    with pytest.raises(l2m.InputError, match=r"^k: "):
        l2m.ngrams([1, 2, 1, 2], 2).most_common(2, k)
