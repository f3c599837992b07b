"""Results as records: frozen, with value, error, unit and the settings that made them; saved as JSON, loaded by kind."""

import dataclasses
import html
import math
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from l2m.base import checks
from l2m.base.files import atomic_write, read_json, unseal, write_sealed
from l2m.base.optional import require
from l2m.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = 2
"""1: without a checksum; a fit's parameters under the names `best`, `errors` and `degrees`. Still read."""
LONGEST_REPR = 140
"""Characters: a `repr` is one line of a console."""
HTML_ROWS = 12
"""Rows of a table in a notebook; `to_frame` has all."""
_KINDS: dict[str, type["Record"]] = {}
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_LARGEST = int(sys.float_info.max)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Record:
    """Base of every result.

    A subclass is a frozen dataclass whose fields are numbers, strings, arrays, mappings, tuples or other records. Their
    annotations are the schema of the saved file. It names the fields that hold information (`information_fields`, scaled
    by `to`), products of two of them (`squared_fields`: covariances), and which axes of its arrays have the same length
    (`axes`: {"x": "points", "covariance": "points points"}).
    """

    kind: ClassVar[str] = ""
    information_fields: ClassVar[tuple[str, ...]] = ()
    squared_fields: ClassVar[tuple[str, ...]] = ()
    axes: ClassVar[Mapping[str, str]] = {}
    derived: ClassVar[tuple[str, ...]] = ()
    """Properties that are saved for people who read the file; `load` computes them again."""

    unit: str = dataclasses.field(default="nats", kw_only=True)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, kw_only=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.kind:
            _KINDS[cls.kind] = cls

    def to(self, unit: str) -> Self:
        """The same result in "nats" or "bits" (1 nat = 1/ln 2 bits), the records within it included.

        Raises:
            InputError: another unit.
        """
        if unit not in ("nats", "bits"):
            raise InputError(f"unit: {unit!r}; expected 'nats' or 'bits'")
        if unit == self.unit:
            return self
        values = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "settings"
        }
        changes = {name: new for name, value in values.items() if (new := _converted(value, unit)) is not value}
        changes |= self._scaled(1 / math.log(2) if unit == "bits" else math.log(2))
        return dataclasses.replace(self, **{**changes, "unit": unit})

    def _scaled(self, factor: float) -> dict[str, Any]:
        """The fields that change where information is counted in a unit `factor` times smaller."""
        return {
            name: value * factor**power
            for power, names in ((1, self.information_fields), (2, self.squared_fields))
            for name in names
            if (value := getattr(self, name)) is not None
        }

    def columns(self) -> dict[str, np.ndarray]:
        """The rows of a table, by column: the one-dimensional arrays as long as the first of them.

        A record without arrays is one row: its numbers and words, those of the records within it as `field_name`.
        """
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        flat = {name: value for name, value in arrays.items() if isinstance(value, np.ndarray) and value.ndim == 1}
        if not flat:
            return {name: np.array([value]) for name, value in self._scalars().items()}
        size = next(value.size for value in flat.values())
        return {name: value for name, value in flat.items() if value.size == size}

    def to_frame(self) -> "DataFrame":
        """A pandas DataFrame of the columns.

        Raises:
            InputError: pandas is not installed.
        """
        return frame(self.columns())

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `columns` as CSV, atomically; numbers read back to the same bits."""
        import csv

        columns = self.columns()
        with atomic_write(path, "w") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: arrays as {"dtype", "shape", "data"}, non-finite numbers as "nan", "inf", "-inf"."""
        names = [*(field.name for field in dataclasses.fields(self)), *self.derived]
        return {"kind": self.kind, "schema": SCHEMA, **{name: _encode(getattr(self, name)) for name in names}}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], where: str = "") -> Self:
        """Inverse of `to_dict`; a field with a default may be missing.

        Args:
            where: what messages call the record; default: its kind.

        Raises:
            InputError: another kind or schema, a field that is missing, unknown or of the wrong type, arrays that do not
                fit each other.
        """
        where = where or cls.kind
        if not isinstance(value, Mapping) or value.get("kind") != cls.kind:
            found = value.get("kind") if isinstance(value, Mapping) else _found(value)
            raise InputError(f"{where}: kind {found!r}; expected {cls.kind!r}")
        schema = value.get("schema")
        if isinstance(schema, bool) or not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
            raise InputError(f"{where}: schema {schema!r}; this version of l2m reads schemas 1 to {SCHEMA}")
        value = dict(value) if schema == SCHEMA else cls._upgraded(dict(value))
        fields, absent = dataclasses.fields(cls), dataclasses.MISSING
        required = {field.name for field in fields if field.default is absent and field.default_factory is absent}
        unknown = set(value) - {field.name for field in fields} - {"kind", "schema", *cls.derived}
        missing = required - set(value)
        if unknown or missing:
            found = [f"{name!r} missing" for name in sorted(missing)] + [
                f"{name!r} unknown" for name in sorted(unknown)
            ]
            raise InputError(
                f"{where}: fields {', '.join(found)}; expected {', '.join(field.name for field in fields)}"
            )
        readers: dict[str, Reader] = _readers(cls)  # type: ignore[arg-type]  # mypy: Self is not hashable
        built = {
            field.name: readers[field.name](value[field.name], f"{where}.{field.name}")
            for field in fields
            if field.name in value
        }
        if built.get("unit", "nats") not in ("nats", "bits"):
            raise InputError(f"{where}.unit: {built['unit']!r}; expected 'nats' or 'bits'")
        cls._check_axes(built, where)
        try:
            return cls(**built)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None

    @classmethod
    def _upgraded(cls, value: dict[str, Any]) -> dict[str, Any]:
        """The fields of a record of schema 1 as this schema names them."""
        return value

    @classmethod
    def _check_axes(cls, built: Mapping[str, Any], where: str) -> None:
        lengths: dict[str, tuple[str, int]] = {}
        for name, axes in cls.axes.items():
            array, wanted = built.get(name), axes.split()
            if array is None:
                continue
            shape = array.shape if isinstance(array, np.ndarray) else (len(array),)
            if len(shape) != len(wanted):
                raise InputError(f"{where}.{name}: shape {shape}; expected {' x '.join(wanted)}")
            for axis, length in zip(wanted, shape, strict=True):
                first, expected = lengths.setdefault(axis, (name, length))
                if length != expected:
                    raise InputError(f"{where}.{name}: {length} {axis}; expected {expected}, as {first} has")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON with a checksum, atomically; `l2m.load` reads it back to the same values, bit by bit."""
        write_sealed(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The record of this class in a file; `l2m.load` reads any.

        Raises:
            InputError: see `read_record`; or a record of another class.
        """
        record = read_record(checks.path("path", path))
        if not isinstance(record, cls):
            raise InputError(f"{path}: a record of kind {record.kind!r}; expected {cls.kind!r}")
        return record

    def explain(self) -> str:
        """The result in words: its headline, then what each field holds."""
        rows = self._summary()
        width = max(map(len, rows), default=0)
        return "\n".join([repr(self), *(f"  {name:<{width}}  {words}" for name, words in rows.items())])

    def _brief(self) -> str:
        """The few words that a `repr` holds: by default the sizes of the axes, then numbers and short texts."""
        sizes: dict[str, int] = {}
        for name, axes in self.axes.items():
            value = getattr(self, name)
            if value is not None:
                shape = value.shape if isinstance(value, np.ndarray) else (len(value),)
                sizes.update(zip(axes.split(), shape, strict=True))
        words = [f"{size:,} {axis}" for axis, size in sizes.items()]
        plain = {name: value for name, value in self._fields().items() if isinstance(value, (bool, int, float, str))}
        words += [
            f"{name}={_shown(value)}" for name, value in plain.items() if not isinstance(value, str) or len(value) < 25
        ]
        return ", ".join(words[:5])

    def _fields(self) -> dict[str, Any]:
        """The fields that hold something, without unit and settings."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("settings", "unit")]
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def _scalars(self) -> dict[str, Any]:
        """Numbers and words, those of the records within as `field_name`."""
        found: dict[str, Any] = {}
        for name, value in self._fields().items():
            if isinstance(value, (bool, int, float, str)):
                found[name] = value
            elif isinstance(value, Record):
                found |= {f"{name}_{inner}": item for inner, item in value._scalars().items()}
        return found

    def _summary(self) -> dict[str, str]:
        """What a reader sees of the record: a few words a field."""
        return {name: _shown(value) for name, value in self._fields().items()} | {"unit": self.unit}

    def __repr__(self) -> str:
        try:
            words = " ".join(self._brief().split())
        except (ArithmeticError, LookupError, TypeError, ValueError):
            words = self.kind  # a file that was edited: what it holds is not what the words are about
        words = words if len(words) <= LONGEST_REPR else f"{words[: LONGEST_REPR - 3]}..."
        return f"{type(self).__name__}({words})"

    def _repr_html_(self) -> str:
        """A table for notebooks: the first rows of the columns, or one row a field where there is one row alone."""
        columns = self.columns()
        size = len(next(iter(columns.values()))) if columns else 0
        if size > 1:
            shown = min(size, HTML_ROWS)
            head = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in columns)
            body = "".join(
                f"<tr>{''.join(f'<td>{html.escape(_shown(column[row]))}</td>' for column in columns.values())}</tr>"
                for row in range(shown)
            )
            more = f"<tr><td colspan='{len(columns)}'>... {size:,} rows in all</td></tr>" if shown < size else ""
            rows = f"<tr>{head}</tr>{body}{more}"
        else:
            rows = "".join(
                f"<tr><th scope='row' style='text-align:left'>{html.escape(name)}</th><td>{html.escape(words)}</td></tr>"
                for name, words in self._summary().items()
            )
        return f"<table><caption>{html.escape(repr(self))}</caption>{rows}</table>"


def span(values: Any, unit: str = "") -> str:
    """First and last of some values as a headline writes them: `0.52 to 0.0031 nats`."""
    values = np.asarray(values)
    if not values.size:
        return "none"
    first, last = (
        _shown(item) if isinstance(item, float) else f"{item:,}" for item in (values[0].item(), values[-1].item())
    )
    return (first if values.size == 1 else f"{first} to {last}") + (f" {unit}" if unit else "")


def frame(
    columns: Mapping[str, Any] | Sequence[Mapping[str, Any]], index: tuple[str, Iterable[Any]] | None = None
) -> "DataFrame":
    """A pandas DataFrame.

    Args:
        columns: arrays by name, or one mapping a row.
        index: its name and its values; None: 0, 1, ...

    Raises:
        InputError: pandas is not installed.
    """
    require("to_frame", "pandas")
    import pandas

    rows = None if index is None else pandas.Index(list(index[1]), name=index[0])
    return pandas.DataFrame(dict(columns) if isinstance(columns, Mapping) else list(columns), index=rows)


def read_record(path: str | os.PathLike[str]) -> Any:
    """The record in a file, of a kind whose module is imported; `l2m.load` imports them all first.

    Raises:
        InputError: no such file, not a record, one of an unknown kind or of another schema, fields that are missing or of
            the wrong type, or a checksum that differs.
    """
    value = read_json(path)
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(f"{path}: kind {kind!r}; expected a record saved by l2m, one of {', '.join(sorted(_KINDS))}")
    if "checksum" in value or value.get("schema") == SCHEMA:  # schema 1 had none
        value = unseal(path, value)
    try:
        return _KINDS[kind].from_dict(value, f"{path}: {kind}")
    except RecursionError:
        raise InputError(f"{path}: nested too deeply; expected a record saved by l2m") from None


def _converted(value: Any, unit: str) -> Any:
    """`value` with every record in it, at any depth, in another unit; the same object where there is none."""
    if isinstance(value, Record):
        return value.to(unit)
    if isinstance(value, (tuple, list)):
        items = [_converted(item, unit) for item in value]
        changed = any(new is not old for new, old in zip(items, value, strict=True))
        return tuple(items) if changed else value
    if isinstance(value, Mapping):
        fields = {key: _converted(item, unit) for key, item in value.items()}
        return fields if any(fields[key] is not value[key] for key in fields) else value
    return value


def _shown(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, np.ndarray):
        if value.size > 6:
            return f"<{value.dtype} {'x'.join(map(str, value.shape))}>"
        return np.array2string(value, precision=4, separator=", ")
    if isinstance(value, Record):
        return repr(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return f"<{len(value)} entries>"
    if isinstance(value, (tuple, list)) and (
        len(value) > 6 or any(isinstance(item, (Record, Mapping)) for item in value)
    ):
        return f"<{len(value)} items>"
    words = repr(value)
    return words if len(words) <= 80 else f"{words[:76]}...{words[-1]}"


# --- JSON -----------------------------------------------------------------------------------------------------------------


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
    raise TypeError(f"cannot save a {type(value).__name__}: {str(value)!r}")


Reader = Callable[[Any, str], Any]


@cache
def _readers(cls: type[Record]) -> dict[str, Reader]:
    """How each field is read, from its annotation."""
    hints = typing.get_type_hints(cls)
    return {field.name: _reader(hints[field.name]) for field in dataclasses.fields(cls)}


def _reader(annotation: Any) -> Reader:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        some = [_reader(argument) for argument in arguments if argument is not types.NoneType]
        return _optional(some[0]) if len(some) == 1 and len(arguments) == 2 else _read_any
    if origin is np.ndarray:
        return _array_reader(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _tuple_reader(_reader(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _read_mapping
    if isinstance(annotation, type):
        if issubclass(annotation, Record):
            return _record_reader(annotation)
        plain: dict[type, Reader] = {float: _read_float, int: _read_int, bool: _read_bool, str: _read_str}
        return plain.get(annotation, _read_any)
    return _read_any


def _wrong(where: str, value: Any, expected: str) -> InputError:
    return InputError(f"{where}: {_found(value)}; expected {expected}")


def _found(value: Any) -> str:
    """A JSON value in a few words."""
    names = {dict: "an object", list: "a list", type(None): "null"}
    if isinstance(value, (dict, list)) or value is None:
        return names[type(value)]
    words = repr(value)
    return words if len(words) <= 40 else f"{words[:40]}..."


def _optional(reader: Reader) -> Reader:
    return lambda value, where: None if value is None else reader(value, where)


def _read_float(value: Any, where: str) -> float:
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or (isinstance(value, int) and abs(value) > _LARGEST)
    ):
        raise _wrong(where, value, "a number")
    return value


def _read_int(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**256:
        raise _wrong(where, value, "a whole number")
    return value


def _read_bool(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, value, "true or false")
    return value


def _read_str(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, value, "text")
    return value


def _read_mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    return {key: _read_any(item, f"{where}.{key}") for key, item in value.items()}


def _tuple_reader(reader: Reader) -> Reader:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return tuple(reader(item, f"{where}[{place}]") for place, item in enumerate(value))

    return read


def _record_reader(base: type[Record]) -> Reader:
    def read(value: Any, where: str) -> Record:
        kind = value.get("kind") if isinstance(value, dict) else None
        found = _KINDS.get(kind) if isinstance(kind, str) else None
        if found is None or not issubclass(found, base):
            expected = base.kind or " or ".join(sorted(name for name, cls in _KINDS.items() if issubclass(cls, base)))
            raise InputError(
                f"{where}: {_found(value) if kind is None else f'kind {kind!r}'}; expected a record of kind {expected}"
            )
        return found.from_dict(value, where)

    return read


_TYPES: dict[str, set[type]] = {"f": {int, float, str}, "b": {bool}, "U": {str}, "i": {int}, "u": {int}}
_DTYPES = {f"{order}{kind}{size}": kind for order in "<>|" for kind in "fiu" for size in "1248"} | {"|b1": "b"}
"""What an array may be; nothing is allocated for a type or shape before the list of its values is seen to fit."""


def _array_reader(arguments: tuple[Any, ...]) -> Reader:
    """For NDArray[dtype]: its shape is Any, its dtype the second argument."""
    scalar = typing.get_args(arguments[1])[0] if len(arguments) == 2 and typing.get_args(arguments[1]) else None
    allowed = "fiu" if isinstance(scalar, type) and issubclass(scalar, np.floating) else "iu"
    if not (isinstance(scalar, type) and issubclass(scalar, (np.floating, np.integer))):
        allowed = "fiub"

    def read(value: Any, where: str) -> np.ndarray:
        array = _read_array(value, where)
        if array.dtype.kind not in allowed:
            raise InputError(
                f"{where}: an array of {array.dtype}; expected {'numbers' if 'f' in allowed else 'integers'}"
            )
        return array

    return read


def _read_array(value: Any, where: str) -> np.ndarray:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data"}:
        raise _wrong(where, value, "an array (dtype, shape, data)")
    dtype, shape, data = value["dtype"], value["shape"], value["data"]
    text = isinstance(dtype, str) and dtype[:2] in ("<U", ">U") and dtype[2:].isdecimal()
    if not isinstance(dtype, str) or not (dtype in _DTYPES or text) or dtype[-2:] == "f1":
        raise InputError(f"{where}: dtype {_found(dtype)}; expected one such as '<f8' or '<i8'")
    sizes = isinstance(shape, list) and all(type(size) is int and 0 <= size < 2**62 for size in shape)
    if not sizes or not isinstance(data, list) or math.prod(shape) != len(data) or len(shape) > 32:
        count = len(data) if isinstance(data, list) else _found(data)
        raise InputError(f"{where}: {count} values for shape {_found_list(shape)}; expected as many as the shape has")
    kind = "U" if text else _DTYPES[dtype]
    expected = _TYPES[kind]
    types_found = set(map(type, data))
    strange = [item for item in data if type(item) not in expected][:1] if not types_found <= expected else []
    if kind == "f" and str in types_found:
        strange = strange or [item for item in data if isinstance(item, str) and item not in _NON_FINITE][:1]
        data = [_NON_FINITE.get(item, item) if isinstance(item, str) else item for item in data]
    if strange:
        raise _wrong(where, strange[0], f"values of type {dtype}")
    try:
        # Text takes the width of what is there, not the one that the file claims.
        return np.array(data, dtype=str if text else np.dtype(dtype)).reshape(shape)
    except (OverflowError, ValueError, MemoryError) as error:
        raise InputError(f"{where}: not an array of {dtype} ({error})") from None


def _found_list(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, list) else _found(value)


def _read_any(value: Any, where: str) -> Any:
    """Where the annotation leaves it open: records and arrays are recognised by their form."""
    if isinstance(value, dict):
        if set(value) == {"dtype", "shape", "data"}:
            return _read_array(value, where)
        if "kind" in value and "schema" in value:
            return _record_reader(Record)(value, where)
        return {key: _read_any(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_read_any(item, f"{where}[{place}]") for place, item in enumerate(value))
    if isinstance(value, str):
        return _NON_FINITE.get(value, value)
    return value
