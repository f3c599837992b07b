"""Every causal model class of the installed `transformers`, built tiny and scored, against plain log-softmax.

`python benches/scoring_matrix.py` runs them all (minutes) and writes docs/scoring-matrix.md; `python benches/scoring_matrix.py
opt bart` runs some and writes nothing. Weights are random. A class is scored by `l2m.score` as users do it (conditional, marginal
and shuffled passes of 48 tokens); every log-probability is compared with that of one plain forward pass over one sequence.
"""

import argparse
import dataclasses
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import l2m
from l2m.scoring.language_model import LanguageModel
from l2m.scoring.windows import Windows
from tiny_classes import VOCABULARY, model_types, tiny_model

PAGE = Path(__file__).parent.parent / "docs" / "scoring-matrix.md"
ALLOWED = 1e-5  # nats a token
LENGTH, SPLITS, RATIOS, START = 48, (5, 16), (2, 3), 1


@dataclasses.dataclass(frozen=True)
class Row:
    """One model type. `outcome`: "equal", "refused" (in one line), "differs", "not built"."""

    model_type: str
    model_class: str
    outcome: str
    difference: float = float("nan")
    detail: str = ""


def plain(model: Any, prefix: Any, targets: Any) -> np.ndarray[Any, Any]:
    """log q(targets | start token, prefix): one sequence, no state, all logits."""
    import torch

    both = torch.tensor([[START, *map(int, prefix), *map(int, targets)]])
    with torch.no_grad():
        logits = model(input_ids=both[:, :-1], use_cache=False).logits[0].double()
    return torch.log_softmax(logits, 1)[torch.arange(both.size(1) - 1), both[0, 1:]].numpy()[len(prefix) :]


def run(model_type: str) -> Row:
    """Build, score and compare one model type."""
    model_class = model_types()[model_type]
    try:
        model = tiny_model(model_type)
    except Exception as error:
        return Row(model_type, model_class, "not built", detail=" ".join(str(error).split()))
    ids = np.random.default_rng(0).integers(3, VOCABULARY, (2, LENGTH))
    with tempfile.TemporaryDirectory() as folder:
        try:
            scores = l2m.score(
                ids, model, out=folder, length=LENGTH, splits=SPLITS, ratios=RATIOS, start_token=START, device="cpu"
            )
            (test,) = scores.self_tests()
            pieces = LanguageModel.of_instance(model, start_token=START).head_in_pieces
        except l2m.InputError as error:
            return Row(model_type, model_class, "refused", detail=str(error))
        except Exception as error:  # which scoring lets through, and should not
            return Row(model_type, model_class, "differs", detail=f"{type(error).__name__}: {error}")
        partners = Windows(ids, LENGTH).partners(range(2), 0)[0]
        worst = 0.0
        for row in range(2):
            compared = [(scores.conditional[row], plain(model, [], ids[row]))]
            for split, n in ((5, 10), (16, 32)):
                compared.append((scores.marginal(split)[row], plain(model, [], ids[row, split : split + n])))
                compared.append(
                    (scores.shuffled(split, 0)[row], plain(model, ids[row, :split], partners[row, split : split + n]))
                )
            worst = max(worst, *(float(np.abs(one - other).max()) for one, other in compared))
    detail = ", ".join(
        words
        for words, said in (
            ("head at once", not pieces),
            ("passes in full", test["recomputed_in_full"]),
            ("one by one", test["one_by_one"]),
        )
        if said
    )
    return Row(model_type, model_class, "equal" if worst <= ALLOWED else "differs", worst, detail)


def page(rows: list[Row]) -> str:
    """The table as Markdown."""
    import transformers

    count = {
        outcome: sum(row.outcome == outcome for row in rows) for outcome in ("equal", "refused", "differs", "not built")
    }
    lines = [
        "# Which models' scores were checked",
        "",
        f"Written by `python benches/scoring_matrix.py`, transformers {transformers.__version__}: {len(rows)} causal model "
        "types, built tiny with random weights and scored by `l2m.score`; every log-probability of every pass is compared "
        "with one plain forward pass over one sequence.",
        "",
        f"- **equal** ({count['equal']}): within {ALLOWED:g} nats a token.",
        f"- **refused** ({count['refused']}): in one line, for the reason given.",
        f"- **differs** ({count['differs']}): further apart.",
        f"- **not built** ({count['not built']}): the class cannot be built tiny like this.",
        "",
        "Remarks: *head at once*: its logits cannot be made in pieces, so they are made in one go; *passes in full*: its state is "
        "lost where several tokens follow, so shuffled passes read X again; *one by one*: a batch disturbs its sequences.",
        "",
        "| model type | class | outcome | largest difference, nats | remark |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        difference = f"{row.difference:.1g}" if np.isfinite(row.difference) else ""
        detail = row.detail.replace("|", "/")[:160]
        lines.append(f"| {row.model_type} | {row.model_class} | {row.outcome} | {difference} | {detail} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("types", nargs="*", help="model types (default: all, and the page is written)")
    arguments = parser.parse_args()
    rows = []
    for model_type in arguments.types or model_types():
        started = time.monotonic()
        row = run(model_type)
        rows.append(row)
        print(
            f"{row.model_type:28} {row.outcome:9} {row.difference:8.1g} {time.monotonic() - started:5.1f} s  {row.detail[:200]}",
            flush=True,
        )
    if not arguments.types:
        PAGE.write_text(page(rows), encoding="utf-8")
    print({outcome: sum(row.outcome == outcome for row in rows) for outcome in {row.outcome for row in rows}})
    sys.exit(any(row.outcome == "differs" for row in rows))


if __name__ == "__main__":
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    main()
