"""`l2m state`: history states of models, side by side."""

from typing import Annotated, Any, Literal

from cyclopts import Parameter


def state(
    *model: str,
    lengths: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (1024, 8192, 131072),
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
        Tokens read.
    dtype
        Precision of recurrent and convolution states, and of the cache unless --cache-dtype says else.
    cache_dtype
        Precision of the attention cache: bfloat16, int8, int4, ...
    catalogue
        All models of the catalogue, which needs no network.
    form
        Table as words, csv or markdown.
    json
        Print one JSON object.
    """
    from l2m.base.numbers import short
    from l2m.cli.output import print_table
    from l2m.errors import InputError
    from l2m.states.history_state import history_state
    from l2m.states.history_state.catalogue import catalogue as entries

    names = [*model, *(entry["name"] for entry in entries() if catalogue)]
    if not names:
        raise InputError("MODEL: nothing named; expected models, or --catalogue")
    if not lengths or min(lengths) < 1:
        raise InputError(f"--lengths: {' '.join(map(str, lengths)) or 'none'}; expected numbers of tokens above 0")
    rows, words = [], []
    states = [history_state(name, dtype=dtype, cache_dtype=cache_dtype) for name in names]
    for found in sorted(states, key=lambda found: _bytes(found, max(lengths))):
        row: dict[str, Any] = {"model": found.name, "family": found.family, "growth": found.growth}
        line = {"model": found.name, "family": found.family, "grows": found.growth}
        for length in lengths:
            numbers, size = float(found.numbers(length)), _bytes(found, length)
            row |= {f"numbers_{length}": numbers, f"bytes_{length}": size}
            line[f"at {length:,}"] = f"{short(numbers)} ({short(size)}B)"
        rows.append(row | {"saturation_length": found.saturation_length, "reach": found.reach, "source": found.source})
        words.append(line | {"full from": short(found.saturation_length)})
    print_table(rows, "json" if json else form, words)


def _bytes(found: Any, length: int) -> float:
    return float(found.numbers(length, bits=True)) / 8
