"""The command line as a whole: options, the last line on a failure, broken pipes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from l2m.cli import main


def run(*arguments: str | os.PathLike[str], **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "l2m", *arguments], capture_output=True, text=True, timeout=120, **options
    )  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["two-point", "x", "--distances", "2.7"], "distances: '2.7'; expected a whole number"),
        (["two-point", "x", "--distances", "1,,2"], "distances: '1,,2'; a list is written with commas"),
        (["two-point", "x", "--groups", "3.0"], "groups: '3.0'; expected a whole number"),
        (["two-point", "x", "--seed", "0x10"], "seed: '0x10'; expected a whole number"),
        (["two-point", "x", "--seed", "9" * 30], "expected a whole number"),
        (["two-point", "x", "--distances", "1", "2"], "TEXT: '2' is not a file; a list is written with commas"),
        (["score", "x", "--model", "m", "--out", "o", "--ratios", "2", "3", "4"], "TEXT: '3' is not a file"),
    ],
)
def test_numbers_and_lists_are_read_strictly(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("l2m: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_list_with_commas(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("one two three four five six seven eight nine ten " * 20)
    result = run(
        "two-point", tmp_path / "t.txt", "--distances", "1,3", "--groups", "0", "--tokenizer", "words", "--json"
    )
    assert result.returncode == 0, result.stderr
    assert '"distance"' in result.stdout


UNFORESEEN = (
    "import l2m.cli, l2m.cli.state\n"
    "def state(): raise ZeroDivisionError('a \\n b')\n"
    "l2m.cli.state.state = state\n"
    "l2m.cli.main(['state'])"
)


def test_what_nobody_foresaw_is_one_line() -> None:
    result = subprocess.run([sys.executable, "-c", UNFORESEEN], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == "l2m: unexpected ZeroDivisionError (a b): a fault of l2m; L2M_TRACEBACK=1 shows where\n"


def test_a_closed_pipe_and_a_closed_stderr_are_silent() -> None:
    command = f"{sys.executable} -m l2m state --catalogue 2>&1 | head -c 5"
    assert "Traceback" not in subprocess.run(command, shell=True, capture_output=True, text=True).stdout
    closed = subprocess.run(f"{sys.executable} -m l2m no-such-command 2>&-", shell=True, capture_output=True, text=True)
    assert (closed.returncode, closed.stdout) == (2, "")


def test_an_ascii_terminal_and_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.txt")
    result = run("fit", name, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "no such file" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["two-point", "x", "--seed", "2.7"], "seed: '2.7'; expected a whole number"),
        (["two-point", "x", "--distances", "1,,2"], "distances: '1,,2'; a list is written with commas, such as 1,2,4"),
        (["ngrams", "x", "--n-max=1e3"], "n-max: '1e3'; expected a whole number"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_once(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert capsys.readouterr().err == f"l2m: {line}\n"


def test_ctrl_c_in_a_destructor_is_not_lost() -> None:
    code = """
import time
import l2m.cli as cli

class Gone:
    def __del__(self):
        raise KeyboardInterrupt

def run(_):
    Gone()
    time.sleep(60)

cli._run = run
cli.main(["fit"])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stderr) == (130, "l2m: stopped\n")


def test_version() -> None:
    assert run("-V").stdout == run("--version").stdout != ""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["fit", "x", "--out", "a.json"], "--out a.json"),
        (["fit", "--out=b"], "--out b"),
        (["fit"], "system"),
        (["fit", "--out"], "system"),
    ],
)
def test_an_error_of_the_system_without_a_name_names_the_output(
    arguments: list[str], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cyclopts

    from l2m import cli

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(cyclopts.App, "__call__", fail)
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err == f"l2m: {named}: No space left on device\n"
