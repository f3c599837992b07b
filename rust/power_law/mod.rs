//! Least-squares fits of y = A x^b + C to a curve, in log-log or in linear space.
//!
//! With u = log x - mean(log x), the curve is written as A' e^(b u) + C and only the exponent b (or, in the paper's form,
//! the offset C) is searched for: the other parameters enter linearly and are solved exactly (variable projection;
//! Golub & Pereyra 1973). A coarse scan over a fixed grid finds the valley of the global minimum, a bracketed search for
//! the zero of the derivative ends it to full precision. No start value is needed.
//!
//! Near b = 0 the columns e^(b u) and 1 become one; (e^(b u) - 1) / b in place of the first keeps the problem smooth there
//! and turns into the logarithm at b = 0.

mod checks;
mod search;

use crate::{Error, Result};
use checks::inverse_cholesky;
pub use checks::{Curve, Logarithm, cholesky};
use search::{box_cox, box_cox_derivative, descend, lowest, regress};

/// A x^b + C.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)] // three numbers in this order, handed over without a copy
pub struct Law {
    pub amplitude: f64,
    pub exponent: f64,
    pub offset: f64,
}

impl Law {
    /// What a fit that has no answer returns.
    pub const NONE: Law = Law { amplitude: f64::NAN, exponent: f64::NAN, offset: f64::NAN };

    pub fn at(&self, x: f64) -> f64 {
        self.amplitude * libm::pow(x, self.exponent) + self.offset
    }
}

/// What is minimised. `low` and `high` bound C; equal, they fix it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Model {
    /// sum w (log y - log A - b log x)^2, C = 0. Takes log y.
    LogLog,
    /// sum w (y - A x^b)^2, C = 0.
    Linear,
    /// sum w (y - A x^b - C)^2.
    LinearOffset { low: f64, high: f64 },
    /// The paper's: sum w (log(y - C) - log A - b log x)^2 with low < C < min(y, high).
    LogOffset { low: f64, high: f64 },
}

impl Model {
    pub fn parameters(self) -> usize {
        match self {
            Model::LogLog | Model::Linear => 2,
            Model::LinearOffset { .. } | Model::LogOffset { .. } => 3,
        }
    }
}

/// The errors of the points, as the fit weighs them.
#[derive(Debug, Clone, PartialEq)]
pub enum Noise {
    /// One weight a point, 1 / variance.
    Weights(Vec<f64>),
    /// A covariance matrix, row by row.
    Covariance(Vec<f64>),
}

/// Tuning constant of Huber's weights: 95 % efficient for normal errors.
pub const HUBER: f64 = 1.345;
/// median(|normal|).
pub const NORMAL_MAD: f64 = 0.674_489_750_196_081_7;

/// A curve's abscissae, errors and model, prepared once and fitted to many ordinates.
#[derive(Debug, Clone)]
pub struct Fitter {
    model: Model,
    robust: bool,
    /// log x - mean(log x), and that mean.
    u: Vec<f64>,
    centre: f64,
    weights: Vec<f64>,
    /// Inverse of the covariance's Cholesky factor, row by row; empty with weights.
    whitening: Vec<f64>,
    /// The whitened column of ones.
    ones: Vec<f64>,
    /// Exponents of the coarse scan, ascending, and for each the whitened column e^(b u) or (e^(b u) - 1) / b.
    grid: Vec<f64>,
    table: Vec<f64>,
}

/// Buffers of one thread.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    weights: Vec<f64>,
    target: Vec<f64>,
    column: Vec<f64>,
    residual: Vec<f64>,
    sorted: Vec<f64>,
    profile: Vec<f64>,
}

/// One point of the profile over the exponent: the linear parameters, and half the slope of the sum of squares.
#[derive(Debug, Clone, Copy)]
struct Profile {
    amplitude: f64,
    offset: f64,
    slope: f64,
}

impl Fitter {
    /// `x`: positive, at least as many different values as the model has parameters.
    pub fn new(x: &[f64], model: Model, noise: &Noise, robust: bool) -> Result<Self> {
        let points = x.len();
        checks::finite("x", x)?;
        checks::positive("x", x)?;
        checks::enough_different(x, model.parameters())?;
        let mut sorted = x.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.dedup();
        if let Model::LinearOffset { low, high } | Model::LogOffset { low, high } = model {
            checks::ordered(low, high)?;
        }
        let logs: Vec<f64> = x.iter().map(|&x| libm::log(x)).collect();
        let centre = logs.iter().sum::<f64>() / points as f64;
        let u: Vec<f64> = logs.iter().map(|log| log - centre).collect();
        let mut fitter = Self {
            model,
            robust,
            u,
            centre,
            weights: vec![1.0; points],
            whitening: Vec::new(),
            ones: vec![1.0; points],
            grid: Vec::new(),
            table: Vec::new(),
        };
        match noise {
            Noise::Weights(weights) => {
                if weights.len() != points {
                    return Err(Error::invalid("weights", format!("{} values", weights.len()), format!("{points}")));
                }
                checks::finite("weights", weights)?;
                checks::positive("weights", weights)?;
                // Only ratios matter to the fit; near 1 they neither overflow nor vanish when squared.
                let mean = weights.iter().sum::<f64>() / points as f64;
                fitter.weights = weights.iter().map(|w| w / mean).collect();
            }
            Noise::Covariance(covariance) => {
                fitter.whitening = inverse_cholesky(covariance, points)?;
                let mut ones = vec![0.0; points];
                fitter.whiten(&vec![1.0; points], &mut ones);
                fitter.ones = ones;
            }
        }
        if matches!(model, Model::Linear | Model::LinearOffset { .. }) {
            fitter.tabulate(&sorted);
        }
        Ok(fitter)
    }

    pub fn points(&self) -> usize {
        self.u.len()
    }

    pub fn model(&self) -> Model {
        self.model
    }

    /// (u, weights) where the fit is a straight line through (u, log y) and nothing else.
    pub fn plain_line(&self) -> Option<(&[f64], &[f64])> {
        (self.model == Model::LogLog && !self.robust && self.whitening.is_empty()).then_some((&self.u, &self.weights))
    }

    /// The law of a line log y = level + slope u.
    pub fn line(&self, slope: f64, level: f64) -> Law {
        Law { amplitude: libm::exp(level - slope * self.centre), exponent: slope, offset: 0.0 }
    }

    /// How many different abscissae have a positive multiplicity.
    pub fn different(&self, times: &[f64]) -> usize {
        (0..times.len())
            .filter(|&i| times[i] > 0.0 && (0..i).all(|j| times[j] == 0.0 || self.u[j] != self.u[i]))
            .count()
    }

    /// Fit ordinates `y` (their logarithms for `LogLog`). `multiplicity`: how often each point counts (pairs bootstrap).
    /// `Law::NONE` where no fit exists, as for values that are not finite.
    pub fn fit(&self, y: &[f64], multiplicity: Option<&[f64]>, scratch: &mut Scratch) -> Law {
        debug_assert_eq!(y.len(), self.points());
        if y.iter().any(|y| !y.is_finite()) {
            return Law::NONE;
        }
        let mut weights = std::mem::take(&mut scratch.weights);
        weights.clear();
        match multiplicity {
            Some(times) => weights.extend(self.weights.iter().zip(times).map(|(w, times)| w * times)),
            None => weights.extend_from_slice(&self.weights),
        }
        let law = if self.robust {
            self.fit_huber(y, &mut weights, multiplicity, scratch)
        } else {
            self.fit_weighted(y, &weights, scratch)
        };
        scratch.weights = weights;
        law
    }

    fn fit_weighted(&self, y: &[f64], weights: &[f64], scratch: &mut Scratch) -> Law {
        let mut target = std::mem::take(&mut scratch.target);
        target.resize(y.len(), 0.0);
        self.whiten(y, &mut target);
        let law = match self.model {
            Model::LogLog => self.fit_line(&target, weights, scratch),
            Model::Linear => self.fit_exponent(&target, weights, None, scratch),
            Model::LinearOffset { low, high } => self.fit_exponent(&target, weights, Some((low, high)), scratch),
            Model::LogOffset { low, high } => self.fit_log_offset(y, weights, low, high, scratch),
        };
        scratch.target = target;
        law
    }

    /// The line through whitened log y.
    fn fit_line(&self, target: &[f64], weights: &[f64], scratch: &mut Scratch) -> Law {
        let mut column = std::mem::take(&mut scratch.column);
        column.resize(target.len(), 0.0);
        self.whiten(&self.u, &mut column);
        let line = regress(&column, &self.ones, target, weights);
        scratch.column = column;
        self.line(line.0, line.1)
    }

    fn law(&self, amplitude_at_centre: f64, exponent: f64, offset: f64) -> Law {
        Law { amplitude: amplitude_at_centre * libm::exp(-exponent * self.centre), exponent, offset }
    }

    /// Linear space: scan the exponent, then end in the valley found.
    fn fit_exponent(&self, target: &[f64], weights: &[f64], bounds: Option<(f64, f64)>, scratch: &mut Scratch) -> Law {
        let points = target.len();
        let mut profile = std::mem::take(&mut scratch.profile);
        profile.clear();
        // Sums that do not depend on the exponent.
        let (mut oo, mut ot) = (0.0, 0.0);
        for i in 0..points {
            oo += weights[i] * self.ones[i] * self.ones[i];
            ot += weights[i] * self.ones[i] * target[i];
        }
        for (k, &exponent) in self.grid.iter().enumerate() {
            let column = &self.table[k * points..(k + 1) * points];
            let (mut pp, mut po, mut pt) = (0.0, 0.0, 0.0);
            for i in 0..points {
                let weighted = weights[i] * column[i];
                pp += weighted * column[i];
                po += weighted * self.ones[i];
                pt += weighted * target[i];
            }
            // The sum of squares, less that of the target.
            profile.push(match bounds {
                None => -pt * pt / pp,
                Some((low, high)) => {
                    let determinant = pp * oo - po * po;
                    let slope = (pt * oo - ot * po) / determinant;
                    let level = (ot - slope * po) / oo;
                    let offset = level - slope / exponent;
                    if (low..=high).contains(&offset) {
                        -(slope * pt + level * ot)
                    } else {
                        // With C at its bound: e^(b u) = 1 + b column.
                        let offset = if offset.is_nan() { low } else { offset.clamp(low, high) };
                        let ee = oo + exponent * (2.0 * po + exponent * pp);
                        let et = ot + exponent * pt - offset * (oo + exponent * po);
                        offset * (offset * oo - 2.0 * ot) - et * et / ee
                    }
                }
            });
        }
        let best = lowest(&profile);
        scratch.profile = profile;
        let last = self.grid.len() - 1;
        let mut column = std::mem::take(&mut scratch.column);
        let mut residual = std::mem::take(&mut scratch.residual);
        column.resize(points, 0.0);
        residual.resize(points, 0.0);
        let mut at = |exponent: f64| self.profile(exponent, target, weights, bounds, &mut column, &mut residual);
        let exponent =
            descend(self.grid[best.saturating_sub(1)], self.grid[best], self.grid[(best + 1).min(last)], |exponent| {
                at(exponent).slope
            });
        let found = at(exponent);
        scratch.column = column;
        scratch.residual = residual;
        self.law(found.amplitude, exponent, found.offset)
    }

    /// The best linear parameters at `exponent` and half the derivative of the sum of squares, which by the envelope theorem
    /// is -sum w r dmodel/db.
    fn profile(
        &self,
        exponent: f64,
        target: &[f64],
        weights: &[f64],
        bounds: Option<(f64, f64)>,
        column: &mut [f64],
        residual: &mut [f64],
    ) -> Profile {
        let points = target.len();
        let derivative = |i: usize| self.u[i] * libm::exp(exponent * self.u[i]);
        if let Some((low, high)) = bounds {
            for i in 0..points {
                residual[i] = box_cox(exponent, self.u[i]);
            }
            self.whiten(residual, column);
            let (slope, level) = regress(column, &self.ones, target, weights);
            let offset = level - slope / exponent;
            if (low..=high).contains(&offset) {
                for i in 0..points {
                    residual[i] = target[i] - slope * column[i] - level * self.ones[i];
                }
                let slope_of_square = self.against(residual, weights, |i| box_cox_derivative(exponent, self.u[i]));
                return Profile { amplitude: slope / exponent, offset, slope: -slope * slope_of_square };
            }
            let offset = if offset.is_nan() { low } else { offset.clamp(low, high) };
            let amplitude = self.amplitude(exponent, offset, target, weights, column, residual);
            let slope = -amplitude * self.against(residual, weights, derivative);
            return Profile { amplitude, offset, slope };
        }
        let amplitude = self.amplitude(exponent, 0.0, target, weights, column, residual);
        Profile { amplitude, offset: 0.0, slope: -amplitude * self.against(residual, weights, derivative) }
    }

    /// A' for a given exponent and offset; leaves the whitened residuals behind.
    fn amplitude(
        &self,
        exponent: f64,
        offset: f64,
        target: &[f64],
        weights: &[f64],
        column: &mut [f64],
        residual: &mut [f64],
    ) -> f64 {
        for (value, u) in residual.iter_mut().zip(&self.u) {
            *value = libm::exp(exponent * u);
        }
        self.whiten(residual, column);
        let (mut cc, mut ct) = (0.0, 0.0);
        for i in 0..target.len() {
            cc += weights[i] * column[i] * column[i];
            ct += weights[i] * column[i] * (target[i] - offset * self.ones[i]);
        }
        let amplitude = ct / cc;
        for i in 0..target.len() {
            residual[i] = target[i] - offset * self.ones[i] - amplitude * column[i];
        }
        amplitude
    }

    /// sum w r v over points, with v = `value` whitened.
    fn against(&self, residual: &[f64], weights: &[f64], value: impl Fn(usize) -> f64) -> f64 {
        let points = residual.len();
        if self.whitening.is_empty() {
            return (0..points).map(|i| weights[i] * residual[i] * value(i)).sum();
        }
        let values: Vec<f64> = (0..points).map(value).collect();
        let mut whitened = vec![0.0; points];
        self.whiten(&values, &mut whitened);
        (0..points).map(|i| weights[i] * residual[i] * whitened[i]).sum()
    }

    /// The paper's form: scan the offset from `low` to just under the smallest ordinate.
    fn fit_log_offset(&self, y: &[f64], weights: &[f64], low: f64, high: f64, scratch: &mut Scratch) -> Law {
        let counted = |i: &usize| weights[*i] > 0.0;
        let smallest = (0..y.len()).filter(counted).map(|i| y[i]).fold(f64::INFINITY, f64::min);
        let room = smallest - low;
        if room <= 0.0 || room.is_nan() {
            return Law::NONE;
        }
        let mut logs = std::mem::take(&mut scratch.residual);
        logs.resize(y.len(), 0.0);
        let mut line_at = |gap: f64| {
            let offset = smallest - gap;
            for i in (0..y.len()).filter(counted) {
                logs[i] = libm::log(y[i] - offset);
            }
            let (slope, level) = regress(&self.u, &self.ones, &logs, weights);
            let (mut square, mut tilt) = (0.0, 0.0);
            for i in (0..y.len()).filter(counted) {
                let residual = logs[i] - level - slope * self.u[i];
                square += weights[i] * residual * residual;
                // d log(y - C) / d log(gap) = gap / (y - C)
                tilt += weights[i] * residual * gap / (y[i] - offset);
            }
            (square, tilt, slope, level)
        };
        // In log(gap), gap = min y - C: from C = low (gap = room), or the upper bound, to where log(gap) outweighs all else.
        const STEPS: usize = 40;
        const DECADES: f64 = 9.0;
        let widest = libm::log(room);
        let narrowest = (widest - DECADES * std::f64::consts::LN_10).max(if high < smallest {
            libm::log(smallest - high)
        } else {
            f64::NEG_INFINITY
        });
        let step = (widest - narrowest) / STEPS as f64;
        let mut profile = std::mem::take(&mut scratch.profile);
        profile.clear();
        profile.extend((0..=STEPS).map(|k| line_at(libm::exp(narrowest + step * k as f64)).0));
        let place = |k: usize| narrowest + step * k as f64;
        // Into every valley of the scan: the one around C near min y may be narrower than a step, and its floor the lowest.
        let mut best = (f64::INFINITY, Law::NONE);
        for k in 0..=STEPS {
            let (left, right) = (k.saturating_sub(1), (k + 1).min(STEPS));
            if profile[k] > profile[left] || profile[k] > profile[right] {
                continue;
            }
            let log_gap = descend(place(left), place(k), place(right), |log_gap| line_at(libm::exp(log_gap)).1);
            let gap = if log_gap >= widest { room } else { libm::exp(log_gap) };
            let (square, _, slope, level) = line_at(gap);
            if square < best.0 {
                best = (square, self.law(libm::exp(level), slope, smallest - gap));
            }
        }
        scratch.profile = profile;
        scratch.residual = logs;
        best.1
    }

    /// Huber's M-estimate: iteratively reweighted, scale = median |standardised residual| / 0.6745 at each step.
    fn fit_huber(&self, y: &[f64], weights: &mut [f64], multiplicity: Option<&[f64]>, scratch: &mut Scratch) -> Law {
        let base = weights.to_vec();
        // Below this a residual is rounding, and weights from it would never settle: 1,000 turns for each of a bootstrap's fits.
        let largest =
            y.iter().fold(if self.model == Model::LogLog { 1.0 } else { 0.0 }, |most: f64, y| most.max(y.abs()));
        let rounding = 8.0 * f64::EPSILON * largest * self.weights.iter().fold(0.0, |most: f64, w| most.max(w.sqrt()));
        let mut law = self.fit_weighted(y, weights, scratch);
        for _ in 0..1000 {
            let standardised = |i: usize, law: &Law| {
                let model = law.amplitude * libm::exp(law.exponent * (self.u[i] + self.centre)) + law.offset;
                let residual = match self.model {
                    Model::LogLog => y[i] - libm::log(model),
                    _ => y[i] - model,
                };
                residual * self.weights[i].sqrt()
            };
            let mut sorted = std::mem::take(&mut scratch.sorted);
            sorted.clear();
            for i in 0..y.len() {
                let times = multiplicity.map_or(1.0, |times| times[i]) as usize;
                sorted.extend(std::iter::repeat_n(standardised(i, &law).abs(), times));
            }
            sorted.sort_unstable_by(f64::total_cmp);
            let half = sorted.len() / 2;
            let median =
                if sorted.len().is_multiple_of(2) { 0.5 * (sorted[half - 1] + sorted[half]) } else { sorted[half] };
            scratch.sorted = sorted;
            let scale = median / NORMAL_MAD;
            if scale <= rounding || scale.is_nan() {
                return law; // at least half of the points lie on the law
            }
            for i in 0..y.len() {
                let distance = standardised(i, &law).abs() / scale;
                weights[i] = base[i] * if distance > HUBER { HUBER / distance } else { 1.0 };
            }
            let next = self.fit_weighted(y, weights, scratch);
            let moved = (next.exponent - law.exponent).abs()
                + (next.amplitude / law.amplitude - 1.0).abs()
                + (next.offset - law.offset).abs() / law.offset.abs().max(f64::MIN_POSITIVE).max(law.amplitude.abs());
            law = next;
            if moved <= 1e-13 || moved.is_nan() {
                break;
            }
        }
        law
    }

    fn whiten(&self, column: &[f64], whitened: &mut [f64]) {
        if self.whitening.is_empty() {
            whitened.copy_from_slice(column);
            return;
        }
        let points = column.len();
        for i in 0..points {
            whitened[i] = (0..=i).map(|j| self.whitening[i * points + j] * column[j]).sum();
        }
    }

    /// The grid of exponents. The sum of squares bends on the scale 1 / range(log x) near b = 0 and on the scale of b far
    /// out; beyond 40 / (gap at the ends) the law touches one point only.
    fn tabulate(&mut self, sorted: &[f64]) {
        let logs: Vec<f64> = sorted.iter().map(|&x| libm::log(x)).collect();
        let range = logs[logs.len() - 1] - logs[0];
        let gap = (logs[1] - logs[0]).min(logs[logs.len() - 1] - logs[logs.len() - 2]);
        let largest = (40.0 / gap).min(600.0 / range).max(10.0 / range);
        let mut half = vec![0.5 / range];
        while let Some(&last) = half.last()
            && last < largest
        {
            half.push(last + (0.5 / range).max(0.2 * last));
        }
        self.grid = half.iter().rev().map(|b| -b).chain([0.0]).chain(half.iter().copied()).collect();
        let points = self.u.len();
        let offset = matches!(self.model, Model::LinearOffset { .. });
        let mut table = vec![0.0; self.grid.len() * points];
        for (row, &exponent) in table.chunks_exact_mut(points).zip(&self.grid) {
            let column: Vec<f64> =
                self.u.iter().map(|&u| if offset { box_cox(exponent, u) } else { libm::exp(exponent * u) }).collect();
            self.whiten(&column, row);
        }
        self.table = table;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn octaves(points: usize) -> Vec<f64> {
        (0..points).map(|i| libm::exp2(i as f64)).collect()
    }

    fn fit(x: &[f64], y: &[f64], model: Model) -> Law {
        let noise = Noise::Weights(vec![1.0; x.len()]);
        let y: Vec<f64> = if model == Model::LogLog { y.iter().map(|&y| libm::log(y)).collect() } else { y.to_vec() };
        Fitter::new(x, model, &noise, false).unwrap().fit(&y, None, &mut Scratch::default())
    }

    const FREE: Model = Model::LinearOffset { low: f64::NEG_INFINITY, high: f64::INFINITY };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn an_exact_law_is_found_again(amplitude in 0.1..10.0f64, exponent in prop_oneof![-2.0..-0.05, 0.05..2.0f64], offset in 0.0..1.0f64) {
            let x = octaves(12);
            let law = Law { amplitude, exponent, offset };
            let y: Vec<f64> = x.iter().map(|&x| law.at(x)).collect();
            for model in [FREE, Model::LogOffset { low: 0.0, high: f64::INFINITY }] {
                let found = fit(&x, &y, model);
                // The data are rounded at 1e-16 of their size; a flat valley enlarges that by (range / |term|)^2.
                prop_assert!((found.exponent - exponent).abs() < 1e-7, "{:?} {:?}", model, found);
                prop_assert!((found.amplitude / amplitude - 1.0).abs() < 1e-5, "{:?} {:?}", model, found);
            }
            let y: Vec<f64> = x.iter().map(|&x| Law { offset: 0.0, ..law }.at(x)).collect();
            for model in [Model::LogLog, Model::Linear] {
                let found = fit(&x, &y, model);
                prop_assert!((found.exponent - exponent).abs() < 1e-12, "{:?} {:?}", model, found);
                prop_assert!((found.amplitude / amplitude - 1.0).abs() < 1e-11, "{:?} {:?}", model, found);
            }
        }

        #[test]
        fn no_neighbour_of_the_solution_is_better(noise in prop::collection::vec(-0.3..0.3f64, 9), exponent in -1.5..1.5f64, low in -0.5..0.5f64) {
            let x = octaves(9);
            let y: Vec<f64> = x.iter().zip(&noise).map(|(&x, e)| libm::pow(x, exponent) + 0.3 + e).collect();
            for model in [FREE, Model::LinearOffset { low, high: low + 0.3 }] {
                let found = fit(&x, &y, model);
                prop_assume!(found.amplitude.is_finite());
                let square = |law: Law| x.iter().zip(&y).map(|(&x, y)| (y - law.at(x)).powi(2)).sum::<f64>();
                let reached = square(found);
                for step in [-1e-3, -1e-5, 1e-5, 1e-3] {
                    for moved in [
                        Law { exponent: found.exponent + step, ..found },
                        Law { amplitude: found.amplitude * (1.0 + step), ..found },
                    ] {
                        prop_assert!(square(moved) >= reached * (1.0 - 1e-9), "{:?} {:?} {}", model, found, step);
                    }
                }
            }
        }
    }

    #[test]
    fn bounds_hold_the_offset() {
        let x = octaves(10);
        let y: Vec<f64> = x.iter().map(|&x| 2.0 * libm::pow(x, -0.5) + 0.4).collect();
        let held = fit(&x, &y, Model::LinearOffset { low: 0.0, high: 0.25 });
        assert_eq!(held.offset, 0.25);
        let fixed = fit(&x, &y, Model::LinearOffset { low: 0.4, high: 0.4 });
        assert!((fixed.exponent + 0.5).abs() < 1e-12 && fixed.offset == 0.4, "{fixed:?}");
    }

    #[test]
    fn robust_fits_ignore_one_wild_point() {
        let x = octaves(13);
        let mut y: Vec<f64> = x.iter().enumerate().map(|(i, &x)| libm::log(x) * 0.7 + 0.01 * (i % 3) as f64).collect();
        y[4] += 5.0;
        let noise = Noise::Weights(vec![1.0; 13]);
        let robust = Fitter::new(&x, Model::LogLog, &noise, true).unwrap().fit(&y, None, &mut Scratch::default());
        assert!((robust.exponent - 0.7).abs() < 0.01, "{robust:?}");
    }

    #[test]
    fn bad_designs_are_refused() {
        let noise = Noise::Weights(vec![1.0; 2]);
        assert!(Fitter::new(&[1.0, -2.0], Model::LogLog, &noise, false).is_err());
        assert!(Fitter::new(&[2.0, 2.0], Model::LogLog, &noise, false).is_err());
        assert!(Fitter::new(&[1.0, 2.0], FREE, &noise, false).is_err());
        let singular = Noise::Covariance(vec![1.0, 1.0, 1.0, 1.0]);
        assert!(Fitter::new(&[1.0, 2.0], Model::LogLog, &singular, false).is_err());
    }
}
