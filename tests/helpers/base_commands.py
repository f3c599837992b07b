"""Every command with the base install: what works there, and what needs an extra. Imports nothing of the package."""

from pathlib import Path

LM, PLOTS, DATA = (f"pip install 'l2m-scaling[{extra}]'" for extra in ("lm", "plots", "data"))

WORK = [
    ["state", "SmolLM2-135M", "mamba-130m"],
    ["state", "--catalogue", "--format", "csv"],
    ["condition", "--law", "2.27,0.76", "mamba-130m", "--length", "4096"],
    ["laws"],
    ["laws", "ising", "--json"],
    ["condition", "books", "mamba-130m"],
    ["design", "mamba-130m", "--law", "code", "--length", "1e6", "--vary", "state_size=16,64"],
    ["entropy", "text.txt"],
    ["fit", "table.csv", "--out", "law.json"],
    ["condition", "law.json", "mamba-130m", "--json"],
    ["tokenize", "text.txt", "--out", "corpus"],
    ["corpus", "info", "corpus"],
    ["two-point", "corpus", "--out", "two", "--groups", "0"],
    ["ngrams", "text.txt", "--out", "grams", "--tokenizer", "words"],
    ["merge", "corpus"],
    ["covariance", "text.txt", "--out", "covariance", "--groups", "0", "--distances", "1,2"],
    ["completion", "bash"],
    ["frontier", "--layers", "2", "--state", "4", "--out", "frontier"],
    ["gaussian", "--layers", "3", "--out", "gauss", "--sample", "2"],
]
NEED = [
    (["demo"], "pip install 'l2m-scaling[lm,plots]'"),
    (["measure", "text.txt", "--model", "SmolLM2-135M", "--out", "m"], "pip install 'l2m-scaling[lm,plots]'"),
    (["score", "text.txt", "--model", "SmolLM2-135M", "--out", "s"], LM),
    (["check", "SmolLM2-135M"], LM),
    (["train", "--out", "t"], LM),
    (["sweep", "sweep.toml"], "pip install 'l2m-scaling[lm,plots]'"),
    (["evaluate", "run"], LM),
    (["tokenize", "pg19", "--out", "p"], DATA),
    (["tokenize", "s3://a/b", "--out", "p"], DATA),
    (["tokenize", "text.txt", "--tokenizer", "gpt2", "--out", "p"], "pip install 'l2m-scaling[text]'"),
    (["ngrams", "text.txt", "--out", "g", "--table", "2"], DATA),
    (["gaussian", "--layers", "3", "--out", "g", "--sample", "2", "--format", "parquet"], DATA),
    (["frontier", "--layers", "2", "--refine", "3"], LM),
    (["fit", "table.csv", "--figure", "f.svg"], PLOTS),
    (["condition", "--law", "2.27,0.76", "mamba-130m", "--report", "r.html"], PLOTS),
    (["condition", "--law", "2.27,0.76", "mamba-130m", "--figure", "r.svg"], PLOTS),
    (["two-point", "corpus", "--out", "r", "--ray", "auto"], "pip install 'l2m-scaling[cluster]'"),
]


def material(folder: Path) -> None:
    """The files that the commands name."""
    (folder / "text.txt").write_text("The quick brown fox jumps over the lazy dog. " * 100)
    (folder / "table.csv").write_text("x,y\n1,1\n2,1.7\n4,2.9\n8,5.1\n16,8.4\n")
    (folder / "sweep.toml").write_text("")
