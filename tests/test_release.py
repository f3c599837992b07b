"""What a release is made of agrees with itself: versions, names, addresses, dependencies, workflows."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import l2m

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
ZENODO: dict[str, Any] = json.loads((ROOT / ".zenodo.json").read_text("utf-8"))
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}


def test_one_version_one_license_one_address() -> None:
    assert l2m.__version__ == VERSION == CITATION["version"] == RECIPE["context"]["version"]
    assert PROJECT["license"] == CITATION["license"] == ZENODO["license"] == RECIPE["about"]["license"]
    repository = PROJECT["urls"]["Repository"]
    assert repository == CITATION["repository-code"] == RECIPE["about"]["homepage"]
    assert repository in {entry["identifier"] for entry in ZENODO["related_identifiers"]}
    assert all(url.startswith(repository) for name, url in PROJECT["urls"].items() if name != "Paper")


def test_the_address_is_where_contributing_says_it_is_and_nowhere_else() -> None:
    """One command changes it; a page that repeats it would be forgotten."""
    address = PROJECT["urls"]["Repository"].removeprefix("https://")
    (named,) = re.findall(r"`sed -i \S+ ([^`]+)`", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    if not tracked:
        pytest.skip("no git here: a source archive")
    texts = {name: (ROOT / name).read_bytes() for name in tracked if (ROOT / name).is_file()}
    holding = {name for name, text in texts.items() if address.encode() in text}
    assert holding - {"CONTRIBUTING.md"} == set(named.split())


def test_authors_and_title_agree() -> None:
    (author,) = PROJECT["authors"]
    assert CITATION["authors"] == [author]
    assert ZENODO["creators"] == [author]
    assert CITATION["title"] == ZENODO["title"]
    assert PROJECT["name"] in CITATION["title"]
    assert set(CITATION["keywords"]) == set(ZENODO["keywords"]) <= set(PROJECT["keywords"])


def test_the_citation_has_what_the_format_requires() -> None:
    """CI runs cffconvert --validate as well; here, what schema 1.2.0 requires."""
    assert CITATION["cff-version"] == "1.2.0"
    for entry in (CITATION, CITATION["preferred-citation"]):
        assert entry["title"]
        assert entry["authors"]
        assert entry["type"]
    assert CITATION["message"]
    families = [author["family-names"] for author in CITATION["preferred-citation"]["authors"]]
    assert families == ["Chen", "Mayné i Comas", "Jin", "Luo", "Soljačić"]


def test_the_conda_recipe_has_the_base_dependencies() -> None:
    of_conda = {"blake3": "python-blake3"}
    wanted = {}
    for line in PROJECT["dependencies"]:
        found = Requirement(line)
        wanted[of_conda.get(found.name, found.name)] = str(found.specifier)
    held = dict(line.split(" ", 1) for line in RECIPE["requirements"]["run"])
    assert held.pop("python") == PROJECT["requires-python"]
    assert held == wanted


def test_every_platform_is_built_and_tried() -> None:
    jobs = WORKFLOWS["wheels"]["jobs"]
    targets = {entry["target"] for entry in jobs["build"]["strategy"]["matrix"]["include"]}
    assert targets == {
        "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-apple-darwin",
        "x86_64-pc-windows-msvc",
    }  # fmt: skip
    tried = {entry["target"] for entry in jobs["base"]["strategy"]["matrix"]["include"]}
    assert tried == targets - {"x86_64-apple-darwin"}  # cross-built on an arm Mac
    systems = {
        entry["os"].split("-")[0] for entry in WORKFLOWS["ci"]["jobs"]["others"]["strategy"]["matrix"]["include"]
    }
    assert systems == {"ubuntu", "macos", "windows"}


def test_workflows_run_scripts_that_exist_and_publish_without_a_token() -> None:
    steps = [
        step for workflow in WORKFLOWS.values() for job in workflow["jobs"].values() for step in job.get("steps", ())
    ]
    assert all("@" in step["uses"] for step in steps if "uses" in step)
    named = {
        word for step in steps for word in re.findall(r"(?:tools|\.ci)/[\w.]+", step.get("run", "").replace("\\", "/"))
    }
    assert {"tools/check_wheel.py", "tools/chromium.py", ".ci/run"} <= named
    assert all((ROOT / name).exists() for name in named)
    publish = WORKFLOWS["release"]["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()


@pytest.mark.parametrize(
    ("here", "options", "said"),
    [
        ({"installed": True}, [], "stays as it is"),
        ({"environment": {"UV_TORCH_BACKEND": "cu130"}}, ["--torch-backend", "cu130"], "UV_TORCH_BACKEND=cu130"),
        ({"big_by_default": False}, [], "for the CPU"),
        ({"gpu": True}, [], "CUDA for the GPU here: about 3 GB"),
        ({}, ["--torch-backend", "cpu"], "200 MB"),
        ({"reach": lambda _: False}, [], "cannot be reached"),
    ],
)
def test_setup_takes_the_smallest_torch_that_it_can_reach(here: Any, options: list[str], said: str) -> None:
    from torch_options import options as chosen

    machine: dict[str, Any] = {
        "installed": False, "gpu": False, "big_by_default": True, "environment": {}, "reach": lambda _: True,
    }  # fmt: skip
    found, line = chosen(**{**machine, **here})
    assert found == options
    assert said in line
