"""Twenty small texts and one copy, and how folders are compared: for tests of work that is shared out."""

import random
from pathlib import Path


def sentences(number: int) -> str:
    chosen = random.Random(number)
    return " ".join(
        f"{chosen.choice(['Der', 'A', 'Le'])} {chosen.randrange(300)} {chosen.random():.3f}." for _ in range(150)
    )


def write_texts(folder: Path) -> Path:
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}.txt").write_text(sentences(number))
    (folder / "copy.txt").write_text(sentences(3))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tree(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
