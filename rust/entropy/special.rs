//! The functions the estimators need: digamma, trigamma, logarithms of Gamma ratios, and sums that do not lose digits.

use std::iter::FromIterator;

/// Neumaier's compensated sum: the error does not grow with the number of terms.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    pub fn add(&mut self, term: f64) {
        let total = self.sum + term;
        self.lost += if self.sum.abs() >= term.abs() { (self.sum - total) + term } else { (term - total) + self.sum };
        self.sum = total;
    }

    pub fn total(self) -> f64 {
        self.sum + self.lost
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<T: IntoIterator<Item = f64>>(terms: T) -> Self {
        let mut sum = Self::default();
        terms.into_iter().for_each(|term| sum.add(term));
        sum
    }
}

/// Where the asymptotic series start: at 12 their first omitted term is below 1e-17.
const ASYMPTOTIC: f64 = 12.0;

/// log x - psi(x) for x > 0: 1/2x + sum B_2j / (2j x^2j), below x = 12 after the recurrence psi(x + 1) = psi(x) + 1/x.
pub fn log_minus_digamma(x: f64) -> f64 {
    if x < ASYMPTOTIC {
        return libm::log(x) - digamma(x);
    }
    let inverse = 1.0 / x;
    0.5 * inverse + bernoulli_tail(inverse * inverse)
}

/// sum over j >= 1 of B_2j / (2j) z^j.
fn bernoulli_tail(z: f64) -> f64 {
    const TERMS: [f64; 7] =
        [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32760.0, 1.0 / 12.0];
    z * TERMS.iter().rev().fold(0.0, |sum, term| sum * z + term)
}

/// psi(x), the derivative of log Gamma, for x > 0.
pub fn digamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < ASYMPTOTIC {
        shift += 1.0 / x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    libm::log(x) - 0.5 * inverse - bernoulli_tail(inverse * inverse) - shift
}

/// psi'(x) for x > 0.
pub fn trigamma(mut x: f64) -> f64 {
    const TERMS: [f64; 8] =
        [1.0 / 6.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 5.0 / 66.0, -691.0 / 2730.0, 7.0 / 6.0, -3617.0 / 510.0];
    let mut shift = 0.0;
    while x < ASYMPTOTIC {
        shift += 1.0 / (x * x);
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    let tail = TERMS.iter().rev().fold(0.0, |sum, term| sum * z + term);
    shift + 1.0 / x + 0.5 * z + z / x * tail
}

/// log(Gamma(z) / sqrt(2 pi) z^(z - 1/2) e^-z), z >= 12.
fn stirling(z: f64) -> f64 {
    const TERMS: [f64; 6] = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0];
    let square = 1.0 / (z * z);
    TERMS.iter().rev().fold(0.0, |sum, term| sum * square + term) / z
}

/// log(Gamma(a + b) / Gamma(a)), a >= 1, b > 0, without the difference of two large logarithms.
pub fn ln_rising(a: f64, b: f64) -> f64 {
    if a < ASYMPTOTIC {
        return libm::lgamma(a + b) - libm::lgamma(a);
    }
    (a + b - 0.5) * libm::log1p(b / a) + b * (libm::log(a) - 1.0) + stirling(a + b) - stirling(a)
}

/// log(Gamma(a) Gamma(b) / Gamma(a + b)), also where a, b or both are huge.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if small < ASYMPTOTIC {
        return libm::lgamma(small) - ln_rising(large, small);
    }
    const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;
    let ratio = small / large;
    (small - 0.5) * (libm::log(ratio) - libm::log1p(ratio)) - large * libm::log1p(ratio) - 0.5 * libm::log(large)
        + HALF_LN_TAU
        + stirling(small)
        + stirling(large)
        - stirling(small + large)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digamma_and_trigamma_agree_with_mpmath() {
        // mpmath.mp.dps = 50; mpmath.psi(0, x), mpmath.psi(1, x)
        for (x, first, second) in [
            (1e-3, -1_000.575_571_931_810_3, 1_000_001.642_533_195_9),
            (0.5, -1.963_510_026_021_423_5, 4.934_802_200_544_679),
            (1.0, -0.577_215_664_901_532_9, 1.644_934_066_848_226_4),
            (11.75, 2.420_696_893_422_632, 0.088_830_522_079_623_88),
            (12.25, 2.464_154_655_185_369, 0.085_055_142_988_163_2),
            (1e6, 13.815_510_057_964_19, 1.000_000_500_000_166_7e-6),
        ] {
            let close = |value: f64, truth: f64| (value - truth).abs() <= 8e-16 * truth.abs().max(1.0);
            assert!(close(digamma(x), first), "psi({x}) = {:.17}", digamma(x));
            assert!(close(trigamma(x) / second, 1.0), "psi'({x}) = {:.17e}", trigamma(x));
        }
    }

    const BETAS: [(f64, f64, f64); 7] = [
        (0.3, 2.5, 0.863_778_073_303_247_9),
        (0.01, 1000000000000000.0, 4.254_092_114_092_915),
        (3.0, 1000000000.0, -61.476_650_333_279_29),
        (15.0, 40.0, -32.497130819813041),
        (1000000.0, 1000000.0, -1_386_300.003_362_921),
        (1000000000000000.0, 30.0, -964.906_252_880_153),
        (1000000000000000.0, 1000000000000.0, -7_908_255_112_411.649),
    ];

    #[test]
    fn logarithms_of_beta_agree_with_mpmath() {
        // mpmath.log(mpmath.beta(a, b)) at 50 digits
        for (a, b, truth) in BETAS {
            assert!((ln_beta(a, b) / truth - 1.0).abs() < 4e-15, "{a} {b} {:.17e}", ln_beta(a, b));
            assert_eq!(ln_beta(a, b), ln_beta(b, a));
        }
    }

    #[test]
    fn a_sum_keeps_what_is_small() {
        assert_eq!([1.0, 1e100, 1.0, -1e100].into_iter().collect::<Sum>().total(), 2.0);
    }
}
