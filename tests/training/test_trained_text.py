"""The model of a training run on text, scored by the folder of the run."""

from pathlib import Path

import numpy as np
import pytest

import l2m
from l2m.cli import main
from l2m.errors import InputError
from l2m.scoring.settings import ScoreSettings
from l2m.training.evaluation import evaluate
from l2m.training.loop import train
from l2m.training.trained_text import is_run, trained_scorer
from training_runs import quick, text_corpus


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    corpus = text_corpus(folder / "corpus")
    train(quick(corpus=str(corpus), length=32, steps=1), folder / "run", device="cpu")
    return folder


def score(corpus: Path, model: Path, out: Path, *options: str) -> int:
    words = [
        "score",
        str(corpus),
        "--model",
        str(model),
        "--out",
        str(out),
        "--length",
        "32",
        "--ratios",
        "2",
        "--shuffles",
        "0",
    ]
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--device", "cpu", *options])
    return int(stopped.value.code or 0)


def test_a_run_is_scored_on_the_documents_that_it_held_out(run: Path) -> None:
    assert score(run / "corpus", run / "run", run / "scores", "--windows", "4") == 0
    scores = l2m.Scores.open(run / "scores")
    assert len(scores) == 4
    assert scores.settings["corpus"]["documents"] == 4  # one in ten
    np.testing.assert_allclose(  # the same windows under the same model as `l2m evaluate` reads
        l2m.position_nll(scores).nll, evaluate(run / "run", sequences=4, device="cpu").nll, atol=1e-6
    )


def test_another_corpus_is_scored_whole(run: Path) -> None:
    other = l2m.Corpus.open(text_corpus(run / "other", documents=11, seed=1))
    _, kept = trained_scorer(str(run / "run"), other, ScoreSettings(length=32))
    assert kept is other
    assert score(run / "other", run / "run", run / "planned", "--dry-run") == 0


def test_what_does_not_fit_a_run_is_refused(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some words " * 40)
    text = l2m.tokenize(tmp_path / "text.txt", "words")
    with pytest.raises(InputError, match=r"^corpus: tokenized with 'words'"):
        trained_scorer(str(run / "run"), text, ScoreSettings(length=32))
    with pytest.raises(InputError, match=r"^dtype: given for a run"):
        trained_scorer(str(run / "run"), text, ScoreSettings(length=32, dtype="bfloat16"))
    train(quick(length=16, steps=1), tmp_path / "gaussian", device="cpu")
    with pytest.raises(InputError, match="Gaussian language; expected a run on text"):
        trained_scorer(str(tmp_path / "gaussian"), text, ScoreSettings(length=32))
    assert score(tmp_path / "text.txt", run / "run", tmp_path / "scores") != 0
    assert "expected the folder of a corpus" in capsys.readouterr().err
    assert not is_run(str(tmp_path))
