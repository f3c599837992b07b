from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def laws(
    name: str | None = None,
    *,
    verify: bool = False,
    corpus: str | None = None,
    quantity: Literal["bipartite", "two-point", "entropy"] | None = None,
    write_corpus: bool = False,
    write_model: bool = False,
    out: Path | None = None,
    seed: int = 0,
    form: Annotated[Literal["words", "csv", "markdown"], Parameter(name="--format")] = "words",
    json: bool = False,
) -> None:
    """The measured laws that come with l2m: text, code, DNA, music, physics, exact sources, controls.

    Examples
    --------
    l2m laws
    l2m laws ising
    l2m laws --verify gaussian-3
    l2m laws markov --write-corpus --out markov.jsonl

    Parameters
    ----------
    name
        A row: show its curves, commands, corpus and caveats. Without it, the table.
    verify
        Run the row's commands in the folder OUT, and say whether what they measure agrees with the row.
    corpus
        Files of the row's corpus, for --verify of a row whose corpus l2m does not write, such as books.
    quantity
        Verify this curve alone.
    write_corpus
        Write the row's corpus as JSON lines to the file OUT: what a package installed here holds, or a sample drawn with the
        seed.
    write_model
        Write the exact model of the row markov to the folder OUT, for l2m score.
    out
        Folder for --verify, which keeps what it measured (default: nothing is kept), and for --write-model; file for
        --write-corpus.
    seed
        Of a sample that --write-corpus draws.
    form
        Table as words, csv or markdown.
    json
        Print one JSON object.
    """
    from tempfile import TemporaryDirectory

    from l2m.cli.output import print_result, print_table
    from l2m.errors import InputError
    from l2m.pipeline.laws import find
    from l2m.pipeline.laws import laws as table

    if name is None:
        if verify or write_corpus or write_model:
            raise InputError("NAME: none given; expected a row of the table that `l2m laws` prints")
        rows = table().values()
        return print_table([row.numbers() for row in rows], "json" if json else form, [row.cells() for row in rows])
    if write_corpus or write_model:
        if out is None:
            raise InputError("out: none given; expected --out, a file for --write-corpus, a folder for --write-model")
        from l2m.pipeline.law_corpora import write_corpus as write
        from l2m.pipeline.law_corpora import write_model as write_chain

        if write_model:
            write_chain(name, out)
            return print_result({"out": str(out)}, json, f"the exact model of {name} -> {out}")
        documents = write(name, out, seed)
        return print_result({"out": str(out), "documents": documents}, json, f"{documents:,} documents -> {out}")
    row = find(name)
    if not verify:
        return print_result(row.to_dict(), json, row.explain())
    from l2m.pipeline.law_measure import verify as again

    if out is None:
        with TemporaryDirectory() as folder:
            compared = again(row, Path(folder), corpus=corpus, quantity=quantity)
    else:
        compared = again(row, out, corpus=corpus, quantity=quantity)
    result = [
        {
            "quantity": held.quantity,
            "shipped": held.interval_words,
            "measured": now.interval_words,
            "agrees": held.agrees(now),
        }
        for held, now in compared
    ]
    lines = [
        f"{held.quantity}: shipped {held.interval_words}, measured {now.interval_words}: "
        + ("they agree" if held.agrees(now) else "THEY DO NOT AGREE")
        for held, now in compared
    ]
    return print_result({"law": name, "curves": result}, json, "\n".join(lines))
