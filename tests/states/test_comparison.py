"""Several models by one law: rows, words, figure and page."""

import numpy as np
import pytest

import l2m
from laws import Power
from model_configs import JAMBA, MAMBA_130M, MISTRAL_7B, SMOLLM2

MODELS = {"attention": SMOLLM2, "fixed": MAMBA_130M, "window": MISTRAL_7B, "hybrid": JAMBA}


def test_compare_models(tmp_path) -> None:
    compared = l2m.compare_models(Power(), MODELS.values(), 4096)
    assert [verdict.state.family for verdict in compared.verdicts] == ["jamba", "llama", "mamba", "mistral"]
    frame = compared.to_frame()
    assert frame["state"].tolist() == [verdict.held(4096) for verdict in compared.verdicts]
    axes = compared.plot()
    assert len(axes.lines) == 1 + 4 + 2  # required, four models, two crossings
    page = compared.to_html("A law.")
    assert "http://www.w3.org" in page  # the namespace of SVG; nothing else is named by address
    assert page.replace("http://www.w3.org", "").count("http") == 0
    with pytest.raises(l2m.InputError, match="models: none"):
        l2m.compare_models(Power(), [])


def test_words_for_people() -> None:
    compared = l2m.compare_models(Power(), ["mamba-130m", "gpt2"], 131_072)
    words = {line["model"]: line for line in compared.table()}
    fixed, attending = words["state-spaces/mamba-130m"], words["openai-community/gpt2"]
    assert attending["condition"] == "beyond its 1,024 positions"
    assert attending["probability"] == "0"
    assert attending["large enough up to"] == attending["provable limit"] == "any length"
    assert fixed["condition"] == "enough at this length"
    assert fixed["large enough up to"].endswith("k")
    assert [row["positions"] for row in compared.rows()] == [1024, None]
    assert "1,024 positions" not in str(l2m.compare_models(Power(), ["gpt2"], 1024).table())
    page = compared.to_html()
    assert page.count("beyond its 1,024 positions") >= 1
    assert "enough at" in page


def test_one_look_at_options() -> None:
    compared = l2m.compare_models(Power(), [MAMBA_130M], threshold=0.12, x="split", ratio=3, level=0.9, seed=5)
    (verdict,) = compared.verdicts
    assert (verdict.threshold.nats_per_number, verdict.x, verdict.ratio, verdict.level, verdict.seed) == (
        0.12, "split", 3.0, 0.9, 5,
    )  # fmt: skip
    with pytest.raises(TypeError):
        l2m.compare_models(Power(), [MAMBA_130M], thresh=0.12)


def test_bits_leave_lengths_and_numbers_alone() -> None:
    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    nats = l2m.compare_models(law, [MAMBA_130M, SMOLLM2], 4096)
    bits = nats.to("bits")
    for one, other in zip(nats.verdicts, bits.verdicts, strict=True):
        assert float(one.information(100)) == pytest.approx(float(other.information(100)) * np.log(2), rel=1e-12)
        assert float(one.required_state(100)) == pytest.approx(float(other.required_state(100)), rel=1e-12)
        assert one.threshold.nats_per_number == pytest.approx(other.threshold.nats_per_number * np.log(2))


def test_an_empty_comparison_is_refused() -> None:
    with pytest.raises(l2m.InputError, match="verdicts: none"):
        l2m.Comparison(())
