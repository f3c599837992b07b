"""Files as streams: pointers, archives, decompression in bounded memory."""

import bz2
import gzip
import json
import lzma
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from reading import read, refusal, write


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.parquet", "a.arrow", "a.npy", "a.bin"])
def test_pointers_to_what_was_not_fetched_are_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert "git lfs pull" in refusal(tmp_path / name)


def test_archives_are_named(tmp_path: Path) -> None:
    for name in ("a.tar", "a.tar.gz", "a.tgz", "a.zip"):
        assert "unpack it first" in refusal(write(tmp_path / name, b"content"))


def bombs() -> dict[str, bytes]:
    from backports import zstd

    chunk, bomb = bytes(1 << 20), {}
    deflate, bzip2, xz = zlib.compressobj(9, wbits=31), bz2.BZ2Compressor(), lzma.LZMACompressor(preset=0)
    zst = zstd.ZstdCompressor(3)
    for name, maker in (("a.txt.gz", deflate), ("b.txt.bz2", bzip2), ("c.jsonl.xz", xz), ("d.json.zst", zst)):
        bomb[name] = b"".join(maker.compress(chunk) for _ in range(200)) + maker.flush()  # type: ignore[attr-defined]
    return bomb


def test_bombs_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, resource, l2m, pyarrow\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, len(l2m.tokenize(pathlib.Path(name))))\n"
        "    except l2m.InputError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    names = [str(write(tmp_path / name, content)) for name, content in bombs().items()]
    done = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=True)
    *messages, grown = done.stdout.splitlines()
    assert [
        name
        for name, message in zip(names, messages, strict=True)
        if f"{name}: " not in message or " or more; expected at most" not in message
    ] == []
    assert int(grown) < 192 << 10  # kB; a bomb holds 200 MB, of which 64 are read


def test_long_documents_and_lines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from l2m.corpora import documents
    from l2m.corpora.formats import streams, text

    for module in (streams, text, documents):
        monkeypatch.setattr(module, "MOST_BYTES", 1000)
    monkeypatch.setattr(streams, "_PLAIN_BYTES", 100)
    assert "more than 1,000 bytes" in refusal(write(tmp_path / "a.txt", "x" * 1001))
    assert len(read(write(tmp_path / "a.txt", "x" * 1000))) == 1
    row = json.dumps({"text": "x" * 1500})
    assert "more than 1,000 bytes" in refusal(write(tmp_path / "a.jsonl", row + "\n"))
    assert "more than 1,000 bytes" in refusal(write(tmp_path / "a.json", f"[{row}]"))
    assert len(read(write(tmp_path / "a.jsonl", '{"text": "x"}\n' * 500))) == 500
    assert len(read(write(tmp_path / "a.json", json.dumps([{"text": "x"}] * 500)))) == 500


def test_a_long_window_of_zstd_is_read(tmp_path: Path) -> None:
    from backports import zstd

    content = np.random.default_rng(0).bytes(3000).hex().encode()
    for window in (28, 31):
        maker = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window})
        write(tmp_path / "a.txt.zst", maker.compress(content) + maker.flush())
        assert read(tmp_path / "a.txt.zst") == [("a.txt.zst", content.decode())]


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2", ".zst"])
def test_compressed_pieces_are_whole(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a piece cannot hold comes in the next one, also at the end of a member."""
    from backports import zstd

    from l2m.corpora.formats import streams

    make = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": zstd.compress}[suffix]
    text = np.random.default_rng(0).integers(97, 101, 20_000, np.uint8).tobytes()
    for piece in (1, 10_000, 20_000, 1 << 22):
        monkeypatch.setattr(streams, "_PIECE_BYTES", piece if piece > 1 else 977)
        write(tmp_path / f"a.txt{suffix}", make(text[:10_000]) + make(text[10_000:]) + make(b""))
        assert read(tmp_path / f"a.txt{suffix}")[0][1] == text.decode()
