from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from l2m.cli.output import columns, plain, print_result

if TYPE_CHECKING:
    from l2m.statistics.curve_comparison import CurveComparison


def fit(
    file: Path,
    *,
    x: str = "1",
    y: str = "2",
    stderr: str | None = None,
    method: Literal["ols", "wls", "gls", "robust", "nonlinear"] = "ols",
    offset: Literal["none", "free", "bounded"] = "none",
    offset_bounds: Annotated[tuple[float, float] | None, Parameter(n_tokens=1)] = None,
    covariance: Path | None = None,
    interval: Literal["t", "percentile", "bca"] = "t",
    level: float = 0.95,
    bootstrap: int = 10_000,
    seed: int = 0,
    compare: bool = True,
    figure: Path | None = None,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """A power law through a curve, with intervals, and whether it is one at all.

    Examples
    --------
    l2m fit curve.csv --x length --y information --stderr error --method wls
    l2m fit curve.csv --offset free --offset-bounds 0,1 --figure fit.svg

    Parameters
    ----------
    file
        Table of numbers (- for standard input), columns split by commas, tabs or spaces, with or without a first line of names.
    x
        Column of x: its number from 1, or its name.
    y
        Column of y.
    stderr
        Column of the standard errors of y.
    method
        ols, robust: log y by log x. wls, gls: the same with weights. nonlinear: y itself.
    offset
        none; free: y = A x^b + C; bounded: the paper's form, 0 < C < min y.
    offset_bounds
        Low and high end for C, such as 0,1.
    covariance
        File with the covariance of y, for gls.
    interval
        t, or percentile or bca of the bootstrap.
    level
        Coverage of the intervals.
    bootstrap
        Replicates for percentile and bca.
    seed
        Of the bootstrap.
    compare
        Compare with other curves.
    figure
        Picture to write (.png, .svg, .pdf).
    out
        JSON file to write: the fit as a record that l2m.load reads.
    json
        Print the result as one JSON object.
    """
    import numpy as np

    from l2m.base.optional import require
    from l2m.cli.table import read_table
    from l2m.errors import InputError
    from l2m.statistics.power_law import fit_power_law

    if figure is not None:
        require("fit --figure", "matplotlib")
    table = read_table(file)
    matrix = None if covariance is None else np.column_stack(read_table(covariance).columns)
    law = fit_power_law(
        table.column(x, "x"),
        table.column(y, "y"),
        stderr=None if stderr is None else table.column(stderr, "stderr"),
        covariance=matrix,
        offset=False if offset == "none" else offset,
        offset_bounds=offset_bounds,
        method=method,
        bootstrap=bootstrap,
        seed=seed,
    )
    names = ("amplitude", "exponent", *(("offset",) if law.settings["offset"] else ()))
    ends = {name: law.interval(name, level, method=interval) for name in names}
    result = {
        "kind": law.kind,
        "resolved": law.resolved,
        "points": int(law.x.size),
        "method": method,
        "offset": offset,
        "interval": interval,
        "level": level,
        **{
            name: {"value": plain(getattr(law, name)), "low": plain(ends[name][0]), "high": plain(ends[name][1])}
            for name in names
        },
    }
    words = [law.explain()]
    if interval != "t" and law.resolved:
        words += [
            f"{name}: {low:.4g} to {high:.4g} ({100 * level:g} %, {interval})" for name, (low, high) in ends.items()
        ]
    if compare and law.x.size < 4:
        words.append("Too few points to compare with other curves: 4 are needed.")
    elif compare:
        comparison = law.compare()
        result["comparison"] = _comparison(comparison)
        words += ["", comparison.table(columns()), comparison.verdict]
    if figure is not None:
        drawn = law.plot().get_figure(root=True)
        assert drawn is not None
        try:
            drawn.savefig(figure)
        except ValueError as error:
            raise InputError(f"{figure}: {error}") from None
    if out is not None:
        law.save(out)
    print_result(result, json, "\n".join(words))


def _comparison(comparison: "CurveComparison") -> dict[str, Any]:
    """Each curve's figures by name, the verdict, the exponent without the ends."""
    columns = ("parameters", "log_likelihood", "aicc", "aicc_weight", "bic", "bic_weight", "cross_validated")
    return {
        "best": comparison.best,
        "verdict": comparison.verdict,
        "models": {
            name: {column: plain(getattr(comparison, column)[k]) for column in columns}
            for k, name in enumerate(comparison.models)
        },
        "dropped": {
            str(case): {"exponent": plain(value), "stderr": plain(error)}
            for case, value, error in zip(
                comparison.dropped, comparison.exponent, comparison.exponent_stderr, strict=True
            )
        },
    }
