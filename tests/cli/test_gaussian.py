"""`l2m gaussian`."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from l2m import HierarchicalGaussian


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command, wide = [sys.executable, "-m", "l2m", "gaussian", *arguments], {**os.environ, "COLUMNS": "120"}
    return subprocess.run(command, capture_output=True, text=True, env=wide)


def test_command_writes_law_curves_figures_and_samples(tmp_path: Path) -> None:
    from pyarrow import parquet

    import l2m

    out = tmp_path / "law"
    arguments = ("--layers", "3", "--beta", "0.3", "--out", str(out), "--sample", "5", "--seed", "2", "--first", "1")
    planned = json.loads(run_cli(*arguments, "--dry-run", "--json").stdout)
    assert not out.exists()
    result = json.loads(run_cli(*arguments, "--json").stdout)
    assert result == {**planned, "dry_run": False}
    law = HierarchicalGaussian.with_exponent(3, 0.3)
    assert result["children"] == list(law.children)
    assert all(Path(name).stat().st_size > 0 for name in result["written"])
    kept = {"written.json"}  # which command wrote them, of which settings
    assert {path.name for path in out.iterdir()} == {Path(name).name for name in result["written"]} | kept
    assert l2m.load(out / "growth.json").information[-1] == law.bipartite_information()
    np.testing.assert_array_equal(l2m.load(out / "two_point.json").information, law.two_point().information)
    z, mean = law.sample(5, seed=2, first=1)
    with np.load(out / "sample.npz") as saved, np.load(out / "law.npz") as curves:
        np.testing.assert_array_equal((saved["z"], saved["mean"]), (z, mean))
        np.testing.assert_array_equal(curves["bipartite_information"], law.bipartite_information(range(65)))
    rows = tmp_path / "rows"  # other settings, another folder
    run_cli(*(str(rows) if argument == str(out) else argument for argument in arguments), "--format", "parquet")
    table = parquet.read_table(rows / "sample.parquet").to_pydict()
    np.testing.assert_array_equal(np.reshape(table["z"], (5, 64)), z)
    assert (table["sequence"][64], table["position"][65]) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "11"], "layers: 11"),
        (["--children", "1,x"], "children: '1,x'"),
        (["--sample", "3"], "out: none"),
        (["--beta", "2"], "beta: 2.0"),
    ],
)
def test_command_names_bad_input_in_one_line(arguments: list[str], message: str) -> None:
    result = run_cli(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"l2m: {message}")
    assert result.stderr.count("\n") == 1


def test_blocks_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "gaussian.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "gaussian.md", "exec"), names)
    assert len(blocks) == 4
    assert names["kl"].shape == (64, 4096)
    assert (np.abs(names["direct"].information - np.array(names["truth"])[:, 0]) < 5 * names["direct"].stderr).all()
    command, *expected = re.findall(r"```console\n\$ l2m gaussian (.*?)\n(.*?)```", page, re.DOTALL)[0]
    assert run_cli(*command.split()).stdout == expected[0]
