"""The registry of families: a formula per family, under the `model_type`s it serves. `families/` fills it."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from l2m.states.history_state.config import Config
from l2m.states.history_state.state import Memory

Formula = Callable[[Config], Iterator[Memory]]


@dataclasses.dataclass(frozen=True)
class Family:
    """A formula and where it comes from.

    `defaults` completes a config file without help; None: its class in `transformers` has to (where that is installed;
    else the file must leave nothing out). `nulls` are the fields in which null says something else than absence.
    """

    formula: Formula
    source: str
    defaults: Mapping[str, Any] | None
    nulls: Sequence[str] = ()


FAMILIES: dict[str, Family] = {}
"""model_type -> its family."""


def family(
    *model_types: str, source: str, defaults: Mapping[str, Any] | None = None, nulls: Sequence[str] = ()
) -> Callable[[Formula], Formula]:
    """Register a formula under `model_types`; a later registration replaces an earlier one.

        @family("my_model", source="our paper, eq. 3", defaults={"state_size": 16})
        def my_model(config):
            for layer in range(config.num_hidden_layers):
                yield recurrent(layer, config.hidden_size * config.state_size)

    Args:
        model_types: values of `model_type` in a config.
        source: paper or code the formula is taken from.
        defaults: of fields that configs may leave out; a function of the config computes one from others.
        nulls: fields that are read as None where a config sets them to null; everywhere else null counts as absent.
    """

    def register(formula: Formula) -> Formula:
        for model_type in model_types:
            FAMILIES[model_type] = Family(formula, source, defaults, nulls)
        return formula

    return register
