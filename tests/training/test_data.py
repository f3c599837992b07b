"""Batches: a function of their number; windows of text."""

from pathlib import Path

import numpy as np
import pytest
import torch

from l2m import Corpus, InputError
from l2m.training.data import GaussianData, TextData, open_data
from training_runs import quick, text_corpus


def test_gaussian_batches_depend_on_their_number_alone() -> None:
    data = GaussianData(quick().complete())
    again = GaussianData(quick().complete())
    again.train(3, 2)
    for name, value in data.train(7, 2).items():
        assert torch.equal(value, again.train(7, 2)[name])
    assert not torch.equal(data.train(7, 2)["inputs"], data.train(8, 2)["inputs"])
    assert not torch.equal(data.train(0, 2)["inputs"], data.held_out(0, 2)["inputs"])


def test_gaussian_inputs_stand_one_before_their_targets() -> None:
    data = GaussianData(quick().complete())
    tokens, mean = data.law.tokens(2, seed=0, channels=4, first=2 * 2 * 4)
    batch = data.train(2, 2)
    assert not batch["inputs"][:, 0].any()
    np.testing.assert_array_equal(batch["inputs"], tokens[:, :-1])
    np.testing.assert_array_equal(batch["true_mean"], mean)


def test_text_windows_lie_in_documents_and_held_out_ones_are_apart(tmp_path: Path) -> None:
    corpus = Corpus([np.full(20 + index, index) for index in range(30)], vocab_size=30)
    corpus.save(tmp_path / "corpus")
    data = TextData(quick(corpus=str(tmp_path / "corpus"), length=20).complete())
    trained, held_out = (make(0, 400)["targets"].numpy() for make in (data.train, data.held_out))
    for windows in (trained, held_out):
        assert np.all(windows == windows[:, :1]), "a window crosses documents"
    assert set(held_out[:, 0]) == {0, 10, 20}
    assert set(trained[:, 0]) == set(range(30)) - {0, 10, 20}
    batch = data.train(5, 3)
    assert (batch["inputs"][:, 0] == 30).all()
    assert torch.equal(batch["inputs"][:, 1:], batch["targets"][:, :-1])


def test_text_places_have_equal_odds(tmp_path: Path) -> None:
    """A document of 20 + k tokens has k + 1 windows of 20: chi-square over documents, at most its 99.9 % point."""
    from scipy.stats import chi2

    Corpus([np.full(20 + 10 * (index % 4), index) for index in range(20)], vocab_size=20).save(tmp_path)
    data = TextData(quick(corpus=str(tmp_path), length=20).complete())
    drawn = np.bincount(data.train(0, 20_000)["targets"][:, 0].numpy(), minlength=20)
    odds = np.array([0 if index % 10 == 0 else 1 + 10 * (index % 4) for index in range(20)], float)
    expected = 20_000 * odds / odds.sum()
    kept = odds > 0
    assert ((drawn - expected)[kept] ** 2 / expected[kept]).sum() < chi2.ppf(0.999, kept.sum() - 1)


def test_make_data_by_config(tmp_path: Path) -> None:
    assert isinstance(open_data(quick().complete()), GaussianData)
    corpus = str(text_corpus(tmp_path / "corpus"))
    assert isinstance(open_data(quick(corpus=corpus).complete()), TextData)
    with pytest.raises(InputError, match="0 documents of at least 500 tokens"):
        open_data(quick(corpus=corpus, length=500).complete())
