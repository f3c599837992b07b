"""Training where the truth is known: losses, data, resume to the bit, captured information against canonical correlations."""

import dataclasses
import functools
import json
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from l2m import Corpus, InputError, PositionCurve
from l2m.training.checkpoints import Checkpoints
from l2m.training.config import TrainConfig
from l2m.training.data import GaussianData, TextData, open_data, prefetch
from l2m.training.evaluation import evaluate, headline, kl_curve, summary
from l2m.training.loop import build_model, describe, load_model, size, train
from l2m.training.loss import gaussian_kl, position_loss
from l2m.training.metrics import read_metrics
from l2m.truth.gaussian import HierarchicalGaussian
from l2m.truth.sources import save_tokenizer_of_ids

QUICK: dict[str, Any] = {
    "preset": "gpt2-tiny",
    "length": 16,
    "width": 32,
    "layers": 1,
    "copies": 4,
    "batch": 2,
    "tensorboard": False,
}


def quick(**changes: Any) -> TrainConfig:
    return TrainConfig(**{**QUICK, "steps": 12, "log_every": 2, "save_every": 5, "evaluate_sequences": 4, **changes})


def weights(run: Path) -> list[Tensor]:
    model, _ = load_model(run, device="cpu")
    return list(model.state_dict().values())


# --- the loss --------------------------------------------------------------------------------------------------------


def random_prediction() -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(1)
    mean, log_std, true_mean = (torch.randn(2, 5, 3, generator=random, dtype=torch.float64) for _ in range(3))
    return mean, log_std, true_mean, torch.rand(5, generator=random, dtype=torch.float64) + 0.1


def test_loss_is_the_kl_of_torch() -> None:
    mean, log_std, true_mean, true_std = random_prediction()
    true = torch.distributions.Normal(true_mean, true_std[:, None].expand_as(true_mean))
    expected = torch.distributions.kl_divergence(true, torch.distributions.Normal(mean, log_std.exp())).mean(-1)
    torch.testing.assert_close(gaussian_kl(mean, log_std, true_mean, true_std), expected, rtol=1e-13, atol=1e-13)


def test_loss_gradient_against_finite_differences() -> None:
    mean, log_std, true_mean, true_std = random_prediction()
    inputs = (mean.requires_grad_(), log_std.requires_grad_())
    assert torch.autograd.gradcheck(lambda *p: gaussian_kl(*p, true_mean, true_std), inputs)


def test_loss_near_the_truth_has_no_cancellation() -> None:
    """float32, off by e in the log deviation: KL = e^2 to first order; the plain formula would return 0 or 1e-7."""
    error = 1e-4
    zero, std = torch.zeros(1, 1, 1), torch.full((1,), 0.3)
    found = gaussian_kl(zero, std.log().view(1, 1, 1) + error, zero, std).item()
    assert found == pytest.approx(error**2, rel=0.01)


@pytest.mark.parametrize("length", [4, 64])
def test_an_untrained_model_has_the_kl_of_mean_0_and_deviation_1(length: int) -> None:
    """By the law: KL_t = (s_t^2 + m_t^2 - 1) / 2 - log s_t on these sequences, whose mean is -log s_t."""
    config = quick(length=length).complete()
    data = GaussianData(config)
    torch.manual_seed(0)
    model, _ = build(config)
    batch = data.held_out(0, 8)
    found = position_loss(model, batch).detach().numpy()
    mean = batch["true_mean"].numpy().astype(float)
    expected = data.law.kl(0.0 * mean.swapaxes(1, 2), 1.0, conditional_mean=mean.swapaxes(1, 2)).mean(1)
    np.testing.assert_allclose(found, expected, atol=2e-6)  # float32 of terms of size 1
    many = kl_curve(model, data, sequences=2_000, batch=500, state=1)
    # 2,000 sequences of 4 copies; 5 standard errors over at most 64 positions.
    assert np.all(np.abs(many.kl + np.log(data.law.conditional_std)) <= 5 * many.stderr + 1e-6)


def build(config: TrainConfig) -> Any:
    return build_model(config, "cpu")


# --- data ------------------------------------------------------------------------------------------------------------


def test_gaussian_batches_depend_on_their_number_alone() -> None:
    data = GaussianData(quick().complete())
    again = GaussianData(quick().complete())
    again.train(3, 2)
    for name, value in data.train(7, 2).items():
        assert torch.equal(value, again.train(7, 2)[name])
    assert not torch.equal(data.train(7, 2)["inputs"], data.train(8, 2)["inputs"])
    assert not torch.equal(data.train(0, 2)["inputs"], data.held_out(0, 2)["inputs"])


def test_gaussian_inputs_stand_one_before_their_targets() -> None:
    data = GaussianData(quick().complete())
    tokens, mean = data.law.tokens(2, seed=0, channels=4, first=2 * 2 * 4)
    batch = data.train(2, 2)
    assert not batch["inputs"][:, 0].any()
    np.testing.assert_array_equal(batch["inputs"], tokens[:, :-1])
    np.testing.assert_array_equal(batch["true_mean"], mean)


def text_corpus(folder: Path, documents: int = 40, seed: int = 0) -> Path:
    """Markov chains of 4 symbols: stay with 0.7, else any of the other three alike."""
    random = np.random.default_rng(seed)
    texts = []
    for _ in range(documents):
        steps = np.where(random.random(200) < 0.7, 0, random.integers(1, 4, 200))
        texts.append(np.cumsum(steps) % 4)
    Corpus(texts, vocab_size=4).save(folder)
    return folder


MARKOV_ENTROPY = -0.7 * math.log(0.7) - 0.3 * math.log(0.1)


def test_text_windows_lie_in_documents_and_held_out_ones_are_apart(tmp_path: Path) -> None:
    corpus = Corpus([np.full(20 + index, index) for index in range(30)], vocab_size=30)
    corpus.save(tmp_path / "corpus")
    data = TextData(quick(corpus=str(tmp_path / "corpus"), length=20).complete())
    trained, held_out = (make(0, 400)["targets"].numpy() for make in (data.train, data.held_out))
    for windows in (trained, held_out):
        assert np.all(windows == windows[:, :1]), "a window crosses documents"
    assert set(held_out[:, 0]) == {0, 10, 20}
    assert set(trained[:, 0]) == set(range(30)) - {0, 10, 20}
    batch = data.train(5, 3)
    assert (batch["inputs"][:, 0] == 30).all()
    assert torch.equal(batch["inputs"][:, 1:], batch["targets"][:, :-1])


def test_text_places_have_equal_odds(tmp_path: Path) -> None:
    """A document of 20 + k tokens has k + 1 windows of 20: chi-square over documents, at most its 99.9 % point."""
    from scipy.stats import chi2

    Corpus([np.full(20 + 10 * (index % 4), index) for index in range(20)], vocab_size=20).save(tmp_path)
    data = TextData(quick(corpus=str(tmp_path), length=20).complete())
    drawn = np.bincount(data.train(0, 20_000)["targets"][:, 0].numpy(), minlength=20)
    odds = np.array([0 if index % 10 == 0 else 1 + 10 * (index % 4) for index in range(20)], float)
    expected = 20_000 * odds / odds.sum()
    kept = odds > 0
    assert ((drawn - expected)[kept] ** 2 / expected[kept]).sum() < chi2.ppf(0.999, kept.sum() - 1)


def test_prefetch_keeps_order_and_raises_where_the_batch_is_asked_for() -> None:
    assert list(prefetch(lambda number: number * number, range(20))) == [number * number for number in range(20)]

    def fails(number: int) -> int:
        if number == 3:
            raise InputError("no batch 3")
        return number

    with pytest.raises(InputError, match="no batch 3"):
        list(prefetch(fails, range(10)))


# --- the loop --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["gpt2-tiny", "mamba-tiny", "mamba2-tiny"])
@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_a_run_that_stops_and_goes_on_equals_one_that_does_not(preset: str, how: str, tmp_path: Path) -> None:
    config = quick(preset=preset)
    train(config, tmp_path / "whole", device="cpu")

    def stop(done: int, _: int) -> None:
        if done == 7:
            if how == "killed":  # between checkpoints: steps 6 and 7 are lost
                raise RuntimeError("killed")
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(RuntimeError if how == "killed" else KeyboardInterrupt):
        train(config, tmp_path / "cut", device="cpu", progress=stop)
    assert (tmp_path / "cut/checkpoints" / f"step-{5 if how == 'killed' else 8:08d}").exists()
    train(config, tmp_path / "cut", device="cpu")
    for one, other in zip(weights(tmp_path / "whole"), weights(tmp_path / "cut"), strict=True):
        assert torch.equal(one, other)

    def curve(run: str) -> list[tuple[Any, ...]]:
        return [tuple(line.get(name) for name in ("step", "loss", "held_out", "gradient_norm"))
                for line in read_metrics(tmp_path / run)]  # fmt: skip

    assert curve("whole") == curve("cut")


def test_accumulated_batches_equal_one_large_batch(tmp_path: Path) -> None:
    """The same sequences in one batch of 4 or two of 2: float32 sums in another order, 12 steps of Adam."""
    train(quick(batch=4), tmp_path / "one", device="cpu")
    train(quick(batch=2, accumulate=2), tmp_path / "two", device="cpu")
    one, two = ([line["loss"] for line in read_metrics(tmp_path / run) if "loss" in line] for run in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-4)


def test_recomputed_activations_change_nothing(tmp_path: Path) -> None:
    train(quick(), tmp_path / "kept", device="cpu")
    train(quick(recompute=True), tmp_path / "again", device="cpu")
    for one, other in zip(weights(tmp_path / "kept"), weights(tmp_path / "again"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_bfloat16_follows_float32(tmp_path: Path) -> None:
    """bfloat16 keeps 8 bits: the loss after 12 steps from the same start differs by well under a hundredth."""
    train(quick(), tmp_path / "float32", device="cpu")
    train(quick(precision="bfloat16"), tmp_path / "bfloat16", device="cpu")
    one, two = ([line["held_out"] for line in read_metrics(tmp_path / run) if "held_out" in line]
                for run in ("float32", "bfloat16"))  # fmt: skip
    np.testing.assert_allclose(one, two, rtol=1e-2)


def test_checkpoints_kept_and_metrics_logged(tmp_path: Path) -> None:
    folder = train(quick(keep=1), tmp_path / "run", device="cpu")
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000012"]
    lines = [line for line in read_metrics(folder) if "loss" in line]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert all(line["tokens_per_second"] == pytest.approx(2 * 16 * line["steps_per_second"]) for line in lines)
    assert TrainConfig.load(folder / "config.json") == quick(keep=1).complete()
    assert "learning_rate = 0.001" in str(TrainConfig.load(folder / "config.json"))


def test_tensorboard_events_are_written_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = train(quick(tensorboard=True), tmp_path / "run", device="cpu")
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [2, 4, 6, 8, 10, 12]


def test_learning_rate_schedule() -> None:
    config = TrainConfig(preset="mamba-130m").complete()
    assert (config.steps, config.warmup, config.learning_rate) == (500_000, 2_000, 5e-5)
    assert config.rate(0) == pytest.approx(5e-5 / 2_000)
    assert config.rate(1_999) == config.rate(2_000) == 5e-5
    assert config.rate(251_000) == pytest.approx(2.5e-5)
    assert config.rate(499_999) == pytest.approx(0, abs=1e-14)


def test_describe_makes_no_weights() -> None:
    config = TrainConfig(preset="mamba-1.4b", length=4096).complete()
    assert describe(config, "cpu")["state"] == 48 * 2 * 2048 * 16
    there = dataclasses.replace(config, kernel="mamba-ssm")  # of a run on another machine: its size can be told here
    assert size(there) == {"parameters": describe(config, "cpu")["parameters"], "state": 48 * 2 * 2048 * 16}
    with pytest.raises(InputError, match="kernel: 'mamba-ssm'"):
        describe(there, "cpu")


def test_a_compiled_model_follows_the_plain_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the code generator, which takes a minute: the graph is captured, and run as it is."""
    compiled = []
    compile_ = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr("torch.compile", lambda model: compiled.append(model) or compile_(model))
    for name in ("plain", "compiled"):
        train(quick(compile=name == "compiled", steps=4), tmp_path / name, device="cpu")
    assert len(compiled) == 1
    for one, other in zip(weights(tmp_path / "plain"), weights(tmp_path / "compiled"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


# --- stops that say why ----------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def broken(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        return position_loss(model, batch) * (math.nan if calls == 8 else 1)

    monkeypatch.setattr("l2m.training.loop.position_loss", broken)
    with pytest.raises(InputError, match=r"loss: nan at step 8; .* step 5"):
        train(quick(evaluate_every=100), tmp_path / "run", device="cpu")
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run"))


def test_weights_that_give_no_finite_loss_do_not_push_out_the_last_good_ones(tmp_path: Path) -> None:
    """A rate of 1e30 breaks the weights in a step whose own loss is finite; that checkpoint is written, and taken out again."""
    rates = {"warmup": 0, "save_every": 1, "keep": 1, "evaluate_every": 100}
    folder = tmp_path / "run"
    train(quick(steps=3, **rates), folder, device="cpu")
    (folder / "config.json").unlink()
    broken = quick(steps=6, learning_rate=1e30, **rates)
    broken.complete().save(folder / "config.json")
    with pytest.raises(InputError, match=r"loss: .* at step 5; .*Checkpoint kept: step 3"):
        train(broken, folder, device="cpu")
    assert Checkpoints(folder / "checkpoints").steps() == [3]
    # Found by an evaluation, before these weights are written.
    often = dataclasses.replace(broken, evaluate_every=1)
    often.complete().save(folder / "config.json")
    with pytest.raises(InputError, match=r"held-out loss: .* at step 4; .*Checkpoint kept: step 3"):
        train(often, folder, device="cpu")
    assert Checkpoints(folder / "checkpoints").steps() == [3]
    with pytest.raises(InputError, match=r"held-out loss: .* at step 1; .*Checkpoint kept: none"):
        train(quick(steps=1, learning_rate=1e30, warmup=0), tmp_path / "one", device="cpu")


def test_a_machine_where_every_loss_is_nan_takes_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = train(quick(steps=6, save_every=3), tmp_path / "run", device="cpu")
    more = quick(steps=9, save_every=3)
    more.complete().save(folder / "config.json")
    with monkeypatch.context() as patch:
        patch.setattr("l2m.training.loop.position_loss", lambda *of: position_loss(*of) * math.nan)
        for _ in range(3):
            with pytest.raises(InputError, match=r"loss: nan at step 7; .*step 6, whose weights give this: remove"):
                train(more, folder, device="cpu")
    assert Checkpoints(folder / "checkpoints").steps() == [3, 6]


def test_a_start_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    for changes in ({"preset": "mamba2-tiny", "width": 100}, {"corpus": str(tmp_path / "none")}):
        with pytest.raises(InputError):
            train(quick(**changes), tmp_path / "run", device="cpu")
        assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_as_many_processes_as_it_began(tmp_path: Path) -> None:
    folder = train(quick(), tmp_path / "run", device="cpu")
    path = folder / "checkpoints/step-00000012/state.json"
    state = json.loads(path.read_text())
    assert state["processes"] == 1
    path.write_text(json.dumps({**state, "processes": 2}))
    with pytest.raises(InputError, match="1 processes; expected 2"):
        train(quick(), folder, device="cpu")


def test_a_signal_to_one_of_two_processes_stops_and_saves_both(tmp_path: Path) -> None:
    """While the first evaluates the second is in its next step: neither may wait for the other for ever."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "l2m", "train", "--preset", "gpt2-tiny", "--width", "32", "--length", "16"]
    command += ["--copies", "4", "--steps", "100000", "--evaluate-every", "1", "--log-every", "1", "--threads", "1"]
    command += ["--no-tensorboard", "--device", "cpu", "--out", str(folder)]
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [
        subprocess.Popen(command, env={**common, "RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    try:
        until = time.monotonic() + 120
        while len(read_metrics(folder)) < 4 and time.monotonic() < until:
            time.sleep(0.2)
        both[0].send_signal(signal.SIGTERM)
        for process in both:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 130, errors
    finally:
        for process in both:
            process.kill()
    (step,) = Checkpoints(folder / "checkpoints").steps()
    assert step == read_metrics(folder)[-1]["step"]


def test_what_a_killed_process_left_half_written_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / "run/checkpoints/.step-00000001.1.tmp"
    left.mkdir(parents=True)
    quick().complete().save(tmp_path / "run/config.json")
    train(quick(), tmp_path / "run", device="cpu")
    assert not left.exists()


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    """A limit on file sizes stands in for a full disk: writing beyond it fails in the same place."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done: int, _: int) -> None:
        if done == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    try:
        with pytest.raises(InputError, match=r"checkpoint of step 10 cannot be written .*; the one of step 5 is whole"):
            train(quick(), tmp_path / "run", device="cpu", progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-00000005"]
    train(quick(), tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 20}, "length: 20; expected a power of 4"),
        ({"length": 1}, "length: 1"),
        ({"preset": "mamba-13b"}, "preset: 'mamba-13b'"),
        ({"steps": 0}, "steps: 0"),
        ({"learning_rate": -1.0}, "learning_rate: -1.0"),
        ({"learning_rate": math.nan}, "learning_rate: nan"),
        ({"precision": "float16"}, "precision: 'float16'"),
        ({"children": 4}, "children: 4"),
        ({"corpus": "/no/such/corpus"}, "/no/such/corpus"),
        ({"pretrained": True}, "pretrained: True"),
        ({"beta2": 1.0}, "beta2: 1.0"),
        ({"corpus": "/no/such/corpus", "positions": True}, "positions: True; expected False with a corpus"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        train(quick(**changes), tmp_path / "run", device="cpu")
    assert message in str(caught.value)


def test_another_config_names_the_field(tmp_path: Path) -> None:
    train(quick(), tmp_path / "run", device="cpu")
    with pytest.raises(InputError, match="width: 64, but this run was started with 32"):
        train(quick(width=64), tmp_path / "run", device="cpu")
    train(quick(keep=5), tmp_path / "run", device="cpu")  # what does not touch the curve may change


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_where_one_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="device: 'cuda', but torch finds no GPU"):
        train(quick(), tmp_path / "run", device="cuda")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"not empty and no config\.json"):
        train(quick(), tmp_path, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    folder = train(quick(), tmp_path / "run", device="cpu")
    path = folder / "checkpoints/step-00000012/model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="step-00000012: cannot be read"):
        load_model(folder, device="cpu")


def test_settings_reach_the_model_and_the_optimiser(tmp_path: Path) -> None:
    folder = train(quick(positions=True, beta2=0.5), tmp_path / "run", device="cpu")
    model, config = load_model(folder, device="cpu")
    assert config.positions
    assert model.positions.shape == (config.length, 32)
    train(quick(), tmp_path / "plain", device="cpu")
    assert load_model(tmp_path / "plain", device="cpu")[0].positions is None
    train(quick(positions=True), tmp_path / "slower", device="cpu")
    assert any(not torch.equal(*pair) for pair in zip(weights(folder), weights(tmp_path / "slower"), strict=True))


def test_a_config_of_before_a_field_was_added_has_its_default(tmp_path: Path) -> None:
    value = dataclasses.asdict(quick())
    del value["positions"], value["beta2"]
    (tmp_path / "config.json").write_text(json.dumps(value))
    assert TrainConfig.load(tmp_path / "config.json") == quick()


def test_an_unknown_field_of_a_config_is_named(tmp_path: Path) -> None:
    value = {**dataclasses.asdict(quick()), "momentum": 0.9}
    (tmp_path / "config.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match="field 'momentum'"):
        TrainConfig.load(tmp_path / "config.json")


# --- captured information --------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """Linear-Gaussian prediction: each value's mean is linear in all before it, its deviation is free."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(length, length, dtype=torch.float64))
        self.log_std = nn.Parameter(torch.zeros(length, 1, dtype=torch.float64))

    def matrix(self) -> Tensor:
        return torch.tril(self.weight, -1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        # inputs[:, t] is value t - 1, so values 0..L-2 stand at 1..L-1; the last one has no successor here.
        shifted = torch.cat([inputs[:, 1:], torch.zeros_like(inputs[:, :1])], dim=1).double()
        mean = torch.einsum("ij,bjc->bic", self.matrix(), shifted)
        return mean, self.log_std.expand_as(mean)


class LinearState(Linear):
    """The same with a memory of `numbers` linear combinations of the first half, all the second half sees of it."""

    def __init__(self, length: int, numbers: int) -> None:
        super().__init__(length)
        half = length // 2
        torch.manual_seed(0)
        self.keep = nn.Parameter(torch.randn(numbers, half, dtype=torch.float64) / math.sqrt(half))
        self.use = nn.Parameter(torch.randn(half, numbers, dtype=torch.float64) / math.sqrt(half))

    def matrix(self) -> Tensor:
        half = len(self.weight) // 2
        own = torch.tril(self.weight, -1)
        past = self.use @ self.keep
        top = torch.cat([own[:half, :half], torch.zeros_like(past)], 1)
        return torch.cat([top, torch.cat([past, own[half:, half:]], 1)])


class ExactMoments:
    """L sequences whose second moments are exactly the law's: a linear model's mean KL on them is its expectation."""

    def __init__(self, law: HierarchicalGaussian) -> None:
        self.law = law
        self.config = quick(length=law.length, copies=1)
        root = np.linalg.cholesky(law.covariance())
        values = math.sqrt(law.length) * root.T
        self.batch = {
            "inputs": torch.from_numpy(np.concatenate([np.zeros((law.length, 1)), values[:, :-1]], 1)[..., None]),
            "true_mean": torch.from_numpy(law.conditional_mean(values)[..., None]),
            "true_std": torch.from_numpy(np.array(law.conditional_std)),
        }

    def held_out(self, number: int, size: int) -> dict[str, Tensor]:
        return self.batch


def train_to_the_end(model: nn.Module, data: ExactMoments) -> Any:
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=2_000, history_size=50, tolerance_grad=1e-10, tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = position_loss(model, data.batch).mean() * data.law.length
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return kl_curve(model, data, sequences=data.law.length, batch=data.law.length, state=1)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_linear_model_with_state_enough_reaches_the_truth(layers: int) -> None:
    law = HierarchicalGaussian(layers)
    curve = train_to_the_end(Linear(law.length), ExactMoments(law))
    assert curve.mean_kl < 1e-9  # LBFGS stops at a gradient of 1e-10
    assert curve.captured == pytest.approx(law.bipartite_information(), abs=1e-7)
    np.testing.assert_allclose(curve.nll, law.entropy(), atol=1e-7)


def canonical_information(law: HierarchicalGaussian, numbers: int) -> float:
    """-1/2 sum of ln(1 - rho^2) over the `numbers` largest canonical correlations of the halves."""
    half, covariance = law.length // 2, law.covariance()
    first, second = (
        np.linalg.inv(np.linalg.cholesky(block)) for block in (covariance[:half, :half], covariance[half:, half:])
    )
    rho = np.linalg.svd(first @ covariance[:half, half:] @ second.T, compute_uv=False)
    return float(-0.5 * np.log1p(-(rho[:numbers] ** 2)).sum())


@pytest.mark.parametrize("numbers", [1, 2, 3, 8])
def test_a_state_of_r_numbers_captures_the_r_largest_canonical_correlations(numbers: int) -> None:
    """Never more, to rounding (moments are exact), and all of it when trained to the end."""
    law = HierarchicalGaussian(2)
    curve = train_to_the_end(LinearState(law.length, numbers), ExactMoments(law))
    bound = canonical_information(law, numbers)
    assert curve.captured <= bound + 1e-9
    assert curve.captured == pytest.approx(bound, abs=1e-6)
    if numbers == 8:
        assert bound == pytest.approx(law.bipartite_information(), abs=1e-12)


@pytest.mark.parametrize("numbers", [1, 2])
def test_a_state_never_captures_more_whatever_the_weights(numbers: int) -> None:
    law = HierarchicalGaussian(2)
    data, bound = ExactMoments(law), canonical_information(law, numbers)
    for seed in range(20):
        model = LinearState(law.length, numbers)
        torch.manual_seed(seed)
        for value in model.parameters():
            nn.init.normal_(value, std=0.3)
        assert kl_curve(model, data, sequences=16, batch=16, state=numbers).captured < bound


def test_a_backbone_learns_the_layer_1_law(tmp_path: Path) -> None:
    """One row of the law, whose KL an untrained model has at 0.34 nats a value; 400 steps leave under a tenth."""
    config = quick(preset="gpt2-tiny", length=4, width=64, copies=8, steps=400, batch=32, learning_rate=3e-3)
    folder = train(dataclasses.replace(config, log_every=100, save_every=400), tmp_path / "run", device="cpu")
    curve = evaluate(folder, device="cpu")
    untrained = -np.log(HierarchicalGaussian(1).conditional_std).mean()
    assert curve.mean_kl < 0.1 * untrained
    low, high = curve.interval()
    assert np.all(low <= curve.kl)
    assert np.all(curve.kl <= high)
    assert curve.information_per_number == pytest.approx(8 * curve.information / curve.state)


def test_records_of_an_evaluation_come_back(tmp_path: Path) -> None:
    import l2m

    folder = train(quick(), tmp_path / "run", device="cpu")
    curve = evaluate(folder, device="cpu", sequences=4)
    curve.save(tmp_path / "kl.json")
    back = l2m.load(tmp_path / "kl.json")
    np.testing.assert_array_equal(back.kl, curve.kl)
    assert back.to("bits").captured == pytest.approx(curve.captured / math.log(2))
    assert back.settings["config"]["preset"] == "gpt2-tiny"
    assert list(back.to_frame().columns) == ["position", "kl", "stderr", "entropy", "nll"]
    assert back.plot().get_ylabel() == "KL per value (nats)"
    flat = dataclasses.replace(back, kl=np.full(16, 0.5), stderr=np.zeros(16))
    (line,) = flat.plot().get_lines()
    np.testing.assert_allclose(line.get_ydata(), 0.5)  # means of bins, the last one cut short by the sequence's end


# --- text ------------------------------------------------------------------------------------------------------------


def test_a_model_learns_a_markov_text_to_its_entropy(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path / "corpus", documents=200)
    config = quick(corpus=str(corpus), length=32, width=32, steps=300, batch=16, learning_rate=5e-3, log_every=50,
                   evaluate_sequences=512)  # fmt: skip
    folder = train(config, tmp_path / "run", device="cpu")
    found = [line["held_out"] for line in read_metrics(folder) if "held_out" in line][-1]
    # The first symbol costs log 4, the 31 others the entropy; 512 windows of 20 held-out texts scatter by 0.02.
    expected = (math.log(4) + 31 * MARKOV_ENTROPY) / 32
    assert expected - 0.06 < found < expected + 0.08


def test_text_runs_are_evaluated_by_the_code_of_scoring(tmp_path: Path) -> None:
    """Scoring's mean NLL is the loop's held-out loss, on other windows of the same texts: 4 of each scatter by 0.05."""
    corpus = text_corpus(tmp_path / "corpus")
    folder = train(quick(corpus=str(corpus), length=32, steps=1, learning_rate=1e-9), tmp_path / "run", device="cpu")
    curve = evaluate(folder, sequences=4, device="cpu")
    assert isinstance(curve, PositionCurve)
    held_out = [line["held_out"] for line in read_metrics(folder) if "held_out" in line][-1]
    assert headline(curve)["mean_nll"] == pytest.approx(held_out, abs=0.2)
    assert curve.settings["state"] == 2 * 32 * 16
    assert "no better from position: " in summary(curve)


def named_model(folder: Path, *, positions: int = 32, symbols: int = 4) -> Path:
    """A GPT2 with dropout in its config, over the ids of `text_corpus`, with their tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": positions, "vocab_size": symbols + 1}
    GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=symbols)).save_pretrained(folder)
    save_tokenizer_of_ids(folder, symbols)
    return folder


def test_training_goes_on_from_a_checkpoint_of_transformers(tmp_path: Path) -> None:
    folder = named_model(tmp_path / "model")
    common = {"preset": str(folder), "width": None, "layers": None, "corpus": str(text_corpus(tmp_path / "corpus"))}
    config = quick(**common, pretrained=True, learning_rate=1e-3).complete()
    model, _ = build_model(config, "cpu")
    from transformers import GPT2LMHeadModel

    saved = GPT2LMHeadModel.from_pretrained(folder)
    assert torch.equal(model.backbone.transformer.wte.weight, saved.transformer.wte.weight)
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.0] * 4
    data = open_data(config)
    assert isinstance(data, TextData)
    assert data.start_token == 4  # the model's own <s>
    train(config, tmp_path / "on", device="cpu")
    assert evaluate(tmp_path / "on", sequences=4, device="cpu").settings["step"] == 12

    random, _ = build_model(quick(**common).complete(), "cpu")
    assert random.backbone.transformer.wte.weight.shape == (5, 16)  # those of the corpus, and the start token
    train(quick(**common), tmp_path / "anew", device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 64}, "length: 64; expected at most 32, the positions of"),
        ({"corpus": "five", "pretrained": True}, "5 ids; expected at most 4, those of"),
        ({"preset": "bert"}, r"an encoder \(bert\)"),
        ({"preset": "gpt2-tiny", "pretrained": True, "corpus": "four"}, "which has no weights"),
        ({"preset": "no-one/no-model", "corpus": "four"}, "preset: no-one/no-model"),
    ],
)
def test_named_models_that_do_not_fit_say_why(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertConfig

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    named_model(tmp_path / "model", symbols=3)
    BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2).save_pretrained(tmp_path / "bert")
    Corpus([np.arange(40) % 5] * 20, vocab_size=5).save(tmp_path / "five")
    text_corpus(tmp_path / "four")
    for name in ("preset", "corpus"):
        if (tmp_path / str(changes.get(name))).exists():
            changes = {**changes, name: str(tmp_path / changes[name])}
    preset = {"preset": str(tmp_path / "model"), "width": None, "layers": None}
    with pytest.raises(InputError, match=message):
        train(quick(**{**preset, **changes}), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_make_data_by_config(tmp_path: Path) -> None:
    assert isinstance(open_data(quick().complete()), GaussianData)
    corpus = str(text_corpus(tmp_path / "corpus"))
    assert isinstance(open_data(quick(corpus=corpus).complete()), TextData)
    with pytest.raises(InputError, match="0 documents of at least 500 tokens"):
        open_data(quick(corpus=corpus, length=500).complete())


def run_command(*arguments: str) -> int:
    from l2m.cli import main

    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(str(stopped.value.code))


def test_command_trains_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["train", "--preset", "gpt2-tiny", "--length", "16", "--width", "32", "--steps", "3", "--json"]
    for _ in range(2):
        assert run_command(*flags, "--out", str(tmp_path / "run")) == 0
        output = capsys.readouterr()
        result = json.loads(output.out)
        assert result["steps"] == 3
        assert "scan: torch; device: cpu" in output.err
    assert run_command(*flags, "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["config"]["width"] == 32
    assert run_command(*flags, "--threads", "0") == 2
    assert capsys.readouterr().err == "l2m: threads: 0; expected at least 1\n"
    assert run_command("train", "--length", "17") == 2
    assert capsys.readouterr().err == "l2m: length: 17; expected a power of 4, as the Gaussian law branches by 4\n"


def test_gpu_validation_at_tiny_size(capsys: pytest.CaptureFixture[str]) -> None:
    """What `make gpu` runs, on the CPU: two scans, three families in bfloat16, two processes; then a table of two rows."""
    import gpu_training as validation

    assert validation.main(["--device", "cpu", "--steps", "6", "--presets", "mamba-tiny"]) == 0
    out = capsys.readouterr().out
    assert out.count("| ok |") == 6
    assert out.count("\n| mamba-tiny | 16 |") == 2


def test_a_preset_that_does_not_fit_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu_training as validation

    def full(*_: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(validation, "build_model", full)
    assert "does not fit" in validation.speed("gpt2-large", "cpu", "float32", 16)
