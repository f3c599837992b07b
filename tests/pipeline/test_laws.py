"""The shipped table: every row is whole, is taken by name wherever a law is, and is measured again by its own commands."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import l2m
from l2m.cli import main
from l2m.cli.inputs import read_law
from l2m.pipeline.law_corpora import CORPORA, write_corpus
from l2m.pipeline.law_measure import verify
from l2m.pipeline.laws import LawCurve
from l2m.scoring.bipartite import bipartite
from l2m.truth.sources import MarkovSource

NAMES = list(l2m.laws())


def test_ten_rows() -> None:
    assert len(NAMES) >= 10
    assert {"books", "code", "dna", "ising", "shuffled", "markov"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_whole(name: str) -> None:
    row = l2m.laws()[name]
    assert row.name == name
    assert row.corpus["name"]
    assert row.corpus["licence"]
    assert row.tokens > 0
    for curve in row.curves:
        assert curve.x.size >= 4
        assert curve.commands
        assert all(command.startswith("l2m ") for command in curve.commands)
        assert (curve.law is None) == np.isnan(curve.exponent)
        if curve.law is not None:
            low, high = sorted(abs(end) for end in curve.law.interval("exponent"))
            assert (curve.low, curve.high) == pytest.approx((low, high))
            assert l2m.law(name, curve.quantity) is curve.law
        assert curve.agrees(curve)


def test_known_answers() -> None:
    rows = l2m.laws()
    ising = rows["ising"].curve("two-point")
    assert ising.low < 0.5 < ising.high
    for control in ("ising-hot", "ising-chain", "shuffled", "markov"):
        assert rows[control].curve("two-point").law is None
    for hot in ("ising-hot", "ising-chain"):
        # Above T_c the correlation is an exponential times a power of d: the cutoff is the exact form.
        verdict = rows[hot].curve("two-point").compared
        assert verdict.startswith("Not a power law: ")
        assert "a power law with cutoff" in verdict
    dna = rows["dna"].curve("two-point")
    at = dict(zip(dna.x.astype(int).tolist(), dna.information.tolist(), strict=True))
    for period in (3, 6, 9, 12):
        assert at[period] > max(at[period - 1], at[11 if period == 12 else period + 1])


def test_a_law_by_name_where_a_law_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = l2m.history_state("mamba-130m")
    assert l2m.condition(l2m.law("books"), state).outcome == "fails"
    assert read_law("books") is l2m.law("books")
    monkeypatch.chdir(tmp_path)
    l2m.PowerLaw.of(1.0, 0.3).save("books")  # a file of that name comes first
    assert read_law("books").exponent == 0.3


@pytest.mark.parametrize(
    ("name", "quantity", "message"),
    [
        ("novels", "bipartite", "law: 'novels'; no such file, and no row of the shipped table, which has books, "),
        ("ising", "bipartite", "law: ising has no bipartite curve; it has two-point"),
        ("shuffled", "two-point", "law: shuffled follows no two-point law"),
        ("books", "length", "quantity: 'length'; expected one of bipartite, two-point, entropy"),
    ],
)
def test_no_such_law(name: str, quantity: str, message: str) -> None:
    with pytest.raises(l2m.InputError, match=message):
        l2m.law(name, quantity)


def test_a_row_that_was_edited_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    l2m.laws()["books"].save(path)
    value = json.loads(path.read_text())
    value["tokens"] = 1
    path.write_text(json.dumps(value))
    with pytest.raises(l2m.InputError, match="damaged or edited"):
        l2m.load(path)


def test_verify_measures_again(tmp_path: Path) -> None:
    ((held, now),) = verify("gaussian-2", tmp_path)
    assert held.agrees(now)
    np.testing.assert_allclose(now.information, held.information, rtol=1e-9)
    with pytest.raises(l2m.InputError, match="name its files with --corpus"):
        verify("books", tmp_path)


def test_intervals_that_are_apart_do_not_agree() -> None:
    def curve(exponent: float, low: float, high: float) -> LawCurve:
        x = np.arange(1.0, 5)
        return LawCurve(
            quantity="two-point", estimator="", x=x, information=x, stderr=x, law=None, exponent=exponent, low=low, high=high,
            words="", compared="", commands=("l2m",), date="",
        )  # fmt: skip

    nothing = curve(np.nan, np.nan, np.nan)
    assert curve(0.5, 0.4, 0.6).agrees(curve(0.65, 0.58, 0.72))
    assert not curve(0.5, 0.4, 0.6).agrees(curve(0.65, 0.61, 0.7))
    assert not curve(0.5, 0.4, 0.6).agrees(nothing)
    assert nothing.agrees(nothing)


def test_corpora_are_written_by_seed(tmp_path: Path) -> None:
    with pytest.raises(l2m.InputError, match="corpus: 'books'; expected one of plays"):
        write_corpus("books", tmp_path / "a.jsonl")
    assert set(CORPORA) <= {*NAMES, "ising-cold", "dna-pieces"}
    for name in ("a", "b"):
        write_corpus("code", tmp_path / f"{name}.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        assert stopped.value.code == 0
        return capsys.readouterr().out

    table = json.loads(run("laws", "--json"))
    assert [row["law"] for row in table["rows"]] == NAMES
    assert "l2m two-point" in run("laws", "ising")
    assert "passes" in run("condition", "code", "state-spaces/mamba-130m", "ai21labs/Jamba-v0.1")


def test_the_period_of_codons() -> None:
    """Bases that depend on their place in a codon alone: I(d) has a closed form, and a peak at each d = 3 k."""
    random = np.random.default_rng(0)
    of_place = np.array([[0.4, 0.2, 0.3, 0.1], [0.1, 0.4, 0.1, 0.4], [0.2, 0.3, 0.4, 0.1]])
    genes = []
    for start in random.integers(0, 3, 300):  # where in a codon a gene is cut
        place = (start + np.arange(1200)) % 3
        genes.append((random.random((1200, 1)) > of_place.cumsum(1)[place, :-1]).sum(1))
    curve = l2m.two_point(l2m.Corpus(genes, vocab_size=4), distances=range(1, 13))
    even = of_place.mean(0)
    for distance, found, error in zip(curve.distance, curve.information, curve.stderr, strict=True):
        joint = np.mean([np.outer(of_place[place], of_place[(place + distance) % 3]) for place in range(3)], 0)
        exact = float((joint * np.log(joint / np.outer(even, even))).sum())
        assert found == pytest.approx(exact, abs=5 * error)
    at = dict(zip(curve.distance.tolist(), curve.information.tolist(), strict=True))
    assert all(at[d] > max(at[d - 1], at[d - 2]) for d in (3, 6, 9, 12))


def test_the_genome_shows_the_period_of_codons(tmp_path: Path) -> None:
    if find_spec("pyrodigal") is None:
        pytest.skip("pyrodigal, which brings the genome, is not installed")
    write_corpus("dna", tmp_path / "dna.jsonl")
    curve = l2m.two_point(l2m.tokenize(tmp_path / "dna.jsonl"), distances=range(5, 13), within_document=False)
    at = dict(zip(curve.distance.tolist(), curve.information.tolist(), strict=True))
    assert all(at[d] > 2 * max(at[d - 1], at.get(d + 1, 0)) for d in (6, 9, 12))


def test_a_chain_saturates_and_the_comparison_says_so(tmp_path: Path) -> None:
    """The control: exact log-probabilities of a Markov chain, through the whole chain of `score` and `bipartite`."""
    chain = MarkovSource([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]])
    corpus = l2m.Corpus(list(chain.sample(200, 256, seed=0)), vocab_size=3)
    curve = bipartite(l2m.score(corpus, chain, out=tmp_path / "scores", length=256, ratios=(2,), shuffles=0))
    exact = chain.bipartite_information(1, 2)
    np.testing.assert_allclose(curve.information, exact, atol=5 * curve.stderr.max())
    compared = l2m.compare_curves(curve.length, curve.information, stderr=curve.stderr)
    assert "a constant" in compared.verdict or compared.best == "constant"
    assert not curve.fit().holds or curve.fit().interval("exponent")[0] < 0 < curve.fit().interval("exponent")[1]
    near = l2m.two_point(corpus, distances=[1, 2, 3, 4, 5, 6], within_document=False)
    assert "an exponential" in l2m.compare_curves(near.distance, near.information, stderr=near.stderr).verdict
