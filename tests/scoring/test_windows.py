"""Windows and their partners."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.scoring.windows import Windows
from texts import some_texts


def test_windows_begin_at_sentences_and_never_overlap(tiny_model):
    from tokenizers import Tokenizer

    source = scoring.resolve_model(tiny_model)
    corpus = l2m.tokenize(some_texts(4, words=900), source.tokenizer_folder, duplicates="keep")
    decoder = Tokenizer.from_file(str(source.tokenizer_folder / "tokenizer.json"))
    windows = Windows(corpus, 100, count=24, decoder=decoder)
    for document in range(4):
        starts = np.sort(windows.start[windows.document == document])
        assert starts[0] == 0
        assert (np.diff(starts) >= 100).all()
        for start in starts[1:]:
            before = decoder.decode(corpus[document][:start].tolist())
            after = decoder.decode(corpus[document][start : start + 100].tolist())
            assert before.rstrip().endswith(".")
            assert not after.lstrip().startswith(".")
    fewer = Windows(corpus, 100, count=6, decoder=decoder)
    assert (fewer.document == windows.document[:6]).all()
    assert (fewer.start == windows.start[:6]).all()
    assert windows.bytes([5]) == [len(decoder.decode(windows.tokens([5])[0].tolist()).encode())]


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
