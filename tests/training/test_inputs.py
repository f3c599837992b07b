"""A run is known by the content of what it reads."""

import json
import shutil
from pathlib import Path

import pytest

from l2m.errors import InputError
from l2m.training.evaluation import evaluate
from l2m.training.inputs import find_inputs
from l2m.training.loop import train
from l2m.training.runs import Run
from l2m.training.sweep import SweepRun
from training_runs import named_model, quick, text_corpus


def test_a_corpus_that_was_made_again_is_another_run(tmp_path: Path) -> None:
    config = quick(corpus=str(text_corpus(tmp_path / "corpus")), length=32)
    folder = train(config, tmp_path / "run", device="cpu")
    assert set(Run.open(folder).identity) == {"corpus"}
    train(config, folder, device="cpu")
    run = SweepRun("a", config.complete(), folder)
    evaluate(folder, sequences=2, device="cpu").save(run.result)
    assert run.evaluation() is not None
    shutil.rmtree(tmp_path / "corpus")
    text_corpus(tmp_path / "corpus", seed=1)
    again = (lambda: train(config, folder, device="cpu"), lambda: evaluate(folder, sequences=2, device="cpu"))
    for use in (*again, run.evaluation):  # a sweep takes no finished run of the corpus before for its own
        with pytest.raises(
            InputError,
            match=r"run: the content of the corpus has changed: BLAKE3 [0-9a-f]{12}, but this run was started with",
        ):
            use()


def test_a_corpus_that_moved_is_the_same(tmp_path: Path) -> None:
    text_corpus(tmp_path / "corpus")
    folder = train(quick(corpus=str(tmp_path / "corpus"), length=32), tmp_path / "run", device="cpu")
    (tmp_path / "corpus").rename(tmp_path / "moved")
    train(quick(corpus=str(tmp_path / "moved"), length=32), folder, device="cpu")
    assert Run.open(folder).config.corpus == str(tmp_path / "moved")


def test_a_preset_folder_that_was_edited_is_another_run(tmp_path: Path) -> None:
    model = named_model(tmp_path / "model")
    common = {"preset": str(model), "width": None, "layers": None, "corpus": str(text_corpus(tmp_path / "corpus"))}
    folders = {}
    for pretrained in (False, True):
        config = quick(**common, pretrained=pretrained, steps=1, length=32)
        folders[pretrained] = config, train(config, tmp_path / str(pretrained), device="cpu")
    assert set(Run.open(folders[False][1]).identity) == {"corpus", "preset"}
    assert set(Run.open(folders[True][1]).identity) == {"corpus", "preset", "weights"}
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    train(folders[False][0], folders[False][1], device="cpu")  # which does not read them
    with pytest.raises(InputError, match="the content of the pretrained weights has changed"):
        train(folders[True][0], folders[True][1], device="cpu")
    shape = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**shape, "layer_norm_epsilon": 1e-3}))
    with pytest.raises(InputError, match=r"the content of config\.json of the preset has changed"):
        train(folders[False][0], folders[False][1], device="cpu")


def test_presets_of_the_tables_read_nothing() -> None:
    assert find_inputs(quick().complete()).identity == {}
