"""One small true file of each format that is read, as bytes."""

import bz2
import gzip
import io
import json
import lzma
import struct
from collections.abc import Iterator
from typing import Any


def npy(array: Any) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def samples() -> Iterator[tuple[str, bytes]]:
    """One small true file of each format: (name, bytes)."""
    import numpy as np

    texts = ["some words", "and more of them", "é and 漢字"]
    yield "a.txt", "\n".join(texts).encode()
    yield "a.jsonl", "".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)).encode()
    yield "a.npy", npy(np.arange(40, dtype=np.uint16))
    yield "a.bin", np.arange(64, dtype="<u2").tobytes()
    header = np.zeros(256, "<i4")
    header[:3] = 20240520, 1, 64
    yield "nano.bin", header.tobytes() + np.arange(64, dtype="<u2").tobytes()
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": ["a", "b", "c"], "text": texts})
    for name, new in (("a.arrow", pa.ipc.new_stream), ("b.arrow", pa.ipc.new_file)):
        sink = pa.BufferOutputStream()
        with new(sink, table.schema) as writer:
            writer.write_table(table)
        yield name, sink.getvalue().to_pybytes()
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    yield "a.parquet", sink.getvalue().to_pybytes()
    yield "a.jsonl.gz", gzip.compress(b'{"text": "one"}\n{"text": "two"}\n')
    yield "a.txt.xz", lzma.compress(b"some text")
    yield "a.txt.bz2", bz2.compress(b"some text")


def megatron() -> tuple[bytes, bytes]:
    import numpy as np

    sizes = np.array([5, 9, 2], "<i4")
    starts = np.array([0, 10, 28], "<i8")
    index = (
        b"MMIDIDX\0\0"
        + struct.pack("<QB", 1, 8)
        + struct.pack("<QQ", 3, 4)
        + sizes.tobytes()
        + starts.tobytes()
        + np.arange(4, dtype="<i8").tobytes()
    )
    return index, np.arange(16, dtype="<u2").tobytes()


def gguf() -> bytes:
    """The head of a GGUF file: what a model is, without its weights."""

    def string(text: str) -> bytes:
        return struct.pack("<Q", len(text)) + text.encode()

    numbers = {
        "block_count": 2, "embedding_length": 16, "feed_forward_length": 32, "attention.head_count": 2, "context_length": 64,
        "attention.head_count_kv": 2,
    }  # fmt: skip
    pairs = [
        ("general.architecture", 8, string("llama")),
        *((f"llama.{name}", 4, struct.pack("<I", value)) for name, value in numbers.items()),
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs))
    return head + b"".join(string(name) + struct.pack("<I", kind) + value for name, kind, value in pairs)
