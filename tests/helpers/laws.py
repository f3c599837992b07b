"""Laws that are no fits: the least that `l2m.condition` needs of one."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Power:
    amplitude: float = 2.27
    exponent: float = 0.76
    spread: float = 0.02
    kind = "power_law"

    def predict(self, x):
        return self.amplitude * np.asarray(x) ** self.exponent

    def interval(self, name, level=0.95):
        value = getattr(self, name)
        return value - self.spread, value + self.spread


@dataclasses.dataclass(frozen=True)
class Logarithm:
    slope: float = 3.0
    kind = "logarithm"

    def predict(self, x):
        return self.slope * np.log(np.asarray(x))

    def interval(self, name, level=0.95):
        return self.slope, self.slope
