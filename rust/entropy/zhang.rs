//! Zhang's estimator: H = psi(N) - (1/N) sum n psi(n).
//!
//! Source: Z. Zhang, "Entropy estimation in Turing's perspective", Neural Computation 24 (2012), whose sum over v of products
//! equals psi(N) - psi(n) (T. Schürmann, "A note on entropy estimation", Neural Computation 27, 2015). Its bias falls
//! exponentially with N for a finite alphabet; it is asymptotically normal with the plug-in's variance.

use super::special::log_minus_digamma;

pub fn deficit(count: u64) -> f64 {
    log_minus_digamma(count as f64)
}

#[cfg(test)]
mod tests {
    use crate::entropy::Estimator;
    use crate::fingerprint::Fingerprint;

    #[test]
    fn it_equals_the_sum_of_products_it_was_published_as() {
        let counts = [1u64, 2, 2, 3, 7, 12];
        let samples: u64 = counts.iter().sum();
        let mut published = 0.0;
        for n in counts {
            let mut product = 1.0;
            for v in 1..=samples - n {
                product *= 1.0 - (n - 1) as f64 / (samples - v) as f64;
                published += n as f64 / samples as f64 * product / v as f64;
            }
        }
        let fingerprint = Fingerprint::from_counts(counts).unwrap();
        let value = Estimator::Zhang.estimate(&fingerprint, None).unwrap().value;
        assert!((value - published).abs() < 1e-14, "{value} {published}");
    }
}
