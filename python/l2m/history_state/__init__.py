"""How many numbers a model's history state holds after n tokens: by formula for known families, else measured."""

from l2m.history_state.families import family
from l2m.history_state.read import history_state
from l2m.history_state.state import HistoryState, Memory, StateSize, attention, convolution, recurrent

__all__ = [
    "HistoryState",
    "Memory",
    "StateSize",
    "attention",
    "convolution",
    "family",
    "history_state",
    "recurrent",
]
