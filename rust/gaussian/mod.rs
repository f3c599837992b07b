//! The hierarchical Gaussian language: a Gaussian sequence of length L = 4^k whose information is known exactly.
//!
//! Construction (Chen et al., Appendix C). Layer 1 is Y = M X with four iid N(0, 1). Layer k puts `children` independent
//! copies of layer k-1's output (length n) and fresh N(0, 1) side by side as an n x 4 array U, applies M to every row, and
//! mixes the two values at each row boundary, so that their correlation becomes r':
//!
//! ```text
//!     M = [[ g,  g,  g, r],      U (n x 4) ---- M ----> Y (n x 4) ---- mix (Y_i4, Y_{i+1,1}) ----> Z, read row by row
//!          [-g,  g, -g, r],
//!          [-g, -g,  g, r],      g = sqrt(5)/4, r = 1/4;   a' = p a + q b,  b' = q a + p b
//!          [ g, -g, -g, r]]
//! ```
//!
//! Exact conditionals in O(L). Suppose all rows before i are known. M is invertible, so the lower copies are known up to
//! there, and row i is M applied to `children` independent one-step predictions and N(0, 1): four Gaussians, conditioned
//! entry by entry. At a boundary the pair (a, b) = (Y_i4, Y_{i+1,1}) is seen through its mix only; b's prediction is
//! affine in a through the lower layer's gain, so (a, b) is a two-dimensional Gaussian, and both mixed values give a and b
//! back exactly. None of the coefficients ([`Row`]) depends on the data, so they are computed once, layer by layer.
//!
//! - this file: the law: coefficients, conditional deviations, information at every split, correlations
//! - [`noise`]: counter-based normals, the same on every machine
//! - [`passes`]: samples with conditional means, and the innovations of given sequences, many sequences at a time
//! - [`filter`]: the same conditionals one value at a time

mod filter;
mod noise;
mod passes;

use std::collections::HashMap;

use rayon::prelude::*;

use crate::monitor::Monitor;
use crate::{Error, Result};

pub use filter::Filter;
pub use passes::{Real, SMALL, Shape};

/// Signs of M's columns: M = SIGNS * diag(g, g, g, r).
const SIGNS: [[f64; 4]; 4] =
    [[1.0, 1.0, 1.0, 1.0], [-1.0, 1.0, -1.0, 1.0], [-1.0, -1.0, 1.0, 1.0], [1.0, -1.0, -1.0, 1.0]];
const G: f64 = 0.559_016_994_374_947_4; // sqrt(5) / 4
const R: f64 = 0.25;
const G2: f64 = 5.0 / 16.0;
const R2: f64 = 1.0 / 16.0;
/// Every pair within a row of M X, X of unit variances, has this correlation.
const WITHIN_ROW: f64 = R2 - G2;

pub const MAX_LAYERS: usize = 10;

/// What the correlation of the two values at a row boundary becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Two fifths of the correlations inside both rows, one fifth of the old one: gives both laws of the paper's figure.
    Weighted,
    /// As printed in the paper, ending in a bare "+ 1/5": r' = 0, and the logarithmic family becomes constant.
    Printed,
}

/// Coefficients of one row of a layer, and of the boundary to the next row. None depends on the data.
///
/// With d = M (U - prediction of U), the innovations of the row's entries are d_1,
/// d_2 - k\[0\] d_1, d_3 - k\[1\] d_1 - k\[2\] d_2 and alpha = d_4 - k\[3\] d_1 - k\[4\] d_2 - k\[5\] d_3.
#[derive(Debug, Clone, Copy)]
struct Row {
    regression: [f64; 6],
    /// The mix with the next row; (1, 0) where there is none.
    p: f64,
    q: f64,
    /// The lower layer's gain from this row to the next: how its prediction of entry i+1 moves with the innovation of i.
    lower_gain: f64,
    /// The gain from the mixed entry 4 to the mixed entry 1 of the next row.
    gain: f64,
}

impl Row {
    /// How the prediction of b = Y_{i+1,1} moves with the innovation of a = Y_i4.
    fn carry(&self, children: usize) -> f64 {
        self.lower_gain * overlap(children, 3, 0) / 4.0
    }

    /// (a, b) from its mix (a', b').
    fn unmix(&self, a: f64, b: f64) -> (f64, f64) {
        let scale = 1.0 / (self.p * self.p - self.q * self.q);
        ((self.p * a - self.q * b) * scale, (self.p * b - self.q * a) * scale)
    }
}

/// sum over the first `children` columns j of SIGNS[a][j] SIGNS[b][j].
fn overlap(children: usize, a: usize, b: usize) -> f64 {
    (0..children).map(|j| SIGNS[a][j] * SIGNS[b][j]).sum()
}

#[derive(Debug)]
struct Layer {
    /// Copies of the layer below; 0 in layer 1.
    children: usize,
    rows: Vec<Row>,
    /// Cov(Y_ia, Y_jb) = copies\[a\]\[b\] Cov(U_i, U_j) + fresh\[a\]\[b\] (i = j).
    copies: [[f64; 4]; 4],
    fresh: [[f64; 4]; 4],
}

/// What a layer must know about the output of the layer below.
struct Output {
    /// Var(Z_t | Z_<t).
    variance: Vec<f64>,
    /// d E[Z_{t+1} | Z_<=t] / d Z_t.
    gain: Vec<f64>,
    /// Corr(Z_t, Z_{t+1}).
    neighbour: Vec<f64>,
}

impl Output {
    fn independent() -> Self {
        Self { variance: vec![1.0], gain: vec![0.0], neighbour: vec![0.0] }
    }

    /// I(first half; second half). By reversal symmetry H(second half) = H(first half).
    fn half_information(&self) -> f64 {
        let (first, second) = self.variance.split_at(self.variance.len() / 2);
        let log = |part: &[f64]| compensated_sums(part.iter().map(|variance| 0.5 * variance.ln())).last().copied();
        log(first).unwrap_or(0.0) - log(second).unwrap_or(0.0)
    }
}

/// The exact law of the language with a given number of layers.
#[derive(Debug)]
pub struct Law {
    boundary: Boundary,
    layers: Vec<Layer>,
    variance: Vec<f64>,
    half_information: Vec<f64>,
}

impl Law {
    /// `children`: copies of the layer below, one entry for each layer from layer 2 on; the length is 4^(entries + 1).
    pub fn new(children: &[usize], boundary: Boundary) -> Result<Self> {
        if children.len() >= MAX_LAYERS {
            return Err(Error::invalid(
                "children",
                format!("{} entries, a length of 4^{}", children.len(), children.len() + 1),
                format!("at most {} entries, a length of 4^{MAX_LAYERS} = 1,048,576", MAX_LAYERS - 1),
            ));
        }
        if let Some(wrong) = children.iter().find(|copies| !(1..=3).contains(*copies)) {
            return Err(Error::invalid("children", wrong.to_string(), "1, 2 or 3"));
        }
        let mut output = Output::independent();
        let mut layers = Vec::new();
        let mut half_information = Vec::new();
        for &copies in std::iter::once(&0).chain(children) {
            let (layer, next) = build(copies, boundary, &output);
            half_information.push(next.half_information());
            layers.push(layer);
            output = next;
        }
        Ok(Self { boundary, layers, variance: output.variance, half_information })
    }

    pub fn boundary(&self) -> Boundary {
        self.boundary
    }

    /// Copies of the layer below, for each layer from layer 2 on.
    pub fn children(&self) -> impl Iterator<Item = usize> + '_ {
        self.layers[1..].iter().map(|layer| layer.children)
    }

    /// L.
    pub fn length(&self) -> usize {
        self.variance.len()
    }

    /// The standard deviation of Z_t given Z_<t, for every t.
    pub fn conditional_std(&self) -> Vec<f64> {
        self.variance.iter().map(|variance| variance.sqrt()).collect()
    }

    /// I_BP(L/2; L) of the laws of length 4, 16, ..., L made of the first layers of this one.
    pub fn half_information(&self) -> &[f64] {
        &self.half_information
    }

    /// I_BP(l; L) for l = 0, 1, ..., L. The law is symmetric under reversal, so that H(Y) is the entropy of a prefix:
    /// I = S(l) + S(L - l) - S(L) with S(l) the sum of the first l log standard deviations.
    pub fn bipartite_information(&self) -> Vec<f64> {
        let mut sums = vec![0.0];
        sums.extend(compensated_sums(self.variance.iter().map(|variance| 0.5 * variance.ln())));
        let length = self.length();
        (0..=length).map(|split| sums[split] + sums[length - split] - sums[length]).collect()
    }

    /// Cov(Z_i, Z_j), which is the correlation since all variances are 1. O(log L).
    pub fn correlation(&self, i: usize, j: usize) -> f64 {
        // By construction; the recursion leaves rounding.
        if i == j { 1.0 } else { covariance_window(&self.layers, i, j)[0][0] }
    }

    /// For each distance, the correlation Corr(Z_t, Z_{t+d}) and the information -1/2 ln(1 - Corr^2), averaged over all t. O(L)
    /// a distance.
    pub fn two_point(&self, distances: &[usize], monitor: &Monitor) -> Result<(Vec<f64>, Vec<f64>)> {
        monitor.set_total(distances.len() as u64);
        let length = self.length();
        let means = |&distance: &usize| {
            if distance == 0 || distance >= length {
                let expected = format!("distances from 1 to {}", length - 1);
                return Err(Error::invalid("distances", distance.to_string(), expected));
            }
            let (depth, mut lagged) = (self.layers.len(), Lagged { layers: &self.layers, known: HashMap::new() });
            lagged.ensure(depth, distance);
            let values = &lagged.known[&(depth, distance)];
            let mean = |f: &dyn Fn(f64) -> f64| values.iter().map(|&r| f(r)).sum::<f64>() / values.len() as f64;
            monitor.advance(1)?;
            Ok((mean(&|r| r), mean(&|r| -0.5 * (-r * r).ln_1p())))
        };
        distances.par_iter().map(means).collect()
    }

    /// [`Law::correlation`] of many pairs, positions checked.
    pub fn correlations(&self, i: &[i64], j: &[i64]) -> Result<Vec<f64>> {
        let inside = |position: i64| {
            usize::try_from(position).ok().filter(|&position| position < self.length()).ok_or_else(|| {
                let expected = format!("positions from 0 to {}", self.length() - 1);
                Error::invalid("i, j", position.to_string(), expected)
            })
        };
        i.iter().zip(j).map(|(&i, &j)| Ok(self.correlation(inside(i)?, inside(j)?))).collect()
    }
}

/// Running sums with Neumaier's compensation: the information at a split is a small difference of large sums.
fn compensated_sums(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    values
        .map(|value| {
            let next = sum + value;
            lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
            sum = next;
            sum + lost
        })
        .collect()
}

/// One layer over the output of the layer below.
fn build(children: usize, boundary: Boundary, lower: &Output) -> (Layer, Output) {
    let n = lower.variance.len();
    let mut rows = Vec::with_capacity(n);
    let mut output = Output {
        variance: Vec::with_capacity(4 * n),
        gain: Vec::with_capacity(4 * n),
        neighbour: Vec::with_capacity(4 * n),
    };
    // Variances of d_1 and of the innovation of the last entry; the row's own regression.
    let within: Vec<WithinRow> = lower.variance.iter().map(|&variance| WithinRow::new(children, variance)).collect();
    let cross = |from: usize, to: usize, i: usize| G2 * overlap(children, from, to) * lower.neighbour[i];
    let gain = |from: usize, to: usize, i: usize| lower.gain[i] * overlap(children, from, to) / 4.0;

    let mut before: Option<Row> = None;
    for i in 0..n {
        let row = &within[i];
        let k = row.regression;
        // Entry 1, mixed with the last of the row before.
        if let Some(before) = before {
            let (p, q) = (before.p, before.q);
            let determinant = p * p - q * q;
            let through_a = p + q * before.carry(children);
            let mixed = through_a * through_a * within[i - 1].last + q * q * row.first;
            output.variance.push(determinant * determinant * within[i - 1].last * row.first / mixed);
            output.gain.push((k[0] * through_a - gain(3, 1, i - 1) * q) / determinant);
            output.neighbour.push(q * cross(3, 1, i - 1) + p * WITHIN_ROW);
        } else {
            output.variance.push(row.first);
            output.gain.push(k[0]);
            output.neighbour.push(WITHIN_ROW);
        }
        output.variance.extend([row.second, row.third]);
        output.gain.push(k[2]);
        output.neighbour.push(WITHIN_ROW);
        // Entries 3 and 4, the latter mixed with the first of the next row.
        let mut current = Row { regression: k, p: 1.0, q: 0.0, lower_gain: lower.gain[i], gain: 0.0 };
        if i + 1 < n {
            let old = cross(3, 0, i);
            let new = match boundary {
                Boundary::Weighted => 0.8 * WITHIN_ROW + 0.2 * old,
                Boundary::Printed => 0.8 * WITHIN_ROW + 0.2,
            };
            let (sum, difference) = (((1.0 + new) / (1.0 + old)).sqrt(), ((1.0 - new) / (1.0 - old)).sqrt());
            let (p, q) = ((sum + difference) / 2.0, (sum - difference) / 2.0);
            let carry = current.carry(children);
            let (to_last, to_next) = (p + q * carry, q + p * carry);
            let next_first = within[i + 1].first;
            let mixed = to_last * to_last * row.last + q * q * next_first;
            (current.p, current.q) = (p, q);
            current.gain = (to_last * to_next * row.last + p * q * next_first) / mixed;
            output.variance.push(mixed);
            output.gain.push(p * k[5] + q * (gain(2, 0, i) + carry * k[5]));
            output.neighbour.extend([p * WITHIN_ROW + q * cross(2, 0, i), new]);
        } else {
            output.variance.push(row.last);
            output.gain.push(k[5]);
            output.neighbour.extend([WITHIN_ROW, 0.0]);
        }
        output.gain.push(current.gain);
        rows.push(current);
        before = Some(current);
    }
    let table = |entry: &dyn Fn(usize, usize) -> f64| std::array::from_fn(|a| std::array::from_fn(|b| entry(a, b)));
    let copies = table(&|a, b| G2 * overlap(children, a, b));
    let fresh = table(&|a, b| (children..4).map(|j| SIGNS[a][j] * SIGNS[b][j] * if j < 3 { G2 } else { R2 }).sum());
    (Layer { children, rows, copies, fresh }, output)
}

/// A row before mixing: M applied to `children` Gaussians of one variance and standard normals.
struct WithinRow {
    regression: [f64; 6],
    /// Variances of the four entries, each given those before it.
    first: f64,
    second: f64,
    third: f64,
    last: f64,
}

impl WithinRow {
    fn new(children: usize, variance: f64) -> Self {
        // Covariance and precision are sums over columns of (signs of a) (signs of b) times a weight, and the products of
        // M's rows of signs form a group: entries 12 = 34, 13 = 24, 14 = 23, all diagonal entries equal.
        let entries = |weight: [f64; 4]| {
            let [a, b, c, d] = weight;
            (a + b + c + d, -a + b - c + d, -a - b + c + d, a - b - c + d)
        };
        let spread = |j: usize| if j < children { variance } else { 1.0 };
        let (s11, s12, s13, s23) = entries([G2 * spread(0), G2 * spread(1), G2 * spread(2), R2]);
        // M^-1 = diag(4 g / 5, 4 g / 5, 4 g / 5, 1) SIGNS', so the precision's weights are (4 g / 5)^2 = 1/5 and 1.
        let (t44, t34, t24, t14) = entries([0.2 / spread(0), 0.2 / spread(1), 0.2 / spread(2), 1.0]);
        let determinant = s11 * s11 - s12 * s12;
        let (k31, k32) = ((s13 * s11 - s23 * s12) / determinant, (s23 * s11 - s13 * s12) / determinant);
        Self {
            regression: [s12 / s11, k31, k32, -t14 / t44, -t24 / t44, -t34 / t44],
            first: s11,
            second: determinant / s11,
            third: s11 - k31 * s13 - k32 * s23,
            last: 1.0 / t44,
        }
    }
}

impl Layer {
    /// Value t of the layer as weights of entries (row, column) before mixing.
    fn parts(&self, t: usize) -> ([(f64, usize, usize); 2], usize) {
        let (row, column) = (t / 4, t % 4);
        match column {
            0 if row > 0 => ([(self.rows[row - 1].p, row, 0), (self.rows[row - 1].q, row - 1, 3)], 2),
            3 if row + 1 < self.rows.len() => ([(self.rows[row].p, row, 3), (self.rows[row].q, row + 1, 0)], 2),
            _ => ([(1.0, row, column); 2], 1),
        }
    }

    /// Cov(Z_s, Z_t) from the covariance `lower(i, j)` of values i and j of a copy of the layer below.
    fn covariance(&self, s: usize, t: usize, lower: impl Fn(usize, usize) -> f64) -> f64 {
        let ((of_s, n_s), (of_t, n_t)) = (self.parts(s), self.parts(t));
        let mut covariance = 0.0;
        for &(weight_s, row_s, column_s) in &of_s[..n_s] {
            for &(weight_t, row_t, column_t) in &of_t[..n_t] {
                let copies = self.copies[column_s][column_t] * lower(row_s, row_t);
                let fresh = if row_s == row_t { self.fresh[column_s][column_t] } else { 0.0 };
                covariance += weight_s * weight_t * (copies + fresh);
            }
        }
        covariance
    }
}

/// Cov(Z_s, Z_t) for s in (i, i+1), t in (j, j+1) of the top layer; 0 past the end.
///
/// Each pair of neighbours is made of two neighbouring rows at most, so that a window of 2 x 2 is closed under the recursion.
fn covariance_window(layers: &[Layer], i: usize, j: usize) -> [[f64; 2]; 2] {
    let Some((layer, lower)) = layers.split_last() else {
        return std::array::from_fn(|a| std::array::from_fn(|b| f64::from(u8::from(i + a == 0 && j + b == 0))));
    };
    // The first of the rows that values t and t + 1 are made of.
    let base = |t: usize| if t.is_multiple_of(4) { (t / 4).saturating_sub(1) } else { t / 4 };
    let (row_i, row_j) = (base(i), base(j));
    let below = covariance_window(lower, row_i, row_j);
    let length = 4 * layer.rows.len();
    std::array::from_fn(|a| {
        std::array::from_fn(|b| {
            let (s, t) = (i + a, j + b);
            if s >= length || t >= length {
                return 0.0;
            }
            layer.covariance(s, t, |row_s, row_t| below[row_s - row_i][row_t - row_j])
        })
    })
}

/// Cov(Z_t, Z_{t+lag}) for all t, for one lag after another. A layer needs at most five lags of the layer below, so one lag
/// takes O(L).
struct Lagged<'a> {
    layers: &'a [Layer],
    /// (layers below and with, lag) -> covariances.
    known: HashMap<(usize, usize), Vec<f64>>,
}

impl Lagged<'_> {
    fn ensure(&mut self, depth: usize, lag: usize) {
        if self.known.contains_key(&(depth, lag)) {
            return;
        }
        let length = 1 << (2 * depth);
        let mut values = Vec::new();
        if depth == 0 {
            values.extend((lag == 0).then_some(1.0));
        } else if lag < length {
            let first = (lag / 4).saturating_sub(1);
            let lags = first..=lag / 4 + 2;
            lags.clone().for_each(|lag| self.ensure(depth - 1, lag));
            let below: Vec<&[f64]> = lags.map(|lag| &self.known[&(depth - 1, lag)][..]).collect();
            let lower = |i: usize, j: usize| below[i.abs_diff(j) - first][i.min(j)];
            values = (0..length - lag).map(|t| self.layers[depth - 1].covariance(t, t + lag, lower)).collect();
        }
        self.known.insert((depth, lag), values);
    }
}
