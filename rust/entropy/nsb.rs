//! Nemenman-Shafee-Bialek: the posterior mean of the entropy under a mixture of Dirichlet priors that is flat in the a priori
//! expected entropy. The standard error is the posterior's standard deviation.
//!
//! Source: I. Nemenman, F. Shafee & W. Bialek, "Entropy and inference, revisited", NIPS 14 (2002). With K symbols of
//! concentration b, k = K b, x = n + b and X = N + k:
//! weight of b: (K psi'(k+1) - psi'(b+1)) Gamma(k) / Gamma(N+k) prod Gamma(x) / Gamma(b);
//! mean of H given b: psi(X+1) - sum (x/X) psi(x+1);
//! variance given b: { var of psi(x+1) over x/X + sum (x/X) h(x) - h(X) } / (X+1), h(x) = (x+1) psi'(x+1) - 1
//! (Wolpert & Wolf 1995, their second moment less the squared mean, brought to a form without cancellation).
//!
//! The integral over log b is adaptive (Gauss-Kronrod, 15 points) between where the weight is e^-40 of its peak.

use super::Entropy;
use super::special::{Sum, ln_beta, ln_rising, log_minus_digamma, trigamma};
use crate::fingerprint::Fingerprint;

pub fn estimate(fingerprint: &Fingerprint, alphabet: u64) -> Entropy {
    if alphabet == 1 {
        return Entropy { value: 0.0, stderr: 0.0 };
    }
    let posterior = Posterior { fingerprint, alphabet: alphabet as f64, samples: fingerprint.total() as f64 };
    let (left, peak, right) = posterior.range();
    let top = posterior.log_weight(peak);
    // Integrals of weight, weight * mean, weight * mean^2 and weight * variance; means as differences to that at the peak.
    let centre = posterior.moments(peak).0;
    let at = |log_b: f64| {
        let weight = libm::exp(posterior.log_weight(log_b) - top);
        let (mean, variance) = posterior.moments(log_b);
        let away = mean - centre;
        [weight, weight * away, weight * away * away, weight * variance]
    };
    let [total, first, second, within] = {
        let (a, b) = (integrate(&at, left, peak), integrate(&at, peak, right));
        std::array::from_fn(|k| a[k] + b[k])
    };
    let shift = first / total;
    let variance = (second / total - shift * shift).max(0.0) + within / total;
    Entropy { value: centre + shift, stderr: variance.sqrt() }
}

struct Posterior<'a> {
    fingerprint: &'a Fingerprint,
    alphabet: f64,
    samples: f64,
}

impl Posterior<'_> {
    /// Log of the weight of log b, up to a constant.
    fn log_weight(&self, log_b: f64) -> f64 {
        let b = libm::exp(log_b);
        let k = self.alphabet * b;
        let mut sum = Sum::default();
        sum.add(ln_beta(self.samples, k));
        if b < 12.0 {
            // The same as below, with log Gamma(b) taken once.
            for (count, symbols) in self.fingerprint.iter() {
                sum.add(symbols as f64 * ln_rising(count as f64, b));
            }
            sum.add(-(self.fingerprint.distinct() as f64) * libm::lgamma(b));
        } else {
            for (count, symbols) in self.fingerprint.iter() {
                sum.add(-(symbols as f64) * ln_beta(count as f64, b));
            }
        }
        sum.total() + libm::log(self.prior(b)) + log_b
    }

    /// d(expected entropy)/db = K psi'(K b + 1) - psi'(b + 1).
    fn prior(&self, b: f64) -> f64 {
        let large = |z: f64| ((-1.0 / 42.0 / (z * z) + 1.0 / 30.0) / (z * z) - 1.0 / 6.0) / z + 0.5;
        if b > 100.0 {
            // psi'(z + 1) = 1/z - large(z) / z^2: the first terms cancel.
            return (large(b) - large(self.alphabet * b) / self.alphabet) / (b * b);
        }
        self.alphabet * trigamma(self.alphabet * b + 1.0) - trigamma(b + 1.0)
    }

    /// Mean and variance of the entropy given b.
    fn moments(&self, log_b: f64) -> (f64, f64) {
        let b = libm::exp(log_b);
        let total = self.samples + self.alphabet * b;
        let spread = |x: f64| (x + 1.0) * trigamma(x + 1.0) - 1.0;
        // log X - psi(X+1) enters every term: psi(X+1) - psi(x+1) = log((X+1)/(x+1)) + d(x+1) - d(X+1).
        let far = log_minus_digamma(total + 1.0);
        let surprise = |x: f64| libm::log1p((total - x) / (x + 1.0)) + log_minus_digamma(x + 1.0) - far;
        let unseen = self.alphabet - self.fingerprint.distinct() as f64;
        let entries = || self.fingerprint.iter().map(|(n, m)| (n as f64 + b, m as f64)).chain([(b, unseen)]);
        let surprises: Vec<(f64, f64)> = entries().map(|(x, m)| (m * x / total, surprise(x))).collect();
        let mean = surprises.iter().map(|(p, s)| p * s).collect::<Sum>().total();
        let mut variance = surprises.iter().map(|(p, s)| p * (s - mean).powi(2)).collect::<Sum>();
        for (x, m) in entries() {
            variance.add(m * x / total * spread(x));
        }
        variance.add(-spread(total));
        (mean, variance.total() / (total + 1.0))
    }

    /// Peak of the weight in log b, and where it has fallen by e^-40 on both sides. The weight falls at least like b below and
    /// like 1/b above, so that both ends exist.
    fn range(&self) -> (f64, f64, f64) {
        const DROP: f64 = 40.0;
        let (mut low, mut high) = (-60.0, 60.0);
        let golden = 0.381_966_011_250_105_1;
        let (mut a, mut b) = (low + golden * (high - low), high - golden * (high - low));
        let (mut at_a, mut at_b) = (self.log_weight(a), self.log_weight(b));
        while high - low > 1e-4 {
            if at_a > at_b {
                (high, b, at_b) = (b, a, at_a);
                a = low + golden * (high - low);
                at_a = self.log_weight(a);
            } else {
                (low, a, at_a) = (a, b, at_b);
                b = high - golden * (high - low);
                at_b = self.log_weight(b);
            }
        }
        let peak = 0.5 * (low + high);
        let floor = self.log_weight(peak) - DROP;
        let edge = |direction: f64| {
            let mut step = 1e-3;
            while self.log_weight(peak + direction * step) > floor && step < 200.0 {
                step *= 2.0;
            }
            let (mut inside, mut outside) = (0.5 * step, step);
            while outside / inside > 1.2 {
                let middle = 0.5 * (inside + outside);
                if self.log_weight(peak + direction * middle) > floor {
                    inside = middle;
                } else {
                    outside = middle;
                }
            }
            peak + direction * outside
        };
        (edge(-1.0), peak, edge(1.0))
    }
}

/// Adaptive Gauss-Kronrod of four integrands at once, to 1e-10 of the first.
fn integrate(at: &impl Fn(f64) -> [f64; 4], left: f64, right: f64) -> [f64; 4] {
    let mut total = [0.0; 4];
    let mut open = vec![(left, right)];
    let mut intervals = 0;
    let mut scale: f64 = 0.0;
    while let Some((a, b)) = open.pop() {
        let (value, error) = kronrod(at, a, b);
        intervals += 1;
        scale = scale.max(value[0]);
        if error > 1e-10 * scale && intervals < 200 {
            let middle = 0.5 * (a + b);
            open.extend([(a, middle), (middle, b)]);
            continue;
        }
        for k in 0..4 {
            total[k] += value[k];
        }
    }
    total
}

/// 15-point Kronrod values and the largest difference to the 7-point Gauss rule over the first three integrands.
fn kronrod(at: &impl Fn(f64) -> [f64; 4], a: f64, b: f64) -> ([f64; 4], f64) {
    // Nodes and weights: QUADPACK (Piessens et al. 1983), dqk15.
    const NODES: [f64; 8] = [
        0.991_455_371_120_812_6,
        0.949_107_912_342_758_5,
        0.864_864_423_359_769_1,
        0.741_531_185_599_394_4,
        0.586_087_235_467_691_1,
        0.405_845_151_377_397_2,
        0.207_784_955_007_898_47,
        0.0,
    ];
    const KRONROD: [f64; 8] = [
        0.022_935_322_010_529_224,
        0.063_092_092_629_978_55,
        0.104_790_010_322_250_18,
        0.140_653_259_715_525_92,
        0.169_004_726_639_267_9,
        0.190_350_578_064_785_4,
        0.204_432_940_075_298_9,
        0.209_482_141_084_727_83,
    ];
    const GAUSS: [f64; 4] =
        [0.129_484_966_168_869_7, 0.279_705_391_489_276_64, 0.381_830_050_505_118_9, 0.417_959_183_673_469_4];
    let (middle, half) = (0.5 * (a + b), 0.5 * (b - a));
    let (mut fine, mut coarse) = ([0.0; 4], [0.0; 4]);
    for (i, node) in NODES.iter().enumerate() {
        let mut values = at(middle + half * node);
        if *node > 0.0 {
            let other = at(middle - half * node);
            values = std::array::from_fn(|k| values[k] + other[k]);
        }
        for k in 0..4 {
            fine[k] += KRONROD[i] * values[k] * half;
            if i % 2 == 1 {
                coarse[k] += GAUSS[i / 2] * values[k] * half;
            }
        }
    }
    let error = (0..3).map(|k| (fine[k] - coarse[k]).abs()).fold(0.0, f64::max);
    (fine, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_brackets_the_weight() {
        let fingerprint = Fingerprint::from_counts([4, 2, 3, 0, 2, 4, 0, 0, 2]).unwrap();
        let posterior = Posterior { fingerprint: &fingerprint, alphabet: 9.0, samples: 17.0 };
        let (left, peak, right) = posterior.range();
        let drop = |log_b: f64| posterior.log_weight(peak) - posterior.log_weight(log_b);
        assert!(drop(left) >= 40.0 && drop(right) >= 40.0);
        assert!(drop(peak - 0.01) > 0.0 && drop(peak + 0.01) > 0.0);
    }
}
