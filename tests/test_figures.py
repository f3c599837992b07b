"""The documentation shows the figures that docs/figures.py draws, and the tree holds no others."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def figures():
    found = importlib.util.spec_from_file_location("figures", DOCS / "figures.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


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
