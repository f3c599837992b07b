"""The main job end to end on a tiny real model: report against results, resume after kills, bad input."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

import l2m
from texts import some_texts

OPTIONS = {"length": 32, "windows": 12, "distances": [1, 2, 4, 8, 16, 32]}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for number, text in enumerate(some_texts(12)):
        (folder / f"{number:02}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def measured(texts: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("measured") / "out"
    run = run_command(texts, tiny_model, out)
    assert run.returncode == 0, run.stderr
    return out


def command_line(texts: Path, model: Path, out: Path, **changes: Any) -> list[str]:
    options = {**OPTIONS, **changes}
    flags = [part for name, value in options.items() for item in (value if isinstance(value, list) else [value])
             for part in (f"--{name.replace('_', '-')}", str(item))]  # fmt: skip
    return ["measure", str(texts), "--model", str(model), "--out", str(out), "--domain", f"again={texts}", *flags]


def run_command(texts: Path, model: Path, out: Path, **changes: Any) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "l2m", *command_line(texts, model, out, **changes)]
    return subprocess.run(arguments, capture_output=True, text=True)


def test_all_that_is_promised_is_there(measured: Path) -> None:
    names = {path.name for path in measured.iterdir()}
    assert {"results.json", "report.html", "two_point.csv", "bipartite.csv", "two_point.svg", "bipartite.svg"} <= names
    result = l2m.load(measured / "results.json")
    assert result.domains[0].corpus["documents"] == 12
    assert result.bipartite.split.tolist() == [2, 4, 8, 16]
    header, *rows = (measured / "bipartite.csv").read_text().splitlines()
    column = header.split(",").index("information")
    assert [float(row.split(",")[column]) for row in rows] == result.bipartite.information.tolist()


def test_one_document_says_what_its_error_bars_are_over(tmp_path: Path, texts: Path, tiny_model: Path) -> None:
    run = run_command(texts / "00.txt", tiny_model, tmp_path / "out", windows=6)
    assert run.returncode == 0, run.stderr
    assert "Fewer than 8 documents: error bars are over blocks (two-point) and windows (bipartite)" in run.stdout
    assert "Fewer than 8 documents" in (tmp_path / "out" / "report.html").read_text()


def lookup(saved: Any, key: str) -> Any:
    """As l2m.report.lookup promises, written anew."""
    for part in key.split("."):
        if isinstance(saved, dict) and set(saved) == {"dtype", "shape", "data"}:
            saved = saved["data"]
        saved = saved[int(part)] if isinstance(saved, list) else saved[part]
    return saved


def test_every_number_of_the_report_stands_in_the_results(measured: Path) -> None:
    saved = json.loads((measured / "results.json").read_text())
    page = BeautifulSoup((measured / "report.html").read_text(), "html.parser")
    elements = page.select("[data-key]")
    assert len(elements) > 100
    for element in elements:
        value, text = lookup(saved, element["data-key"]), element.get_text()
        if value in (None, "nan"):
            assert text == "–"
        elif value == "inf":
            assert text == "any length"
        else:
            # The page shows at least 2 significant digits.
            assert float(text.replace(",", "")) == pytest.approx(value, rel=0.05, abs=1e-300), element["data-key"]


def test_numbers_in_tables_all_name_their_key(measured: Path) -> None:
    page = BeautifulSoup((measured / "report.html").read_text(), "html.parser")
    for marked in page.select("[data-key]"):
        marked.decompose()
    for cell in page.select("td"):
        assert not re.fullmatch(r"[-+]?[\d.,]+(e[-+]?\d+)?", cell.get_text().strip())


def test_the_page_asks_for_nothing(measured: Path) -> None:
    page = BeautifulSoup((measured / "report.html").read_text(), "html.parser")
    assert not page.select("script, iframe, img, link:not([rel=icon])")
    assert "url(http" not in str(page.style)


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(chromium() is None, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [390, 794])
def test_in_a_browser_no_request_and_no_sideways_scrolling(measured: Path, width: int) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 844})
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto((measured / "report.html").as_uri())
        assert requests == [(measured / "report.html").as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for drawing in page.query_selector_all("figure svg"):
            box = drawing.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["height"] > 100
        browser.close()


KILLER = """
import os, signal, sys
sys.argv = sys.argv[1:]
# Imported once; each attempt is a fork of this process that kills itself at its n-th step.
import l2m.cli, l2m.pipeline.measure, l2m.pipeline.page, l2m.scoring, torch, transformers, matplotlib.figure, jinja2
from l2m.corpora.encoders import HuggingFaceEncoder
torch.set_num_threads(1)

def killed_at(step):
    count = 0
    def killing(original):
        def wrapped(*arguments, **options):
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)
        return wrapped
    os.replace = killing(os.replace)
    os.rename = killing(os.rename)
    HuggingFaceEncoder.encode = killing(HuggingFaceEncoder.encode)
    transformers.LlamaForCausalLM.forward = killing(transformers.LlamaForCausalLM.forward)

step = 0
while True:
    step += 2
    child = os.fork()
    if child == 0:
        killed_at(step)
        try:
            l2m.cli.main(sys.argv)
        except SystemExit as end:
            os._exit(end.code or 0)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        print(step)
        sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_killed_at_every_step_it_goes_on_to_the_same_results(
    measured: Path, texts: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Steps are: a text encoded, a batch scored, a file about to be renamed; each attempt dies two steps later than the last."""
    out = tmp_path / "out"
    arguments = [sys.executable, "-c", KILLER, *command_line(texts, tiny_model, out)]
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=170)
    assert run.returncode == 0, run.stderr
    attempts = int(run.stdout.splitlines()[-1])
    assert attempts > 20
    left, right = (json.loads((folder / "results.json").read_text()) for folder in (measured, out))
    assert left.pop("command") == right.pop("command").replace(str(out), str(measured))
    assert left == right


def test_ctrl_c_stops_within_a_second_and_says_how_to_go_on(texts: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = command_line(texts, tiny_model, out, length=512, windows=24, max_batch_tokens=512)
    process = subprocess.Popen([sys.executable, "-m", "l2m", *line], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any((out / "scores").glob("passes/*.scores")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    stopped = time.monotonic()
    message = process.communicate()[1]
    assert time.monotonic() - stopped < 1
    assert process.returncode == 130
    assert message == "l2m: stopped; run the same command again to resume\n"
    assert run_command(texts, tiny_model, out, length=512, windows=24, max_batch_tokens=512).returncode == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 1024}, "length: 1024 tokens; .* reads at most 512"),
        ({"windows": 1000}, "windows: 1000; expected 1 to"),
        ({"length": 3}, "length: 3; expected 4"),
        ({"distances": [0, 1]}, "distances"),
        ({"distances": [1, 100_000]}, "distances"),
        ({"model": "no/such-model"}, "no/such-model"),
        ({"texts": "nowhere.txt"}, "nowhere.txt: no such file"),
        ({"texts": "short"}, r"longest document has \d+ tokens; a window needs 32"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    texts: Path, tiny_model: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    changes = dict(changes)
    model = changes.pop("model", tiny_model)
    named = changes.pop("texts", None)
    if named == "short":
        named = tmp_path / "short.txt"
        named.write_text("too short")
    out = tmp_path / "out"
    result = run_command(named or texts, model, out, **changes)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert re.search(message, result.stderr), result.stderr
    assert not out.exists()


def test_a_folder_with_another_run_is_refused_by_the_setting_that_differs(
    measured: Path, texts: Path, tiny_model: Path
) -> None:
    before = (measured / "results.json").read_bytes()
    result = run_command(texts, tiny_model, measured, length=64)
    assert result.returncode == 2
    assert "length = 32, not 64" in result.stderr
    assert (measured / "results.json").read_bytes() == before
    again = run_command(texts, tiny_model, measured)
    assert again.returncode == 0, again.stderr
    assert (measured / "results.json").read_bytes() == before
