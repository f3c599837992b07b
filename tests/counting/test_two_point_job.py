"""The measurement in tasks: kept, shared out, merged, within a memory budget."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

import l2m
from l2m import TwoPointJob, TwoPointSettings
from l2m.counting.tasks import merge_folders, run_in_folder
from markov import markov


def test_a_memory_budget_does_not_change_the_bytes_and_one_too_small_says_what_is_needed(tmp_path):
    documents = list(np.random.default_rng(9).integers(0, 600, (20, 10_000)))
    l2m.two_point(documents).save(tmp_path / "free")
    for memory in ("4MiB", "8MiB"):
        l2m.two_point(documents, memory=memory).save(tmp_path / memory)
        assert (tmp_path / memory).read_bytes() == (tmp_path / "free").read_bytes()
    with pytest.raises(l2m.InputError, match=r"memory: 1,000 bytes; this corpus needs at least [\d,]+ bytes"):
        l2m.two_point(documents, memory=1000)


@pytest.mark.parametrize("ids", [60, 400])
def test_tasks_in_folders_add_to_the_same_bytes(tmp_path, ids):
    """Shards run apart and in any order; a damaged result and another job's folder are named."""
    documents = list(np.random.default_rng(10).integers(0, ids, (12, 500)))
    settings = TwoPointSettings(distances=[1, 2, 4])
    job = TwoPointJob(documents, settings, parts=3)
    assert run_in_folder(job, tmp_path / "b", (1, 2)) is None
    assert run_in_folder(TwoPointJob(documents, settings, parts=3, threads=1), tmp_path / "a", (0, 2)) is None
    _, merged = merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "c", job.corpus)
    merged.save(tmp_path / "shards")
    run_in_folder(job, tmp_path / "whole").save(tmp_path / "whole.json")
    l2m.two_point(documents, [1, 2, 4]).save(tmp_path / "direct")
    assert len({(tmp_path / name).read_bytes() for name in ("shards", "whole.json", "direct")}) == 1
    with pytest.raises(l2m.InputError, match="seed"):
        run_in_folder(TwoPointJob(documents, TwoPointSettings(distances=[1, 2, 4], seed=1), parts=3), tmp_path / "a")
    damaged = next((tmp_path / "a" / "tasks").iterdir())
    damaged.write_text(damaged.read_text().replace("[", "[1,", 1))
    with pytest.raises(l2m.InputError, match="damaged"):
        merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "d", job.corpus)
    with pytest.raises(l2m.InputError, match=r"missing: all-given-margins, .*--shard 0/2$"):
        merge_folders([tmp_path / "b"], tmp_path / "d", job.corpus)
    with pytest.raises(l2m.InputError, match="--corpus"):
        merge_folders([tmp_path / "b"], tmp_path / "d")


def test_subsamples_are_the_curves_of_parts_of_the_documents(tmp_path):
    """Eighths, quarters and halves hold every document once, and each row is the mean over its parts."""
    random = np.random.default_rng(11)
    documents = [
        markov([[0.9, 0.1], [0.2, 0.8]], length, seed) for seed, length in enumerate(random.integers(50, 400, 40))
    ]
    curve = l2m.two_point(documents, [1, 4], subsamples=True)
    offsets = np.cumsum([0, *map(len, documents)])
    settings = TwoPointSettings(distances=[1, 4], subsamples=True)
    for row, (name, parts) in enumerate({"eighth": 8, "quarter": 4, "half": 2}.items()):
        selections = [TwoPointJob(documents, settings).selections[f"{name}{part}"] for part in range(parts)]
        held = [np.searchsorted(offsets, selection.segments.start) for selection in selections]
        assert sorted(np.concatenate(held).tolist()) == list(range(40))
        alone = [l2m.two_point([documents[i] for i in some], [1, 4], groups=None).information for some in held]
        np.testing.assert_allclose(curve.subsample_information[row], np.mean(alone, axis=0), atol=1e-12)
        scatter = np.std(alone, axis=0, ddof=1) / math.sqrt(parts)
        np.testing.assert_allclose(curve.subsample_stderr[row], scatter, atol=1e-12)
    curve.save(tmp_path / "curve.json")
    again = l2m.load(tmp_path / "curve.json").to("bits")
    np.testing.assert_allclose(again.subsample_information * math.log(2), curve.subsample_information)
    assert curve.plot_subsamples().get_ylabel()
    with pytest.raises(l2m.InputError, match="subsamples"):
        l2m.two_point(documents, [1, 4]).plot_subsamples()
    with pytest.raises(l2m.InputError, match="subsamples: a corpus of 5 tokens"):
        l2m.two_point([0, 1, 0, 1, 1], [1], subsamples=True)


PEAK = """
import json, re, sys
import numpy as np
import l2m

def status(name):
    return int(re.search(name + r":\\s+(\\d+) kB", open("/proc/self/status").read()).group(1)) << 10

corpus = l2m.Corpus.open(sys.argv[1])
distances = [1 << k for k in range(14)]
l2m.two_point(l2m.Corpus(corpus.tokens[:200_000], [0, 100_000, 200_000]), distances)  # code and threads, once
corpus.tokens.sum()  # the mapped file is in memory
for budget in map(int, sys.argv[2:]):
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    l2m.two_point(corpus, distances, memory=budget, threads=2, within_document=False)
    print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="peak memory is read from Linux's /proc")
def test_memory_stays_within_a_tenth_of_the_budget(tmp_path):
    """Peak resident memory beside the mapped tokens, near the smallest budget and at that of full speed."""
    size = 16_000_000
    tokens = np.minimum(np.random.default_rng(12).zipf(1.3, size), 30_000).astype(np.uint16)
    l2m.Corpus(tokens, np.arange(0, size + 1, 100_000), 30_001).save(tmp_path / "corpus")
    budgets = [6 * size, 12 * size]
    command = [sys.executable, "-c", PEAK, str(tmp_path / "corpus"), *map(str, budgets)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for budget, peak in zip(budgets, map(int, printed.split()), strict=True):
        assert peak <= 1.1 * budget
