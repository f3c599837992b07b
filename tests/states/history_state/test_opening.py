"""Memories that open with the text: by notation, by a function, and the families that have them."""

import numpy as np
import pytest

import l2m
from l2m.states.history_state.state import HistoryState, Memory, opening

CACHING = {
    "model_type": "memory_caching",
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_heads": 4,
    "segment_length": 10,
}


def model(growth: object) -> HistoryState:
    return HistoryState(
        name="mine", family="mine", memories=(opening(0, 64, growth),), layers=1, bits=16, cache_bits=16, source="here"
    )  # type: ignore[arg-type]


def test_a_function_counts_as_its_notation_does() -> None:
    lengths = np.array([1, 2, 10, 1000, 10**9])
    known, mine = model("power:0.5:1.5"), model(lambda n: 1.5 * n**0.5)
    assert known.at(lengths).total.tolist() == mine.at(lengths).total.tolist()
    assert mine.growth_exponent == pytest.approx(0.5, abs=1e-9)
    assert model(lambda n: np.log1p(n)).growth_exponent == 0


@pytest.mark.parametrize("wrong", [lambda n: -1.0, lambda n: float("nan"), lambda n: 1 / 0])
def test_a_function_that_fails_is_named(wrong: object) -> None:
    with pytest.raises(l2m.InputError, match="memory: growth"):
        model(wrong).at(4)


def test_a_function_is_not_saved(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(l2m.InputError, match="memory: growth is a function"):
        model(lambda n: n).save(tmp_path / "state.json")
    assert not list(tmp_path.iterdir())


def test_memory_caching_by_hand() -> None:
    """A 16 x 16 matrix for each of 4 heads, and one more for every 10 tokens that were read to their end."""
    state = l2m.history_state(CACHING)
    for tokens, segments in ((1, 0), (9, 0), (10, 1), (99, 9), (1000, 100)):
        assert state.at(tokens).total == 3 * 4 * 16 * 16 * (1 + segments)
    assert state.growth == "linear"


@pytest.mark.parametrize("config", [CACHING, {"model_type": "growing"}])
def test_no_engine_has_these_memories(config: dict[str, object]) -> None:
    with pytest.raises(l2m.InputError, match="runs in none of these engines"):
        l2m.memory_plan(config, engine="vllm", weights=False)


def test_a_memory_of_a_known_form_loads_as_it_was(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model("log:2.5").save(tmp_path / "state.json")
    loaded = l2m.load(tmp_path / "state.json")
    assert isinstance(loaded.memories[0], Memory)
    assert loaded.at(100).total == model("log:2.5").at(100).total
