//! Chao-Shen: H = -sum C q log(C q) / (1 - (1 - C q)^N), q = n/N and C = 1 - f1/N the sample's coverage (Horvitz-Thompson
//! weights for symbols that may have been missed).
//!
//! Source: A. Chao & T.-J. Shen, "Nonparametric estimation of Shannon's index of diversity when there are unseen species in
//! sample", Environ. Ecol. Stat. 10 (2003). Where every sample is a symbol of its own, f1 = N - 1 keeps C above 0.
//! Standard error: delta method; a sample's influence is the change of its own term, plus that of C for symbols that occurred
//! once (f1 falls) or twice (f1 rises).

use super::special::Sum;
use super::{Entropy, mean_influence};
use crate::fingerprint::Fingerprint;

pub fn estimate(fingerprint: &Fingerprint) -> Entropy {
    let samples = fingerprint.total();
    let n = samples as f64;
    let once = fingerprint.occurring(1).min(samples - 1);
    let coverage = (samples - once) as f64 / n;
    let value = |coverage: f64| {
        fingerprint
            .iter()
            .map(|(count, symbols)| symbols as f64 * term(count, samples, coverage).0)
            .collect::<Sum>()
            .total()
    };
    let by_coverage =
        fingerprint.iter().map(|(count, symbols)| symbols as f64 * count as f64 * term(count, samples, coverage).1);
    // dH/dC * dC/df1, times N as every influence here.
    let by_once = -(by_coverage.collect::<Sum>().total() / n) / coverage;
    let stderr = mean_influence(fingerprint, |count| {
        let own = if count < 1000 {
            let less = if count == 1 { 0.0 } else { term(count - 1, samples, coverage).0 };
            n * (term(count, samples, coverage).0 - less)
        } else {
            term(count, samples, coverage).1
        };
        own + match count {
            1 => by_once,
            2 => -by_once,
            _ => 0.0,
        }
    })
    .stderr;
    Entropy { value: value(coverage), stderr }
}

/// One symbol's term, and N times its derivative in n.
fn term(count: u64, samples: u64, coverage: f64) -> (f64, f64) {
    let n = samples as f64;
    let p = coverage * (count as f64 / n);
    let rest = (1.0 - coverage) + coverage * ((samples - count) as f64 / n);
    let surprise = if p > 0.5 { -libm::log1p(-rest) } else { -libm::log(p) };
    if rest == 0.0 {
        return (0.0, -coverage);
    }
    let log_missed = n * if p > 0.5 { libm::log(rest) } else { libm::log1p(-p) };
    let seen = -libm::expm1(log_missed);
    let value = p * surprise / seen;
    let slope = (surprise - 1.0) / seen - value / seen * n * libm::exp(log_missed) / rest;
    (value, coverage * slope)
}
