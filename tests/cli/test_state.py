"""`l2m state`, and the page about memory as its readers run it."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import l2m


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "l2m", *arguments], capture_output=True, text=True)


def test_state_command() -> None:
    result = run_cli("state", "SmolLM2-135M", "mamba-130m", "--lengths", "10,1000", "--json")
    rows = {row["model"]: row for row in json.loads(result.stdout)["rows"]}
    assert rows["HuggingFaceTB/SmolLM2-135M"]["numbers_1000"] == 11_520_000
    assert rows["HuggingFaceTB/SmolLM2-135M"]["bytes_10"] == 230_400
    assert rows["state-spaces/mamba-130m"]["saturation_length"] == 1
    assert run_cli("state", "SmolLM2-135M", "--format", "csv").stdout.startswith("model,family,growth,")
    assert run_cli("state", "SmolLM2-135M", "--format", "markdown").stdout.startswith("| model | family |")
    for bad in (
        ["state"],
        ["state", "/no/such/folder"],
        ["state", "SmolLM2-135M", "--lengths", "0"],
        *(["state", "gpt2", "--lengths", bad] for bad in ("2.7", "-3", "1,,2", "1e3", "nan", "9" * 30, "10,x", "")),
        ["state", "gpt2", "--lengths", "10", "1000"],
        ["state", "gpt2", "--dtype", "int3"],
    ):
        result = run_cli(*bad)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("l2m: ")
        assert result.stderr.count("\n") == 1


def rows_of(*arguments: str) -> dict[str, dict]:
    result = run_cli(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    return {row["model"]: row for row in json.loads(result.stdout)["rows"]}


def test_what_fits_a_budget() -> None:
    """The same command in words; memory, batch and engine as in Python; torch is not imported."""
    arguments = ["state", "google/gemma-3-1b-it", "--memory", "8GB", "--batch", "4", "--engine", "vllm"]
    row = rows_of(*arguments)["google/gemma-3-1b-it"]
    plan = l2m.memory_plan("google/gemma-3-1b-it", engine="vllm")
    assert row["fits_length"] == plan.longest_length("8GB", 4)
    assert row["sequences_8192"] == plan.most_sequences("8GB", 8192)
    assert row["weight_bytes"] == 2 * 999_885_952
    assert row["total_bytes_8192"] == plan.bytes(8192, 4) == row["weight_bytes"] + row["batch_bytes_8192"]
    assert (row["usable_length"], row["limited_by"]) == (32_768, "positions")
    words = run_cli(*arguments).stdout
    assert "4 fit up to" in words
    assert "vLLM 0.33.0" in words
    code = (
        "import sys\nfrom l2m.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules, 'scipy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False False False"


def test_what_fits_and_what_holds(tmp_path) -> None:
    """The verdict next to the plan: each model is limited by what ends first."""
    models = ["mamba-130m", "Qwen3-8B", "Qwen3.6-27B"]
    arguments = [
        "state",
        *models,
        "--memory",
        "24GB",
        "--reserve",
        "2GB",
        "--weights-dtype",
        "4.85",
        "--law",
        "2.27,0.76",
    ]
    figure = tmp_path / "plan.svg"
    rows = rows_of(*arguments, "--figure", str(figure))
    assert "<svg" in figure.read_text()
    law = l2m.PowerLaw.of(2.27, 0.76)
    mamba = rows["state-spaces/mamba-130m"]
    assert (mamba["fits_length"], mamba["limited_by"]) == (None, "information")
    assert mamba["usable_length"] == math.floor(l2m.condition(law, "mamba-130m").sufficient_length)
    assert rows["Qwen/Qwen3-8B"]["limited_by"] == "positions"
    large = rows["Qwen/Qwen3.6-27B"]
    assert large["limited_by"] == "memory"
    assert large["usable_length"] == l2m.memory_plan("Qwen3.6-27B", weights_dtype=4.85, reserve="2GB").longest_length(
        "24GB"
    )
    usable = [row["usable_length"] for row in rows.values()]
    assert usable == sorted(usable, reverse=True)


@pytest.mark.parametrize(
    "bad",
    [
        ["--memory", "much"], ["--memory", "0"], ["--engine", "ollama"], ["--batch", "0"], ["--weights-dtype", "int3"],
        ["--law", "2.27"], ["--law", "/no/such/file"], ["--block", "0"], ["--figure", "x.gif"], ["--reserve", "-1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_plans_are_one_line(bad: list[str]) -> None:
    result = run_cli("state", "gpt2", *bad)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("l2m: ")
    assert result.stderr.count("\n") == 1
    assert "fault of l2m" not in result.stderr


def test_the_docs_page_runs(tmp_path) -> None:
    """Every block of Python and every command of docs/memory.md, in order, as a reader would run them; what it prints is there."""
    page = (Path(__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8")
    code = ""
    written = False
    for language, block in re.findall(r"```(python|console)\n(.*?)```", page, flags=re.S):
        if language == "python":
            code += block
            (tmp_path / "page.py").write_text(code, encoding="utf-8")
            written = False
        else:
            if code and not written:
                subprocess.run([sys.executable, "page.py"], cwd=tmp_path, check=True, capture_output=True)
                written = True
            command, *output = block.replace("\\\n", "").splitlines()
            result = subprocess.run(
                [sys.executable, "-m", "l2m", *command.removeprefix("$ l2m ").split()],
                cwd=tmp_path, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "160"},
            )  # fmt: skip
            assert not output or [line.rstrip() for line in result.stdout.splitlines()] == output, command
    subprocess.run([sys.executable, "page.py"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "memory.html").exists()
