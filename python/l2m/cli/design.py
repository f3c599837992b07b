"""`l2m design`: the smallest history state, among variants of a model, that is large enough at a length."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter


def design(
    model: str,
    *,
    law: str,
    length: float,
    vary: list[str],
    threshold: float | None = None,
    dtype: str | None = None,
    cache_dtype: str | None = None,
    form: Annotated[Literal["words", "csv", "markdown"], Parameter(name="--format")] = "words",
    json: bool = False,
    seed: int = 0,
) -> None:
    """The smallest history state, among variants of a model, that a law asks for at a length.

    Examples
    --------
    l2m design mamba-130m --law code --length 1000000 --vary state_size=16,32,64
    l2m design config.json --law 2.27,0.76 --length 131072 --vary sliding_window=1024,4096 --vary num_hidden_layers=12,24

    Parameters
    ----------
    model
        The model to start from: a folder with config.json, a config file, a name in the catalogue or on the Hugging Face hub.
    law
        What the data require: a row of `l2m laws`, A,BETA for A L^BETA nats, or what l2m condition takes.
    length
        Target length in tokens, past and future.
    vary
        A field of the config and the values to try: FIELD=V1,V2. Several fields: every combination is a candidate.
    threshold
        Nats that one number of the state carries. Default: 0.06, what the paper's Mambas reach (not reproduced).
    dtype
        Precision of recurrent and convolution states, and of the cache without --cache-dtype.
    cache_dtype
        Precision of the attention cache: bfloat16, int8, int4, ...
    form
        Table as words, csv or markdown.
    json
        Print one JSON object.
    seed
        Seed of the draws from the law.
    """
    from l2m.cli.inputs import read_law
    from l2m.cli.output import print_table, print_words
    from l2m.states.design import design as search
    from l2m.states.threshold import PAPER_THRESHOLD

    carried = PAPER_THRESHOLD if threshold is None else threshold
    options: dict[str, Any] = {"dtype": dtype, "cache_dtype": cache_dtype, "threshold": carried, "seed": seed}
    found = search(read_law(law), length, model, _varied(vary), **options)
    print_table(found.rows(), "json" if json else form, found.table())
    if form == "words" and not json:
        print_words(found.explain())


def _varied(words: Sequence[str]) -> dict[str, list[Any]]:
    """Field -> values, from FIELD=V1,V2 with the commas already split.

    Raises:
        InputError: a value before any field, or a field that is named twice.
    """
    from json import JSONDecodeError, loads

    from l2m.errors import InputError

    fields: dict[str, list[Any]] = {}
    for word in words:
        name, equals, value = word.rpartition("=")
        if equals:
            if not name or name in fields:
                raise InputError(f"vary: {word!r}; expected FIELD=V1,V2, each field once")
            fields[name] = []
        elif not fields:
            raise InputError(f"vary: {word!r}; expected FIELD=V1,V2, such as state_size=16,32")
        try:
            parsed = loads(value)
        except JSONDecodeError:
            parsed = value
        next(reversed(fields.values())).append(parsed)
    return fields
