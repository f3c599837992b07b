"""A record of every kind with a value in every field, made from the annotations."""

import dataclasses
import types
import typing

import numpy as np

import l2m
import l2m.loading  # every record module
from l2m.base.records import _KINDS, Record

KINDS = sorted(kind for kind, cls in _KINDS.items() if cls.__module__.startswith("l2m."))


def law() -> l2m.PowerLaw:
    x = 2.0 ** np.arange(7)
    y = 2 * x**-0.7 + 0.1 + 0.01 * np.cos(x)
    generator = np.random.default_rng(0)
    replicates = y + 0.001 * generator.standard_normal((5, 7))
    return l2m.fit_power_law(
        x, y, stderr=np.full(7, 0.01), covariance=1e-4 * np.eye(7), method="gls", offset=True, replicates=replicates
    )


GIVEN: dict[str, dict[str, typing.Any]] = {
    "curve comparison": {"settings": {"space": "linear", "weighted": False}, "x": np.arange(1.0, 3)},
    "bipartite": {"settings": {"x": "length", "estimator": "direct", "ratio": 2, "correction": "none"}},
    "design": {
        "candidates": (
            {
                "fields": {"state_size": 16},
                "state": 8.0,
                "bytes": 16.0,
                "growth": "constant",
                "reach": 4.0,
                "suffices": True,
            },
        )
    },
    "gaussian growth": {"settings": {"children": (3, 3)}},
    "gaussian two-point": {"settings": {"children": (3, 3)}},
    "law curve": {"quantity": "two-point"},
    "n-grams": {"n_max": 2, "source": None},
    "effective context": {"settings": {"axis": "tokens", "model": "tiny"}},
    "position nll": {"settings": {"axis": "tokens", "model": "tiny"}},
    "two-point": {"settings": {"null": "exact", "permutations": 19}},
    "memory": {"layer": 0, "part": "attention", "growth": "fixed"},
    "memory_plan": {"engine": "vllm", "block": 16, "chunk": 32, "cache_bits": 16.0, "reserve": 7},
    "memory_plans": {"lengths": (8, 64), "batch": 2, "memory": 10**9, "verdicts": None},
    "weights": {
        "parameters": 90,
        "lookup": 20,
        "experts": 40,
        "chosen": 1,
        "choices": 4,
        "bits": 16.0,
        "expert_bits": 4.25,
    },
    "verdict": {"outcome": "fails", "x": "length", "level": 0.9, "ratio": 2.0},
    "measurement": {"summary": {"amplitude": 2.0}, "verdicts": ({"threshold": 0.06},)},
}


def example(cls: type[Record]) -> Record:
    """A record with a value in every field, made from the annotations."""
    if cls is l2m.PowerLaw:
        return law()
    hints = typing.get_type_hints(cls)
    values = {
        field.name: value(hints[field.name], cls, len(cls.axes.get(field.name, "one").split()))
        for field in dataclasses.fields(cls)
        if field.name not in ("unit", "settings")
    }
    return cls(**{**values, **GIVEN.get(cls.kind, {})})


def value(annotation: typing.Any, inside: type[Record], axes: int = 1) -> typing.Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if inner is inside else value(inner, inside, axes)
    if origin is np.ndarray:
        scalar = typing.get_args(arguments[1])[0]
        if issubclass(scalar, np.bool_):
            return np.array([True, False, True, False][: 2**axes]).reshape((2,) * axes)
        values = [1, 2, 3, 4] if issubclass(scalar, np.integer) else [0.5, 1.5, 2.5, 3.5]
        return np.array(values[: 2**axes], scalar if issubclass(scalar, np.integer) else None).reshape((2,) * axes)
    if origin is tuple:
        return (value(arguments[0], inside),) * 2
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return example(annotation)
    simple = {float: 1.5, int: 3, str: "words", bool: True, typing.Any: law()}
    return simple.get(annotation, {})
