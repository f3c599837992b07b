"""Every code block of the documentation runs: tutorials when the site is built, the rest here; every command parses.

A block that cannot run says why on the line before it: `<!-- excerpt: REASON -->`.
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

import l2m

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/tutorials").glob("*.md"))]
KINDS = {
    "python",
    "console",
    "sh",
    "bash",
    "text",
    "{code-cell} python",
    "{toctree}",
    "{include} ../CHANGELOG.md",
    "{eval-rst}",
}


class Block(NamedTuple):
    kind: str
    text: str
    excerpt: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(
        r"(?:<!-- excerpt: ([^\n]+) -->\n)?^```([^\n]+)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE
    )
    return [Block(kind.strip(), text, excerpt) for excerpt, kind, text in found]


def executed_at_build(page: Path) -> bool:
    return page.read_text().startswith("---\nfile_format: mystnb")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_of_a_kind_that_is_run_or_says_why_not(page: Path) -> None:
    for block in blocks(page):
        assert block.kind in KINDS
        assert not block.excerpt or len(block.excerpt) > 15
        if block.kind == "{code-cell} python":
            assert executed_at_build(page)


# tests/test_readme.py runs those of the README.
RUN = [page for page in PAGES[1:] if any(block.kind == "python" and not block.excerpt for block in blocks(page))]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_python_blocks_run_one_after_the_other(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "benches"))
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.kind == "python" and not block.excerpt:
            exec(compile(block.text, str(page), "exec"), names)


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in blocks(page):
            if block.kind in ("console", "sh", "bash"):
                for line in block.text.replace("\\\n", " ").splitlines():
                    found += [
                        (page.name, command.split("#")[0].strip())
                        for command in re.findall(r"(?:^|[$'] ?)(l2m [^'\n]+)", line.split("   #")[0])
                    ]
    return found


def test_commands_are_found() -> None:
    assert len(commands()) > 15


@pytest.mark.parametrize(("page", "command"), commands())
def test_commands_of_the_pages_parse(page: str, command: str) -> None:
    """Names of commands and options, and how values are written; nothing is run."""
    from cyclopts import App, Parameter

    from l2m.cli import COMMANDS
    from l2m.cli.options import convert

    app = App(name="l2m", default_parameter=Parameter(converter=convert, negative_iterable=()))
    for name, summary in COMMANDS.items():
        function = name.replace("-", "_")
        app.command(f"l2m.cli.{function}:{function}", name=name, help=summary)
    values = {"$SLURM_ARRAY_TASK_ID": "0", "$SLURM_ARRAY_TASK_COUNT": "16"}
    for name, value in values.items():
        command = command.replace(name, value)
    arguments = shlex.split(command.split("&&")[0].split("|")[0])[1:]
    app.parse_args(arguments, exit_on_error=False, print_error=False)


def test_every_page_is_in_the_site() -> None:
    index = (ROOT / "docs/index.md").read_text()
    listed = set(
        re.findall(r"^([\w/-]+)$", "\n".join(re.findall(r"```\{toctree\}(.*?)```", index, re.DOTALL)), re.MULTILINE)
    )
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in PAGES if page.name != "README.md"}
    assert pages - {"index"} | {"api"} == listed | {"api"}


def test_the_public_names_are_listed_for_the_reference() -> None:
    """conf.py writes api.md from the stub; a name missing there would be missing in the reference."""
    source = (ROOT / "docs/conf.py").read_text()
    names: dict[str, object] = {}
    exec(compile(source, "conf.py", "exec"), names)
    public = names["public_names"]()  # type: ignore[operator]
    assert public == l2m.__all__
