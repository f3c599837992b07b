"""The position from which the NLL is within a tolerance of its end: found, covered, paired, refused."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.scoring.position_nll import _curve
from l2m.truth.sources import CopySource

LENGTH = 1024
N = np.arange(1.0, LENGTH + 1)
CURVES = {
    "a power law": 2.8 + 3 * N**-0.35,
    "a power law up to 256": 2.8 + 3 * np.minimum(N, 256) ** -0.35,
    "a step after 256": np.where(N <= 256, 3.3, 3.0),
}


def windows(nll, count, seed):
    """NLL of single tokens with these means, as skewed as language's, and a part that all tokens of a window share."""
    random = np.random.default_rng(seed)
    return nll * (random.exponential(size=(count, nll.size)) * 0.85 + 0.15) + 0.25 * random.normal(size=(count, 1))


def curve_of(values, first=N, last=N, **settings):
    count = np.arange(len(values))
    about = {"axis": "tokens", "model": "simulated", "corpus": "simulated", **settings}
    return _curve(first, last, {"nll": values}, count, 0 * count, about, "nats", bits_per_byte=first, bits_per_byte_stderr=first, bytes_per_token=count)  # fmt: skip


def truth(nll, share):
    """By the definition: the first position from which no later one is above (1 + share) times the mean of the last 16 %."""
    allowed = (1 + share) * nll[N > LENGTH * 2**-0.25].mean()
    return float(np.flatnonzero(nll > allowed)[-1] + 2)


@pytest.mark.parametrize("name", CURVES)
def test_the_interval_covers(name):
    """Intervals of 95 %; with coverage of 0.95 fewer than 88 of 100 hold the truth once in 500."""
    nll, share = CURVES[name], 0.05
    true = truth(nll, share)
    found = [curve_of(windows(nll, 40, seed)).effective_context(share=share) for seed in range(100)]
    assert sum(one.low <= true <= one.high for one in found) >= 88
    assert np.exp(np.mean([np.log(one.position / true) for one in found])) == pytest.approx(1, abs=0.15)
    assert all(one.low <= one.position <= one.high for one in found)
    assert not any(one.rise for one in found[:20])
    assert np.median([one.high / one.low for one in found]) < 6


@pytest.mark.parametrize("gamma", [0.27, 0.54])
def test_the_interval_of_gamma_covers_a_planted_law(gamma):
    """120 windows of H_n = 2 + 3 n^-gamma: 95 %, less three standard errors of a share of 200; 1,200 of such curves gave 93.2 %."""
    edges = np.unique(np.round(2 ** np.arange(0, 10.01, 0.5)).astype(int))
    first, last = edges[:-1], np.append(edges[1:-1] - 1, LENGTH)
    held = 0
    for seed in range(200):
        values = windows(2 + 3 * N**-gamma, 120, seed)
        binned = np.stack([values[:, low - 1 : high].mean(1) for low, high in zip(first, last, strict=True)], 1)
        low, high = curve_of(binned, first.astype(float), last.astype(float)).fit().interval("exponent")
        held += low <= -gamma <= high
    assert held / 200 > 0.90


@pytest.mark.parametrize("nats", [0.1, 0.2])
def test_a_cut_off_at_256_tokens_is_found(nats, tmp_path):
    """Each token repeats the one 256 before it, or not: until 256 are read all 16 symbols are as likely."""
    source = CopySource(16, 256, 0.3)
    corpus = l2m.Corpus(list(source.sample(40, 768, seed=1)))
    scores = scoring.score(corpus, source, out=tmp_path, length=768, shuffles=0, splits=[2], ratios=[2])
    context = l2m.position_nll(scores, per_octave=None).effective_context(nats=nats)
    assert context.position == pytest.approx(257, abs=3)
    assert context.low <= 256 <= context.high < 400
    coarse = l2m.position_nll(scores).effective_context(nats=nats)
    assert coarse.low <= 256 <= coarse.high
    assert (context.tolerance, context.share) == (pytest.approx(nats), None)
    assert f"from position {context.position:,.0f} on" in context.explain()


def test_the_ratio_of_two_models_is_paired_and_covers():
    """The second model sees the same text and stops gaining at 128; the shared noise of tokens narrows the interval."""
    longer, shorter = CURVES["a power law"], 2.8 + 3 * np.minimum(N, 128) ** -0.35
    true = truth(longer, 0.05) / truth(shorter, 0.05)
    held, widths = 0, {"paired": [], "apart": []}
    for seed in range(100):
        one = windows(longer, 40, seed)
        same = curve_of(one).context_ratio(curve_of(one * shorter / longer))
        held += same.low <= true <= same.high
        apart = curve_of(one).context_ratio(curve_of(windows(shorter, 40, seed + 1000)))
        widths["paired"].append(np.log(same.high / same.low))
        widths["apart"].append(np.log(apart.high / apart.low))
    assert held >= 88
    assert np.mean(widths["paired"]) < np.mean(widths["apart"])
    assert same.low < same.ratio < same.high
    assert same.ratio == pytest.approx(same.context.position / same.other.position)
    assert "times the effective context (95 %" in same.explain()


def test_a_model_against_itself_is_one():
    curve = curve_of(windows(CURVES["a power law"], 40, 0))
    same = curve.context_ratio(curve)
    assert same.ratio == 1
    assert same.low < 1 < same.high
    of_part = curve.context_ratio(curve_of(windows(CURVES["a power law"], 25, 0)))
    assert of_part.context.end != curve.effective_context().end  # of the 25 windows that both have


def test_an_nll_that_rises_at_the_end_is_told():
    """As that of a model beyond the context it was trained on."""
    found = curve_of(windows(CURVES["a power law"] + 0.8 * np.maximum(0, np.log2(N / 400)), 60, 0)).effective_context()
    assert found.rise == pytest.approx(0.9, abs=0.3)
    assert 150 < found.lowest < 450
    assert "rises by" in found.explain()
    # With nothing but chance a rise is reported less than once in 20: 100 curves have 12 or more once in 200.
    flat = [curve_of(windows(np.full(LENGTH, 3.0), 30, seed)).effective_context() for seed in range(100)]
    assert sum(one.rise > 0 for one in flat) < 12


def test_what_has_no_effective_context_is_refused():
    curve = curve_of(windows(CURVES["a power law"], 12, 0))
    for options, named in (
        ({"share": 0.1, "nats": 0.1}, "share, nats"),
        ({"share": 0}, "share"),
        ({"nats": -1}, "nats"),
        ({"level": 2}, "level"),
    ):
        with pytest.raises(l2m.InputError, match=f"^{named}"):
            curve.effective_context(**options)
    with pytest.raises(l2m.InputError, match="windows: 7"):
        curve_of(windows(CURVES["a power law"], 7, 0)).effective_context()
    with pytest.raises(l2m.InputError, match="difference"):
        curve_of(windows(CURVES["a power law"], 9, 0), minus="other").effective_context()
    with pytest.raises(l2m.InputError, match="2 bins"):
        curve_of(windows(N[:2], 9, 0), N[:2], N[:2]).effective_context()
    with pytest.raises(l2m.InputError, match=r"context_ratio: .*axis='bytes'"):
        curve.context_ratio(curve_of(windows(N, 9, 0), corpus="of another tokenizer"))
    with pytest.raises(l2m.InputError, match=r"context_ratio: .*expected the same"):
        curve.context_ratio(curve_of(windows(N, 9, 0), axis="bytes"))
