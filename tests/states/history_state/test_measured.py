"""States measured on the meta device against formulas."""

import dataclasses

import pytest

import l2m
import state_matrix
from l2m.states.history_state.measured import measure
from model_configs import MAMBA_130M


def test_the_comparison_can_fail() -> None:
    state = l2m.history_state(MAMBA_130M)
    wrong = (dataclasses.replace(state.memories[0], numbers=state.memories[0].numbers + 1), *state.memories[1:])
    assert state_matrix.compare(state, state.memories) == ""
    assert "other numbers at 1 tokens" in state_matrix.compare(state, wrong)


@pytest.mark.filterwarnings("ignore")
def test_measured_path_agrees_with_formulas() -> None:
    """The generic path on families whose formulas are known: growing, fixed, windowed, and more than one of them."""
    for model_type in ("gpt2", "mamba", "lfm3", "gemma2"):
        config = state_matrix.small_config(model_type)
        assert state_matrix.compare(l2m.history_state(config), measure(config)) == ""
