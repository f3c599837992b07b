"""`.to("bits")` changes every number that is information, in every record, at any depth."""

import dataclasses
import math
import typing

import numpy as np
import pytest

import l2m
from example_records import KINDS, example
from l2m.base.records import _KINDS, Record

BIT = 1 / math.log(2)
UNITLESS = {
    "bipartite": {"document", "split", "length"},
    "block entropies": {"coverage"},
    "collapse": {"numbers", "equivalent", "distance"},
    "curve comparison": {
        *("aicc_weight", "bic_weight", "x", "slope_x", "slope", "slope_stderr", "exponent", "exponent_stderr"),
        *("break_x", "decay_length"),
    },
    "design": {"length", "required", "required_high", "full_attention_bytes"},
    "entropy table": {"coverage"},
    "entropy agreement": {
        *("gamma", "gamma_low", "gamma_high", "measured", "measured_low", "measured_high", "implied"),
        *("difference", "difference_low", "difference_high", "free", "free_low", "free_high"),
    },
    "estimate": {"coverage"},
    "exponent range": {"exponent", "low", "high"},
    "gaussian growth": {"local_exponents", "nominal_exponent", "fitted_exponent"},
    "gaussian two-point": {"correlation"},
    "history_state": {"bits", "cache_bits"},
    "joint entropy": {"normalized"},
    "law curve": {"x", "exponent", "low", "high"},
    "learning exponent": {
        *("value", "stderr", "low", "high", "gamma", "gamma_stderr", "decay", "decay_stderr"),
    },
    "kl_curve": {"flops"},
    "logarithm": {"x", "degrees_of_freedom", "group_weights"},
    "memory": {"bits"},
    "memory_plan": {"cache_bits"},
    "state use": {"numbers", "useful", "equivalent"},
    "context ratio": {"ratio", "low", "high", "level"},
    "effective context": {"position", "low", "high", "share", "level", "lowest"},
    "position nll": {
        *("first", "last", "levels", "bits_per_byte", "bits_per_byte_stderr", "bytes_per_token"),
        *("bits_per_character", "bits_per_character_stderr", "characters_per_token"),
    },
    "power law": {"x", "degrees_of_freedom", "group_weights"},
    "two-point": {"permutation_p", "permutation_q"},
    "token covariance": {"singular", "stderr", "frobenius", "floor", "frobenius_floor", "replicates", "group_pairs"},
    "weights": {"bits", "expert_bits"},
    "verdict": {"growth_probability", "length", "length_probability", "ratio", "level"},
}
"""Kind -> its numbers that are no information. A new field is listed here or scaled by `to`."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_scaled_or_declared_without_a_unit(kind: str) -> None:
    record = example(_KINDS[kind])
    bits = record.to("bits")
    assert bits.unit == "bits"
    for field in dataclasses.fields(record):
        before, after = getattr(record, field.name), getattr(bits, field.name)
        if isinstance(before, float) or (isinstance(before, np.ndarray) and before.dtype.kind == "f"):
            same = np.array_equal(before, after, equal_nan=True)
            unitless = field.name in UNITLESS.get(kind, set())
            assert same == unitless, f"{kind}.{field.name} {'is not scaled' if same else 'is scaled'}"
            if field.name in record.information_fields:
                assert after == pytest.approx(before * BIT)
            if field.name in record.squared_fields:
                assert after == pytest.approx(before * BIT**2)
    assert_units(bits, "bits", kind)
    again = bits.to("nats")
    for field in dataclasses.fields(record):
        before, after = getattr(record, field.name), getattr(again, field.name)
        if isinstance(before, (float, np.ndarray)):
            np.testing.assert_allclose(after, before, rtol=1e-12, err_msg=field.name)


def assert_units(found: typing.Any, unit: str, where: str) -> None:
    """Every record at any depth is in this unit."""
    if isinstance(found, Record):
        assert found.unit == unit, where
        for field in dataclasses.fields(found):
            assert_units(getattr(found, field.name), unit, f"{where}.{field.name}")
    elif isinstance(found, (tuple, list)):
        for place, item in enumerate(found):
            assert_units(item, unit, f"{where}[{place}]")
    elif isinstance(found, dict):
        for key, item in found.items():
            assert_units(item, unit, f"{where}.{key}")


def test_the_table_names_fields_that_are_there() -> None:
    for kind, names in UNITLESS.items():
        assert names <= {field.name for field in dataclasses.fields(_KINDS[kind])}, kind


MAMBA = {"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 50}


def test_what_is_computed_from_a_record_follows_its_unit() -> None:
    counts = l2m.ngrams(np.arange(500) % 7, 2)
    assert float(counts.to("bits").entropy(2)) == pytest.approx(float(counts.entropy(2)) * BIT)
    assert float(l2m.fingerprint([3, 2, 2]).to("bits").entropy()) == pytest.approx(float(l2m.entropy([3, 2, 2])) * BIT)
    growth = l2m.HierarchicalGaussian(4).growth()
    verdict = l2m.condition(growth.fit(), MAMBA, 4096)
    bits = verdict.to("bits")
    assert bits.law.unit == bits.threshold.unit == "bits"
    assert float(bits.information(4096)) == pytest.approx(float(verdict.information(4096)) * BIT)
    assert float(bits.required_state(4096)) == pytest.approx(float(verdict.required_state(4096)))
    assert float(bits.sufficient_length) == pytest.approx(float(verdict.sufficient_length))


def test_a_comparison_in_bits_is_the_comparison_of_the_bits() -> None:
    x, generator = 2.0 ** np.arange(9), np.random.default_rng(3)
    y = 2 * x**-0.5 + 0.05 * generator.standard_normal(9)
    for stderr in (None, np.full(9, 0.05)):
        nats = l2m.fit_power_law(x, y, method="nonlinear", stderr=stderr)
        ours, theirs = nats.compare().to("bits"), nats.to("bits").compare()
        place = [theirs.models.index(name) for name in ours.models]
        for name in ("log_likelihood", "aicc", "bic", "cross_validated"):
            # Points left out are fitted by a local search, which ends 1e-3 apart.
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name)[place], rel=1e-2), name


def test_a_collapse_in_bits_has_the_same_threshold() -> None:
    ratio = np.geomspace(0.01, 1, 12)
    made = l2m.Collapse(
        ratio=ratio,
        kl=0.1 * ratio**1.5,
        length=np.full(12, 64),
        state=np.full(12, 8),
        numbers=np.full(12, 8.0),
        frontier_kl=np.full(12, 0.01),
        equivalent=np.full(12, 0.5),
        distance=np.full(12, 0.1),
        frontier=l2m.frontier_curves([2, 3], ()),
    )
    bits = made.to("bits")
    assert bits.frontier is not None
    assert made.frontier is not None
    np.testing.assert_allclose(bits.frontier.mean_kl, made.frontier.mean_kl * BIT)
    assert bits.kl == pytest.approx(made.kl * BIT)
    assert bits.threshold(0.01).nats_per_number == pytest.approx(made.threshold(0.01).nats_per_number)
