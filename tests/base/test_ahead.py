"""Items made ahead by a thread; signals that ask for an end."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from l2m.base.ahead import ahead
from l2m.base.signals import interrupts, sigterm_interrupts


def test_the_items_come_in_order() -> None:
    with ahead(range(100)) as items:
        assert list(items) == list(range(100))


def test_an_error_comes_where_the_item_would() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("full")

    with ahead(broken()) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="full"):
            next(items)


def test_leaving_early_ends_the_thread() -> None:
    with ahead(iter(int, 1)) as items:
        next(items)
    assert not [thread for thread in threading.enumerate() if thread.name == "l2m-ahead"]


def test_a_first_signal_is_noted_and_a_second_ctrl_c_raises() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts() as seen:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert seen == [signal.SIGTERM, signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_as_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), sigterm_interrupts():
        signal.raise_signal(signal.SIGTERM)
