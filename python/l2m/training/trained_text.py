"""A model that `l2m train` trained on text, as `l2m score` takes it: by the folder of its run."""

from pathlib import Path
from typing import TYPE_CHECKING

from l2m.corpora.corpus import Corpus
from l2m.errors import InputError
from l2m.scoring.settings import ScoreSettings

if TYPE_CHECKING:
    from l2m.scoring.language_model import LanguageModel


def is_run(folder: str) -> bool:
    """Whether this is the folder of a training run: a model of `transformers` has a config.json too, but no checkpoints/."""
    return Path(folder, "config.json").is_file() and Path(folder, "checkpoints").is_dir()


def trained_scorer(folder: str, corpus: Corpus, settings: ScoreSettings) -> tuple["LanguageModel", Corpus]:
    """The newest model of a run, and what of a corpus it can be scored on.

    A text begins with the start token that the model was trained with, and nothing else is put before it: its windows began
    anywhere in a document.

    Returns:
        The model; the documents that it held out if this is the corpus that it was trained on, else the corpus.

    Raises:
        InputError: no run on text, no checkpoint, a corpus of another tokenizer, or settings of models that have one.
    """
    from l2m.base.devices import pick_device
    from l2m.scoring.language_model import LanguageModel
    from l2m.training.data import TextData
    from l2m.training.runs import Run, load_model

    for name in ("start_token", "dtype", "revision"):
        if getattr(settings, name) is not None:
            raise InputError(f"{name}: given for a run of l2m train; expected none, the run says it")
    run = Run.open(Path(folder))
    if run.config.corpus is None:
        raise InputError(f"model: {folder} was trained on the Gaussian language; expected a run on text")
    inputs = run.inputs()
    data = TextData(run.config, inputs)
    known = data.corpus.tokenizer
    if any(known.get(name) != corpus.tokenizer.get(name) for name in ("name", "hash")):
        raise InputError(
            f"corpus: tokenized with {corpus.tokenizer['name']!r}, that of {folder} with {known['name']!r}; expected the same "
            "tokenizer and vocabulary"
        )
    if corpus.hash == data.corpus.hash:
        corpus = data.held_out_corpus
    model = load_model(run, device=pick_device(settings.device), inputs=inputs)
    return LanguageModel.of_instance(model.backbone, start_token=data.start_token), corpus
