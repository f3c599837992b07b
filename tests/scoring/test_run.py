"""`l2m.score`: what runs, what is refused, and the store under every misfortune."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.scoring.bipartite import bipartite
from l2m.truth.sources import CopySource, LatentSource, Mixture
from scored import LENGTH, SOURCES, Counting, files_of, measured, self_test_tokens
from texts import some_texts


def test_a_store_grows_and_only_what_is_missing_runs(tmp_path):
    source = SOURCES["markov"]
    counted = Counting(source)
    corpus = l2m.Corpus(list(source.sample(12, LENGTH, seed=1)))

    def score(**options):
        counted.tokens = 0
        stops = options["splits"] if options["shuffles"] else [LENGTH // 2]
        scores = scoring.score(corpus, counted, out=tmp_path, length=LENGTH, **options)
        return scores, counted.tokens - self_test_tokens(LENGTH, stops) * (counted.tokens > 0)

    base = {"windows": 8, "splits": [4, 8], "ratios": (2,), "shuffles": 0}
    scores, tokens = score(**base)
    assert tokens == 8 * (LENGTH + 4 + 8)
    before = scores.conditional.copy()
    assert score(**base)[1] == 0
    assert score(**base | {"windows": 12})[1] == 4 * (LENGTH + 4 + 8)
    assert score(**base | {"windows": 12, "splits": [4, 16]})[1] == 12 * 16
    scores, tokens = score(**base | {"windows": 12, "shuffles": 1})
    assert tokens == 12 * (8 + 4 + 8)  # X up to the last split is read again for its state
    scores, tokens = score(**base | {"windows": 12, "ratios": (2, 3)})
    assert tokens == 12 * (8 + 16)
    assert (scores.conditional[:8] == before).all()
    assert scores.splits == (4, 8, 16)
    assert scores.shuffles == 1


def test_tokens_per_pair_at_length_2048(tmp_path):
    """The authors' scripts evaluate about 41,000 for the same numbers."""
    source = LatentSource([0.1, 0.9])
    counted = Counting(source)
    corpus = l2m.Corpus(list(source.sample(4, 2048, seed=1)))
    scoring.score(corpus, counted, out=tmp_path / "two", shuffles=0)
    before = counted.tokens
    scoring.score(corpus, counted, out=tmp_path / "all", shuffles=1)
    assert (before - self_test_tokens(2048, [1024])) / 4 == 2048 + 4090
    assert (counted.tokens - before - self_test_tokens(2048, [2, 1024])) / 4 == 10_228


def test_impossible_events_are_refused(tmp_path):
    """Without noise a copy source gives shuffled pairs no chance at all."""
    source = CopySource(8, 3, 0.0)
    assert source.vclub(4, 8) == np.inf
    with pytest.raises(l2m.InputError, match="-inf"):
        measured(source, tmp_path, windows=20)
    assert bipartite(measured(source, tmp_path, windows=20, shuffles=0)).information[-1] == pytest.approx(3 * np.log(8))


SLOW_RUN = """
import sys, time
import numpy as np
import l2m
from l2m.truth.sources import MarkovSource

class Slow(MarkovSource):
    def log_prob(self, tokens, state=None):
        time.sleep(0.004)
        return super().log_prob(tokens, state)

source = Slow([[0.9, 0.1], [0.2, 0.8]])
corpus = l2m.Corpus(list(source.sample(96, 32, seed=0)))
print("go", flush=True)
l2m.score(corpus, source, out=sys.argv[1], length=32, max_batch_tokens=64, windows=96)
"""


@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_any_point_the_same_command_ends_with_the_same_bytes(kills, tmp_path):
    """kill -9 at points spread over the run; what a file held before is still there, byte for byte."""

    def start(out):
        """The run, once its imports are behind it."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, str(out)], stdout=subprocess.PIPE, env=environment)
        process.stdout.readline()
        process.stdout.close()
        return process

    undisturbed = tmp_path / "undisturbed"
    process = start(undisturbed)
    begun = time.monotonic()
    assert process.wait() == 0
    duration = time.monotonic() - begun
    expected = files_of(undisturbed)
    killed, done = tmp_path / "killed", {}
    random = np.random.default_rng(0)
    for _ in range(kills):
        process = start(killed)
        time.sleep(float(random.uniform(0, 2 * duration / kills)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        held = files_of(killed)
        assert done.items() <= held.items()
        done = held
    assert 0 < len(done) < len(expected)
    assert start(killed).wait() == 0
    assert files_of(killed) == expected


def test_a_crash_before_each_rename_loses_nothing(tmp_path, monkeypatch):
    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(4, LENGTH, seed=1)))
    options = {"length": LENGTH, "max_batch_tokens": 2 * LENGTH}
    scoring.score(corpus, source, out=tmp_path / "whole", **options)
    expected = files_of(tmp_path / "whole")
    replace, left = os.replace, [0]

    def crash(*names):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device", str(names[1]))
        replace(*names)

    monkeypatch.setattr(os, "replace", crash)
    for renames in range(len(expected)):
        left[0] = renames
        out = tmp_path / str(renames)
        with pytest.raises(OSError, match="No space left"):
            scoring.score(corpus, source, out=out, **options)
        assert len(files_of(out)) == renames
        left[0] = 1000
        scoring.score(corpus, source, out=out, **options)
        assert files_of(out) == expected


def test_two_shards_make_the_files_of_one_process(tmp_path, monkeypatch):
    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(20, LENGTH, seed=1)))
    options = {"length": LENGTH, "max_batch_tokens": 2 * LENGTH}
    scoring.score(corpus, source, out=tmp_path / "one", **options)
    for shard in range(2):
        scoring.score(corpus, source, out=tmp_path / "shards", shard=(shard, 2), **options)
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        scoring.score(corpus, source, out=tmp_path / "ranks", **options)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "shards") == files_of(tmp_path / "ranks")


def test_a_shard_without_work_is_no_error(tmp_path):
    corpus = l2m.Corpus(list(SOURCES["markov"].sample(3, LENGTH, seed=1)))
    nothing = scoring.score(corpus, SOURCES["markov"], out=tmp_path, length=LENGTH, shard=(7, 8))
    assert len(nothing) == 0
    with pytest.raises(l2m.InputError, match="holds"):
        bipartite(nothing)


def test_out_of_memory_halves_the_batch(tmp_path):
    class Small(Counting):
        largest = 0

        def log_prob(self, tokens, state=None):
            if tokens.size > 3 * LENGTH:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            self.largest = max(self.largest, tokens.size)
            return super().log_prob(tokens, state)

    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(16, LENGTH, seed=1)))
    small = Small(source)
    scores = scoring.score(corpus, small, out=tmp_path / "a", length=LENGTH)
    assert 2 * LENGTH <= small.largest <= 3 * LENGTH
    assert (scores.conditional == scoring.score(corpus, source, out=tmp_path / "b", length=LENGTH).conditional).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 2000}, "longest document has 1000 tokens; one window needs 2000"),
        ({"windows": 1000}, "windows: 1000; the corpus has room for"),
        ({"splits": [40]}, "splits: 40; expected whole numbers from 1 to 32"),
        ({"ratios": [1]}, "ratios: 1; expected a whole number from 2"),
        ({"shuffles": -1}, "shuffles: -1"),
        ({"contexts": 10}, "contexts: 10"),
        ({"shard": (2, 2)}, "shard: 2/2"),
        ({"max_batch_tokens": 0}, "max_batch_tokens: 0"),
        ({"window_starts": "heads"}, "window_starts: 'heads'; expected anywhere, head"),
        ({"model": 3}, "model: int"),
        ({"model": "no-such-model"}, "no-such-model"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(changes, message, tmp_path):
    corpus = l2m.Corpus([np.arange(1000) % 5, np.arange(1000) % 7])
    options = {"model": SOURCES["latent"], "out": tmp_path / "scores", "length": 64, **changes}
    with pytest.raises(l2m.InputError, match=message):
        scoring.score(corpus, **options)
    assert not (tmp_path / "scores").exists()


def test_other_settings_than_the_store_holds_are_refused_by_name(tmp_path):
    ids = SOURCES["markov"].sample(4, LENGTH, seed=1)
    options = {"out": tmp_path, "length": LENGTH}
    scoring.score(l2m.Corpus(list(ids)), SOURCES["markov"], **options)
    for changed, name in (
        ({"model": Mixture(SOURCES["markov"], 0.5)}, "model.name"),
        ({"length": 32}, "length"),
        ({"seed": 1}, "seed"),
        ({"window_starts": "head"}, "window_starts"),
        ({"corpus": l2m.Corpus(list(ids[::-1]))}, "corpus.hash"),
    ):
        arguments = {"corpus": l2m.Corpus(list(ids)), "model": SOURCES["markov"], **options, **changed}
        with pytest.raises(l2m.InputError, match=f"holds a run with {name} = "):
            scoring.score(**arguments)


def test_stores_of_windows_from_the_head_load_and_are_not_extended(tmp_path):
    """Versions before began first windows at the head of documents and recorded no rule."""
    corpus = l2m.Corpus(list(SOURCES["markov"].sample(4, LENGTH, seed=1)))
    scoring.score(corpus, SOURCES["markov"], out=tmp_path, length=LENGTH, shuffles=0)
    before = bipartite(l2m.load(tmp_path)).information
    manifest = tmp_path / "scores.json"
    held = json.loads(manifest.read_text())
    del held["settings"]["window_starts"], held["checksum"]
    manifest.write_text(json.dumps(held))
    assert (bipartite(l2m.load(tmp_path)).information == before).all()
    with pytest.raises(l2m.InputError, match="holds a run with window_starts = None, not 'anywhere'"):
        scoring.score(corpus, SOURCES["markov"], out=tmp_path, length=LENGTH, shuffles=0)


def test_the_models_own_tokenizer_and_context_are_required(tiny_model, tmp_path):
    corpus = l2m.tokenize(some_texts(3), "bytes", duplicates="keep")
    with pytest.raises(l2m.InputError, match="tokenized with 'bytes'"):
        scoring.score(corpus, tiny_model, out=tmp_path, length=64)
    own = l2m.tokenize(some_texts(3), scoring.resolve_model(tiny_model).tokenizer_folder, duplicates="keep")
    with pytest.raises(l2m.InputError, match=r"length: 1024; the context of .* is 512 tokens"):
        scoring.score(own, tiny_model, out=tmp_path, length=1024)
    for wrong in ({"device": "cuda:99"}, {"device": "nonsense"}, {"dtype": "float31"}, {"dtype": "int8"}):
        with pytest.raises(l2m.InputError, match=next(iter(wrong))):
            scoring.score(own, tiny_model, out=tmp_path, length=64, **wrong)
    with pytest.raises(l2m.InputError, match="token id 999; the model knows ids below 300"):
        scoring.score(l2m.Corpus([np.arange(1000)] * 2), tiny_model, out=tmp_path, length=64)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ma.array(np.ones((2, 8), int), mask=np.eye(2, 8, dtype=bool)), "corpus: 2 masked entries"),
        ([[1, 2, 3, 4, 5, 6, 7, None], [1] * 8], "corpus: entry 7 is missing"),
        (np.full((2, 8), -3), "corpus: holds -3"),
        (np.full((2, 8), np.nan), "corpus: holds nan"),
        (np.full((2, 8), np.inf), "corpus: holds inf"),
        (np.array([["a"] * 8] * 2), "corpus: text"),
        (np.ones(16, int), r"corpus: shape \(16,\)"),
        (np.ones((0, 8), int), "corpus"),
        (np.ones((2, 9), int), r"corpus: an array of shape \(2, 9\)"),
        ([[1, 2], [3]], "corpus"),
        (3, "corpus"),
    ],
)
def test_arrays_that_are_no_windows(rows, message, tmp_path):
    with pytest.raises(l2m.InputError, match=message):
        scoring.score(rows, SOURCES["markov"], out=tmp_path / "scores", length=8)
    assert not (tmp_path / "scores").exists()


def test_a_mask_that_hides_nothing_and_lists_are_arrays(tmp_path):
    source = SOURCES["markov"]
    ids = source.sample(4, 16, seed=1)
    one = scoring.score(np.ma.array(ids), source, out=tmp_path / "one", length=16)
    two = scoring.score(ids.tolist(), source, out=tmp_path / "two", length=16)
    assert (one.conditional == two.conditional).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"length": 2.5}, {"length": True}, {"length": 2**60}, {"length": -1}, {"length": "64"}, {"length": 3},
        {"windows": 0}, {"windows": 1.5}, {"windows": 2**70}, {"shuffles": 10**9}, {"shuffles": 0.5}, {"contexts": 10**9},
        {"ratios": [2.5]}, {"ratios": 2}, {"ratios": []}, {"ratios": "2,3"}, {"ratios": [2**70]}, {"splits": [0]},
        {"splits": [1.5]}, {"splits": []}, {"splits": 4}, {"max_batch_tokens": 2.5}, {"max_batch_tokens": 2**80},
        {"seed": -1}, {"seed": 1.5}, {"seed": 2**64}, {"shard": (0, 0)}, {"shard": (-1, 2)}, {"shard": (0.5, 2)},
    ],
)  # fmt: skip
def test_numbers_out_of_bounds_are_refused(changes, tmp_path):
    (argument,) = changes
    corpus = l2m.Corpus([np.arange(1000) % 5, np.arange(1000) % 7])
    with pytest.raises(l2m.InputError, match=f"^{argument}: "):
        scoring.score(corpus, SOURCES["latent"], out=tmp_path / "scores", **{"length": 64, **changes})
    assert not (tmp_path / "scores").exists()


def test_the_unit_of_a_store_does_not_depend_on_the_machine(tmp_path):
    """Shards that start together on unlike machines, with other budgets, cut the same list."""
    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(20, LENGTH, seed=1)))
    units = set()
    for number, budget in enumerate((1, 64, 10**6)):
        scores = scoring.score(corpus, source, out=tmp_path / str(number), length=LENGTH, max_batch_tokens=budget)
        units.add(scores.settings["unit"])
    assert len(units) == 1
    assert files_of(tmp_path / "0") == files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_n_grams_are_counted_last_with_progress_and_forecast(tmp_path, monkeypatch):
    from l2m.scoring import ngram_entropy
    from l2m.scoring.request import Request
    from l2m.scoring.run import forecast
    from l2m.scoring.settings import ScoreSettings

    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(4, LENGTH, seed=1)))
    request = Request(corpus=corpus, model=source, settings=ScoreSettings(length=LENGTH))
    plan = forecast(request, tmp_path / "scores")
    assert plan.details["ngram_tokens"] == corpus.tokens.size
    assert plan.work["tokens"] == 4 * plan.details["tokens_per_window"]
    assert not (tmp_path / "scores").exists()
    seen, given = [], []

    def progress(done, total):
        seen.append((done, total, (tmp_path / "scores" / "statistics.json").exists()))

    count = ngram_entropy.ngrams
    monkeypatch.setattr(
        ngram_entropy, "ngrams", lambda *a, progress: given.append(progress) or count(*a, progress=progress)
    )
    scoring.score(corpus, source, out=tmp_path / "scores", length=LENGTH, progress=progress)
    assert (plan.work["tokens"], plan.work["tokens"], False) in seen
    assert given == [progress]
    assert forecast(request, tmp_path / "scores").details["ngram_tokens"] == 0


def test_a_model_is_hashed_once(tiny_model, tmp_path, monkeypatch):
    import l2m.scoring.model_source as module

    hashed = []
    plain = module.file_hash
    monkeypatch.setattr(module, "file_hash", lambda path: hashed.append(path.name) or plain(path))
    source = scoring.resolve_model(tiny_model)
    corpus = l2m.tokenize(some_texts(3), source.encoder(), duplicates="keep")
    assert hashed == []
    scoring.score(corpus, source, out=tmp_path, length=64, device="cpu", windows=2)
    assert sorted(hashed) == ["model.safetensors", "tokenizer.json"]
