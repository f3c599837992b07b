"""Scoring with any causal language model of `transformers`: token ids in, log-probabilities of exactly those ids out."""

import copy
import inspect
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2m.base.hub import quiet_transformers
from l2m.errors import InputError
from l2m.scoring.model_source import DEVICE_MAPS, ModelSource, checked_device, checked_dtype

# What a forward pass calls the state it takes and gives back; transformers has not settled on one name.
_CACHE_NAMES = ("past_key_values", "cache", "cache_params", "state")
# Logits that exist at once. 32 MiB of float32 stay near the caches of a CPU; a GPU wants larger matrix products.
_LOGITS_AT_ONCE = {"cpu": 1 << 23, "gpu": 1 << 28}
# On a CPU larger batches gain nothing, and a pass should end soon enough to show progress.
_CPU_TOKENS = 4096


class _State(NamedTuple):
    """What the model has read: `cache` holds all of it but the last token, `last` (batch, 1), which is the next input."""

    cache: Any
    last: Any


class LanguageModel:
    """A scorer (see `l2m.scoring.Scorer`) over a `transformers` model.

    Args:
        model: any causal language model: quantized, on a CPU, on a GPU, spread over several by a device map.
        start_token: id that stands before every text.
        settings: what identifies the model in a score store.
        context: longest input the model takes, start token included; None for no limit.
    """

    def __init__(
        self, model: Any, start_token: int, *, settings: Mapping[str, Any], context: int | None = None
    ) -> None:
        self.model = model.eval()
        self.settings = {**settings, "start_token": start_token}
        self.context = context
        self.vocab_size = int(model.get_input_embeddings().weight.shape[0])
        # Where attention is cut off, the self-test has to look beyond.
        self.sliding_window = int(getattr(model.config.get_text_config(), "sliding_window", None) or 0)
        self._start = start_token
        parameters = inspect.signature(model.forward).parameters
        self._cache_name = next((name for name in _CACHE_NAMES if name in parameters), None)
        self._head = model.get_output_embeddings()
        self._base = model.base_model if model.base_model is not model else None

    @classmethod
    def load(
        cls, source: ModelSource, *, device: str | None = None, dtype: Any = None, start_token: str | int | None = None
    ) -> "LanguageModel":
        """Load the weights of a model that `resolve_model` found."""
        number, name, why = source.start_token(start_token)
        model = source.load(device=device, dtype=dtype)
        settings = {
            "model": source.hash,
            "name": source.name,
            "dtype": str(model.dtype).removeprefix("torch."),
            "tokenizer": source.tokenizer_hash,
            "start_token_name": name,
            "start_token_reason": why,
        }
        return cls(model, number, settings=settings, context=source.context)

    @classmethod
    def of_instance(cls, model: Any, *, start_token: str | int | None = None) -> "LanguageModel":
        """A model that is in memory already; its weights are hashed, its config names the start token.

        Raises:
            InputError: the config has no `bos_token_id` and no id is given.
        """
        from l2m.base.files import json_hash

        number = model.config.bos_token_id if start_token is None else start_token
        if not isinstance(number, int):
            raise InputError(f"start_token: {number!r} for a model in memory; expected the id of its start token")
        settings = {
            "model": json_hash(
                {"config": model.config.to_json_string(use_diff=False), "weights": _weights_hash(model)}
            ),
            "name": type(model).__name__,
            "dtype": str(model.dtype).removeprefix("torch."),
            "start_token_reason": "the model's own" if start_token is None else "named by the user",
        }
        return cls(model, number, settings=settings, context=getattr(model.config, "max_position_embeddings", None))

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        """log q of each token given all before it, and the state after the last. See `l2m.scoring.Scorer`."""
        import torch

        with torch.inference_mode():
            ids = torch.as_tensor(tokens.astype(np.int64), device=self.model.get_input_embeddings().weight.device)
            last = ids.new_full((len(ids), 1), self._start) if state is None else state.last
            # Copied, because a forward pass writes into the state it is given, and one X is continued by several Y.
            cache = copy.deepcopy(state.cache) if state is not None else None
            options: dict[str, Any] = {"use_cache": True}
            if cache is not None and self._cache_name is not None:
                options[self._cache_name] = cache
            values, cache = self._forward(torch.cat([last, ids[:, :-1]], 1), ids, options)
            return values.cpu().numpy(), _State(cache, ids[:, -1:])

    def _forward(self, inputs: Any, targets: Any, options: dict[str, Any]) -> tuple[Any, Any]:
        import torch

        if self._base is None:
            outputs = self.model(input_ids=inputs, return_dict=True, **options)
            values = _of_targets(outputs.logits, targets)
        else:
            outputs = self._base(input_ids=inputs, return_dict=True, **options)
            hidden = outputs[0]
            batch, length = inputs.shape
            kind = "cpu" if hidden.device.type == "cpu" else "gpu"
            step = max(1, _LOGITS_AT_ONCE[kind] // (batch * self.vocab_size))
            parts = []
            for start in range(0, length, step):
                piece = slice(start, start + step)
                # The model's own forward makes the logits, so that whatever it does to them (scaling, soft caps) is done;
                # only its base is replaced, by one that hands over the hidden states of this piece.
                with _replaced(self._base, _with_hidden(outputs, hidden[:, piece])):
                    logits = self.model(input_ids=inputs[:, piece], use_cache=False, return_dict=True).logits
                parts.append(_of_targets(logits, targets[:, piece]))
            values = torch.cat(parts, 1)
        cache = outputs.get(self._cache_name) if self._cache_name is not None else None
        return values, cache

    @property
    def platform(self) -> dict[str, str]:
        """What the numbers were computed on and with."""
        import torch
        import transformers

        device = self.model.get_input_embeddings().weight.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return {"device": name, "torch": torch.__version__, "transformers": transformers.__version__}

    def token_budget(self) -> int:
        """Tokens one forward pass should hold: from free memory on a GPU."""
        import torch

        device = self.model.get_input_embeddings().weight.device
        if device.type != "cuda":
            return _CPU_TOKENS
        free, _ = torch.cuda.mem_get_info(device)
        logits = 3 * 4 * _LOGITS_AT_ONCE["gpu"]
        per_token = _bytes_per_token(self.model.config, self.model.dtype.itemsize)
        return int(min(1 << 18, max(1024, (0.7 * free - logits) / (1.5 * per_token))))


def estimate(model: Any, tokens: int, device: str | None, dtype: Any, budget: int | None) -> dict[str, Any]:
    """Parameters, memory in bytes and seconds that `tokens` cost; the weights of a `ModelSource` are not loaded."""
    import time

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if isinstance(model, ModelSource):
        config = AutoConfig.from_pretrained(model.folder)
        with torch.device("meta"), quiet_transformers():
            module = AutoModelForCausalLM.from_config(config)
    else:
        config, module = model.config, model
    device, dtype = checked_device(device), checked_dtype(dtype)
    place = torch.device("cuda" if device in DEVICE_MAPS else device)
    if dtype is None:
        dtype = torch.float32 if place.type == "cpu" else getattr(config, "dtype", None) or torch.bfloat16
    parameters = sum(parameter.numel() for parameter in module.parameters())
    size = 1024 if place.type == "cpu" else 8192
    matrix = torch.ones(size, size, dtype=dtype, device=place)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        float((matrix @ matrix)[0, 0])
        seconds.append(time.perf_counter() - start)
    logits = 3 * 4 * _LOGITS_AT_ONCE["cpu" if place.type == "cpu" else "gpu"]
    batch = (budget or _CPU_TOKENS) * _bytes_per_token(config, dtype.itemsize)
    return {
        "parameters": parameters,
        "memory_bytes": parameters * dtype.itemsize + batch + logits,
        "seconds": tokens * parameters * min(seconds) / size**3,
    }


def _bytes_per_token(config: Any, itemsize: int) -> int:
    """Keys and values of every layer (at most 2 * width each), and one layer's activations."""
    text = config.get_text_config()
    width, layers = int(text.hidden_size), int(text.num_hidden_layers)
    inner = int(getattr(text, "intermediate_size", None) or 4 * width)
    return (2 * width * layers + 8 * width + 3 * inner) * itemsize


def _of_targets(logits: Any, targets: Any) -> Any:
    import torch

    flat = logits.float().flatten(0, 1)
    losses = torch.nn.functional.cross_entropy(flat, targets.flatten().to(flat.device), reduction="none")
    return -losses.view(targets.shape)


def _with_hidden(outputs: Any, hidden: Any) -> Any:
    changed = copy.copy(outputs)
    changed["last_hidden_state"] = hidden
    return changed


@contextmanager
def _replaced(module: Any, outputs: Any) -> Any:
    """`module(...)` returns `outputs`, whatever it is called with."""
    before = module.__dict__.get("forward")
    module.forward = lambda *arguments, **options: outputs
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before


def _weights_hash(model: Any) -> str:
    import torch
    from blake3 import blake3

    digest = blake3()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
