"""Runs of a sweep beside the frontier: what is computed, what an earlier version wrote, what is drawn."""

import dataclasses
import math
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
    beside_frontier,
    collapse,
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


LAWS = {length: l2m.HierarchicalGaussian(layers) for layers, length in ((2, 16), (3, 64), (4, 256))}


def on_law(length: int, state: int, kl: float, **changes: Any) -> RunResult:
    """A run of 64 copies of the paper's law."""
    law = LAWS[length]
    row = result(
        length=length,
        state=state,
        kl=kl,
        name=str(state),
        information=64 * law.bipartite_information(),
        untrained_kl=float(-np.log(law.conditional_std).mean()),
        **changes,
    )
    return beside_frontier(row)


def rows_on(frontiers: float = 1.0) -> list[RunResult]:
    """Runs at 3 lengths and 4 states, each with so many times the KL of its frontier (at least 1e-5)."""
    return [
        on_law(length, 64 * r, max(1e-5, frontiers * law.frontier(r).mean_kl))
        for length, law in LAWS.items()
        for r in (2, 4, 8, 16)
    ]


def test_a_run_on_the_frontier_uses_all_its_numbers_and_misses_nothing() -> None:
    for row in (row for row in rows_on() if row.frontier_kl > 1e-3):
        assert row.numbers == row.state / 64
        assert row.frontier_kl == row.kl
        assert row.equivalent == pytest.approx(1)
        assert row.distance == pytest.approx(0, abs=1e-12)
        assert row.reached


def test_a_run_counts_by_its_distance_to_the_frontier() -> None:
    law = LAWS[64]
    frontier, untrained = law.frontier(8).mean_kl, float(-np.log(law.conditional_std).mean())
    for distance, reached in ((-0.05, True), (0.029, True), (0.031, False), (0.5, False)):
        row = on_law(64, 512, frontier + distance * untrained)
        assert row.distance == pytest.approx(distance)
        assert row.reached is reached
        assert (row.equivalent > 1) is (distance < 0)
    # Nothing learned: worth no state. More than the law needs: of use are 16.
    assert on_law(64, 512, untrained).equivalent == 0
    assert on_law(64, 64 * 512, law.frontier(4).mean_kl).equivalent == pytest.approx(4 / 16)


def test_other_training_moves_no_run() -> None:
    """What the former rule asked for, steps and a control, has no say."""
    for changes in ({"fall": 0.5}, {"steps": 1}, {"family": "gpt2"}, {"seed": 3}):
        row, other = on_law(64, 512, 0.05), on_law(64, 512, 0.05, **changes)
        assert (other.equivalent, other.frontier_kl, other.reached) == (row.equivalent, row.frontier_kl, row.reached)


@pytest.mark.parametrize("children", [1, 2, 3])
@pytest.mark.parametrize("copies", [1, 5, 64])
@pytest.mark.parametrize("boundary", ["weighted", "printed"])
def test_the_law_of_a_run_is_found_again(children: int, copies: int, boundary: str) -> None:
    law = l2m.HierarchicalGaussian(3, children, boundary=boundary)
    untrained = float(-np.log(law.conditional_std).mean())
    row = result(information=copies * law.bipartite_information(), untrained_kl=untrained, state=copies * 3, kl=0.01)
    rounded = dataclasses.replace(
        row, information=float(f"{row.information:.6g}"), untrained_kl=float(f"{untrained:.6g}")
    )
    for given in (row, rounded):
        found = beside_frontier(given)
        assert found.numbers == 3
        assert found.frontier_kl == pytest.approx(law.frontier(3).mean_kl, abs=1e-12)
    other = beside_frontier(dataclasses.replace(row, information=1.5 * law.bipartite_information()))
    assert math.isnan(other.numbers)


def test_runs_of_an_unknown_law_keep_the_threshold_of_the_paper() -> None:
    unknown = beside_frontier(result())
    assert math.isnan(unknown.frontier_kl)
    assert not unknown.reached
    two = l2m.HierarchicalGaussian(3, 2)
    other = result(
        information=two.bipartite_information(), untrained_kl=float(-np.log(two.conditional_std).mean()), length=64
    )
    for rows in ([], [unknown], [*rows_on(), dataclasses.replace(unknown, length=1024)], [on_law(16, 512, 0.1), other]):
        curve = collapse(rows)
        assert curve.frontier is None
        assert curve.threshold() is PAPER_THRESHOLD
        assert "paper, not reproduced" in curve.explain()


def test_the_threshold_is_that_of_the_frontier_whatever_the_runs() -> None:
    """A constant state of I / threshold numbers has the KL asked for, at each end of the range over lengths."""
    close, far = collapse(rows_on()), collapse(rows_on(1.5))
    found = close.threshold(0.02)
    assert far.threshold(0.02).nats_per_number == found.nats_per_number
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.nats_per_number < found.high
    values = [law.bipartite_information() / law.equivalent_state(0.02) for law in LAWS.values()]
    # The frontier's curve has some sizes alone, 1, 2, 3, 4, 6, 8, 12, ..., and is linear between them.
    assert found.low == pytest.approx(min(values), rel=0.1)
    assert found.high == pytest.approx(max(values), rel=0.1)
    assert "frontier of memory: KL 0.02 a value, L = 16 to 256" in found.source
    with pytest.raises(InputError, match="kl: 10; expected"):
        close.threshold(10)
    with pytest.raises(InputError, match="kl: 0; expected"):
        close.threshold(0)
    one = collapse([on_law(64, 512, 0.05)]).threshold(0.02)
    assert (one.low, one.high) == (None, None)
    assert one.nats_per_number == pytest.approx(values[1], rel=0.1)


def test_explain_counts_the_runs_that_reach_the_frontier() -> None:
    assert "12 of 12 runs reach the frontier" in collapse(rows_on()).explain()
    words = collapse(rows_on(2)).explain()
    reached = sum(row.reached for row in rows_on(2))
    assert 0 < reached < 12
    assert f"{reached} of 12 runs reach the frontier" in words
    assert "nats per number" in words


def test_the_threshold_serves_the_verdict(tmp_path: Path) -> None:
    curve = collapse(rows_on())
    law = l2m.fit_power_law(np.array([64.0, 256, 1024, 4096]), 2 * np.array([64.0, 256, 1024, 4096]) ** 0.5)
    verdict = l2m.condition(law, {"model_type": "mamba", "num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 1},
                            threshold=curve.threshold(0.05))  # fmt: skip
    assert "frontier of memory" in verdict.explain()


def test_results_come_back_from_csv_and_draw_hollow_what_misses_the_frontier(tmp_path: Path) -> None:
    rows = rows_on()
    rows = [dataclasses.replace(row, kl=row.kl + 0.05) if row.state == 128 else row for row in rows]
    write_csv(rows, tmp_path / "collapse.csv")
    back = read_csv(tmp_path / "collapse.csv")
    inexact = dict.fromkeys(("kl", "information", "untrained_kl", "numbers", "frontier_kl", "equivalent"), 0)
    assert [dataclasses.replace(row, **inexact) for row in back] == [
        dataclasses.replace(row, **inexact) for row in rows
    ]
    for one, other in zip(back, rows, strict=True):
        for name in inexact:
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-5, abs=1e-12)
    curve = save(back, tmp_path)
    loaded = l2m.load(tmp_path / "collapse.json")
    assert loaded.reached.sum() == curve.reached.sum() == 9
    assert loaded.threshold().nats_per_number == curve.threshold().nats_per_number
    assert (tmp_path / "collapse.svg").read_text().startswith("<svg")
    axes = draw(rows, curve)
    points = [line for line in axes.get_lines() if line.get_marker() in "os^" and len(line.get_xdata())]
    hollow = [line for line in points if line.get_markerfacecolor() == "white"]
    assert (len(points), len(hollow)) == (12, 3)
    lines = [line for line in axes.get_lines() if line.get_marker() == "None" and len(line.get_xdata()) > 2]
    assert len(lines) == 3  # the frontier at each length
    for line, law in zip(lines, LAWS.values(), strict=True):
        ratio, kl = (np.array(values) for values in line.get_data())
        at = np.argmin(abs(ratio - law.bipartite_information() / 2))
        assert kl[at] == pytest.approx(law.frontier(2).mean_kl)
    assert table(rows).count("| yes |") == 9
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not the results of a sweep"):
        read_csv(tmp_path / "bad.csv")


def test_a_table_of_the_former_rule_is_read_and_its_frontier_computed(tmp_path: Path) -> None:
    rows = [*rows_on(1.2), result(name="unknown law")]
    fields = [field.name for field in dataclasses.fields(RunResult)][:16]
    lines = [",".join([*fields, "control", "control_kl", "counted"])]
    lines += [",".join([*(str(getattr(row, name)) for name in fields), "large", "nan", "True"]) for row in rows]
    (tmp_path / "old.csv").write_text("\n".join(lines) + "\n")
    back = read_csv(tmp_path / "old.csv")
    assert back[:-1] == rows[:-1]
    assert math.isnan(back[-1].equivalent)
    (tmp_path / "part.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in lines) + "\n")
    with pytest.raises(InputError, match="not the results of a sweep"):
        read_csv(tmp_path / "part.csv")


def test_the_table_of_the_documentation_is_beside_its_frontier() -> None:
    rows = read_csv(Path(__file__).parents[2] / "docs/figures/collapse.csv")
    assert len(rows) == 35
    for row in rows:
        if row.length <= 256 and row.numbers <= 16:
            again = beside_frontier(
                dataclasses.replace(row, numbers=math.nan, frontier_kl=math.nan, equivalent=math.nan)
            )
            assert again.numbers == row.numbers
            # Where correlations tie, greedy depends on the solver by up to 1 %.
            assert again.frontier_kl == pytest.approx(row.frontier_kl, rel=0.02, abs=1e-6)
            assert again.equivalent == pytest.approx(row.equivalent, rel=0.02)


def test_a_fit_of_an_earlier_version_is_refused_in_one_line(tmp_path: Path) -> None:
    value = {**collapse(rows_on()).to_dict(), "coefficients": [], "scatter": "nan"}
    with pytest.raises(InputError, match=r"collapse: a fit of an earlier version; expected .*l2m sweep") as caught:
        l2m.Collapse.from_dict(value)
    assert len(str(caught.value).splitlines()) == 1


def test_captured_information_may_be_negative(tmp_path: Path) -> None:
    row = result(captured=-3.5)
    write_csv([row], tmp_path / "one.csv")
    assert read_csv(tmp_path / "one.csv")[0].captured == -3.5


def test_in_bits_everything_moves_together() -> None:
    """ln 2 nats are a bit: ratios and KLs scale, shares and the threshold stay."""
    curve = collapse(rows_on(1.3))
    bits = curve.to("bits")
    np.testing.assert_allclose(bits.kl, curve.kl / math.log(2))
    np.testing.assert_allclose(bits.ratio, curve.ratio / math.log(2))
    np.testing.assert_allclose(bits.frontier_kl, curve.frontier_kl / math.log(2))
    np.testing.assert_array_equal(bits.equivalent, curve.equivalent)
    np.testing.assert_array_equal(bits.reached, curve.reached)
    assert bits.threshold(0.05).nats_per_number == pytest.approx(curve.threshold(0.05).nats_per_number, rel=1e-9)
    assert bits.frontier.unit == "bits"
    assert f"{float(np.median(bits.kl - bits.frontier_kl)):.4f} bits" in bits.explain()
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
        (("8,0.25,0.5", "yes,0.25,0.5"), "line 2: numbers: 'yes'; expected a number"),
        (("8,0.25,0.5", "8,0.25,yes"), "line 2: equivalent: 'yes'; expected a number"),
        (("8,0.25,0.5", "8,-0.25,0.5"), "line 2: frontier_kl: -0.25; expected"),
        (("0.2,0.01,8", "0,0.01,8"), "line 2: untrained_kl: 0"),
        (("name", "nom"), "not the results of a sweep"),
    ],
)
def test_tables_with_other_numbers_are_named(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "collapse.csv"
    write_csv([result(numbers=8, frontier_kl=0.25, equivalent=0.5)], path)
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
