from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from l2m.counting.ngrams import NgramCounts


def ngrams(
    *text: str,
    n_max: int = 5,
    out: Path | None = None,
    tokenizer: str = "bytes",
    most_common: int = 0,
    table: int | None = None,
    threads: int | None = None,
    memory: str | None = None,
    parts: int | None = None,
    shard: str | None = None,
    ray: str | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """n-gram counts of every order up to 8: totals, distinct, block entropies and entropy rate.

    Parameters
    ----------
    text
        A folder (or its URL) made by l2m tokenize; or UTF-8 files and folders of them.
    n_max
        Largest order, 1 to 8.
    out
        Folder for the tasks' results, ngrams.json (the fingerprints), ngrams.csv, ngrams.svg and, with --table,
        ngrams-N.parquet. The same command goes on where it stopped. Without it nothing is kept.
    tokenizer
        For text: bytes, characters, words, or a Hugging Face tokenizer.
    most_common
        Also print so many most frequent n-grams of each order.
    table
        Write the full table of this order as parquet.
    threads
        Default: all cores. With --ray: cores of a task, default 1, 0 all of a machine. Never changes the result.
    memory
        As 2GiB; with --ray, of each task. Default: what full speed needs. Never changes the result.
    parts
        Tasks the count is cut into: 4 times the workers, or more. Default: 8, more from 5e8 tokens on.
    shard
        I/N: run only these tasks; all shards may share one --out, else l2m merge joins theirs.
    ray
        Run on a Ray cluster whose machines all see the corpus: auto, HOST:PORT or ray://HOST:PORT.
    dry_run
        Print tasks, time, memory and disk, from counting a few percent; write nothing.
    json
        Print the result as one JSON object.
    """
    from l2m.cli.inputs import read_corpus, read_shard
    from l2m.cli.output import print_result
    from l2m.cli.work import check_out, cut, run_job, show_forecast
    from l2m.counting.ngrams import NgramsJob
    from l2m.errors import InputError

    own = read_shard(shard, ray)
    check_out(out, own)
    if table is not None and out is None:
        raise InputError("out: not named; expected the folder for the table")
    if table is not None and not 1 <= table <= n_max:
        raise InputError(f"table: {table}; expected 1 to --n-max, {n_max}")
    corpus = read_corpus(text, tokenizer, None if dry_run else out, sharded=own is not None)
    job = NgramsJob(corpus, n_max, memory=memory, **cut(out, ray, threads, parts))
    if dry_run:
        return show_forecast(job, own, ray, threads, json)
    counts = run_job(job, "tokens", out, own, ray, threads)
    if counts is None:
        return print_result({"out": str(out), "shard": shard, "done": False}, json, f"shard {shard} done -> {out}")
    if out is not None and table is not None:
        counts.to_parquet(out / f"ngrams-{table}.parquet", table)
    return show(counts, out, json, most_common)


def show(counts: "NgramCounts", out: Path | None, json: bool, most_common: int = 0) -> None:
    """Print the orders; keep ngrams.json, .csv and .svg in `out`."""
    from l2m.cli.output import print_result
    from l2m.cli.work import keep

    columns = counts.columns()
    rows: list[dict[str, Any]] = [
        dict(zip(columns, values, strict=True))
        for values in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]
    if most_common:
        for row in rows:
            row["most_common"] = [[list(ids), count] for ids, count in counts.most_common(row["n"], most_common)]
    if out is not None:
        keep(counts, out, "ngrams", {"ngrams": counts.plot})
    lines = [f"{'n':>2} {'total':>14} {'distinct':>14} {'H_n (nats)':>11} {'H_n - H_n-1':>11}"]
    for row in rows:
        lines.append(
            f"{row['n']:>2} {row['total']:>14,} {row['distinct']:>14,} {row['entropy']:>11.4f} {row['rate']:>11.4f}"
        )
        lines += [f"   {count:>12,}  {' '.join(map(str, ids))}" for ids, count in row.get("most_common", [])]
    print_result({"orders": rows}, json, "\n".join(lines))
