"""The design aid: the cheapest candidate that suffices, against a search written out."""

import pytest

import l2m
from laws import Power

BASE = {
    "model_type": "hybrid", "num_hidden_layers": 12, "hidden_size": 512, "num_attention_heads": 8, "num_key_value_heads": 2,
}  # fmt: skip
VARY = {"global_layers": [0, 1, 2], "window_layers": [0, 6], "sliding_window": [512], "state_size": [16, 64]}


def numbers(fields: dict[str, int], past: float) -> float:
    """The hybrid family counted by hand: keys and values of 2 heads of width 64, and 2 * 512 * state_size a recurrence."""
    windows = min(past, fields["sliding_window"] - 1)
    recurrent = 12 - fields["global_layers"] - fields["window_layers"]
    attention = 256 * (fields["global_layers"] * past + fields["window_layers"] * windows)
    return attention + recurrent * 2 * 512 * fields["state_size"]


def test_cheapest_that_suffices() -> None:
    for length in (2_000, 200_000, 2_000_000, 20_000_000):
        found = l2m.design(Power(), length, BASE, VARY, dtype="bfloat16")
        needed = l2m.condition(Power(), BASE, length).required_state(length).high
        assert found.required_high == needed
        for candidate in found.candidates:
            assert candidate["state"] == numbers(candidate["fields"], length / 2)
            assert candidate["suffices"] == (candidate["state"] >= needed)
        enough = [candidate for candidate in found.candidates if candidate["suffices"]]
        assert found.best == (min(enough, key=lambda one: one["bytes"]) if enough else None)
        assert found.full_attention_bytes == 2 * 12 * 256 * length / 2
        assert found.explain()


def test_windows_must_reach_back() -> None:
    base = {**BASE, "num_hidden_layers": 2}
    found = l2m.design(Power(), 100_000, base, {"window_layers": [2], "sliding_window": [8192, 65536]})
    assert [candidate["suffices"] for candidate in found.candidates] == [True, False]
    assert found.best["fields"]["sliding_window"] == 65536


def test_saved_and_loaded(tmp_path) -> None:
    found = l2m.design(Power(), 2_000, BASE, VARY)
    found.save(tmp_path / "design.json")
    assert l2m.load(tmp_path / "design.json").best == found.best


def test_bad_input() -> None:
    with pytest.raises(l2m.InputError, match="vary: 0 combinations"):
        l2m.design(Power(), 1000, BASE, {})
    with pytest.raises(l2m.InputError, match="20 global_layers and 0 window_layers of 12"):
        l2m.design(Power(), 1000, BASE, {"global_layers": [20]})


def test_arguments_of_another_type_are_named() -> None:
    law = l2m.PowerLaw.of(2.27, 0.76)
    for words, arguments in {
        "model: int": (law, 1000, 3, {"state_size": [16]}),
        "vary: int": (law, 1000, {}, 4),
        "vary: state_size: 16": (law, 1000, {}, {"state_size": 16}),
        "vary: state_size: 'many'": (law, 1000, {}, {"state_size": "many"}),
    }.items():
        with pytest.raises(l2m.InputError, match=words):
            l2m.design(*arguments)  # type: ignore[arg-type]


def test_a_model_by_name_is_its_config() -> None:
    law = l2m.law("code")
    named = l2m.design(law, 1_000_000, "mamba-130m", {"state_size": [16, 64]})
    fields = {"model_type": "mamba", "hidden_size": 768, "num_hidden_layers": 24, "expand": 2, "conv_kernel": 4}
    written = l2m.design(law, 1_000_000, fields, {"state_size": [16, 64]})
    assert named.candidates == written.candidates
    assert named.full_attention_bytes is None  # it has no heads to compare with


def test_a_field_that_changes_nothing_is_refused() -> None:
    with pytest.raises(l2m.InputError, match="vary: 'state_sise'; expected a field of the config of mamba"):
        l2m.design(l2m.law("code"), 1_000_000, "mamba-130m", {"state_sise": [16, 64]})
