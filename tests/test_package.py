"""The package as a user meets it: light to import, quick to help."""

import subprocess
import sys
import time

import pytest

HEAVY = ("scipy", "torch", "transformers", "matplotlib", "pandas", "pyarrow", "cyclopts", "rich", "jinja2")


def heavy_modules_after(statement: str) -> list[str]:
    code = f"import sys\n{statement}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_import_is_light() -> None:
    assert heavy_modules_after("import l2m") == []


def test_every_public_name_is_there_and_light() -> None:
    assert heavy_modules_after("import l2m\nfor name in l2m.__all__: getattr(l2m, name)") == []


def test_a_function_keeps_its_name_from_its_module() -> None:
    """`l2m.two_point` is the function also after something imported the module of that name."""
    import l2m
    import l2m.pipeline.measure

    assert all(callable(getattr(l2m, name)) for name in ("two_point", "bipartite", "measure", "entropy", "condition"))


def test_the_check_for_heavy_modules_can_fail() -> None:
    assert heavy_modules_after("import l2m, scipy") == ["scipy"]


def best_time(*arguments: str) -> float:
    """The quickest of several runs: what the work takes when nothing else has the processor."""
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def test_import_takes_at_most_50_ms_more_than_numpy() -> None:
    assert best_time("-c", "import l2m") - best_time("-c", "import numpy") < 0.05


def test_help_under_half_a_second() -> None:
    assert best_time("-m", "l2m", "--help") < 0.5


@pytest.mark.parametrize("arguments", [["no-such-command"], ["tokenize", "--no-such-flag"], ["tokenize", "--out"]])
def test_bad_arguments_are_one_line_and_exit_2(arguments: list[str]) -> None:
    result = subprocess.run([sys.executable, "-m", "l2m", *arguments], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("l2m: ")
    assert result.stderr.count("\n") == 1
