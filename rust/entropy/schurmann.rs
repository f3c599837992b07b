//! Schürmann's estimator: H = psi(N) - (1/N) sum n S(n), S(n) = psi(n) + (-1)^n int_0^(1/xi - 1) t^(n-1) / (1 + t) dt,
//! at the xi = e^(-1/2) he recommends.
//!
//! Source: T. Schürmann, "Bias analysis in entropy estimation", J. Phys. A 37 (2004). xi = 1/2 gives Grassberger's G with psi(N)
//! in place of log N; xi = 1 gives Zhang's estimator.

use super::special::log_minus_digamma;

/// 1/xi - 1.
const UPPER: f64 = 0.648_721_270_700_128_1;

pub fn deficit(count: u64) -> f64 {
    log_minus_digamma(count as f64) - integral(count)
}

/// (-1)^n int_0^UPPER t^(n-1) / (1 + t) dt, by the recurrence I(n) + I(n+1) = UPPER^n / n from I(1) = log(1 + UPPER) = 1/2.
/// It falls like UPPER^n and is below 1e-17 from n = 90 on.
fn integral(count: u64) -> f64 {
    if count > 90 {
        return 0.0;
    }
    let mut value = -0.5;
    let mut power = 1.0;
    for k in 1..count {
        power *= -UPPER;
        value -= power / k as f64;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_integral_agrees_with_mpmath() {
        // mpmath: (-1)**n * quad(lambda t: t**(n-1)/(1+t), [0, exp(0.5)-1])
        for (n, truth) in
            [(1, -0.5), (2, 0.14872127070012815), (5, -0.014972333525199245), (30, 4.710_772_444_240_516e-8)]
        {
            assert!((integral(n) - truth).abs() < 2e-16, "{n} {:e}", integral(n));
        }
    }
}
