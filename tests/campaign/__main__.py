"""Disturb every command, and see that nothing is silently wrong.

    python tests/campaign --smoke                        about four minutes on two cores
    MINUTES=120 python tests/campaign [--seed S]         as long as that
    python tests/campaign --only tokenize/kill --seed 17 one case again; --keep keeps its folder

One row is (command, fault, seed) -> outcome: equal (the bytes of an undisturbed run), named (one line that names the file
or argument), unnamed (one line that does not), refused (nothing was damaged and the same command does not resume),
traceback (or death by a signal), silent (exit 0 with another result), hung (or memory without bound), escaped (wrote, or
ran code, where it may not). Exit status 1 if any row is one of the last five.
"""

import argparse
import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "helpers"))
SMOKE_MINUTES, MINUTES = 3.5, 120.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few minutes instead of MINUTES (120)")
    parser.add_argument("--seed", type=int, default=None, help="another seed, other cases")
    parser.add_argument(
        "--only", metavar="COMMAND/FAULT", help="these cases alone (with * for any): one where --seed is given"
    )
    parser.add_argument("--rounds", type=int, help="of --only: how many seeds from --seed on")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="cases at a time")
    parser.add_argument("--rows", metavar="FILE", help="write every row there, as JSON lines")
    parser.add_argument("--table", metavar="FILE", help="print the rows of FILE as a table in Markdown; run nothing")
    parser.add_argument("--keep", action="store_true", help="keep the folders of failing cases, and say where")
    options = parser.parse_args()
    if options.table:
        from table import print_table

        return print_table(Path(options.table))
    minutes = float(os.environ.get("MINUTES") or (SMOKE_MINUTES if options.smoke else MINUTES))
    begin_shim()
    load_libraries()
    from schedule import Schedule

    root = Path(tempfile.mkdtemp(prefix="campaign-"))
    try:
        return Schedule(root, options, minutes).run()
    finally:
        if not options.keep:
            shutil.rmtree(root, ignore_errors=True)


def begin_shim() -> None:
    """Start again with the shim loaded, and with an environment that is the same on every machine."""
    if os.environ.get("CAMPAIGN_STARTED"):
        return
    from sandbox import build_shim

    home = Path(tempfile.mkdtemp(prefix="campaign-home-"))
    shim = build_shim(home)
    # A copy, so that a build while this runs does not change the library under it.
    found = importlib.util.find_spec("l2m")
    if found is None or not found.submodule_search_locations:
        sys.exit("l2m is not installed here: make setup")
    shutil.copytree(
        found.submodule_search_locations[0], home / "python" / "l2m", ignore=shutil.ignore_patterns("__pycache__")
    )
    environment = {
        **os.environ,
        "CAMPAIGN_STARTED": str(home), "LD_PRELOAD": str(shim), "PYTHONPATH": str(home / "python"),
        "HOME": str(home), "MPLBACKEND": "agg", "MPLCONFIGDIR": str(home),
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HOME": str(home / "hf"), "PYTHONHASHSEED": "0", "COLUMNS": "200", "TORCHINDUCTOR_CACHE_DIR": str(home / "inductor"),
    }  # fmt: skip
    import subprocess

    try:
        code = subprocess.call([sys.executable, str(Path(__file__).parent), *sys.argv[1:]], env=environment)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(code)


def load_libraries() -> None:
    """All that commands import, once: a case is forked in milliseconds. Nothing here may start a thread, which a fork loses."""
    import importlib
    import pkgutil

    import torch

    torch.set_num_threads(1)
    import l2m
    import l2m.cli

    for found in pkgutil.walk_packages(l2m.__path__, "l2m."):
        if not found.name.endswith("__main__") and "on_ray" not in found.name:
            importlib.import_module(found.name)
    for name in (
        "cyclopts", "matplotlib.pyplot", "matplotlib.backends.backend_svg", "pyarrow.parquet", "pyarrow.ipc", "fsspec", "safetensors.torch",
        "tokenizers", "transformers.models.llama.modeling_llama", "transformers.models.mamba.modeling_mamba", "transformers.models.gpt2.modeling_gpt2",
        "transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto", "jinja2", "rich.progress", "scipy.optimize", "scipy.stats",
        "scipy.special", "mambapy.pscan", "fastokens", "nupunkt", "blake3", "pandas",
    ):  # fmt: skip
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


if __name__ == "__main__":
    sys.exit(main())
