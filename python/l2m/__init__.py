"""l2m: how much long-range information a sequence carries, and how much memory a model needs to hold it.

Method: Chen, Mayné i Comas, Jin, Luo, Soljačić, "L²M: Mutual Information Scaling Law for Long-Context Language
Modeling", NeurIPS 2025 (arXiv 2503.04725). All values are in nats; `.to("bits")` converts.

`__init__.pyi` lists the public names for type checkers and for this module alike. Each is imported from its module when it is
first used (PEP 562): imported at once they take 60 ms beyond numpy.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any


def _public() -> dict[str, str]:
    """Public name -> module, from the stub."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


_PUBLIC = _public()
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'l2m' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PUBLIC[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
