"""How far long work is: a bar on a terminal, a line every half minute elsewhere, the stages of a job."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""`progress(done, total)`: called by long work from the thread that asked for it; what it raises stops the work."""

LINE_SECONDS = 30.0
"""Between two lines where there is no terminal."""

_log = logging.getLogger("l2m")
_quiet = False


def be_quiet() -> None:
    """No bars and no lines in this process from now on."""
    global _quiet
    _quiet = True


def stage(number: int, stages: int, words: str) -> None:
    """Log that a job begins one of its stages: `3/5 loading the model`."""
    _log.info("%d/%d %s", number, stages, words)


@contextmanager
def progress_bar(description: str, unit: str = "", **each: int) -> Iterator[Progress | None]:
    """A callback that draws a bar on stderr once a second has passed; where stderr is not a terminal, logs a line every 30 s.

    Args:
        unit: what is counted, for its rate.
        each: how many of something else one unit holds, as `tokens=1024`, for that rate besides.
    """
    if _quiet:
        yield None
        return
    if sys.stderr is None or not sys.stderr.isatty():
        yield _lines(description)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    first: tuple[float, int] | None = None  # work that goes on does not begin at 0
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(description, total=None, visible=False, speed="")

        def update(done: int, total: int) -> None:
            nonlocal first
            now = time.monotonic()
            first = first or (now, done)
            if now - started > 1:
                rate = (done - first[1]) / (now - first[0]) if now > first[0] else 0.0
                rates = [(unit, rate), *((name, rate * count) for name, count in each.items())] if unit and rate else []
                speed = ", ".join(f"{_short(value)} {name}/s" for name, value in rates)
                display.update(task, completed=done, total=total or None, visible=True, speed=speed)

        yield update


def _lines(description: str) -> Progress:
    """A callback that logs `scoring: 40 %, 3 min left` every `LINE_SECONDS`."""
    last = time.monotonic()
    first: tuple[float, int] | None = None

    def update(done: int, total: int) -> None:
        nonlocal last, first
        now = time.monotonic()
        first = first or (now, done)
        if now - last < LINE_SECONDS:
            return
        last = now
        rate = (done - first[1]) / (now - first[0]) if now > first[0] else 0.0
        left = f", {_duration((total - done) / rate)} left" if rate and total > done else ""
        _log.info("%s: %s%s", description, f"{done / total:.0%}".replace("%", " %") if total else f"{done:,}", left)

    return update


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 99.5 else f"{rate:.2g}"
