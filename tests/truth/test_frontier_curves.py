"""The frontier at several lengths: what grows, what collapses, and the command that draws it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import l2m
from l2m.base.growth import growth_formula


@pytest.fixture(scope="module")
def curves() -> l2m.FrontierCurves:
    return l2m.frontier_curves([2, 3, 4], ["log:4", "power:beta:1", 8])


def test_each_pair_is_what_the_law_says(curves: l2m.FrontierCurves) -> None:
    length, kl, numbers = curves.of("log:4")
    assert length.tolist() == [16, 64, 256]
    law = l2m.HierarchicalGaussian(3, 3)
    assert kl[1] == law.frontier("log:4").mean_kl
    assert numbers[1] == law.frontier("log:4").numbers.max()
    assert curves.states[:3] == ("log:4", "power:beta:1", "8")


def test_the_kl_of_constant_states_collapses_on_information_a_number(curves: l2m.FrontierCurves) -> None:
    """0.14 against I/r, 0.71 against L and 0.56 against r with L = 1,024 as well."""
    spread = curves.spread()
    assert spread["I/r"] < 0.2
    assert min(spread["L"], spread["r"]) > 2.5 * spread["I/r"]


def test_thresholds_lie_between_the_states_around_them(curves: l2m.FrontierCurves) -> None:
    found = curves.thresholds(0.01)
    assert found == pytest.approx({16: 0.25, 64: 0.22, 256: 0.21}, abs=0.01)
    for length, value in found.items():
        sizes = curves.half[curves.constant & (curves.length == length)]
        kl = curves.mean_kl[curves.constant & (curves.length == length)]
        assert (
            sizes[kl > 0.01].max() < curves.information[curves.length == length][0] / value <= sizes[kl <= 0.01].min()
        )
    with pytest.raises(l2m.InputError, match="kl"):
        curves.thresholds(0)


def test_kept_and_drawn(curves: l2m.FrontierCurves, tmp_path: Path) -> None:
    curves.save(tmp_path / "curves.json")
    again = l2m.load(tmp_path / "curves.json")
    np.testing.assert_array_equal(again.mean_kl, curves.mean_kl)
    assert again.spread() == curves.spread()
    assert again.to("bits").thresholds(0.01 / np.log(2))[64] == pytest.approx(curves.thresholds(0.01)[64] / np.log(2))
    assert len(curves.plot(states=["log:4"]).lines) == 1
    assert curves.plot_collapse().get_xlabel()


def test_the_command(tmp_path: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "l2m",
        "frontier",
        "--layers",
        "2..3",
        "--state",
        "3,log:1",
        "--out",
        tmp_path / "out",
    ]
    run = subprocess.run([*line, "--bound"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "residual spread" in run.stdout
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"frontier.json", "frontier.csv", "frontier_lengths.svg", "frontier_collapse.svg"} <= names
    rows = json.loads(subprocess.run([*line[:8], "--json"], capture_output=True, text=True, check=True).stdout)[
        "frontiers"
    ]
    law = l2m.HierarchicalGaussian(3, 3)
    assert [row["mean_kl"] for row in rows if row["length"] == 64] == [
        law.frontier(3).mean_kl,
        law.frontier("log:1").mean_kl,
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "2-5"], "layers: '2-5'"),
        (["--layers", "11"], "layers: 11"),
        (["--layers", "7"], "length: 16,384 values"),
        (["--state", "cubic:1"], "state: 'cubic:1'; expected"),
        (["--children", "4"], "children"),
        (["--layers", "5..2"], "layers: '5..2'"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], message: str) -> None:
    run = subprocess.run([sys.executable, "-m", "l2m", "frontier", *arguments], capture_output=True, text=True)
    assert run.returncode == 2
    assert message in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("growth", "formula"),
    [
        ("8", "8"),
        ("log:4", r"$4\,\ln(1 + t)$"),
        ("power:0.4:1.5", r"$1.5\,t^{0.4}$"),
        ("power:beta:1", r"$t^{\beta}$"),
        ("power:0.5", r"$t^{0.5}$"),
        ("a rule of mine", "a rule of mine"),
    ],
)
def test_a_legend_names_a_growth_by_its_formula(growth: str, formula: str) -> None:
    assert growth_formula(growth) == formula
