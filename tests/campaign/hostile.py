"""Inputs that someone made to harm."""

from collections.abc import Callable

HOSTILE: dict[str, Callable] = {}
