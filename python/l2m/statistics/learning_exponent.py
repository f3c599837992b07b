"""The exponent with which a language model's loss falls with training data, predicted from two laws of the text.

Cagnetta, Raventós, Ganguli & Wyart (2026), arXiv:2602.07488: where the conditional entropy of the next token approaches its limit
as n^-gamma with context n, and the largest singular value of the token covariance falls as d^-b, the loss falls as
(training tokens)^-alpha_D with alpha_D = gamma / (2 b): data resolve correlations up to a horizon that grows with b, and what lies
beyond the horizon costs what gamma says.
"""

import dataclasses
import math
from typing import ClassVar

from l2m.base import checks
from l2m.base.records import Record
from l2m.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LearningExponent(Record):
    """alpha_D = gamma / (2 b), with its error.

    Attributes:
        value: the estimate.
        stderr: standard error, from those of gamma and b.
        low, high: 95 % interval.
        gamma, gamma_stderr: decay of the conditional entropy with context.
        decay, decay_stderr: b, decay of the largest singular value of the token covariance with distance.
    """

    kind: ClassVar[str] = "learning exponent"

    value: float
    stderr: float
    low: float
    high: float
    gamma: float
    gamma_stderr: float
    decay: float
    decay_stderr: float

    def __float__(self) -> float:
        return float(self.value)

    def explain(self) -> str:
        """The value in words, and what it rests on."""
        return (
            f"alpha_D = gamma / (2 b) = {self.value:.3f} (95 %: {self.low:.3f} to {self.high:.3f}), from gamma = {self.gamma:.3f} "
            f"± {self.gamma_stderr:.3f} and b = {self.decay:.3f} ± {self.decay_stderr:.3f}"
        )


def learning_exponent(gamma: tuple[float, float], decay: tuple[float, float]) -> LearningExponent:
    """The predicted exponent of the loss in training tokens, alpha_D = gamma / (2 b).

    Args:
        gamma: (value, standard error) of the decay of the conditional entropy with context: `PositionCurve.fit()`.
        decay: (value, standard error) of b: minus the exponent of `CovarianceCurve.fit()`.

    Returns:
        The estimate with Fieller's 95 % interval of a ratio, with errors of gamma and b taken as independent and normal. The
        interval is unbounded where that of b holds 0.

    Raises:
        InputError: a value that is not positive, or an error that is negative.

    Example:
        >>> print(l2m.learning_exponent((0.265, 0.016), (0.94, 0.16)).explain())
        alpha_D = gamma / (2 b) = 0.141 (95 %: 0.103 to 0.214), from gamma = 0.265 ± 0.016 and b = 0.940 ± 0.160

    Source: Cagnetta et al. (2026), arXiv:2602.07488; Fieller (1954) for the interval.
    """
    numbers = []
    for name, pair in (("gamma", gamma), ("decay", decay)):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(f"{name}: {pair!r}; expected (value, standard error)")
        value, error = checks.real(name, pair[0]), checks.real(f"{name}'s standard error", pair[1])
        if not value > 0 or not error >= 0:
            raise InputError(
                f"{name}: {value:g} with standard error {error:g}; expected a positive value and an error of 0 or more"
            )
        numbers += [value, error]
    g, dg, b, db = numbers
    value = g / (2 * b)
    z = 1.959963984540054
    spread = (z * db / b) ** 2
    if spread >= 1:
        low, high = 0.0, math.inf
    else:
        reach = math.sqrt((z * dg / g) ** 2 + spread - (z * dg / g) ** 2 * spread)
        low, high = (max(0.0, value * (1 + sign * reach) / (1 - spread)) for sign in (-1, 1))
    stderr = value * math.hypot(dg / g, db / b)
    return LearningExponent(
        value=value, stderr=stderr, low=low, high=high, gamma=g, gamma_stderr=dg, decay=b, decay_stderr=db
    )
