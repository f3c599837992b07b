//! Delete-one jackknife of the plug-in: N H - (N - 1) mean(H without one sample).
//!
//! Source: S. Zahl, "Jackknifing an index of diversity", Ecology 58 (1977). Carried out symbol by symbol it is a sum over
//! symbols again, H + sum (n/N) c(n) - c(N), with c(n) = 1 - (n - 1) log(n / (n - 1)): no difference of terms of size N.

use super::{Entropy, additive};
use crate::fingerprint::Fingerprint;

pub fn estimate(fingerprint: &Fingerprint) -> Entropy {
    let samples = fingerprint.total();
    let entropy = additive(fingerprint, curvature, -curvature(samples));
    // The jackknife's own variance, (N-1)/N sum (H_i - mean)^2, is that of log(N/n) + c(n) over N - 1.
    let freedom = samples.saturating_sub(1).max(1) as f64;
    Entropy { stderr: entropy.stderr * (samples as f64 / freedom).sqrt(), ..entropy }
}

/// 1 - (n - 1) log(n / (n - 1)) = sum over k >= 1 of n^-k / (k (k + 1)).
fn curvature(count: u64) -> f64 {
    let n = count as f64;
    match count {
        1 => 1.0,
        2..64 => 1.0 + (n - 1.0) * libm::log1p(-1.0 / n),
        _ => (1..=9).rev().fold(0.0, |sum, k| (sum + 1.0 / f64::from(k * (k + 1))) / n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Estimator;

    #[test]
    fn leaving_out_every_sample_by_hand_gives_the_same() {
        let counts = [1u64, 1, 2, 3, 5, 8, 21, 100];
        let plug_in = |counts: &[u64]| {
            let fingerprint = Fingerprint::from_counts(counts.iter().copied()).unwrap();
            Estimator::PlugIn.estimate(&fingerprint, None).unwrap().value
        };
        let samples = counts.iter().sum::<u64>() as f64;
        let left_out: Vec<(f64, f64)> = (0..counts.len())
            .map(|i| {
                let mut fewer = counts;
                fewer[i] -= 1;
                (counts[i] as f64, plug_in(&fewer))
            })
            .collect();
        let mean = left_out.iter().map(|(n, h)| n * h).sum::<f64>() / samples;
        let variance = left_out.iter().map(|(n, h)| n * (h - mean).powi(2)).sum::<f64>() * (samples - 1.0) / samples;
        let entropy = estimate(&Fingerprint::from_counts(counts).unwrap());
        // N = 141 enlarges the rounding of the two plug-ins: 141 * 4.4e-16.
        assert!((entropy.value - (samples * plug_in(&counts) - (samples - 1.0) * mean)).abs() < 6.3e-14);
        assert!((entropy.stderr / variance.sqrt() - 1.0).abs() < 1e-12);
    }
}
