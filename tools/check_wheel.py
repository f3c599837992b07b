"""Installs a wheel with its base dependencies alone into a new environment, and runs every command there.

    python tools/check_wheel.py dist/l2m_scaling-0.1.0-cp311-abi3-manylinux_2_34_x86_64.whl

Commands that need an extra have to say so in one line and exit with 2; the others have to work. No Rust is used.
"""

import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from base_commands import NEED, WORK, material


def main(wheel: Path) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        venv.create(folder / "venv", with_pip=True)
        scripts = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
        subprocess.run([scripts / "python", "-m", "pip", "install", "--quiet", wheel], check=True)
        answer = run(scripts, ["state", "SmolLM2-135M"], folder)
        print(answer.stdout + answer.stderr, end="")
        took = time.monotonic() - started
        print(f"a new environment, pip install and l2m state SmolLM2-135M: {took:.0f} s")
        faults = int(answer.returncode != 0)
        (folder / "work").mkdir()
        material(folder / "work")
        for arguments in WORK:
            done = run(scripts, arguments, folder / "work")
            faults += report(arguments, done.returncode == 0 and bool(done.stdout), done)
        for arguments, hint in NEED:
            done = run(scripts, arguments, folder / "work")
            one_line = done.stderr.count("\n") == 1 and done.stderr.strip().endswith(hint)
            faults += report(arguments, done.returncode == 2 and not done.stdout and one_line, done)
    print(f"{len(WORK) + len(NEED)} commands with the base install, {faults} failed")
    return int(faults > 0)


def run(scripts: Path, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([scripts / "l2m", *arguments], capture_output=True, text=True, cwd=folder, timeout=300)


def report(arguments: list[str], passed: bool, done: subprocess.CompletedProcess[str]) -> int:
    if not passed:
        print(f"FAILED l2m {' '.join(arguments)}: exit {done.returncode}\n{done.stdout[-500:]}{done.stderr[-2000:]}")
    return int(not passed)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]).resolve()))
