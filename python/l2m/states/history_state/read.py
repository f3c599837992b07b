"""From whatever names a model (config, dict, folder, hub name, module) to its history state."""

import dataclasses
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2m.base.files import read_json
from l2m.base.hub import hub_file, locate, transformers_config
from l2m.errors import InputError
from l2m.states.history_state.catalogue import find
from l2m.states.history_state.families import ENCODERS
from l2m.states.history_state.registry import FAMILIES, Config, Family, MissingField
from l2m.states.history_state.state import BITS, HistoryState, Memory

Dtype = str | float | None


def history_state(model: Any, *, dtype: Dtype = None, cache_dtype: Dtype = None) -> HistoryState:
    """The history state of a causal model: what it keeps of the tokens it has read, as a function of their number.

    By formula where one is registered for the config's `model_type`; else the model is built on the meta device, run
    at several lengths and its cache weighed (`source` says which).

    Args:
        model: a config (a `transformers` object, or a dict with `model_type`), a module with a `.config`, a folder with
            `config.json` or a GGUF file, either file itself, a name in the catalogue (`l2m state --catalogue`; it
            works offline), or a name on the Hugging Face hub.
        dtype: precision of everything but the attention cache: a dtype name, or bits per number. Default: the
            config's `dtype`, else bfloat16; states that the model keeps in float32 regardless count as such.
        cache_dtype: precision of the attention cache (a quantised cache, say). Default: as `dtype`.

    Raises:
        InputError: not a causal model, a config that contradicts itself or lacks a field, a type that is neither
            known nor can be measured, code from the hub.
    """
    if isinstance(model, HistoryState):
        return _with_precision(model, model.bits, model.cache_bits, dtype, cache_dtype)
    name, config, model_class = _find(model)
    read = Config(config)
    model_type = read.get("model_type", None)
    if not isinstance(model_type, str):
        raise InputError(f"{name}: model_type {model_type!r}; expected a config that names its model_type")
    if read.get("is_encoder_decoder", False):
        raise InputError(f"{name}: an encoder-decoder ({model_type}); expected a causal language model")
    if model_type in ENCODERS.split() and not read.get("is_decoder", False):
        raise InputError(f"{name}: an encoder ({model_type}); expected a causal model (is_decoder set in its config)")
    found = FAMILIES.get(model_type)
    known = _catalogued(model)
    if found is None:
        memories, read, source = _measured(name, config, model_class)
    elif known is not None:
        memories, read = _run(name, Config(config), found)
        source = f"{known['where']} ({known['source']}); {found.source}"
    else:
        memories, read = _by_formula(name, config, found)
        source = found.source
    layers = read.get("decoder_layers", 0) or read.get("num_hidden_layers", 0)
    state = HistoryState(
        name=name,
        family=model_type,
        memories=memories,
        layers=max(layers, *(memory.layer + 1 for memory in memories)) if memories else layers,
        vocabulary=read.get("vocab_size", None),
        positions=read.get("max_position_embeddings", None),
        source=source,
    )
    bits = _bits("dtype", read.get("dtype", "bfloat16"))
    return _with_precision(state, bits, bits, dtype, cache_dtype)


def _with_precision(
    state: HistoryState, bits: float, cache_bits: float, dtype: Dtype, cache_dtype: Dtype
) -> HistoryState:
    memories = state.memories
    if dtype is not None:
        bits = cache_bits = _bits("dtype", dtype)
        memories = tuple(dataclasses.replace(memory, bits=None) if memory.bits else memory for memory in memories)
    if cache_dtype is not None:
        cache_bits = _bits("cache_dtype", cache_dtype)
    return dataclasses.replace(state, memories=memories, bits=bits, cache_bits=cache_bits)


def _bits(argument: str, value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 128:
        return float(value)
    key = str(value).removeprefix("torch.")
    if key not in BITS:
        raise InputError(f"{argument}: {value!r}; expected bits per number, or one of {', '.join(BITS)}")
    return BITS[key]


# --- Finding the config -----------------------------------------------------------------------------------------------


def _find(model: Any) -> tuple[str, Any, Any]:
    """A model's name, the config of its text part (a mapping or a `transformers` config), its class where known."""
    model_class = None
    if hasattr(getattr(model, "config", None), "get_text_config"):
        model, model_class = model.config, type(model)
    if known := _catalogued(model):
        name, config = known["name"], known["config"]
    elif isinstance(model, (str, os.PathLike)):
        name = os.fspath(model)
        config = _read_named(name)
    elif isinstance(model, Mapping):
        config, name = model, str(model.get("_name_or_path") or model.get("name") or model.get("model_type"))
    elif hasattr(model, "get_text_config"):
        config, name = model, str(model.name_or_path or model.model_type)
    else:
        raise InputError(
            f"model: a {type(model).__name__}; expected a config, a dict, a folder, a hub name or a module"
        )
    if isinstance(config, Mapping):
        if "model_type" not in config and "ssm_cfg" in config:
            config = {"model_type": "mamba_ssm", **config}
        text = config.get("text_config")
        if isinstance(text, Mapping) and "model_type" in text:
            config = text
    elif model_class is None:
        config = config.get_text_config(decoder=True)
    return name, config, model_class


def _catalogued(model: Any) -> Mapping[str, Any] | None:
    return find(model) if isinstance(model, str) and not Path(model).exists() else None


def _read_named(name: str) -> Any:
    path = Path(name)
    if path.is_file() and path.suffix != ".gguf":
        return _read_file(path)
    found = locate("model", name)
    if found.folder is not None:
        return _read_file(found.folder / "config.json")
    if found.gguf is not None:
        if not _installed("transformers"):
            raise InputError(f"{name}: a GGUF file; expected its config.json, or: pip install 'l2m[lm]' to read it")
        return transformers_config(found)
    if "/" not in name:
        raise InputError(f"model: {name!r}: no such file, folder or package, and not in the catalogue")
    return _read_file(hub_file("model", name, "config.json"))


def _read_file(path: Path) -> Any:
    fields = read_json(path)
    if not isinstance(fields, Mapping):
        raise InputError(f"{path}: a {type(fields).__name__}; expected a config (an object with model_type)")
    return fields


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


# --- From the config to memories --------------------------------------------------------------------------------------


def _by_formula(name: str, config: Any, found: Family) -> tuple[tuple[Memory, ...], Config]:
    if isinstance(config, Mapping) and found.defaults is not None:
        try:
            return _run(name, Config(config, found.defaults), found)
        except MissingField:
            pass
    if isinstance(config, Mapping) and _installed("transformers"):
        config = _completed(name, config)
    elif isinstance(config, Mapping) and found.defaults is None:
        raise InputError(f"{name}: a {config['model_type']} config; expected: pip install 'l2m[lm]' to complete it")
    try:
        return _run(name, Config(config), found)
    except MissingField as missing:
        hint = "" if _installed("transformers") else " (or: pip install 'l2m[lm]', which knows the defaults)"
        raise InputError(f"{name}: no {missing} in the config; expected it{hint}") from None


def _run(name: str, config: Config, found: Family) -> tuple[tuple[Memory, ...], Config]:
    try:
        memories = tuple(found.formula(config))
        if not memories or any(type(memory.numbers) is not int or memory.numbers < 0 for memory in memories):
            raise InputError(
                "a config of a model that keeps nothing, or not a whole number; expected layers and widths"
            )
        return memories, config
    except InputError as error:
        raise InputError(f"{name}: {str(error).removeprefix('config: ')}") from None
    except (TypeError, ValueError, ZeroDivisionError, KeyError, IndexError) as error:
        raise InputError(f"{name}: a config that the formula of its family cannot use ({error})") from None


def _completed(name: str, fields: Mapping[str, Any]) -> Any:
    """The config as its class in `transformers` completes it; the mapping itself where there is no such class."""
    from transformers import CONFIG_MAPPING

    if fields["model_type"] not in CONFIG_MAPPING:
        return fields
    try:
        config = CONFIG_MAPPING[fields["model_type"]].from_dict(dict(fields))
    except Exception as error:  # validation errors of several libraries
        raise InputError(f"{name}: {' '.join(str(error).split())}") from None
    return config.get_text_config(decoder=True)


def _measured(name: str, config: Any, model_class: Any) -> tuple[tuple[Memory, ...], Config, str]:
    fields = Config(config)
    remote = fields.get("auto_map", None)
    if not _installed("transformers"):
        expected = f"one of {', '.join(sorted(FAMILIES))}, or: pip install 'l2m[lm]' to measure others"
        raise InputError(f"{name}: model_type {fields.model_type!r}; expected {expected}")
    from transformers import AutoModelForCausalLM

    from l2m.states.history_state.measured import measure

    if isinstance(config, Mapping):
        config = _completed(name, config)
    if isinstance(config, Mapping):
        allow = (
            "it brings code of its own, which is not run: load the model yourself with trust_remote_code=True and pass "
            "the module"
            if remote
            else "register a formula (l2m.history_state.family)"
        )
        raise InputError(f"{name}: model_type {config['model_type']!r} is unknown; {allow}")
    if model_class is None and type(config) not in AutoModelForCausalLM._model_mapping:
        raise InputError(f"{name}: {config.model_type} is not a causal language model; expected one")
    memories = measure(config, model_class)
    return memories, Config(config.get_text_config(decoder=True)), "measured on the meta device"
