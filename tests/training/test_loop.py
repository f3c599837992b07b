"""The loop: resumes to the bit, stops that say why, several processes."""

import dataclasses
import functools
import json
import math
import os
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

from l2m import Corpus, InputError
from l2m.base import files
from l2m.training.build import build_model
from l2m.training.checkpoints import Checkpoints
from l2m.training.config import TrainConfig
from l2m.training.data import TextData, open_data
from l2m.training.evaluation import evaluate
from l2m.training.loop import train
from l2m.training.loss import position_loss
from l2m.training.metrics import read_metrics
from l2m.training.runs import Run, load_model
from l2m.truth.gaussian import HierarchicalGaussian
from training_runs import MARKOV_ENTROPY, named_model, quick, run_command, text_corpus, weights


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


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def broken(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        return position_loss(model, batch) * (math.nan if calls == 8 else 1)

    monkeypatch.setattr("l2m.training.loop.position_loss", broken)
    with pytest.raises(InputError, match=r"loss is nan at step 8\. Checkpoint kept: step 5"):
        train(quick(evaluate_every=100), tmp_path / "run", device="cpu")
    assert all(torch.isfinite(value).all() for value in weights(tmp_path / "run"))


def stop_after(steps: int) -> Any:
    """A `progress` that ends a training."""

    def stop(done: int, _: int) -> None:
        if done == steps:
            raise RuntimeError("stopped")

    return stop


def test_weights_that_give_no_finite_loss_do_not_push_out_the_last_good_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate of 1e30 breaks the weights in a step whose own loss is finite; that checkpoint is written, and taken out again."""
    rates = {"warmup": 0, "save_every": 1, "keep": 1}
    for name, evaluate_every in (("seldom", 100), ("often", 1)):
        config = quick(steps=6, evaluate_every=evaluate_every, **rates)
        with pytest.raises(RuntimeError, match="stopped"):
            train(config, tmp_path / name, device="cpu", progress=stop_after(3))
    monkeypatch.setattr(TrainConfig, "rate", lambda *_: 1e30)
    folder = tmp_path / "seldom"
    with pytest.raises(InputError, match=r"loss is .* at step 5\. Checkpoint kept: step 3"):
        train(quick(steps=6, evaluate_every=100, **rates), folder, device="cpu")
    assert Checkpoints(folder / "checkpoints").steps() == [3]
    # Found by an evaluation, before these weights are written.
    folder = tmp_path / "often"
    with pytest.raises(InputError, match=r"held-out loss is .* at step 4\. Checkpoint step 3 already has the weights"):
        train(quick(steps=6, evaluate_every=1, **rates), folder, device="cpu")
    assert Checkpoints(folder / "checkpoints").steps() == [3]
    with pytest.raises(InputError, match=r"held-out loss is .* at step 1\. No checkpoint was written before it"):
        train(quick(steps=1, learning_rate=1e30, warmup=0), tmp_path / "one", device="cpu")


def test_a_machine_where_every_loss_is_nan_takes_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, config = tmp_path / "run", quick(steps=9, save_every=3)
    with pytest.raises(RuntimeError, match="stopped"):
        train(config, folder, device="cpu", progress=stop_after(6))
    with monkeypatch.context() as patch:
        patch.setattr("l2m.training.loop.position_loss", lambda *of: position_loss(*of) * math.nan)
        for _ in range(3):
            with pytest.raises(
                InputError, match=r"loss is nan at step 7\. Checkpoint step 6 already has the .* delete .*step-0+6 "
            ):
                train(config, folder, device="cpu")
    assert Checkpoints(folder / "checkpoints").steps() == [3, 6]


def test_a_start_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    for changes in ({"preset": "mamba2-tiny", "width": 100}, {"corpus": str(tmp_path / "none")}):
        with pytest.raises(InputError):
            train(quick(**changes), tmp_path / "run", device="cpu")
        assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_as_many_processes_as_it_began(tmp_path: Path) -> None:
    folder = train(quick(), tmp_path / "run", device="cpu")
    path = folder / "checkpoints/step-00000012/state.json"
    state = files.read_sealed(path)
    assert state["processes"] == 1
    files.write_sealed(path, {**state, "processes": 2})
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 20}, "length: 20; expected a power of 4"),
        ({"length": 1}, "length: 1; expected a power of 4"),
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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_where_one_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="device: 'cuda' is not available here"):
        train(quick(), tmp_path / "run", device="cuda")


def test_settings_reach_the_model_and_the_optimiser(tmp_path: Path) -> None:
    folder = train(quick(positions=True, beta2=0.5), tmp_path / "run", device="cpu")
    held = Run.open(folder)
    model = load_model(held, device="cpu")
    assert held.config.positions
    assert model.positions.shape == (held.config.length, 32)
    train(quick(), tmp_path / "plain", device="cpu")
    assert load_model(Run.open(tmp_path / "plain"), device="cpu").positions is None
    train(quick(positions=True), tmp_path / "slower", device="cpu")
    assert any(not torch.equal(*pair) for pair in zip(weights(folder), weights(tmp_path / "slower"), strict=True))


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


def test_a_model_learns_a_markov_text_to_its_entropy(tmp_path: Path) -> None:
    corpus = text_corpus(tmp_path / "corpus", documents=200)
    config = quick(corpus=str(corpus), length=32, width=32, steps=300, batch=16, learning_rate=5e-3, log_every=50,
                   evaluate_sequences=512)  # fmt: skip
    folder = train(config, tmp_path / "run", device="cpu")
    found = [line["held_out"] for line in read_metrics(folder) if "held_out" in line][-1]
    # The first symbol costs log 4, the 31 others the entropy; 512 windows of 20 held-out texts scatter by 0.02.
    expected = (math.log(4) + 31 * MARKOV_ENTROPY) / 32
    assert expected - 0.06 < found < expected + 0.08


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
        ({"length": 64}, "length: 64; the context of .*model is 32 tokens"),
        ({"corpus": "five", "pretrained": True}, "5 ids; expected at most 4, those of"),
        ({"preset": "bert"}, r"an encoder \(bert\)"),
        ({"preset": "gpt2-tiny", "pretrained": True, "corpus": "four"}, "which has no weights"),
        ({"preset": "no-one/no-model", "corpus": "four"}, "preset: 'no-one/no-model'"),
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
    assert capsys.readouterr().err.startswith("l2m: threads: 0; expected a whole number from 1 to ")
    assert run_command("train", "--length", "17") == 2
    assert capsys.readouterr().err == "l2m: length: 17; expected a power of 4, as the Gaussian law branches by 4\n"
