"""Scoring with any causal language model of `transformers`: token ids in, log-probabilities of exactly those ids out."""

import copy
import inspect
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2m.base.devices import DEVICE_MAPS, pick_device, pick_dtype
from l2m.base.hub import one_line, reading
from l2m.errors import InputError
from l2m.scoring.model_source import ModelSource
from l2m.scoring.scorer import out_of_memory, rounding_of

# What a forward pass calls the state it takes and gives back; transformers has not settled on one name.
_CACHE_NAMES = ("past_key_values", "cache", "cache_params", "state")
# Logits that exist at once. 32 MiB of float32 stay near the caches of a CPU; a GPU wants larger matrix products.
_LOGITS_AT_ONCE = {"cpu": 1 << 23, "gpu": 1 << 28}
# On a CPU larger batches gain nothing, and a pass should end soon enough to show progress.
_CPU_TOKENS = 4096
# Logits that may exist at once for a comparison, or where a model's head cannot be applied in pieces: 1 GiB of float32.
_MOST_LOGITS = 1 << 28
# Numbers of a model that the self-test converts to double precision: 4 GiB more while it runs.
_MOST_DOUBLED = 1 << 30
# Tokens and pieces of the check of the head; differences in nats that are rounding.
_CHECKED_TOKENS, _CHECKED_PIECE, _SAME = 24, 7, 1e-5


class _State(NamedTuple):
    """What the model has read: `cache` holds all of it but the last token, `last` (batch, 1), which is the next input."""

    cache: Any
    last: Any


class LanguageModel:
    """A scorer (see `l2m.scoring.scorer.Scorer`) over a `transformers` model.

    Args:
        model: any causal language model: quantized, on a CPU, on a GPU, spread over several by a device map.
        start_token: id that comes before every text.
        settings: what identifies the model in a score store.
        context: longest input the model takes, start token included; None for no limit.
    """

    def __init__(
        self, model: Any, start_token: int, *, settings: Mapping[str, Any], context: int | None = None
    ) -> None:
        self.model = model.eval()
        self.settings = {**settings, "start_token": start_token}
        self.context = context
        name = settings.get("name")
        if getattr(model.config, "is_encoder_decoder", False):
            raise InputError(f"{name}: an encoder-decoder; expected a causal language model")
        with reading(f"{name}: no table of input embeddings; expected a causal language model"):
            self.vocab_size = int(model.get_input_embeddings().weight.shape[0])
        if not 0 <= start_token < self.vocab_size:
            raise InputError(f"start_token: {start_token}; {name} knows ids from 0 to {self.vocab_size - 1}")
        self._start = start_token
        parameters = inspect.signature(model.forward).parameters
        self._cache_name = next((name for name in _CACHE_NAMES if name in parameters), None)
        self._base = model.base_model if getattr(model, "base_model", model) is not model else None
        self._caches = True
        self.head_in_pieces = self._try_pieces()

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

        number = getattr(model.config, "bos_token_id", None) if start_token is None else start_token
        if isinstance(number, str) and number.isdecimal():
            number = int(number)
        if isinstance(number, bool) or not isinstance(number, int):
            raise InputError(f"start_token: {number!r} for a model in memory; expected the id of its start token")
        context = getattr(model.config, "max_position_embeddings", None)
        settings = {
            "model": json_hash(
                {"config": model.config.to_json_string(use_diff=False), "weights": _weights_hash(model)}
            ),
            "name": type(model).__name__,
            "dtype": str(model.dtype).removeprefix("torch."),
            "start_token_reason": "the model's own" if start_token is None else "named by the user",
        }
        return cls(
            model, number, settings=settings, context=context if isinstance(context, int) and context > 0 else None
        )

    def log_prob(self, tokens: NDArray[Any], state: Any = None) -> tuple[NDArray[np.float32], Any]:
        """log q of each token given all before it, and the state after the last. See `l2m.scoring.scorer.Scorer`."""
        values, state = self._run(tokens, state, _of_targets)
        return values, state

    def log_prob_and_entropy(
        self, tokens: NDArray[Any], state: Any = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], Any]:
        """`log_prob`, and the entropy of each prediction, from the same logits in float32 (float64 of a model in float64)."""
        both, state = self._run(tokens, state, _of_targets_and_entropy)
        return both[..., 0], both[..., 1], state

    def _run(self, tokens: NDArray[Any], state: Any, reduce: Any) -> tuple[NDArray[np.float32], Any]:
        """What `reduce` makes of the logits of each token, and the state after the last."""
        import torch

        with torch.inference_mode():
            ids = torch.as_tensor(tokens.astype(np.int64), device=self.model.get_input_embeddings().weight.device)
            last = ids.new_full((len(ids), 1), self._start) if state is None else state.last
            # Copied, because a forward pass writes into the state it is given, and one X is continued by several Y.
            cache = copy.deepcopy(state.cache) if state is not None else None
            options: dict[str, Any] = {"use_cache": self._caches}
            if cache is not None and self._cache_name is not None:
                options[self._cache_name] = cache
            inputs = torch.cat([last, ids[:, :-1]], 1)
            run = self._in_pieces if self.head_in_pieces else self._at_once
            try:
                values, cache = run(inputs, ids, options, reduce)
            except Exception as error:
                if state is not None or out_of_memory(error):
                    raise
                raise InputError(
                    f"{self.settings.get('name')}: cannot be run on {ids.shape[1]} token ids ({type(error).__name__}: {one_line(error)})"
                ) from error
            return values.cpu().numpy(), _State(cache, ids[:, -1:])

    def plain(self, tokens: NDArray[Any]) -> NDArray[np.float32]:
        """`log_prob` by one forward pass without a cache, all logits at once; as `log_prob` where they would not fit."""
        import torch

        if tokens.size * self.vocab_size > _MOST_LOGITS:
            return self.log_prob(tokens)[0]
        with torch.inference_mode():
            ids = torch.as_tensor(tokens.astype(np.int64), device=self.model.get_input_embeddings().weight.device)
            inputs = torch.cat([ids.new_full((len(ids), 1), self._start), ids[:, :-1]], 1)
            values, _ = self._at_once(inputs, ids, {"use_cache": False}, _of_targets)
            return np.asarray(values.cpu().numpy())

    def precise(self, tokens: NDArray[Any]) -> NDArray[np.float64] | None:
        """`plain` in double precision; None where the weights are not all float32, or too large to be held twice as wide for it.

        Converted there and back, float32 weights are the same to the last bit.
        """
        import torch

        values = [*self.model.parameters(), *self.model.buffers()]
        floating = [value for value in values if value.is_floating_point()]
        single = all(value.dtype == torch.float32 and value.device.type != "mps" for value in floating)
        if not single or sum(value.numel() for value in floating) > _MOST_DOUBLED:
            return None
        try:
            self.model.double()
            with torch.inference_mode():
                ids = torch.as_tensor(tokens.astype(np.int64), device=self.model.get_input_embeddings().weight.device)
                inputs = torch.cat([ids.new_full((len(ids), 1), self._start), ids[:, :-1]], 1)
                found, _ = self._at_once(inputs, ids, {"use_cache": False}, _of_targets)
                return np.asarray(found.cpu().numpy(), np.float64)
        except Exception as error:  # of models with parts that take float32 alone
            _raise_if_memory(error)
            return None
        finally:
            self.model.float()

    def _at_once(self, inputs: Any, targets: Any, options: dict[str, Any], reduce: Any) -> tuple[Any, Any]:
        outputs = self.model(input_ids=inputs, return_dict=True, **options)
        return reduce(outputs.logits, targets), self._cache_of(outputs)

    def _in_pieces(
        self, inputs: Any, targets: Any, options: dict[str, Any], reduce: Any, step: int | None = None
    ) -> tuple[Any, Any]:
        """The base over all positions, the head over a few at a time, so that few logits exist at once.

        Right only for models whose forward calls its `base_model` once and its head on what that returns: see `_try_pieces`.
        """
        import torch

        assert self._base is not None
        outputs = self._base(input_ids=inputs, return_dict=True, **options)
        hidden = outputs[0]
        batch, length = inputs.shape
        kind = "cpu" if hidden.device.type == "cpu" else "gpu"
        step = step or max(1, _LOGITS_AT_ONCE[kind] // (batch * self.vocab_size))
        parts = []
        for start in range(0, length, step):
            piece = slice(start, start + step)
            # The model's own forward makes the logits, so that whatever it does to them (scaling, soft caps) is done;
            # only its base is replaced, by one that hands over the hidden states of this piece.
            with _replaced(self._base, _with_hidden(outputs, hidden[:, piece])):
                logits = self.model(input_ids=inputs[:, piece], use_cache=False, return_dict=True).logits
            parts.append(reduce(logits, targets[:, piece]))
        return torch.cat(parts, 1), self._cache_of(outputs)

    def _try_pieces(self) -> bool:
        """Whether pieces give what one plain pass gives. Some models do not call their `base_model` but a part of it (OPT, BART
        and relatives: 6.8 nats off), an adapter's is the whole model.

        Raises:
            InputError: the model gives no logits, or none for each id.
        """
        import torch

        length = min(_CHECKED_TOKENS, self.context or _CHECKED_TOKENS)
        device = self.model.get_input_embeddings().weight.device
        ids = torch.randint(self.vocab_size, (1, length), generator=torch.Generator().manual_seed(0)).to(device)
        inputs = torch.cat([ids.new_full((1, 1), self._start), ids[:, :-1]], 1)
        name = self.settings.get("name")
        with torch.inference_mode():
            with reading(f"{name}: cannot be run on token ids alone"):
                logits = getattr(self.model(input_ids=inputs, use_cache=False, return_dict=True), "logits", None)
            if logits is None or logits.dim() != 3 or logits.shape[1] != length:
                raise InputError(
                    f"{name}: gives no logits for each token; expected a causal language model with its head"
                )
            # Ids beyond the head's rows have no odds.
            self.vocab_size = min(self.vocab_size, int(logits.shape[2]))
            ids = ids.clamp(max=self.vocab_size - 1)
            try:
                self.model(input_ids=inputs, use_cache=True, return_dict=True)
            except Exception as error:  # of a cache that cannot hold this model's layers: it is run without one
                _raise_if_memory(error)
                self._caches = False
            if self._base is None:
                return False
            plain = _of_targets(logits, ids)
            try:
                pieces, _ = self._in_pieces(inputs, ids, {"use_cache": False}, _of_targets, step=_CHECKED_PIECE)
            except Exception as error:  # whatever a model's own code raises when it is called like this
                _raise_if_memory(error)
                return False
        allowed = max(_SAME, 4 * rounding_of(self, plain.cpu().numpy()))
        return bool(float((plain - pieces).abs().max()) <= allowed)

    def _cache_of(self, outputs: Any) -> Any:
        return getattr(outputs, self._cache_name, None) if self._cache_name is not None else None

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
        most = 1 << 18 if self.head_in_pieces else max(1, _MOST_LOGITS // self.vocab_size)
        if device.type != "cuda":
            return min(_CPU_TOKENS, most)
        free, _ = torch.cuda.mem_get_info(device)
        logits = 3 * 4 * _LOGITS_AT_ONCE["gpu"]
        per_token = _bytes_per_token(self.model.config, self.model.dtype.itemsize)
        return int(min(most, max(1024, (0.7 * free - logits) / (1.5 * per_token))))


def estimate(model: Any, tokens: int, device: str | None, dtype: Any, budget: int | None) -> dict[str, Any]:
    """Parameters, memory in bytes and seconds that `tokens` cost; the weights of a `ModelSource` are not loaded."""
    import time

    import torch
    from transformers import AutoModelForCausalLM

    if isinstance(model, ModelSource):
        config = model.transformers_config()
        with reading(f"{model.name}: cannot be built as a causal language model"), torch.device("meta"):
            module = AutoModelForCausalLM.from_config(config, trust_remote_code=model.trust_remote_code)
    else:
        config, module = model.config, model
    device, dtype = pick_device(device, maps=True), pick_dtype(dtype)
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


def _raise_if_memory(error: Exception) -> None:
    if out_of_memory(error):
        raise error


def _of_targets(logits: Any, targets: Any) -> Any:
    """log q of the targets, of their shape."""
    import torch

    flat = (logits if logits.dtype == torch.float64 else logits.float()).flatten(0, 1)
    losses = torch.nn.functional.cross_entropy(flat, targets.flatten().to(flat.device), reduction="none")
    return -losses.view(targets.shape)


def _of_targets_and_entropy(logits: Any, targets: Any) -> Any:
    """log q of the targets, to the same bits as `_of_targets`, and the entropy of q; a last axis of two."""
    import torch

    values = _of_targets(logits, targets)
    q = torch.softmax(logits if logits.dtype == torch.float64 else logits.float(), -1)
    entropy = torch.special.entr(q, out=q).sum(-1)  # -q log q is never negative: nothing cancels in the sum
    return torch.stack([values, entropy], -1)


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
