"""The score store: damage is named."""

import pytest

import l2m
from l2m import scoring
from l2m.scoring.bipartite import bipartite
from scored import LENGTH, SOURCES, Counting, files_of, self_test_tokens


def test_a_damaged_file_is_named_and_only_its_part_is_redone(tmp_path, caplog):
    source = SOURCES["markov"]
    counted = Counting(source)
    corpus = l2m.Corpus(list(source.sample(18, LENGTH, seed=1)))
    options = {"out": tmp_path, "length": LENGTH, "max_batch_tokens": 2 * LENGTH, "shuffles": 0}
    scoring.score(corpus, counted, **options)
    expected = files_of(tmp_path)
    for damage in (
        lambda content: content[:-5],
        lambda content: b"",
        lambda c: c[:-40] + bytes([c[-40] ^ 1]) + c[-39:],
    ):
        victim = sorted((tmp_path / "passes").glob("marginal*"))[1]
        victim.write_bytes(damage(victim.read_bytes()))
        with pytest.raises(l2m.InputError, match=victim.name):
            bipartite(l2m.load(tmp_path))
        caplog.clear()
        counted.tokens = 0
        scoring.score(corpus, counted, **options)
        said = [record.getMessage() for record in caplog.records]
        assert [victim.name in line for line in said] == [True]
        assert counted.tokens == self_test_tokens(LENGTH, [32]) + 8 * (32 + 48 + 24 + 12 + 6)
        assert files_of(tmp_path) == expected
