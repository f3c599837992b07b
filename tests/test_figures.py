"""The documentation shows the figures that docs/figures.py draws, and the tree holds no others."""

import importlib.util
import pickle
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
DOCS = Path(__file__).parents[1] / "docs"


def module_of(path: Path):
    found = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(found)
    sys.modules[path.stem] = module  # its dataclasses look themselves up
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def figures():
    return module_of(DOCS / "figures.py")


def test_every_figure_is_drawn_by_the_one_command_and_shown(figures) -> None:
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    shown = {name for page in pages for name in re.findall(r"\]\([^)]*?([\w-]+)\.svg\)", page.read_text())}
    kept = {path.stem for path in DOCS.rglob("*.svg")}
    assert shown == kept == set(figures.FIGURES)
    assert {path.name for path in figures.FOLDER.glob("*.csv")} == set(figures.DATA)


def test_a_figure_is_the_same_bytes_each_time_and_small(figures) -> None:
    first, second = (figures.as_svg(figures.FIGURES["exact-source"]()) for _ in range(2))
    assert first == second
    for text in (first, *(path.read_text() for path in figures.FOLDER.glob("*.svg"))):
        assert len(text) < 100_000
        assert not re.search(r'(?:d|x|y|points|transform)="[^"]*\.\d{3}', text)


def test_the_tables_of_the_exponent_page_are_those_of_its_data() -> None:
    study = module_of(DOCS.parent / "benches/exponent_study.py")
    assert study.table(study.read(DOCS / "figures/exponent-study.csv")) in (DOCS / "exponent.md").read_text()


def test_a_case_of_the_exponent_study_has_a_row_for_each_estimator_and_range() -> None:
    study = module_of(DOCS.parent / "benches/exponent_study.py")
    rows = study.measured(("small forest 0.75", "exact", 3, 24))
    assert {row["estimator"] for row in rows} == set(study.ESTIMATORS)
    assert len(rows) == len(study.ESTIMATORS) * len(study.RANGES)
    direct = next(row for row in rows if row["estimator"] == "direct" and row["range"] == "all l")
    # Of three trials of 24 windows: the law of the exact scorer, within four times what one trial varies by.
    assert abs(direct["bias"]) < 4 * direct["stderr"]
    assert direct["failed"] == 0
    assert study.cases_done([{**direct, "trials": "3", "windows": "24"}], 3, 24) == {("small forest 0.75", "exact")}


def test_a_notebook_shows_a_figure_as_an_image() -> None:
    """Also one that was pickled."""
    from l2m.base.plots import new_axes

    figure = pickle.loads(pickle.dumps(new_axes().figure))
    assert figure._repr_png_().startswith(b"\x89PNG")
