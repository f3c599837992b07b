"""The history state of any causal model of `transformers`, measured: built on the meta device, run, its cache weighed.

The meta device computes shapes and no numbers, so a model of any size is built and run in about a second without its
weights. Nothing here is a formula; the matrix test holds the formulas against it.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from l2m.errors import InputError
from l2m.states.history_state.state import Memory

# Where models of transformers 5 return what they keep; newest name first (older ones warn).
CACHE_FIELDS = ("cache", "past_key_values", "cache_params", "state", "mems")
SHORT_LENGTHS = (1, 2, 3, 5, 9)


def runnable(whole: Any, text: Any, model_class: Any = None) -> tuple[Any, Any]:
    """The config to build a model of, and its class: the language model alone where it has one, else all of the model.

    Args:
        whole, text: `transformers` configs of the model and of its language model.
        model_class: the class of a module that was given: then that.

    Raises:
        InputError: no class of `transformers` reads text with it and predicts the next token.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM

    if model_class is not None:
        return whole, model_class
    for config in (text, whole):
        for auto in (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM):
            if type(config) in auto._model_mapping:
                return config, auto._model_mapping[type(config)]
    raise InputError(f"config: {text.model_type} is not a causal language model; expected one")


def measure(config: Any, model_class: Any = None, *, device: str = "meta") -> tuple[Memory, ...]:
    """Memories of a model with this `transformers` config, from runs at several lengths.

    Args:
        config: of the model to build.
        model_class: its class; None: the causal one that `transformers` has for the config.

    Raises:
        InputError: the model cannot be built or run on the meta device, returns no cache, or its cache grows in a way
            that is neither fixed, nor per token, nor per token up to a window.
    """
    model = build(config, model_class, device=device)
    runs = {length: weigh(model, length, device=device) for length in _lengths(config)}
    keys = {key for run in runs.values() for key in run}
    memories = []
    for key in sorted(keys, key=str):
        sizes = {length: run.get(key, (0, 16))[0] for length, run in runs.items()}
        bits = max(run[key][1] for run in runs.values() if key in run)
        memories.append(_memory(key, sizes, None if bits == 16 else float(bits)))
    if not memories:
        raise InputError(f"{config.model_type}: the model returns no cache; expected one (register a formula instead)")
    return tuple(memories)


def build(config: Any, model_class: Any = None, *, device: str = "meta") -> Any:
    """The model in bfloat16 with eager attention, on the meta device (or on a real one: a small model)."""
    import torch

    with _quietly(config.model_type, device), torch.device(device):
        if model_class is None:
            config, model_class = runnable(config, config.get_text_config(decoder=True))
        return model_class._from_config(config, dtype=torch.bfloat16, attn_implementation="eager").eval()


def weigh(model: Any, length: int, *, device: str = "meta") -> dict[tuple[Any, ...], tuple[int, int]]:
    """Where in the cache -> (numbers, bits per number) after one pass over `length` tokens."""
    import torch

    with _quietly(model.config.model_type, device), torch.no_grad(), torch.device(device):
        output = model(input_ids=torch.ones((1, length), dtype=torch.long), use_cache=True)
    cache = next((output[name] for name in CACHE_FIELDS if output.get(name) is not None), None)
    weights: dict[tuple[Any, ...], tuple[int, int]] = {}
    seen: set[Any] = set()
    for path, tensor in _tensors(cache, (), set()):
        # Integer tensors are bookkeeping; the same piece of one storage held twice is one piece.
        piece = (tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.shape, tensor.stride())
        if tensor.is_floating_point() and piece not in seen:
            seen.add(piece)
            weights[path] = (tensor.numel(), tensor.dtype.itemsize * 8)
    return weights


def _tensors(value: Any, path: tuple[Any, ...], seen: set[int]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors(item, (*path, key), seen)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _tensors(item, (*path, index), seen)
    elif type(value).__module__.startswith("transformers") and id(value) not in seen and not _is_config(value):
        seen.add(id(value))
        yield from _tensors(vars(value), path, seen)


def _is_config(value: Any) -> bool:
    return hasattr(value, "get_text_config") or not hasattr(value, "__dict__")


def _memory(key: tuple[Any, ...], sizes: dict[int, int], bits: float | None) -> Memory:
    layer = next((part for part in key if isinstance(part, int)), 0)
    name = next((part for part in reversed(key) if isinstance(part, str)), "state")
    longest = max(sizes)
    held = sizes[longest]
    if all(size == held for size in sizes.values()):
        part = "convolution" if "conv" in name else "recurrent"
        return Memory(layer, part, "fixed", held, bits=bits)
    numbers = sizes[1]
    for limit in (None, *range(held // max(numbers, 1), 0, -1)) if numbers else ():
        if all(size == numbers * (n if limit is None else min(n, limit)) for n, size in sizes.items()):
            return Memory(layer, "attention", "token", numbers, limit, bits=bits)
        if limit is not None:
            break
    shown = ", ".join(f"{n}: {size}" for n, size in sorted(sizes.items()))
    raise InputError(
        f"{'.'.join(map(str, key))}: numbers held by length are {shown}; expected a fixed size, one per token or a "
        "window (register a formula instead)"
    )


def _lengths(config: Any) -> Sequence[int]:
    """Short lengths, and one on each side of every window the config names."""
    named = [
        value
        for name, value in vars(config.get_text_config(decoder=True)).items()
        if ("window" in name or "chunk" in name) and isinstance(value, int) and not isinstance(value, bool)
    ]
    beyond = {length for window in named if 0 < window <= 1 << 17 for length in (window - 1, window, window + 3)}
    return sorted({*SHORT_LENGTHS, *(length for length in beyond if length > 0)})


@contextmanager
def _quietly(name: str, device: str) -> Iterator[None]:
    """What a model class warns about does not concern the shape of its cache; what it raises is bad input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{name}: cannot be run on the {device} device ({type(error).__name__}: {reason}); expected a causal "
                "model that can (register a formula instead)"
            ) from None
