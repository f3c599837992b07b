"""Entropy estimators against closed forms, enumeration, mpmath and published values; what follows from entropies."""

import itertools
import math
from collections import Counter

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2m

COUNTS = [4, 2, 3, 1, 2, 4, 1, 1, 2, 17]
TABLES = st.lists(st.integers(0, 40), min_size=1, max_size=30).filter(lambda counts: max(counts) > 1)


def estimate(counts, name, **options):
    return l2m.entropy(counts, name, **options).value


# --- every estimator by a formula written down independently, at 50 digits ---


def reference(name, counts):
    """Each estimator from its publication, as a sum over symbols, slow and plain."""
    with mpmath.workdps(50):
        mp = mpmath
        n, big = [mp.mpf(c) for c in counts], mp.mpf(sum(counts))
        k = len(n)
        once, twice = counts.count(1), counts.count(2)
        plug_in = -sum(c / big * mp.log(c / big) for c in n)

        def concentrated(a):
            p = [(c + a) / (big + k * a) for c in n]
            return -sum(q * mp.log(q) for q in p)

        def grassberger(c):
            return mp.psi(0, c) + (-1) ** int(c) / mp.mpf(2) * (mp.psi(0, (c + 1) / 2) - mp.psi(0, c / 2))

        if name == "plug-in":
            value = plug_in
        elif name == "miller-madow":
            value = plug_in + (k - 1) / (2 * big)
        elif name == "jackknife":
            left_out = mp.mpf(0)
            for i, c in enumerate(counts):
                fewer = [d - (i == j) for j, d in enumerate(counts)]
                left_out += -c * sum(d / (big - 1) * mp.log(d / (big - 1)) for d in fewer if d)
            value = big * plug_in - (big - 1) / big * left_out
        elif name == "grassberger":
            value = mp.log(big) - sum(c * grassberger(c) for c in n) / big
        elif name == "grassberger-1988":
            value = mp.log(big) - sum(c * mp.psi(0, c) + (-1) ** int(c) / (c + 1) for c in n) / big
        elif name == "zhang":
            value = sum(
                c / big / v * mp.fprod(1 - (c - 1) / (big - j) for j in range(1, v + 1))
                for c in n
                for v in range(1, int(big - c) + 1)
            )
        elif name == "schurmann":
            upper = mp.exp(mp.mpf(1) / 2) - 1
            integral = {int(c): mp.quad(lambda t, c=c: t ** (c - 1) / (1 + t), [0, upper]) for c in n}
            value = mp.psi(0, big) - sum(c * (mp.psi(0, c) + (-1) ** int(c) * integral[int(c)]) for c in n) / big
        elif name == "james-stein":
            square = sum((c / big) ** 2 for c in n)
            share = min(mp.mpf(1), (1 - square) / ((big - 1) * sum((mp.mpf(1) / k - c / big) ** 2 for c in n)))
            p = [share / k + (1 - share) * c / big for c in n]
            value = -sum(q * mp.log(q) for q in p)
        elif name == "chao-shen":
            cover = 1 - mp.mpf(once) / big
            value = -sum(cover * c / big * mp.log(cover * c / big) / (1 - (1 - cover * c / big) ** big) for c in n)
        elif name == "chao-wang-jost":
            a = 2 * twice / ((big - 1) * once + 2 * twice)
            missed = -mp.log(a) - sum((1 - a) ** r / r for r in range(1, int(big)))
            value = (
                sum(c / big * (mp.psi(0, big) - mp.psi(0, c)) for c in n) + once / big * (1 - a) ** (1 - big) * missed
            )
        elif name == "ansb":
            value = mp.euler - mp.log(2) + 2 * mp.log(big) - mp.psi(0, big - k)
        elif name == "nsb":

            def weight(b):
                prior = k * mp.psi(1, k * b + 1) - mp.psi(1, b + 1)
                gammas = mp.loggamma(k * b) - mp.loggamma(big + k * b)
                return prior * mp.exp(gammas) * mp.fprod(mp.rf(b, c) for c in n)

            def mean(b):
                total = big + k * b
                return mp.psi(0, total + 1) - sum((c + b) / total * mp.psi(0, c + b + 1) for c in n)

            # Over log b the trapezoid rule converges exponentially: a quarter is exact to 15 digits here.
            grid = [mp.exp(mp.mpf(x) / 4) for x in range(-180, 140)]
            weights = [weight(b) * b for b in grid]
            value = mp.fsum(w * mean(b) for w, b in zip(weights, grid, strict=True)) / mp.fsum(weights)
        else:
            prior = {"jeffreys": mp.mpf(1) / 2, "laplace": 1, "perks": mp.mpf(1) / k, "minimax": mp.sqrt(big) / k}[name]
            value = concentrated(prior)
        return float(value)


@pytest.mark.parametrize("name", l2m.ENTROPY_ESTIMATORS)
def test_every_estimator_has_its_published_formula(name):
    # Rounding of sums of ten terms in doubles; NSB is integrated to 1e-10.
    tolerance = 1e-9 if name == "nsb" else 5e-15
    assert estimate(COUNTS, name) == pytest.approx(reference(name, COUNTS), rel=tolerance)


def test_values_printed_by_another_package():
    # infomeasure 0.5 documentation, Chao-Wang-Jost: data [1, 1, 2, 3, 4, 5] have 3.635 bits, by plug-in 2.252.
    bits = l2m.entropy_table(list(Counter([1, 1, 2, 3, 4, 5]).values()), ["chao-wang-jost", "plug-in"]).to("bits")
    assert bits.value == pytest.approx([3.635, 2.252], abs=5e-4)


# --- exact expectations by enumeration ---


def outcomes(p, samples):
    """Every count table of `samples` draws from p, with its probability."""
    for counts in itertools.product(range(samples + 1), repeat=len(p)):
        if sum(counts) == samples:
            ways = math.factorial(samples) / math.prod(map(math.factorial, counts))
            yield counts, ways * math.prod(q**c for q, c in zip(p, counts, strict=True))


def expected(name, p, samples):
    return sum(chance * estimate(counts, name) for counts, chance in outcomes(p, samples))


P, N = (0.5, 0.3, 0.15, 0.05), 7


def test_expected_plug_in_and_miller_madow():
    binomial = [[math.comb(N, c) * q**c * (1 - q) ** (N - c) for c in range(N + 1)] for q in P]
    plug_in = -sum(w * c / N * math.log(c / N) for row in binomial for c, w in enumerate(row) if c)
    assert expected("plug-in", P, N) == pytest.approx(plug_in, rel=1e-13)
    seen = sum(1 - (1 - q) ** N for q in P)
    assert expected("miller-madow", P, N) == pytest.approx(plug_in + (seen - 1) / (2 * N), rel=1e-13)


def test_expected_zhang_is_the_entropy_without_its_tail():
    # Zhang 2012: E = sum over v < N of sum p (1-p)^v / v; what is left out is the whole bias.
    truth = sum(q * (1 - q) ** v / v for v in range(1, N) for q in P)
    assert expected("zhang", P, N) == pytest.approx(truth, rel=1e-13)


def test_expected_jackknife_is_that_of_its_definition():
    smaller = expected("plug-in", P, N - 1)
    assert expected("jackknife", P, N) == pytest.approx(N * expected("plug-in", P, N) - (N - 1) * smaller, rel=1e-12)


@pytest.mark.parametrize("mean", [0.3, 1.0, 4.0, 15.0])
def test_grassberger_over_poisson_counts(mean):
    # Grassberger 2003: E[n G(n)] = l log l + l E1(2 l). n G(n) = N (log N - H) for one symbol of n among N = n.
    from scipy.special import exp1
    from scipy.stats import poisson

    n = np.arange(1, 200)
    of_n = np.array([count * (math.log(count) - estimate([int(count)], "grassberger")) for count in n])
    truth = mean * math.log(mean) + mean * exp1(2 * mean)
    # log n - (log n - G) loses 1e-15 n at most
    assert poisson.pmf(n, mean) @ of_n == pytest.approx(truth, abs=1e-13 * max(mean, 1))


# --- known entropies ---


@pytest.mark.parametrize("name", [name for name in l2m.ENTROPY_ESTIMATORS if name != "ansb"])
def test_geometric_and_zipf_at_a_million_samples(name):
    generator = np.random.default_rng(5)
    geometric = generator.geometric(0.2, 1_000_000)
    p = 1 / np.arange(1, 101)
    p /= p.sum()
    for samples, truth in (
        (np.bincount(geometric), (-0.8 * math.log(0.8) - 0.2 * math.log(0.2)) / 0.2),
        (generator.multinomial(1_000_000, p), -float(p @ np.log(p))),
    ):
        result = l2m.entropy(samples, name)
        # 4 standard errors, and the minimax prior's pull of about (log K - H) / sqrt(N).
        pull = 2e-3 if name == "minimax" else 1e-4
        assert abs(result.value - truth) < 4 * result.stderr + pull


def test_ansb_counts_coincidences():
    # Uniform over K = 10,000 symbols: N^2 / 2K coincidences, hence log K + gamma. (The prior expects uneven symbols.)
    counts = np.bincount(np.random.default_rng(2).integers(0, 10_000, 1000))
    result = l2m.entropy(counts, "ansb")
    assert abs(result.value - math.log(10_000) - float(mpmath.euler)) < 4 * result.stderr
    assert result.warning == ""


@pytest.mark.parametrize("name", [name for name in l2m.ENTROPY_ESTIMATORS if name not in ("ansb", "nsb")])
def test_standard_errors_are_the_spread_of_repeated_samples(name):
    generator = np.random.default_rng(11)
    p = 1 / np.arange(1, 41)
    p /= p.sum()
    results = [l2m.entropy(row, name, alphabet=40) for row in generator.multinomial(600, p, size=1500)]
    spread = np.std([result.value for result in results])
    claimed = math.sqrt(np.mean([result.stderr**2 for result in results]))
    # The spread of 1500 is known to 1.8 %; first-order formulas at N = 600, K = 40 to some 10 %.
    assert claimed / spread == pytest.approx(1, abs=0.12)


def test_the_nsb_error_is_the_posterior_deviation():
    counts, k, big = [3, 1, 2, 7], 4, 13
    generator = np.random.default_rng(0)
    b = np.exp(np.linspace(-9, 9, 1500))
    weight = np.array(
        [
            float(
                (k * mpmath.psi(1, k * x + 1) - mpmath.psi(1, x + 1))
                * mpmath.gamma(k * x)
                / mpmath.gamma(big + k * x)
                * mpmath.fprod(mpmath.gamma(c + x) / mpmath.gamma(x) for c in counts)
                * x
            )
            for x in map(mpmath.mpf, b)
        ]
    )
    drawn = generator.choice(b, size=200_000, p=weight / weight.sum())
    gammas = generator.standard_gamma(np.array(counts)[None, :] + drawn[:, None])
    p = gammas / gammas.sum(axis=1, keepdims=True)
    entropies = -np.sum(p * np.log(p), axis=1)
    result = l2m.entropy(counts, "nsb")
    assert result.value == pytest.approx(entropies.mean(), abs=5 * entropies.std() / math.sqrt(200_000))
    assert result.stderr == pytest.approx(entropies.std(), rel=0.01)


def test_a_million_distinct_counts_and_1e15_samples_keep_their_digits():
    generator = np.random.default_rng(3)
    counts = np.unique(generator.integers(1, 2 * 10**9, 1_000_000))
    symbols = np.ones(counts.size, np.uint64)
    table = l2m.Fingerprint(counts.astype(np.uint64), symbols)
    assert 9e14 < table.total < 1.1e15
    p = counts.astype(np.longdouble) / np.longdouble(table.total)
    truth = float(-np.sum(p * np.log(p)))
    correction = (counts.size - 1) / (2 * table.total)
    for name in ("plug-in", "grassberger", "grassberger-1988", "miller-madow", "jackknife", "schurmann", "zhang"):
        wanted = truth if name == "plug-in" else truth + correction
        assert estimate(table, name) == pytest.approx(wanted, rel=3e-15), name
    # No symbol occurred once: nothing is missed. Drawn towards uniform by K / N = 1e-9 at most.
    assert estimate(table, "chao-wang-jost") == pytest.approx(truth + correction, rel=3e-15)
    for name in ("james-stein", "chao-shen", "jeffreys", "laplace", "perks"):
        assert estimate(table, name) == pytest.approx(truth, rel=1e-8), name


# --- contract ---


@pytest.mark.parametrize("name", l2m.ENTROPY_ESTIMATORS)
@given(counts=TABLES)
@settings(max_examples=20, deadline=None)
def test_contract(name, counts):
    result = l2m.entropy(counts, name)
    assert math.isfinite(result.value)
    assert math.isfinite(result.stderr)
    assert result.stderr >= 0
    assert 0 <= result.coverage <= 1
    same = [counts[::-1], [*counts, 0], np.array(counts, float), dict(enumerate(counts)), l2m.fingerprint(counts)]
    assert {l2m.entropy(table, name).value for table in same} == {result.value}
    assert result.to("bits").value == pytest.approx(result.value / math.log(2), rel=1e-15)
    assert result.to("bits").stderr == pytest.approx(result.stderr / math.log(2), rel=1e-15)


@given(left=TABLES, right=TABLES)
@settings(max_examples=30, deadline=None)
def test_fingerprints_of_disjoint_tables_add(left, right):
    merged, whole = l2m.fingerprint(left) + l2m.fingerprint(right), l2m.fingerprint(left + right)
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.symbols.tolist() == whole.symbols.tolist()
    assert merged.total == sum(left) + sum(right)


def test_names_may_be_hyphenated_otherwise():
    assert l2m.entropy(COUNTS, "Plug_In").estimator == "plug-in"


def test_coverage_is_good_turing():
    # f1 = 3, f2 = 3, N = 37: 1 - 3/37 * 36*3 / (36*3 + 6)
    assert l2m.fingerprint(COUNTS).coverage == pytest.approx(1 - 3 / 37 * 108 / 114)
    assert l2m.fingerprint([5, 7]).coverage == 1
    assert l2m.fingerprint([1]).coverage <= 1


def test_small_samples_are_warned_about():
    assert "biased low" in l2m.entropy([1, 1, 1, 2], "plug-in").warning
    assert "did not occur" in l2m.entropy([1] * 50 + [2] * 5).warning
    assert "almost every symbol" in l2m.entropy([50, 40], "ansb").warning
    assert l2m.entropy([5000, 4000]).warning == ""


def test_records_come_back(tmp_path):
    for record in (l2m.entropy(COUNTS), l2m.fingerprint(COUNTS), l2m.entropy_table(COUNTS)):
        record.save(tmp_path / "record.json")
        assert l2m.load(tmp_path / "record.json").to_dict() == record.to_dict()


def test_the_table_has_every_estimator_and_says_where_one_has_none():
    table = l2m.entropy_table([1, 1, 1])
    assert table.estimators == l2m.ENTROPY_ESTIMATORS
    place = table.estimators.index("ansb")
    assert math.isnan(table.value[place])
    assert "occurred twice" in table.warnings[place]
    assert list(table.to_frame().index) == list(l2m.ENTROPY_ESTIMATORS)
    assert "chao-wang-jost" in str(table)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([], "no samples"),
        ([0, 0], "no samples"),
        ([3, -1], "-1 at position 1"),
        ([1.5, 2], "1.5 at position 0"),
        ([1, math.nan], "nan at position 1"),
        ([math.inf, 1], "inf at position 0"),
        (["a", "b"], "non-negative whole numbers"),
        ([2**62, 2**62], "2^63"),
    ],
)
def test_what_is_no_count_table_is_refused(counts, words):
    with pytest.raises(l2m.InputError, match="counts: ") as caught:
        l2m.entropy(counts)
    assert words in str(caught.value)


def test_other_bad_arguments_are_refused():
    with pytest.raises(l2m.InputError, match=r"estimator: .*expected one of grassberger"):
        l2m.entropy(COUNTS, "shannon")
    with pytest.raises(l2m.InputError, match="alphabet: 3"):
        l2m.entropy(COUNTS, alphabet=3)
    with pytest.raises(l2m.InputError, match="ansb"):
        l2m.entropy([1, 1], "ansb")


def test_the_numbers_of_a_warning_are_in_the_unit() -> None:
    counts = [1] * 30 + [5] * 3
    nats = l2m.entropy(counts, "plug-in")
    bits = nats.to("bits")
    bias = 32 / (2 * 45)
    assert nats.warning == f"biased low by {bias:.2g} nats or more, against a standard error of {nats.stderr:.2g}"
    assert (
        bits.warning
        == f"biased low by {bias / math.log(2):.2g} bits or more, against a standard error of {bits.stderr:.2g}"
    )
    assert bits.to("nats").warning == nats.warning
    table = l2m.entropy_table(counts).to("bits")
    assert table.warnings[table.estimators.index("plug-in")] == bits.warning
    assert not any("nats" in warning for warning in table.warnings)


def test_counts_that_are_text_are_called_text() -> None:
    with pytest.raises(l2m.InputError, match=r"counts: text; expected non-negative whole numbers"):
        l2m.entropy("abc")  # type: ignore[arg-type]
    with pytest.raises(l2m.InputError, match=r"x: text; expected numbers"):
        l2m.fit_power_law("a", "b")  # type: ignore[arg-type]
