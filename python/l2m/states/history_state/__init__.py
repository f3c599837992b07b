"""How many numbers a model's history state holds after n tokens: by formula for known families, else measured."""

from l2m.states.history_state import families, outside  # noqa: F401  (they fill the registry)
from l2m.states.history_state.read import history_state
from l2m.states.history_state.registry import Config, family
from l2m.states.history_state.state import HistoryState, Memory, StateSize, attention, convolution, recurrent

__all__ = [
    "Config",
    "HistoryState",
    "Memory",
    "StateSize",
    "attention",
    "convolution",
    "family",
    "history_state",
    "recurrent",
]
