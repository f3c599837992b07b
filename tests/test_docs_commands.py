"""Every command of the documentation runs here, and prints what its page shows; those that cannot are named with the reason."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from test_docs import PAGES, blocks

import l2m
from l2m.cli import main
from scored import measured, strong_chain

ELSEWHERE = {
    r"--endpoint|l2m check http": "needs a server; tests/scoring/test_endpoint.py runs the same commands against one",
    r"^l2m nll .*(--axis bytes|scores-of-)": "needs scores of a text, or of two models; tests/scoring/test_position_nll.py makes them",
    r"runs/steps-": "trains for a minute; tests/training/test_utilization.py trains less",
    r"--ray ": "needs a cluster; tests/counting and tests/helpers/on_ray.py run one",
    r"^l2m (measure|score) ": "a language model reads for minutes; `make demo`, tests/scoring and tests/pipeline run them",
    r"(ising\.jsonl|genome|chorales|masses|code\.jsonl|--write-model|--verify)": "needs a corpus that `l2m laws --write-corpus` writes; tests/pipeline/test_laws.py measures small ones",
    r"--tokenizer (HuggingFaceTB|meta-llama)/": "downloads a tokenizer; tests/corpora run one that is made there",
}
"""Pattern of a command -> why it is not run here, and what runs it."""

COLUMNS = 160
"""Of the terminal that the pages show."""


class Command(NamedTuple):
    page: Path
    line: str
    shown: str


def commands() -> list[Command]:
    """The commands of `l2m` in the blocks of the pages, and what a block shows below each."""
    found = []
    for page in PAGES:
        for block in blocks(page):
            if block.kind not in ("console", "sh", "bash"):
                continue
            for line in re.split(r"^\$ ", block.text.replace("\\\n", " "), flags=re.MULTILINE):
                first, _, shown = line.partition("\n") if block.kind == "console" else (line, "", "")
                for one in first.splitlines():
                    one = re.split(r"\s# ", one)[0].strip()
                    if match := re.search(r"(?:^|')(l2m [^']+)", one):
                        found.append(Command(page, match[1].strip(), shown))
    return found


def reason(command: Command) -> str | None:
    return next((why for pattern, why in ELSEWHERE.items() if re.search(pattern, command.line)), None)


RUN = list({(one.line, one.shown): one for one in commands() if reason(one) is None}.values())


@pytest.fixture
def material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders and files that the pages name: books, corpus, results with a shard, scores, law.json."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "16")
    generator = np.random.default_rng(0)
    words = np.array([f"w{number}" for number in range(40)])
    (tmp_path / "books").mkdir()
    for number in range(16):
        chosen = np.repeat(generator.choice(words, 400), generator.integers(1, 4, 400))
        (tmp_path / "books" / f"{number}.txt").write_text(" ".join(chosen))
    l2m.PowerLaw.of(2.27, 0.76).save(tmp_path / "law.json")
    states = generator.integers(0, 5, (4, 300))
    np.save(tmp_path / "states.npy", states)
    pyarrow.parquet.write_table(pyarrow.table({"states": states.tolist()}), tmp_path / "states.parquet")
    return tmp_path


def run(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints; it has to end well."""
    arguments = shlex.split(re.sub(r"\$(\w+)", lambda name: {"SLURM_ARRAY_TASK_ID": "0"}.get(name[1], "16"), line))
    with pytest.raises(SystemExit) as ended:
        main(arguments[1:])
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    return out


def test_what_is_not_run_is_run_elsewhere() -> None:
    assert len(RUN) > 15
    assert all(any(re.search(pattern, command.line) for command in commands()) for pattern in ELSEWHERE)


@pytest.mark.parametrize("command", RUN, ids=lambda command: f"{command.page.stem}: {command.line[:60]}")
def test_a_command_of_a_page_runs_and_prints_what_the_page_shows(
    command: Command, material: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = command.line.replace("/", " ").split()
    if "corpus" in named and named[1] != "tokenize":
        run("l2m tokenize books --tokenizer words --out corpus", capsys)
    if named[1] == "merge":
        run("l2m tokenize books --tokenizer words --out corpus", capsys)
        run("l2m two-point corpus --out results --shard 0/1", capsys)
    if "scores" in named:
        measured(strong_chain(), material, windows=60)
    printed = run(command.line, capsys)
    assert printed
    if command.shown.strip():
        assert printed.rstrip() == command.shown.rstrip()
