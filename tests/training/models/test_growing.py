"""The model whose state opens with the sequence: step by step, counted from its tensors, judged, trained and resumed."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import l2m
from l2m.base.growth import Growth
from l2m.states.history_state import HistoryState
from l2m.states.history_state.measured import weigh
from l2m.training import build, loop
from l2m.training.config import TrainConfig
from l2m.training.data import GaussianData
from l2m.training.evaluation import kl_curve
from l2m.training.models import growing
from l2m.training.models.growing import GrowingConfig, GrowingForCausalLM, GrowingModel
from l2m.training.runs import Run, load_model

GROWTHS = ["5", "power:0:5", "log:2", "power:0.5:2", "power:0.79:1", "power:1:1"]


def config(growth: str, *, linear: bool = False, length: int = 40) -> GrowingConfig:
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_heads": 3, "head_dim": 8, "vocab_size": 11}
    return GrowingConfig(**shape, growth=growth, linear=linear, max_position_embeddings=length)


def built(growth: str, *, linear: bool = False, seed: int = 0) -> GrowingForCausalLM:
    torch.manual_seed(seed)
    return GrowingForCausalLM(config(growth, linear=linear)).eval()


def tokens(batch: int = 2, length: int = 40) -> torch.Tensor:
    return torch.randint(11, (batch, length), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("growth", GROWTHS)
@torch.no_grad()
def test_step_by_step_is_the_parallel_pass(growth: str, linear: bool) -> None:
    model = built(growth, linear=linear).double()
    ids, state, rows = tokens(), None, []
    for t in range(40):
        output = model(input_ids=ids[:, t : t + 1], state=state, use_cache=True)
        state = output.state
        rows.append(output.logits)
        held = state["layers"][1]["recurrent"]
        assert held.shape == (2, 3, int(Growth.read(growth).at(t + 1)), 8)
    whole = model(input_ids=ids, use_cache=True)
    torch.testing.assert_close(torch.cat(rows, 1), whole.logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, whole.state, rtol=0, atol=1e-12)
    pieces, state = [], None
    for first, end in ((0, 7), (7, 8), (8, 40)):
        output = model(input_ids=ids[:, first:end], state=state, use_cache=True)
        state = output.state
        pieces.append(output.logits)
    torch.testing.assert_close(torch.cat(pieces, 1), whole.logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("linear", [False, True])
@torch.no_grad()
def test_a_power_of_0_is_the_constant_layer_to_the_bit(linear: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The constant layer: the same weights with no mask at all."""
    model, ids = built("power:0:5", linear=linear), tokens()
    masked = model(input_ids=ids).logits
    assert torch.equal(masked, built("5", linear=linear)(input_ids=ids).logits)
    plain = copy.deepcopy(model)
    for name in ("InputAddresses", "PositionAddresses"):
        kind = getattr(growing, name)
        forward = kind.forward
        monkeypatch.setattr(
            kind, "forward", lambda self, x, first, opened, forward=forward: forward(self, x, first, Ones(opened.shape))
        )
    assert torch.equal(plain(input_ids=ids).logits, masked)


class Ones:
    """A mask that changes nothing."""

    def __init__(self, shape: torch.Size) -> None:
        self.shape = shape

    def __rmul__(self, other: torch.Tensor) -> torch.Tensor:
        return other


@pytest.mark.parametrize("linear", [False, True])
@torch.no_grad()
def test_a_channel_is_silent_before_its_time(linear: bool) -> None:
    """The outputs of the first tokens do not depend on the weights of channels that open later."""
    model, ids = built("power:1:1", linear=linear), tokens()
    before = model(input_ids=ids).logits
    for layer in model.backbone.layers:
        addresses = layer.mixer.addresses
        for name in ("query", "key"):
            table = getattr(addresses, name)
            table = table.weight.view(3, 40, -1).transpose(1, 2) if isinstance(table, torch.nn.Linear) else table
            table[..., 25:] += 1.0  # channels 26 and later, which open with token 26
    after = model(input_ids=ids).logits
    assert torch.equal(before[:, :25], after[:, :25]) or torch.allclose(
        before[:, :25], after[:, :25], rtol=0, atol=1e-6
    )
    assert not torch.allclose(before[:, 25:], after[:, 25:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("growth", GROWTHS)
def test_the_history_state_is_what_the_tensors_hold(growth: str, linear: bool, tmp_path: Path) -> None:
    shape = config(growth, linear=linear)
    model = GrowingForCausalLM(shape).bfloat16()
    shape.save_pretrained(tmp_path)
    states = [l2m.history_state(source) for source in (shape, model, tmp_path, shape.to_dict())]
    for length in (1, 2, 3, 7, 16, 39, 40):
        counted = sum(numbers for numbers, _ in weigh(model, length, device="cpu").values())
        assert [state.at(length).total for state in states] == [counted] * 4
        assert states[0].at(length).recurrent == 2 * 3 * 8 * int(Growth.read(growth).at(length))
    assert states[0].positions == 40
    if growth == "power:1:1":
        assert states[0].at(40).recurrent == 2 * 24 * 40  # as many numbers as the values that were read


@pytest.mark.parametrize(
    ("growth", "kind", "exponent"),
    [
        ("5", "constant", 0),
        ("power:0:3", "constant", 0),
        ("log:2", "logarithmic", 0),
        ("power:0.79:1", "power", 0.79),
        ("power:1:2", "linear", 1),
    ],
)
def test_how_the_state_grows(growth: str, kind: str, exponent: float) -> None:
    state = l2m.history_state(config(growth))
    assert (state.growth, state.growth_exponent) == (kind, exponent)
    assert state.saturation_length == (1 if kind == "constant" else math.inf)
    again = HistoryState.from_dict(state.to_dict())
    assert again.at(40).total == state.at(40).total


@pytest.mark.parametrize(("power", "outcome"), [(0.9, "holds"), (0.7, "holds"), (0.69, "fails"), (0.35, "fails")])
def test_the_verdict_on_a_power(power: float, outcome: str) -> None:
    law = l2m.PowerLaw.of(1.0, 0.7)
    verdict = l2m.condition(law, config(f"power:{power}:40").to_dict())
    assert verdict.outcome == outcome
    assert f"n^{power}" in verdict.explain()


def test_the_verdict_on_a_logarithm_and_a_cache() -> None:
    law = l2m.PowerLaw.of(1.0, 0.5)
    assert l2m.condition(law, config("log:40")).outcome == "fails"
    assert l2m.condition(law, config("power:1:1")).outcome == "holds"


@pytest.mark.parametrize(("growth", "children"), [("power:beta:0.75", 3), ("log:2", 2), ("3", 3), ("power:1:1", 3)])
def test_training_starts_at_the_frontier(growth: str, children: int) -> None:
    settings: dict[str, Any] = {"length": 64, "children": children, "growth": growth, "start": "frontier"}
    trained = TrainConfig(preset="growing-linear-tiny", positions=True, batch=4, **settings).complete()
    model, _ = build.build_model(trained, "cpu")
    data = GaussianData(trained)
    channels = model.backbone.config.channels(64)
    assert model.state_size(32) == 64 * channels[31]
    # The model's first token stands before the sequence, so that after t values it holds n(t + 1) numbers a copy.
    frontier = data.law.frontier(np.minimum([*channels[1:], channels[-1]], 64))
    curve = kl_curve(model.eval(), data, sequences=64, batch=16, state=1)
    assert abs(curve.mean_kl - frontier.mean_kl) <= 4 * curve.mean_stderr + 1e-6
    # The exact law: by position, within its own error.
    assert (np.abs(curve.kl - frontier.kl) <= 6 * curve.stderr + 1e-6).mean() > 0.95


@pytest.mark.parametrize("preset", ["growing-tiny", "growing-linear-tiny"])
def test_a_run_is_resumed_to_the_bit_and_judged_by_its_folder(preset: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"preset": preset, "length": 16, "batch": 2, "steps": 6, "growth": "power:beta:2"}
    run = TrainConfig(**settings, save_every=3, keep=2, tensorboard=False, log_every=1, positions=True, recompute=True)
    loop.train(run, tmp_path / "one", device="cpu")
    loop.train(run, tmp_path / "two", device="cpu")
    (tmp_path / "two/checkpoints/step-00000006").rename(tmp_path / "aside")
    loop.train(run, tmp_path / "two", device="cpu")
    first, second = (load_model(Run.open(tmp_path / name), device="cpu").state_dict() for name in ("one", "two"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    state = l2m.history_state(tmp_path / "one/checkpoints/step-00000006")
    assert state.growth_exponent == pytest.approx(math.log(3, 4), rel=1e-15)
    assert state.family == "growing"
    assert l2m.condition(l2m.PowerLaw.of(1.0, 0.7), tmp_path / "one/checkpoints/step-00000006").outcome == "holds"


def test_text_is_scored_with_a_state_as_without() -> None:
    from l2m.scoring.language_model import LanguageModel

    model = built("power:0.5:2")
    scorer = LanguageModel.of_instance(model, start_token=0)
    ids = tokens(length=30).numpy()
    whole = scorer.log_prob(ids)[0]
    first, state = scorer.log_prob(ids[:, :13])
    second = scorer.log_prob(ids[:, 13:], state)[0]
    np.testing.assert_allclose(np.concatenate([first, second], 1), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"growth": "power:2"}, "growth: 'power:2'; expected a whole number"),
        ({"growth": "log:-1"}, "growth: 'log:-1'; expected"),
        ({"preset": "mamba-tiny", "growth": "8"}, "growth: 'power:0.0:8.0' for mamba-tiny; expected none"),
        ({"preset": "growing-tiny", "state": 4}, "state: 4 for growing-tiny; expected none: growth sets it"),
        ({"preset": "growing-tiny", "start": "frontier"}, "start: 'frontier'; expected the preset growing-linear-tiny"),
        ({"start": "frontier", "positions": False}, "start: 'frontier' without positions"),
        ({"start": "frontier", "copies": 80}, "start: 'frontier' with 80 copies; expected at most 64"),
        ({"start": "best"}, "start: 'best'; expected random, frontier"),
        ({"growth": "power:1.5:1"}, "growth: 'power:1.5:1'; expected a power of at most 1"),
    ],
)
def test_what_cannot_be_built_is_one_line(changes: dict[str, Any], message: str) -> None:
    settings = {"preset": "growing-linear-tiny", "length": 16, "positions": True, **changes}
    with pytest.raises(l2m.InputError) as error:
        build.build_model(TrainConfig(**settings).complete(), "cpu")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_more_tokens_than_positions() -> None:
    with pytest.raises(ValueError, match="41 tokens; expected at most 40 positions"):
        GrowingModel(config("3"))(input_ids=tokens(length=41))
