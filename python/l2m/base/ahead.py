"""Items made by a thread a little ahead of who takes them."""

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Full, Queue
from typing import TypeVar

_T = TypeVar("_T")


@contextmanager
def ahead(items: Iterable[_T], room: int = 2) -> Generator[Iterator[_T], None, None]:
    """The same items, made by a thread up to `room` ahead; what it raises is raised where the next item is asked for.

    Leaving the block stops the thread after the item it is making.
    """
    queue: Queue[tuple[str, _T | BaseException | None]] = Queue(room)
    stopped = threading.Event()

    def put(kind: str, item: _T | BaseException | None) -> None:
        while not stopped.is_set():
            with suppress(Full):
                queue.put((kind, item), timeout=0.1)
                return

    def make() -> None:
        try:
            for item in items:
                put("item", item)
                if stopped.is_set():
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    def take() -> Iterator[_T]:
        while True:
            kind, item = queue.get()
            if kind == "item":
                yield item  # type: ignore[misc]
            elif kind == "end":
                return
            else:
                assert isinstance(item, BaseException)
                raise item

    thread = threading.Thread(target=make, name="l2m-ahead", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        stopped.set()
        thread.join()
