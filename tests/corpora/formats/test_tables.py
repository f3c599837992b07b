"""Parquet and arrow: every type of column, rows at fault, damaged batches."""

import io
import os
import random
import struct
from pathlib import Path

import pytest

import l2m
from l2m.corpora.documents import FileUnit, ReadingLog, ReadingOptions
from l2m.corpora.formats.arrow_messages import refuse_arrow_bombs
from l2m.corpora.formats.tables import read_arrow
from mutations import draw_edits, edit
from reading import arrow_bytes, read, read_skipping, refusal, write


def test_texts_of_every_arrow_type_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ["one", "zw\u00f6lf", "one"]
    for type_ in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        column = (
            pa.array(texts, pa.string()).dictionary_encode()
            if pa.types.is_dictionary(type_)
            else pa.array(texts, type_)
        )
        table = pa.table({"text": column})
        with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
            writer.write_table(table)
        assert [text for _, text in read(tmp_path / "a.arrow")] == texts, type_
        pq.write_table(table, tmp_path / "a.parquet")
        assert [text for _, text in read(tmp_path / "a.parquet")] == texts, type_


@pytest.mark.parametrize("form", ["file", "stream"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_compressed_buffers_of_an_arrow_file_are_bounded(form: str, dictionary: bool, tmp_path: Path) -> None:
    import pyarrow as pa

    new = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
    for compression, size, refused in (
        ("zstd", 70 << 20, True),
        ("zstd", 1000, False),
        ("lz4", 1000, False),
        (None, 1000, False),
    ):
        words = pa.array(["a" * size, "b"])
        column = pa.DictionaryArray.from_arrays(pa.array([0, 1]), words) if dictionary else words
        table = pa.table({"text": column})
        path = tmp_path / "a.arrow"
        with new(path, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
            writer.write_table(table)
        if refused:
            assert "a batch: " in refusal(path)
        else:
            assert [len(text) for _, text in read(path)] == [size, 1]


def test_messages_of_a_damaged_arrow_file_end_in_one_line() -> None:
    import pyarrow as pa

    table = pa.table({"text": ["one", "two" * 50] * 30})
    for new in (pa.ipc.new_file, pa.ipc.new_stream):
        whole = io.BytesIO()
        with new(whole, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table)
        draw = random.Random(0)
        refused, named = 0, True
        for _ in range(1000):
            try:
                refuse_arrow_bombs(io.BytesIO(edit(whole.getvalue(), draw_edits(draw))), "a.arrow")
            except l2m.InputError as error:
                named &= str(error).startswith("a.arrow: ")
                refused += 1
        assert named
        assert 100 < refused < 1000


def test_a_word_that_many_rows_share_is_not_repeated_in_memory(tmp_path: Path) -> None:
    """Decoded as a whole, this column of 1 MB takes a terabyte; nulls of the index and of the dictionary are named."""
    import pyarrow as pa

    words = pa.array(["a" * (1 << 20), None], pa.large_string())
    column = pa.DictionaryArray.from_arrays(pa.array([1, None, *[0] * 1_000_000], pa.int32()), words)
    table = pa.table({"text": column, "id": pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_002), pa.array(["n"]))})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    log = ReadingLog("skip")
    unit = FileUnit(str(tmp_path / "a.arrow"), "a", 0, 0.0)
    found = read_arrow(unit, ReadingOptions(on_error="skip"), log)
    assert [(document.id, len(document.text)) for document, _ in zip(found, range(3), strict=False)] == [
        ("n", 1 << 20)
    ] * 3
    assert [line.partition(": ")[2] for line in log.skipped] == [
        f"row {row}: column 'text' is null; expected text" for row in (0, 1)
    ]


def test_ids_of_every_arrow_type_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for value in (pa.int8(), pa.uint16(), pa.int32(), pa.uint64()):
        for type_ in (pa.list_(value), pa.large_list(value), pa.list_(value, 2)):
            pq.write_table(pa.table({"text": pa.array([[1, 2], [3, 4]], type_)}), tmp_path / "a.parquet")
            corpus = l2m.tokenize(tmp_path / "a.parquet", duplicates="keep")
            assert [corpus[0].tolist(), corpus[1].tolist()] == [[1, 2], [3, 4]]


def test_rows_at_fault_are_skipped_by_themselves(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = [b"good", b"caf\xe9", b"also good"]
    for text, binary in ((pa.string(), pa.binary()), (pa.large_string(), pa.large_binary())):
        bad = pa.array(raw, binary).view(text)
        pq.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")
        assert "row 1: not UTF-8: byte 0xe9 at offset 3" in refusal(tmp_path / "a.parquet")
        texts, skipped = read_skipping(tmp_path / "a.parquet")
        assert (texts, len(skipped)) == (["good", "also good"], 1)
    pq.write_table(
        pa.table({"text": ["x", "y"], "id": pa.array([b"\xff", b"ok"], pa.binary()).view(pa.string())}),
        tmp_path / "a.parquet",
    )
    assert read_skipping(tmp_path / "a.parquet")[0] == ["y"]
    pq.write_table(pa.table({"text": [[1, 2], [3, None], None, [-4], [5]]}), tmp_path / "a.parquet")
    assert "row 1: column 'text' has a null among its ids" in refusal(tmp_path / "a.parquet")
    corpus = l2m.tokenize(tmp_path / "a.parquet", on_error="skip", duplicates="keep")
    assert corpus.tokens.tolist() == [1, 2, 5]
    assert len(corpus.tokenizer["skipped"]) == 3


def test_columns_twice_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for names in (["text", "text", "n"], ["text", "id", "id"]):
        table = pa.table([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=names)
        pq.write_table(table, tmp_path / "a.parquet")
        assert "2 columns" in refusal(tmp_path / "a.parquet")
        with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
            writer.write_table(table)
        assert "2 columns" in refusal(tmp_path / "a.arrow")
    pq.write_table(
        pa.table([pa.array(["a"]), pa.array([1]), pa.array([2])], names=["text", "n", "n"]), tmp_path / "a.parquet"
    )
    assert read(tmp_path / "a.parquet") == [("a.parquet:0", "a")]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("offset", [2_000_000_000, -1, 1])
def test_offsets_outside_the_letters_are_refused(tmp_path: Path, stream: bool, offset: int) -> None:
    import pyarrow as pa

    content = arrow_bytes(pa.array(["hello", " you", "end"]), stream=stream)
    place = content.index(struct.pack("<4i", 0, 5, 9, 12))
    content[place : place + 16] = struct.pack("<4i", 0, 5, offset, 12)
    assert "broken after row 0" in refusal(write(tmp_path / "a.arrow", bytes(content)))


def test_indices_outside_a_dictionary_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    content = arrow_bytes(pa.array(["a", "b", "c"]).dictionary_encode(), stream=True)
    place = content.rindex(struct.pack("<3i", 0, 1, 2))
    content[place : place + 12] = struct.pack("<3i", 0, 1, 1_000_000)
    assert "broken after row 0" in refusal(write(tmp_path / "a.arrow", bytes(content)))


def test_lists_outside_their_values_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    content = arrow_bytes(pa.array([[7, 8], [9]]), stream=True)
    place = content.index(struct.pack("<3i", 0, 2, 3))
    content[place : place + 12] = struct.pack("<3i", 0, 2, 30_000_000)
    assert "broken after row 0" in refusal(write(tmp_path / "a.arrow", bytes(content)))


def test_a_column_that_unfolds_beyond_any_text_is_refused(tmp_path: Path) -> None:
    """64 rows of one value of 80 MB: 6 kB of file, 5 GB as a batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.DictionaryArray.from_arrays(pa.array([0] * 64), pa.array(["x" * (80 << 20)]))
    table = pa.table({"text": column})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    assert os.path.getsize(tmp_path / "a.parquet") < 100_000
    assert "expected at most 1,000 times as many" in refusal(tmp_path / "a.parquet")
