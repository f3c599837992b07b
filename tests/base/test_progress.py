"""The progress bar: shown on a terminal alone, with rates counted from where the work began."""

import io
import logging
import re

import pytest

from l2m.base.progress import progress_bar, stage


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_a_line_every_30_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shown, now = io.StringIO(), [100.0]
    logger = logging.getLogger("l2m")  # as a library has it, whatever a command line before this test made of it
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    caplog.set_level("INFO", "l2m")
    with progress_bar("scoring", "tokens") as progress:
        assert progress is not None
        for done in range(0, 100, 2):  # a call every 2 s
            progress(done, 100)
            now[0] += 2
    # Calls at 30, 60 and 90 s had done 30, 60 and 90 in as many seconds.
    assert caplog.messages == ["scoring: 30 %, 70 s left", "scoring: 60 %, 40 s left", "scoring: 90 %, 10 s left"]
    assert shown.getvalue() == ""


def test_short_work_says_nothing_and_stages_are_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("l2m")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    with progress_bar("work", "steps") as progress:
        assert progress is not None
        progress(1, 2)
    assert caplog.messages == []
    caplog.set_level("INFO", "l2m")
    stage(3, 5, "loading the model")
    assert caplog.messages == ["3/5 loading the model"]


def test_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2m.base.progress._quiet", True)
    monkeypatch.setattr("sys.stderr", Terminal())
    with progress_bar("work") as progress:
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
