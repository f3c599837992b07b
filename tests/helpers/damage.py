"""Ways a kept file can be damaged, and the two outcomes that are allowed: the same result, or one line that names what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import l2m


def flip_first(path: Path) -> None:
    _change(path, lambda content: bytes([content[0] ^ 1]) + content[1:])


def flip_middle(path: Path) -> None:
    middle = path.stat().st_size // 2
    _change(path, lambda content: content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :])


def flip_last(path: Path) -> None:
    _change(path, lambda content: content[:-2] + bytes([content[-2] ^ 16]) + content[-1:])


def cut(path: Path) -> None:
    _change(path, lambda content: content[: len(content) // 2])


def cut_one(path: Path) -> None:
    _change(path, lambda content: content[:-1])


def lengthen(path: Path) -> None:
    _change(path, lambda content: content + content[-1:])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nothing-here")


def device_instead(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


DAMAGES: list[Callable[[Path], None]] = [
    flip_first, flip_middle, flip_last, cut, cut_one, lengthen, empty, remove, folder_instead, broken_link, device_instead,
]  # fmt: skip


def _change(path: Path, change: Callable[[bytes], bytes]) -> None:
    content = change(path.read_bytes())
    path.unlink()  # the file may have a second name
    path.write_bytes(content)


def outcome(run: Callable[[], Any]) -> Any:
    """What `run` gives, or the one line it is refused with; anything else it raises is a failure."""
    try:
        return run()
    except l2m.InputError as error:
        message = str(error)
    assert "\n" not in message
    return message
