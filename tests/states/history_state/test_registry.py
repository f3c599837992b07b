"""A family of one's own."""

import warnings

import l2m
from l2m.states.history_state import family, recurrent


def test_own_architecture() -> None:
    @family("delay_line", source="this test")
    def delay_line(config):
        for layer in range(config.num_hidden_layers):
            yield recurrent(layer, config.hidden_size * config.delay)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = l2m.history_state({"model_type": "delay_line", "num_hidden_layers": 2, "hidden_size": 8, "delay": 5})
    assert (state.at(1).total, state.source) == (80, "this test")
