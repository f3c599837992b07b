"""Tables: parquet and arrow, read 64 rows at a time; every batch is checked before a value of it is touched."""

from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

import numpy as np

from l2m.base.hub import one_line
from l2m.base.optional import optional_library
from l2m.corpora.documents import Document, FileUnit, ReadingLog, ReadingOptions, listed
from l2m.corpora.formats.arrow_messages import refuse_arrow_bombs
from l2m.corpora.formats.streams import decode, open_bytes, refuse_bomb
from l2m.corpora.formats.text import document_id
from l2m.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

_ROWS = 64  # of books that is 30 MB, and at 1 kB a row the cost of a batch is still hidden


def read_parquet(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """A row is a document."""
    yield from _read(file, "parquet", _open_parquet, options, log)


def read_arrow(file: FileUnit, options: ReadingOptions, log: ReadingLog) -> Iterator[Document]:
    """A row is a document; the file form (Feather 2) and the stream that `datasets` writes."""
    yield from _read(file, "arrow", _open_arrow, options, log)


_Opened = tuple["pa.Schema", "Callable[[list[str]], Iterator[pa.RecordBatch]]", int]
"""The schema, a function from columns to batches, and the number of rows (0: not known)."""


def _read(
    file: FileUnit, kind: str, open_table: Callable[[IO[bytes]], _Opened], options: ReadingOptions, log: ReadingLog
) -> Iterator[Document]:
    pa = optional_library("pyarrow", file.path)
    with open_bytes(file.path) as opened:
        try:
            if kind == "arrow":
                refuse_arrow_bombs(opened, file.path)
            schema, batches, rows = open_table(opened)
            texts = _holds_texts(schema, file.path, options.field)
            columns = [name for name in dict.fromkeys((options.field, options.id_field)) if name in schema.names]
        except InputError:
            raise
        except Exception as error:  # arrow's own, OSError, and what its parsers of metadata raise
            raise InputError(f"{file.path}: not a readable {kind} file ({one_line(error)})") from None
        for name in columns:
            if schema.names.count(name) > 1:
                raise InputError(f"{file.path}: {schema.names.count(name)} columns {name!r}; expected one")
        number, before = 0, log.consumed
        taken = batches(columns)
        while True:
            try:
                batch = next(taken, None)
                if batch is None:
                    return
                names = _checked(batch.column(options.id_field)) if options.id_field in columns else None
                values = _checked(batch.column(options.field))
            except InputError as error:
                raise InputError(f"{file.path}: {error}") from None
            except Exception as error:
                raise InputError(f"{file.path}: broken after row {number} ({one_line(error)})") from None
            for row, scalar in enumerate(values):
                # A word that a million rows share is taken out of its dictionary one row at a time.
                value = scalar.value if isinstance(scalar, pa.DictionaryScalar) else scalar
                where = f"{file.path}: row {number}"
                id = f"{file.id}:{number}"
                number += 1
                try:
                    if names is not None and (name := names[row].as_py()) is not None:
                        id = decode(name, where) if isinstance(name, bytes) else document_id(name, id)
                    if value is None or not value.is_valid:
                        raise InputError(f"{where}: column {options.field!r} is null; expected text")
                    if texts:
                        yield Document(id, decode(value.as_py(), where))
                    elif value.values.null_count:
                        raise InputError(f"{where}: column {options.field!r} has a null among its ids; expected ids")
                    else:
                        yield Document(id, ids=np.asarray(value.values.to_numpy(zero_copy_only=False)))
                except InputError as error:
                    log.problem(str(error))
            log.consumed = before + file.size * number // max(rows, number, 1)


def _holds_texts(schema: "pa.Schema", path: str, field: str) -> bool:
    """Whether the column holds texts (else lists of token ids)."""
    from pyarrow import types

    if field not in schema.names:
        raise InputError(f"{path}: no column {field!r}; there are {listed(schema.names)}")
    kind = schema.types[schema.names.index(field)]
    value = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_string(value) or types.is_large_string(value) or types.is_string_view(value):
        return True
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not (lists and types.is_integer(kind.value_type)):
        raise InputError(f"{path}: column {field!r} holds {kind}; expected text, or lists of token ids")
    return False


def _checked(column: "pa.Array") -> "pa.Array":
    """The column when its offsets and indices lie inside its buffers; texts as bytes, which may not be UTF-8.

    Arrow reads what a file's offsets say without a look: one of 2 * 10^9 among twelve letters ended the process.
    """
    import pyarrow as pa

    # Validated as bytes: one text that is not UTF-8 is the fault of its row, not of the batch.
    as_bytes = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
    if isinstance(column, pa.DictionaryArray):
        column.indices.validate(full=True)
        words = _checked(column.dictionary)
        column = pa.DictionaryArray.from_arrays(column.indices, words)  # safe: refuses indices past the words
        column.validate(full=True)
        return column
    column = column.view(as_bytes[column.type]) if column.type in as_bytes else column
    column.validate(full=True)
    return column


def _open_parquet(file: IO[bytes]) -> _Opened:
    from pyarrow import parquet

    table = parquet.ParquetFile(file, pre_buffer=False)
    return table.schema_arrow, lambda columns: _parquet_batches(table, columns), table.metadata.num_rows


def _parquet_batches(table: "parquet.ParquetFile", columns: list[str]) -> "Iterator[pa.RecordBatch]":
    for group in range(table.metadata.num_row_groups):
        for column in map(table.metadata.row_group(group).column, range(table.metadata.num_columns)):
            path = column.path_in_schema
            if any(path == name or path.startswith(f"{name}.") for name in columns):
                refuse_bomb(column.total_compressed_size, column.total_uncompressed_size, f"column {path!r}")
    yield from table.iter_batches(_ROWS, columns=columns)


def _open_arrow(file: IO[bytes]) -> _Opened:
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(file)
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
    except pa.ArrowInvalid:
        file.seek(0)
        reader = pa.ipc.open_stream(file)
        batches = iter(reader)
    return reader.schema, lambda columns: (batch.select(columns) for batch in batches), 0
