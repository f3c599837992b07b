"""Bipartite estimates: sources whose information is known exactly, corrections, errors."""

import dataclasses

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.scoring.bipartite import bipartite, every_estimate
from l2m.scoring.exponents import default_estimate, exponent_range
from l2m.scoring.pairing import disjoint_halves, halves_without_each, without_each_document
from l2m.scoring.windows import Windows
from l2m.statistics.jackknife import jackknife_errors, means_without_each
from l2m.truth.sources import Mixture
from scored import LENGTH, SOURCES, full_pass, measured, strong_chain
from tiny_models import VOCABULARY, random_model


@pytest.mark.parametrize("name", SOURCES)
def test_exact_sources_give_their_closed_form(name, tmp_path):
    source = SOURCES[name]
    scores = measured(source, tmp_path)
    for ratio in (2, 3, 4):
        direct, vclub = bipartite(scores, ratio=ratio), bipartite(scores, estimator="vclub", ratio=ratio)
        assert direct.split.tolist() == [split for split in (2, 4, 8, 16, 32) if ratio * split <= LENGTH]
        entropy = bipartite(scores, estimator="entropy", ratio=ratio)  # these sources are stationary
        for curve, truth in (
            (direct, source.bipartite_information),
            (vclub, source.vclub),
            (entropy, source.bipartite_information),
        ):
            expected = np.array([truth(split, ratio * split) for split in curve.split])
            z = (curve.information - expected) / np.where(expected == 0, 1, curve.stderr)
            assert np.abs(z).max() < 4, (name, ratio, curve.settings["estimator"], z)


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


def test_the_paper_preset_gives_what_the_authors_scripts_give(tmp_path):
    """Their order of windows, their pairs, their correction, their error and their regression, written anew."""
    from scipy.stats import linregress

    scores = measured(SOURCES["latent"], tmp_path, windows=61)
    paper = bipartite(scores, preset="paper", correction="ngram")
    order = [(i * 11 + 1234) % 61 for i in range(61)]  # 11: the next prime above the whole root of 61
    a, b = order[:30], order[30:60]
    entropy = scores.ngram_entropy[2]
    expected, errors = [], []
    for split in (2, 4, 8, 16, 32):
        given = scores.conditional[a, split : 2 * split].astype(float).sum(1)
        alone = scores.marginal(split)[b, :split].astype(float)
        alone[:, 1] = (-4 * entropy + alone[:, :2].sum(1)) / 5
        alone[:, 0] = 0
        pointwise = given - alone.sum(1)
        expected.append(pointwise.mean())
        errors.append(pointwise.std(ddof=1) / np.sqrt(30))
    np.testing.assert_allclose(paper.information, expected, rtol=1e-12)
    np.testing.assert_allclose(paper.stderr, errors, rtol=1e-10)
    assert paper.groups == "pairs of documents"
    law = paper.shifted(5.0).fit()  # so that all are positive: 30 pairs leave an error of 0.5
    slope, intercept = linregress(np.log([2, 4, 8, 16, 32]), np.log(np.add(expected, 5)))[:2]
    assert (law.settings["x"], law.settings["method"]) == ("split", "ols")
    assert law.exponent == pytest.approx(slope, abs=1e-12)
    assert law.amplitude == pytest.approx(np.exp(intercept), rel=1e-12)
    same = bipartite(scores)
    law, at_length = same.fit(x="split"), same.fit()
    assert at_length.settings["x"] == "length"
    assert at_length.exponent == pytest.approx(law.exponent)
    assert at_length.amplitude == pytest.approx(law.amplitude * 0.5**law.exponent)


def test_the_error_of_paired_halves_is_that_of_new_samples(tmp_path):
    """Documents differ in how hard they are; 400 times new ones: the jackknife gives the spread of the estimate, with one
    window a document (pairs leave) and with three (documents leave both halves)."""
    random = np.random.default_rng(4)
    for windows in (1, 3):
        document = np.repeat(np.arange(40), windows)
        halves = disjoint_halves(document.size)
        values, errors = [], []
        for _ in range(400):
            hard = 10 * random.normal(size=(40, 1))[document]
            first, second = hard + random.normal(size=(2, document.size, 1))
            information, replicates, groups = halves_without_each(first, second, document, halves)
            values.append(information[0])
            errors.append(jackknife_errors(replicates)[0][0])
        assert groups == ("pairs of documents" if windows == 1 else "documents")
        # The standard deviation of 400 values is known to 3.5 %; leaving out one of 40 documents adds 2 to 3 %.
        assert np.sqrt(np.mean(np.square(errors))) / np.std(values) == pytest.approx(1, abs=0.14)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 12, 25, 30, 35, 61, 1000])
def test_halves_share_no_window(count):
    a, b = disjoint_halves(count)
    assert a.size == b.size == count // 2
    assert np.unique(np.concatenate([a, b])).size == 2 * (count // 2)


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


def measured_curve(truth, *, noise=0.05, documents=40, seed=0, start_error=None, **settings):
    """A curve as if measured: every document with an error that all l share and smaller ones of their own."""
    random = np.random.default_rng(seed)
    split = 2 ** np.arange(1, 10)
    value = truth(2.0 * split)
    errors = random.normal(size=(documents, 1)) + 0.3 * random.normal(size=(documents, split.size))
    pointwise = value + noise * np.sqrt(documents) * np.abs(value) * errors
    replicates = means_without_each(pointwise, np.arange(documents), documents)
    stderr, covariance = jackknife_errors(replicates)
    return l2m.BipartiteCurve(
        split=split, length=2 * split, information=pointwise.mean(0), stderr=stderr, covariance=covariance,
        pointwise=pointwise, document=np.arange(documents), replicates=replicates, groups="documents",
        start_error=start_error,
        settings={"estimator": "direct", "correction": "none", "ratio": 2, "x": "length", "preset": None, **settings},
    )  # fmt: skip


def test_a_fit_begins_where_one_law_describes_the_curve():
    law = measured_curve(lambda length: 2 * length**0.6, noise=0.005).fit()
    assert law.settings["splits"].tolist() == [2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert law.holds
    assert law.exponent == pytest.approx(0.6, abs=0.02)
    # 30 nats too many at the first three l.
    curve = measured_curve(lambda length: 2 * length**0.6 + 30 * (length < 20), noise=0.005)
    law = curve.fit()
    assert law.settings["splits"][0] == 16
    assert "Fitted from l = 16 to 512." in law.explain()
    assert law.exponent == pytest.approx(0.6, abs=0.02)
    assert curve.fit(min_split=4).settings["missed"]
    assert curve.fit(splits=[2, 64, 512]).settings["splits"].tolist() == [2, 64, 512]
    waves = measured_curve(lambda length: 20 + 15 * np.sin(3 * np.log(length)), noise=0.005).fit()
    assert not waves.holds
    assert waves.settings["splits"].size == 9
    assert waves.explain().startswith("No single law describes L = 4 to 1,024; local slopes ")


def test_values_below_zero_are_observations_like_any_other():
    """The mean of 200 fits of a law whose first values are often below 0 is the law; a fit of logarithms has no such values."""
    laws, below = [], 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        curve = measured_curve(lambda length: 0.1 * length**0.8, noise=0.02, seed=seed)
        shift = random.normal(size=9) * np.where(curve.split < 16, 0.5, 0)
        moved = {"information": curve.information + shift, "replicates": curve.replicates + shift}
        stderr = np.hypot(curve.stderr, np.where(curve.split < 16, 0.5, 0))
        curve = dataclasses.replace(curve, **moved, stderr=stderr)
        below += (curve.information <= 0).any()
        laws.append(curve.fit(min_split=2).exponent)
    assert below > 50
    assert np.mean(laws) == pytest.approx(0.8, abs=4 * np.std(laws) / np.sqrt(200))


@pytest.mark.parametrize("count", [400, pytest.param(2000, marks=pytest.mark.slow)])
def test_the_interval_of_beta_covers_where_a_law_is_true(count):
    """95 % of intervals hold the true exponent, within four standard errors of that share; the choice of a start included."""
    held = 0
    for seed in range(count):
        low, high = measured_curve(lambda length: 2 * length**0.6, documents=30, seed=seed).fit().interval("exponent")
        held += low <= 0.6 <= high
    assert held / count == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / count))


def test_the_error_covers_the_choice_of_the_start():
    """The first values are lower than the law by as much as it may miss: noise decides from where a law holds."""
    curves = [
        measured_curve(lambda length: 2 * length**0.6 - 0.8 * (length < 9), documents=30, seed=seed, noise=0.15)
        for seed in range(80)
    ]
    laws = [curve.fit() for curve in curves]
    assert len({law.settings["splits"][0] for law in laws}) > 1
    beta = np.array([law.exponent for law in laws])
    reach = np.array([np.diff(law.interval("exponent"))[0] / 2 for law in laws])
    scale = np.array([law.settings["start_scale"] for law in laws])

    def agree(reach):
        return (np.abs(beta[::2] - beta[1::2]) < np.hypot(reach[::2], reach[1::2])).mean()

    assert agree(reach) > 0.88  # 95 %, less three standard errors of 40 pairs
    assert agree(reach / scale) < 0.85  # the jackknife of one start
    # Covariance, band and refits grow together.
    wide = int(scale.argmax())
    alone = curves[wide].fit(min_split=int(laws[wide].settings["splits"][0]))
    assert laws[wide].standard_error("exponent") == pytest.approx(scale[wide] * alone.standard_error("exponent"))
    (low, high), (near, far) = laws[wide].band([64.0]), alone.band([64.0])
    assert (high - low) / (far - near) == pytest.approx(
        scale[wide], rel=0.1
    )  # refits move in logarithms, the band in nats
    assert "start_scale" not in alone.settings


def test_points_that_the_start_may_rule_are_warned_of(caplog):
    curve = measured_curve(lambda length: 2 * length**0.6 + 4, noise=0.02, start_error=5.0)
    with caplog.at_level("WARNING", logger="l2m"):
        law = curve.fit(min_split=2)
    assert law.settings["dominated"] == [2]  # 8.6 nats there and 11 at l = 4: 5 are more than half of the first
    assert "first tokens may be wrong by (5.0 nats)" in caplog.text
    assert "first tokens may be wrong by" in law.explain()
    caplog.clear()
    assert curve.fit(min_split=16).settings["dominated"] == []
    assert not caplog.records
    assert curve.to("bits").start_error == pytest.approx(5 / np.log(2))


def test_the_start_error_is_what_the_first_tokens_cost_above_their_entropy(tmp_path):
    source = SOURCES["markov"]
    ids = source.sample(400, LENGTH, seed=2)
    scores = scoring.score(
        l2m.Corpus(list(ids)), BlindStart(source), out=tmp_path, length=LENGTH, splits=[4, 8], shuffles=0
    )
    excess = np.log(source.vocab_size) + (source.stationary * np.log(source.stationary)).sum()
    cost = -scores.marginal(4)[:, 0].mean() + np.log(source.stationary[ids[:, 4]]).mean()
    assert bipartite(scores).start_error == pytest.approx(excess, abs=0.1 + abs(cost - excess))
    assert bipartite(scores, correction="ngram").start_error == pytest.approx(bipartite(scores).start_error / 5)
    assert default_estimate(scores).name == "direct, ngram correction"


def test_the_default_estimate_is_corrected_where_the_passes_allow_and_whatever_comes_out(tmp_path):
    source = strong_chain(noise=0.8)  # I = 0.1 nats
    corpus = l2m.Corpus(list(source.sample(400, LENGTH, seed=2)))
    options = {"length": LENGTH, "splits": [4, 8], "shuffles": 0}
    blind = scoring.score(corpus, BlindStart(source), out=tmp_path / "blind", **options)
    assert default_estimate(blind).name == "direct, ngram correction"
    with_contexts = scoring.score(corpus, BlindStart(source), out=tmp_path / "blind", contexts=64, **options)
    assert default_estimate(with_contexts).name == "direct, averaged correction"
    exact = scoring.score(corpus, source, out=tmp_path / "exact", **options)
    assert default_estimate(exact).name == "direct, ngram correction"  # as of another model of the same text
    few = l2m.Corpus(list(source.sample(400, LENGTH, seed=2)))
    scoring.score(few, BlindStart(source), out=tmp_path / "part", contexts=64, windows=200, **options)
    part = scoring.score(few, BlindStart(source), out=tmp_path / "part", windows=400, **options)
    assert default_estimate(part).name == "direct, ngram correction"  # half of the windows have no contexts
    with pytest.raises(l2m.InputError, match="no window was scored after contexts"):
        bipartite(part.subset(range(200, 400)), correction="averaged")


def test_exponents_over_the_choices_that_can_be_defended():
    law, steep = measured_curve(lambda length: 2 * length**0.5), measured_curve(lambda length: 2 * length**0.8)
    late = measured_curve(lambda length: 2 * length**0.5 + 4, start_error=5.0)
    assert set(exponent_range([late]).split.tolist()) <= {4, 8, 16, 32}  # at l = 2 the start may be as large
    waves = measured_curve(lambda length: 20 + 15 * np.sin(3 * np.log(length)), noise=0.005, correction="ngram")
    found = exponent_range([law, steep, waves])
    assert found.passed_over == ("direct, L = 2 l, ngram correction",)
    assert found.split.max() <= 32  # at least half of the doublings are fitted
    assert found.ends == (found.exponent.min(), found.exponent.max())
    assert 0.4 < found.ends[0] < 0.6
    assert 0.7 < found.ends[1] < 0.9
    assert np.isnan(exponent_range([waves]).ends).all()


def test_ngrams_of_few_windows_are_refused_and_those_of_a_named_corpus_are_taken(tmp_path, caplog):
    """H_2 of 24 windows of uniform tokens is far below 2 log 200; a larger corpus of the same source has it to 0.01 nats."""

    class Uniform:
        vocab_size = 200

        def log_prob(self, tokens, state=None):
            return np.full(tokens.shape, -np.log(200.0)), None

    random = np.random.default_rng(0)
    rows = random.integers(200, size=(24, LENGTH))
    large = l2m.Corpus(list(random.integers(200, size=(300, 4096), dtype=np.uint16)))
    options = {"out": tmp_path / "scores", "length": LENGTH, "shuffles": 0}
    scores = scoring.score(rows, Uniform(), **options)
    assert scores.ngram_entropy[2] < 2 * np.log(200) - 1
    with pytest.raises(
        l2m.InputError, match=r"correction: ngram with the 2-grams of the windows alone, 1,536 tokens, which cover \d %"
    ):
        bipartite(scores, correction="ngram")
    assert {curve.settings["correction"] for curve in every_estimate(scores)} == {"none"}

    large.save(tmp_path / "large")
    for named in (large, tmp_path / "large", str(tmp_path / "large")):
        scores = scoring.score(rows, Uniform(), ngrams_from=named, **options)
        curve = bipartite(scores, correction="ngram")
        assert np.abs(curve.information).max() < 0.01
        assert curve.settings["ngram_coverage"] > 0.99
    assert scoring.score(rows, Uniform(), **options).ngram_entropy == scores.ngram_entropy
    assert not caplog.records

    few = scoring.score(l2m.Corpus(list(rows)), Uniform(), **{**options, "out": tmp_path / "few"})
    bipartite(few, correction="ngram")
    bipartite(few, correction="ngram", ratio=3)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "the 2-grams of 1,536 tokens, which cover" in warning
    for bad, message in ((3, "ngrams_from: int"), (tmp_path, "ngrams_from|corpus.json")):
        with pytest.raises(l2m.InputError, match=message):
            scoring.score(rows, Uniform(), ngrams_from=bad, **options)
    other = l2m.tokenize(["text " * 200], "bytes", duplicates="keep")
    own = l2m.tokenize(["words and more " * 200], "words", duplicates="keep")
    with pytest.raises(
        l2m.InputError, match="ngrams_from: tokenized with 'bytes', the corpus that is scored with 'words'"
    ):
        scoring.score(own, Uniform(), ngrams_from=other, out=tmp_path / "b", length=LENGTH, shuffles=0)


def test_a_figure_of_values_below_zero_has_a_linear_axis():
    """pytest turns matplotlib's warning about an empty logarithmic axis into an error."""
    curve = measured_curve(lambda length: 2 * length**0.5)
    assert curve.plot().get_yscale() == "log"
    axes = curve.shifted(-100.0).plot()
    assert axes.get_yscale() == "linear"
    axes.figure.canvas.draw()
