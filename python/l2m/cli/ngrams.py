from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2m.cli.work import CountingWork

if TYPE_CHECKING:
    from l2m.corpora.corpus import Corpus
    from l2m.counting.ngrams import NgramCounts

DEFAULT = CountingWork()


def ngrams(
    *text: str,
    n_max: int = 5,
    out: Path | None = None,
    tokenizer: str = "bytes",
    most_common: int = 0,
    table: int | None = None,
    work: CountingWork = DEFAULT,
) -> None:
    """n-gram counts of every order up to 8: totals, distinct n-grams, block entropies and entropy rate.

    Examples
    --------
    l2m ngrams corpus --n-max 5 --most-common 10
    l2m ngrams book.txt --tokenizer words --out ngrams

    Parameters
    ----------
    text
        A folder (or its URL) made by l2m tokenize; or UTF-8 files and folders of them, or - for standard input.
    n_max
        Largest order, 1 to 8.
    out
        Folder for the results of tasks, ngrams.json (the fingerprints), ngrams.csv, ngrams.svg and, with --table,
        ngrams-N.parquet. Run the same command again to resume. Default: nothing is kept.
    tokenizer
        For text: bytes, characters, words, or a Hugging Face tokenizer.
    most_common
        Also print this many of the most frequent n-grams of each order.
    table
        Also write the full table of this order as parquet.
    """
    from l2m.base.checks import whole
    from l2m.base.optional import require
    from l2m.cli.inputs import read_corpus
    from l2m.cli.output import print_result
    from l2m.cli.work import check_out, run_job, show_forecast
    from l2m.counting.ngrams import MOST_COMMON, NgramsJob
    from l2m.errors import InputError

    check_out(out, work)
    whole("most_common", most_common, 0, MOST_COMMON)
    if table is not None:
        require("ngrams --table", "pyarrow")
    if table is not None and out is None:
        raise InputError("out: not named; expected the folder for the table")
    if table is not None and not 1 <= table <= n_max:
        raise InputError(f"table: {table}; expected 1 to --n-max, {n_max}")
    corpus = read_corpus(text, tokenizer, None if work.dry_run else out, sharded=work.share is not None)
    job = NgramsJob(corpus, n_max, **work.of_job(corpus, out))
    if work.dry_run:
        return show_forecast(job, work)
    counts = run_job(job, work, out, "tokens")
    if counts is None:
        result = {"out": str(out), "shard": work.shard, "done": False}
        return print_result(result, work.json, f"shard {work.shard} done -> {out}")
    if out is not None and table is not None:
        counts.to_parquet(out / f"ngrams-{table}.parquet", table)
    return show(counts, out, work.json, most_common, corpus)


def show(
    counts: "NgramCounts", out: Path | None, json: bool, most_common: int = 0, corpus: "Corpus | None" = None
) -> None:
    """Print the orders; write ngrams.json, .csv and .svg to `out`. `corpus` spells the most common n-grams."""
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
    spelled: dict[int, str | None] = {}
    if most_common and corpus is not None:
        from l2m.corpora.encoders import spell

        ids = sorted({id for row in rows for gram, _ in row["most_common"] for id in gram})
        spelled = dict(zip(ids, spell(corpus, ids), strict=True))
        for row in rows:
            row["most_common_words"] = [[spelled[id] for id in gram] for gram, _ in row["most_common"]]
    if out is not None:
        keep(counts, out, "ngrams", {"ngrams": counts.plot})
    lines = [f"{'n':>2} {'total':>14} {'distinct':>14} {f'H_n ({counts.unit})':>11} {'H_n - H_n-1':>11}"]
    for row in rows:
        lines.append(
            f"{row['n']:>2} {row['total']:>14,} {row['distinct']:>14,} {row['entropy']:>11.4f} {row['rate']:>11.4f}"
        )
        lines += [f"   {count:>12,}  {_named(ids, spelled)}" for ids, count in row.get("most_common", [])]
    print_result({"orders": rows}, json, "\n".join(lines))


def _named(ids: list[int], spelled: dict[int, str | None]) -> str:
    """An n-gram in the words of the vocabulary; ids where it is not known."""
    words = [spelled.get(id) for id in ids]
    return " ".join(str(id) if word is None else repr(word) for id, word in zip(ids, words, strict=True))
