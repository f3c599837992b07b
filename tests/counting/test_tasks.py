"""Jobs in tasks: what a forecast says, how a job is made again, and what is refused in a job's folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import l2m
from l2m import TwoPointJob, TwoPointSettings
from l2m.counting.ngrams import NgramsJob
from l2m.counting.tasks import describe, remake, run_tasks


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
