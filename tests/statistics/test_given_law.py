"""`PowerLaw.of`: a law that is known and was not fitted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import l2m
from l2m.statistics.power_law import PowerLaw


def test_an_exact_law() -> None:
    law = PowerLaw.of(2.27, 0.76)
    assert (law.amplitude, law.exponent, law.offset, law.given) == (2.27, 0.76, 0.0, True)
    assert law.predict(1024.0) == pytest.approx(2.27 * 1024**0.76, rel=1e-15)
    assert law.interval() == (0.76, 0.76)
    assert law.interval("amplitude") == pytest.approx((2.27, 2.27))
    assert np.ptp(law.draws(100), axis=0).tolist() == [0, 0, 0]
    assert repr(law) == "PowerLaw(y = 2.27 x^0.760)"
    assert law.explain() == "y = 2.27 x^0.760; a given law, not a fit."


def test_its_draws_follow_the_intervals_of_both_sides() -> None:
    law = PowerLaw.of(2.27, 0.76, amplitude_interval=(2.0, 2.5), exponent_interval=(0.70, 0.83))
    assert law.interval() == (0.70, 0.83)
    assert law.interval("amplitude") == (2.0, 2.5)
    assert law.interval("exponent", 0.5)[1] == pytest.approx(0.76 + 0.07 * 0.6744898 / 1.9599640)
    draws = law.draws(100_000, seed=3)
    # Half of the draws lie on each side of the value; a quantile at 2.5 % has a standard error of 0.02 widths here.
    for column, expected, width in ((0, (2.0, 2.27, 2.5), 0.25), (1, (0.70, 0.76, 0.83), 0.065)):
        found = np.quantile(draws[:, column], [0.025, 0.5, 0.975])
        assert found == pytest.approx(expected, abs=0.08 * width)


@given(
    st.floats(1e-3, 1e3),
    st.floats(-2, 2),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.tuples(st.floats(0, 0.9), st.floats(0, 5)),
)
def test_saved_and_converted_it_is_the_same_law(
    amplitude: float, exponent: float, by: tuple[float, float], share: tuple[float, float]
) -> None:
    law = PowerLaw.of(
        amplitude,
        exponent,
        exponent_interval=(exponent - by[0], exponent + by[1]),
        amplitude_interval=(amplitude * (1 - share[0]), amplitude * (1 + share[1])),
    )
    back = PowerLaw.from_dict(law.to_dict())
    assert back.interval() == law.interval()
    assert np.array_equal(back.draws(5, 1), law.draws(5, 1))
    bits = law.to("bits")
    assert bits.interval("amplitude", 0.9) == pytest.approx(
        tuple(end / math.log(2) for end in law.interval("amplitude", 0.9))
    )
    assert bits.interval() == law.interval()


def test_condition_takes_it() -> None:
    exact = l2m.condition(PowerLaw.of(2.27, 0.76), "mamba-130m", 131_072)
    # 589,824 numbers = 2.27 L^0.76 / 0.06, solved for L.
    assert float(exact.sufficient_length) == pytest.approx((589_824 * 0.06 / 2.27) ** (1 / 0.76), rel=1e-9)
    assert exact.sufficient_length.exact
    assert "extrapolated" not in exact.explain()
    wide = l2m.condition(PowerLaw.of(2.27, 0.76, exponent_interval=(0.70, 0.83)), "mamba-130m")
    assert wide.sufficient_length.low == pytest.approx((589_824 * 0.06 / 2.27) ** (1 / 0.83), rel=0.05)


def test_it_is_drawn_without_data() -> None:
    pytest.importorskip("matplotlib")
    assert PowerLaw.of(2.27, 0.76).plot().get_lines()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 0.7, {}), "amplitude: 0"),
        ((1, math.nan, {}), "exponent: nan"),
        ((1, 0.7, {"exponent_interval": (0.8, 0.9)}), r"expected \(low, high\) at 95 % around 0.7"),
        ((1, 0.7, {"exponent_interval": 0.8}), "exponent_interval: shape"),
        ((1, 0.7, {"exponent_interval": (0.6, 0.7, 0.8)}), "exponent_interval"),
        ((1, 0.7, {"amplitude_interval": (0, 2)}), "above 0, at 95 %"),
        ((1, 0.7, {"x": "tokens"}), "x: 'tokens'"),
    ],
)
def test_numbers_that_make_no_law(arguments, words: str) -> None:
    amplitude, exponent, options = arguments
    with pytest.raises(l2m.InputError, match=words):
        PowerLaw.of(amplitude, exponent, **options)


@pytest.mark.parametrize(
    "ask",
    [PowerLaw.compare, PowerLaw.bootstrap, PowerLaw.local_slopes, lambda law: law.interval("exponent", 0.95, "bca")],
)
def test_what_needs_data_says_so(ask) -> None:
    with pytest.raises(l2m.InputError, match="the law was given, so that it has no points"):
        ask(PowerLaw.of(1, 0.5))
