from pathlib import Path
from typing import Literal


def tokenize(
    *text: Path,
    out: Path,
    tokenizer: str = "bytes",
    glob: str = "*",
    duplicates: Literal["drop", "keep"] = "drop",
    json: bool = False,
) -> None:
    """Text files and folders to a corpus of token ids.

    Parameters
    ----------
    text
        UTF-8 files, and folders of them.
    out
        Folder to write: tokens.npy, offsets.npy, documents.json, corpus.json.
    tokenizer
        bytes, characters, words, or a Hugging Face tokenizer: hub name, folder or tokenizer.json.
    glob
        Which files of a folder.
    duplicates
        Near-duplicate documents: drop or keep.
    json
        Print the result as one JSON object.
    """
    from l2m.cli.output import print_result
    from l2m.progress import progress_bar
    from l2m.tokenize import tokenize as run

    with progress_bar("tokenizing", "bytes") as progress:
        corpus = run(_named(text), tokenizer, out, glob=glob, duplicates=duplicates, progress=progress)
    result = {
        "out": str(out),
        "documents": len(corpus),
        "tokens": int(corpus.tokens.size),
        "vocab_size": corpus.vocab_size,
        "hash": corpus.hash,
        **corpus.tokenizer,
    }
    left_out = len(corpus.tokenizer["duplicates"])
    print_result(
        result,
        json,
        f"{corpus.tokens.size:,} tokens in {len(corpus):,} documents, {corpus.vocab_size:,} ids; "
        f"{left_out} near-duplicates left out -> {out}",
    )


def _named(text: tuple[Path, ...]) -> list[Path]:
    from l2m.errors import InputError

    if not text:
        raise InputError("TEXT: nothing named; expected files or folders")
    return list(text)
