"""`l2m condition`: which models' history states keep up with a measured law, and up to what length."""

from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
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
        The measured law: the folder or results.json of `l2m measure`, a folder of scores, a saved bipartite curve, or a saved law.
    model
        Folders with config.json, config files, GGUF files, names in the catalogue or on the Hugging Face hub.
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
    from l2m.cli.inputs import models_named
    from l2m.cli.output import print_table
    from l2m.errors import InputError
    from l2m.states.comparison import compare_models
    from l2m.states.history_state import history_state
    from l2m.states.threshold import PAPER_THRESHOLD

    names = models_named(model, catalogue)
    if figure is not None and figure.suffix not in (".svg", ".png", ".pdf"):
        raise InputError(f"--figure: {figure}; expected a name that ends in .svg, .png or .pdf")
    law = _law(results)
    states = [history_state(name, dtype=dtype, cache_dtype=cache_dtype) for name in names]
    carried = PAPER_THRESHOLD if threshold is None else threshold
    compared = compare_models(law, states, length, threshold=carried, seed=seed)
    if report is not None:
        with atomic_write(report, "w") as file:
            file.write(compared.to_html(law.explain() if hasattr(law, "explain") else ""))
    if figure is not None:
        drawn: Any = compared.plot().figure
        with atomic_write(figure) as file:
            drawn.savefig(file, format=figure.suffix[1:], dpi=150)
    print_table(compared.rows(), "json" if json else form, compared.table())
    if form == "words" and not json:
        print(fill(f"{compared.verdicts[0].needs}.", max(60, get_terminal_size().columns)))


def _law(path: Path) -> Any:
    """The bipartite law in what was saved: a law itself, a curve to fit, or a measurement that holds one."""
    from l2m.errors import InputError
    from l2m.loading import load
    from l2m.scoring import Scores
    from l2m.scoring.bipartite import bipartite

    if path.is_dir() and (path / "results.json").exists():
        path = path / "results.json"
    found = load(path)
    if isinstance(found, Scores):
        found = bipartite(found)
    if hasattr(found, "law"):
        if found.law is None:
            raise InputError(f"{path}: no law was fitted there ({found.words}); expected a bipartite law")
        found = found.law
    law = found.fit() if hasattr(found, "fit") else found
    if not hasattr(law, "predict"):
        kind = getattr(found, "kind", type(found).__name__)
        raise InputError(f"{path}: a record of kind {kind!r}; expected a measurement, a bipartite curve or its law")
    return law
