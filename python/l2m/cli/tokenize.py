from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from l2m.corpora.corpus import Corpus


def tokenize(
    *text: str,
    out: Path,
    tokenizer: str = "bytes",
    glob: str = "*",
    field: str = "text",
    id_field: str = "id",
    format: Literal[
        "auto",
        "text",
        "jsonl",
        "json",
        "fasta",
        "fasta-as-written",
        "fasta-bases",
        "score",
        "parquet",
        "arrow",
        "npy",
        "bin",
    ] = "auto",
    separator: int | None = None,
    dtype: Literal["uint8", "uint16", "uint32", "int32", "int64"] = "uint16",
    split: str = "train",
    subset: str | None = None,
    duplicates: Literal["drop", "keep"] = "drop",
    min_tokens: int = 0,
    sample: float = 1.0,
    on_error: Literal["stop", "skip"] = "stop",
    keep_line_ends: bool = False,
    shard: str | None = None,
    ray: str | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Text files and folders to a corpus of token ids.

    Examples
    --------
    l2m tokenize books/ --out corpus --tokenizer gpt2
    cat book.txt | l2m tokenize - --out corpus
    l2m tokenize 'data/*.jsonl.zst' --out corpus --field text --shard 0/16

    Parameters
    ----------
    text
        Files, folders, `-` for text on standard input, patterns, URLs (s3://, gs://, https://, ...) and Hugging Face datasets (owner/name, or pg19, wikipedia,
        fineweb): UTF-8 text, JSON lines, FASTA, MusicXML, Humdrum and MIDI, parquet, arrow, token dumps (.npy, nanoGPT and
        Megatron .bin, folders of litdata or MosaicML shards); text, JSON lines and FASTA also as .gz, .xz, .bz2, .zst.
    out
        Folder to write: tokens.npy, offsets.npy, documents.jsonl, corpus.json.
    tokenizer
        bytes, characters, words, or a Hugging Face tokenizer: hub name, folder or tokenizer.json.
    glob
        Which files of a folder.
    field
        Field of JSON lines, or column of tables and datasets, that holds the text.
    id_field
        Field or column with the name of a document.
    format
        Format of the files; auto goes by their suffixes. FASTA is read in upper case; fasta-as-written keeps lower case,
        fasta-bases keeps A, C, G, T alone and begins a new document after any other letter.
    separator
        Id between documents in token dumps.
    dtype
        Type of the ids in .bin token dumps that do not record it.
    split
        Split of a dataset.
    subset
        Subset of a dataset.
    duplicates
        Near-duplicate documents: drop or keep.
    min_tokens
        Leave out documents with fewer tokens.
    sample
        Keep this fraction of documents, chosen by the hash of their content.
    on_error
        What to do at a file, line or row that cannot be read: stop, or skip it and report it at the end.
    keep_line_ends
        Keep CRLF and CR line ends. Without it they become LF.
    shard
        I/N: do only the I-th of N shares of the work, I from 0; `l2m merge` joins them.
    ray
        Run on a Ray cluster whose machines all see the files and `out`: auto, HOST:PORT or ray://HOST:PORT.
    dry_run
        Print what it will take in time, memory and disk, measured on the first 12 MB, and write nothing.
    json
        Print the result as one JSON object.
    """
    import sys

    from l2m.base.progress import progress_bar
    from l2m.cli.inputs import read_shard, source
    from l2m.cli.options import require_no_numbers
    from l2m.cli.output import only_results_on_stdout, print_result
    from l2m.corpora.tokenize import TokenizeSettings, forecast, run_shard, tokenize_job
    from l2m.corpora.tokenize import tokenize as run
    from l2m.errors import InputError

    if not text:
        raise InputError("TEXT: nothing named; expected files or folders")
    require_no_numbers(text)
    # A word on the command line is never the text itself.
    sources = [source(name) for name in text]
    options: dict[str, Any] = {
        "glob": glob, "field": field, "id_field": id_field, "format": format, "separator": separator, "dtype": dtype,
        "split": split, "subset": subset, "on_error": on_error, "keep_line_ends": keep_line_ends, "duplicates": duplicates,
        "min_tokens": min_tokens, "sample": sample,
    }  # fmt: skip
    own = read_shard(shard, ray)
    if dry_run:
        job = tokenize_job(sources, tokenizer, out, TokenizeSettings(**options), shards=own[1] if own else 1)
        expected = forecast(job)
        work, details, seconds = expected.work, expected.details, expected.seconds(shard=own) or 0.0
        print_result(
            expected.to_dict(shard=own),
            json,
            f"{work['source_bytes']:,} bytes in {details['parts']} parts ({details['parts_done']} done): about "
            f"{work['tokens']:,} tokens, {seconds:,.1f} s on this machine, {(expected.disk_bytes or 0) / 2**20:,.0f} MiB of "
            f"disk while it runs, {(expected.memory_bytes or 0) / 2**20:,.0f} MiB of memory",
        )
        return
    if own is not None:
        index, shards = own
        job = tokenize_job(sources, tokenizer, out, TokenizeSettings(**options), shards=shards)
        with progress_bar("tokenizing", "bytes") as progress:
            done = run_shard(job, index, shards, progress=progress)
        share = job.shard(index, shards)
        print_result(
            {"out": str(out), "shard": shard, "parts": list(share), "of": len(job.parts), "done_now": done},
            json,
            f"shard {shard}: {len(share)} of {len(job.parts)} parts -> {out}; when all are done: l2m merge {out}",
        )
        return
    with progress_bar("tokenizing", "bytes") as progress, only_results_on_stdout():
        corpus = run(sources, tokenizer, out, ray=ray, progress=progress, **options)
    for problem in corpus.tokenizer["skipped"][:20]:
        print(f"l2m: skipped: {problem}", file=sys.stderr)
    print_result(corpus_summary(out, corpus), json, corpus_words(out, corpus))


def corpus_summary(out: Path, corpus: "Corpus") -> dict[str, Any]:
    return {
        "out": str(out),
        "documents": len(corpus),
        "tokens": int(corpus.tokens.size),
        "vocab_size": corpus.vocab_size,
        "hash": corpus.hash,
        "tokenizer": corpus.tokenizer,
    }


def corpus_words(out: Path, corpus: "Corpus") -> str:
    made_by = corpus.tokenizer
    filters = made_by.get("filters", {})  # none in a corpus that was made in memory and saved
    left_out = {
        "near-duplicates": len(made_by.get("duplicates", [])),
        "too short": filters.get("short", 0),
        "not sampled": filters.get("sampled_out", 0),
        "unreadable": len(made_by.get("skipped", [])),
    }
    named = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items() if number)
    return (
        f"{corpus.tokens.size:,} tokens in {len(corpus):,} documents, {corpus.vocab_size:,} ids; "
        f"left out: {named or 'nothing'} -> {out}"
    )
