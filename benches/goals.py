"""What a benchmark reached beside its goal, one JSON object a line, for `benches/track.py`."""

import argparse
import json
from pathlib import Path


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option of every benchmark that has goals."""
    parser.add_argument("--goals", type=Path, help="note what was reached there, for benches/track.py")


class Goals:
    """Collects in `path`; None: nowhere."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Goals":
        """Where --goals says; nowhere with --smoke, whose sizes have no goals."""
        return cls(None if arguments.smoke else arguments.goals)

    def add(
        self, job: str, reached: float, *, unit: str, at_least: float | None = None, at_most: float | None = None
    ) -> None:
        """Note what was reached.

        Args:
            job: what was done, on which data, with how many threads: the key under which runs are compared.
            unit: of `reached` and of the goal, such as "times polars".
            at_least, at_most: the goal, where more is better and where less is; neither: the number is tracked alone.
        """
        if self.path is None:
            return
        goal = at_least if at_least is not None else at_most
        met = None if goal is None else reached >= goal if at_least is not None else reached <= goal
        better = "less" if at_most is not None else "more"
        line = {"job": job, "reached": reached, "unit": unit, "goal": goal, "better": better, "met": met}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
