//! Least-squares fits of y = A x^b + C to a curve, in log-log or in linear space.
//!
//! With u = log x - mean(log x), the curve is written as A' e^(b u) + C and only the exponent b (or, in the paper's form,
//! the offset C) is searched for: the other parameters enter linearly and are solved exactly (variable projection;
//! Golub & Pereyra 1973). A coarse scan over a fixed grid finds the valley of the global minimum, a bracketed search for
//! the zero of the derivative ends it to full precision. No start value is needed.
//!
//! Near b = 0 the columns e^(b u) and 1 become one; (e^(b u) - 1) / b in place of the first keeps the problem smooth there
//! and turns into the logarithm at b = 0.

use crate::{Error, Result};

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
const HUBER: f64 = 1.345;
/// median(|normal|).
const NORMAL_MAD: f64 = 0.674_489_750_196_081_7;

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
        if let Some(bad) = x.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
            return Err(Error::invalid("x", bad.to_string(), "positive numbers"));
        }
        let mut sorted = x.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.dedup();
        if sorted.len() < model.parameters() {
            return Err(Error::invalid(
                "x",
                format!("{} different values", sorted.len()),
                format!("at least {}, the parameters of the law", model.parameters()),
            ));
        }
        if let Model::LinearOffset { low, high } | Model::LogOffset { low, high } = model
            && (low > high || low.is_nan() || high.is_nan())
        {
            return Err(Error::invalid("offset_bounds", format!("({low}, {high})"), "low <= high"));
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
                if let Some(bad) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
                    return Err(Error::invalid("weights", bad.to_string(), "positive numbers"));
                }
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
            if scale <= 0.0 || scale.is_nan() {
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

/// (e^(b u) - 1) / b, u at b = 0.
fn box_cox(b: f64, u: f64) -> f64 {
    if b == 0.0 { u } else { libm::expm1(b * u) / b }
}

/// Its derivative in b: (b u e^(b u) - e^(b u) + 1) / b^2; as a series where that cancels.
fn box_cox_derivative(b: f64, u: f64) -> f64 {
    let z = b * u;
    if z.abs() < 0.03 {
        // u^2 sum over k of z^k / (k! (k + 2)); the first term left out is 1e-15 of the sum
        return u
            * u
            * (0.5
                + z * (1.0 / 3.0 + z * (0.125 + z * (1.0 / 30.0 + z * (1.0 / 144.0 + z / 840.0 + z * z / 5760.0)))));
    }
    (z * libm::exp(z) - libm::expm1(z)) / (b * b)
}

/// Weighted least squares of `target` on `column` and `ones`: (coefficient of the column, of the ones).
fn regress(column: &[f64], ones: &[f64], target: &[f64], weights: &[f64]) -> (f64, f64) {
    let (mut oo, mut oc, mut ot) = (0.0, 0.0, 0.0);
    for i in 0..column.len() {
        let weighted = weights[i] * ones[i];
        oo += weighted * ones[i];
        oc += weighted * column[i];
        ot += weighted * target[i];
    }
    let (column_level, target_level) = (oc / oo, ot / oo);
    let (mut cc, mut ct) = (0.0, 0.0);
    for i in 0..column.len() {
        let away = column[i] - column_level * ones[i];
        cc += weights[i] * away * away;
        ct += weights[i] * away * (target[i] - target_level * ones[i]);
    }
    let slope = ct / cc;
    (slope, target_level - slope * column_level)
}

fn lowest(profile: &[f64]) -> usize {
    (0..profile.len()).filter(|&k| !profile[k].is_nan()).min_by(|&a, &b| profile[a].total_cmp(&profile[b])).unwrap_or(0)
}

/// The minimum between `left` and `right` of a function that is lowest at `middle` among the three, from its slope:
/// bracketed secant steps (Illinois) on the side where the slope points down, bisection where they stall.
fn descend(left: f64, middle: f64, right: f64, mut slope: impl FnMut(f64) -> f64) -> f64 {
    let at_middle = slope(middle);
    if at_middle == 0.0 || at_middle.is_nan() {
        return middle;
    }
    let (mut a, mut slope_a) = (middle, at_middle);
    let mut b = if at_middle > 0.0 { left } else { right };
    if a == b {
        return a; // at the end of the range
    }
    let mut slope_b = slope(b);
    if slope_b * slope_a > 0.0 || slope_b.is_nan() {
        // The function falls at both ends: its minimum is at b, or between in a second valley that the grid did not see.
        if b == left || b == right {
            let inside = 0.5 * (a + b);
            slope_b = slope(inside);
            if slope_b * slope_a > 0.0 {
                return b;
            }
            b = inside;
        }
    }
    let mut last_width = (b - a).abs();
    for step in 0..200 {
        let secant = a - slope_a * (b - a) / (slope_b - slope_a);
        let width = (b - a).abs();
        let inside = (secant - a) * (secant - b) < 0.0;
        let next = if inside && (step % 3 != 2 || width < 0.5 * last_width) { secant } else { 0.5 * (a + b) };
        if step % 3 == 2 {
            last_width = width;
        }
        let at_next = slope(next);
        if at_next == 0.0 {
            return next;
        }
        if at_next * slope_b < 0.0 {
            (a, slope_a) = (b, slope_b);
        } else {
            slope_a *= 0.5;
        }
        let moved = (next - b).abs();
        (b, slope_b) = (next, at_next);
        if moved <= 1e-15 * next.abs() || (b - a).abs() <= 4.0 * f64::EPSILON * b.abs().max(f64::MIN_POSITIVE) {
            break;
        }
    }
    b
}

/// Row by row, the inverse of the lower Cholesky factor.
fn inverse_cholesky(covariance: &[f64], points: usize) -> Result<Vec<f64>> {
    let wrong = |found: String| Error::invalid("covariance", found, "a symmetric positive definite matrix");
    if covariance.len() != points * points {
        return Err(wrong(format!("{} values for {points} points", covariance.len())));
    }
    let factor = cholesky(covariance, points).ok_or_else(|| wrong("a matrix that is not positive definite".into()))?;
    let mut inverse = vec![0.0; points * points];
    for j in 0..points {
        inverse[j * points + j] = 1.0 / factor[j * points + j];
        for i in j + 1..points {
            let sum: f64 = (j..i).map(|k| factor[i * points + k] * inverse[k * points + j]).sum();
            inverse[i * points + j] = -sum / factor[i * points + i];
        }
    }
    Ok(inverse)
}

/// The lower Cholesky factor, row by row; none where the matrix is not positive definite (to rounding).
pub fn cholesky(matrix: &[f64], points: usize) -> Option<Vec<f64>> {
    let mut factor = vec![0.0; points * points];
    for i in 0..points {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| factor[i * points + k] * factor[j * points + k]).sum();
            let rest = matrix[i * points + j] - sum;
            if i == j {
                // A pivot this small is rounding: the matrix is singular.
                if rest <= 1e-14 * matrix[i * points + i] || rest.is_nan() {
                    return None;
                }
                factor[i * points + i] = rest.sqrt();
            } else {
                factor[i * points + j] = rest / factor[j * points + j];
            }
        }
    }
    Some(factor)
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
