"""What a config names outside itself, found and hashed once: the corpus, the named model; a run is known by their content."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from l2m.base.files import file_hash
from l2m.errors import InputError
from l2m.training.config import TrainConfig

if TYPE_CHECKING:
    from l2m.corpora.corpus import Corpus
    from l2m.scoring.model_source import ModelSource

_WORDS = {"corpus": "the corpus", "preset": "config.json of the preset", "weights": "the pretrained weights"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a run reads.

    Attributes:
        corpus: the text; None for the Gaussian language.
        source: the pretrained model; None for random weights.
        config_file: config.json of a model that is no preset.
        identity: hashes of the corpus ("corpus"), of that config.json ("preset") and of the pretrained weights ("weights"), as
            far as there are such: a run is resumed only with the same.
    """

    corpus: "Corpus | None" = None
    source: "ModelSource | None" = None
    config_file: Path | None = None
    identity: Mapping[str, str]


def find_inputs(config: TrainConfig, *, verify: bool = True) -> Inputs:
    """Open the corpus and find the model that a complete config names.

    Args:
        verify: compare the corpus's files with their checksums (about 1 s per 5 GB).

    Raises:
        InputError: no such corpus, a damaged one, or no such model.
    """
    from l2m.training.models.presets import PRESETS, config_file

    corpus, source, file = None, None, None
    identity: dict[str, str] = {}
    if config.corpus is not None:
        from l2m.corpora.corpus import Corpus

        corpus = Corpus.open(config.corpus, verify=verify)
        identity["corpus"] = corpus.hash
    if config.pretrained:
        from l2m.scoring.model_source import resolve_model

        if config.preset in PRESETS:
            raise InputError(
                f"pretrained: True for the preset {config.preset!r}, which has no weights; expected a folder, an installed "
                "package or a hub name"
            )
        source = resolve_model(config.preset)
        file, identity["weights"] = source.folder / "config.json", source.hash
    elif config.preset not in PRESETS:
        file = config_file(config.preset)
    if file is not None:
        identity["preset"] = file_hash(file)
    return Inputs(corpus=corpus, source=source, config_file=file, identity=identity)


def changed_input(held: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The first input whose content is not the one a run was started with, in words; None where there is none.

    A run of a version before 0.2 has recorded none, and takes those it finds.
    """
    for name, mine in held.items():
        if now.get(name) != mine:
            return (
                f"the content of {_WORDS.get(name, name)} has changed: BLAKE3 {str(now.get(name))[:12]}, but this run was started with "
                f"{mine[:12]}"
            )
    return None
