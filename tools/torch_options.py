"""Which torch `make setup` installs: uv's options on stdout; what that costs, before it is downloaded, on stderr.

torch's Linux x86-64 wheel on the package index brings CUDA. The build for the CPU is on an index of PyTorch's own, which some
machines cannot reach; then the large one is the only one there is, and this says so. UV_TORCH_BACKEND decides where it is set.
"""

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

CPU_INDEX = "download.pytorch.org"
CUDA_SIZE = "about 3 GB to download, 5.2 GB on disk"  # nvidia 3.1 GB, torch 1.1 GB and triton 1.0 GB, torch 2.15


def reachable(host: str) -> bool:
    try:
        socket.create_connection((host, 443), timeout=3).close()
    except OSError:
        return False
    return True


def options(
    *,
    installed: bool,
    gpu: bool,
    big_by_default: bool,
    environment: Mapping[str, str],
    reach: Callable[[str], bool] = reachable,
) -> tuple[list[str], str]:
    """(options of `uv pip install`, a line about them).

    Args:
        installed: torch is there already.
        gpu: an NVIDIA GPU is there.
        big_by_default: the package index's wheel for this platform brings CUDA.
        environment: UV_TORCH_BACKEND is read.
    """
    if installed:
        return [], "torch is installed and stays as it is"
    if backend := environment.get("UV_TORCH_BACKEND"):
        return ["--torch-backend", backend], f"torch: UV_TORCH_BACKEND={backend}"
    if not big_by_default:
        return [], "torch for the CPU, from the package index: about 100 MB to download"
    if gpu:
        return [], f"torch with CUDA for the GPU here: {CUDA_SIZE}"
    if reach(CPU_INDEX):
        return ["--torch-backend", "cpu"], "torch for the CPU, from PyTorch's index: about 200 MB to download"
    return (
        [],
        f"torch for the CPU is on {CPU_INDEX}, which cannot be reached from here: torch with CUDA instead, {CUDA_SIZE}",
    )


def main() -> None:
    found, line = options(
        installed=find_spec("torch") is not None,
        gpu=shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists(),
        big_by_default=sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64"),
        environment=os.environ,
    )
    print(f"setup: {line}", file=sys.stderr)
    print(*found)


if __name__ == "__main__":
    main()
