"""`l2m state`: history states of models, side by side; what fits a memory budget, and what holds the information."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

LENGTHS = (1024, 8192, 131072)


def state(
    *model: str,
    lengths: list[int] | None = None,
    batch: int = 1,
    memory: str | None = None,
    engine: str = "transformers",
    law: str | None = None,
    weights: bool = False,
    weights_dtype: str | None = None,
    dtype: str | None = None,
    cache_dtype: str | None = None,
    reserve: str | None = None,
    block: int | None = None,
    chunk: int | None = None,
    full_windows: bool = False,
    figure: Path | None = None,
    catalogue: bool = False,
    form: Annotated[Literal["words", "csv", "markdown"], Parameter(name="--format")] = "words",
    json: bool = False,
) -> None:
    """How much memory models need for what they have read, what fits a budget, and what is enough for the data.

    Examples
    --------
    l2m state SmolLM2-135M mamba-130m --lengths 1024,131072
    l2m state --catalogue --format csv > models.csv

    Parameters
    ----------
    model
        Folders with config.json, config files, GGUF files, names in the catalogue or on the Hugging Face hub.
    lengths
        Tokens of one sequence, separated by commas. Default: 1024,8192,131072.
    batch
        Sequences held at once.
    memory
        Memory for weights and states, such as 24GB or 22GiB: shows the longest context at this batch, and with --lengths
        the most sequences of each length.
    engine
        Whose rules count: transformers, vllm, llama.cpp or sglang (pages, padding, precision of states).
    law
        What the data require: A,BETA for A L^BETA nats, or what l2m condition takes (a results folder, a saved curve or
        law). Shows up to which length each state is large enough.
    weights
        Show weights, totals and the bytes read for each generated token. Implied by --memory. Instant for models of the
        catalogue; others are built without their weights, which takes seconds.
    weights_dtype
        Precision of the weights: bfloat16, int8, q4_k, ... or bits per parameter. Default: as published.
    dtype
        Precision of recurrent and convolution states, and of the cache without --cache-dtype.
    cache_dtype
        Precision of the attention cache: bfloat16, int8, q8_0, ...
    reserve
        Memory to keep free, such as 2GB. Activations and the process need it; nothing else here counts them.
    block
        Tokens a page holds. Default: 16 in vLLM, 1 in SGLang; llama.cpp pads to 256.
    chunk
        Tokens processed at once, which attention windows hold meanwhile. Default: 2048 in vLLM, 512 in llama.cpp.
    full_windows
        Attention windows hold every token (vLLM --disable-hybrid-kv-cache-manager, llama.cpp --swa-full).
    figure
        Write the figure: numbers required, held and affordable against length (.svg, .png or .pdf).
    catalogue
        Show all models of the catalogue. This needs no network.
    form
        Table as words, csv or markdown.
    json
        Print one JSON object.
    """
    from l2m.base.checks import wholes
    from l2m.base.optional import require
    from l2m.cli.inputs import models_named, read_law
    from l2m.cli.output import print_table, require_figure, write_figure
    from l2m.states.history_state.state import LONGEST_LENGTH
    from l2m.states.memory_plan import memory_plan
    from l2m.states.plans import plan_models

    if figure is not None:
        require("state --figure", "matplotlib")
        require_figure(figure)
    names = models_named(model, catalogue)
    tokens = wholes("lengths", LENGTHS if lengths is None else lengths, 1, LONGEST_LENGTH)
    counted = weights or memory is not None or weights_dtype is not None
    found = None if law is None else read_law(law)
    options: dict[str, Any] = {"dtype": dtype, "cache_dtype": cache_dtype, "weights_dtype": weights_dtype}
    options |= {"engine": engine, "block": block, "chunk": chunk, "full_windows": full_windows}
    plans = [memory_plan(name, weights=counted, reserve=reserve or 0, **options) for name in names]
    table = plan_models(plans, lengths=tokens, batch=batch, memory=memory, law=found)
    if figure is not None:
        write_figure(figure, table.plot)
    shown = lengths is not None or (memory is None and law is None)
    print_table(table.rows(), "json" if json else form, table.table(lengths=shown))
    if form == "words" and not json:
        _explain(table, lengths=shown)


def _explain(table: Any, *, lengths: bool) -> None:
    """Below the table: what its columns count, in lines no wider than the terminal."""
    from l2m.base.numbers import short
    from l2m.cli.output import print_words
    from l2m.states.engines import ENGINES

    first = table.plans[0]
    notes = []
    if (
        lengths
        and table.memory is None
        and table.verdicts is None
        and any(plan.state.at(1).convolution for plan in table.plans)
    ):
        notes.append(
            "Numbers and bytes count all that is stored, convolution windows too; l2m condition counts attention caches and "
            "recurrent states."
        )
    if first.engine != "transformers" or table.memory is not None:
        engine, _, file = ENGINES[first.engine].source.partition(", ")
        notes.append(f"Counted as {engine} reserves ({file}).")
    if table.memory is not None:
        kept = (
            f", {short(first.reserve)}B kept free"
            if first.reserve
            else "; activations and the process need more (--reserve)"
        )
        notes.append(f"In {short(table.memory)}B for weights and states{kept}.")
    if table.verdicts is not None:
        notes.append(f"{table.verdicts[0].needs}.")
    if notes:
        print_words(" ".join(notes))
