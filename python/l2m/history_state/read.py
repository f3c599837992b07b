"""From whatever names a model (config, dict, folder, hub name, module) to its history state."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2m.errors import InputError
from l2m.files import read_json
from l2m.history_state.families import FAMILIES, Config, Family, MissingField
from l2m.history_state.state import BITS, HistoryState


def history_state(
    model: Any, *, dtype: str | float | None = None, cache_dtype: str | float | None = None
) -> HistoryState:
    """The history state of a causal model: what it keeps of the tokens it has read.

    Args:
        model: a config (`transformers` object or dict with `model_type`), a module with a `.config`, a folder with
            `config.json` or a GGUF file, the file itself, or a name on the Hugging Face hub.
        dtype: precision of recurrent and convolution states: a dtype name, or bits per number. Default: the config's
            `dtype`, else bfloat16.
        cache_dtype: precision of the attention cache (a quantised cache, say). Default: as `dtype`.

    Raises:
        InputError: not a causal model, a config that contradicts itself or lacks a field, an unknown type.
    """
    if isinstance(model, HistoryState):
        import dataclasses

        bits = _bits("dtype", dtype) if dtype is not None else model.bits
        cache_bits = _bits("cache_dtype", cache_dtype) if cache_dtype is not None else model.cache_bits
        return dataclasses.replace(model, bits=bits, cache_bits=cache_bits)
    name, fields = read_config(model)
    model_type = fields.get("model_type")
    if model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise InputError(f"{name}: model_type {model_type!r}; expected one of {known}")
    if fields.get("is_encoder_decoder"):
        raise InputError(f"{name}: an encoder-decoder ({model_type}); expected a causal language model")
    found = FAMILIES[model_type]
    try:
        return _by_formula(name, fields, found, dtype, cache_dtype)
    except MissingField:
        return _by_formula(name, _with_class_defaults(name, fields), found, dtype, cache_dtype)


def read_config(model: Any) -> tuple[str, Mapping[str, Any]]:
    """A model's name and the fields of its (text) config."""
    if isinstance(model, (str, os.PathLike)):
        name = os.fspath(model)
        fields = _read_named(name)
    elif isinstance(model, Mapping):
        name, fields = (
            str(model.get("_name_or_path") or model.get("name") or model.get("model_type") or "config"),
            model,
        )
    elif hasattr(model, "get_text_config"):
        name, fields = model.name_or_path or model.model_type, _fields_of(model)
    elif hasattr(getattr(model, "config", None), "get_text_config"):
        name, fields = model.config.name_or_path or model.config.model_type, _fields_of(model.config)
    else:
        raise InputError(
            f"model: a {type(model).__name__}; expected a config, a dict, a folder, a hub name or a module"
        )
    text = fields.get("text_config")
    if isinstance(text, Mapping) and "model_type" in text:
        fields = text
    return name, fields


def _fields_of(config: Any) -> dict[str, Any]:
    """Every field of a `transformers` config, those that its class computes included."""
    config = config.get_text_config(decoder=True)
    fields = dict(config.to_dict())
    fields.setdefault("model_type", config.model_type)
    for name in ("layer_types", "is_encoder_decoder", *config.attribute_map):
        value = getattr(config, name, None)
        if value is not None:
            fields[name] = value
    return fields


def _read_named(name: str) -> Mapping[str, Any]:
    path = Path(name)
    if path.is_dir():
        if (path / "config.json").exists():
            return _read_file(path / "config.json")
        gguf = sorted(path.glob("*.gguf"))
        if len(gguf) != 1:
            raise InputError(f"{path}: a folder with {len(gguf)} GGUF files and no config.json; expected a model")
        path = gguf[0]
    if path.suffix == ".gguf" and path.exists():
        return _read_gguf(path)
    if path.exists():
        return _read_file(path)
    if path.suffix in (".json", ".gguf") or name.count("/") > 1 or name.startswith((".", "/")):
        raise InputError(f"{name}: no such file or folder")
    return _read_hub(name)


def _read_file(path: Path) -> Mapping[str, Any]:
    fields = read_json(path)
    if not isinstance(fields, Mapping):
        raise InputError(f"{path}: a {type(fields).__name__}; expected a config (an object with model_type)")
    return fields


def _read_gguf(path: Path) -> Mapping[str, Any]:
    from transformers import AutoConfig

    return _fields_of(AutoConfig.from_pretrained(path.parent, gguf_file=path.name))


def _read_hub(name: str) -> Mapping[str, Any]:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise InputError(
            f"{name}: no such folder, and reading it from the hub needs: pip install 'l2m[text]'"
        ) from None
    try:
        return _read_file(Path(hf_hub_download(name, "config.json")))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{name}: neither a folder here nor a model on the hub that can be read ({reason})") from None


def _by_formula(
    name: str, fields: Mapping[str, Any], found: Family, dtype: str | float | None, cache_dtype: str | float | None
) -> HistoryState:
    config = Config(fields, found.defaults)
    memories = tuple(found.formula(config))
    own = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16").removeprefix("torch.")
    bits = _bits("dtype", own if dtype is None else dtype)
    return HistoryState(
        name=name,
        family=config.model_type,
        memories=memories,
        layers=config.num_hidden_layers,
        bits=bits,
        cache_bits=bits if cache_dtype is None else _bits("cache_dtype", cache_dtype),
        vocabulary=config.get("vocab_size"),
        positions=config.get("max_position_embeddings"),
        source=found.source,
    )


def _with_class_defaults(name: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields as the model's class in `transformers` completes them."""
    try:
        from transformers import CONFIG_MAPPING
    except ImportError:
        raise InputError(
            f"{name}: a config that leaves out fields; expected all, or: pip install 'l2m[lm]' to complete it"
        ) from None
    try:
        return _fields_of(CONFIG_MAPPING[fields["model_type"]].from_dict(dict(fields)))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{name}: {' '.join(str(error).split())}") from None


def _bits(argument: str, value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return float(value)
    key = str(value).removeprefix("torch.")
    if key not in BITS:
        raise InputError(f"{argument}: {value!r}; expected bits per number, or one of {', '.join(BITS)}")
    return BITS[key]
