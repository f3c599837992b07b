"""How option values are read, the same for every command: whole numbers are whole, lists are written with commas."""

import types
from collections.abc import Sequence
from typing import Any, Union, get_args, get_origin

import cyclopts

from l2m.errors import InputError

LISTS = "a list is written with commas, such as 1,2,4"


def convert(kind: Any, tokens: Sequence[cyclopts.Token]) -> Any:
    """The value of one option, for `cyclopts.Parameter(converter=...)`.

    Raises:
        InputError: a whole number that is none, or a list with an empty entry; the option is named.
    """
    plain = _without_none(kind)
    if plain is int:
        return _whole(tokens[-1].value, tokens[-1])
    if get_origin(plain) in (list, Sequence):
        (item,) = get_args(plain)
        words = [(word.strip(), token) for token in tokens for word in token.value.split(",")]
        if any(not word for word, _ in words):
            raise InputError(f"{_name(tokens[0])}: {tokens[0].value!r}; {LISTS}")
        if item is int:
            return [_whole(word, token) for word, token in words]
        if item is float:
            return [_number(word, token) for word, token in words]
        return [word for word, _ in words]
    if get_origin(plain) is tuple and Ellipsis not in get_args(plain):
        items = get_args(plain)
        words = [(word.strip(), token) for token in tokens for word in token.value.split(",")]
        if len(words) != len(items):
            raise InputError(f"{_name(tokens[0])}: {len(words)} values; expected {len(items)}, such as 0,1")
        return tuple(_whole(*word) if item is int else _number(*word) for item, word in zip(items, words, strict=True))
    return cyclopts.convert(kind, tokens)


def require_no_numbers(text: Sequence[object]) -> None:
    """Refuse sources that are numbers: the rest of a list that was written with spaces.

    Raises:
        InputError: naming the number.
    """
    from pathlib import Path

    for word in map(str, text):
        if word.removeprefix("-").isdecimal() and not Path(word).exists():
            raise InputError(f"TEXT: {word!r} is not a file; {LISTS}")


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        (kind, *others) = [one for one in get_args(kind) if one is not type(None)]
        return None if others else kind
    return kind


def _whole(word: str, token: cyclopts.Token) -> int:
    digits = word.strip().replace("_", "").removeprefix("-").removeprefix("+")
    if not digits.isdecimal() or not digits.isascii() or len(digits) > 19:
        raise InputError(f"{_name(token)}: {word!r}; expected a whole number")
    return int(word.replace("_", ""))


def _number(word: str, token: cyclopts.Token) -> float:
    try:
        return float(word)
    except ValueError:
        raise InputError(f"{_name(token)}: {word!r}; expected a number") from None


def _name(token: cyclopts.Token) -> str:
    return (token.keyword or "argument").lstrip("-")
