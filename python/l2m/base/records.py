"""Results as records: frozen, with value, error, unit and the settings that made them; saved as JSON, loaded by kind."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from l2m.base.files import read_json, write_json
from l2m.errors import InputError

SCHEMA = 1
_KINDS: dict[str, type["Record"]] = {}
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Record:
    """Base of every result.

    A subclass is a frozen dataclass whose fields are numbers, strings, arrays, mappings, tuples or other records. It
    names the fields that hold information (`information_fields`, scaled by `to`) and products of two of them
    (`squared_fields`: covariances).
    """

    kind: ClassVar[str] = ""
    information_fields: ClassVar[tuple[str, ...]] = ()
    squared_fields: ClassVar[tuple[str, ...]] = ()

    unit: str = dataclasses.field(default="nats", kw_only=True)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, kw_only=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.kind:
            _KINDS[cls.kind] = cls

    def to(self, unit: str) -> Self:
        """The same result in "nats" or "bits" (1 nat = 1/ln 2 bits).

        Raises:
            InputError: another unit.
        """
        if unit not in ("nats", "bits"):
            raise InputError(f"unit: {unit!r}; expected 'nats' or 'bits'")
        if unit == self.unit:
            return self
        factor = 1 / math.log(2) if unit == "bits" else math.log(2)
        changes: dict[str, Any] = {"unit": unit}
        for power, names in ((1, self.information_fields), (2, self.squared_fields)):
            for name in names:
                value = getattr(self, name)
                if value is not None:
                    changes[name] = value.to(unit) if isinstance(value, Record) else value * factor**power
        return dataclasses.replace(self, **changes)

    def columns(self) -> dict[str, np.ndarray]:
        """The one-dimensional arrays as long as the first of them, by field name: the rows of a table."""
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        flat = {name: value for name, value in arrays.items() if isinstance(value, np.ndarray) and value.ndim == 1}
        size = next((value.size for value in flat.values()), 0)
        return {name: value for name, value in flat.items() if value.size == size}

    def to_frame(self) -> Any:
        """A pandas DataFrame of the columns."""
        from pandas import DataFrame

        return DataFrame(self.columns())

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `columns` as CSV, atomically; numbers read back to the same bits."""
        import csv

        from l2m.base.files import atomic_write

        columns = self.columns()
        with atomic_write(path, "w") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: arrays as {"dtype", "shape", "data"}, non-finite numbers as "nan", "inf", "-inf"."""
        fields = {field.name: _encode(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return {"kind": self.kind, "schema": SCHEMA, **fields}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`; a field with a default may be missing."""
        fields, absent = dataclasses.fields(cls), dataclasses.MISSING
        required = {field.name for field in fields if field.default is absent and field.default_factory is absent}
        unknown = set(value) - {field.name for field in fields} - {"kind", "schema"}
        missing = required - set(value)
        if unknown or missing:
            raise InputError(f"{cls.kind}: fields {sorted(unknown)} unknown, {sorted(missing)} missing")
        return cls(**{name: _decode(item) for name, item in value.items() if name not in ("kind", "schema")})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, atomically; `l2m.load` reads it back to the same values, bit by bit."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The record of this class in a file; `l2m.load` reads any.

        Raises:
            InputError: see `read_record`; or a record of another class.
        """
        record = read_record(path)
        if not isinstance(record, cls):
            raise InputError(f"{path}: a record of kind {record.kind!r}; expected {cls.kind!r}")
        return record

    def __repr__(self) -> str:
        parts = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray) and value.size > 6:
                shown = f"<{value.dtype} {'x'.join(map(str, value.shape))}>"
            elif isinstance(value, np.ndarray):
                shown = np.array2string(value, precision=4, separator=", ")
            elif isinstance(value, float):
                shown = f"{value:.6g}"
            elif field.name == "settings":
                continue
            else:
                shown = repr(value)
            parts.append(f"{field.name}={shown}")
        return f"{type(self).__name__}({', '.join(parts)})"


def read_record(path: str | os.PathLike[str]) -> Any:
    """The record in a file, of a kind whose module is imported; `l2m.load` imports them all first.

    Raises:
        InputError: no such file, not a record, one of an unknown kind, or one of another schema.
    """
    value = read_json(path)
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind not in _KINDS:
        raise InputError(f"{path}: kind {kind!r}; expected a record saved by l2m, one of {', '.join(sorted(_KINDS))}")
    if value.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema {value.get('schema')!r}; this version of l2m reads schema {SCHEMA}")
    return _KINDS[kind].from_dict(value)


def _encode(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        data = value.ravel().tolist()
        return {"dtype": value.dtype.str, "shape": list(value.shape), "data": [_encode(item) for item in data]}
    if isinstance(value, np.generic):
        return _encode(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"cannot save a {type(value).__name__}: {json.dumps(str(value))}")


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"dtype", "shape", "data"}:
            data = [_NON_FINITE.get(item, item) if isinstance(item, str) else item for item in value["data"]]
            return np.array(data, dtype=np.dtype(value["dtype"])).reshape(value["shape"])
        if "kind" in value and "schema" in value:
            if value["kind"] not in _KINDS:
                raise InputError(
                    f"kind: {value['kind']!r} within a record; expected one of {', '.join(sorted(_KINDS))}"
                )
            return _KINDS[value["kind"]].from_dict(value)
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    if isinstance(value, str):
        return _NON_FINITE.get(value, value)
    return value
