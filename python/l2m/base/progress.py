"""Progress bars with time left, on anything that takes over a second; quiet when stderr is not a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""`progress(done, total)`: called by long work from the thread that asked for it; what it raises stops the work."""


@contextmanager
def progress_bar(description: str, unit: str = "", **each: int) -> Iterator[Progress | None]:
    """A callback that draws a bar on stderr once a second has passed; None where stderr is not a terminal.

    Args:
        unit: what is counted, for its rate.
        each: how many of something else one unit holds, as `tokens=1024`, for that rate besides.
    """
    if not sys.stderr.isatty():
        yield None
        return
    import time

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


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 99.5 else f"{rate:.2g}"
