"""Imports go down only, those inside functions and under TYPE_CHECKING included."""

import ast
from pathlib import Path

import pytest

import l2m

PACKAGE = Path(l2m.__file__).parent

BELOW = {
    "errors": set(),
    "base": {"errors"},
    "statistics": {"base", "errors"},
    "corpora": {"base", "errors"},
    "states": {"statistics", "base", "errors"},
    "counting": {"corpora", "statistics", "base", "errors"},
    "truth": {"statistics", "base", "errors"},
    "scoring": {"truth", "counting", "corpora", "statistics", "base", "errors"},
    "training": {"scoring", "truth", "counting", "corpora", "states", "statistics", "base", "errors"},
    "pipeline": {"training", "scoring", "truth", "counting", "corpora", "states", "statistics", "base", "errors"},
}
BELOW["loading"] = set(BELOW)
BELOW["cli"] = set(BELOW)
"""Folder, or module at the top -> what it may import of the others."""

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(module, module it imports) -> the reason why this import may climb or close a circle."""

# The extension, and the package itself: `import l2m` for a public name stays for the top floors.
ANYWHERE = {"_core"}


def module_name(path: Path) -> str:
    parts = ("l2m", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, known: set[str]) -> set[str]:
    """Every module of l2m that the source imports, wherever the statement is."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "l2m"}
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError("relative import")
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.module.split(".")[0] == "l2m":
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                found.add(longer if longer in known or alias.name in ANYWHERE else node.module)
    return found


def graph() -> dict[str, set[str]]:
    files = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    return {name: imports_of(path.read_text("utf-8"), set(files)) - {name} for name, path in files.items()}


def floor(module: str) -> str:
    return module.split(".")[1] if "." in module else "l2m"


def climbing(modules: dict[str, set[str]]) -> list[str]:
    wrong = []
    for module, imported in modules.items():
        here = floor(module)
        if here in ("l2m", "__main__"):
            continue
        for other in imported:
            there = floor(other)
            allowed = (
                there == here
                or there in ANYWHERE
                or there in BELOW.get(here, set())
                or (there == "l2m" and here == "cli")
            )
            if not allowed and (module, other) not in EXCEPTIONS:
                wrong.append(f"{module} imports {other}")
    return sorted(wrong)


def circles(modules: dict[str, set[str]]) -> list[str]:
    """Modules that reach themselves through imports other than the exceptions; packages count as their `__init__`."""
    edges = {
        module: {other for other in imported if (module, other) not in EXCEPTIONS and other in modules}
        for module, imported in modules.items()
        if module != "l2m"
    }

    def reaches(start: str) -> bool:
        seen: set[str] = set()
        waiting = list(edges[start])
        while waiting:
            module = waiting.pop()
            if module == start:
                return True
            if module not in seen:
                seen.add(module)
                waiting += edges.get(module, ())
        return False

    return sorted(module for module in edges if reaches(module))


def test_no_import_climbs() -> None:
    assert climbing(graph()) == []


def test_no_circle() -> None:
    assert circles(graph()) == []


def test_every_folder_has_its_floor() -> None:
    assert {floor(module) for module in graph()} - {"l2m", "__main__"} == set(BELOW)


def test_no_exception_outlives_its_import() -> None:
    modules = graph()
    assert [pair for pair in EXCEPTIONS if pair[1] not in modules.get(pair[0], set())] == []


def test_no_module_is_long() -> None:
    """A file of more than 600 lines is two files."""
    lengths = {module_name(path): len(path.read_text("utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    being_split = {
        "corpora.sources",
        "corpora.tokenize",
        "counting.two_point",
    }
    assert {name for name, lines in lengths.items() if lines > 600} <= {f"l2m.{name}" for name in being_split}


@pytest.mark.parametrize(
    "source",
    [
        "from l2m.scoring import score",
        "def f():\n    from l2m.scoring.scores import Scores",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import l2m.scoring",
    ],
)
def test_the_check_can_fail(source: str) -> None:
    modules = graph()
    modules["l2m.base.files"] |= imports_of(source, set(modules))
    assert climbing(modules)


def test_the_check_for_circles_can_fail() -> None:
    modules = graph()
    modules["l2m.base.files"] |= {"l2m.base.folders"}
    assert "l2m.base.files" in circles(modules)
