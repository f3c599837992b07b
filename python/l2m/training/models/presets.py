"""The models of the paper's Tables F.1 and F.2, and tiny ones that train on two cores, as `transformers` configs."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2m.base.hub import Location, hub_file, locate, transformers_config
from l2m.errors import InputError


@dataclasses.dataclass(frozen=True)
class Preset:
    """A backbone's shape, and the training settings that go with it.

    Attributes:
        family: "gpt2", "mamba", "mamba2", "growing" or "growing-linear".
        state: state_size N of a state-space model (numbers a channel), None for attention.
        learning_rate, steps, warmup: the paper's for its models; for the tiny ones what two cores can afford.
    """

    family: str
    layers: int
    width: int
    state: int | None = None
    learning_rate: float = 5e-5
    steps: int = 500_000
    warmup: int = 2_000


_TINY: dict[str, Any] = {"layers": 2, "width": 128, "steps": 2_000, "warmup": 100}

PRESETS: dict[str, Preset] = {
    "gpt2-tiny": Preset("gpt2", **_TINY, learning_rate=1e-3),
    "gpt2": Preset("gpt2", 12, 768),
    "gpt2-medium": Preset("gpt2", 24, 1024),
    "gpt2-large": Preset("gpt2", 36, 1280),
    "mamba-tiny": Preset("mamba", **_TINY, state=16, learning_rate=2e-3),
    "mamba-50m": Preset("mamba", 12, 512, 16),
    "mamba-70m": Preset("mamba", 24, 512, 16),
    "mamba-130m": Preset("mamba", 24, 768, 16),
    "mamba-370m": Preset("mamba", 48, 1024, 16),
    "mamba-790m": Preset("mamba", 48, 1536, 16),
    "mamba-1.4b": Preset("mamba", 48, 2048, 16),
    "mamba2-tiny": Preset("mamba2", **_TINY, state=16, learning_rate=2e-3),
    "mamba2-130m": Preset("mamba2", 24, 768, 128),
    "mamba2-370m": Preset("mamba2", 48, 1024, 128),
    "mamba2-790m": Preset("mamba2", 48, 1536, 128),
    "growing-tiny": Preset("growing", **_TINY, learning_rate=2e-3),
    # One layer of one head, in which the frontier's recurrences have room (training.models.frontier_start).
    "growing-linear-tiny": Preset("growing-linear", 1, 192, steps=2_000, warmup=100, learning_rate=1e-3),
}

HEAD_WIDTH = 64


def preset(name: str) -> Preset:
    """One of PRESETS.

    Raises:
        InputError: no such preset.
    """
    if name not in PRESETS:
        raise InputError(
            f"preset: {name!r}; expected one of {', '.join(PRESETS)}, a folder with config.json, an installed package that "
            "carries a model, or OWNER/NAME on the hub"
        )
    return PRESETS[name]


def defaults(name: str) -> Preset:
    """Training settings where the config has none: those of the preset, or for a named model those of the paper.

    Raises:
        InputError: neither a preset nor the name of a model.
    """
    if name in PRESETS:
        return PRESETS[name]
    _place(name)
    return Preset("", 0, 0)


def _place(name: str) -> tuple[Path | None, Path | None]:
    """Where a model is that is not a preset: (its config.json, None), or (None, a GGUF file); both None: on the hub."""
    path = Path(name)
    if path.suffix == ".json" and path.is_file():
        return path, None
    if not path.exists() and "/" not in name:
        found = locate("preset", name) if path.suffix != ".gguf" else None
        if found is None or found.gguf is None:
            preset(name)
    found = locate("preset", name)
    return (found.folder / "config.json" if found.folder else None), found.gguf


def config_file(name: str) -> Path:
    """The config.json of a model that is not a preset: the local one, one converted from GGUF, or one from the hub.

    Raises:
        InputError: no such model.
    """
    config, gguf = _place(name)
    if gguf is not None:
        from l2m.scoring.model_source import resolve_model

        return resolve_model(name).folder / "config.json"
    return config or hub_file("preset", name, "config.json")


def backbone_config(
    model: str,
    length: int,
    *,
    vocabulary: int | None = 1,
    layers: int | None = None,
    width: int | None = None,
    state: int | None = None,
    growth: str | None = None,
    file: Path | None = None,
) -> Any:
    """The `transformers` config of a preset, of a model folder or config.json, or of a name on the hub.

    Args:
        length: longest input, in positions (GPT2's table of positions).
        vocabulary: number of token ids; 1 for continuous input, where the table of embeddings is not used; None: that of the
            named model, which a preset does not have.
        layers, width, state, growth: in place of the preset's.
        file: config.json of a named model, where it has been found already (`config_file`).

    Raises:
        InputError: no such model, or shapes that no such model can have.
    """
    if model not in PRESETS:
        replaced = {"layers": layers, "width": width, "state": state, "growth": growth}
        return _named_config(file or config_file(model), model, length, vocabulary, replaced)
    shape = preset(model)
    changes: dict[str, Any] = {"layers": layers, "width": width, "state": state}
    shape = dataclasses.replace(shape, **{name: value for name, value in changes.items() if value is not None})
    for name in ("layers", "width", "state"):
        value = getattr(shape, name)
        if value is not None and value < 1:
            raise InputError(f"{name}: {value}; expected at least 1")
    common = {"vocab_size": vocabulary or 1, "bos_token_id": 0, "eos_token_id": 0, "use_cache": False}
    grows = shape.family.startswith("growing")
    if state is not None and (grows or shape.family == "gpt2"):
        instead = "growth sets it" if grows else "attention keeps keys and values instead"
        raise InputError(f"state: {state} for {model}; expected none: {instead}")
    if growth is not None and not grows:
        raise InputError(f"growth: {growth!r} for {model}; expected none: its state grows as its architecture has it")
    if grows:
        return _growing(shape, length, common, growth)
    if shape.family == "gpt2":
        return _gpt2(shape, length, common)
    return (_mamba if shape.family == "mamba" else _mamba2)(shape, length, common)


def _gpt2(shape: Preset, length: int, common: dict[str, Any]) -> Any:
    from transformers import GPT2Config

    heads = max(1, shape.width // HEAD_WIDTH)
    if shape.width % heads:
        raise InputError(f"width: {shape.width}; expected a multiple of {heads} heads")
    return GPT2Config(
        n_layer=shape.layers,
        n_embd=shape.width,
        n_head=heads,
        n_positions=length,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **common,
    )


def _mamba(shape: Preset, length: int, common: dict[str, Any]) -> Any:
    from transformers import MambaConfig

    return MambaConfig(
        num_hidden_layers=shape.layers, hidden_size=shape.width, state_size=shape.state, pad_token_id=0, **common
    )


def _mamba2(shape: Preset, length: int, common: dict[str, Any]) -> Any:
    from transformers import Mamba2Config

    inner = 2 * shape.width
    head = min(HEAD_WIDTH, inner)
    if inner % head:
        raise InputError(
            f"width: {shape.width}; expected a multiple of {head // 2}, so that heads have {head} channels"
        )
    return Mamba2Config(
        num_hidden_layers=shape.layers,
        hidden_size=shape.width,
        state_size=shape.state,
        num_heads=inner // head,
        head_dim=head,
        n_groups=1,
        # Results do not depend on it. The torch path pads a sequence to a multiple of it, and its work within a chunk is
        # quadratic: on one core a step of 2 x 1,024 tokens takes 0.5 s with 64 and 0.8 s with 256 (5 layers of width 128).
        chunk_size=min(64, max(16, length // 4)) if shape.width < 512 else 256,
        tie_word_embeddings=True,
        pad_token_id=0,
        **common,
    )


def _growing(shape: Preset, length: int, common: dict[str, Any], growth: str | None) -> Any:
    from l2m.training.models.growing import GrowingConfig

    linear = shape.family == "growing-linear"
    heads = 1 if linear else max(1, shape.width // HEAD_WIDTH)
    if not linear and shape.width % heads:
        raise InputError(f"width: {shape.width}; expected a multiple of {heads} heads")
    return GrowingConfig(
        num_hidden_layers=shape.layers,
        hidden_size=shape.width,
        num_heads=heads,
        head_dim=HEAD_WIDTH if linear else shape.width // heads,
        max_position_embeddings=length,
        linear=linear,
        **({} if growth is None else {"growth": growth}),
        **common,
    )


def _named_config(
    file: Path, model: str, length: int, vocabulary: int | None, replaced: Mapping[str, int | str | None]
) -> Any:
    import l2m.training.models.growing  # noqa: F401  (transformers learns its type)

    for name, value in replaced.items():
        if value is not None:
            raise InputError(f"{name}: {value} with {model}; expected none: config.json sets it")
    from l2m.scoring.request import check_context

    config = transformers_config(Location(model, folder=file))
    text = config.get_text_config()
    check_context(model, getattr(text, "max_position_embeddings", None), length)
    if vocabulary is not None:
        text.vocab_size = vocabulary
        for token in ("bos_token_id", "eos_token_id", "pad_token_id"):  # ids of its own vocabulary
            setattr(text, token, None)
    return config
