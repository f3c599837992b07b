"""Token dumps: arrays and indexes that do not hold what they say."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest

import l2m
from reading import read, refusal, write


def test_an_index_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    np.arange(4, dtype="<u2").tofile(tmp_path / "a.bin")
    os.mkfifo(tmp_path / "a.idx")
    with pytest.raises(l2m.InputError, match=r"a\.idx: a pipe"):
        read(tmp_path / "a.bin")
    os.mkfifo(tmp_path / "index.json")
    with pytest.raises(l2m.InputError):
        read(tmp_path)


def npy_header(shape: tuple[int, ...], descr: str) -> bytes:

    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def saved(array: np.ndarray) -> bytes:

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


BAD_NPY: dict[str, bytes] = {
    "empty": b"",
    "magic alone": b"\x93NUMPY",
    "cut": saved(np.arange(50))[:-9],
    "cut in the header": saved(np.arange(50))[:40],
    "text": b"some text",
    "a zip": b"PK\x03\x04" + bytes(40),
    "a pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.",
    "objects": saved(np.array([1, None])),
    "fields": saved(np.zeros(3, [("a", "i4")])),
    "floats": saved(np.arange(3.0)),
    "booleans": saved(np.array([True])),
    "letters": saved(np.array(["a"])),
    "dates": saved(np.array(["2020-01-01"], "M8[D]")),
    "complex": saved(np.array([1j])),
    "no axis": saved(np.array(5)),
    "three axes": saved(np.zeros((1, 1, 1), int)),
    "no ids": saved(np.zeros(0, int)),
    "huge": npy_header((2**61,), "<i8"),
    "huger": npy_header((2**40, 2**40), "<i8"),
    "negative": npy_header((-5,), "<i8") + bytes(100),
    "wide letters": npy_header((3,), "|S2000000000"),
    "a header that is none": b"\x93NUMPY\x01\x00\x10\x00{'descr':[[[[[[[[",
    "a header that runs": b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').system('x')".ljust(32),
}


@pytest.mark.parametrize("case", BAD_NPY)
def test_npy_files_that_hold_no_ids_are_named(tmp_path: Path, case: str) -> None:
    refusal(write(tmp_path / "a.npy", BAD_NPY[case]))


def test_ids_out_of_range_are_one_line_and_skipped(tmp_path: Path) -> None:
    good = np.array([1, 2, 3])
    for number, bad in enumerate(([1, -1], [2**32, 5], [-(2**63), 0])):
        np.save(tmp_path / "a.npy", good)
        np.save(tmp_path / "b.npy", np.array(bad))
        with pytest.raises(l2m.InputError, match=r"document 'b\.npy': ids from"):
            l2m.tokenize(tmp_path, out=tmp_path / f"out{number}")
        corpus = l2m.tokenize([tmp_path / "a.npy", tmp_path / "b.npy"], on_error="skip")
        assert corpus.tokens.tolist() == [1, 2, 3]
        assert len(corpus.tokenizer["skipped"]) == 1
    np.save(tmp_path / "b.npy", np.array([2**64 - 1], np.uint64))
    with pytest.raises(l2m.InputError, match="ids from 18446744073709551615"):
        l2m.tokenize(tmp_path / "b.npy")
    np.save(tmp_path / "b.npy", np.array([[2**32 - 1, 0]], ">u8"))
    assert l2m.tokenize(tmp_path / "b.npy").tokens.tolist() == [2**32 - 1, 0]


def index(
    sizes: list[int], places: list[int], bounds: list[int], *, code: int = 8, version: int = 1, tail: bytes = b"",
    counts: tuple[int, int] | None = None, magic: bytes = b"MMIDIDX\0\0",
) -> bytes:  # fmt: skip
    head = magic + struct.pack("<QBQQ", version, code, *(counts or (len(sizes), len(bounds))))
    return (
        head
        + np.array(sizes, "<i4").tobytes()
        + np.array(places, "<i8").tobytes()
        + np.array(bounds, "<i8").tobytes()
        + tail
    )


BAD_INDEX: dict[str, tuple[bytes, str]] = {
    "documents end early": (index([2, 2, 2], [0, 4, 8], [0, 1]), "expected a rise from 0 to 3"),
    "documents begin late": (index([2, 2, 2], [0, 4, 8], [1, 3]), "expected a rise from 0 to 3"),
    "documents past the end": (index([2, 2, 2], [0, 4, 8], [0, 4]), "expected a rise from 0 to 3"),
    "documents fall": (index([2, 2, 2], [0, 4, 8], [0, 2, 1, 3]), "expected a rise from 0 to 3"),
    "documents that wrap": (index([2, 2, 2], [0, 4, 8], [0, 2**63 - 1, -(2**63), 3]), "expected a rise from 0 to 3"),
    "negative document": (index([2, 2, 2], [0, 4, 8], [0, -1, 3]), "expected a rise from 0 to 3"),
    "no documents": (index([2, 2, 2], [0, 4, 8], []), "expected a rise from 0 to 3"),
    "short": (index([2, 2], [0, 4], [0, 2]), r"12 bytes; .*says 4 ids of 2 bytes"),
    "long": (index([2, 2, 4], [0, 4, 8], [0, 3]), r"12 bytes; .*says 8 ids of 2 bytes"),
    "overlap": (index([2, 2, 2], [0, 2, 8], [0, 3]), "sequence 1 begins at byte 2, where the one before ends at 4"),
    "gap": (index([2, 2, 2], [0, 4, 10], [0, 3]), "sequence 2 begins at byte 10"),
    "negative place": (index([2, 2, 2], [0, -4, 8], [0, 3]), "sequence 1 begins at byte -4"),
    "negative size": (index([4, -2, 4], [0, 8, 4], [0, 3]), "sequence 1 has -2 ids"),
    "floats": (index([2, 2, 2], [0, 4, 8], [0, 3], code=6), "dtype code 6"),
    "no dtype": (index([2, 2, 2], [0, 4, 8], [0, 3], code=255), "dtype code 255"),
    "other dtype": (index([2, 2, 2], [0, 4, 8], [0, 3], code=4), "sequence 1 begins at byte 4"),
    "version": (index([2, 2, 2], [0, 4, 8], [0, 3], version=2), "version 2"),
    "bytes after it": (index([2, 2, 2], [0, 4, 8], [0, 3], tail=b"\0\0\0"), "bytes for 3 sequences"),
    "cut": (index([2, 2, 2], [0, 4, 8], [0, 3])[:-4], "cut short"),
    "huge counts": (index([2], [0], [0], counts=(2**60, 2**63)), "cut short"),
    "no index": (b"", "not a Megatron index"),
    "another file": (index([2, 2, 2], [0, 4, 8], [0, 3], magic=b"TNTIDX\0\0\0"), "not a Megatron index"),
}


@pytest.mark.parametrize("case", BAD_INDEX)
def test_a_megatron_index_that_does_not_fit_is_refused(tmp_path: Path, case: str) -> None:
    content, message = BAD_INDEX[case]
    np.arange(6, dtype="<u2").tofile(tmp_path / "a.bin")
    write(tmp_path / "a.idx", index([2, 2, 2], [0, 4, 8], [0, 1, 1, 3]))
    corpus = l2m.tokenize(tmp_path / "a.bin", duplicates="keep")
    assert [corpus[number].tolist() for number in range(len(corpus))] == [[0, 1], [2, 3, 4, 5]]
    write(tmp_path / "a.idx", content)
    with pytest.raises(l2m.InputError, match=message) as caught:
        read(tmp_path / "a.bin")
    assert str(tmp_path / "a") in str(caught.value)
