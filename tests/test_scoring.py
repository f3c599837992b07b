"""Scoring: exact sources through the same code as language models, the real backend, the store under every misfortune."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import gpu_scoring as validation
import l2m
from l2m import scoring
from l2m.cli import main
from l2m.scoring.bipartite import bipartite, without_each_document
from l2m.scoring.windows import Windows
from l2m.statistics.jackknife import jackknife_errors
from l2m.truth.sources import CopySource, LatentSource, MarkovSource, Mixture
from texts import some_texts
from tiny_models import FAMILIES, LOSE_THEIR_STATE, VOCABULARY, random_model

LENGTH = 64


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small only wait for each other's threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def strong_chain(symbols=8, noise=0.04):
    """A cycle that goes astray now and then: I is 1.8 nats, so that 1,000 windows give a standard error below 2 % of it."""
    cycle = np.roll(np.eye(symbols), 1, axis=1)
    uneven = np.arange(1, symbols + 1) / np.arange(1, symbols + 1).sum()
    return MarkovSource((1 - noise) * cycle + noise * uneven)


SOURCES = {
    "markov": strong_chain(),
    "latent": LatentSource(np.linspace(0.02, 0.98, 9)),
    "copy": CopySource(8, 5, 0.2),
}


def measured(source, tmp_path, *, windows=3000, scorer=None, **options):
    ids = source.sample(windows, LENGTH, seed=3)
    return scoring.score(l2m.Corpus(list(ids)), scorer or source, out=tmp_path / "scores", length=LENGTH, **options)


@pytest.mark.parametrize("name", SOURCES)
def test_exact_sources_give_their_closed_form(name, tmp_path):
    source = SOURCES[name]
    scores = measured(source, tmp_path)
    for ratio in (2, 3, 4):
        direct, vclub = bipartite(scores, ratio=ratio), bipartite(scores, estimator="vclub", ratio=ratio)
        assert direct.split.tolist() == [split for split in (2, 4, 8, 16, 32) if ratio * split <= LENGTH]
        for curve, truth in ((direct, source.bipartite_information), (vclub, source.vclub)):
            expected = np.array([truth(split, ratio * split) for split in curve.split])
            z = (curve.information - expected) / np.where(expected == 0, 1, curve.stderr)
            assert np.abs(z).max() < 4, (name, ratio, curve.settings["estimator"], z)


def test_a_llama_that_is_a_markov_chain(tmp_path):
    """Loaded from safetensors by name like any model; the standard error is at most 2 % of I at every split."""
    source = SOURCES["markov"]
    source.save_pretrained(tmp_path / "model")
    ids = source.sample(1000, LENGTH, seed=5)
    corpus = l2m.Corpus(list(ids))
    scores = scoring.score(corpus, tmp_path / "model", out=tmp_path / "scores", length=LENGTH)
    exact, _ = source.log_prob(ids)
    # float32 logits up to 8 in size: 1e-6 each.
    np.testing.assert_allclose(scores.conditional, exact, atol=1e-5)
    assert scores.settings["model"]["start_token"] == source.vocab_size
    for ratio in (2, 3, 4):
        direct, vclub = bipartite(scores, ratio=ratio), bipartite(scores, estimator="vclub", ratio=ratio)
        for curve, truth in ((direct, source.bipartite_information), (vclub, source.vclub)):
            expected = np.array([truth(split, ratio * split) for split in curve.split])
            assert np.abs((curve.information - expected) / curve.stderr).max() < 4
        assert (direct.stderr < 0.02 * direct.information).all()


def test_a_wrong_scorer_is_off_by_the_known_divergences(tmp_path):
    """q = 3/4 p + 1/4 uniform on a Markov chain: only the first token of Y differs between log q(Y|X) and log q(Y)."""
    source = SOURCES["markov"]
    wrong = Mixture(source, 0.25)
    scores = measured(source, tmp_path, scorer=wrong)
    p, pi, m = source.transition, source.stationary, source.vocab_size
    given, alone = 0.75 * p + 0.25 / m, 0.75 * pi + 0.25 / m
    joint = pi[:, None] * p
    direct = (joint * np.log(given / alone)).sum()
    # = I + KL(p(y) || q(y)) - KL(p(y|x) || q(y|x))
    divergences = (pi * np.log(pi / alone)).sum() - (joint * np.log(p / given)).sum()
    assert direct == pytest.approx(source.bipartite_information(2, 4) + divergences, abs=1e-12)
    vclub = ((joint - np.outer(pi, pi)) * np.log(given)).sum()
    for estimator, expected in (("direct", direct), ("vclub", vclub)):
        curve = bipartite(scores, estimator=estimator)
        assert np.abs((curve.information - expected) / curve.stderr).max() < 4
        assert abs(curve.information[0] - source.bipartite_information(2, 4)) > 4 * curve.stderr[0]


def test_impossible_events_are_refused(tmp_path):
    """Without noise a copy source gives shuffled pairs no chance at all."""
    source = CopySource(8, 3, 0.0)
    assert source.vclub(4, 8) == np.inf
    with pytest.raises(l2m.InputError, match="-inf"):
        measured(source, tmp_path, windows=20)
    assert bipartite(measured(source, tmp_path, windows=20, shuffles=0)).information[-1] == pytest.approx(3 * np.log(8))


def full_pass(model, prefix, targets):
    """Slow and obvious: log q(targets | start token 1, prefix), one sequence, no state, all logits."""
    import torch

    both = torch.tensor([[1, *map(int, prefix), *map(int, targets)]])
    with torch.no_grad():
        logits = model(both[:, :-1], use_cache=False).logits[0].double()
    return torch.log_softmax(logits, 1)[torch.arange(both.size(1) - 1), both[0, 1:]].numpy()[len(prefix) :]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_scores_as_a_full_pass_of_one_sequence(family, tmp_path):
    """Cached against full and batch against single, to 1e-4, for every pass; families that lose their state are found out."""
    model = random_model(family)
    ids = np.random.default_rng(0).integers(3, VOCABULARY, (4, 48)).astype(np.uint16)
    said = []
    scores = scoring.score(
        l2m.Corpus(list(ids)), model, out=tmp_path, length=48, splits=[5, 16], ratios=[2, 3], notify=said.append
    )
    (test,) = scores.self_tests()
    assert test["recomputed_in_full"] == (family in LOSE_THEIR_STATE), (test, said)
    assert bool(said) == (family in LOSE_THEIR_STATE)
    assert test["noise_floor"] < 1e-4
    windows = Windows(l2m.Corpus(list(ids)), 48)
    other, documents = windows.partners(range(4), 0)
    assert (scores.partners[0] == documents).all()
    for row in (0, 3):
        np.testing.assert_allclose(scores.conditional[row], full_pass(model, [], ids[row]), atol=1e-4)
        for split in (5, 16):
            y, other_y = ids[row, split : 3 * split], other[row, split : 3 * split]
            np.testing.assert_allclose(scores.marginal(split)[row], full_pass(model, [], y), atol=1e-4)
            shuffled = full_pass(model, ids[row, :split], other_y)
            np.testing.assert_allclose(scores.shuffled(split, 0)[row], shuffled, atol=1e-4)


def test_a_store_grows_and_only_what_is_missing_runs(tmp_path):
    source = SOURCES["markov"]
    counted = Counting(source)
    corpus = l2m.Corpus(list(source.sample(12, LENGTH, seed=1)))

    def score(**options):
        counted.tokens = 0
        scores = scoring.score(corpus, counted, out=tmp_path, length=LENGTH, **options)
        return scores, counted.tokens - SELF_TEST * (counted.tokens > 0)

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


SELF_TEST = 2 * LENGTH + LENGTH + 2 * LENGTH + LENGTH  # full, single, prefix and continuation, continuation again


class Counting:
    """A scorer that counts the tokens it is asked for."""

    def __init__(self, scorer):
        self.scorer, self.settings, self.tokens = scorer, scorer.settings, 0

    def log_prob(self, tokens, state=None):
        self.tokens += tokens.size
        return self.scorer.log_prob(tokens, state)


def test_tokens_per_pair_at_length_2048(tmp_path):
    """The authors' scripts evaluate about 41,000 for the same numbers."""
    source = LatentSource([0.1, 0.9])
    counted = Counting(source)
    corpus = l2m.Corpus(list(source.sample(4, 2048, seed=1)))
    scoring.score(corpus, counted, out=tmp_path / "two", shuffles=0)
    before = counted.tokens
    scoring.score(corpus, counted, out=tmp_path / "all", shuffles=1)
    self_test = 6 * 64
    assert (before - self_test) / 4 == 2048 + 4090
    assert (counted.tokens - before - self_test) / 4 == 10_228


def test_averaged_contexts_correct_a_start_that_is_wrong(tmp_path):
    """A scorer whose start token says nothing: direct is too high by KL(pi || uniform); contexts mend it, but for Jensen."""
    source = SOURCES["markov"]
    blind = BlindStart(source)
    ids = source.sample(400, LENGTH, seed=2)
    scores = scoring.score(
        l2m.Corpus(list(ids)), blind, out=tmp_path, length=LENGTH, splits=[4, 8], shuffles=0, contexts=256
    )
    truth = source.bipartite_information(4, 8)
    excess = np.log(source.vocab_size) + (source.stationary * np.log(source.stationary)).sum()
    plain = bipartite(scores)
    assert np.abs((plain.information - truth - excess) / plain.stderr).max() < 4
    mended = bipartite(scores, correction="averaged")
    # Jensen: the mean over K of q(y1|c) has relative variance (1/pi - 1)/K at most, half of it in the logarithm.
    bias = ((1 - source.stationary) / 256 / 2).sum()
    assert ((mended.information - truth) < bias + 4 * mended.stderr).all()
    assert ((mended.information - truth) > -4 * mended.stderr).all()
    assert min(mended.settings["change_from_half_to_all_contexts"]) < 0
    assert mended.settings["bias"] == "upward"
    grams = bipartite(scores, correction="ngram", weight=1.0)
    gram_entropy = scores.ngram_entropy[2]
    expected = plain.information + gram_entropy + scores.marginal(4)[:, :2].sum(1).mean()
    assert grams.information[0] == pytest.approx(expected[0], abs=1e-6)
    with pytest.raises(l2m.InputError, match="64 or more"):
        scoring.score(l2m.Corpus(list(ids)), blind, out=tmp_path / "few", length=LENGTH, contexts=32)


class BlindStart:
    """An exact scorer of a Markov chain, but for the first token after the start, which it takes for uniform."""

    def __init__(self, source):
        self.source, self.settings = source, {"name": "blind start"}

    def log_prob(self, tokens, state=None):
        values, after = self.source.log_prob(tokens, state)
        if state is None:
            values[:, 0] = -np.log(self.source.vocab_size)
        return values, after


def test_the_paper_preset(tmp_path):
    scores = measured(SOURCES["copy"], tmp_path, windows=60)
    same, paper = bipartite(scores), bipartite(scores, preset="paper")
    np.testing.assert_allclose(paper.information, same.information)  # every marginal is used once either way
    assert not np.allclose(paper.pointwise, same.pointwise)
    assert paper.fit().settings["x"] == "split"
    law, at_length = same.fit(x="split"), same.fit()
    assert at_length.settings["x"] == "length"
    assert at_length.exponent == pytest.approx(law.exponent)
    assert at_length.amplitude == pytest.approx(law.amplitude * 0.5**law.exponent)


def test_errors_cover_documents_that_differ():
    """One value per document, ten windows each: the error is that of 40 values, not of 400; the jackknife of a mean is exact."""
    random = np.random.default_rng(0)
    document = np.repeat(np.arange(40), 10)
    of_document = random.normal(size=40)
    first = of_document[document][:, None]
    zero, partner = np.zeros((400, 1, 1)), document[:, None]
    estimate, replicates, groups = without_each_document(first, zero, document, partner)
    assert groups == "documents"
    assert estimate[0] == pytest.approx(of_document.mean())
    stderr = jackknife_errors(replicates)[0][0]
    assert stderr == pytest.approx(of_document.std(ddof=1) / np.sqrt(40))


def test_a_partner_drawn_often_leaves_with_its_document():
    """Slow and obvious: recompute from what is left."""
    random = np.random.default_rng(1)
    document = np.repeat(np.arange(9), 3)
    partners = (document[:, None] + random.integers(1, 9, (27, 2))) % 9
    first, second = random.normal(size=(27, 4)), random.normal(size=(27, 2, 4))
    _, replicates, _ = without_each_document(first, second, document, partners)
    for group in range(9):
        kept = [(i, k) for i in range(27) for k in range(2) if document[i] != group and partners[i, k] != group]
        expected = first[document != group].mean(0) - np.mean([second[pair] for pair in kept], 0)
        np.testing.assert_allclose(replicates[group], expected)


def test_the_authors_order_of_evaluation_gives_the_same_pointwise_numbers(tmp_path):
    """Every split scored anew from the start, all logits kept: log q(Y|X), log q(Y), log q(Y'|X) for one pair at a time."""
    model = random_model("llama")
    ids = np.random.default_rng(3).integers(3, VOCABULARY, (6, 64)).astype(np.uint16)
    corpus = l2m.Corpus(list(ids))
    scores = scoring.score(corpus, model, out=tmp_path, length=64)
    partners = Windows(corpus, 64).partners(range(6), 0)[0]
    evaluated = 0
    for ratio in (2, 3, 4):
        direct, vclub = bipartite(scores, ratio=ratio), bipartite(scores, estimator="vclub", ratio=ratio)
        for column, split in enumerate(direct.split):
            for row in range(3):
                x, y = ids[row, :split], ids[row, split : ratio * split]
                given = full_pass(model, x, y).sum()
                alone = full_pass(model, [], y).sum()
                shuffled = full_pass(model, x, partners[row, split : ratio * split]).sum()
                evaluated += (2 * ratio + ratio - 1) * split
                # A sum of up to 48 values in float32, each within 1e-5.
                assert direct.pointwise[row, column] == pytest.approx(given - alone, abs=5e-4)
                assert vclub.pointwise[row, column] == pytest.approx(given - shuffled, abs=5e-4)
    # 64 + 2 * (32 + 48 + 24 + 12 + 6) in ours.
    assert evaluated / 3 > 2 * 308


def test_windows_begin_at_sentences_and_never_overlap(tiny_model):
    from tokenizers import Tokenizer

    source = scoring.resolve_model(tiny_model)
    corpus = l2m.tokenize(some_texts(4, words=900), source.tokenizer_folder, duplicates="keep")
    decoder = Tokenizer.from_file(str(source.tokenizer_folder / "tokenizer.json"))
    windows = Windows(corpus, 100, count=24, decoder=decoder)
    for document in range(4):
        starts = np.sort(windows.start[windows.document == document])
        assert starts[0] == 0
        assert (np.diff(starts) >= 100).all()
        for start in starts[1:]:
            before = decoder.decode(corpus[document][:start].tolist())
            after = decoder.decode(corpus[document][start : start + 100].tolist())
            assert before.rstrip().endswith(".")
            assert not after.lstrip().startswith(".")
    fewer = Windows(corpus, 100, count=6, decoder=decoder)
    assert (fewer.document == windows.document[:6]).all()
    assert (fewer.start == windows.start[:6]).all()
    assert windows.bytes([5]) == [len(decoder.decode(windows.tokens([5])[0].tolist()).encode())]


def test_partners_are_other_documents_and_differ():
    corpus = l2m.Corpus([np.full(80, i) for i in range(7)])
    windows = Windows(corpus, 20, count=21)
    drawn = np.array([windows.partners(range(21), k)[1] for k in range(6)])
    assert (drawn != windows.document).all()
    assert all(len(set(column)) == 6 for column in drawn.T)
    tokens, documents = windows.partners(range(21), 3)
    assert (tokens == documents[:, None]).all()
    assert (Windows(corpus, 20, count=7).partners(range(7), 2)[1] == drawn[2, :7]).all()
    with pytest.raises(l2m.InputError, match="two documents"):
        Windows(corpus.select([0]), 20).partners([0], 0)


def files_of(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name[0] != "."
    }


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
corpus = l2m.Corpus(list(source.sample(24, 32, seed=0)))
print("go", flush=True)
l2m.score(corpus, source, out=sys.argv[1], length=32, max_batch_tokens=64, windows=24)
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


def test_a_damaged_file_is_named_and_only_its_part_is_redone(tmp_path):
    source = SOURCES["markov"]
    counted = Counting(source)
    corpus = l2m.Corpus(list(source.sample(6, LENGTH, seed=1)))
    options = {"out": tmp_path, "length": LENGTH, "max_batch_tokens": 2 * LENGTH, "shuffles": 0}
    scoring.score(corpus, counted, **options)
    expected = files_of(tmp_path)
    for damage in (
        lambda content: content[:-5],
        lambda content: b"",
        lambda c: c[:-40] + bytes([c[-40] ^ 1]) + c[-39:],
    ):
        victim = sorted((tmp_path / "passes").glob("marginal*"))[1]
        victim.write_bytes(damage(victim.read_bytes()))
        with pytest.raises(l2m.InputError, match=victim.name):
            bipartite(l2m.load(tmp_path))
        said, counted.tokens = [], 0
        scoring.score(corpus, counted, notify=said.append, **options)
        assert [victim.name in line for line in said] == [True]
        assert counted.tokens == SELF_TEST + 2 * (32 + 48 + 24 + 12 + 6)
        assert files_of(tmp_path) == expected


def test_two_shards_make_the_files_of_one_process(tmp_path, monkeypatch):
    source = SOURCES["markov"]
    corpus = l2m.Corpus(list(source.sample(9, LENGTH, seed=1)))
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


class Peeking:
    """Not causal: every value knows the last token."""

    def log_prob(self, tokens, state=None):
        return -1.0 - 0.1 * np.broadcast_to(tokens[:, -1:], tokens.shape), None


def test_a_model_that_sees_the_future_is_refused(tmp_path):
    corpus = l2m.Corpus(list(SOURCES["markov"].sample(4, LENGTH, seed=1)))
    with pytest.raises(l2m.InputError, match="causal"):
        scoring.score(corpus, Peeking(), out=tmp_path, length=LENGTH)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 2000}, "longest document has 1000 tokens; one window needs 2000"),
        ({"windows": 1000}, "windows: 1000; the corpus has room for"),
        ({"splits": [40]}, "splits: 40; expected whole numbers from 1 to 32"),
        ({"ratios": [1]}, "ratios: \\[1\\]"),
        ({"shuffles": -1}, "shuffles: -1"),
        ({"contexts": 10}, "contexts: 10"),
        ({"shard": (2, 2)}, "shard: 2/2"),
        ({"max_batch_tokens": 0}, "max_batch_tokens: 0"),
        ({"model": 3}, "model: a int"),
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
        ({"corpus": l2m.Corpus(list(ids[::-1]))}, "corpus.hash"),
    ):
        arguments = {"corpus": l2m.Corpus(list(ids)), "model": SOURCES["markov"], **options, **changed}
        with pytest.raises(l2m.InputError, match=f"scored with {name} = "):
            scoring.score(**arguments)


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


def test_start_tokens(tiny_model, tmp_path):
    """A chat-control token never stands in by itself; padding side plays no part, since nothing is padded."""
    assert scoring.resolve_model(tiny_model).start_token()[1:] == ("<|endoftext|>", "the model's own")
    copy = tmp_path / "chat"
    copy.mkdir()
    for file in tiny_model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    chat = {"id": 300, "content": "<|im_start|>", "special": True}
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], **chat})
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = json.loads((copy / "tokenizer_config.json").read_text())
    for padding in ("left", "right"):
        (copy / "tokenizer_config.json").write_text(
            json.dumps({**config, "bos_token": "<|im_start|>", "padding_side": padding})
        )
        number, name, why = scoring.resolve_model(copy).start_token()
        assert (number, name) == (0, "<|endoftext|>")
        assert "chat-control" in why
    assert scoring.resolve_model(copy).start_token("<|im_start|>") == (300, "<|im_start|>", "named by the user")
    assert scoring.resolve_model(copy).start_token("299")[0] == 299
    with pytest.raises(l2m.InputError, match="start_token: 'nope'"):
        scoring.resolve_model(copy).start_token("nope")
    model = random_model("llama")
    model.config.bos_token_id = None
    with pytest.raises(l2m.InputError, match="start_token: None"):
        scoring.score(l2m.Corpus([np.arange(90)] * 2), model, out=tmp_path / "s", length=32)


def test_the_command_line_from_text_to_law(tiny_model, tmp_path, capsys):
    def run(*arguments):
        """(exit status, stdout, stderr) of a command, in this process: importing torch anew takes seconds."""
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        return (stopped.value.code, *capsys.readouterr())

    texts = tmp_path / "texts"
    texts.mkdir()
    for number, text in enumerate(some_texts(9)):
        (texts / f"{number}.txt").write_text(text)
    options = ["--model", tiny_model, "--out", tmp_path / "scores", "--length", 64, "--windows", 18, "--device", "cpu"]
    status, out, _ = run("score", texts, *options, "--dry-run", "--json")
    assert status == 0
    plan = json.loads(out)
    assert plan["tokens"] == 18 * (64 + 2 * (32 + 48 + 24 + 12 + 6))
    assert plan["parameters"] > 10_000
    assert not (tmp_path / "scores").exists()
    status, out, _ = run("score", texts, *options, "--json")
    assert status == 0
    assert json.loads(out)["windows"] == 18
    status, out, _ = run("bipartite", tmp_path / "scores", "--out", tmp_path / "curves", "--json")
    assert status == 0
    assert {(law["estimator"], law["ratio"], law["correction"]) for law in json.loads(out)["laws"]} == {
        *(("direct", ratio, correction) for ratio in (2, 3, 4) for correction in ("none", "ngram")),
        *(("vclub", ratio, "none") for ratio in (2, 3, 4)),
    }
    saved = l2m.load(tmp_path / "curves" / "direct-2-none.json")
    assert saved.information.tolist() == bipartite(l2m.load(tmp_path / "scores")).information.tolist()
    assert (tmp_path / "curves" / "bipartite.svg").read_text().startswith("<svg")
    status, out, _ = run("bipartite", tmp_path / "scores", "--estimator", "direct", "--preset", "paper")
    assert status == 0
    assert "l^" in out
    status, out, _ = run("nll", tmp_path / "scores", "--json")
    assert status == 0
    assert json.loads(out)["models"][0]["overall"]["bits_per_byte"] > 0
    for bad in (
        ["score", texts, *options, "--length", 32],
        ["score", texts, *options, "--shard", "3"],
        ["score", *options],
        ["bipartite", tmp_path / "texts"],
        ["nll"],
    ):
        status, _, error = run(*bad)
        assert status == 2, bad
        assert error.startswith("l2m: ")
        assert error.count("\n") == 1


def test_nll_by_position_is_the_mean_of_its_bin(tmp_path):
    source = SOURCES["latent"]
    scores = measured(source, tmp_path, windows=400, shuffles=0)
    every, bins = l2m.position_nll(scores, per_octave=None), l2m.position_nll(scores, per_octave=1)
    np.testing.assert_allclose(every.nll, -scores.conditional.mean(0, dtype=float), rtol=1e-12)
    assert bins.first.tolist() == [1, 2, 4, 8, 16, 32, 64]
    np.testing.assert_allclose(bins.nll[3], every.nll[7:15].mean())
    # Equally likely latent values that are symmetric about one half: nothing is known of the first token.
    assert every.nll[0] == pytest.approx(np.log(2), abs=1e-7)  # float32
    assert np.isnan(bins.bits_per_byte).all()
    assert every.to("bits").nll[0] == pytest.approx(1, abs=1e-6)


def test_two_models_are_compared_window_by_window(tmp_path):
    source = SOURCES["markov"]
    ids = source.sample(200, LENGTH, seed=3)
    corpus = l2m.Corpus(list(ids), tokenizer={"name": "bytes"})
    good = scoring.score(corpus, source, out=tmp_path / "good", length=LENGTH, shuffles=0)
    poor = scoring.score(corpus, Mixture(source, 0.2), out=tmp_path / "poor", length=LENGTH, shuffles=0)
    for axis in ("tokens", "bytes"):
        one, two = l2m.position_nll(poor, axis=axis), l2m.position_nll(good, axis=axis)
        paired = one.difference(two)
        np.testing.assert_allclose(paired.nll, one.nll - two.nll, atol=1e-12)
        assert (paired.stderr < 0.8 * np.hypot(one.stderr, two.stderr)).all()
        np.testing.assert_allclose(two.bits_per_byte, two.nll / np.log(2), rtol=1e-6)  # a byte a token
    other = scoring.score(l2m.Corpus(list(ids[:9])), source, out=tmp_path / "other", length=LENGTH, shuffles=0)
    with pytest.raises(l2m.InputError, match="axis='bytes'"):
        l2m.position_nll(other).difference(l2m.position_nll(good))


def test_gpu_validation_at_tiny_size(capsys):
    """What `make gpu` runs, on the CPU."""
    assert validation.main(["--device", "cpu", "--length", "32", "--windows", "6"]) == 0
    out = capsys.readouterr().out
    assert out.count("| ok |") == 5
    assert "bfloat16" in out.splitlines()[-1]
