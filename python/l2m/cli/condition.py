"""`l2m condition`: which models' history states keep up with a measured law, and up to what length."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def condition(
    *model: str,
    law: str | None = None,
    length: float | None = None,
    threshold: float | None = None,
    dtype: str | None = None,
    cache_dtype: str | None = None,
    catalogue: bool = False,
    report: Path | None = None,
    figure: Path | None = None,
    form: Annotated[Literal["words", "csv", "markdown"], Parameter(name="--format")] = "words",
    json: bool = False,
    seed: int = 0,
) -> None:
    """The L²M condition for models, by a law that was measured or is known.

    Examples
    --------
    l2m condition results/ SmolLM2-135M mamba-130m --length 131072
    l2m condition --law 2.27,0.76 --catalogue
    l2m condition code mamba-130m Jamba-v0.1

    Parameters
    ----------
    model
        Folders with config.json, config files, GGUF files, names in the catalogue or on the Hugging Face hub. Without --law,
        the measured law comes first: the folder or results.json of `l2m measure`, a folder of scores, a saved bipartite
        curve, a saved law, or a row of `l2m laws`, such as books.
    law
        A law that is known: A,BETA for I = A L^BETA in nats; or A,BETA,LOW,HIGH with the 95 % interval of BETA. Or a saved
        law, or a row of `l2m laws`.
    length
        Total length (past and future) to judge at. Without it, only the limit of long texts is judged.
    threshold
        Nats that one number of the state carries. Default: 0.06, what the paper's Mambas reach (not reproduced). The
        optimum of linear states, 0.22 at a KL of 0.01, is shown with it.
    dtype
        Precision of recurrent and convolution states, and of the cache without --cache-dtype.
    cache_dtype
        Precision of the attention cache: bfloat16, int8, int4, ...
    catalogue
        Judge all models of the catalogue. This needs no network.
    report
        Write one self-contained HTML page with the table and the figure.
    figure
        Write the figure: required state and each model's state against length (.svg, .png or .pdf).
    form
        Table as words, csv or markdown.
    json
        Print one JSON object.
    seed
        Seed of the draws from the law.
    """
    from l2m.base.files import atomic_write
    from l2m.base.optional import require
    from l2m.cli.inputs import models_named, read_law
    from l2m.cli.output import print_table, print_words, require_figure, write_figure
    from l2m.errors import InputError
    from l2m.pipeline.laws import names as rows
    from l2m.states.comparison import compare_models
    from l2m.states.history_state import history_state
    from l2m.states.threshold import PAPER_THRESHOLD

    if report is not None or figure is not None:
        require("condition --report, --figure", "matplotlib")
    if law is None and not model:
        raise InputError("RESULTS: nothing named; expected a measured law before the models, or --law A,BETA")
    if law is None and not Path(model[0]).exists() and model[0] not in rows():
        raise InputError(
            f"RESULTS: {model[0]!r}: no such file or folder; expected a measured law before the models, or --law A,BETA, or a row "
            "of l2m laws"
        )
    names = models_named(model if law is not None else model[1:], catalogue)
    if figure is not None:
        require_figure(figure)
    given = read_law(model[0] if law is None else law)
    states = [history_state(name, dtype=dtype, cache_dtype=cache_dtype) for name in names]
    carried = PAPER_THRESHOLD if threshold is None else threshold
    compared = compare_models(given, states, length, threshold=carried, seed=seed)
    if report is not None:
        with atomic_write(report, "w") as file:
            file.write(compared.to_html(given.explain() if hasattr(given, "explain") else ""))
    if figure is not None:
        write_figure(figure, compared.plot)
    print_table(compared.rows(), "json" if json else form, compared.table())
    if form == "words" and not json:
        print_words(f"{compared.verdicts[0].needs}.")
