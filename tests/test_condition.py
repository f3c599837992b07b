"""The verdict: closed forms of required states and lengths, outcomes that are known, intervals that carry over."""

import dataclasses
import math

import numpy as np
import pytest

import l2m
from model_configs import JAMBA, MAMBA_130M, MISTRAL_7B, SMOLLM2


@dataclasses.dataclass(frozen=True)
class Power:
    """The least a law needs to be."""

    amplitude: float = 2.27
    exponent: float = 0.76
    spread: float = 0.02
    kind = "power_law"

    def predict(self, x):
        return self.amplitude * np.asarray(x) ** self.exponent

    def interval(self, name, level=0.95):
        value = getattr(self, name)
        return value - self.spread, value + self.spread


@dataclasses.dataclass(frozen=True)
class Logarithm:
    slope: float = 3.0
    kind = "logarithm"

    def predict(self, x):
        return self.slope * np.log(np.asarray(x))

    def interval(self, name, level=0.95):
        return self.slope, self.slope


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
