"""`l2m condition`: which models' history states keep up with a measured law, and up to what length."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter


def condition(
    results: Path,
    *model: str,
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
    """The L²M condition for models, by a measured law.

    Parameters
    ----------
    results
        What was measured: the folder or results.json of `l2m measure`, a saved bipartite curve, or a saved law.
    model
        Folders with config.json, config files, GGUF files, names in the catalogue or on the Hugging Face hub.
    length
        Total length (past and future) to judge at; without it, the limit of long texts alone.
    threshold
        Nats that one number of the state carries. Default: 0.06, of the paper, not reproduced.
    dtype
        Precision of recurrent and convolution states, and of the cache unless --cache-dtype says else.
    cache_dtype
        Precision of the attention cache: bfloat16, int8, int4, ...
    catalogue
        All models of the catalogue, which needs no network.
    report
        Write one self-contained HTML page with the table and the figure.
    figure
        Write the figure: required state against length, each model's state beside it (.svg, .png or .pdf).
    form
        Table as words, csv or markdown.
    json
        Print one JSON object.
    seed
        Of the draws from the law.
    """
    from l2m.base.files import atomic_write
    from l2m.cli.output import print_table
    from l2m.errors import InputError
    from l2m.states.condition import PAPER_THRESHOLD, compare_models
    from l2m.states.history_state import history_state
    from l2m.states.history_state.catalogue import catalogue as entries

    names = [*model, *(entry["name"] for entry in entries() if catalogue)]
    if not names:
        raise InputError("MODEL: nothing named; expected models, or --catalogue")
    if figure is not None and figure.suffix not in (".svg", ".png", ".pdf"):
        raise InputError(f"--figure: {figure}; expected a name that ends in .svg, .png or .pdf")
    law = _law(results)
    states = [history_state(name, dtype=dtype, cache_dtype=cache_dtype) for name in names]
    compared = compare_models(law, states, length, threshold=threshold or PAPER_THRESHOLD, seed=seed)
    if report is not None:
        with atomic_write(report, "w") as file:
            file.write(compared.to_html(law.explain() if hasattr(law, "explain") else ""))
    if figure is not None:
        with atomic_write(figure) as file:
            compared.plot().figure.savefig(file, format=figure.suffix[1:], dpi=150)
    print_table(compared.rows(), "json" if json else form, compared.table())


def _law(path: Path) -> Any:
    """The bipartite law in what was saved: a law itself, a curve to fit, or a measurement that holds one."""
    from l2m import load
    from l2m.errors import InputError

    if path.is_dir() and (path / "results.json").exists():
        path = path / "results.json"
    found = load(path)
    if type(found).__name__ == "Scores":
        from l2m import bipartite

        found = bipartite(found)
    if hasattr(found, "law"):
        if found.law is None:
            raise InputError(f"{path}: no law was fitted there ({found.words}); expected a bipartite law")
        found = found.law
    law = found.fit() if hasattr(found, "fit") else found
    if not hasattr(law, "predict"):
        raise InputError(f"{path}: a {found.kind}; expected a measurement, a bipartite curve or its law")
    return law
