from pathlib import Path
from typing import Any


def ngrams(
    *text: Path,
    n_max: int = 5,
    out: Path | None = None,
    tokenizer: str = "bytes",
    most_common: int = 0,
    table: int | None = None,
    threads: int | None = None,
    memory: str | None = None,
    json: bool = False,
) -> None:
    """n-gram counts of every order up to 8: totals, distinct, block entropies and entropy rate.

    Parameters
    ----------
    text
        A folder made by l2m tokenize; or UTF-8 files and folders of them.
    n_max
        Largest order, 1 to 8.
    out
        Folder for ngrams.json (the fingerprints) and, with --table, ngrams-N.parquet.
    tokenizer
        For text: bytes, characters, words, or a Hugging Face tokenizer.
    most_common
        Also print so many most frequent n-grams of each order.
    table
        Write the full table of this order as parquet.
    threads
        Default: all cores. Never changes the result.
    memory
        As 2GiB. Default: what full speed needs. Never changes the result.
    json
        Print the result as one JSON object.
    """
    from l2m.cli.inputs import read_corpus
    from l2m.cli.output import print_result
    from l2m.errors import InputError
    from l2m.ngrams import ngrams as run
    from l2m.progress import progress_bar

    if table is not None and out is None:
        raise InputError("out: not named; expected the folder for the table")
    corpus = read_corpus(text, tokenizer, out)
    with progress_bar("counting", "tokens") as progress:
        counts = run(corpus, n_max, threads=threads, memory=memory, progress=progress)
    rows: list[dict[str, Any]] = []
    before = 0.0
    for n in range(1, n_max + 1):
        entropy = counts.entropy(n).value
        row: dict[str, Any] = {
            "n": n,
            "total": counts.total(n),
            "distinct": counts.distinct(n),
            "entropy": entropy,
            "rate": entropy - before,
        }
        if most_common:
            row["most_common"] = [[list(ids), count] for ids, count in counts.most_common(n, most_common)]
        rows.append(row)
        before = entropy
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        if table is not None:
            counts.to_parquet(out / f"ngrams-{table}.parquet", table)
        counts.save(out / "ngrams.json")
    lines = [f"{'n':>2} {'total':>14} {'distinct':>14} {'H_n (nats)':>11} {'H_n - H_n-1':>11}"]
    for row in rows:
        lines.append(
            f"{row['n']:>2} {row['total']:>14,} {row['distinct']:>14,} {row['entropy']:>11.4f} {row['rate']:>11.4f}"
        )
        lines += [f"   {count:>12,}  {' '.join(map(str, ids))}" for ids, count in row.get("most_common", [])]
    print_result({"orders": rows}, json, "\n".join(lines))
