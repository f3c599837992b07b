"""Progress bars with time left, on anything that takes over a second; quiet when stderr is not a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""`progress(done, total)`: called by long work from the thread that asked for it; what it raises stops the work."""


@contextmanager
def progress_bar(description: str, unit: str = "") -> Iterator[Progress | None]:
    """A callback that draws a bar on stderr once a second has passed; None where stderr is not a terminal."""
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
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(description, total=None, visible=False, speed="")

        def update(done: int, total: int) -> None:
            elapsed = time.monotonic() - started
            if elapsed > 1:
                speed = f"{done / elapsed:,.0f} {unit}/s" if unit else ""
                display.update(task, completed=done, total=total or None, visible=True, speed=speed)

        yield update
