"""`l2m state`, and the page about memory as its readers run it."""

import json
import re
import subprocess
import sys
from pathlib import Path


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


def test_the_docs_page_runs(tmp_path) -> None:
    """Every block of Python and every command of docs/memory.md, in order, as a reader would run them."""
    page = (Path(__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8")
    code = ""
    for language, block in re.findall(r"```(python|console)\n(.*?)```", page, flags=re.S):
        if language == "python":
            code += block
            (tmp_path / "page.py").write_text(code, encoding="utf-8")
        else:
            subprocess.run([sys.executable, "page.py"], cwd=tmp_path, check=True, capture_output=True)
            (command,) = (line.removeprefix("$ l2m ").split() for line in block.splitlines() if line.startswith("$ "))
            subprocess.run([sys.executable, "-m", "l2m", *command], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([sys.executable, "page.py"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "memory.html").exists()
