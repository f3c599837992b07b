"""The progress bar: shown on a terminal alone, with rates counted from where the work began."""

import io
import re

import pytest

from l2m.base.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_drawn_without_a_terminal() -> None:
    with progress_bar("work", "steps") as progress:
        assert progress is None


def test_rates_are_those_of_this_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that goes on at 400,000 did not do those in these two seconds: 10 steps in 2 s are 5 steps/s."""
    shown, now = Terminal(), [100.0]
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with progress_bar("training", "steps", tokens=1_000) as progress:
        assert progress is not None
        progress(400_000, 500_000)
        now[0] += 2
        progress(400_010, 500_000)
    rates = re.findall(r"([\d.,]+) steps/s, ([\d.,]+) tokens/s", shown.getvalue())
    assert rates[-1] == ("5", "5,000")
