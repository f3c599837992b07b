"""How the numbers of a state grow with the tokens read: "8", "log:A" and "power:P:A", one notation for laws, states and models."""

import dataclasses
import math
import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from l2m.errors import InputError

FORMS = "a whole number, 'log:A' (A ln(1 + t)) or 'power:P:A' (A t^P)"
_PATTERN = re.compile(r"(log|power):([^:]+)(?::([^:]+))?")
_MOST = 1e300


@dataclasses.dataclass(frozen=True)
class Growth:
    """Numbers held after t tokens: ceil(factor), ceil(factor ln(1 + t)) or ceil(factor t^exponent).

    Attributes:
        kind: "constant", "log" or "power". A power of 0 is "constant".
        exponent: of a power; else 0.
    """

    kind: str
    factor: float
    exponent: float = 0.0

    @classmethod
    def read(cls, text: Any, *, beta: float | None = None, argument: str = "growth", forms: str = FORMS) -> "Growth":
        """From its notation.

        Args:
            text: "8", "log:2", "power:0.5:1.5"; "power:beta:1.5" where the law's exponent is known.
            beta: exponent of the law.
            argument, forms: what messages call it, and what they expect.

        Raises:
            InputError: none of these; a number that is negative or not finite.
        """
        plain = text.strip() if isinstance(text, str) else ""
        if plain.isdecimal():
            return cls("constant", min(float(plain), _MOST))
        found = _PATTERN.fullmatch(plain)
        try:
            if found is None or (found[1] == "log") != (found[3] is None):
                raise ValueError
            if found[1] == "log":
                read = cls("log", float(found[2]))
            else:
                exponent = beta if found[2] == "beta" and beta is not None else float(found[2])
                read = cls("power" if exponent else "constant", float(found[3]), exponent)
            if not (math.isfinite(read.factor) and math.isfinite(read.exponent)) or read.factor < 0:
                raise ValueError
        except ValueError:
            raise InputError(f"{argument}: {text!r}; expected {forms}") from None
        return read

    def __str__(self) -> str:
        """Its notation, with the numbers to the last bit."""
        if self.kind == "log":
            return f"log:{self.factor!r}"
        return f"power:{self.exponent!r}:{self.factor!r}"

    def at(self, tokens: ArrayLike) -> NDArray[np.float64]:
        """Numbers held after so many tokens, whole, as floating point."""
        t = np.asarray(tokens, np.float64)
        with np.errstate(over="ignore", divide="ignore"):
            if self.kind == "constant":
                values = np.full(t.shape, self.factor)
            elif self.kind == "log":
                values = self.factor * np.log1p(t)
            else:
                values = self.factor * t**self.exponent
            opened: NDArray[np.float64] = np.ceil(values)
        return opened


def growth_formula(growth: str) -> str:
    """A growth for a legend, in matplotlib's math: "power:0.4:1.5" is 1.5 t^0.4; what is no formula stays as it is."""
    if (found := _PATTERN.fullmatch(growth)) is None:
        return growth
    kind, first, second = found.groups()
    if kind == "log":
        return rf"${first}\,\ln(1 + t)$"
    factor = "" if second in (None, "1") else rf"{second}\,"
    return rf"${factor}t^{{{first.replace('beta', chr(92) + 'beta')}}}$"
