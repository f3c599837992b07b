"""l2m corpus."""

import subprocess
import sys
from pathlib import Path

import pytest

import l2m


@pytest.mark.parametrize("name", ["tokens.npy", "offsets.npy", "words.txt", "documents.jsonl"])
@pytest.mark.parametrize("size", [0, -1])
def test_a_damaged_file_of_the_corpus_is_named(tmp_path: Path, name: str, size: int) -> None:
    l2m.tokenize(["one two three", "two three four"], "words", tmp_path / "c", duplicates="keep")
    whole = (tmp_path / "c" / name).read_bytes()
    (tmp_path / "c" / name).write_bytes(whole[:size])
    shown = subprocess.run(
        [sys.executable, "-m", "l2m", "corpus", "info", str(tmp_path / "c")], capture_output=True, text=True
    )
    assert shown.returncode == 2
    assert len(shown.stderr.splitlines()) == 1
    assert name in shown.stderr
