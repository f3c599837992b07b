"""Negative log-likelihood by position."""

import numpy as np
import pytest

import l2m
from l2m import scoring
from l2m.truth.sources import Mixture
from scored import LENGTH, SOURCES, measured


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


@pytest.fixture
def of_bytes(tmp_path):
    """A store of a corpus of bytes, as of a text: three bytes in four are whole characters, the others half of one."""
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abé "), 80)).encode()[:LENGTH] for _ in range(12)]
    corpus = l2m.Corpus([np.frombuffer(text, np.uint8) for text in texts], tokenizer={"name": "bytes"}, vocab_size=256)

    class Bytes:
        settings = {"name": "bytes"}  # noqa: RUF012

        def log_prob(self, tokens, state=None):
            return np.log(np.where(tokens < 128, 0.2, 0.1) + 0.001 * (tokens % 7)), None

        def log_prob_and_entropy(self, tokens, state=None):
            return *self.log_prob(tokens)[:1], np.full(tokens.shape, 1.5), None

    options = {"length": LENGTH, "shuffles": 0, "splits": [2], "ratios": [2], "entropy": True}
    return scoring.score(corpus, Bytes(), out=tmp_path / "scores", **options)


def test_positions_in_characters(of_bytes):
    curve = l2m.position_nll(of_bytes, axis="characters", per_octave=1)
    value, _, unit = curve.in_unit_of_axis()
    assert unit == "bits per character"
    per_window = -of_bytes.conditional.sum(1, dtype=float) / np.log(2) / of_bytes.characters
    width = curve.last - curve.first + 1
    # Bins of the axis hold about as many tokens as they are wide; the overall value is exact.
    assert np.average(value, weights=width) == pytest.approx(per_window.mean(), rel=0.05)
    overall = -of_bytes.conditional.sum(dtype=float) / np.log(2) / of_bytes.characters.sum()
    assert curve.settings["bits_per_character"] == pytest.approx(overall)
    assert curve.last[-1] < LENGTH * 0.9
    assert (of_bytes.characters < of_bytes.bytes).all()
    assert curve.difference(curve).bits_per_character.max() == 0
    assert curve.plot().get_xlabel() == "position (characters)"


def test_a_store_of_an_earlier_version_has_no_characters(of_bytes):
    for piece in of_bytes._pieces:
        piece.info.pop("characters", None)
    assert np.isnan(of_bytes.characters).all()
    with pytest.raises(l2m.InputError, match=r"characters were not counted .* axis 'bytes'"):
        l2m.position_nll(of_bytes, axis="characters")
    assert np.isnan(l2m.position_nll(of_bytes, axis="bytes").bits_per_character).all()


def test_a_curve_of_an_earlier_version_loads(of_bytes):
    curve = l2m.position_nll(of_bytes, axis="bytes")
    fields = ("first", "last", "nll", "stderr", "bits_per_byte", "bits_per_byte_stderr", "pointwise", "bytes_per_token")
    fields += ("document", "number", "unit", "settings", "kind", "schema")
    old = l2m.PositionCurve.from_dict({name: value for name, value in curve.to_dict().items() if name in fields})
    assert old.entropy is None
    assert "entropy" not in old.columns()
    np.testing.assert_array_equal(old.difference(curve).nll, 0)
    assert old.effective_context().position == curve.effective_context().position


def test_the_command_prints_quantiles_entropy_and_the_effective_context(of_bytes, tmp_path, capsys):
    import json

    from l2m.cli import main

    def run(*arguments):
        with pytest.raises(SystemExit) as done:
            main(["nll", str(of_bytes.folder), *arguments])
        printed = capsys.readouterr()
        return done.value.code or 0, printed.out, printed.err

    status, out, _ = run("--quantiles", "0.1,0.9", "--effective-context", "5%", "--out", str(tmp_path / "out"))
    assert status == 0
    for words in ("10 %", "90 %", "entropy", "overconfidence", "Effective context: within 5 % ("):
        assert words in out
    kept = l2m.load(tmp_path / "out" / "scores-effective-context.json")
    assert kept.share == 0.05
    assert (tmp_path / "out" / "nll.svg").exists()
    status, out, _ = run("--json", "--effective-context", "0.1nats", "--axis", "characters")
    result = json.loads(out)
    assert result["models"][0]["unit"] == "bits per character"
    assert result["models"][0]["columns"]["q50"]
    assert result["effective_context"][0]["tolerance"] == pytest.approx(0.1)
    _, out, _ = run("--no-entropy")
    assert "overconfidence" not in out
    for wrong in ("5 per cent", "-1", "nan%", "0nats"):
        status, out, err = run(f"--effective-context={wrong}")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "expected a share such as 5%" in err
    for piece in (of_bytes.folder / "passes").glob("entropy-*"):
        piece.unlink()
    status, _, err = run("--entropy")
    assert status == 2
    assert "l2m score --entropy" in err
