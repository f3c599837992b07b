"""What is trained: continuous input, text, causality."""

import pytest
import torch
from torch import nn

from l2m.training.models import backbone_config
from l2m.training.models.networks import ContinuousModel, TextModel, build_backbone


@pytest.mark.parametrize("family", ["gpt2", "mamba", "mamba2"])
def test_models_are_causal(family: str) -> None:
    """A change at position t leaves what was said up to t - 1 as it was, and changes what is said at t."""
    torch.manual_seed(0)
    model = ContinuousModel(build_backbone(backbone_config(f"{family}-tiny", 32), text=False)).eval()
    nn.init.normal_(model.write[-1].weight)  # type: ignore[arg-type]
    one = torch.randn(1, 32, 64)
    other = one.clone()
    other[0, 20] += 1
    with torch.no_grad():
        before, after = model(one)[0], model(other)[0]
    torch.testing.assert_close(before[:, :20], after[:, :20], rtol=0, atol=1e-6)
    assert (before[:, 20:] - after[:, 20:]).abs().amax() > 1e-3


def test_learned_positions_are_added_to_what_the_first_mlp_reads() -> None:
    """Without them there is no such parameter; at zero they change nothing; the one of position t changes t and later alone."""
    torch.manual_seed(0)
    backbone = build_backbone(backbone_config("mamba-tiny", 16), text=False)
    with_table, without = ContinuousModel(backbone, 4, positions=16).eval(), ContinuousModel(backbone, 4).eval()
    assert with_table.positions is not None
    assert with_table.positions.shape == (16, 128)
    assert "positions" not in dict(without.named_parameters())
    assert with_table.state_size(8) == without.state_size(8)
    nn.init.normal_(with_table.write[-1].weight)  # type: ignore[arg-type]
    without.load_state_dict({k: v for k, v in with_table.state_dict().items() if k != "positions"})
    values = torch.randn(2, 16, 4)
    with torch.no_grad():
        with_table.positions.zero_()
        plain = without(values)[0]
        assert torch.equal(with_table(values)[0], plain)
        with_table.positions[10] = 1.0
        moved = (with_table(values)[0] - plain).abs().amax(dim=(0, 2))
    assert moved[:10].max() == 0
    assert moved[10:].min() > 0


def test_text_model_gives_log_odds_of_its_vocabulary() -> None:
    model = TextModel(build_backbone(backbone_config("gpt2-tiny", 16, vocabulary=257), text=True))
    assert model(torch.zeros(2, 16, dtype=torch.int64)).shape == (2, 16, 257)
    assert model.state_size(8) == 2 * 2 * 128 * 8
