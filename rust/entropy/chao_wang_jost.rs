//! Chao-Wang-Jost: Zhang's estimator plus an estimate of what it misses,
//! f1/N (1 - A)^(1-N) [-log A - sum over r < N of (1 - A)^r / r], A = 2 f2 / ((N - 1) f1 + 2 f2).
//!
//! Source: A. Chao, Y. T. Wang & L. Jost, "Entropy and the species accumulation curve", Methods Ecol. Evol. 4 (2013).
//! Without symbols seen twice, A = 2 / ((N - 1)(f1 - 1) + 2); without symbols seen once nothing is missed. The bracket is the tail
//! sum over r >= N of (1 - A)^r / r, summed as such: as a difference it has no digits left at large N.
//! Standard error: delta method; a sample of a symbol seen once, twice or three times also moves f1 and f2.

use super::special::Sum;
use super::{Entropy, additive, log_ratio, mean_influence, zhang};
use crate::fingerprint::Fingerprint;

pub fn estimate(fingerprint: &Fingerprint) -> Entropy {
    let samples = fingerprint.total();
    let (once, twice) = (fingerprint.occurring(1), fingerprint.occurring(2));
    let seen = additive(fingerprint, zhang::deficit, -zhang::deficit(samples));
    let missed = missed(once as f64, twice as f64, samples);
    // Moves of (f1, f2) when a symbol seen once, twice or three times loses a sample; half as far where there is too little.
    let moved = |once_less: f64, twice_less: f64| {
        let (f1, f2) = ((once as f64 - once_less).max(0.0), (twice as f64 - twice_less).max(0.0));
        samples as f64 * (missed - self::missed(f1, f2, samples))
    };
    let moves = [moved(1.0, 0.0), moved(-1.0, 1.0), moved(0.0, -1.0)];
    let stderr = mean_influence(fingerprint, |count| {
        log_ratio(samples, count) + zhang::deficit(count) + if count <= 3 { moves[count as usize - 1] } else { 0.0 }
    })
    .stderr;
    Entropy { value: seen.value + missed, stderr }
}

/// The estimated entropy of what was not seen.
fn missed(once: f64, twice: f64, samples: u64) -> f64 {
    let n = samples as f64;
    if once == 0.0 {
        return 0.0;
    }
    let a = if twice > 0.0 {
        2.0 * twice / ((n - 1.0) * once + 2.0 * twice)
    } else {
        2.0 / ((n - 1.0) * (once - 1.0).max(0.0) + 2.0)
    };
    if a >= 1.0 {
        return 0.0;
    }
    once / n * tail(-libm::log1p(-a), samples)
}

/// sum over j >= 0 of e^(-l (j + 1)) / (N + j).
///
/// The first terms as they stand, the rest by Euler and Maclaurin with the exponential integral. Past the first
/// `terms`, the function changes by less than a tenth per step, and the first term left out is below 1e-15 of the sum.
fn tail(rate: f64, samples: u64) -> f64 {
    let n = samples as f64;
    let terms = ((40.0 / rate).min(400.0) as u64).max(1);
    let mut sum = (0..terms).map(|j| libm::exp(-rate * (j + 1) as f64) / (n + j as f64)).collect::<Sum>();
    if rate * terms as f64 >= 40.0 {
        return sum.total();
    }
    let start = n + terms as f64;
    let first = libm::exp(-rate * (terms + 1) as f64);
    // f(r) = e^(-l (r - N + 1)) / r from r = start on.
    let value = first / start;
    let slope = -value * (rate + 1.0 / start);
    let third = -value
        * (rate.powi(3) + 3.0 * rate * rate / start + 6.0 * rate / (start * start) + 6.0 / (start * start * start));
    sum.add(first * scaled_exponential_integral(rate * start));
    sum.add(value / 2.0 - slope / 12.0 + third / 720.0);
    sum.total()
}

/// e^x E1(x), x > 0: the power series below 1, a continued fraction (Lentz) above.
fn scaled_exponential_integral(x: f64) -> f64 {
    if x < 1.0 {
        let (mut term, mut sum) = (1.0, 0.0);
        for k in 1..30 {
            term *= -x / f64::from(k);
            sum -= term / f64::from(k);
        }
        return libm::exp(x) * (sum - libm::log(x) - 0.577_215_664_901_532_9);
    }
    let mut b = x + 1.0;
    let mut c = f64::MAX;
    let mut d = 1.0 / b;
    let mut value = d;
    for k in 1..500 {
        let a = -f64::from(k * k);
        b += 2.0;
        d = 1.0 / (a * d + b);
        c = b + a / c;
        let factor = c * d;
        value *= factor;
        if (factor - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_published_bracket() {
        for (a, samples) in [(0.02f64, 40u64), (0.3, 11), (0.9, 5), (1e-3, 300)] {
            let q = 1.0 - a;
            let head: f64 = (1..samples).map(|r| libm::pow(q, r as f64) / r as f64).sum();
            let published = libm::pow(q, 1.0 - samples as f64) * (-libm::log(a) - head);
            let value = tail(-libm::log1p(-a), samples);
            // The published form loses digits: rounding 1e-15 times (1 - A)^(1 - N).
            let rounding = 4e-15 * libm::pow(q, 1.0 - samples as f64) + 1e-13 * published;
            assert!((value - published).abs() < rounding, "{a} {samples} {value} {published}");
        }
    }
}
