"""`l2m condition`: models by a saved law, a measurement, a curve."""

import json
import os
import shlex
import subprocess
import sys

import pytest

import l2m
from example_records import example
from model_configs import SMOLLM2


def test_condition_command(tmp_path) -> None:
    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    law.save(tmp_path / "law.json")
    arguments = ["condition", str(tmp_path / "law.json"), "SmolLM2-135M", "mamba-130m", "--length", "4096"]
    report, figure = tmp_path / "report.html", tmp_path / "figure.svg"
    result = run_cli(*arguments, "--json", "--report", str(report), "--figure", str(figure))
    rows = json.loads(result.stdout)["rows"]
    assert [row["outcome"] for row in rows] == ["holds", "holds_as_series"]
    assert rows[0]["sufficient_length"] is None  # no limit
    assert rows[1]["required_state"] == pytest.approx(float(law.predict(4096)) / 0.06)
    assert rows[1]["frontier_state"] == pytest.approx(float(law.predict(4096)) / 0.22)
    assert report.read_text().startswith("<!DOCTYPE html>")
    assert "<svg" in figure.read_text()
    wide = {**os.environ, "COLUMNS": "200"}
    shown = subprocess.run([sys.executable, "-m", "l2m", *arguments], capture_output=True, text=True, env=wide).stdout
    assert shown.splitlines()[1].startswith("HuggingFaceTB/SmolLM2-135M")
    narrow = {**os.environ, "COLUMNS": "80"}
    shown = subprocess.run([sys.executable, "-m", "l2m", *arguments], capture_output=True, text=True, env=narrow).stdout
    title, grows, *_ = shown.splitlines()  # a card a model
    assert title == "HuggingFaceTB/SmolLM2-135M"
    assert grows.split() == ["grows", "linear"]
    for bad, words in (
        (["condition", str(tmp_path / "none.json"), "mamba-130m"], "no such file"),
        (["condition", str(tmp_path / "law.json")], "nothing named"),
        ([*arguments, "--figure", "x.gif"], "expected a name that ends in"),
    ):
        result = run_cli(*bad)
        assert result.returncode == 2
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


def test_condition_command_reads_a_measurement(tmp_path) -> None:
    """The folder `l2m measure` and `l2m demo` write: the law is taken from its results.json."""
    from l2m.pipeline.measurement import Measurement

    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    for held in (law, None):
        found = Measurement("t", {}, {}, (), example(l2m.BipartiteCurve), held, "words", (), "command", "")
        found.save(tmp_path / "results.json")
        result = run_cli("condition", str(tmp_path), "mamba-130m", "--json")
        if held is None:
            assert (result.returncode, result.stdout) == (2, "")
            assert "no law was fitted there (words)" in result.stderr
        else:
            (row,) = json.loads(result.stdout)["rows"]
            assert row["sufficient_length"] == float(l2m.condition(law, "mamba-130m").sufficient_length)


@pytest.mark.parametrize("columns", [60, 100])
def test_condition_names_both_thresholds(law_file, columns: int) -> None:
    """The optimum and the practical threshold, below the table, in lines no wider than the terminal."""

    def lines(*options: str) -> list[str]:
        command = [sys.executable, "-m", "l2m", "condition", str(law_file), "mamba-130m", *options]
        environment = {**os.environ, "COLUMNS": str(columns)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.splitlines()

    verdict = l2m.condition(l2m.load(law_file), "mamba-130m", 4096)
    found = lines("--length", "4096")
    assert max(map(len, found)) <= columns
    assert found[0] == "state-spaces/mamba-130m"  # a table is wider than 100 columns: a card
    assert any(line.split()[:3] == ["at", "the", "optimum"] for line in found)
    begun = next(place for place, line in enumerate(found) if line.startswith("Needed at"))
    note = " ".join(" ".join(found[begun:]).split())
    assert note == f"{verdict.needs}."
    assert "(0.22 nats a number at a KL of 0.01), at what trained Mambas reach" in note
    assert "(0.06; paper, not reproduced), which decides" in note
    if columns == 60:
        assert "not reproduced" not in " ".join(lines("--threshold", "0.12"))
        assert len(lines("--format", "csv")) == 2


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "l2m", *arguments], capture_output=True, text=True)


@pytest.fixture
def law_file(tmp_path):
    l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8]).save(tmp_path / "law.json")
    return tmp_path / "law.json"


@pytest.mark.parametrize(
    "options",
    [
        ["--threshold", "0"], ["--threshold", "-0.06"], ["--threshold", "nan"], ["--threshold", "inf"],
        ["--threshold", "much"], ["--length", "0"], ["--length", "-5"], ["--length", "nan"], ["--length", "1e400"],
        ["--seed", "-1"], ["--seed", "2.5"], ["--dtype", "int3"], ["131072"], ["--report", "/no/such/folder/r.html"],
        ["--figure", "/no/such/folder/f.svg"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_options_are_one_line(law_file, options: list[str]) -> None:
    one_line(run_cli("condition", str(law_file), "mamba-130m", *options))


def test_laws_that_were_changed_are_named(law_file, tmp_path) -> None:
    """A digit, a field, a type, an end, another kind, no file at all: each one line that names the file."""
    text = law_file.read_text()
    saved = json.loads(text)
    unsealed = {name: value for name, value in saved.items() if name != "checksum"}
    changed = {
        "digit": text.replace("1.71", "1.72"),
        "cut": text[: len(text) // 2],
        "empty": "",
        "list": "[1, 2]",
        "no seal": json.dumps(unsealed),
        "old, of wrong types": json.dumps({**unsealed, "schema": 1, "x": "many"}),
        "old, of numbers without end": json.dumps(
            {**unsealed, "schema": 1, "x": {"dtype": "<f8", "shape": [2**60], "data": []}}
        ),
        "another kind": json.dumps({**unsealed, "kind": "threshold"}),
    }
    for name, content in changed.items():
        path = tmp_path / "changed.json"
        path.write_text(content)
        result = run_cli("condition", str(path), "mamba-130m")
        one_line(result)
        assert "changed.json" in result.stderr, (name, result.stderr)


def one_line(result: subprocess.CompletedProcess[str]) -> None:
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert result.stderr.startswith("l2m: ")
    assert result.stderr.count("\n") == 1
    assert "fault of l2m" not in result.stderr


@pytest.mark.parametrize("command", ["state", "condition"])
def test_terminals_of_ascii_and_closed_pipes(law_file, command: str) -> None:
    """No traceback where the terminal knows no superscripts, or nobody reads."""
    named = tmp = law_file.parent / "mödel²"
    tmp.mkdir()
    (tmp / "config.json").write_text(json.dumps(SMOLLM2))
    arguments = [command, *([str(law_file)] if command == "condition" else []), str(named)]
    ascii_only = subprocess.run(
        [sys.executable, "-m", "l2m", *arguments],
        capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (ascii_only.returncode, ascii_only.stderr) == (0, "")
    assert "m\\xf6del" in ascii_only.stdout
    for redirect in (">&-", "2>&-", "| true"):
        line = f"{sys.executable} -m l2m {' '.join(map(shlex.quote, arguments))} {redirect}"
        closed = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        assert "Traceback" not in closed.stderr, (redirect, closed.stderr)


def test_a_law_that_is_known() -> None:
    result = run_cli("condition", "--law", "2.27,0.76", "mamba-130m", "gpt2", "--length", "131072", "--json")
    rows = {row["model"]: row for row in json.loads(result.stdout)["rows"]}
    known = l2m.condition(l2m.PowerLaw.of(2.27, 0.76), "mamba-130m", 131_072)
    row = rows["state-spaces/mamba-130m"]
    assert row["sufficient_length"] == float(known.sufficient_length)
    # One number for a state: the same in the row, in the words and in the bytes, with what it counts.
    assert row["state"] == 24 * 1536 * 16
    assert row["bytes"] == 4 * row["state"]  # Mamba's states are float32
    assert "convolution windows are left out" in row["state_counts"]
    assert "has 590 k" in known.explain()
    # A length that the model has no positions for is not "large enough with probability 1".
    assert rows["openai-community/gpt2"]["beyond_positions"]
    assert rows["openai-community/gpt2"]["probability"] == 0
    words = run_cli("condition", "--law", "2.27,0.76,0.70,0.83", "gpt2", "--length", "131072").stdout
    assert "beyond its 1,024 positions" in words
    assert "holds" not in words.split("beyond its")[0].split("\n")[-1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--law", "2.27", "mamba-130m"], "law: '2.27'; expected A,BETA or A,BETA,LOW,HIGH"),
        (["--law", "a,b", "mamba-130m"], "law: 'a,b'; expected A,BETA or A,BETA,LOW,HIGH"),
        (["--law", "none.json", "mamba-130m"], "none.json: no such file"),
        (
            ["gpt2"],
            "RESULTS: 'gpt2': no such file or folder; expected a measured law before the models, or --law A,BETA",
        ),
        (["--law", "2.27,x", "mamba-130m"], "expected A,BETA or A,BETA,LOW,HIGH"),
        (["--law", "1,2,3", "mamba-130m"], "expected A,BETA or A,BETA,LOW,HIGH"),
        (["--law", "0,0.76", "mamba-130m"], "amplitude: 0"),
        (["--law", "2.27,1.2", "mamba-130m"], "expected within (0, 1)"),
        (["--law", "2.27,0.76,0.8,0.9", "mamba-130m"], "around 0.76"),
        (["--law", "2.27,0.76"], "MODEL: nothing named"),
        ([], "RESULTS: nothing named"),
        (["--law", "2.27,0.76", "mamba-130m", "--threshold", "0"], "threshold: 0"),
    ],
    ids=" ".join,
)
def test_laws_that_are_none(options: list[str], words: str) -> None:
    result = run_cli("condition", *options)
    one_line(result)
    assert words in result.stderr
