"""Jobs in tasks: what a forecast says, how a job is made again, and what is refused in a job's folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import l2m
from l2m import TwoPointJob, TwoPointSettings
from l2m.base.files import json_hash
from l2m.counting.ngrams import NgramsJob
from l2m.counting.tasks import describe, merge_folders, remake, run_in_folder, run_tasks


def test_a_forecast_names_every_task_and_its_budget_suffices() -> None:
    documents = list(np.random.default_rng(3).zipf(1.3, (20, 5000)) % 5000)
    settings = TwoPointSettings(distances=[1, 2], subsamples=True)
    for job in (TwoPointJob(documents, settings), NgramsJob(documents)):
        forecast = job.forecast()
        assert list(forecast.tasks) == [task.name for task in job.tasks]
        assert forecast.seconds(4) <= forecast.seconds(2) <= forecast.seconds(1)
        results = {task: job.run(task) for task in job.tasks}
        written = len(json.dumps(list(results.values()), indent=1))
        assert written / 3 < forecast.disk_bytes < 3 * written
        assert forecast.prepare < forecast.seconds(shard=(1, 4)) < forecast.seconds()
        corpus = l2m.Corpus(documents)
        frugal = type(job).remake(corpus, job.options, memory=forecast.least_memory_bytes)
        assert frugal.run(job.tasks[1]) == results[job.tasks[1]]
        with pytest.raises(l2m.InputError, match=f"needs at least {forecast.least_memory_bytes:,} bytes"):
            type(job).remake(corpus, job.options, memory=forecast.least_memory_bytes - 1).run(job.tasks[1])


def test_a_worker_refuses_another_corpus_in_the_same_place(tmp_path: Path) -> None:
    l2m.Corpus(np.arange(100) % 7).save(tmp_path / "corpus")
    settings = TwoPointSettings(distances=[1, 3], groups=4, within_document=False)
    job = TwoPointJob(l2m.load(tmp_path / "corpus"), settings)
    description = json.loads(json.dumps(describe(job)))
    again = remake(description)
    assert again.tasks == job.tasks
    assert again.run(job.tasks[0]) == job.run(job.tasks[0])
    frugal = remake(description, frugal=True)  # what runs a task that was out of memory
    assert frugal.memory == job.forecast().least_memory_bytes
    assert frugal.run(job.tasks[1]) == job.run(job.tasks[1])
    l2m.Corpus(np.arange(100) % 8).save(tmp_path / "corpus")
    with pytest.raises(l2m.InputError, match=f"{tmp_path}/corpus: corpus '.*, but '.* when the job began"):
        remake(description)
    shutil.rmtree(tmp_path / "corpus")
    with pytest.raises(l2m.InputError, match="no such file; the job needs its corpus there"):
        remake(description)
    in_memory = TwoPointJob(l2m.Corpus(np.arange(100) % 7), settings)
    with pytest.raises(l2m.InputError, match="ray: a corpus in memory"):
        list(run_tasks(in_memory, in_memory.tasks, "auto"))


def kept(tmp_path: Path) -> tuple[TwoPointJob, NgramsJob]:
    """Two jobs on one corpus, run in the folders "two-point" and "n-grams"."""
    random = np.random.default_rng(0)
    l2m.Corpus(list(random.integers(0, 400, (12, 90)))).save(tmp_path / "corpus")
    corpus = l2m.load(tmp_path / "corpus")
    jobs = (
        TwoPointJob(corpus, TwoPointSettings(distances=[1, 3], groups=4, within_document=False), parts=2),
        NgramsJob(corpus, 2, parts=2),
    )
    for job in jobs:
        run_in_folder(job, tmp_path / job.settings["job"])
    return jobs


def refusal(folder: Path) -> str:
    """The one line with which a merge of the folder is refused."""
    with pytest.raises(l2m.InputError) as error:
        merge_folders([folder], folder.with_name("merged"))
    assert "\n" not in str(error.value)
    assert not folder.with_name("merged").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ((), []),
        ((), {"kind": "job", "schema": 1}),
        (("schema",), 7),
        (("settings",), None),
        (("settings",), [1]),
        (("settings", "job"), "theft"),
        (("settings", "job"), ["two-point"]),
        (("settings", "corpus"), "0" * 64),
        (("settings", "parts"), 3),
        (("options",), "text"),
        (("options",), {}),
        (("options", "parts"), 10**12),
        (("options", "parts"), "2"),
        (("options", "parts"), True),
        (("options", "command"), "rm"),
        (("corpus",), 5),
        (("corpus",), "\0"),
        (("corpus",), "/nowhere"),
    ],
)
def test_a_job_file_that_no_job_writes_is_one_line(tmp_path: Path, place: tuple[str, ...], value: object) -> None:
    kept(tmp_path)
    for kind in ("two-point", "n-grams"):
        path = tmp_path / kind / "job.json"
        held = json.loads(path.read_text())
        inner = held
        for name in place[:-1]:
            inner = inner[name]
        if place:
            inner[place[-1]] = value
        path.write_text(json.dumps(held if place else value))
        assert refusal(tmp_path / kind)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("distances", "1"),
        ("distances", [1.5]),
        ("distances", [1] * 2),
        ("distances", list(range(1, 5000))),
        ("distances", {"dtype": "S9999999999", "shape": [1], "data": ["x"]}),
        ("estimator", ["grassberger"]),
        ("margins", None),
        ("groups", 10**9),
        ("groups", 4.0),
        ("seed", -1),
        ("seed", 1 << 70),
        ("within_document", "no"),
    ],
)
def test_an_option_that_no_job_has_is_named(tmp_path: Path, name: str, value: object) -> None:
    kept(tmp_path)
    path = tmp_path / "two-point" / "job.json"
    held = json.loads(path.read_text())
    held["options"][name] = value
    path.write_text(json.dumps(held))
    assert refusal(tmp_path / "two-point").startswith(f"{name}: ")


RESULTS = [
    lambda result: None,
    lambda result: [],
    lambda result: {},
    lambda result: {**result, "more": 1},
    lambda result: {name: rows[:-1] for name, rows in result.items()},
    lambda result: {name: [*rows[:-1], {}] for name, rows in result.items()},
    lambda result: {name: [*rows[:-1], "text"] for name, rows in result.items()},
    lambda result: {name: [*rows[:-1], [1.5, *rows[-1][1:]]] for name, rows in result.items()},
    lambda result: {name: [*rows[:-1], [True, *rows[-1][1:]]] for name, rows in result.items()},
    lambda result: {name: [*rows[:-1], [1 << 200, *rows[-1][1:]]] for name, rows in result.items()},
    lambda result: {name: [*rows[:-1], [-1, *rows[-1][1:]]] for name, rows in result.items() if name != "removed"},
    lambda result: {name: [*rows[:-1], [*rows[-1], 0]] for name, rows in result.items()},
    lambda result: {name: {"dtype": "S9999999999", "shape": [1 << 40], "data": []} for name in result},
]


@pytest.mark.parametrize("change", range(len(RESULTS)))
def test_a_result_that_no_task_has_is_one_line_though_its_checksum_is_true(tmp_path: Path, change: int) -> None:

    for job in kept(tmp_path):
        folder = tmp_path / job.settings["job"]
        for task in job.tasks:
            path = folder / "tasks" / f"{task.name}.json"
            content = path.read_text()
            held = json.loads(content)
            held["result"] = RESULTS[change](held["result"])
            held["checksum"] = json_hash(held["result"])
            path.write_text(json.dumps(held))
            assert str(path) in refusal(folder)
            with pytest.raises(l2m.InputError, match="not the result of this task"):
                run_in_folder(job, folder)
            path.write_text(content)
        assert run_in_folder(job, folder) is not None


def test_results_of_other_tasks_and_of_fewer_pairs_are_refused(tmp_path: Path) -> None:

    for job in kept(tmp_path):
        folder = tmp_path / job.settings["job"]
        last = folder / "tasks" / f"{job.tasks[-1].name}.json"
        content = last.read_text()
        other = (folder / "tasks" / f"{job.tasks[-2].name}.json").read_text()
        last.write_text(other)
        assert str(last) in refusal(folder)
        # What all tasks could have, but not together: an n-gram fewer.
        held = json.loads(content)
        held["result"]["symbols"][0][0] += 1
        held["checksum"] = json_hash(held["result"])
        last.write_text(json.dumps(held))
        assert "expected" in refusal(folder)
        for damage in ("", "{", "null", content[:-9], content.replace("1", "2", 1), content.replace('"', "'")):
            last.write_text(damage)
            assert str(last) in refusal(folder)
        last.write_text(content.replace("]", ", NaN]", 1))
        assert str(last) in refusal(folder)
        last.write_text(content)
        assert merge_folders([folder], folder)


def test_two_runs_of_one_job_may_share_a_folder(tmp_path: Path) -> None:
    """The second finds what the first has written meanwhile, or writes the same again."""
    job, _ = kept(tmp_path)
    folder = tmp_path / "two-point"
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}
    for path in sorted((folder / "tasks").iterdir())[::2]:
        path.unlink()
    again = remake(json.loads((folder / "job.json").read_text()))
    seen: list[int] = []
    run_in_folder(
        job, folder, progress=lambda done, total: seen.append(done) or (done == 2 and run_in_folder(again, folder))
    )
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before
    assert len(seen) >= 2


def test_a_folder_of_another_run_is_not_taken(tmp_path: Path) -> None:
    job, _ = kept(tmp_path)
    with pytest.raises(l2m.InputError, match=r"corpus: holds a corpus \(corpus.json\); use another folder"):
        run_in_folder(job, tmp_path / "corpus")
    other = TwoPointJob(job.corpus, TwoPointSettings(distances=[1, 3], groups=5, within_document=False), parts=2)
    with pytest.raises(l2m.InputError, match=r"groups.number = 4, not 5"):
        run_in_folder(other, tmp_path / "two-point")


@pytest.mark.parametrize("parts", [0, -1, 1 << 40, 1.5, "2", True])
def test_parts_are_bounded_before_anything_is_made(parts: object) -> None:
    for make in (TwoPointJob, NgramsJob):
        with pytest.raises(l2m.InputError, match=r"^parts: "):
            make(np.arange(100) % 7, parts=parts)  # type: ignore[arg-type]


def test_a_result_of_another_job_is_refused_and_one_of_version_0_1_is_taken(tmp_path: Path) -> None:
    for number, job in enumerate(kept(tmp_path / "one")):
        folder = tmp_path / "one" / job.settings["job"]
        path = folder / "tasks" / f"{job.tasks[0].name}.json"
        content = path.read_text()
        held = json.loads(content)
        path.write_text(json.dumps({**held, "job": json_hash({**job.settings, "seed": 1 + number})}))
        with pytest.raises(l2m.InputError, match="the result of another job"):
            run_in_folder(job, folder)
        del held["job"]
        path.write_text(json.dumps(held))
        assert run_in_folder(job, folder) is not None
