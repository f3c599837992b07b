"""Every causal model class of the installed `transformers`: its cache, run on the meta device, against our formula.

`python benches/state_matrix.py` runs them all (some minutes) and writes the table docs/memory-matrix.md;
tests/states/history_state/test_families.py runs a part of it. Models are small: few layers, odd widths (so that two fields with one default
cannot stand for each other), windows of a few tokens.
"""

import argparse
import dataclasses
import inspect
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import l2m
from l2m.states.history_state import HistoryState
from l2m.states.history_state.measured import CACHE_FIELDS, build, measure
from l2m.states.history_state.registry import FAMILIES
from tiny_classes import NEEDS, VOCABULARY, model_types, tiny_model

PAGE = Path(__file__).parent.parent / "docs" / "memory-matrix.md"
LENGTHS = np.array([1, 2, 3, 5, 9, 20, 300])

DECODERS = frozenset(name for name, found in FAMILIES.items() if found.formula.__name__ == "decoder")
# Runs on the CPU are for small models that read values, which the meta device has none of.
CPU_PARAMETERS = 300_000_000


@dataclasses.dataclass(frozen=True)
class Row:
    """One model type. `outcome`: "formula" (agrees with the run), "measured" (no formula), "differs", "not run".

    `continues`: whether several tokens that follow a cache score as they do in one pass.
    """

    model_type: str
    model_class: str
    outcome: str
    detail: str = ""
    continues: str = ""


def has_formula(model_type: str) -> bool:
    """Whether the type, or its text part, is registered."""
    from transformers import CONFIG_MAPPING

    try:
        text = CONFIG_MAPPING[model_type]().get_text_config(decoder=True).model_type
    except Exception:  # a class that cannot be built from its defaults
        text = model_type
    return model_type in FAMILIES or text in FAMILIES


def small_config(model_type: str, *, odd: bool = True) -> Any:
    """A config of few layers; `odd` also changes widths, heads, windows and kernels away from the class's defaults."""
    from transformers import CONFIG_MAPPING

    config_class = CONFIG_MAPPING[model_type]
    needs = NEEDS.get(model_type, {})
    plain = config_class(**needs)
    changes: dict[str, Any] = {}
    accepted = set(inspect.signature(config_class.__init__).parameters)

    def change(name: str, value: Any) -> None:
        if name in accepted and name not in needs and getattr(plain, name, None) is not None:
            changes[name] = value

    layers = getattr(plain, "num_hidden_layers", None)
    for name in ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"):
        if isinstance(layers, int):
            change(name, min(layers, 8))
    if odd:
        for name in ("sliding_window", "attention_window_size"):
            change(name, 7)
        change("attention_chunk_size", 11)
        for name in ("conv_kernel", "mamba_d_conv", "linear_conv_kernel_dim", "conv_L_cache", "conv1d_width"):
            change(name, 5)
        for name in ("state_size", "mamba_d_state", "ssm_state_size"):
            change(name, 24)
        change("kv_lora_rank", 48)
        change("index_head_dim", 96)
        change("linear_value_head_dim", 96)
        heads = getattr(plain, "num_key_value_heads", None)
        if isinstance(heads, int) and heads > 1 and getattr(plain, "num_attention_heads", 0) % (heads // 2) == 0:
            change("num_key_value_heads", heads // 2)
        width = getattr(plain, "head_dim", None)
        if isinstance(width, int):
            change("head_dim", width + 16)
    config = config_class(**{**needs, **changes})
    for name, value in (("is_encoder_decoder", False), ("is_decoder", True)):
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def run(model_type: str) -> Row:
    """Build, run and compare one model type."""
    model_class = model_types()[model_type]
    reasons = []
    for odd, device in ((True, "meta"), (False, "meta"), (False, "cpu")):
        try:
            config = small_config(model_type, odd=odd)
            if device == "cpu" and sum(weight.numel() for weight in build(config).parameters()) > CPU_PARAMETERS:
                continue
            measured = measure(config, device=device)
        except Exception as error:
            reasons.append(" ".join(str(error).split()))
            continue
        detail = "" if odd and device == "meta" else ("class defaults" if device == "meta" else "run on the CPU")
        try:
            text = config.get_text_config(decoder=True)
            if text.model_type not in FAMILIES:
                return Row(model_type, model_class, "measured", "no formula; " + _shape(measured))
            formula = l2m.history_state(config)
        except Exception as error:
            return Row(model_type, model_class, "differs", " ".join(str(error).split()))
        difference = compare(formula, measured)
        return Row(model_type, model_class, "differs" if difference else "formula", difference or detail)
    return Row(model_type, model_class, "not run", reasons[-1])


def checked(model_type: str) -> Row:
    """`run` and `continues`."""
    return dataclasses.replace(run(model_type), continues=continues(model_type))


def compare(formula: HistoryState, measured: tuple[Any, ...]) -> str:
    """Where the two differ: numbers by part, and bits of a bfloat16 model; "" where they agree at every length."""
    weighed = dataclasses.replace(formula, memories=measured, bits=16.0, cache_bits=16.0)
    formula = dataclasses.replace(formula, bits=16.0, cache_bits=16.0)
    for what, of in (
        ("attention", lambda s: s.numbers(LENGTHS, parts=("attention",))),
        ("other numbers", lambda s: s.numbers(LENGTHS, parts=("recurrent", "convolution"))),
        ("bits", lambda s: s.numbers(LENGTHS, bits=True)),
    ):
        expected, found = of(weighed), of(formula)
        if not np.array_equal(expected, found):
            at = int(np.flatnonzero(expected != found)[0])
            return f"{what} at {LENGTHS[at]} tokens: {found[at]:.0f} by formula, {expected[at]:.0f} measured"
    return ""


_LINEAR_THEN_FULL = {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"]}
# What a class needs to be built tiny with layers of each of its kinds.
CONTINUED: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text", "kimi_linear", "bailing_hybrid"), _LINEAR_THEN_FULL
    ),
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm3": {"num_hidden_layers": 2, "layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "head_dim": 16, "n_groups": 2},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "zamba": {"num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "mamba"]},
}
PREFIX, FOLLOWING = 13, 9
ALLOWED = 1e-4
"""Nats a token: float32 passes that cut a sequence elsewhere add up in another order; lost states differ by 0.01 and more."""


def continues(model_type: str) -> str:
    """Whether a tiny model's cache carries several following tokens: "yes", "no, by X nats (one by one: ...)", or why not run."""
    import torch

    try:
        model = tiny_model(model_type, **CONTINUED.get(model_type, {}))
    except Exception:
        return "not built tiny"
    ids = torch.from_numpy(np.random.default_rng(0).integers(3, VOCABULARY, (1, PREFIX + FOLLOWING)))
    accepted = inspect.signature(model.forward).parameters

    def step(part: Any, cache: Any) -> tuple[Any, Any]:
        taken = {} if cache is None else {next(name for name in CACHE_FIELDS if name in accepted): cache}
        with torch.no_grad():
            output = model(input_ids=part, use_cache=True, **taken)
        cache = next((output[name] for name in CACHE_FIELDS if output.get(name) is not None), None)
        return torch.log_softmax(output.logits.double(), -1), cache

    try:
        with torch.no_grad():
            whole = torch.log_softmax(model(input_ids=ids, use_cache=False).logits.double(), -1)[:, PREFIX:]
        _, cache = step(ids[:, :PREFIX], None)
        if cache is None:
            return "returns no cache"
        together, _ = step(ids[:, PREFIX:], cache)
        _, cache = step(ids[:, :PREFIX], None)
        singly = []
        for at in range(PREFIX, PREFIX + FOLLOWING):
            one, cache = step(ids[:, at : at + 1], cache)
            singly.append(one)
    except Exception as error:
        return f"not run ({type(error).__name__})"
    several, single = (float((found - whole).abs().max()) for found in (together, torch.cat(singly, 1)))
    if several <= ALLOWED:
        return "yes" if single <= ALLOWED else f"yes; one by one no, by {single:.2g} nats"
    return f"no, by {several:.2g} nats; one by one {'yes' if single <= ALLOWED else f'by {single:.2g}'}"


def _shape(memories: tuple[Any, ...]) -> str:
    growths = {"token": 0, "fixed": 0, "level": 0}
    for memory in memories:
        growths[memory.growth] += memory.numbers
    return f"{growths['token']} per token, {growths['fixed']} fixed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("types", nargs="*", help="model types (default: all, and the page is written)")
    arguments = parser.parse_args()
    rows = []
    for model_type in arguments.types or model_types():
        started = time.monotonic()
        row = checked(model_type)
        rows.append(row)
        print(
            f"{row.model_type:28} {row.outcome:9} {time.monotonic() - started:5.1f} s  {row.continues}  {row.detail[:300]}",
            flush=True,
        )
    if not arguments.types:
        PAGE.write_text(page(rows), encoding="utf-8")
    print({outcome: sum(row.outcome == outcome for row in rows) for outcome in {row.outcome for row in rows}})
    sys.exit(any(row.outcome == "differs" for row in rows))


def page(rows: list[Row]) -> str:
    """The table as Markdown."""
    import transformers

    count = {outcome: sum(row.outcome == outcome for row in rows) for outcome in ("formula", "measured", "not run")}
    lines = [
        "# Which models' history states were checked",
        "",
        f"Written by `python benches/state_matrix.py`, transformers {transformers.__version__}: {len(rows)} causal "
        "model types. Each is built small on the meta device and run at several lengths; the floating-point tensors of "
        "its cache are weighed, and their numbers and bits compared with the formula that `l2m.history_state` uses.",
        "",
        f"- **formula** ({count['formula']}): the formula agrees with the run at every length.",
        f"- **measured** ({count['measured']}): no formula; `l2m.history_state` measures the model the same way.",
        f"- **not run** ({count['not run']}): the class cannot be run like this, for the reason given. A formula, if "
        "there is one, is from reading its code.",
        "",
        f"**Continues**: {PREFIX} tokens are read, then {FOLLOWING} more from the cache, by a tiny float32 model with random "
        f"weights, and their log-probabilities compared with those of one pass: *yes* within {ALLOWED:g} nats a token. "
        f"**{sum(row.continues.startswith('no, ') for row in rows)}** families lose their state there, "
        f"{sum(row.continues.endswith('one by one yes') for row in rows)} of them only where several tokens follow at once; "
        "`l2m score` finds that out by itself and computes such passes in full.",
        "",
        "| model type | class | outcome | continues | remark |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        formula = " (has a formula)" if row.outcome != "formula" and has_formula(row.model_type) else ""
        detail = row.detail.removeprefix(f"{row.model_type}: ").replace("|", "/").split("; expected")[0]
        lines.append(
            f"| {row.model_type} | {row.model_class} | {row.outcome}{formula} | {row.continues} | {detail[:160]} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    main()
