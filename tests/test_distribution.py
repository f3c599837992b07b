"""The package index knows this project as `l2m-scaling`; `l2m` there is somebody else's."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXTS = [
    path
    for pattern in (
        "*.md",
        "Makefile",
        "pyproject.toml",
        "docs/**/*.md",
        "python/**/*.py",
        "python/**/*.j2",
        "benches/**/*.py",
        "tools/*.py",
        ".github/workflows/*.yml",
        "conda/*.yaml",
        "CITATION.cff",
        ".zenodo.json",
    )
    for path in ROOT.glob(pattern)
]
WRONG = re.compile(r"\b(pip|pipx|conda|poetry|uv)\s+(install|add)\s+(-\S+\s+)*['\"]?l2m(\[|['\"`\s]|$)")


def test_the_name_on_the_index() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "l2m-scaling"
    assert project["scripts"] == {"l2m": "l2m.cli:main"}


def test_no_text_tells_anyone_to_install_somebody_elses_package() -> None:
    assert len(TEXTS) > 100
    found = [f"{path}: {line}" for path in TEXTS for line in path.read_text("utf-8").splitlines() if WRONG.search(line)]
    assert found == []


def test_the_check_can_fail() -> None:
    assert all(
        WRONG.search(f"run {line}") for line in ("pip install l2m", "pip install 'l2m[lm]'", "uv pip install l2m ")
    )
    assert not WRONG.search("pip install 'l2m-scaling[lm]' and then run l2m")
