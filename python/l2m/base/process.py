"""What this process takes of the machine's memory."""

import os
import re
from pathlib import Path

import numpy as np


def own_memory(*mapped: np.ndarray) -> int:
    """Bytes of this process in memory, without those of the mapped arrays named, which the system can take back at any time.

    On systems other than Linux: the most that the process ever took.
    """
    try:
        resident = _kibibytes("VmRSS", Path("/proc/self/status").read_text())
        for path in {os.fspath(array.filename or "") for array in map(_root, mapped) if isinstance(array, np.memmap)}:
            resident -= sum(
                _kibibytes("Rss", entry)
                for entry in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
                if entry.split("\n", 1)[0].endswith(path)
            )
        return resident << 10
    except OSError:
        import resource
        import sys

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10


def _root(array: np.ndarray) -> np.ndarray:
    """The array whose memory this one looks at."""
    while not isinstance(array, np.memmap) and isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _kibibytes(name: str, text: str) -> int:
    return int(found[1]) if (found := re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)) else 0
