"""How many numbers a model's history state holds after n tokens: by formula for known families, else measured.

A model family is added in `families/`: a formula, registered under its `model_type`.
"""

from l2m.states.history_state import families  # noqa: F401  (it fills the registry)
from l2m.states.history_state.config import Config
from l2m.states.history_state.read import history_state, model_weights
from l2m.states.history_state.registry import family
from l2m.states.history_state.state import HistoryState, Memory, StateSize, attention, convolution, opening, recurrent
from l2m.states.history_state.weights import Weights

__all__ = [
    "Config",
    "HistoryState",
    "Memory",
    "StateSize",
    "Weights",
    "attention",
    "convolution",
    "family",
    "history_state",
    "model_weights",
    "opening",
    "recurrent",
]
