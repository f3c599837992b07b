"""Windows and their partners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import l2m
from l2m import scoring
from l2m.scoring.windows import SENTENCE_REACH, STARTS, Windows, room
from texts import some_texts


class Latin:
    """Ids are characters."""

    def decode(self, ids, skip_special_tokens=False):
        return bytes(ids).decode("latin-1")


@pytest.fixture(scope="module")
def prose(tiny_model):
    """(corpus of 4 documents, decoder)"""
    from tokenizers import Tokenizer

    source = scoring.resolve_model(tiny_model)
    corpus = l2m.tokenize(some_texts(4, words=900), source.tokenizer_folder, duplicates="keep")
    return corpus, Tokenizer.from_file(str(source.tokenizer_folder / "tokenizer.json"))


@pytest.mark.parametrize("rule", ["anywhere", "head"])
def test_windows_begin_at_sentences_and_never_overlap(rule, prose):
    corpus, decoder = prose
    windows = Windows(corpus, 100, count=24, decoder=decoder, starts=rule)
    for document in range(4):
        of_document = windows.start[windows.document == document]
        starts = np.sort(of_document)
        assert (np.diff(starts) >= 100).all()
        assert starts[-1] + 100 <= len(corpus[document])
        if rule == "head":
            assert of_document[0] == 0
            assert (of_document == starts).all()
        for start in starts[starts > 0]:
            before = decoder.decode(corpus[document][:start].tolist())
            after = decoder.decode(corpus[document][start : start + 100].tolist())
            assert before.rstrip().endswith(".")
            assert not after.lstrip().startswith(".")
    fewer = Windows(corpus, 100, count=6, decoder=decoder, starts=rule)
    assert (fewer.document == windows.document[:6]).all()
    assert (fewer.start == windows.start[:6]).all()
    text = decoder.decode(windows.tokens([5])[0].tolist())
    assert windows.text_sizes([5]) == {"bytes": [len(text.encode())], "characters": [len(text)]}


def test_first_windows_lie_anywhere_and_the_seed_draws_them():
    """A thousand documents of 10 slots: the first windows' starts are uniform (3 standard errors of their mean, and each tenth)."""
    corpus = l2m.Corpus([np.arange(1000, dtype=np.uint16)] * 1000)
    start = Windows(corpus, 100).start
    assert abs(start.mean() - 450) < 3 * (1000**2 / 12 / 1000) ** 0.5
    tenths = np.bincount(start // 100, minlength=10)
    assert (np.abs(tenths[:10] - 100) < 4 * 90**0.5).all()
    assert (Windows(corpus, 100, seed=1).start != start).mean() > 0.8
    every = Windows(corpus.select([0]), 100, count=10)
    assert sorted(every.start) == [100 * slot for slot in range(10)]
    with pytest.raises(l2m.InputError, match="room for 10 "):
        Windows(corpus.select([0]), 100, count=11)


@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=6),
    length=st.integers(1, 120),
    seed=st.integers(0, 99),
    rule=st.sampled_from(STARTS),
    spell=st.booleans(),
)
def test_any_corpus_gives_disjoint_windows_inside_their_documents(sizes, length, seed, rule, spell):
    """Also where documents are just long enough, and where every token or none begins a sentence."""
    text = np.frombuffer((b"One. Two. " * 41)[:400], np.uint8)
    corpus = l2m.Corpus([text[:size] for size in sizes])
    decoder = Latin() if spell else None
    if max(sizes) < length:
        with pytest.raises(l2m.InputError, match="longest document"):
            Windows(corpus, length, seed=seed, decoder=decoder, starts=rule)
        return
    first = Windows(corpus, length, seed=seed, decoder=decoder, starts=rule)
    assert list(first.document) == [d for d, size in enumerate(sizes) if size >= length]
    places = room(np.array(sizes), length, SENTENCE_REACH if spell else 0)
    windows = Windows(corpus, length, seed=seed, count=int(places.sum()), decoder=decoder, starts=rule)
    assert (windows.start[: len(first)] == first.start).all()
    taken = np.zeros((len(sizes), 400), int)
    for document, start in zip(windows.document, windows.start, strict=True):
        assert 0 <= start <= sizes[document] - length
        taken[document, start : start + length] += 1
    assert taken.max() == 1


def test_code_begins_after_blank_lines():
    """`nupunkt` makes one sentence of a whole file; there windows begin where a blank line ends a block."""
    block = b"def name(value):\n    return value + 1\n\n\n"
    corpus = l2m.Corpus([np.frombuffer(block * 60, np.uint8)])
    windows = Windows(corpus, 200, count=6, decoder=Latin())
    assert (windows.start % len(block) == 0).all()


def test_partners_are_other_documents_and_differ():
    corpus = l2m.Corpus([np.full(80, i) for i in range(7)])
    windows = Windows(corpus, 20, count=21)
    drawn = np.array([windows.partners(range(21), k)[1] for k in range(6)])
    assert (drawn != windows.document).all()
    assert all(len(set(column)) == 6 for column in drawn.T)
    tokens, documents = windows.partners(range(21), 3)
    assert (tokens == documents[:, None]).all()
    assert (Windows(corpus, 20, count=7).partners(range(7), 2)[1] == drawn[2, :7]).all()
    with pytest.raises(l2m.InputError, match="two documents"):
        Windows(corpus.select([0]), 20).partners([0], 0)
