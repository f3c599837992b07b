"""What a verdict asks of a law: any object with `predict`, `interval` and `kind`."""

import math
from typing import Any

import numpy as np

from l2m.errors import InputError


def require_law(law: Any) -> None:
    """Refuse what is no law, and one whose numbers cannot be used, such as a saved one that was edited.

    Raises:
        InputError: naming what is wrong.
    """
    if not all(hasattr(law, name) for name in ("predict", "interval", "kind")):
        raise InputError(
            f"law: {type(law).__name__}; expected a fitted law (predict, interval, kind), or l2m.PowerLaw.of(A, beta)"
        )
    if not is_resolved(law):
        return
    try:
        values = [float(np.asarray(law.predict(x)).item()) for x in (4.0, 1024.0)]
        if hasattr(law, "draws"):
            draws = np.asarray(law.draws(8, 0), dtype=np.float64)
            values += draws.ravel().tolist() if draws.ndim == 2 and 2 <= draws.shape[1] <= 3 else [math.nan]
        elif not is_logarithm(law):
            values += [*law.interval("exponent", 0.5), *law.interval("amplitude", 0.5)]
    except InputError:
        raise
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        raise InputError(f"law: its numbers cannot be used ({error}); expected a fitted law") from None
    if any(math.isnan(value) for value in values) or not all(map(math.isfinite, values[:2])):
        raise InputError("law: it predicts no finite information; expected a fitted law")


def is_logarithm(law: Any) -> bool:
    return bool(law.kind == "logarithm")


def is_resolved(law: Any) -> bool:
    return bool(getattr(law, "resolved", True))


def exponent_of(law: Any) -> float:
    exponent = getattr(law, "exponent", None)
    return float(np.mean(law.interval("exponent", 0.5))) if exponent is None else float(exponent)


def power_words(law: Any, level: float) -> str:
    low, high = law.interval("exponent", level)
    interval = "" if low == high else f" ({100 * level:g} %: {low:.3g} to {high:.3g})"
    return f"L^{exponent_of(law):.3g}{interval}"
