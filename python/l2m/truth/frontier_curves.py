"""The frontier at many lengths: how the KL of the best linear model depends on the way its state grows, and on I_BP / r."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from l2m.base import checks
from l2m.base.growth import growth_formula
from l2m.base.progress import Progress
from l2m.base.records import Record, span
from l2m.truth.frontier import Allowed, MemoryFrontier
from l2m.truth.gaussian import HierarchicalGaussian

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SMALLEST_KL = 1e-4
"""Nats a value: below this the state holds all but rounding, and log KL says nothing."""
CONSTANTS = tuple(sorted({2**k for k in range(8)} | {3 * 2**k for k in range(6)}))
"""Sizes of a constant state, 1 to 128, about two to an octave."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FrontierCurves(Record):
    """Mean KL of the best linear model found, one entry for each pair of a length and a state.

    Attributes:
        states: how each state grows, as `HierarchicalGaussian.frontier` reads it.
        state: index into `states`, (pairs,).
        length: L, (pairs,).
        mean_kl: nats a value, (pairs,).
        numbers: the most numbers held at any position, (pairs,).
        half: numbers allowed at L/2, (pairs,).
        information: I_BP(L/2; L), nats, (pairs,).
        captured: nats, (pairs,).
        constant: True where the state is one number at every position, (pairs,).
    """

    kind: ClassVar[str] = "frontier curves"
    information_fields: ClassVar[tuple[str, ...]] = ("mean_kl", "information", "captured")

    state: Integers
    length: Integers
    mean_kl: Floats
    numbers: Integers
    half: Integers
    information: Floats
    captured: Floats
    constant: NDArray[np.bool_]
    states: tuple[str, ...]

    @property
    def ratio(self) -> Floats:
        """I_BP(L/2; L) over the numbers allowed at L/2, nats a number, (pairs,)."""
        with np.errstate(divide="ignore"):
            return self.information / self.half

    def _brief(self) -> str:
        return f"{len(self.states)} states, L = {span(np.unique(self.length))}, KL {self.mean_kl.min():.3g} to {self.mean_kl.max():.3g} {self.unit} a value"

    def of(self, state: str) -> tuple[Integers, Floats, Integers]:
        """Lengths, mean KL and most numbers of one state, by length."""
        chosen = self.state == self.states.index(state)
        return self.length[chosen], self.mean_kl[chosen], self.numbers[chosen]

    def of_length(self, length: int) -> tuple[Floats, Floats]:
        """I_BP / r and mean KL of the constant states of at least one number at one length, by ratio."""
        chosen = self.constant & (self.length == length) & (self.half > 0)
        order = np.argsort(self.ratio[chosen])
        return self.ratio[chosen][order], self.mean_kl[chosen][order]

    def spread(self) -> dict[str, float]:
        """Residual standard deviation of log KL about a cubic in the logarithm of I/r, of L and of r, over the constant states.

        A collapse is a small first number beside the other two. nan with fewer than 8 pairs above 1e-4 nats.
        """
        chosen = self._shown()
        values = {"I/r": self.ratio, "L": self.length, "r": self.half}
        if chosen.sum() < 8:
            return dict.fromkeys(values, np.nan)
        y = np.log(self.mean_kl[chosen])
        return {name: _residual(np.log(np.asarray(x, np.float64)[chosen]), y) for name, x in values.items()}

    def thresholds(self, kl: float) -> dict[int, float]:
        """For each length, I_BP / r in nats a number, r the constant state (interpolated) whose mean KL is `kl` nats a value.

        A state that holds more nats a number loses more than `kl`. Lengths whose states do not reach on both sides are left out.

        Raises:
            InputError: a KL that is not positive.
        """
        target = checks.real("kl", kl, 0, above=True)
        found = {}
        for length in np.unique(self.length).tolist():
            chosen = self.constant & (self.length == length)
            order = np.argsort(self.half[chosen])
            r, values = self.half[chosen][order], self.mean_kl[chosen][order]
            enough = np.flatnonzero(values <= target)
            if enough.size and enough[0] > 0:
                above, below = enough[0] - 1, enough[0]
                share = (values[above] - target) / (values[above] - values[below])
                found[length] = float(self.information[chosen][0] / (r[above] + share * (r[below] - r[above])))
        return found

    def _shown(self) -> NDArray[np.bool_]:
        return np.asarray(self.constant & (self.mean_kl > SMALLEST_KL) & (self.half > 0))

    def plot(self, axes: "Axes | None" = None, states: Sequence[str] | None = None) -> "Axes":
        """Mean KL against L, a line for each state."""
        from l2m.base.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, new_axes

        axes = new_axes() if axes is None else axes
        chosen = list(self.states if states is None else states)
        styles = [(color, marker) for marker in "os^v" for color in (BLUE, ORANGE, GREEN, PURPLE, GREY)]
        for name, (color, marker) in zip(chosen, styles, strict=False):
            length, kl, _ = self.of(name)
            axes.plot(length, np.maximum(kl, 0), marker=marker, color=color, label=growth_formula(name))
        axes.set_xscale("log", base=4)
        axes.set_xlabel("sequence length L")
        axes.set_ylabel(f"mean KL divergence ({self.unit} a value)")
        axes.legend(title="numbers after t values")
        return axes

    def plot_collapse(self, axes: "Axes | None" = None) -> "Axes":
        """Mean KL of constant states against I_BP / r, a color for each length, with the residual spread in the title."""
        from l2m.base.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, new_axes

        axes = new_axes() if axes is None else axes
        shown = self._shown()
        for length, color in zip(np.unique(self.length), (GREY, PURPLE, GREEN, ORANGE, BLUE), strict=False):
            chosen = shown & (self.length == length)
            order = np.argsort(self.ratio[chosen])
            axes.plot(
                self.ratio[chosen][order],
                self.mean_kl[chosen][order],
                "o-",
                linewidth=0.8,
                color=color,
                label=f"L = {length:,}",
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(f"information for each number of state, I(L/2; L) / r ({self.unit})")
        axes.set_ylabel(f"mean KL divergence ({self.unit} a value)")
        spread = self.spread()
        axes.set_title(
            "residual spread of log KL: " + ", ".join(f"{value:.2f} against {name}" for name, value in spread.items()),
            fontsize=9,
        )
        axes.legend()
        return axes


def _residual(x: Floats, y: Floats) -> float:
    degree = min(3, np.unique(x).size - 1)
    return float(np.std(y - np.polyval(np.polyfit(x, y, degree), x)))


def frontier_curves(
    layers: Sequence[int],
    states: Sequence[Allowed],
    *,
    children: int = 3,
    constants: bool = True,
    progress: Progress | None = None,
) -> FrontierCurves:
    """The frontier of every state at the lengths 4^layers.

    Args:
        layers: of each law.
        states: as `HierarchicalGaussian.frontier` reads them.
        children: of every layer.
        constants: also constant states of 1, 2, 3, 4, 6, ... 128 numbers, as long as they lose anything: for the collapse.
        progress: called with (done, to do), each frontier counted as L^2.

    Returns:
        One row for each state and length.

    Raises:
        InputError: see `HierarchicalGaussian.frontier`.

    Example:
        >>> l2m.frontier_curves([2, 3], ['log:4', 8], constants=False)
        FrontierCurves(2 states, L = 16 to 64, KL 1.73e-16 to 0.0418 nats a value)
    """
    layers = checks.wholes("layers", layers, 1)
    states = checks.several("states", states, "a list of sizes of state")
    laws = [HierarchicalGaussian(k, children) for k in sorted(set(layers))]
    wanted: list[Allowed] = list(states)
    if constants:
        named = {str(state) for state in states}
        wanted += [r for r in CONSTANTS if str(r) not in named]
    found: list[MemoryFrontier] = []
    done, total = 0, sum(law.length**2 for law in laws) * len(wanted)
    for law in laws:
        for state in wanted:
            found.append(law.frontier(state))
            done += law.length**2
            if progress is not None:
                progress(done, total)
    names = tuple(dict.fromkeys(one.state for one in found))
    return FrontierCurves(
        state=np.array([names.index(one.state) for one in found]),
        length=np.array([one.kl.size for one in found]),
        mean_kl=np.array([one.mean_kl for one in found]),
        numbers=np.array([one.numbers.max() for one in found]),
        half=np.array([one.allowed[one.kl.size // 2 - 1] for one in found]),
        information=np.array([one.information for one in found]),
        captured=np.array([one.captured for one in found]),
        constant=np.array([bool((one.allowed == one.allowed[0]).all()) for one in found]),
        states=names,
        settings={"children": children, "layers": [law.layers for law in laws]},
    )
