"""The history state as data: a list of memories, each with a closed form in the number of tokens absorbed."""

import dataclasses
import math
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.base.checks import integers, real
from l2m.base.growth import FORMS, Growth
from l2m.base.numbers import short
from l2m.base.records import Record
from l2m.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARTS = ("attention", "recurrent", "convolution")
GROWTHS = ("token", "level", "fixed")
GROWTH_FORMS = f"one of {', '.join(GROWTHS)}, {FORMS}, or a function of the tokens read"

MOST_NUMBERS = 2**53
"""The most that one memory may keep, per token or in all: beyond it, floating point no longer counts one by one."""

LONGEST_LENGTH = 10**15

BITS = {
    "float64": 64.0, "float32": 32.0, "bfloat16": 16.0, "float16": 16.0, "float8_e4m3fn": 8.0, "float8_e5m2": 8.0,
    "int8": 8.0, "uint8": 8.0, "fp8": 8.0, "int4": 4.0, "nf4": 4.0, "fp4": 4.0, "int2": 2.0,
    "f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "q6_k": 6.5625, "q5_k": 5.5, "q5_1": 6.0, "q5_0": 5.5,
    "q4_k": 4.5, "q4_1": 5.0, "q4_0": 4.5, "iq4_nl": 4.5, "iq4_xs": 4.25, "q3_k": 3.4375, "q2_k": 2.625,
    "mxfp4": 4.25, "nvfp4": 4.5,
}  # fmt: skip
"""Bits per number by dtype name. Block formats (ggml's types, mxfp4, nvfp4) with their scales: 144 bytes for 256 numbers
in q4_k; int8, int4 and the like without."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Memory(Record):
    """One thing one layer keeps. After n tokens it holds

        growth "token":  numbers * (min(n, limit) // stride)     keys and values; a window keeps `limit` tokens
        growth "level":  numbers * (floor(log2 n) + 1)           log-linear attention
        growth "fixed":  numbers                                 recurrent state, convolution window
        growth "log:A" or "power:P:A" (`l2m.base.growth`), or a function f of n that never falls:
                         numbers * ceil(f(min(n, limit) // stride))

    `numbers` and `limit` say what an implementation stores, `least_numbers` and `least_limit` what it must (None: the
    same). `bits` fixes the precision of this memory alone (None: the model's).
    """

    kind: ClassVar[str] = "memory"

    layer: int
    part: str
    growth: str | Callable[[float], float]
    numbers: int
    limit: int | None = None
    stride: int = 1
    least_numbers: int | None = None
    least_limit: int | None = None
    bits: float | None = None

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise InputError(f"memory: part {self.part!r}; expected one of {', '.join(PARTS)}")
        if not callable(self.growth) and self.growth not in GROWTHS:
            Growth.read(self.growth, argument="memory: growth", forms=GROWTH_FORMS)
        for name, low in (
            ("layer", 0),
            ("numbers", 0),
            ("limit", 0),
            ("stride", 1),
            ("least_numbers", 0),
            ("least_limit", 0),
        ):
            value = getattr(self, name)
            optional = name in ("limit", "least_numbers", "least_limit")
            if not (value is None and optional) and not (type(value) is int and low <= value <= MOST_NUMBERS):
                raise InputError(f"memory: {name} {value!r}; expected a whole number from {low} to {MOST_NUMBERS:,}")
        if self.bits is not None and not 0 < self.bits <= 128:
            raise InputError(f"memory: bits {self.bits!r}; expected a number above 0, at most 128")

    def to_dict(self) -> dict[str, Any]:
        """As of every record.

        Raises:
            InputError: a growth that is a function, which no file holds.
        """
        if callable(self.growth):
            raise InputError(f"memory: growth is a function; expected {GROWTH_FORMS} in what is saved")
        return super().to_dict()

    @property
    def kept(self) -> tuple[Any, ...]:
        """What is kept, whatever the layer."""
        return tuple(value for name, value in vars(self).items() if name not in ("layer", "unit", "settings"))

    def at(self, length: Any, *, least: bool = False) -> Any:
        """Numbers held after `length` tokens: an array of integers or floats, or one int, which stays exact at any size."""
        numbers = self.least_numbers if least and self.least_numbers is not None else self.numbers
        limit = self.least_limit if least and self.least_limit is not None else self.limit
        single = isinstance(length, int)
        units: Any
        if self.growth == "fixed":
            units = 1 if single else np.ones_like(length)
        elif self.growth == "level":  # floor(log2 n) + 1; 0 for n = 0
            units = length.bit_length() if single else np.frexp(np.maximum(length, 0.5))[1].astype(length.dtype)
        else:
            kept = length if limit is None else min(length, limit) if single else np.minimum(length, limit)
            units = kept // self.stride
            if self.growth != "token":
                units = self._opened(units, single)
        return numbers * units

    def _opened(self, tokens: Any, single: bool) -> Any:
        """What the growth makes of so many tokens, in the type of `tokens`."""
        if callable(self.growth):
            opened = np.ceil([self._of_user(float(n)) for n in np.ravel(tokens)]).reshape(np.shape(tokens))
        else:
            opened = Growth.read(self.growth).at(tokens)
        return int(opened) if single else opened.astype(np.asarray(tokens).dtype)

    def _of_user(self, tokens: float) -> float:
        """What the user's function gives, checked."""
        assert callable(self.growth)
        try:
            value = self.growth(tokens)
        except Exception as error:
            raise InputError(f"memory: growth({tokens:g}) raised {type(error).__name__}: {error}") from None
        return real(f"memory: growth({tokens:g})", value, 0)

    @property
    def exponent(self) -> float | None:
        """g where the memory grows like n^g in the end: 0 like log n; None where it stops growing.

        A function's is measured: its slope in log-log coordinates from n = 1e100 to 1e200, one below 0.01 taken for a logarithm's.
        """
        if self.growth == "fixed" or self.limit is not None or not self.numbers:
            return None
        if isinstance(self.growth, str) and self.growth in GROWTHS:
            return 1.0 if self.growth == "token" else 0.0
        if not callable(self.growth):
            growth = Growth.read(self.growth)
            return None if growth.kind == "constant" or growth.factor == 0 else growth.exponent
        early, late = (self._of_user(n) for n in (1e100, 1e200))
        if early == late:
            return None
        slope = math.log10(late / early) / 100 if early > 0 else math.inf
        return slope if slope >= 0.01 else 0.0


def attention(
    layer: int,
    numbers: int,
    *,
    window: int | None = None,
    stride: int = 1,
    least_numbers: int | None = None,
    least_window: int | None = None,
) -> Memory:
    """`numbers` per token in the cache, of at most `window` tokens the next one can see (itself included).

    The token being processed brings its own key and value, so window - 1 earlier ones are kept.
    """
    limit = None if window is None else max(window - 1, 0)
    least_limit = None if least_window is None else max(least_window - 1, 0)
    return Memory(
        layer, "attention", "token", numbers, limit, stride, least_numbers=least_numbers, least_limit=least_limit
    )


def recurrent(layer: int, numbers: int, *, bits: float | None = None) -> Memory:
    """A state of `numbers` numbers, whatever the length."""
    return Memory(layer, "recurrent", "fixed", numbers, bits=bits)


def opening(layer: int, numbers: int, growth: str | Callable[[float], float]) -> Memory:
    """A recurrent state of `numbers` numbers a channel, whose channels open as `growth` says; bits as the model's."""
    return Memory(layer, "recurrent", growth, numbers)


def convolution(layer: int, channels: int, kernel: int, *, stored: int | None = None) -> Memory:
    """The inputs a causal convolution still needs: kernel - 1 columns; `stored` of them (default: kernel) are held."""
    kept = kernel if stored is None else stored
    return Memory(layer, "convolution", "fixed", channels * kept, least_numbers=channels * (kernel - 1))


@dataclasses.dataclass(frozen=True)
class StateSize:
    """Numbers in the history state after `length` tokens, of one sequence; each field has the shape of `length`.

    `per_layer` has one more axis, last: the layers. `least` leaves out what is stored but not needed (a convolution of
    kernel k needs k - 1 columns, k are kept). `bits` and `bytes` are for what is stored.
    """

    length: Any
    total: Any
    attention: Any
    recurrent: Any
    convolution: Any
    least: Any
    per_layer: NDArray[Any]
    bits: Any
    bytes: Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class HistoryState(Record):
    """The history state of one causal model as a function of the tokens absorbed (paper section 5: z_l).

    Attributes:
        name, family: what was asked for, and the model type whose formula answered.
        memories: what each layer keeps.
        layers: number of layers, those that keep nothing included.
        bits, cache_bits: bits per number of recurrent and convolution states, and of the attention cache.
        vocabulary: number of tokens M (None: not a token model, or unknown).
        positions: longest position the model has (None: no table, or unknown).
        source: where the numbers come from: the formula's reference, or "measured".
    """

    kind: ClassVar[str] = "history_state"

    name: str
    family: str
    memories: tuple[Memory, ...]
    layers: int
    bits: float = 16.0
    cache_bits: float = 16.0
    vocabulary: int | None = None
    positions: int | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if any(memory.layer >= self.layers for memory in self.memories):
            raise InputError(f"history state: layers {self.layers!r}; expected more than the layer of any memory")
        if not (0 < self.bits <= 128 and 0 < self.cache_bits <= 128):
            raise InputError(
                f"history state: {self.bits!r} and {self.cache_bits!r} bits per number; expected more than 0, at most 128"
            )

    def _brief(self) -> str:
        return f"{self.name}, {self.family}: {short(self.numbers(1024).item())} numbers after 1,024 tokens, {self.growth_words}"

    def columns(self) -> dict[str, NDArray[Any]]:
        """One row a memory: layer, part, growth, numbers, limit, stride (see `Memory`); -1 for a limit that is not there."""
        names = ("layer", "part", "growth", "numbers", "limit", "stride")
        rows = [
            [-1 if (value := getattr(memory, name)) is None else value for name in names] for memory in self.memories
        ]
        return {name: np.array([row[place] for row in rows]) for place, name in enumerate(names)}

    def plot(self, axes: "Axes | None" = None, *, lengths: tuple[float, float] = (64, 1e6)) -> "Axes":
        """Numbers held against tokens read, each part and their sum; log-log.

        Args:
            axes: matplotlib axes to draw into; None makes a figure.
            lengths: first and last number of tokens shown.
        """
        from l2m.base.plots import INK, SERIES, new_axes

        axes = new_axes() if axes is None else axes
        grid = np.geomspace(*lengths, 200)
        axes.loglog(grid, self.numbers(grid), color=INK, linewidth=2.5, label=self.name)
        for part, color in zip(PARTS, SERIES, strict=False):
            held = self.numbers(grid, parts=(part,))
            if held.any():
                axes.plot(grid, held, "--", color=color, label=part)
        axes.set(xlabel="tokens read", ylabel="numbers in the history state")
        axes.legend()
        return axes

    def at(self, length: ArrayLike) -> StateSize:
        """Size of the state after `length` tokens: an integer >= 0, or an array of them.

        Warns:
            UserWarning: length 0 (what is allocated before the first token), or one beyond the model's positions (what
                would be stored there).

        Raises:
            InputError: a length that is negative, not a whole number, or out of all proportion.
        """
        lengths = integers("length", length, high=LONGEST_LENGTH, axes=None)
        if lengths.size == 0:
            raise InputError(f"length: {length!r}; expected at least one")
        if float(self.numbers(lengths).max()) >= 2.0**62:
            raise InputError(f"length: {length!r}; the state would hold more than 2^62 numbers: expected fewer tokens")
        if lengths.min() == 0:
            warnings.warn(f"{self.name}: length 0: only what is allocated before the first token", stacklevel=2)
        if self.positions is not None and lengths.max() > self.positions:
            longest = f"{int(lengths.max()):,} tokens, but the model has {self.positions:,} positions"
            warnings.warn(f"{self.name}: {longest}", stacklevel=2)
        lengths = lengths.astype(np.int64)
        per_layer = np.zeros((*lengths.shape, self.layers), dtype=np.int64)
        parts = {part: np.zeros(lengths.shape, dtype=np.int64) for part in PARTS}
        bits = np.zeros(lengths.shape)
        for memory in self.memories:
            held = memory.at(lengths)
            per_layer[..., memory.layer] += held
            parts[memory.part] += held
            bits += held * self.bits_of(memory)

        def shaped(value: Any) -> Any:
            return value if lengths.ndim else value.item()

        return StateSize(
            length=shaped(lengths),
            total=shaped(per_layer.sum(axis=-1)),
            **{part: shaped(value) for part, value in parts.items()},
            least=shaped(self.numbers(lengths, least=True).astype(np.int64)),
            per_layer=per_layer,
            bits=shaped(bits),
            bytes=shaped(bits / 8),
        )

    def bits_of(self, memory: Memory) -> float:
        """Bits per number of one memory."""
        if memory.bits is not None:
            return memory.bits
        return self.cache_bits if memory.part == "attention" else self.bits

    def numbers(
        self, length: ArrayLike, *, least: bool = False, parts: tuple[str, ...] = PARTS, bits: bool = False
    ) -> NDArray[np.float64]:
        """Numbers (or bits) held in `parts` after `length` tokens, in floating point: any length up to 1e300."""
        lengths = np.floor(np.asarray(length, dtype=np.float64))
        held = np.zeros(lengths.shape)
        for memory, layers in self._alike:
            if memory.part in parts:
                held = held + memory.at(lengths, least=least) * (layers * (self.bits_of(memory) if bits else 1.0))
        return held

    @cached_property
    def _alike(self) -> list[tuple[Memory, int]]:
        """Each different memory, and how many layers keep such a one."""
        kinds: dict[tuple[Any, ...], list[Memory]] = {}
        for memory in self.memories:
            kinds.setdefault(memory.kept, []).append(memory)
        return [(same[0], len(same)) for same in kinds.values()]

    @property
    def growth(self) -> str:
        """ "linear", "power", "logarithmic" or "constant": how the state grows with length in the end."""
        exponents = self._exponents
        if not exponents:
            return "constant"
        largest = max(exponents)
        return "linear" if largest == 1 else "power" if largest else "logarithmic"

    @property
    def growth_exponent(self) -> float:
        """g in dim(z_n) ~ n^g for large n: 1 with any global attention, 0 where it grows like log n or not at all."""
        return max(self._exponents, default=0.0)

    @property
    def growth_words(self) -> str:
        """ "grows like n^0.5", "grows like n", "grows like log n" or "constant"."""
        like = {"linear": "n", "power": f"n^{self.growth_exponent:.3g}", "logarithmic": "log n"}.get(self.growth)
        return "constant" if like is None else f"grows like {like}"

    @cached_property
    def _exponents(self) -> list[float]:
        return [memory.exponent for memory in self.memories if memory.exponent is not None]

    @property
    def windows(self) -> tuple[int, ...]:
        """Tokens each kind of bounded attention keeps, ascending: beyond them that part of the state is full."""
        limits = {memory.limit for memory in self.memories if memory.growth != "fixed" and memory.limit is not None}
        return tuple(sorted(limits))

    @property
    def saturation_length(self) -> float:
        """Tokens after which the state grows no more (a fixed state: 1; infinite where it never stops)."""
        if self.growth != "constant":
            return math.inf
        return float(max(self.windows, default=1))

    @property
    def reach(self) -> float:
        """How far back a state of attention windows alone can hold anything: the sum of the windows of its layers.

        Each layer's window looks at what the layer below made of its own. Infinite with global attention or a
        recurrent state.
        """
        reach = 0
        for memory in self.memories:
            if memory.part == "recurrent" or memory.exponent is not None:
                return math.inf
            reach += memory.limit or 0
        return float(reach)
