"""What commands are given: a corpus folder, or text to tokenize first; a share of the work."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2m.base.optional import require
from l2m.errors import InputError

if TYPE_CHECKING:
    from l2m.corpora.corpus import Corpus
    from l2m.corpora.documents import Document
    from l2m.corpora.encoders import Encoder
    from l2m.corpora.sources import Source


def read_corpus(
    text: tuple[str | Path, ...],
    tokenizer: "str | Callable[[], Encoder]",
    out: Path | None,
    *,
    sharded: bool = False,
) -> "Corpus":
    """The corpus in a folder (or at a URL) made by `l2m tokenize`, else the text tokenized into OUT/corpus (None: in memory).

    `tokenizer` is a name, or makes an encoder, asked only where there is text to encode. `sharded`: refuse text, which
    all shards would tokenize at once.
    """
    from l2m.base.progress import progress_bar
    from l2m.cli.options import require_no_numbers
    from l2m.corpora.corpus import Corpus
    from l2m.corpora.sources import Source
    from l2m.corpora.tokenize import tokenize

    if not text:
        raise InputError("TEXT: nothing named; expected a corpus folder, or text files and folders")
    require_no_numbers(text)
    sources = [source(str(name)) for name in text]
    if (
        len(text) == 1
        and isinstance(sources[0], Source)
        and ("://" in sources[0].name or Path(sources[0].name, "corpus.json").exists())
    ):
        return Corpus.open(sources[0].name)
    if sharded:
        raise InputError(
            f"TEXT: {text[0]} with --shard; expected a corpus that l2m tokenize wrote, for all shards to read"
        )
    with progress_bar("tokenizing", "bytes") as progress:
        encoder = tokenizer if isinstance(tokenizer, str) else tokenizer()
        return tokenize(sources, encoder, None if out is None else out / "corpus", progress=progress)


def source(word: str) -> "Source | Document":
    """What a word on the command line names: a file, folder, pattern, URL or dataset; the text of `-` or of `<(command)`."""
    from l2m.cli.table import STDIN, decoded, is_of_shell, read_bytes
    from l2m.corpora.documents import Document
    from l2m.corpora.sources import Source

    path = Path(word)
    if path == STDIN:
        return Document("stdin", decoded(path, read_bytes(path)))
    return Document(word, decoded(path, read_bytes(path))) if is_of_shell(path) else Source(word)


def read_shard(shard: str | None, ray: str | None = None) -> tuple[int, int] | None:
    """(index, shards) of "I/N"; None: all of the work.

    Raises:
        InputError: not of that form, an index that is not below N, or a Ray cluster as well.
    """
    if ray is not None:
        require("ray", "ray")
    if shard is None:
        return None
    if ray is not None:
        raise InputError("shard: given together with ray, which distributes the work itself; use one of the two")
    index, _, shards = shard.partition("/")
    plain = all(word.isdecimal() and word.isascii() and len(word) < 8 for word in (index, shards))
    if not plain or int(index) >= int(shards):
        raise InputError(f"shard: {shard[:40]!r}; expected I/N with I from 0 to N - 1, for instance 0/16")
    return int(index), int(shards)


def models_named(names: tuple[str, ...], catalogue: bool) -> list[str]:
    """The models a command is given, and those of the catalogue where it is asked for.

    Raises:
        InputError: none, or a number: the rest of a list that was written with spaces.
    """
    from l2m.cli.options import LISTS
    from l2m.states.history_state.catalogue import catalogue as entries

    for name in names:
        if name.isdecimal() and not Path(name).exists():
            raise InputError(f"MODEL: {name!r} is not a model; {LISTS}")
    models = [*names, *(entry["name"] for entry in entries() if catalogue)]
    if not models:
        raise InputError("MODEL: nothing named; expected models, or --catalogue")
    return models


def read_law(text: str | Path) -> Any:
    """The bipartite law that a command is given: known, as A,BETA or A,BETA,LOW,HIGH, or in what was saved.

    I(L) = A L^BETA in nats, with the 95 % interval of BETA from LOW to HIGH. Saved: the folder or results.json of
    `l2m measure`, a folder of scores, a bipartite curve, a law. Or a row of the shipped table (`l2m laws`); a file of the same
    name, or a folder with a measurement or scores, comes first.

    Raises:
        InputError: two or four numbers that make no law; no such file; a file without a bipartite law.
    """
    known = _known_law(str(text))
    if known is not None:
        return known
    path = Path(text)
    # A folder of texts may well be called "books".
    if not path.is_file() and not any((path / name).exists() for name in ("results.json", "scores.json")):
        from l2m.pipeline.laws import law, names

        if str(text) in names() or not (path.exists() or {".", "/"} & set(str(text))):
            return law(str(text))
    return _law_in(path)


def _known_law(text: str) -> Any:
    from l2m.cli.table import is_number
    from l2m.statistics.power_law import PowerLaw

    words = [word.strip() for word in text.split(",")]
    if Path(text).exists() or not (len(words) > 1 or is_number(text)):
        return None
    if len(words) not in (2, 4) or not all(map(is_number, words)):
        raise InputError(f"law: {text!r}; expected A,BETA or A,BETA,LOW,HIGH, such as 2.27,0.76,0.70,0.83")
    amplitude, exponent, *interval = map(float, words)
    try:
        return PowerLaw.of(amplitude, exponent, exponent_interval=(interval[0], interval[1]) if interval else None)
    except InputError as error:
        raise InputError(f"law: {text!r}: {error}") from None


def _law_in(path: Path) -> Any:
    from l2m.loading import load
    from l2m.scoring import Scores
    from l2m.scoring.exponents import default_estimate

    if path.is_dir() and (path / "results.json").exists():
        path = path / "results.json"
    found = load(path)
    if isinstance(found, Scores):
        found = default_estimate(found)
    if hasattr(found, "law"):
        if found.law is None:
            raise InputError(f"{path}: no law was fitted there ({found.words}); expected a bipartite law")
        found = found.law
    law = found.fit() if hasattr(found, "fit") else found
    if not hasattr(law, "predict"):
        kind = getattr(found, "kind", type(found).__name__)
        raise InputError(f"{path}: a record of kind {kind!r}; expected a measurement, a bipartite curve or its law")
    return law
