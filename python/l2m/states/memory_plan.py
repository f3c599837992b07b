"""Will it fit? Weights and history state of a model in an engine, and what a memory budget leaves room for."""

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

from l2m.base import checks
from l2m.base.numbers import short
from l2m.base.records import Record
from l2m.errors import InputError
from l2m.states.engines import ENGINES, Kinds, Reserved, Sizing, in_engines, kinds_of, sizing, vllm_pages
from l2m.states.history_state import HistoryState, Weights, history_state, model_weights
from l2m.states.history_state.state import LONGEST_LENGTH

MOST_SEQUENCES = 10**9
LARGEST_MEMORY = 10**15


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MemoryPlan(Record):
    """A model's memory in an engine: bytes by length and batch, and the inverse, exact.

    A length counts the tokens of one sequence, prompt and answer together; a batch, the sequences held at once.

    Attributes:
        state: the history state.
        weights: the weights (None: not counted).
        engine: "transformers", "vllm", "llama.cpp" or "sglang": whose convention counts.
        block, chunk: tokens a page holds; tokens processed at once (`l2m.states.engines` gives each engine's default).
        full_windows: attention windows hold every token.
        cache_bits: bits per number of keys and values in this engine.
        reserve: bytes kept free, for activations and the process itself.
    """

    kind: ClassVar[str] = "memory_plan"

    state: HistoryState
    weights: Weights | None = None
    engine: str = "transformers"
    block: int = 1
    chunk: int = 1
    full_windows: bool = False
    cache_bits: float = 16.0
    reserve: int = 0

    def __post_init__(self) -> None:
        checks.one_of("engine", self.engine, ENGINES)
        checks.whole("block", self.block, 1, 2**20)
        checks.whole("chunk", self.chunk, 1, 2**24)
        checks.whole("reserve", self.reserve, 0, LARGEST_MEMORY)
        if not 0 < self.cache_bits <= 128:
            raise InputError(f"cache_bits: {self.cache_bits!r}; expected above 0, at most 128")
        if self.engine != "transformers" and not all(map(in_engines, self.state.memories)):
            raise InputError(
                f"engine: {self.engine}; {self.state.family} runs in none of these engines, expected transformers"
            )

    def _brief(self) -> str:
        weights = "no weights" if self.weights is None else f"{short(self.weights.bytes)} bytes of weights"
        return f"{self.state.name} in {self.engine}: {weights}, {short(self.reserved(8192).total)} bytes of state at 8,192 tokens"

    def reserved(self, length: int, batch: int = 1) -> Reserved:
        """Bytes reserved for `batch` sequences of `length` tokens: `.attention`, `.recurrent` and their `.total`.

        Raises:
            InputError: a length that is not a whole number from 0 to 10^15, a batch not from 1 to 10^9.
        """
        length = checks.whole("length", length, 0, LONGEST_LENGTH)
        batch = checks.whole("batch", batch, 1, MOST_SEQUENCES)
        return ENGINES[self.engine].reserve(self._kinds, length, batch, self._sizing)

    def bytes(self, length: int, batch: int = 1) -> int:
        """Bytes for weights, `batch` states of `length` tokens, and `reserve`. Weights that were not counted are left out."""
        return self.fixed_bytes + self.reserved(length, batch).total

    @property
    def fixed_bytes(self) -> int:
        """Bytes taken before the first token: weights and `reserve`."""
        return self.reserve + (self.weights.bytes if self.weights else 0)

    def longest_length(self, memory: int | str, batch: int = 1) -> float:
        """Most tokens each of `batch` sequences may have in `memory` bytes; infinite where any number fits.

        Args:
            memory: bytes, or a size such as "24GB" or "22GiB".

        Returns:
            A whole number of tokens; 0 where not even one fits. The model's positions are not considered.
        """
        budget, batch = _budget(memory), checks.whole("batch", batch, 1, MOST_SEQUENCES)
        return _most(lambda length: self.bytes(length, batch) <= budget, LONGEST_LENGTH)

    def most_sequences(self, memory: int | str, length: int) -> float:
        """Most sequences of `length` tokens that `memory` bytes hold at once; infinite where any number fits, 0 where none."""
        budget, length = _budget(memory), checks.whole("length", length, 1, LONGEST_LENGTH)
        return _most(lambda batch: self.bytes(length, batch) <= budget, MOST_SEQUENCES)

    def read_per_token(self, length: int, batch: int = 1) -> float:
        """Bytes read for each token generated after `length` tokens: the states, and the weights, which a batch shares.

        At the most: sparse attention reads less of its cache, and a batch's tokens may choose the same experts.
        """
        length, batch = (
            checks.whole("length", length, 0, LONGEST_LENGTH),
            checks.whole("batch", batch, 1, MOST_SEQUENCES),
        )
        used = Sizing(bits=self.state.bits, cache_bits=self.cache_bits, block=1, chunk=1)
        state = ENGINES["transformers"].reserve(self._kinds, length, 1, used).total
        return state + (self.weights.read(batch) / batch if self.weights else 0)

    @property
    def bytes_per_token(self) -> float:
        """Bytes a token takes in all layers with attention, windows included, as long as it is in every window.

        What a log of vLLM up to 0.2x divides memory by for "GPU KV cache size: N tokens", hybrids of states apart.
        """
        if self.engine == "vllm":
            pages = vllm_pages(
                tuple((memory, n) for memory, n in self._kinds if memory.growth != "fixed"), self._sizing
            )
            return sum(pages.block_bytes * count / tokens for tokens, _, count in pages.groups if tokens)
        grown = [(m, n) for m, n in self._kinds if m.growth == "token"]
        return sum(n * m.numbers / m.stride * self._cache_bits_of(m) / 8 for m, n in grown)

    def _cache_bits_of(self, memory: Any) -> float:
        return self.cache_bits if memory.bits is None else float(memory.bits)

    @cached_property
    def _kinds(self) -> Kinds:
        return kinds_of(self.state)

    @cached_property
    def _sizing(self) -> Sizing:
        return sizing(
            ENGINES[self.engine], self.state, block=self.block, chunk=self.chunk, full_windows=self.full_windows,
            cache_bits=self.cache_bits,
        )  # fmt: skip


def memory_plan(
    model: Any,
    *,
    engine: str = "transformers",
    weights: bool = True,
    dtype: str | float | None = None,
    cache_dtype: str | float | None = None,
    weights_dtype: str | float | None = None,
    block: int | None = None,
    chunk: int | None = None,
    full_windows: bool = False,
    reserve: int | str = 0,
) -> MemoryPlan:
    """Memory that a model takes in an engine, by length and batch, and what fits into a budget.

    Args:
        model: what `l2m.history_state` takes. Weights are known for models of the catalogue and GGUF files; for others
            the class in `transformers` is built on the meta device, which takes seconds. A `HistoryState` has none.
        engine: whose convention counts: "transformers", "vllm", "llama.cpp" or "sglang".
        weights: count the weights too.
        dtype, cache_dtype: precision of the states, as for `l2m.history_state`.
        weights_dtype: precision of the weights: a name, or bits per parameter ("q4_k", 4.85). Default: that of the
            checkpoint or file.
        block: tokens a page holds. Default: vLLM 16, SGLang 1; llama.cpp pads to 256.
        chunk: tokens processed at once, which windows hold meanwhile: vLLM's max_num_batched_tokens (2,048), llama.cpp's
            ubatch (512).
        full_windows: windows hold every token (vLLM's --disable-hybrid-kv-cache-manager, llama.cpp's --swa-full,
            SGLang's --disable-hybrid-swa-memory).
        reserve: bytes to leave free for activations and the process, or a size such as "2GB".

    Returns:
        A plan: `reserved`, `bytes` and `read_per_token` by length and batch; `longest_length` and `most_sequences` of a budget.

    Raises:
        InputError: what `history_state` raises; an engine that is not known; weights that cannot be counted.

    Example:
        >>> plan = l2m.memory_plan("google/gemma-3-1b-it", engine="vllm")
        >>> plan.weights.parameters, plan.reserved(32_768).total
        (999885952, 247857152)
        >>> plan.longest_length("8GB", batch=4)
        338480
    """
    convention = ENGINES[checks.one_of("engine", engine, ENGINES)]
    state = history_state(model, dtype=dtype, cache_dtype=cache_dtype)
    counted = None
    if weights and not isinstance(model, HistoryState):
        counted = model_weights(model, weights_dtype)
    own_precision = dtype is not None or cache_dtype is not None or convention.cache_bits is None
    return MemoryPlan(
        state=state,
        weights=counted,
        engine=engine,
        block=convention.block if block is None else block,
        chunk=convention.chunk if chunk is None else chunk,
        full_windows=full_windows,
        cache_bits=state.cache_bits if own_precision or convention.cache_bits is None else convention.cache_bits,
        reserve=0 if reserve in (0, "0") else _budget(reserve, "reserve"),
    )


def _budget(memory: int | str, argument: str = "memory") -> int:
    size = checks.memory(memory, argument)
    if size is None or size > LARGEST_MEMORY:
        raise InputError(f"{argument}: {memory!r}; expected bytes up to 1 PB, or a size such as 24GB")
    return size


def _most(fits: Callable[[int], bool], bound: int) -> float:
    """Largest n up to `bound` with fits(n), which holds up to some n and fails from there on; infinite where it never fails."""
    if not fits(1):
        return 0
    low, high = 1, 2
    while high < bound and fits(high):
        low, high = high, 2 * high
    high = min(high, bound)
    if fits(high):
        return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
