"""Numbers as people read them, in tables and sentences."""

from typing import Any


def short(value: Any, *, padded: bool = False) -> str:
    """A number as people read it: 512, 1,024, 131 k, 2.36 M, 1.2e+19; text as it is.

    Args:
        padded: zeros at the end are kept, as a column of numbers needs them: 2.50 M.
    """
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if value in (float("inf"), float("-inf")):
        return "no limit"
    if value != value:  # nan
        return "unknown"
    size = abs(value)
    if size < 1e4:
        return f"{value:,.0f}" if size >= 100 or value == int(value) else f"{value:.3g}"
    for unit, name in ((1e15, ""), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= 0.9995 * unit:  # so that three digits never read 1e+03
            digits = f"{value / unit:#.3g}".removesuffix(".") if padded else f"{value / unit:.3g}"
            return f"{digits} {name}" if name else f"{value:.2g}"
    raise AssertionError(value)
