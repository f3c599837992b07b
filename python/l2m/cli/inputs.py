"""What commands that count are given: a corpus folder, or text to tokenize first."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from l2m.errors import InputError

if TYPE_CHECKING:
    from l2m.corpus import Corpus
    from l2m.encoders import Encoder


def read_corpus(text: tuple[Path, ...], tokenizer: "str | Callable[[], Encoder]", out: Path | None) -> "Corpus":
    """The corpus in a folder made by `l2m tokenize`, else the text tokenized into OUT/corpus (None: in memory).

    `tokenizer` is a name, or makes an encoder, asked only where there is text to encode.
    """
    from l2m.corpus import Corpus
    from l2m.progress import progress_bar
    from l2m.tokenize import tokenize

    if not text:
        raise InputError("TEXT: nothing named; expected a corpus folder, or text files and folders")
    if len(text) == 1 and (text[0] / "corpus.json").exists():
        return Corpus.open(text[0])
    with progress_bar("tokenizing", "bytes") as progress:
        encoder = tokenizer if isinstance(tokenizer, str) else tokenizer()
        return tokenize(list(text), encoder, None if out is None else out / "corpus", progress=progress)
