"""The families of models whose history state has a formula. To add one, write a generator of memories and register it:

    @family("my_model", source="our paper, eq. 3", defaults={"state_size": 16})
    def my_model(config): ...

Families whose class is in `transformers` are sorted by their layers: `attention`, `state_space`, `linear_attention`.
`benches/state_matrix.py` compares each with the cache its class fills (docs/memory-matrix.md). Families that live
elsewhere are in `outside`, each with the paper or package it is counted from.
"""

from l2m.states.history_state.families import linear_attention, outside, state_space  # noqa: F401  (they fill the registry)
from l2m.states.history_state.families.attention import ENCODERS

__all__ = ["ENCODERS"]
