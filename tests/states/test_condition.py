"""The verdict: closed forms of required states and lengths, outcomes that are known, intervals that carry over."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import l2m
from l2m.states.history_state import recurrent
from laws import Logarithm, Power
from model_configs import JAMBA, MAMBA_130M, MISTRAL_7B, SMOLLM2


def test_outcomes() -> None:
    outcomes = {name: l2m.condition(Power(), model).outcome for name, model in MODELS.items()}
    assert outcomes == {"attention": "holds", "fixed": "fails", "window": "fails", "hybrid": "holds"}


MODELS = {"attention": SMOLLM2, "fixed": MAMBA_130M, "window": MISTRAL_7B, "hybrid": JAMBA}


def test_required_state_and_length_of_a_fixed_state() -> None:
    verdict = l2m.condition(Power(), MAMBA_130M)
    state = 24 * 2 * 768 * 16
    assert float(verdict.required_state(10**6)) == pytest.approx(2.27 * 10 ** (6 * 0.76) / 0.06, rel=1e-12)
    longest = (0.06 * state / 2.27) ** (1 / 0.76)
    assert float(verdict.sufficient_length) == pytest.approx(longest, rel=1e-9)
    assert float(verdict.required_state(longest)) == pytest.approx(state, rel=1e-9)
    bits = 32 * state + 16 * 24 * 2 * 768 * 3  # transformers keeps the recurrent state in float32
    proof = ((bits * math.log(2) + math.log(50280)) / 2.27) ** (1 / 0.76)
    assert float(verdict.provable_length) == pytest.approx(proof, rel=1e-9)


def test_intervals_enclose_the_corners() -> None:
    verdict = l2m.condition(Power(), MAMBA_130M)
    required = verdict.required_state(1000)
    assert required.low == pytest.approx(2.25 * 1000**0.74 / 0.06)
    assert required.high == pytest.approx(2.29 * 1000**0.78 / 0.06)
    assert verdict.sufficient_length.low < verdict.sufficient_length < verdict.sufficient_length.high


def test_length_decides_for_a_series() -> None:
    assert l2m.condition(Power(), MAMBA_130M, 4096).outcome == "holds_as_series"
    assert l2m.condition(Power(), MAMBA_130M, 10**7).outcome == "fails"
    verdict = l2m.condition(Power(), MAMBA_130M, float(l2m.condition(Power(), MAMBA_130M).sufficient_length))
    assert verdict.outcome == "undetermined"
    assert abs(verdict.margin) < 1
    assert verdict.margin.low < 0 < verdict.margin.high


def test_growth_between() -> None:
    assert l2m.condition(Power(exponent=0.98, spread=0.04), SMOLLM2).outcome == "undetermined"
    assert l2m.condition(Power(exponent=0.02, spread=0.04), MAMBA_130M).outcome == "undetermined"


def test_logarithm() -> None:
    assert l2m.condition(Logarithm(), MAMBA_130M).outcome == "fails"
    assert l2m.condition(Logarithm(), SMOLLM2).outcome == "holds"
    assert math.isinf(l2m.condition(Logarithm(), MAMBA_130M).sufficient_length)


def test_draws_carry_the_law_over() -> None:
    """A fitted law: required states follow the law's own band, and lengths invert them."""
    x = 2.0 ** np.arange(2, 11)
    noise = np.random.default_rng(1).standard_normal(x.size)
    law = l2m.fit_power_law(x, 2.27 * x**0.76 * np.exp(0.05 * noise))
    verdict = l2m.condition(law, MAMBA_130M)
    required = verdict.required_state(10**6)
    low, high = law.band(1e6)
    # 2,000 draws: the 2.5 % quantile has a standard error of 0.35 % in probability, 8 % of the interval's half width.
    assert math.log(required / required.low) == pytest.approx(math.log(law.predict(1e6) / low), rel=0.16)
    assert math.log(required.high / required) == pytest.approx(math.log(high / law.predict(1e6)), rel=0.16)
    longest = verdict.sufficient_length
    assert float(verdict.required_state(longest)) == pytest.approx(24 * 2 * 768 * 16, rel=1e-9)
    assert verdict.required_state(longest.low).high == pytest.approx(24 * 2 * 768 * 16, rel=1e-2)
    assert l2m.condition(law, MAMBA_130M, seed=1).sufficient_length.low != longest.low
    assert l2m.condition(law, MAMBA_130M).sufficient_length.low == longest.low


def test_threshold_uncertainty_widens() -> None:
    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    exact = l2m.condition(law, MAMBA_130M, threshold=0.06).required_state(1000)
    loose = l2m.condition(law, MAMBA_130M, threshold=l2m.Threshold(0.06, 0.03, 0.12)).required_state(1000)
    assert float(exact) == float(loose)
    assert loose.low < exact.low / 1.5
    assert loose.high > exact.high * 1.5


def test_threshold_from_a_curve() -> None:
    threshold = l2m.Threshold.from_curve([0.01, 0.1, 1.0], [0.0, 0.02, 0.06], 0.04, source="a line")
    assert threshold.nats_per_number == pytest.approx(10**-0.5)  # halfway between 0.1 and 1 in log ratio
    with pytest.raises(l2m.InputError, match="one the curve crosses"):
        l2m.Threshold.from_curve([0.01, 0.1], [0.0, 0.02], 0.04, source="too low")


def test_no_law_resolved_is_undetermined() -> None:
    law = l2m.fit_power_law([2, 4, 8, 16, 32], [1.0, -0.9, 1.1, -1.0, 0.9], method="nonlinear", offset=True)
    assert not law.resolved
    verdict = l2m.condition(law, MAMBA_130M, 1000)
    assert (verdict.outcome, verdict.growth_probability) == ("undetermined", 0.5)
    assert "no law resolved" in verdict.explain()
    assert verdict.sufficient_length.high == math.inf


def test_unit_of_the_law() -> None:
    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    nats, bits = l2m.condition(law, MAMBA_130M), l2m.condition(law.to("bits"), MAMBA_130M)
    assert float(nats.sufficient_length) == pytest.approx(float(bits.sufficient_length), rel=1e-9)


def test_windows_have_a_reach() -> None:
    assert l2m.history_state(MISTRAL_7B).reach == 32 * 4095
    verdict = l2m.condition(Power(), MISTRAL_7B)
    assert "nothing older than 131,040 tokens" in verdict.explain()
    assert float(verdict.sufficient_length) == 2 * 131_040  # numbers enough for 1e9 tokens, but none of the older ones
    assert l2m.condition(Power(), MISTRAL_7B, 200_000).outcome == "holds_as_series"
    assert l2m.condition(Power(), MISTRAL_7B, 300_000).outcome == "fails"
    assert all(l2m.history_state(model).reach == math.inf for model in (SMOLLM2, MAMBA_130M, JAMBA))


def sign_information(correlation: float, bits: int) -> float:
    """I(q(T); U) in nats for a standard normal pair, q cutting T into 2^bits equally likely cells: the direct integral."""
    from scipy.stats import norm

    u = np.linspace(-9, 9, 20_001)
    edges = norm.ppf(np.arange(2**bits + 1) / 2**bits)
    upper = norm.cdf((edges[:, None] - correlation * u) / math.sqrt(1 - correlation**2))
    cells = np.clip(np.diff(upper, axis=0), 1e-300, None)
    rest = -(cells * np.log(cells)).sum(axis=0)
    return float(bits * math.log(2) - np.sum(norm.pdf(u) * rest) * (u[1] - u[0]))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_bits_bound_the_information_of_a_quantised_state(bits: int) -> None:
    """On the Gaussian language: the state keeps `dimension` canonical variates of the past, each cut into 2^bits cells.

    I <= bits ln 2 dimension, and what `condition` calls provable is that bound (real-valued tokens: no ln M).
    """
    language = l2m.HierarchicalGaussian(4)
    covariance, half = language.covariance(), language.length // 2
    past, future = (np.linalg.cholesky(covariance[part, part]) for part in (slice(None, half), slice(half, None)))
    cross = np.linalg.solve(past, covariance[:half, half:]) @ np.linalg.inv(future).T
    correlations = np.linalg.svd(cross, compute_uv=False)
    assert -0.5 * np.log1p(-(correlations**2)).sum() == pytest.approx(language.bipartite_information())
    for dimension in (1, 8, 64):
        held = sum(sign_information(correlation, bits) for correlation in correlations[:dimension])
        state = l2m.HistoryState("quantised", "by hand", (recurrent(0, dimension),), 1, bits=bits)
        verdict = l2m.condition(Power(amplitude=0.1, exponent=0.79), state)
        bound = bits * math.log(2) * dimension
        assert 0 < held <= bound
        assert held <= language.bipartite_information()
        # The bound in tokens: L with 0.1 L^0.79 = bits ln 2 dimension.
        assert float(verdict.provable_length) == pytest.approx((10 * bound) ** (1 / 0.79), rel=1e-9)
        assert float(verdict.provable_state((10 * bound) ** (1 / 0.79))) == pytest.approx(dimension)


def test_a_state_that_comes_near_the_bound() -> None:
    """A past that all but determines the future: one bit then carries nearly ln 2, and never more."""
    assert 0.99 * math.log(2) < sign_information(0.99999, 1) <= math.log(2)


def test_compare_models(tmp_path) -> None:
    compared = l2m.compare_models(Power(), MODELS.values(), 4096)
    assert [verdict.state.family for verdict in compared.verdicts] == ["jamba", "llama", "mamba", "mistral"]
    frame = compared.to_frame()
    assert frame["state"].tolist() == [verdict.held(4096) for verdict in compared.verdicts]
    axes = compared.plot()
    assert len(axes.lines) == 1 + 4 + 2  # required, four models, two crossings
    page = compared.to_html("A law.")
    assert "http://www.w3.org" in page  # the namespace of SVG; nothing else is named by address
    assert page.replace("http://www.w3.org", "").count("http") == 0
    with pytest.raises(l2m.InputError, match="models: none"):
        l2m.compare_models(Power(), [])


def test_saved_and_loaded(tmp_path) -> None:
    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    verdict = l2m.condition(law, JAMBA, 5000)
    verdict.save(tmp_path / "verdict.json")
    loaded = l2m.load(tmp_path / "verdict.json")
    assert loaded.outcome == verdict.outcome
    assert loaded.required_state(1000) == verdict.required_state(1000)
    assert loaded.explain() == verdict.explain()


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
    assert report.read_text().startswith("<!DOCTYPE html>")
    assert "<svg" in figure.read_text()
    assert run_cli(*arguments).stdout.splitlines()[1].startswith("HuggingFaceTB/SmolLM2-135M")
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
    from l2m.pipeline.measure import Measurement

    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    for held in (law, None):
        found = Measurement("t", {}, {}, (), None, held, "words", (), "command", "")  # type: ignore[arg-type]
        found.save(tmp_path / "results.json")
        result = run_cli("condition", str(tmp_path), "mamba-130m", "--json")
        if held is None:
            assert (result.returncode, result.stdout) == (2, "")
            assert "no law was fitted there (words)" in result.stderr
        else:
            (row,) = json.loads(result.stdout)["rows"]
            assert row["sufficient_length"] == float(l2m.condition(law, "mamba-130m").sufficient_length)


def test_a_law_of_two_groups_has_a_verdict_that_bounds_little() -> None:
    """One degree of freedom: draws overflow, and the interval says so instead of failing."""
    x = np.array([4.0, 8, 16, 32, 64])
    y = 2 * x**0.5
    law = l2m.fit_power_law(x, y, replicates=np.stack([y * x**0.2, y * x**-0.2]))
    verdict = l2m.condition(law, MAMBA_130M, 1024)
    assert verdict.required_state(1024).high > 1e6
    assert "needs" in verdict.explain()


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "l2m", *arguments], capture_output=True, text=True)


def test_what_x_counts() -> None:
    by_length = l2m.condition(Power(), MAMBA_130M).required_state(2000)
    by_split = l2m.condition(Power(), MAMBA_130M, x="split").required_state(2000)
    assert float(by_split) == pytest.approx(float(by_length) * 2**-0.76)


def test_threshold_is_replaceable() -> None:
    verdict = l2m.condition(Power(), MAMBA_130M, threshold=l2m.Threshold(0.12, source="a curve of my own"))
    assert float(verdict.required_state(100)) == pytest.approx(2.27 * 100**0.76 / 0.12)
    assert "a curve of my own" in verdict.explain()
    assert "paper, not reproduced" in l2m.condition(Power(), MAMBA_130M).explain()


def test_bad_input() -> None:
    cases = {
        "exponent 1.2; expected within": lambda: l2m.condition(Power(exponent=1.2), SMOLLM2),
        "exponent -0.1; expected within": lambda: l2m.condition(Power(exponent=-0.1), SMOLLM2),
        "law: a int": lambda: l2m.condition(3, SMOLLM2),
        "length: -5": lambda: l2m.condition(Power(), SMOLLM2, -5),
        "x: 'tokens'": lambda: l2m.condition(Power(), SMOLLM2, x="tokens"),
        "threshold: 0.0": lambda: l2m.condition(Power(), SMOLLM2, threshold=0),
        "level: 2": lambda: l2m.condition(Power(), SMOLLM2, level=2),
    }
    for words, call in cases.items():
        with pytest.raises(l2m.InputError, match=words):
            call()
