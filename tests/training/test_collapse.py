"""Which runs count, and the collapse on results whose law is known."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import l2m
from l2m.errors import InputError
from l2m.states.threshold import PAPER_THRESHOLD
from l2m.training.collapse import (
    RunResult,
    _fall,
    collapse,
    explain,
    judge,
    read_csv,
    table,
    write_csv,
)
from l2m.training.collapse_figures import draw, save


def test_the_fall_is_that_of_the_last_third() -> None:
    assert _fall({4: 0.8, 8: 0.5, 10: 0.45, 12: 0.4}, 12) == pytest.approx(0.2)
    assert _fall({10: 0.5, 12: 0.4}, 12) != _fall({10: 0.5, 12: 0.4}, 12), "nan: not measured over a third"


def result(**changes: Any) -> RunResult:
    row = RunResult(
        name="m", family="mamba", length=64, state=1_000, parameters=1, steps=100, batch=4, learning_rate=1e-3, seed=0,
        information=100.0, kl=0.1, kl_stderr=1e-3, captured=1.0, captured_stderr=0.1, untrained_kl=0.2, fall=0.01,
    )  # fmt: skip
    return dataclasses.replace(row, **changes)


@pytest.mark.parametrize(
    ("run", "control", "counts"),
    [
        ({}, {}, True),
        ({"fall": 0.03}, {}, False),
        ({"fall": -0.2}, {}, True),
        ({}, {"state": 7_999}, False),
        ({}, {"kl": 0.1}, False),
        ({}, {"length": 256}, False),
        ({}, {"steps": 200}, False),
        ({}, {"steps": 200, "batch": 2}, True),
        ({}, {"steps": 50}, True),
        ({}, {"family": "gpt2"}, True),
    ],
)
def test_a_run_counts_if_it_settled_and_a_larger_state_does_better(
    run: dict[str, Any], control: dict[str, Any], counts: bool
) -> None:
    judged = judge([result(**run), result(**{"name": "large", "state": 8_000, "kl": 0.05, **control})])
    assert judged[0].counted is counts
    assert not judged[1].counted
    if counts:
        assert judged[0].control == "large"
        assert judged[0].control_kl == 0.05


def rows_of(law: Callable[[float, int, int], float], scatter: float, seed: int = 0) -> list[RunResult]:
    """Runs at 3 lengths and 4 states whose KL is law(ratio, L, dim) times a log-normal factor, each with a control."""
    random = np.random.default_rng(seed)
    rows = []
    for length, information in ((16, 57.7), (64, 174.7), (256, 525.9)):
        for state in (1_024, 3_072, 9_216, 27_648):
            kl = law(information / state, length, state) * math.exp(scatter * random.standard_normal())
            rows.append(result(name=str(state), length=length, state=state, information=information, kl=kl))
        rows.append(result(name="control", family="gpt2", length=length, state=10**6, information=information, kl=1e-9))
    return judge(rows)


def test_runs_on_one_law_of_the_ratio_collapse_and_give_its_threshold() -> None:
    curve = collapse(rows_of(lambda ratio, *_: 0.3 * ratio**0.8, 0.02))
    assert curve.kl.size == 12
    assert curve.collapses
    assert curve.pairs == 8  # 57.7 : 174.7 : 525.9 = 1 : 3.03 : 9.1 against states of 1 : 3 : 9 : 27
    found = curve.threshold(0.05)
    exact = (0.05 / 0.3) ** (1 / 0.8)
    # The interval is two standard deviations of scatter, 0.04 in log KL, over the slope.
    assert found.low is not None
    assert found.high is not None
    assert found.low < exact < found.high
    assert found.nats_per_number == pytest.approx(exact, rel=0.05)
    assert "own sweep: 12 of 15 runs" in found.source
    with pytest.raises(InputError, match="kl: 10; expected"):
        curve.threshold(10)


@pytest.mark.parametrize("law", [lambda _, length, __: 1e-3 * length, lambda _, __, state: 1 / state])
def test_runs_on_a_law_of_length_or_state_do_not_collapse(law: Callable[[float, int, int], float]) -> None:
    curve = collapse(rows_of(law, 0.02))
    assert curve.has_curve
    assert not curve.collapses
    assert curve.threshold(0.05) is PAPER_THRESHOLD, "a KL that is no function of I/dim has no threshold"
    assert "do not collapse" in explain(curve)
    assert "paper, not reproduced" in explain(curve)


def test_too_few_runs_keep_the_threshold_of_the_paper() -> None:
    rows = rows_of(lambda ratio, *_: ratio, 0.0)
    few = judge([row for row in rows if row.family == "gpt2"] + [row for row in rows if row.family == "mamba"][:7])
    for curve in (collapse(few), collapse([])):
        assert not curve.has_curve
        assert not curve.collapses
        assert curve.threshold() is PAPER_THRESHOLD
        assert "paper, not reproduced" in explain(curve)
    narrow = judge([dataclasses.replace(row, information=row.state * (1 + 0.01 * i)) for i, row in enumerate(rows)])
    assert not collapse(narrow).has_curve


def test_the_threshold_serves_the_verdict(tmp_path: Path) -> None:
    curve = collapse(rows_of(lambda ratio, *_: 0.3 * ratio, 0.02))
    law = l2m.fit_power_law(np.array([64.0, 256, 1024, 4096]), 2 * np.array([64.0, 256, 1024, 4096]) ** 0.5)
    verdict = l2m.condition(law, {"model_type": "mamba", "num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 1},
                            threshold=curve.threshold(0.05))  # fmt: skip
    assert "own sweep" in verdict.explain()


def test_results_come_back_from_csv_and_draw_hollow_what_does_not_count(tmp_path: Path) -> None:
    rows = rows_of(lambda ratio, *_: 0.3 * ratio**0.8, 0.02)
    rows = judge([dataclasses.replace(row, fall=0.1) if row.name == "9216" else row for row in rows])
    write_csv(rows, tmp_path / "collapse.csv")
    back = read_csv(tmp_path / "collapse.csv")
    assert [dataclasses.replace(row, kl=0, information=0, control_kl=0) for row in back] == [
        dataclasses.replace(row, kl=0, information=0, control_kl=0) for row in rows
    ]
    curve = save(back, tmp_path)
    assert l2m.load(tmp_path / "collapse.json").kl.size == curve.kl.size == 9
    assert (tmp_path / "collapse.svg").read_text().startswith("<svg")
    axes = draw(rows, curve)
    hollow = [line for line in axes.get_lines() if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert len(hollow) == 3 + 3  # controls, and the three that had not settled
    assert table(rows).count("| yes |") == 9
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not the results of a sweep"):
        read_csv(tmp_path / "bad.csv")


def test_captured_information_may_be_negative(tmp_path: Path) -> None:
    row = result(captured=-3.5)
    write_csv([row], tmp_path / "one.csv")
    assert read_csv(tmp_path / "one.csv")[0].captured == -3.5


def test_in_bits_everything_moves_together() -> None:
    """ln 2 nats are a bit: ratios and KLs scale, the curve through them still passes where it did, the threshold stays in nats."""
    curve = collapse(rows_of(lambda ratio, *_: 0.3 * ratio**0.8, 0.02))
    bits = curve.to("bits")
    np.testing.assert_allclose(bits.kl, curve.kl / math.log(2))
    np.testing.assert_allclose(bits.ratio, curve.ratio / math.log(2))
    np.testing.assert_allclose(bits.predict(bits.ratio), curve.predict(curve.ratio) / math.log(2), rtol=1e-12)
    assert bits.collapses == curve.collapses
    assert bits.scatter == curve.scatter
    assert bits.threshold(0.05).nats_per_number == pytest.approx(curve.threshold(0.05).nats_per_number, rel=1e-9)
    np.testing.assert_allclose(bits.to("nats").coefficients, curve.coefficients, rtol=1e-9, atol=1e-12)
    empty = collapse([])
    assert empty.to("bits").unit == "bits"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("64,1000", "64.5,1000"), r"line 2: length: '64\.5'; expected a whole number"),
        (("64,1000", "64,0"), "line 2: state: 0"),
        (("64,1000", "64"), "line 2 has 18 values; expected 19"),
        (("100,0.1", "nan,0.1"), "line 2: information: nan"),
        (("100,0.1", "100,-1"), "line 2: kl: -1"),
        (("True", "yes"), "line 2: counted: 'yes'; expected True or False"),
        (("False", "yes"), "line 2: counted: 'yes'; expected True or False"),
        (("name", "nom"), "not the results of a sweep"),
    ],
)
def test_tables_with_other_numbers_are_named(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "collapse.csv"
    write_csv([result(counted=change[0] == "True")], path)
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(InputError, match=message):
        read_csv(path)


def test_a_table_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\0")
    (tmp_path / "folder.csv").mkdir()
    for name, message in (("bytes", "not a CSV file"), ("folder", "no such file"), ("none", "no such file")):
        with pytest.raises(InputError, match=message):
            read_csv(tmp_path / f"{name}.csv")
