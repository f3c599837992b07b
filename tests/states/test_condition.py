"""The verdict: closed forms of required states and lengths, outcomes that are known, intervals that carry over."""

import dataclasses
import math
import re

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


def test_saved_and_loaded(tmp_path) -> None:
    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    verdict = l2m.condition(law, JAMBA, 5000)
    verdict.save(tmp_path / "verdict.json")
    loaded = l2m.load(tmp_path / "verdict.json")
    assert loaded.outcome == verdict.outcome
    assert loaded.required_state(1000) == verdict.required_state(1000)
    assert loaded.explain() == verdict.explain()


def test_a_law_of_two_groups_has_a_verdict_that_bounds_little() -> None:
    """One degree of freedom: draws overflow, and the interval says so instead of failing."""
    x = np.array([4.0, 8, 16, 32, 64])
    y = 2 * x**0.5
    law = l2m.fit_power_law(x, y, replicates=np.stack([y * x**0.2, y * x**-0.2]))
    verdict = l2m.condition(law, MAMBA_130M, 1024)
    assert verdict.required_state(1024).high > 1e6
    assert "needs" in verdict.explain()


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
        "law: int": lambda: l2m.condition(3, SMOLLM2),
        "length: -5": lambda: l2m.condition(Power(), SMOLLM2, -5),
        "x: 'tokens'": lambda: l2m.condition(Power(), SMOLLM2, x="tokens"),
        "threshold: 0;": lambda: l2m.condition(Power(), SMOLLM2, threshold=0),
        "level: 2": lambda: l2m.condition(Power(), SMOLLM2, level=2),
    }
    for words, call in cases.items():
        with pytest.raises(l2m.InputError, match=words):
            call()


def test_headlines() -> None:
    headlines = {name: l2m.condition(Power(), model).headline for name, model in MODELS.items()}
    assert headlines["attention"] == "passes: its memory grows with the text, enough at any length"
    assert headlines["hybrid"] == headlines["attention"]
    assert re.fullmatch(
        r"fixed memory: enough up to [\d.]+ k tokens \(95 %: [\d.]+ k to [\d.]+ [kM]\)", headlines["fixed"]
    )
    series = l2m.condition(Power(), MAMBA_130M, 4096).headline
    assert re.fullmatch(
        r"fixed memory: enough at 4,096 tokens; texts longer than [\d.]+ k tokens \(.*\) need a larger model", series
    )
    assert l2m.condition(Power(exponent=0.98, spread=0.04), SMOLLM2).headline.startswith(
        "undetermined, the law leaves open"
    )
    assert l2m.condition(Power(amplitude=1e9), MAMBA_130M).headline.startswith(
        "fixed memory: too small at every length"
    )
    beyond = l2m.condition(l2m.PowerLaw.of(2.27, 0.76), "gpt2", 131_072)
    assert beyond.headline == "cannot read 131,072 tokens: it has 1,024 positions"
    assert "passes" not in repr(beyond)
    assert l2m.condition(Logarithm(), MAMBA_130M).headline == "fixed memory: enough up to 1e+300 tokens"


def test_a_share_says_whether_the_error_of_the_threshold_is_in_it() -> None:
    told = l2m.condition(Power(), MAMBA_130M, 4096).explain()
    assert "enough in 100 % of the draws from the law's interval" in told
    assert "(the error of the 0.06 nats per number is not included)" in told
    threshold = l2m.Threshold(0.06, 0.05, 0.07)
    assert "number is included)" in l2m.condition(Power(), MAMBA_130M, 4096, threshold=threshold).explain()


def test_a_length_beyond_the_positions_is_said() -> None:
    gpt2 = l2m.condition(Power(), "gpt2", 131_072)
    assert gpt2.beyond_positions
    assert gpt2.length_probability == 0
    assert "holds 1" not in gpt2.explain()
    assert gpt2.explain().splitlines()[-1] == "The model has 1,024 positions: it cannot read 131,072 tokens."
    for other in (l2m.condition(Power(), "gpt2", 1024), l2m.condition(Power(), MAMBA_130M, 10**7)):
        assert not other.beyond_positions
        assert "positions" not in other.explain()


@pytest.mark.parametrize("value", [0, -0.06, math.nan, math.inf, True, "0.06", None])
def test_thresholds_are_numbers_above_0(value) -> None:
    with pytest.raises(l2m.InputError, match=r"threshold: .*expected a finite number above 0"):
        l2m.condition(Power(), MAMBA_130M, threshold=value)
    with pytest.raises(l2m.InputError, match="threshold"):
        l2m.Threshold(value)


@pytest.mark.parametrize(("low", "high"), [(0.05, None), (0.07, 0.08), (0, 0.1), (0.05, math.inf), (math.nan, 0.1)])
def test_intervals_of_thresholds_hold_them(low, high) -> None:
    with pytest.raises(l2m.InputError, match="threshold"):
        l2m.Threshold(0.06, low, high)


@pytest.mark.parametrize("length", [0, -1, math.nan, math.inf, True, "5", 1e19, 10**400])
def test_lengths_are_numbers_of_tokens(length) -> None:
    with pytest.raises(l2m.InputError, match="length"):
        l2m.condition(Power(), MAMBA_130M, length)


@dataclasses.dataclass(frozen=True)
class Hostile(Power):
    """A law whose numbers were edited."""

    draw: object = None

    def draws(self, number, seed):
        if isinstance(self.draw, Exception):
            raise self.draw
        return self.draw


@pytest.mark.parametrize(
    "law",
    [
        Power(amplitude=math.nan), Power(amplitude=math.inf), Power(exponent=math.nan), Power(spread=math.nan),
        Power(amplitude="2"), Power(exponent=None), Power(exponent=math.inf), Power(exponent=1e300),
        Hostile(draw=np.zeros(3)), Hostile(draw=np.zeros((3, 9))), Hostile(draw="many"), Hostile(draw=None),
        Hostile(draw=ValueError("singular")), Hostile(draw=np.linalg.LinAlgError("singular")),
    ],
    ids=str,
)  # fmt: skip
def test_a_law_whose_numbers_cannot_be_used_is_one_line(law) -> None:
    with pytest.raises(l2m.InputError, match=r"^law: ") as error, np.errstate(all="ignore"):
        l2m.condition(law, MAMBA_130M, 1000)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "perhaps"}, {"x": "tokens"}, {"ratio": 1.0}, {"ratio": math.nan}, {"level": 1.0}, {"seed": -1},
        {"length": -1.0}, {"length": math.nan}, {"law": 3}, {"state": None}, {"threshold": 0.06},
    ],
    ids=str,
)  # fmt: skip
def test_a_verdict_of_wrong_fields_is_refused(changes) -> None:
    with pytest.raises(l2m.InputError):
        dataclasses.replace(l2m.condition(Power(), MAMBA_130M), **changes)
