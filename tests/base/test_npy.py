"""Arrays in files from elsewhere. What .npy headers can lie about is in corpora/test_manifest.py."""

from pathlib import Path

import numpy as np
import pytest

import l2m
from l2m.base.npy import read_npy, read_npz


def test_arrays_of_an_archive_are_believed_only_where_they_fit(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    members = {"sizes": ("<u4", 1)}
    np.savez(path, sizes=np.arange(3, dtype=np.uint32))
    assert read_npz(path, members)["sizes"].tolist() == [0, 1, 2]
    np.savez_compressed(path, sizes=np.zeros(10**6, np.uint32))
    for content in (path.read_bytes(), b"", b"PK", b"x" * 100):
        path.write_bytes(content)
        with pytest.raises(l2m.InputError, match=str(path)):
            read_npz(path, members)
    for arrays in ({"other": np.arange(3)}, {"sizes": np.arange(3.0)}, {"sizes": np.zeros((2, 2), np.uint32)}):
        np.savez(path, **arrays)  # type: ignore[arg-type]
        with pytest.raises(l2m.InputError, match=str(path)):
            read_npz(path, members)


def test_an_array_without_entries_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "empty.npy", np.zeros(0, np.uint16))
    assert read_npy(tmp_path / "empty.npy", ("<u2",)).shape == (0,)
