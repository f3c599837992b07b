"""`l2m state`: history states of models, side by side."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from l2m.states.history_state import HistoryState

LENGTHS = (1024, 8192, 131072)


def state(
    *model: str,
    lengths: list[int] | None = None,
    dtype: str | None = None,
    cache_dtype: str | None = None,
    catalogue: bool = False,
    form: Annotated[Literal["words", "csv", "markdown"], Parameter(name="--format")] = "words",
    json: bool = False,
) -> None:
    """How many numbers models keep of what they have read.

    Parameters
    ----------
    model
        Folders with config.json, config files, GGUF files, names in the catalogue or on the Hugging Face hub.
    lengths
        Tokens read, separated by commas. Default: 1024,8192,131072.
    dtype
        Precision of recurrent and convolution states, and of the cache without --cache-dtype.
    cache_dtype
        Precision of the attention cache: bfloat16, int8, int4, ...
    catalogue
        Show all models of the catalogue. This needs no network.
    form
        Table as words, csv or markdown.
    json
        Print one JSON object.
    """
    from l2m.base.checks import wholes
    from l2m.base.numbers import short
    from l2m.cli.inputs import models_named
    from l2m.cli.output import print_table
    from l2m.states.history_state import history_state
    from l2m.states.history_state.state import LONGEST_LENGTH

    names = models_named(model, catalogue)
    tokens = wholes("lengths", LENGTHS if lengths is None else lengths, 1, LONGEST_LENGTH)
    rows, words = [], []
    states = [history_state(name, dtype=dtype, cache_dtype=cache_dtype) for name in names]
    for found in sorted(states, key=lambda found: _bytes(found, max(tokens))):
        row: dict[str, Any] = {"model": found.name, "family": found.family, "growth": found.growth}
        line = {"model": found.name, "family": found.family, "grows": found.growth}
        for length in tokens:
            numbers, size = float(found.numbers(length)), _bytes(found, length)
            row |= {f"numbers_{length}": numbers, f"bytes_{length}": size}
            line[f"at {length:,}"] = f"{short(numbers)} ({short(size)}B)"
        rows.append(row | {"saturation_length": found.saturation_length, "reach": found.reach, "source": found.source})
        words.append(line | {"full from": short(found.saturation_length)})
    print_table(rows, "json" if json else form, words)


def _bytes(found: "HistoryState", length: int) -> float:
    return float(found.numbers(length, bits=True)) / 8
