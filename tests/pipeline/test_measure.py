"""The main job end to end on a tiny real model: report against results, resume after kills, bad input."""

import dataclasses
import json
import math
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
from l2m.base.folders import lock
from l2m.pipeline.measure import _judged
from l2m.pipeline.page import figures, render
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
    assert "Fewer than 8 documents: error bars are over blocks (two-point) and windows (bipartite)" in " ".join(
        run.stdout.split()  # wrapped to the terminal
    )
    assert "Fewer than 8 documents" in (tmp_path / "out" / "report.html").read_text()


def test_a_verdict_names_both_thresholds_in_results_and_report(measured: Path) -> None:
    law = l2m.fit_power_law([4, 8, 16, 32], [1.0, 1.71, 2.82, 4.8])
    row = _judged("a fixed state", law, "mamba-130m", 4096)
    assert row["threshold"] == 0.06
    assert row["threshold_source"] == "paper, not reproduced"
    assert (row["frontier_threshold"], row["frontier_tolerance"]) == (0.22, 0.01)
    needed = float(law.predict(4096))
    assert row["required_state"]["value"] == pytest.approx(needed / 0.06)
    assert row["frontier_state"]["value"] == pytest.approx(needed / 0.22)
    assert row["sufficient_length"]["value"] < row["frontier_length"]["value"] < row["provable_length"]["value"]
    result = dataclasses.replace(l2m.load(measured / "results.json"), verdicts=(row,))
    (bits,) = result.to("bits").verdicts
    assert bits["frontier_threshold"] == pytest.approx(0.22 / math.log(2))
    assert bits["frontier_tolerance"] == pytest.approx(0.01 / math.log(2))
    assert bits["frontier_state"] == row["frontier_state"]
    page = BeautifulSoup(render(result, figures(result)), "html.parser")
    shown = {element["data-key"]: element.get_text() for element in page.select("[data-key]")}
    assert shown["verdicts.0.frontier_threshold"] == "0.22"
    assert read(shown["verdicts.0.frontier_state.value"]) == pytest.approx(needed / 0.22, rel=0.01)
    assert "as well as the best linear one needs" in page.get_text()

    before = {name: value for name, value in row.items() if not name.startswith("frontier")}
    old = dataclasses.replace(result, verdicts=(before,))
    assert old.to("bits").verdicts[0]["threshold"] == bits["threshold"]
    assert (
        "optimum"
        not in BeautifulSoup(render(old, figures(old)), "html.parser")
        .find("h2", string="The models")
        .find_next("table")
        .get_text()
    )


def read(text: str) -> float:
    """A number as the page writes it: 1,024 or 25.6 M."""
    digits, _, unit = text.partition(" ")
    return float(digits.replace(",", "")) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[unit]


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
            assert read(text) == pytest.approx(value, rel=0.05, abs=1e-300), element["data-key"]


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


@pytest.mark.parametrize("width", [390, 794])
def test_in_a_browser_no_request_and_no_sideways_scrolling(measured: Path, chromium_path: str, width: int) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
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
import functools, os, signal, sys
sys.argv = sys.argv[1:]
# Imported once; each attempt is a fork of this process that kills itself at its n-th step.
import l2m.cli, l2m.pipeline.measure, l2m.pipeline.page, l2m.scoring, torch, transformers, matplotlib.figure, jinja2
from l2m.corpora.encoders import HuggingFaceEncoder
# Modules that transformers loads when a name is first used: ten seconds an attempt otherwise.
transformers.AutoModelForCausalLM, transformers.AutoTokenizer, transformers.LlamaForCausalLM
torch.set_num_threads(1)

def killed_at(step):
    count = 0
    def killing(original):
        @functools.wraps(original)  # its signature is read
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
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    attempts = int(run.stdout.splitlines()[-1])
    assert attempts > 20
    left, right = (json.loads((folder / "results.json").read_text()) for folder in (measured, out))
    assert left.pop("checksum") != right.pop("checksum")  # of the commands too, which name their folders
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
    *stages, last = message.splitlines()
    assert last == "l2m: stopped; run the same command again to resume"
    assert all(re.match(r"l2m: \d/5 ", line) for line in stages), message
    assert run_command(texts, tiny_model, out, length=512, windows=24, max_batch_tokens=512).returncode == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 1024}, "length: 1024 tokens; .* reads at most 512"),
        ({"windows": 1000}, "windows: 1000; expected 1 to"),
        ({"length": 3}, "length: 3; expected a whole number from 4 to"),
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
    stages = re.compile(r"l2m: \d/5 ")  # what was begun before the text could be asked
    told = [line for line in result.stderr.splitlines() if not stages.match(line)]
    assert (result.returncode, len(told)) == (2, 1), result.stderr
    assert re.search(message, told[0]), result.stderr
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


def measure_here(texts: Path, model: Path, out: Path, **changes: Any) -> l2m.Measurement:
    """The run of `measured`, in this process."""
    return l2m.measure([texts], model, out, domains={"again": texts}, **{**OPTIONS, **changes})


@pytest.fixture
def unfinished(measured: Path, tmp_path: Path) -> Path:
    """All that a run keeps, without what it ends with."""
    out = tmp_path / "out"
    shutil.copytree(measured, out)
    (out / "results.json").unlink()
    return out


def one_digit_more(path: Path) -> None:
    """Another digit in the first number after a point that has five."""
    text = path.read_text()
    changed = re.sub(r"(\d\.\d{4})(\d)", lambda found: found[1] + str((int(found[2]) + 1) % 10), text, count=1)
    assert changed != text
    path.write_text(changed)


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def another_curve(path: Path) -> None:
    """A whole and sealed curve, of other tokens."""
    l2m.two_point([[1, 2, 3, 4] * 40] * 12, OPTIONS["distances"]).save(path)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("two_point.json", one_digit_more, "two_point.json: damaged or edited"),
        ("two_point.json", another_curve, "two_point.json: not the curve that this run counted"),
        ("domains/0/two_point.json", another_curve, "domains/0/two_point.json: not the curve"),
        ("two_point.json", lambda path: path.write_text(path.read_text()[:900]), "two_point.json: not a JSON file"),
        ("two_point.json", lambda path: path.write_text(""), "two_point.json: not a JSON file"),
        ("kept.json", lambda path: path.unlink(), "two_point.json: not the curve that this run counted"),
        ("kept.json", lambda path: edit(path, of="0" * 64), "kept.json: damaged or edited"),
        ("run.json", lambda path: edit(path, length=64), "run.json: damaged or edited"),
        ("run.json", lambda path: path.write_text("[]"), "run.json: a list"),
    ],
)
def test_what_was_changed_is_named_and_never_read(
    unfinished: Path, texts: Path, tiny_model: Path, file: str, change: Any, words: str
) -> None:
    change(unfinished / file)
    with pytest.raises(l2m.InputError, match=re.escape(words)) as error:
        measure_here(texts, tiny_model, unfinished)
    assert "\n" not in str(error.value)
    assert not (unfinished / "results.json").exists()
    assert (unfinished / "run.json").exists()


def test_a_curve_that_is_gone_is_counted_again(unfinished: Path, measured: Path, texts: Path, tiny_model: Path) -> None:
    (unfinished / "two_point.json").unlink()
    found = measure_here(texts, tiny_model, unfinished)
    kept = l2m.load(measured / "results.json")
    assert found.summary == kept.summary
    assert (unfinished / "two_point.json").read_bytes() == (measured / "two_point.json").read_bytes()


def test_one_process_at_a_time_and_one_kind_of_run(
    unfinished: Path, texts: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with lock(unfinished), pytest.raises(l2m.InputError, match=r"in use by process \d+ on "):
        measure_here(texts, tiny_model, unfinished)
    assert (unfinished / "two_point.json").exists()
    counted = tmp_path / "counted"
    counted.mkdir()
    (counted / "job.json").write_text("{}")
    another_curve(counted / "two_point.json")
    with pytest.raises(l2m.InputError, match="holds a counting job"):
        measure_here(texts, tiny_model, counted)
    assert sorted(path.name for path in counted.iterdir()) == ["job.json", "two_point.json"]


def test_a_curve_that_was_there_before_the_run_is_not_taken(texts: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    another_curve(out / "two_point.json")
    with pytest.raises(l2m.InputError, match="not the curve that this run counted"):
        measure_here(texts, tiny_model, out)


@pytest.mark.parametrize(
    "changes",
    [
        {"length": 2.5}, {"length": True}, {"windows": 0}, {"windows": -1}, {"windows": "3"}, {"distances": [1.5]},
        {"distances": "12"}, {"seed": -1}, {"seed": 2**64}, {"threads": 0}, {"threads": 10**6}, {"device": "gpu9"},
        {"dtype": "int8"}, {"beside": ["no/such-model"]},
    ],
    ids=str,
)  # fmt: skip
def test_bad_arguments_leave_no_folder(texts: Path, tiny_model: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(l2m.InputError, match=next(iter(changes)).replace("beside", "no/such-model")):
        measure_here(texts, tiny_model, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()
