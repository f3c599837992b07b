"""What is printed fits the terminal; examples in the help run through the parser; completion; notes that --quiet leaves out."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import l2m
from l2m.cli import COMMANDS, _examples, main, make_app
from l2m.corpora.documents import Document
from l2m.corpora.sources import Source

FOX = "The quick brown fox jumps over the lazy dog. " * 60


def run(*arguments: str, columns: int | None = None, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    if columns is not None:
        environment["COLUMNS"] = str(columns)
    return subprocess.run(
        [sys.executable, "-m", "l2m", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        **options,
    )  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    "arguments",
    [
        ["state", "--catalogue"],
        ["condition", "--law", "2.27,0.76,0.70,0.83", "mamba-130m", "gpt2", "--length", "131072"],
        ["entropy", "fox.txt", "--estimator", "plug-in", "--symbols", "words"],
        ["gaussian", "--layers", "4"],
        ["ngrams", "fox.txt", "--n-max", "3", "--most-common", "3"],
        ["fit", "curve.csv"],
        ["two-point", "corpus", "--out", "two"],
        ["covariance", "corpus", "--distances", "1,2,4"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_everything_fits_60_columns(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "fox.txt").write_text(FOX)
    (tmp_path / "curve.csv").write_text("x,y\n" + "".join(f"{2**k},{3 * 1.5**k + (k % 3) / 9}\n" for k in range(3, 11)))
    words = np.random.default_rng(0).integers(0, 9, (24, 400))
    l2m.Corpus([np.repeat(row, 3) for row in words]).save(tmp_path / "corpus")
    narrow, free = (run(*arguments, columns=columns, cwd=tmp_path) for columns in (60, None))
    assert narrow.returncode == free.returncode == 0, narrow.stderr
    assert max(map(len, narrow.stdout.splitlines())) <= 60
    if arguments[0] in ("state", "condition"):  # cards: what a row has, under its name
        names = [line for line in narrow.stdout.splitlines() if line and not line.startswith(" ")]
        assert any("mamba-130m" in name for name in names)
        assert max(map(len, free.stdout.splitlines())) > 60
    elif arguments[0] == "fit":  # fewer columns, and each on one line
        assert "log L" in free.stdout
        assert next(line for line in narrow.stdout.splitlines() if line.startswith("power law ")).count(".") == 3
    else:
        assert narrow.stdout.split() == free.stdout.split()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_parse(command: str) -> None:
    import shlex

    lines = _examples(command)
    assert lines
    app = make_app()
    for line in lines:
        part = line.removeprefix("source <(").removesuffix(")").split(" > ")[0].split("| ")[-1]
        program, *words = shlex.split(part)
        assert program == "l2m"
        assert words[0] == command
        app.parse_args(["<stdin>" if word == "-" else word for word in words], exit_on_error=False, print_error=False)


def test_the_help_shows_them() -> None:
    shown = run("fit", "--help").stdout
    assert "Examples:" in shown
    assert "l2m fit curve.csv --x length" in shown
    assert "--quiet" in shown
    assert run("help", "fit").stdout == shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(shell: str) -> None:
    result = run("completion", shell)
    assert result.returncode == 0, result.stderr
    assert "two-point" in result.stdout
    assert "--max-distance" in result.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=result.stdout, text=True, check=True)


def test_quiet_leaves_out_notes(tmp_path: Path) -> None:
    code = "import logging, l2m.cli, l2m.cli.state\ndef state(): logging.getLogger('l2m').warning('a note'); print(1)\n"
    code += "l2m.cli.state.state = state\nl2m.cli.main({arguments})"
    loud, quiet = (
        subprocess.run([sys.executable, "-c", code.format(arguments=arguments)], capture_output=True, text=True)
        for arguments in (["state"], ["state", "--quiet"])
    )
    assert (loud.stdout, loud.stderr) == ("1\n", "l2m: a note\n")
    assert (quiet.stdout, quiet.stderr) == ("1\n", "")


def test_standard_input_and_what_a_shell_gives(tmp_path: Path) -> None:
    table = "x,y\n1,1\n2,1.7\n4,2.9\n8,5.1\n16,8.4\n"
    (tmp_path / "t.csv").write_text(table)
    plain = run("fit", "t.csv", cwd=tmp_path).stdout
    assert run("fit", "-", cwd=tmp_path, input=table).stdout == plain
    line = f"{sys.executable} -m l2m fit <(cat t.csv) --offset free --offset-bounds 0,1"
    given = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path)
    assert given.returncode == 0, given.stderr
    held = json.loads(run("tokenize", "-", "--out", "corpus", "--json", cwd=tmp_path, input=FOX).stdout)
    assert held["tokens"] == len(FOX)
    (document,) = l2m.Corpus.open(tmp_path / "corpus").documents
    assert document["id"] == "stdin"
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it
    result = run("fit", "pipe", cwd=tmp_path)
    assert result.returncode == 2
    assert "pipe" in result.stderr
    one = run("fit", "t.csv", "--offset", "free", "--offset-bounds", "0", cwd=tmp_path)
    assert one.returncode == 2
    assert "1 values; expected 2, such as 0,1" in one.stderr


@pytest.mark.parametrize(
    ("name", "meant"), [("mamba130m", "mamba-130m"), ("smollm-135m", "SmolLM2-135M"), ("mistral7b", "Mistral-7B-v0.1")]
)
def test_names_that_are_nearly_right(name: str, meant: str) -> None:
    with pytest.raises(l2m.InputError, match=rf"{name}.*did you mean .*{meant}"):
        l2m.history_state(name)


def test_a_name_like_no_other_has_no_suggestion() -> None:
    with pytest.raises(l2m.InputError) as refused:
        l2m.history_state("qqqqq")
    assert "did you mean" not in str(refused.value)


def test_words_are_shown_where_the_vocabulary_is_known(tmp_path: Path) -> None:
    (tmp_path / "fox.txt").write_text(FOX)
    run("tokenize", "fox.txt", "--tokenizer", "words", "--out", "corpus", cwd=tmp_path)
    shown = run("ngrams", "corpus", "--n-max", "2", "--most-common", "3", cwd=tmp_path).stdout
    assert "'brown' 'fox'" in shown
    bare = json.loads(run("ngrams", "corpus", "--n-max", "1", "--most-common", "1", "--json", cwd=tmp_path).stdout)[
        "orders"
    ][0]
    assert len(bare["most_common"]) == len(bare["most_common_words"]) == 1
    in_memory = run(
        "ngrams", "fox.txt", "--tokenizer", "words", "--n-max", "2", "--most-common", "3", cwd=tmp_path
    ).stdout
    assert in_memory == shown


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Windows has no <(command)")
def test_what_a_shell_pipes_is_text_for_every_command_that_reads_text(tmp_path: Path) -> None:
    """`-` and `<(command)` give what the file gives."""
    (tmp_path / "fox.txt").write_text(FOX)
    command = f"{sys.executable} -m l2m ngrams {{}} --tokenizer words --n-max 1 --most-common 2"
    wanted = run("ngrams", "fox.txt", "--tokenizer", "words", "--n-max", "1", "--most-common", "2", cwd=tmp_path).stdout
    for text in ("- < fox.txt", "<(cat fox.txt)"):
        done = subprocess.run(
            ["bash", "-c", command.format(text)], capture_output=True, text=True, cwd=tmp_path, check=True
        )
        assert done.stdout == wanted


def test_measure_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    import l2m.pipeline.measure

    given: list[object] = []

    def record(texts: list[object], *_: object, **__: object) -> None:
        given.extend(texts)
        raise l2m.InputError("seen")

    monkeypatch.setattr(l2m.pipeline.measure, "measure", record)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FOX.encode())))
    with pytest.raises(SystemExit):
        main(["measure", "-", "book.txt", "--model", "m", "--out", "o"])
    first, second = given
    assert isinstance(first, Document)
    assert first.text == FOX
    assert second == Source("book.txt")


def test_a_state_says_what_it_counts() -> None:
    """Where convolution windows make it another number than the condition's."""
    assert "convolution windows too" in run("state", "mamba-130m").stdout
    assert "convolution" not in run("state", "SmolLM2-135M").stdout


STOPPED = """
import sys, l2m.cli, l2m.cli.measure
def measure(*text: str, out: str = "", model: str = ""): raise KeyboardInterrupt
l2m.cli.measure.measure = measure
l2m.cli.main(["measure", "x", "--out", sys.argv[1]])
"""


def test_resuming_is_offered_only_where_something_was_kept(tmp_path: Path) -> None:
    def stopped() -> tuple[int, str]:
        result = subprocess.run([sys.executable, "-c", STOPPED, str(tmp_path)], capture_output=True, text=True)
        return result.returncode, result.stderr

    assert stopped() == (130, "l2m: stopped\n")
    (tmp_path / "scores" / "passes").mkdir(parents=True)
    assert stopped() == (130, "l2m: stopped\n")
    (tmp_path / "scores" / "passes" / "0.npz").write_text("")
    assert stopped() == (130, "l2m: stopped; run the same command again to resume\n")


def test_two_point_prints_alpha_with_the_sign_of_measure(capsys: pytest.CaptureFixture[str]) -> None:
    from l2m.cli.two_point import show

    random = np.random.default_rng(0)
    documents = [np.repeat(random.integers(0, 6, 400), random.integers(1, 12, 400)) for _ in range(12)]
    curve = l2m.two_point(documents, [1, 2, 3, 4, 6, 8])
    law = curve.fit()
    show(curve, None, True)
    said = json.loads(capsys.readouterr().out)
    if law.holds:
        assert said["alpha"]["value"] == -law.exponent
        assert said["alpha"]["low"] <= said["alpha"]["value"] <= said["alpha"]["high"]
    else:
        assert said["alpha"] is None
