//! Entropy from a fingerprint. One estimator per file, each with its formula, its source and its tests.
//!
//! All values are in nats. `n` is how often a symbol occurred, `N` the number of samples, `K` the number of symbols.

pub mod ansb;
pub mod chao_shen;
pub mod chao_wang_jost;
pub mod grassberger;
pub mod grassberger_1988;
pub mod jackknife;
pub mod miller_madow;
pub mod nsb;
pub mod plug_in;
pub mod schurmann;
pub mod shrinkage;
pub mod special;
pub mod zhang;

use std::fmt;
use std::str::FromStr;

use crate::fingerprint::Fingerprint;
use crate::{Error, Result};
use special::Sum;

/// An entropy in nats with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entropy {
    pub value: f64,
    pub stderr: f64,
}

/// The estimators by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Estimator {
    Grassberger,
    Grassberger1988,
    PlugIn,
    MillerMadow,
    Jackknife,
    JamesStein,
    ChaoShen,
    ChaoWangJost,
    Schurmann,
    Zhang,
    Nsb,
    Ansb,
    Jeffreys,
    Laplace,
    Perks,
    Minimax,
}

impl Estimator {
    pub const ALL: [Estimator; 16] = [
        Estimator::Grassberger,
        Estimator::Grassberger1988,
        Estimator::PlugIn,
        Estimator::MillerMadow,
        Estimator::Jackknife,
        Estimator::JamesStein,
        Estimator::ChaoShen,
        Estimator::ChaoWangJost,
        Estimator::Schurmann,
        Estimator::Zhang,
        Estimator::Nsb,
        Estimator::Ansb,
        Estimator::Jeffreys,
        Estimator::Laplace,
        Estimator::Perks,
        Estimator::Minimax,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Estimator::Grassberger => "grassberger",
            Estimator::Grassberger1988 => "grassberger-1988",
            Estimator::PlugIn => "plug-in",
            Estimator::MillerMadow => "miller-madow",
            Estimator::Jackknife => "jackknife",
            Estimator::JamesStein => "james-stein",
            Estimator::ChaoShen => "chao-shen",
            Estimator::ChaoWangJost => "chao-wang-jost",
            Estimator::Schurmann => "schurmann",
            Estimator::Zhang => "zhang",
            Estimator::Nsb => "nsb",
            Estimator::Ansb => "ansb",
            Estimator::Jeffreys => "jeffreys",
            Estimator::Laplace => "laplace",
            Estimator::Perks => "perks",
            Estimator::Minimax => "minimax",
        }
    }

    /// Whether the value depends on how many symbols could occur.
    pub fn uses_alphabet(self) -> bool {
        use Estimator::*;
        matches!(self, JamesStein | Nsb | Jeffreys | Laplace | Perks | Minimax)
    }

    /// Value and standard error.
    ///
    /// `alphabet`: how many symbols could occur, for the estimators that need it; none: as many as occurred.
    /// Fails for an empty fingerprint, and for an alphabet smaller than what occurred.
    pub fn estimate(self, fingerprint: &Fingerprint, alphabet: Option<u64>) -> Result<Entropy> {
        if fingerprint.is_empty() {
            return Err(Error::invalid("counts", "no samples", "at least one"));
        }
        let distinct = fingerprint.distinct();
        if let Some(symbols) = alphabet
            && symbols < distinct
        {
            return Err(Error::invalid(
                "alphabet",
                symbols.to_string(),
                format!("at least {distinct}, the symbols that occurred"),
            ));
        }
        let symbols = alphabet.unwrap_or(distinct);
        let (n, k) = (fingerprint.total() as f64, symbols as f64);
        Ok(match self {
            Estimator::Grassberger => additive(fingerprint, grassberger::deficit, 0.0),
            Estimator::Grassberger1988 => additive(fingerprint, grassberger_1988::deficit, 0.0),
            Estimator::PlugIn => additive(fingerprint, |_| 0.0, 0.0),
            Estimator::MillerMadow => miller_madow::estimate(fingerprint),
            Estimator::Jackknife => jackknife::estimate(fingerprint),
            Estimator::JamesStein => shrinkage::james_stein(fingerprint, symbols),
            Estimator::ChaoShen => chao_shen::estimate(fingerprint),
            Estimator::ChaoWangJost => chao_wang_jost::estimate(fingerprint),
            Estimator::Schurmann => additive(fingerprint, schurmann::deficit, -zhang::deficit(fingerprint.total())),
            Estimator::Zhang => additive(fingerprint, zhang::deficit, -zhang::deficit(fingerprint.total())),
            Estimator::Nsb => nsb::estimate(fingerprint, symbols),
            Estimator::Ansb => ansb::estimate(fingerprint)?,
            Estimator::Jeffreys => shrinkage::dirichlet(fingerprint, symbols, 0.5),
            Estimator::Laplace => shrinkage::dirichlet(fingerprint, symbols, 1.0),
            Estimator::Perks => shrinkage::dirichlet(fingerprint, symbols, 1.0 / k),
            Estimator::Minimax => shrinkage::dirichlet(fingerprint, symbols, n.sqrt() / k),
        })
    }

    /// g of the estimators for which H = log N - (1/N) sum n g(n) and expectations of n g(n) are wanted (null model).
    pub fn summand(self) -> Option<fn(u64) -> f64> {
        match self {
            Estimator::Grassberger => Some(grassberger::g),
            Estimator::PlugIn => Some(plug_in::g),
            _ => None,
        }
    }
}

impl fmt::Display for Estimator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Estimator {
    type Err = Error;

    /// By name; case, hyphens, underscores and spaces do not matter.
    fn from_str(name: &str) -> Result<Self> {
        let plain =
            |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
        let names = || Self::ALL.map(Estimator::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|estimator| plain(estimator.name()) == plain(name))
            .ok_or_else(|| Error::invalid("estimator", format!("{name:?}"), format!("one of {}", names())))
    }
}

/// H = sum over symbols of (n/N) [log(N/n) + d(n)] + constant, and the standard error of a mean over samples,
/// sqrt(sum (n/N) [log(N/n) + d(n)]^2 - H^2) / sqrt(N).
///
/// d(n) = log n - g(n). Written with log(N/n), not as log N - sum n g(n) / N: the difference of two large numbers would
/// lose the value where one symbol holds almost all samples.
fn additive(fingerprint: &Fingerprint, deficit: impl Fn(u64) -> f64, constant: f64) -> Entropy {
    let samples = fingerprint.total();
    let mean = mean_influence(fingerprint, |count| log_ratio(samples, count) + deficit(count));
    Entropy { value: mean.value + constant, ..mean }
}

/// sum over symbols of (n/N) influence(n), and its standard error by the delta method: each sample of a symbol that occurred n times
/// moves the estimate by influence(n) / N, up to a constant.
fn mean_influence(fingerprint: &Fingerprint, influence: impl Fn(u64) -> f64) -> Entropy {
    let samples = fingerprint.total() as f64;
    // Logarithms of every count: once for both sums.
    let influences: Vec<f64> = fingerprint.iter().map(|(count, _)| influence(count)).collect();
    let mean = |of: &dyn Fn(f64) -> f64| {
        let weighted = |((count, symbols), &influence)| (count as f64 / samples) * symbols as f64 * of(influence);
        fingerprint.iter().zip(&influences).map(weighted).collect::<Sum>().total()
    };
    let value = mean(&|influence| influence);
    Entropy { value, stderr: (mean(&|influence| (influence - value).powi(2)) / samples).sqrt() }
}

/// log(N / n), to full relative precision also where n is almost N.
fn log_ratio(samples: u64, count: u64) -> f64 {
    let rest = samples - count;
    if rest < count { -libm::log1p(-(rest as f64 / samples as f64)) } else { libm::log(samples as f64 / count as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn estimate(estimator: Estimator, counts: impl IntoIterator<Item = u64>) -> Result<Entropy> {
        estimator.estimate(&Fingerprint::from_counts(counts).unwrap(), None)
    }

    /// What every estimator promises.
    macro_rules! contract {
        ($($name:ident: $estimator:expr),* $(,)?) => { $(
            mod $name {
                use super::*;

                #[test]
                fn an_empty_table_is_refused() {
                    assert!(estimate($estimator, []).is_err());
                }

                #[test]
                fn one_symbol_has_little_entropy_and_no_error() {
                    for n in [2, 3, 10, 1_000_000, 1_000_000_000_000_000] {
                        let entropy = estimate($estimator, [n]).unwrap();
                        // Sums of g(n) need not vanish at n = N: G is 0.37 at n = 3, about 1/2N later.
                        let slack = if $estimator == Estimator::Ansb { f64::INFINITY } else { 1.2 / n as f64 };
                        assert!(entropy.value.abs() <= slack, "{n} {entropy:?}");
                        assert!(entropy.stderr.is_finite() && entropy.stderr >= 0.0, "{n} {entropy:?}");
                    }
                }

                #[test]
                fn an_alphabet_smaller_than_what_occurred_is_refused() {
                    let fingerprint = Fingerprint::from_counts([3, 2, 1]).unwrap();
                    assert!($estimator.estimate(&fingerprint, Some(2)).is_err());
                    let larger = $estimator.estimate(&fingerprint, Some(30)).unwrap();
                    assert_eq!(larger != $estimator.estimate(&fingerprint, None).unwrap(), $estimator.uses_alphabet());
                }

                #[test]
                fn a_large_sample_of_a_known_distribution_gives_its_entropy() {
                    // Exact counts of p = 1/2, 1/4, ..., 2^-9, 2^-9 in N = 2^40: entropy (2 - 2^-8) log 2.
                    if $estimator != Estimator::Ansb {
                        let counts = (1..10).map(|k| 1u64 << (40 - k)).chain([1 << 31]);
                        let entropy = estimate($estimator, counts).unwrap();
                        let truth = (2.0 - libm::exp2(-8.0)) * std::f64::consts::LN_2;
                        // Corrections are of order sqrt(K) / sqrt(N) = 3e-6 for the minimax prior, K / N for the others.
                        let slack = if $estimator == Estimator::Minimax { 1e-5 } else { 1e-10 };
                        assert!((entropy.value - truth).abs() < slack, "{entropy:?} {truth}");
                    }
                }

                proptest! {
                    #![proptest_config(ProptestConfig::with_cases(48))]
                    #[test]
                    fn order_and_zeros_do_not_matter_and_the_error_is_finite(
                        counts in prop::collection::vec(0u64..30, 1..40)
                    ) {
                        prop_assume!(counts.iter().any(|&n| n > 1));
                        let entropy = estimate($estimator, counts.iter().copied()).unwrap();
                        let turned = estimate($estimator, counts.iter().rev().copied().chain([0, 0])).unwrap();
                        prop_assert_eq!(entropy, turned);
                        prop_assert!(entropy.value.is_finite() && entropy.stderr.is_finite(), "{:?}", entropy);
                        prop_assert!(entropy.stderr >= 0.0);
                    }
                }
            }
        )* };
    }

    contract! {
        grassberger: Estimator::Grassberger,
        grassberger_1988: Estimator::Grassberger1988,
        plug_in: Estimator::PlugIn,
        miller_madow: Estimator::MillerMadow,
        jackknife: Estimator::Jackknife,
        james_stein: Estimator::JamesStein,
        chao_shen: Estimator::ChaoShen,
        chao_wang_jost: Estimator::ChaoWangJost,
        schurmann: Estimator::Schurmann,
        zhang: Estimator::Zhang,
        nsb: Estimator::Nsb,
        ansb: Estimator::Ansb,
        jeffreys: Estimator::Jeffreys,
        laplace: Estimator::Laplace,
        perks: Estimator::Perks,
        minimax: Estimator::Minimax,
    }

    proptest! {
        #[test]
        fn corrections_go_where_theory_says(counts in prop::collection::vec(1u64..50, 2..40)) {
            let value = |estimator| estimate(estimator, counts.iter().copied()).unwrap().value;
            let plug_in = value(Estimator::PlugIn);
            prop_assert!(plug_in >= 0.0 && plug_in <= libm::log(counts.len() as f64) + 1e-12);
            for larger in [Estimator::MillerMadow, Estimator::Jackknife, Estimator::Zhang] {
                prop_assert!(value(larger) >= plug_in, "{}", larger);
            }
            prop_assert!(value(Estimator::ChaoWangJost) >= value(Estimator::Zhang));
            for drawn_to_uniform in [Estimator::JamesStein, Estimator::Jeffreys, Estimator::Laplace, Estimator::Minimax] {
                prop_assert!(value(drawn_to_uniform) >= plug_in - 1e-12, "{}", drawn_to_uniform);
            }
        }
    }

    #[test]
    fn names_are_read_back_however_they_are_hyphenated() {
        for estimator in Estimator::ALL {
            assert_eq!(estimator.name().parse(), Ok(estimator));
            assert_eq!(estimator.name().replace('-', "_").to_uppercase().parse(), Ok(estimator));
        }
        assert!("entropy".parse::<Estimator>().is_err());
    }

    #[test]
    fn one_rare_symbol_beside_a_huge_one_keeps_its_digits() {
        // -p log p - (1-p) log(1-p) at p = 1e-15: 3.55387763949107e-14 (mpmath, 50 digits).
        let fingerprint = Fingerprint::from_counts([999_999_999_999_999, 1]).unwrap();
        let value = Estimator::PlugIn.estimate(&fingerprint, None).unwrap().value;
        assert!((value / 3.553_877_639_491_069e-14 - 1.0).abs() < 1e-14, "{value:e}");
    }
}
