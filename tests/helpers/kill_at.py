"""Kill a merge at each of its changes of a file, and at each second one a merge that follows; then merge once more.

    python tests/helpers/kill_at.py PARTS MERGED WORK SECOND

PARTS: a folder with the folders of the shards; MERGED: the corpus they make; WORK: a folder to work in. SECOND: at which change
the second merge is killed: 0 (there is none), 1, ... or "half" of the first's. Prints how many changes a merge makes, and what
went wrong.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import l2m
from l2m.corpora.merge import merge_parts

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate")


def forked(shards: list[Path], out: Path, kill_at: int = 0) -> tuple[int, str]:
    """Merge in another process; (changes it made before it ended or was killed, what it was refused with)."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        changes = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal changes
            if event in CHANGES or (
                event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
            ):
                changes += 1
                if changes == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        error = ""
        try:
            merge_parts(shards, out)
        except l2m.InputError as refused:
            error = str(refused)
        except BaseException as unforeseen:
            error = f"TRACEBACK {unforeseen!r}"
        os.write(writing, json.dumps([changes, error]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return tuple(json.loads(told)) if told else (0, "killed")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main(parts: Path, merged: Path, work: Path, second: str) -> None:
    expected = content(merged)
    report: dict[str, Any] = {"changes": 0, "wrong": []}

    def fresh() -> tuple[list[Path], Path]:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(parts, work)
        shards = sorted(work.iterdir())
        return shards, shards[0] if len(shards) == 1 else work / "out"

    changes, error = forked(*fresh())
    assert not error, error
    report["changes"] = changes
    for at in range(1, changes + 1):
        again = at // 2 + 1 if second == "half" else int(second)
        shards, out = fresh()
        if forked(shards, out, at)[1] != "killed":
            report["wrong"].append(f"{at}: not killed")
        if again:
            forked(shards, out, again)
        _, error = forked(shards, out)
        if error:
            report["wrong"].append(f"killed at {at}, then {again}: {error}")
        elif content(out) != expected:
            report["wrong"].append(f"killed at {at}, then {again}: {sorted(content(out))}")
        elif any(content(shard) for shard in shards if shard != out):
            report["wrong"].append(f"killed at {at}, then {again}: parts are left")
    print(json.dumps(report))


main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
