"""Without any extra, every command and public function works or says in one line, at its start, what it needs."""

import json
from pathlib import Path

import pytest

from base_commands import NEED, WORK
from base_commands import material as make_material
from base_install import base_distributions, make_site, run_in
from l2m.cli import COMMANDS
from scored import measured, strong_chain

EXTRAS = ("torch", "transformers", "tokenizers", "matplotlib", "pandas", "pyarrow", "datasets", "fsspec", "ray")

RUN_ALL = """
import contextlib, io, json, sys
from l2m.cli import main
for arguments in json.loads({commands!r}):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, out.getvalue(), err.getvalue()]))
"""

OF_SCORES = [["bipartite", "scores", "--out", "b"], ["nll", "scores", "--out", "n"]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site(tmp_path_factory.mktemp("base") / "site")


@pytest.fixture
def material(tmp_path: Path) -> Path:
    make_material(tmp_path)
    return tmp_path


def run_all(site: Path, commands: list[list[str]], cwd: Path) -> list[tuple[int, str, str]]:
    result = run_in(site, RUN_ALL.format(commands=json.dumps(commands)), cwd)
    assert result.returncode == 0, result.stderr
    return [tuple(json.loads(line)) for line in result.stdout.splitlines()]


def test_every_command_is_named_here() -> None:
    named = {arguments[0] for arguments in [*WORK, *(command for command, _ in NEED), *OF_SCORES]}
    assert named == set(COMMANDS)


def test_the_site_has_the_base_alone(site: Path, tmp_path: Path) -> None:
    found = run_in(site, f"from l2m.base.optional import installed; print(*map(installed, {EXTRAS!r}))", tmp_path)
    assert found.stdout.split() == ["False"] * len(EXTRAS), found.stderr
    assert {"numpy", "scipy", "cyclopts", "jinja2", "markupsafe"} <= base_distributions()


def test_every_command_works_or_names_its_extra_before_it_begins(site: Path, material: Path) -> None:
    results = run_all(site, [*WORK, *(command for command, _ in NEED)], material)
    for arguments, (status, out, err) in zip(WORK, results[: len(WORK)], strict=True):
        assert status == 0, (arguments, err)
        assert out
        assert all(line.startswith("l2m: no figures without matplotlib") for line in err.splitlines()), err
    left = {path.name for path in material.iterdir()}
    for (arguments, hint), (status, out, err) in zip(NEED, results[len(WORK) :], strict=True):
        assert (status, out) == (2, ""), (arguments, out, err)
        assert err.count("\n") == 1
        assert err.startswith("l2m: ")
        assert "not installed" in err
        assert err.endswith(f"{hint}\n"), err
    assert not left & {"m", "s", "t", "p", "g", "r"}  # refused before anything was written


def test_scores_are_read_without_a_model(site: Path, tmp_path: Path) -> None:
    measured(strong_chain(), tmp_path, windows=60)
    for status, out, err in run_all(site, OF_SCORES, tmp_path):
        assert status == 0, err
        assert out
    assert list((tmp_path / "b").glob("*.json"))
    assert not list((tmp_path / "b").glob("*.svg"))


PUBLIC = """
import inspect, l2m
for name in l2m.__all__:
    getattr(l2m, name)
law = l2m.PowerLaw.of(2.27, 0.76)
for needs in (lambda: law.to_frame(), lambda: law.plot(), lambda: l2m.score([[1, 2, 3, 4]], "gpt2", out="x"),
              lambda: l2m.measure([], "gpt2", "x"), lambda: l2m.history_state("owner/none"),
              lambda: l2m.tokenize("text", "gpt2")):
    try:
        needs()
    except l2m.InputError as error:
        print(error)
"""


def test_the_library_says_it_too(site: Path, tmp_path: Path) -> None:
    result = run_in(site, PUBLIC, tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 6
    for line, extra in zip(lines, ("frames", "plots", "lm", "lm,plots", "text", "text"), strict=True):
        assert line.endswith(f"pip install 'l2m-scaling[{extra}]'"), line
