//! Grassberger's estimator of 1988: H = log N - (1/N) sum [n psi(n) + (-1)^n / (n + 1)].
//!
//! Source: P. Grassberger, "Finite sample corrections to entropy and dimension estimates", Phys. Lett. A 128 (1988), and
//! equation 7 of arXiv physics/0307138. The second term stands beside n psi(n), not inside the bracket: over Poisson counts of
//! mean l it cancels the error l E1(l) of n psi(n) to relative order 1/l (tested). Some packages multiply it by n.

use super::special::log_minus_digamma;

pub fn deficit(count: u64) -> f64 {
    let n = count as f64;
    let sign = if count.is_multiple_of(2) { 1.0 } else { -1.0 };
    log_minus_digamma(n) - sign / (n * (n + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_error_over_poisson_counts_is_of_second_order() {
        for mean in [4.0f64, 8.0, 16.0] {
            // E[n g(n)] - l log l, g(n) = log n - deficit(n); without the sign term it is l E1(l) ~ e^-l (1 - 1/l).
            let mut probability = libm::exp(-mean);
            let mut expected = 0.0;
            for n in 1..200u64 {
                probability *= mean / n as f64;
                expected += probability * n as f64 * (libm::log(n as f64) - deficit(n));
            }
            let error = (expected - mean * libm::log(mean)) / libm::exp(-mean);
            assert!(error.abs() < 3.0 / (mean * mean), "{mean} {error}");
        }
    }
}
