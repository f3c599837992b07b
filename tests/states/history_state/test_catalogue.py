"""The catalogue: offline, with sources, and as the classes have it."""

import subprocess
import sys

import pytest

import l2m
from l2m.states.history_state.catalogue import catalogue
from model_configs import SMOLLM2


def test_catalogue_reads_without_torch_and_says_where_from() -> None:
    code = (
        "import sys, l2m\n"
        "from l2m.states.history_state.catalogue import catalogue\n"
        "states = [l2m.history_state(entry['name']) for entry in catalogue()]\n"
        "assert len(states) >= 40 and all(entry['where'] and entry['source'] for entry in catalogue())\n"
        "print(len({state.family for state in states}), 'torch' in sys.modules, 'transformers' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    families, *heavy = result.stdout.split()
    assert int(families) >= 15
    assert heavy == ["False", "False"]


def test_catalogue_by_hand() -> None:
    assert l2m.history_state("smollm2-135m").at(100).total == l2m.history_state(SMOLLM2).at(100).total
    assert l2m.history_state("Meta-Llama-3.1-8B").at(1).total == 32 * 2 * 8 * 128
    assert l2m.history_state("DeepSeek-V3").at(1).total == 61 * (512 + 64)
    gemma = l2m.history_state("google/gemma-3-4b-it").at(5000)
    assert gemma.total == 2 * 4 * 256 * (29 * 1023 + 5 * 5000)  # five of 34 layers are global
    assert l2m.history_state("mamba-1.4b").at(1).recurrent == 48 * 2 * 2048 * 16


@pytest.mark.filterwarnings("ignore")
def test_catalogue_is_what_the_classes_default_to() -> None:
    from transformers import CONFIG_MAPPING

    for entry in catalogue():
        if entry["source"].startswith("transformers"):
            config = CONFIG_MAPPING[entry["config"]["model_type"]]()
            ours, theirs = l2m.history_state(entry["name"]), l2m.history_state(config)
            assert ours.at(20_000).per_layer.tolist() == theirs.at(20_000).per_layer.tolist(), entry["name"]
