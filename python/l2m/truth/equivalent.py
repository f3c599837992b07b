"""How many numbers of state a KL is worth: the frontier of constant states, read backwards.

The greedy frontier falls with every number more, with rare exceptions of a few percent (7 and 8 numbers at L = 256 with two
children): there one of the states with this KL is found. What is found never rises with the KL.
"""

import dataclasses
import math
from typing import ClassVar

from l2m.base import checks
from l2m.base.records import Record
from l2m.truth.frontier import Law, frontier

RESOLVED = 1e-12
"""Nats a value: the frontier of a state that holds everything is 0 to this."""
STEP = 4
"""The search tries 4, 16, 64, ... numbers before it bisects: a frontier costs L^2 r, so large states are tried last."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StateUse(Record):
    """How much of its state a model uses, against the best linear state found of the same size.

    Attributes:
        numbers: of state the model holds, for one copy of the law.
        useful: of these at most as many as the law needs: the largest `smallest_state`.
        kl: mean KL of the model, nats a value.
        frontier_kl: mean KL of the (greedy) frontier of a constant state of `numbers`: what so small a state must lose, to
            within the frontier's own distance from the optimum.
        equivalent: numbers at which the frontier has the model's KL.
    """

    kind: ClassVar[str] = "state use"
    information_fields: ClassVar[tuple[str, ...]] = ("kl", "frontier_kl")

    numbers: float
    useful: float
    kl: float
    frontier_kl: float
    equivalent: float

    @property
    def share(self) -> float:
        """`equivalent` over `useful`: 1 on the frontier, a little more below it; nan for a model without state."""
        return self.equivalent / self.useful if self.useful else math.nan

    @property
    def missed(self) -> float:
        """KL that the size of the state does not explain: what training missed; negative below the frontier."""
        return self.kl - self.frontier_kl

    def explain(self) -> str:
        """The use of the state in one sentence."""
        return (
            f"worth {self.equivalent:.1f} of {self.useful:.4g} useful numbers a copy ({self.share:.0%}; it holds {self.numbers:,.4g}); "
            f"KL {self.kl:.5f} {self.unit} = {self.frontier_kl:.5f} at the frontier {'-' if self.missed < 0 else '+'} "
            f"{abs(self.missed):.5f} by training"
        )

    def _brief(self) -> str:
        return f"worth {self.equivalent:.1f} of {self.useful:.4g} useful numbers ({self.share:.0%}), KL {self.kl:.4g} {self.unit}"


class ConstantStates:
    """The mean KL of constant states of a law, each computed once."""

    def __init__(self, law: Law) -> None:
        self._law = law
        self._found: dict[int, float] = {}
        self._most = law.length  # numbers beyond these are known to hold nothing

    def kl(self, numbers: float) -> float:
        """Mean KL, nats a value; between whole numbers linear."""
        low = math.floor(numbers)
        share = numbers - low
        kl = self._whole(low)
        return kl if share == 0 else kl + share * (self._whole(low + 1) - kl)

    def _whole(self, numbers: int) -> float:
        asked = min(numbers, self._most)
        if asked not in self._found:
            found = frontier(self._law, asked)
            self._found[asked] = found.mean_kl if found.mean_kl > RESOLVED else 0.0
            held = int(found.numbers.max())
            if held < asked:
                self._most = held
                self._found[held] = self._found[asked]
        return self._found[min(asked, self._most)]

    def equivalent(self, kl: float) -> float:
        """See `HierarchicalGaussian.equivalent_state`."""
        target = checks.real("kl", kl, 0)
        if target <= RESOLVED:
            return float(self._largest())
        if target >= self._whole(0):
            return 0.0
        low, high = 0, STEP
        while self._whole(high) >= target:
            if high >= self._most:
                return float(self._most)
            low, high = high, STEP * high
        high = min(high, self._most)
        while high - low > 1:
            middle = (low + high) // 2
            if self._whole(middle) >= target:
                low = middle
            else:
                high = middle
        above, below = self._whole(low), self._whole(high)
        return low + (above - target) / (above - below)

    def _largest(self) -> int:
        """The largest of `smallest_state`: a state of L numbers is cut to what it can use."""
        self._whole(self._law.length)
        return self._most

    def use(self, numbers: float, kl: float) -> StateUse:
        """See `HierarchicalGaussian.state_use`."""
        held = checks.real("numbers", numbers, 0)
        frontier_kl = self.kl(held)
        return StateUse(
            numbers=held,
            useful=min(held, float(self._most)),
            kl=checks.real("kl", kl, 0),
            frontier_kl=frontier_kl,
            equivalent=self.equivalent(kl),
            settings=self._law.settings,
        )
