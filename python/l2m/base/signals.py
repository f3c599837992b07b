"""Ctrl-C and SIGTERM for work that saves before it stops. SIGTERM is what a cluster's scheduler sends before it takes a machine."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


@contextmanager
def handled(numbers: Sequence[int], handler: Handler) -> Iterator[None]:
    """Signals go to `handler` within the block; outside the main thread, where Python allows none, they stay as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            # None: set by code outside Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if old is None else old)


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """A list that Ctrl-C or SIGTERM fills, so that a step can end and be saved; a second Ctrl-C stops at once."""
    seen: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        seen.append(number)
        if seen.count(signal.SIGINT) > 1:
            raise KeyboardInterrupt

    with handled((signal.SIGINT, signal.SIGTERM), note):
        yield seen


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handled((signal.SIGTERM,), stop):
        yield
