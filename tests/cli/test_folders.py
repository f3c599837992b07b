"""Every --out belongs to one job: each command that writes to a folder refuses that of each other, in one line, and changes nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scored import files_of, measured, strong_chain

IN_TURN = """
import contextlib, io, json, sys
from l2m.cli import main
for line in sys.stdin:
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        try:
            main(json.loads(line))
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, err.getvalue()]), flush=True)
"""
"""One process for all commands: each alone takes a second to start."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folders")
    for name, word in (("one", "fox"), ("other", "dog")):
        (folder / f"{name}.txt").write_text(f"The quick brown {word} jumps over the lazy hound. " * 60)
    measured(strong_chain(), folder, windows=60)
    return folder


def writers(out: str) -> dict[str, list[str]]:
    counting = ["--tokenizer", "words", "--threads", "1"]
    return {
        "tokenize": ["tokenize", "one.txt", "--out", out],
        "two-point": ["two-point", "one.txt", "--out", out, "--groups", "0", *counting],
        "ngrams": ["ngrams", "one.txt", "--out", out, "--n-max", "2", *counting],
        "gaussian": ["gaussian", "--layers", "2", "--out", out, "--no-figures"],
        "frontier": ["frontier", "--layers", "2", "--state", "4", "--out", out],
        "bipartite": ["bipartite", "scores", "--out", out],
        "nll": ["nll", "scores", "--out", out],
        "measure": ["measure", "one.txt", "--model", "none", "--out", out],
        "score": ["score", "one.txt", "--model", "none", "--out", out],
        "train": ["train", "--preset", "gpt2-tiny", "--length", "16", "--out", out],
    }


OTHER_SETTINGS = {
    "tokenize": ["tokenize", "other.txt", "--out", "tokenize"],
    "two-point": ["two-point", "other.txt", "--out", "two-point", "--groups", "0", "--tokenizer", "words"],
    "ngrams": ["ngrams", "one.txt", "--out", "ngrams", "--n-max", "3", "--tokenizer", "words"],
    "gaussian": ["gaussian", "--layers", "3", "--out", "gaussian", "--no-figures"],
    "frontier": ["frontier", "--layers", "2", "--state", "5", "--out", "frontier"],
    "bipartite": ["bipartite", "scores", "--out", "bipartite", "--ratio", "2"],
    "nll": ["nll", "scores", "--out", "nll", "--per-octave", "2"],
}


def test_no_command_writes_into_the_folder_of_another(folder: Path) -> None:
    makers = [name for name in writers("") if name not in ("measure", "score", "train")]
    commands = [writers(maker)[maker] for maker in makers]
    again = [writers(maker)[maker] for maker in makers]
    foreign = [writers(maker)[writer] for maker in makers for writer in makers if writer != maker]
    foreign += [writers(maker)[writer] for maker in ("two-point", "nll") for writer in ("measure", "score", "train")]
    changed = [OTHER_SETTINGS[maker] for maker in makers]
    process = subprocess.Popen(
        [sys.executable, "-c", IN_TURN],
        cwd=folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None

    def run(arguments: list[str]) -> tuple[int, str]:
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
        return tuple(json.loads(process.stdout.readline()))

    for arguments in commands:
        assert run(arguments)[0] == 0, (arguments, run(arguments))
    before = files_of(folder)
    for arguments in [*foreign, *changed]:
        status, err = run(arguments)
        assert status == 2, (arguments, status, err)
        assert err.count("\n") == 1
        out = arguments[arguments.index("--out") + 1]
        assert out in err
        assert "use" in err or "expected" in err
    assert files_of(folder) == before
    for arguments in again:
        assert run(arguments)[0] == 0, arguments
    process.communicate()
