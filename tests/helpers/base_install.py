"""An interpreter that sees what the base install has and nothing of the extras: the package and its declared dependencies."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def base_distributions(*extras: str) -> set[str]:
    """The dependencies of the base install, or with these extras, and theirs, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    found: set[str] = set()
    while wanted:
        requirement = Requirement(wanted.pop())
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name == project["name"]:
            wanted += [line for extra in requirement.extras for line in project["optional-dependencies"][extra]]
            continue
        if name in found or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        wanted += distribution(name).requires or []
    return found


def make_site(folder: Path, *extras: str) -> Path:
    """A folder of links to them and to this package, for PYTHONPATH of `python -S`."""
    import l2m

    folder.mkdir(parents=True)
    (folder / "l2m").symlink_to(Path(l2m.__file__).parent)
    for name in base_distributions(*extras):
        files = distribution(name).files or []
        tops = {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}
        for top in tops - {link.name for link in folder.iterdir()}:
            (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder


def run_in(site: Path, code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code with what is in `site` alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True, text=True, cwd=cwd, timeout=300, env={**environment, "PYTHONPATH": str(site)},
    )  # fmt: skip
