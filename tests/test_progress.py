"""The progress bar: shown on a terminal alone, with rates counted from where the work began."""

import io
import re
import time

import pytest

from l2m.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_drawn_without_a_terminal() -> None:
    with progress_bar("work", "steps") as progress:
        assert progress is None


def test_rates_are_those_of_this_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that goes on at 400,000 did not do those in this second: 10 steps in about a second are about 10 steps/s."""
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    with progress_bar("training", "steps", tokens=1_000) as progress:
        assert progress is not None
        start = time.monotonic()
        progress(400_000, 500_000)
        time.sleep(1.1)
        progress(400_010, 500_000)
        seconds = time.monotonic() - start
    rates = re.findall(r"([\d.,]+) steps/s, ([\d,]+) tokens/s", shown.getvalue())
    assert rates
    steps, tokens = (float(value.replace(",", "")) for value in rates[-1])
    assert steps == pytest.approx(10 / seconds, rel=0.1)  # two digits are shown
    assert tokens == pytest.approx(10_000 / seconds, rel=0.1)
