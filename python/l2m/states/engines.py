"""What inference engines reserve for the history states of their sequences: pages, padding and precision, by their source.

    transformers 5.24.0  a DynamicCache holds what the model's class stores (docs/memory-matrix.md)
    vLLM 0.33.0          vllm/v1/core/kv_cache_planning.py (groups, pages), vllm/v1/kv_cache_interface.py (pages a
                         sequence), vllm/platforms/interface.py (blocks of hybrids)
    llama.cpp 0054ee8c   src/llama-kv-cache-iswa.cpp (windows), src/llama-memory-recurrent.cpp and src/llama-hparams.cpp
                         (states), src/llama-context.cpp (padding); one cache for all sequences, as llama-server has it
                         unless --parallel is given
    SGLang 003fca80      python/sglang/srt/model_executor/pool_configurator.py (pools),
                         python/sglang/srt/configs/mamba_utils.py (states)

Activations, CUDA graphs and what a process takes besides are not counted. One device; no speculative decoding.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from l2m.states.history_state import HistoryState, Memory

VLLM_FLOAT32 = frozenset({"qwen3_5_text", "qwen3_5_moe_text", "kimi_linear", "bailing_hybrid", "nemotron_h"})
"""Families whose recurrent states vLLM keeps in float32; those of the others have the model's precision."""
LATENT = frozenset({"kimi_linear", "bailing_hybrid"})
"""Hybrids with latent attention."""
Kinds = tuple[tuple[Memory, int], ...]
"""A state's memories, each with the number of layers that have one like it."""


@dataclasses.dataclass(frozen=True)
class Reserved:
    """Bytes reserved for a batch: for keys and values, and for recurrent states with their convolutions."""

    attention: int
    recurrent: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.attention + self.recurrent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sizing:
    """How a state is laid out.

    Attributes:
        bits, cache_bits: bits per number of recurrent states and of keys and values where a memory fixes none.
        block: tokens that a page holds, or that a length is padded to.
        chunk: tokens processed at once: meanwhile windows hold them besides their own.
        full_windows: windows hold every token: vLLM's --disable-hybrid-kv-cache-manager, llama.cpp's --swa-full,
            SGLang's --disable-hybrid-swa-memory.
        float32_states: recurrent states that the model's class keeps in float32 stay so.
        latent: keys and values are latent vectors.
    """

    bits: float
    cache_bits: float
    block: int
    chunk: int
    full_windows: bool = False
    float32_states: bool = True
    latent: bool = False


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine's convention: what it reserves for `batch` sequences of `length` tokens, and the defaults of its options."""

    name: str
    source: str
    reserve: Callable[[Kinds, int, int, Sizing], Reserved]
    block: int = 1
    chunk: int = 1
    cache_bits: float | None = None


def kinds_of(state: HistoryState) -> Kinds:
    """The memories of a state, equal ones of different layers counted together."""
    kinds: dict[tuple[object, ...], tuple[Memory, int]] = {}
    for memory in state.memories:
        key = (
            *(memory.part, memory.growth, memory.numbers, memory.limit, memory.stride),
            *(memory.least_numbers, memory.least_limit, memory.bits),
        )
        kinds[key] = (memory, kinds.get(key, (memory, 0))[1] + 1)
    return tuple(kinds.values())


def sizing(
    engine: Engine, state: HistoryState, *, block: int, chunk: int, full_windows: bool, cache_bits: float
) -> Sizing:
    """How an engine lays out this state."""
    return Sizing(
        bits=state.bits,
        cache_bits=cache_bits,
        block=block,
        chunk=chunk,
        full_windows=full_windows,
        float32_states=engine.name != "vllm" or state.family in VLLM_FLOAT32,
        latent=state.family in LATENT,
    )


def _bytes(numbers: int, bits: float) -> Fraction:
    return numbers * Fraction(bits) / 8


def _precision(memory: Memory, sizing: Sizing) -> float:
    if memory.bits is not None and (sizing.float32_states or memory.part == "attention"):
        return memory.bits
    return sizing.cache_bits if memory.part == "attention" else sizing.bits


def in_engines(memory: Memory) -> bool:
    """Whether engines other than transformers know what grows like this."""
    return memory.growth == "fixed" or (memory.growth == "token" and memory.part == "attention")


def _cached(memory: Memory, tokens: int) -> int:
    """Numbers that this many tokens take, whatever the window."""
    return memory.numbers * (tokens // memory.stride)


def _grows(memory: Memory) -> bool:
    return memory.growth != "fixed"


# --- transformers -----------------------------------------------------------------------------------------------------


def _transformers(kinds: Kinds, length: int, batch: int, sizing: Sizing) -> Reserved:
    """A cache that grows with the sequence, and holds what the class stores."""
    sums = {True: Fraction(0), False: Fraction(0)}
    for memory, layers in kinds:
        unbounded = sizing.full_windows and memory.growth == "token"
        held = _cached(memory, length) if unbounded else memory.at(length)
        sums[memory.part == "attention"] += layers * _bytes(held, _precision(memory, sizing))
    return Reserved(math.ceil(batch * sums[True]), math.ceil(batch * sums[False]))


# --- vLLM -------------------------------------------------------------------------------------------------------------

VLLM_STATES = 2
"""States a sequence of a hybrid keeps: with prefix caching, the default, that of the last whole block besides its own."""
VLLM_STEPS = 2
"""Steps in flight: with asynchronous scheduling, the default, a second is prepared while one runs."""
VLLM_ALIGNMENT = 16
"""Tokens that the block of a hybrid is a multiple of; latent attention needs 128."""
VLLM_LATENT_ALIGNMENT = 128


@dataclasses.dataclass(frozen=True)
class Pages:
    """vLLM's layout. A group of layers shares block tables; a block holds one page for each layer of a group.

    Attributes:
        groups: (tokens a block holds, tokens the window keeps or None, number of such groups); tokens 0: a state.
        block_bytes: bytes of a block, the same for every group.
    """

    groups: tuple[tuple[int, int | None, int], ...]
    block_bytes: int

    def blocks(self, length: int, in_flight: int) -> tuple[int, int]:
        """Blocks for one sequence: of keys and values, and of states."""
        cached = states = 0
        for tokens, limit, count in self.groups:
            if tokens == 0:
                states += count * (VLLM_STATES if len(self.groups) > 1 else 1)
            elif limit is None:
                cached += count * -(-length // tokens)
            else:  # one more: a window need not begin where a block does
                cached += count * (-(-min(limit + in_flight, length) // tokens) + 1)
        return cached, states


def vllm_pages(kinds: Kinds, sizing: Sizing) -> Pages:
    """Blocks and groups of layers as vLLM forms them: pages of equal size, groups of equally many layers."""
    caches: Counter[tuple[Fraction, int | None]] = Counter()
    state, layers_with_state = Fraction(0), 0
    for memory, layers in kinds:
        if _grows(memory):
            limit = None if sizing.full_windows else memory.limit
            caches[_bytes(memory.numbers, _precision(memory, sizing)) / memory.stride, limit] += layers
        else:
            state += layers * _bytes(memory.at(1, least=True), _precision(memory, sizing))
            layers_with_state = max(layers_with_state, layers)
    if not caches:
        return Pages(((0, None, layers_with_state),), math.ceil(state / max(layers_with_state, 1)))
    block = sizing.block
    widest = max(per_token for per_token, _ in caches)
    if layers_with_state:
        step = max(VLLM_LATENT_ALIGNMENT if sizing.latent else VLLM_ALIGNMENT, block)
        block = max(block, step * math.ceil(state / layers_with_state / (step * widest)))
    page = block * widest
    if len({limit for _, limit in caches}) == 1 and not layers_with_state:
        # All alike but for their width: one group, whose pages differ.
        ((_, limit),) = {(None, limit) for _, limit in caches}
        return Pages(
            ((block, limit, 1),), math.ceil(sum(block * size * layers for (size, _), layers in caches.items()))
        )
    counts = [*caches.values(), *([layers_with_state] if layers_with_state else [])]
    group = max(counts) if max(counts) < 1.5 * min(counts) else min(counts)
    groups = []
    for (per_token, limit), layers in caches.items():
        # A narrower layer gets longer blocks where the pages divide, else padded ones.
        tokens = block * int(widest / per_token) if (widest / per_token).denominator == 1 else block
        groups.append((tokens, limit, -(-layers // group)))
    if layers_with_state:
        groups.append((0, None, -(-layers_with_state // group)))
    return Pages(tuple(groups), math.ceil(page * group))


def _vllm(kinds: Kinds, length: int, batch: int, sizing: Sizing) -> Reserved:
    pages = vllm_pages(kinds, sizing)
    cached, states = pages.blocks(length, VLLM_STEPS * sizing.chunk)
    return Reserved(batch * cached * pages.block_bytes, batch * states * pages.block_bytes)


# --- llama.cpp --------------------------------------------------------------------------------------------------------

LLAMA_PADDING = 256


def _padded(tokens: int, to: int) -> int:
    return -(-tokens // to) * to


def _llama_cpp(kinds: Kinds, length: int, batch: int, sizing: Sizing) -> Reserved:
    """All sequences share one cache of batch * length cells; states are float32, with kernel - 1 columns."""
    cells = _padded(batch * length, sizing.block)
    # Where no layer is global, the converter writes no window: Mistral-7B-v0.1 keeps every token.
    windowed = not sizing.full_windows and any(_grows(memory) and memory.limit is None for memory, _ in kinds)
    attention = states = Fraction(0)
    for memory, layers in kinds:
        if _grows(memory):
            held = cells
            if windowed and memory.limit is not None:
                held = _padded(min(cells, (memory.limit + 1) * batch + sizing.chunk), LLAMA_PADDING)
            attention += layers * _bytes(_cached(memory, held), sizing.cache_bits)
        else:
            states += layers * _bytes(memory.at(1, least=True), 32.0)
    return Reserved(math.ceil(attention), math.ceil(batch * states))


# --- SGLang -----------------------------------------------------------------------------------------------------------

SGLANG_WINDOW_SHARE = Fraction(4, 5)
"""swa_full_tokens_ratio: tokens of the windows' pool for each token of the other."""


def _sglang(kinds: Kinds, length: int, batch: int, sizing: Sizing) -> Reserved:
    """A pool of tokens for all sequences, one for the windows of 0.8 times as many, and a state for each sequence."""
    tokens = batch * _padded(length, sizing.block)
    mixed = any(_grows(memory) and memory.limit is None for memory, _ in kinds)
    attention = states = Fraction(0)
    for memory, layers in kinds:
        if not _grows(memory):
            bits = 32.0 if memory.part == "recurrent" else sizing.bits
            states += layers * _bytes(memory.at(1, least=True), bits)
            continue
        held = tokens
        if memory.limit is not None and not sizing.full_windows:
            window = memory.limit + 1 + sizing.block  # the least that admits a sequence
            share = math.floor(SGLANG_WINDOW_SHARE * tokens) // sizing.block * sizing.block
            held = max(share, min(tokens, window)) if mixed else min(tokens, batch * window)
        attention += layers * _bytes(_cached(memory, held), _precision(memory, sizing))
    return Reserved(math.ceil(attention), math.ceil(batch * states))


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("transformers", "transformers 5.24.0, DynamicCache", _transformers),
        Engine("vllm", "vLLM 0.33.0, vllm/v1/core/kv_cache_planning.py", _vllm, block=16, chunk=2048),
        Engine(
            "llama.cpp", "llama.cpp 0054ee8c, src/llama-kv-cache-iswa.cpp and src/llama-memory-recurrent.cpp",
            _llama_cpp, block=LLAMA_PADDING, chunk=512, cache_bits=16.0,
        ),
        Engine("sglang", "SGLang 003fca80, srt/model_executor/pool_configurator.py", _sglang),
    )
}  # fmt: skip
"""Name -> the engine's convention."""
