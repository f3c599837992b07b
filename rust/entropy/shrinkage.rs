//! Entropy of frequencies drawn towards the uniform distribution, p = l/K + (1 - l) n/N: James-Stein, where the data choose l,
//! and the Bayesian estimators, where a Dirichlet prior of concentration a for each symbol sets l = K a / (N + K a).
//!
//! James-Stein: J. Hausser & K. Strimmer, "Entropy inference and the James-Stein estimator", JMLR 10 (2009): l = (1 - sum q^2) /
//! ((N - 1) sum (1/K - q)^2), at most 1, with q = n/N. Priors: Table 1 there; Jeffreys a = 1/2, Laplace a = 1, Perks a = 1/K,
//! minimax a = sqrt(N)/K. (The entropy of the posterior mean frequencies, as in that table; the posterior mean of the entropy,
//! averaged over a, is `nsb`.) Standard errors: delta method, with the change of l where the data choose it.

use super::special::Sum;
use super::{Entropy, mean_influence};
use crate::fingerprint::Fingerprint;

pub fn james_stein(fingerprint: &Fingerprint, alphabet: u64) -> Entropy {
    let samples = fingerprint.total();
    let uniform = 1.0 / alphabet as f64;
    let n = samples as f64;
    let unseen = (alphabet - fingerprint.distinct()) as f64;
    // 1 - sum q^2 as sum q (1 - q), and the distance to uniform term by term: neither cancels.
    let mut mixed = Sum::default();
    let mut distance = Sum::default();
    for (count, symbols) in fingerprint.iter() {
        let q = count as f64 / n;
        mixed.add(symbols as f64 * q * ((samples - count) as f64 / n));
        distance.add(symbols as f64 * (q - uniform).powi(2));
    }
    distance.add(unseen * uniform * uniform);
    let (mixed, distance) = (mixed.total(), distance.total());
    let intensity = mixed / ((n - 1.0) * distance);
    if samples == 1 || !intensity.is_finite() || intensity >= 1.0 {
        return shrunk(fingerprint, alphabet, 1.0, 0.0);
    }
    // dl / d(sum q^2)
    let slope = -(1.0 - uniform) / ((n - 1.0) * distance * distance);
    shrunk(fingerprint, alphabet, intensity, slope)
}

/// `concentration`: the prior's a.
pub fn dirichlet(fingerprint: &Fingerprint, alphabet: u64, concentration: f64) -> Entropy {
    let prior = alphabet as f64 * concentration;
    shrunk(fingerprint, alphabet, prior / (fingerprint.total() as f64 + prior), 0.0)
}

fn shrunk(fingerprint: &Fingerprint, alphabet: u64, intensity: f64, slope: f64) -> Entropy {
    let samples = fingerprint.total();
    let n = samples as f64;
    let uniform = 1.0 / alphabet as f64;
    let unseen = (alphabet - fingerprint.distinct()) as f64;
    // (p, -log p) of a symbol, -log p through 1 - p where p is large.
    let of = |count: u64| {
        let p = intensity * uniform + (1.0 - intensity) * (count as f64 / n);
        let rest = intensity * (1.0 - uniform) + (1.0 - intensity) * ((samples - count) as f64 / n);
        (p, if p > 0.5 { -libm::log1p(-rest) } else { -libm::log(p) })
    };
    let mut value = Sum::default();
    let mut by_intensity = Sum::default(); // dH/dl
    for (count, symbols) in fingerprint.iter() {
        let (p, surprise) = of(count);
        value.add(symbols as f64 * p * surprise);
        by_intensity.add(symbols as f64 * (uniform - count as f64 / n) * surprise);
    }
    if unseen > 0.0 && intensity > 0.0 {
        let (p, surprise) = of(0);
        value.add(unseen * p * surprise);
        by_intensity.add(unseen * uniform * surprise);
    }
    let through = by_intensity.total() * slope;
    let influence = |count: u64| (1.0 - intensity) * of(count).1 + 2.0 * through * (count as f64 / n);
    Entropy { value: value.total(), stderr: mean_influence(fingerprint, influence).stderr }
}
