"""From whatever names a model (config, dict, folder, hub name, module) to its history state."""

import copy
import dataclasses
import importlib.util
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from l2m.base.hub import hub_file, locate, one_line, quiet_transformers, read_config, transformers_config
from l2m.base.optional import require
from l2m.errors import InputError
from l2m.states.history_state.catalogue import find, near
from l2m.states.history_state.config import LAYER_COUNTS, Config, MissingField, text_part
from l2m.states.history_state.families import ENCODERS
from l2m.states.history_state.registry import FAMILIES, Family
from l2m.states.history_state.state import BITS, HistoryState, Memory
from l2m.states.history_state.weights import Weights, count, of_gguf, published_bits

Dtype = str | float | None


def history_state(model: Any, *, dtype: Dtype = None, cache_dtype: Dtype = None) -> HistoryState:
    """The history state of a causal model: what it keeps of the tokens it has read, as a function of their number.

    A formula answers where one is registered for the config's `model_type`. Otherwise the model is built on the meta
    device, run at several lengths, and the numbers in its cache are counted (`source` says which). Of a model that also
    sees or hears, the language model is read.

    Args:
        model: a config (a `transformers` object, or a dict with `model_type`), a module with a `.config`, a folder with
            `config.json` or a GGUF file, either file itself, a name in the catalogue (`l2m state --catalogue`; it
            works offline), or a name on the Hugging Face hub.
        dtype: precision of everything but the attention cache: a dtype name, or bits per number. Default: the
            config's `dtype`, else bfloat16; states that the model keeps in float32 regardless count as such.
        cache_dtype: precision of the attention cache (a quantised cache, say). Default: as `dtype`.

    Returns:
        The state as a function of the tokens read.

    Raises:
        InputError: not a causal model; a field that is missing, out of range or contradicts another; a type that is
            neither known nor can be measured; code from the hub.

    Example:
        >>> state = l2m.history_state('mamba-130m')
        >>> state
        HistoryState(state-spaces/mamba-130m, mamba: 737 k numbers after 1,024 tokens, constant)
        >>> state.at(1024).total
        737280
    """
    if isinstance(model, HistoryState):
        return _with_precision(model, model.bits, model.cache_bits, dtype, cache_dtype)
    found = _find(model)
    try:
        return _with_precision(*_state(found), dtype, cache_dtype)
    except MissingField as missing:
        hint = "" if _installed("transformers") else " (or: pip install 'l2m-scaling[lm]', which knows the defaults)"
        raise InputError(f"{found.name}: no {missing} in the config; expected it{hint}") from None
    except InputError as error:
        raise InputError(_named(found.name, error)) from None


@dataclasses.dataclass(frozen=True)
class _Found:
    """A model that was found: the config of all of it, that of its language model, its class where a module was given.

    `known` is its entry in the catalogue. Configs are mappings, which hold what a file says, or `transformers` objects.
    """

    name: str
    whole: Any
    text: Any
    module_class: Any = None
    known: Mapping[str, Any] | None = None


def model_weights(model: Any, dtype: Dtype = None) -> Weights:
    """The weights of a language model: from the catalogue, a GGUF file, or its class built on the meta device.

    Args:
        model: what `history_state` takes, but for a `HistoryState`.
        dtype: precision of all weights. Default: that of the checkpoint, as far as its config says.

    Returns:
        Their number and bytes; how many are looked up by row, and how many are in experts.

    Raises:
        InputError: no such model, or one whose class `transformers` does not have.

    Example:
        >>> weights = l2m.model_weights("openai/gpt-oss-20b")
        >>> weights.parameters, weights.bytes, weights.read(batch=1)
        (20914757184, 13751518848, 3706865088)
    """
    if isinstance(model, HistoryState):
        raise InputError(f"weights: a history state ({model.name}) has none; expected the model it is of")
    file = _gguf(model)  # its tensors say all: the config, which takes seconds, is not needed
    found = _find(model) if file is None else _Found(os.fsdecode(model), {}, {})
    try:
        weights = _weights(found) if file is None else of_gguf(file)
    except InputError as error:
        raise InputError(_named(found.name, error)) from None
    return weights if dtype is None else weights.with_bits(bits_of_dtype("weights_dtype", dtype))


def _weights(found: _Found) -> Weights:
    read = Config(found.text)
    bits = bits_of_dtype("config: dtype", read.get("dtype", None) or Config(found.whole).get("dtype", "bfloat16"))
    if found.known is not None:
        counted: dict[str, Any] = {"bits": bits, "expert_bits": bits, **found.known["weights"]}
        return Weights(
            **counted,
            source=f"{found.known['where']} ({found.known['source']}), counted on the meta device",
        )
    require(f"{found.name}: its weights", "torch", "transformers")
    from l2m.states.history_state.measured import runnable

    quantized = found.whole if isinstance(found.whole, Mapping) else found.whole.to_dict()
    completed = _completed(found) if isinstance(found.whole, Mapping) else found
    if isinstance(completed.text, Mapping):
        raise InputError(
            f"config: transformers has no class {read.get('model_type', None)!r}; expected one to count its weights with"
        )
    config, model_class = runnable(completed.whole, completed.text, completed.module_class)
    own, of_experts = published_bits(quantized, bits)
    fields: dict[str, Any] = {**count(config, model_class)}
    return Weights(**fields, bits=own, expert_bits=of_experts, source="counted on the meta device")


def _state(found: _Found) -> tuple[HistoryState, float, float]:
    read = Config(found.text)
    for name in LAYER_COUNTS:
        read.get(name, None)  # a class of transformers would make a list of 1e12 layers
    model_type = read.get("model_type", None)
    if not isinstance(model_type, str) and isinstance(found.whole, Mapping):
        # A text part that leaves the naming of its type to the class of the whole.
        found = _completed(found)
        read = Config(found.text)
        model_type = read.get("model_type", None)
    if not isinstance(model_type, str):
        raise InputError(f"config: model_type {model_type!r}; expected a config that names its model_type")
    _require_causal(read, model_type)
    if model_type not in FAMILIES and isinstance(found.text, Mapping) and _installed("transformers"):
        found = _completed(found)  # a type of which a part is the language model
        read = Config(found.text)
        model_type = str(read.get("model_type", model_type))
        _require_causal(read, model_type)
    family = FAMILIES.get(model_type)
    if family is None:
        memories, read = _measured(found, model_type)
        source = "measured on the meta device"
    elif found.known is not None:
        memories, read = _run(Config(found.text, nulls=tuple(found.text)), family)  # its nulls are what the class says
        source = f"{found.known['where']} ({found.known['source']}); {family.source}"
    else:
        memories, read = _by_formula(found, family)
        source = family.source
    layers = read.get("decoder_layers", 0) or read.get("num_hidden_layers", 0)
    bits = bits_of_dtype("config: dtype", read.get("dtype", None) or Config(found.whole).get("dtype", "bfloat16"))
    state = HistoryState(
        name=found.name,
        family=model_type,
        memories=memories,
        layers=max(layers, *(memory.layer + 1 for memory in memories)),
        bits=bits,
        cache_bits=bits,
        vocabulary=read.get("vocab_size", None),
        positions=read.get("max_position_embeddings", None),
        source=source,
    )
    return state, bits, bits


def _require_causal(read: Config, model_type: str) -> None:
    if read.get("is_encoder_decoder", False):
        raise InputError(f"config: an encoder-decoder ({model_type}); expected a causal language model")
    if model_type in ENCODERS and not read.get("is_decoder", False):
        raise InputError(f"config: an encoder ({model_type}); expected a causal model (is_decoder set in its config)")


def _with_precision(
    state: HistoryState, bits: float, cache_bits: float, dtype: Dtype, cache_dtype: Dtype
) -> HistoryState:
    memories = state.memories
    if dtype is not None:
        bits = cache_bits = bits_of_dtype("dtype", dtype)
        memories = tuple(dataclasses.replace(memory, bits=None) if memory.bits else memory for memory in memories)
    if cache_dtype is not None:
        cache_bits = bits_of_dtype("cache_dtype", cache_dtype)
    return dataclasses.replace(state, memories=memories, bits=bits, cache_bits=cache_bits)


def bits_of_dtype(argument: str, value: Any) -> float:
    """Bits per number of a dtype name, or the number of bits itself (also as text).

    Raises:
        InputError: no such name, or bits that are not above 0 and at most 128.
    """
    with suppress(ValueError):
        value = float(value) if isinstance(value, str) else value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 128:
        return float(value)
    key = str(value).removeprefix("torch.").lower()
    if key not in BITS:
        raise InputError(f"{argument}: {value!r}; expected bits per number, or one of {', '.join(BITS)}")
    return BITS[key]


# --- Finding the config -----------------------------------------------------------------------------------------------


def _find(model: Any) -> _Found:
    module_class = None
    if hasattr(getattr(model, "config", None), "get_text_config"):
        model, module_class = model.config, type(model)
    known = _catalogued(model)
    if known is not None:
        name, whole = known["name"], known["config"]
    elif isinstance(model, (str, os.PathLike)):
        name = os.fsdecode(model)
        whole = _read_named(name)
    elif isinstance(model, Mapping):
        whole, name = model, str(model.get("_name_or_path") or model.get("name") or model.get("model_type"))
    elif hasattr(model, "get_text_config"):
        whole, name = model, str(model.name_or_path or model.model_type)
    else:
        raise InputError(f"model: {type(model).__name__}; expected a config, a dict, a folder, a hub name or a module")
    if not isinstance(whole, Mapping):
        return _Found(name, whole, whole.get_text_config(decoder=True), module_class)
    if "model_type" not in whole and "ssm_cfg" in whole:
        whole = {"model_type": "mamba_ssm", **whole}
    try:
        return _Found(name, whole, text_part(whole), known=known)
    except InputError as error:
        raise InputError(_named(name, error)) from None


def config_fields(model: Any) -> dict[str, Any]:
    """The config of a model's language part by field.

    Args:
        model: what `l2m.history_state` takes.

    Raises:
        InputError: no such model, or no config that can be read.
    """
    text = _find(model).text
    return dict(text) if isinstance(text, Mapping) else text.to_dict()


def _catalogued(model: Any) -> Mapping[str, Any] | None:
    return find(model) if isinstance(model, str) and not os.path.exists(model) else None


def _gguf(model: Any) -> Path | None:
    """The GGUF file that a name means: the file, the only one in a folder, or that of an installed package."""
    if not isinstance(model, (str, os.PathLike)) or _catalogued(model) is not None:
        return None
    name = os.fsdecode(model)
    path = Path(name)
    return None if "\0" in name or (path.is_file() and path.suffix != ".gguf") else locate("model", name).gguf


def _read_named(name: str) -> Any:
    path = Path(name)
    if "\0" not in name and path.is_file() and path.suffix != ".gguf":
        return read_config(path)
    found = locate("model", name)
    if found.folder is not None:
        return read_config(found.folder / "config.json")
    if found.gguf is not None:
        if not _installed("transformers"):
            raise InputError(
                f"{name}: a GGUF file; expected its config.json, or: pip install 'l2m-scaling[lm]' to read it"
            )
        return transformers_config(found)
    if "/" not in name:
        raise InputError(f"model: {name!r}: no such file, folder or package, and not in the catalogue{near(name)}")
    try:
        return read_config(hub_file("model", name, "config.json"))
    except InputError as error:
        raise InputError(f"{error}{near(name)}") from None


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _named(name: str, error: InputError) -> str:
    """The message of an error about a config, which it names by the model instead."""
    message = str(error)
    return f"{name}: {message.removeprefix('config: ')}" if message.startswith(("config: ", "memory: ")) else message


# --- From the config to memories --------------------------------------------------------------------------------------


def _by_formula(found: _Found, family: Family) -> tuple[tuple[Memory, ...], Config]:
    if not isinstance(found.text, Mapping):
        return _run(Config(found.text), family)
    read = Config(found.text, family.defaults, family.nulls)
    if family.defaults is not None:
        try:
            return _run(read, family)
        except MissingField:
            if not _installed("transformers"):
                raise
    elif not _installed("transformers"):
        model_type = found.text["model_type"]
        raise InputError(
            f"config: a {model_type} config; expected: pip install 'l2m-scaling[lm]', whose classes complete it"
        )
    completed = _completed(found).text
    return _run(read if completed is found.text else Config(completed), family)


def _run(config: Config, family: Family) -> tuple[tuple[Memory, ...], Config]:
    try:
        memories = tuple(family.formula(config))
    except InputError:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InputError(f"config: the formula of its family cannot use it ({one_line(error)})") from None
    if not any(memory.numbers and memory.limit != 0 for memory in memories):
        raise InputError("config: a model that keeps nothing; expected layers, widths and windows that hold something")
    return memories, config


# Fields in which a class of `transformers` takes null to mean something: no window, as many as there are heads, computed.
_CLASS_NULLS = ("sliding_window", "num_key_value_heads", "mamba_d_ssm")


def _completed(found: _Found) -> _Found:
    """The model with its configs as their classes in `transformers` complete them; mappings where there is no such class."""
    whole = _class_config(found.whole)
    if found.text is found.whole or not isinstance(found.text.get("model_type"), str):
        text = None if whole is None else whole.get_text_config(decoder=True)
    else:
        text = _class_config(found.text)
        if text is not None:
            text = text.get_text_config(decoder=True)
    return dataclasses.replace(found, whole=whole or found.whole, text=text or found.text)


def _class_config(fields: Mapping[str, Any]) -> Any | None:
    """The `transformers` config of these fields; None where it has no class for them."""
    from transformers import CONFIG_MAPPING

    model_type = fields.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        return None
    config_class = CONFIG_MAPPING[model_type]
    given = copy.deepcopy({name: value for name, value in fields.items() if value is not None})  # classes write into it
    nulls = {name: None for name in _CLASS_NULLS if name in fields and fields[name] is None}
    with quiet_transformers():
        if nulls:
            try:
                config = config_class.from_dict({**given, **nulls})
            except Exception:
                pass  # a class that takes no null there: then it counts as left out
            else:
                types = getattr(config.get_text_config(decoder=True), "layer_types", None) or ()
                if "sliding_window" not in nulls or "sliding_attention" not in types:
                    return config
        try:
            return config_class.from_dict(given)
        except Exception as error:  # validation errors of several libraries
            raise InputError(f"config: {one_line(error)}") from None


def _measured(found: _Found, model_type: str) -> tuple[tuple[Memory, ...], Config]:
    if not _installed("transformers"):
        expected = f"one of {', '.join(sorted(FAMILIES))}, or: pip install 'l2m-scaling[lm]' to measure others"
        raise InputError(f"config: model_type {model_type!r}; expected {expected}")
    if isinstance(found.text, Mapping):
        remote = found.text.get("auto_map") or found.whole.get("auto_map")
        allow = (
            "it brings code of its own, which is not run: load the model yourself with trust_remote_code=True and pass "
            "the module"
            if remote
            else "register a formula (l2m.states.history_state.family)"
        )
        raise InputError(f"config: model_type {model_type!r} is unknown; {allow}")
    from l2m.states.history_state.measured import measure, runnable

    config, model_class = runnable(found.whole, found.text, found.module_class)
    return measure(config, model_class), Config(found.text)
