//! Bootstrap of power-law fits: many refits of one curve, the same whatever the threads.
//!
//! Replicates come in blocks of `BLOCK`; a block draws from the Philox stream of its own number, so a replicate depends on
//! the seed and its index alone.

use rand_philox::{Philox, u32_to_unit_f64};
use rayon::prelude::*;

use crate::monitor::Monitor;
use crate::power_law::{Fitter, Law, Model, Scratch, cholesky};
use crate::{Error, Result};

const BLOCK: usize = 512;
/// Up to here most samples with replacement come more than once: 10 points have 92,378 different ones.
const REPEATING: usize = 10;
/// How often a point is drawn, as a digit of this base.
const BASE: u64 = REPEATING as u64 + 1;

/// What a replicate draws.
#[derive(Debug, Clone, PartialEq)]
pub enum Resample {
    /// Points with replacement; a draw with fewer different points than parameters is drawn again.
    Pairs,
    /// fitted + scale * (a standardised residual, with replacement).
    Residuals { residuals: Vec<f64>, scale: Vec<f64> },
    /// fitted + normal errors of these standard deviations.
    Normal { scale: Vec<f64> },
    /// fitted + normal errors of this covariance, row by row.
    Correlated { covariance: Vec<f64> },
}

/// A fitted curve to resample. All ordinates are as `Fitter::fit` takes them.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    pub fitter: &'a Fitter,
    pub y: Vec<f64>,
    /// The law at the points; log(law - base) for `Model::LogOffset`, whose errors live there.
    pub fitted: Vec<f64>,
    pub base: f64,
    pub resample: Resample,
}

impl Source<'_> {
    /// Refit `replicates` times.
    pub fn bootstrap(&self, replicates: usize, seed: u64, monitor: &Monitor) -> Result<Vec<Law>> {
        let factor = match &self.resample {
            Resample::Correlated { covariance } => cholesky(covariance, self.y.len())
                .ok_or_else(|| Error::invalid("covariance", "not positive definite", "a positive definite matrix"))?,
            _ => Vec::new(),
        };
        let line = Line::of(self.fitter, &self.y);
        monitor.set_total(replicates as u64);
        if self.resample == Resample::Pairs && line.is_none() && self.fitter.points() <= REPEATING {
            return self.repeating_pairs(replicates, seed, monitor);
        }
        let mut laws = vec![Law::NONE; replicates];
        laws.par_chunks_mut(BLOCK).enumerate().try_for_each(|(block, laws)| {
            let stream = Philox::from_u64_seed_stream(seed, block as u64);
            match (&self.resample, &line) {
                (Resample::Pairs, Some(line)) => line.pairs(self.fitter, stream, laws),
                (Resample::Pairs, None) => pairs(self.fitter, &self.y, stream, laws),
                _ => self.fixed_design(line.as_ref(), &factor, stream, laws),
            }
            monitor.advance(laws.len() as u64)
        })?;
        Ok(laws)
    }

    /// Pairs of few points: each draw that occurs is fitted once. 10,000 samples of 5 points hold at most 126 different ones.
    fn repeating_pairs(&self, replicates: usize, seed: u64, monitor: &Monitor) -> Result<Vec<Law>> {
        let points = self.fitter.points();
        let mut samples = vec![0u64; replicates];
        samples.par_chunks_mut(BLOCK).enumerate().for_each(|(block, samples)| {
            let mut draws = Draws::new(Philox::from_u64_seed_stream(seed, block as u64), points);
            let mut times = vec![0.0; points];
            for sample in samples {
                draw_times(self.fitter, &mut draws, &mut times);
                *sample = times.iter().fold(0, |number, &times| number * BASE + times as u64);
            }
        });
        let mut different = samples.clone();
        different.sort_unstable();
        different.dedup();
        let share = replicates as u64 / different.len().max(1) as u64;
        let fits: Vec<Law> = different
            .par_iter()
            .map_init(
                || (Scratch::default(), vec![0.0; points]),
                |(scratch, times), &sample| {
                    let mut rest = sample;
                    for times in times.iter_mut().rev() {
                        *times = (rest % BASE) as f64;
                        rest /= BASE;
                    }
                    monitor.advance(share)?;
                    Ok(self.fitter.fit(&self.y, Some(times), scratch))
                },
            )
            .collect::<Result<_>>()?;
        let place = |sample: &u64| different.binary_search(sample).expect("every sample is among them");
        Ok(samples.iter().map(|sample| fits[place(sample)]).collect())
    }

    /// New ordinates over the same abscissae.
    fn fixed_design(&self, line: Option<&Line>, factor: &[f64], mut stream: Philox, laws: &mut [Law]) {
        let fitted = &self.fitted;
        let points = fitted.len();
        let mut scratch = Scratch::default();
        let mut draws = Draws::new(stream.clone(), points);
        let mut y = vec![0.0; points];
        let mut normals = vec![0.0; points];
        let exponential = matches!(self.fitter.model(), Model::LogOffset { .. });
        for law in laws {
            match &self.resample {
                Resample::Residuals { residuals, scale } => {
                    for i in 0..points {
                        y[i] = fitted[i] + scale[i] * residuals[draws.point()];
                    }
                }
                Resample::Normal { scale } => {
                    fill_normals(&mut stream, &mut normals);
                    for i in 0..points {
                        y[i] = fitted[i] + scale[i] * normals[i];
                    }
                }
                _ => {
                    fill_normals(&mut stream, &mut normals);
                    for i in 0..points {
                        y[i] = fitted[i] + (0..=i).map(|j| factor[i * points + j] * normals[j]).sum::<f64>();
                    }
                }
            }
            if exponential {
                for value in &mut y {
                    *value = self.base + libm::exp(*value);
                }
            }
            *law = match line {
                Some(line) => line.through(self.fitter, &y),
                None => self.fitter.fit(&y, None, &mut scratch),
            };
        }
    }
}

/// Points drawn with replacement, two at a time where the table of all ordered pairs stays small: `draw` yields numbers below
/// points^2 for pairs (first * points + second), and for an odd number one more, points^2 + point.
///
/// Several numbers come from one 64-bit word: the integer part of word * bound / 2^64 is one, the fraction goes on to the
/// next. With bound^digits <= 2^40 no number is off by more than 2^-24 of its probability.
struct Draws {
    stream: Philox,
    points: u64,
    pairs: usize,
    singles: usize,
    digits: u32,
    left: u32,
    word: u64,
}

/// Up to here two points are drawn at once: 24^2 rows of 48 bytes stay in the first-level cache.
const PAIRED: usize = 24;

impl Draws {
    fn new(stream: Philox, points: usize) -> Self {
        let (pairs, singles) = if points <= PAIRED { (points / 2, points % 2) } else { (0, points) };
        let bits = (points as f64).log2().max(0.5) * if pairs > 0 { 2.0 } else { 1.0 };
        let digits = ((40.0 / bits) as u32).clamp(1, 40);
        Self { stream, points: points as u64, pairs, singles, digits, left: 0, word: 0 }
    }

    #[inline(always)]
    fn below(&mut self, bound: u64) -> usize {
        if self.left == 0 {
            self.word = self.stream.next_u64();
            self.left = self.digits;
        }
        self.left -= 1;
        let product = u128::from(self.word) * u128::from(bound);
        self.word = product as u64;
        (product >> 64) as usize
    }

    /// One sample of as many points as there are.
    #[inline(always)]
    fn sample(&mut self, mut draw: impl FnMut(usize)) {
        let square = self.points * self.points;
        for _ in 0..self.pairs {
            draw(self.below(square));
        }
        for _ in 0..self.singles {
            draw(square as usize + self.below(self.points));
        }
    }

    fn point(&mut self) -> usize {
        self.below(self.points)
    }
}

/// The straight line through (u, log y), where a replicate needs a few sums and no fit.
struct Line {
    /// The sums of (w, w u, w u^2, w t, w u t, 0), t = log y - level, that each number of `Draws` brings. Six numbers are
    /// three vector additions.
    terms: Vec<[f64; 6]>,
    level: f64,
    /// Slope and level as linear functions of the ordinates.
    slope_of: Vec<f64>,
    level_of: Vec<f64>,
}

impl Line {
    fn of(fitter: &Fitter, y: &[f64]) -> Option<Self> {
        let (u, weights) = fitter.plain_line()?;
        let level = y.iter().sum::<f64>() / y.len() as f64;
        let points = y.len();
        let single: Vec<[f64; 6]> = (0..points)
            .map(|i| {
                let (w, t) = (weights[i], y[i] - level);
                [w, w * u[i], w * u[i] * u[i], w * t, w * u[i] * t, 0.0]
            })
            .collect();
        let mut terms = vec![[0.0; 6]; points * points];
        if points <= PAIRED {
            for (k, sums) in terms.iter_mut().enumerate() {
                *sums = std::array::from_fn(|j| single[k / points][j] + single[k % points][j]);
            }
        }
        terms.extend(single);
        let total: f64 = weights.iter().sum();
        let mean = weights.iter().zip(u).map(|(w, u)| w * u).sum::<f64>() / total;
        let spread: f64 = weights.iter().zip(u).map(|(w, u)| w * (u - mean).powi(2)).sum();
        let slope_of: Vec<f64> = weights.iter().zip(u).map(|(w, u)| w * (u - mean) / spread).collect();
        let level_of = weights.iter().zip(&slope_of).map(|(w, slope)| w / total - mean * slope).collect();
        Some(Self { terms, level, slope_of, level_of })
    }

    fn through(&self, fitter: &Fitter, y: &[f64]) -> Law {
        let dot = |of: &[f64]| of.iter().zip(y).map(|(of, y)| of * y).sum::<f64>();
        fitter.line(dot(&self.slope_of), dot(&self.level_of))
    }

    fn pairs(&self, fitter: &Fitter, stream: Philox, laws: &mut [Law]) {
        let mut draws = Draws::new(stream, fitter.points());
        for law in laws {
            loop {
                let mut sums = [0.0; 6];
                draws.sample(|k| {
                    let terms = &self.terms[k];
                    for j in 0..6 {
                        sums[j] += terms[j];
                    }
                });
                let [w, wu, wuu, wt, wut, _] = sums;
                // One abscissa only: what is left of the spread is rounding.
                let inverse = 1.0 / w;
                let spread = wuu - wu * wu * inverse;
                if spread > 1e-12 * wuu {
                    let slope = (wut - wu * wt * inverse) / spread;
                    *law = fitter.line(slope, self.level + (wt - slope * wu) * inverse);
                    break;
                }
            }
        }
    }
}

fn pairs(fitter: &Fitter, y: &[f64], stream: Philox, laws: &mut [Law]) {
    let points = y.len();
    let mut scratch = Scratch::default();
    let mut times = vec![0.0; points];
    let mut draws = Draws::new(stream, points);
    for law in laws {
        draw_times(fitter, &mut draws, &mut times);
        *law = fitter.fit(y, Some(&times), &mut scratch);
    }
}

/// How often each point is drawn; a draw with fewer different points than parameters is drawn again.
fn draw_times(fitter: &Fitter, draws: &mut Draws, times: &mut [f64]) {
    let points = times.len();
    loop {
        times.fill(0.0);
        draws.sample(|k| {
            if k < points * points {
                times[k / points] += 1.0;
                times[k % points] += 1.0;
            } else {
                times[k - points * points] += 1.0;
            }
        });
        if fitter.different(times) >= fitter.model().parameters() {
            return;
        }
    }
}

/// Box and Muller (1958), from two words of 32 bits a pair; libm, so that every platform draws the same.
fn fill_normals(stream: &mut Philox, normals: &mut [f64]) {
    for pair in normals.chunks_mut(2) {
        let radius = (-2.0 * libm::log(u32_to_unit_f64(stream.next_u32()))).sqrt();
        let (sine, cosine) = libm::sincos(std::f64::consts::TAU * u32_to_unit_f64(stream.next_u32()));
        pair[0] = radius * cosine;
        if let Some(second) = pair.get_mut(1) {
            *second = radius * sine;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power_law::Noise;

    fn curve() -> (Vec<f64>, Vec<f64>) {
        let x: Vec<f64> = (0..13).map(|i| libm::exp2(f64::from(i))).collect();
        let y = (0..13).map(|i| 0.7 * std::f64::consts::LN_2 * f64::from(i) + 0.05 * f64::from(i * i % 5)).collect();
        (x, y)
    }

    fn fitter(model: Model) -> Fitter {
        Fitter::new(&curve().0, model, &Noise::Weights(vec![1.0; 13]), false).unwrap()
    }

    #[test]
    fn one_seed_gives_one_answer_whatever_the_threads() {
        let (_, y) = curve();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let fitter = fitter(Model::LogLog);
            let source =
                Source { fitter: &fitter, y: y.clone(), fitted: y.clone(), base: 0.0, resample: Resample::Pairs };
            pool.install(|| source.bootstrap(2000, 5, &Monitor::new()).unwrap())
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn the_fast_line_equals_the_general_fit_with_multiplicities() {
        let (_, y) = curve();
        let fitter = fitter(Model::LogLog);
        let mut fast = vec![Law::NONE; 300];
        Line::of(&fitter, &y).unwrap().pairs(&fitter, Philox::from_u64_seed_stream(1, 0), &mut fast);
        let mut general = vec![Law::NONE; 300];
        pairs(&fitter, &y, Philox::from_u64_seed_stream(1, 0), &mut general);
        for (fast, general) in fast.iter().zip(&general) {
            assert!((fast.exponent - general.exponent).abs() < 1e-11, "{fast:?} {general:?}");
            assert!((fast.amplitude / general.amplitude - 1.0).abs() < 1e-10);
        }
        let direct = fitter.fit(&y, None, &mut Scratch::default());
        let projected = Line::of(&fitter, &y).unwrap().through(&fitter, &y);
        assert!((projected.exponent - direct.exponent).abs() < 1e-14, "{projected:?} {direct:?}");
        assert!((projected.amplitude / direct.amplitude - 1.0).abs() < 1e-14);
    }

    #[test]
    fn fitting_each_sample_once_changes_no_replicate() {
        let x: Vec<f64> = (0..6).map(|i| libm::exp2(f64::from(i))).collect();
        let y: Vec<f64> = x.iter().enumerate().map(|(i, x)| 2.0 / x + 0.1 + 0.01 * (i * i % 3) as f64).collect();
        let free = Model::LinearOffset { low: f64::NEG_INFINITY, high: f64::INFINITY };
        for robust in [false, true] {
            let fitter = Fitter::new(&x, free, &Noise::Weights(vec![1.0; 6]), robust).unwrap();
            let source =
                Source { fitter: &fitter, y: y.clone(), fitted: y.clone(), base: 0.0, resample: Resample::Pairs };
            let repeated = source.bootstrap(600, 5, &Monitor::new()).unwrap();
            let mut plain = vec![Law::NONE; 600];
            for (block, laws) in plain.chunks_mut(BLOCK).enumerate() {
                pairs(&fitter, &y, Philox::from_u64_seed_stream(5, block as u64), laws);
            }
            assert_eq!(repeated, plain);
        }
    }

    #[test]
    fn indices_are_uniform_and_normals_normal() {
        let mut draws = Draws::new(Philox::from_u64_seed_stream(3, 0), 13);
        let mut pairs = [0u32; 169];
        let mut singles = [0u32; 13];
        (0..130_000).for_each(|_| draws.sample(|k| if k < 169 { pairs[k] += 1 } else { singles[k - 169] += 1 }));
        // chi-square with 168 and 12 degrees of freedom: 227.7 and 32.9 at 0.1 %
        let chi = |seen: &[u32]| {
            let expected = f64::from(seen.iter().sum::<u32>()) / seen.len() as f64;
            seen.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum::<f64>()
        };
        assert!(chi(&pairs) < 227.7 && chi(&singles) < 32.9, "{} {}", chi(&pairs), chi(&singles));
        let mut normals = vec![0.0; 100_000];
        fill_normals(&mut Philox::from_u64_seed_stream(3, 1), &mut normals);
        let mean = normals.iter().sum::<f64>() / 1e5;
        let square = normals.iter().map(|z| z * z).sum::<f64>() / 1e5;
        // 4 standard errors: 4 / sqrt(1e5), 4 sqrt(2 / 1e5)
        assert!(mean.abs() < 0.0127 && (square - 1.0).abs() < 0.0179, "{mean} {square}");
    }
}
