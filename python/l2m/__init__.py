"""l2m: how much long-range information a sequence carries, and how much memory a model needs to hold it.

Method: Chen, Mayné i Comas, Jin, Luo, Soljačić, "L²M: Mutual Information Scaling Law for Long-Context Language
Modeling", NeurIPS 2025 (arXiv 2503.04725). All values are in nats; `.to("bits")` converts.

The public names stand in `__init__.pyi`, which type checkers and this module read alike: each is imported from its module when
it is first used, so `import l2m` takes no longer than it must (imported at once they took 60 ms beyond numpy).
"""

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


def _public() -> dict[str, str]:
    """Public name -> module, from the stub."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_PUBLIC = _public()
__all__ = sorted(_PUBLIC)


class _Package(ModuleType):
    """The package: public names on first use. Where a function and its module share a name, the function has it."""

    def __getattr__(self, name: str) -> Any:
        if name not in _PUBLIC:
            raise AttributeError(f"module 'l2m' has no attribute {name!r}")
        value = getattr(import_module(_PUBLIC[name]), name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # The import of a submodule would otherwise put `l2m.two_point`, the module, over the function.
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        # cloudpickle (Ray, Dask) knows plain modules only: it imports this one again where a function that uses it arrives.
        return import_module, (self.__name__,)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_PUBLIC})


sys.modules[__name__].__class__ = _Package
