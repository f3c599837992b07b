//! Entropy from a fingerprint. One estimator per file, each with its formula, its source and its tests.
//!
//! All values are in nats. `n` is how often a symbol occurred, `N` the number of samples, `K` the number of symbols.

pub mod grassberger;
pub mod plug_in;
pub mod special;

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
    PlugIn,
}

impl Estimator {
    pub const ALL: [Estimator; 2] = [Estimator::Grassberger, Estimator::PlugIn];

    pub fn name(self) -> &'static str {
        match self {
            Estimator::Grassberger => "grassberger",
            Estimator::PlugIn => "plug-in",
        }
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
        match self {
            Estimator::Grassberger => Ok(additive(fingerprint, grassberger::deficit)),
            Estimator::PlugIn => Ok(additive(fingerprint, |_| 0.0)),
        }
    }

    /// g of the estimators that are a sum over symbols, H = log N - (1/N) sum n g(n); none for the others.
    pub fn summand(self) -> Option<fn(u64) -> f64> {
        match self {
            Estimator::Grassberger => Some(grassberger::g),
            Estimator::PlugIn => Some(plug_in::g),
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

/// H = sum over symbols of (n/N) [log(N/n) + d(n)], and the standard error of a mean over samples,
/// sqrt(sum (n/N) [log(N/n) + d(n)]^2 - H^2) / sqrt(N).
///
/// d(n) = log n - g(n). Written with log(N/n), not as log N - sum n g(n) / N: the difference of two large numbers would
/// lose the value where one symbol holds almost all samples.
fn additive(fingerprint: &Fingerprint, deficit: impl Fn(u64) -> f64) -> Entropy {
    let samples = fingerprint.total();
    let weight = |count: u64, symbols: u64| (count as f64 / samples as f64) * symbols as f64;
    let surprise = |count: u64| log_ratio(samples, count) + deficit(count);
    let value = fingerprint.iter().map(|(count, symbols)| weight(count, symbols) * surprise(count)).collect::<Sum>();
    let value = value.total();
    let variance = fingerprint
        .iter()
        .map(|(count, symbols)| weight(count, symbols) * (surprise(count) - value).powi(2))
        .collect::<Sum>();
    Entropy { value, stderr: (variance.total() / samples as f64).sqrt() }
}

/// log(N / n), to full relative precision also where n is almost N.
fn log_ratio(samples: u64, count: u64) -> f64 {
    let rest = samples - count;
    if rest < count { -libm::log1p(-(rest as f64 / samples as f64)) } else { libm::log(samples as f64 / count as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
