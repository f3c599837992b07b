from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from l2m.truth.gaussian import HierarchicalGaussian


def gaussian(
    *,
    layers: int = 6,
    children: str = "3",
    beta: float | None = None,
    boundary: Literal["weighted", "printed"] = "weighted",
    out: Path | None = None,
    figures: bool = True,
    sample: int = 0,
    first: int = 0,
    format: Literal["npz", "parquet"] = "npz",
    dtype: Literal["float64", "float32"] = "float64",
    seed: int = 0,
    threads: int | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """The Gaussian language: its exact law, curves and figures, and samples with their conditional means.

    Examples
    --------
    l2m gaussian --layers 5 --out gaussian
    l2m gaussian --layers 6 --beta 0.6 --out language --sample 1000

    Parameters
    ----------
    layers
        1 to 10; the length is 4^layers.
    children
        Copies of the layer below: 1, 2 or 3, or one of them for each layer from layer 2 on: 1,1,2,1,1.
    beta
        Instead of children: the law whose exponent is nearest, 0 to 0.7925.
    boundary
        How values at row boundaries are mixed.
    out
        Folder to write: growth.json, two_point.json, law.npz, figures, the sample.
    figures
        Draw growth.svg, two_point.svg and entropy.svg, the pure families beside this law.
    sample
        How many sequences to write into the folder: z and mean, both (n, length).
    first
        Number of the first sequence of the seed.
    format
        Of the sample; parquet has one row a value.
    dtype
        Of the sample.
    seed
        Of the sample.
    threads
        Default all cores.
    dry_run
        Only say what would be written.
    json
        Print the result as one JSON object.
    """
    from l2m.base.folders import claim
    from l2m.base.optional import require
    from l2m.cli.output import print_result
    from l2m.cli.work import can_draw
    from l2m.errors import InputError
    from l2m.truth.gaussian import HierarchicalGaussian

    if sample and out is None:
        raise InputError("out: none with a sample to write; expected a folder")
    if sample and format == "parquet":
        require("gaussian --format parquet", "pyarrow")
    figures = figures and out is not None and can_draw()
    if beta is None:
        law = HierarchicalGaussian(layers, _children(children), boundary=boundary)
    else:
        law = HierarchicalGaussian.with_exponent(layers, beta, boundary=boundary)
    names = [] if out is None else ["growth.json", "two_point.json", "law.npz"]
    if figures:
        names += ["growth.svg", "two_point.svg", "entropy.svg"]
    if sample:
        names.append(f"sample.{format}")
    result = {
        **law.settings,
        "length": law.length,
        "bipartite_information": law.bipartite_information(),
        "nominal_exponent": law.nominal_exponent,
        "local_exponents": law.local_exponents.tolist(),
        "fitted_exponent": law.fitted_exponent,
        "written": [str(out / name) for name in names] if out is not None else [],
        "dry_run": dry_run,
    }
    if out is not None and not dry_run:
        drawn = {"sample": sample, "first": first, "format": format, "dtype": dtype, "seed": seed} if sample else {}
        claim(out, "gaussian", {**law.settings, **drawn})
        _write_law(law, out, figures, threads)
        if sample:
            _write_sample(law, out / f"sample.{format}", sample, first, dtype, seed, threads)
    locals_ = ", ".join(f"{value:.3f}" for value in law.local_exponents)
    words = (
        f"length {law.length:,}, children {', '.join(map(str, law.children)) or 'none'}, boundary {law.boundary}\n"
        f"I(L/2; L) {law.bipartite_information():.6g} nats\n"
        f"exponents: nominal {law.nominal_exponent:.4f}, fitted {law.fitted_exponent:.4f}, local {locals_ or 'none'}"
    )
    if names:
        total = f" ({sample:,} sequences)" if sample else ""
        words += f"\n{'would write' if dry_run else 'wrote'} {', '.join(names)}{total} -> {out}"
    print_result(result, json, words)


def _children(text: str) -> int | list[int]:
    from l2m.errors import InputError

    try:
        entries = [int(entry) for entry in text.split(",")]
    except ValueError:
        raise InputError(f"children: {text!r}; expected 1, 2 or 3, or a list such as 1,1,2,1,1") from None
    return entries if len(entries) > 1 else entries[0]


def _write_law(law: "HierarchicalGaussian", out: Path, figures: bool, threads: int | None) -> None:
    import numpy as np

    from l2m.base.files import atomic_write
    from l2m.base.progress import progress_bar

    law.growth().save(out / "growth.json")
    with progress_bar("two-point information", "distances") as progress:
        two_point = law.two_point(threads=threads, progress=progress)
    two_point.save(out / "two_point.json")
    with atomic_write(out / "law.npz") as file:
        np.savez(
            file,
            conditional_std=law.conditional_std,
            entropy=law.entropy(),
            bipartite_information=law.bipartite_information(range(law.length + 1)),
        )
    if figures:
        _draw(law, out, threads)


def _draw(law: "HierarchicalGaussian", out: Path, threads: int | None) -> None:
    """This law beside the pure families; each figure through `l2m.base.plots.svg`, so that the same law gives the same bytes."""
    from l2m.base.files import atomic_write
    from l2m.base.plots import BLUE, GREEN, GREY, ORANGE, new_axes, svg
    from l2m.truth.gaussian import HierarchicalGaussian

    laws = [
        (HierarchicalGaussian(law.layers, copies, boundary=law.boundary), color)
        for copies, color in ((1, BLUE), (2, GREEN), (3, ORANGE))
    ]
    if len(set(law.children)) > 1:
        laws.append((law, GREY))
    axes: dict[str, Any] = {name: new_axes() for name in ("growth", "two_point", "entropy")}
    for shown, color in laws:
        growth = shown.growth()
        growth.plot(axes["growth"], color=color)
        shown.two_point(threads=threads).plot(axes["two_point"], color=color)
        growth.plot_ends(axes["two_point"], color=color)
    law.plot_entropy(axes["entropy"])
    for name, drawn in axes.items():
        with atomic_write(out / f"{name}.svg", "w") as file:
            file.write(svg(drawn.get_figure(root=True)))


def _write_sample(
    law: "HierarchicalGaussian", path: Path, n: int, first: int, dtype: str, seed: int, threads: int | None
) -> None:
    import numpy as np

    from l2m.base.files import atomic_write
    from l2m.base.progress import progress_bar

    with progress_bar("sampling", "values") as progress:
        z, mean = law.sample(n, seed=seed, threads=threads, dtype=dtype, first=first, progress=progress)
    with atomic_write(path) as file:
        if path.suffix == ".npz":
            np.savez(file, z=z, mean=mean)
            return
        import pyarrow
        from pyarrow import parquet

        columns = {
            "sequence": np.repeat(np.arange(first, first + n, dtype=np.uint64), law.length),
            "position": np.tile(np.arange(law.length, dtype=np.int32), n),
            "z": z.reshape(-1),
            "mean": mean.reshape(-1),
        }
        parquet.write_table(pyarrow.table(columns), file)
