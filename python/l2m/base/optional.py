"""Libraries that only some inputs need: imported when the first of them comes, with one line where it is missing."""

import importlib
from types import ModuleType

from l2m.errors import InputError


def optional_library(name: str, wanted_for: str, install: str = "'l2m-scaling[data]'") -> ModuleType:
    """The module `name`.

    Raises:
        InputError: it is not installed; the line names `wanted_for` and how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{wanted_for}: needs the package {name}: pip install {install}") from None
