"""Numbers as people read them."""

import pytest

from l2m.base.numbers import short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[
            (0, "0"),
            (0.5, "0.5"),
            (12.34, "12.3"),
            (1024, "1,024"),
            (12_345, "12.3 k"),
            (999_600, "1 M"),
            (3e16, "3e+16"),
        ],
        *[(float("inf"), "no limit"), (None, "–"), ("holds", "holds"), (-2e6, "-2 M")],
    ],
)
def test_short(value: object, text: str) -> None:
    assert short(value) == text
