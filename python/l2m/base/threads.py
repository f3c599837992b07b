"""Threads that wait for others (servers, disks) and never hold up the end of the process."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonPool:
    """Runs functions in up to `size` daemon threads, started when they are needed.

    Those of `concurrent.futures` are joined when Python exits, so that Ctrl-C would wait for the slowest answer.
    """

    def __init__(self, size: int, name: str) -> None:
        self.size, self._name = size, name
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)

    def submit(self, function: Callable[[], T]) -> "Future[T]":
        """The future result of `function()`."""
        future: Future[T] = Future()
        self._tasks.put((future, function))
        if not self._idle.acquire(blocking=False) and len(self._threads) < self.size:
            self._threads.append(threading.Thread(target=self._work, name=self._name, daemon=True))
            self._threads[-1].start()
        return future

    def close(self) -> None:
        """Let the threads end, each after the task it is at."""
        for _ in self._threads:
            self._tasks.put(None)

    def _work(self) -> None:
        while True:
            try:
                task = self._tasks.get_nowait()
            except Empty:
                self._idle.release()
                task = self._tasks.get()
            if task is None:
                return
            future, function = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:
                    future.set_exception(error)
            # Kept, they would hold the last result until the next task comes.
            del task, future, function
