//! The exact permutation null: what the joint entropy of two *independent* sequences with the observed margins is
//! expected to be, for the same estimator and the same number of pairs.
//!
//! Under fixed margins a cell of the joint table is hypergeometric (Vinh, Epps & Bailey, JMLR 2010), so for an estimator
//! H = log N - (1/N) sum f(n) with f(n) = n g(n)
//!
//! E[H_XY] = log N - (1/N) sum over a, b of phi_X(a) phi_Y(b) E[f(n; a, b, N)],
//!
//! a sum over *different* marginal counts. Small problems are summed exactly. Else, with lambda = ab/N,
//!
//! E[f(n)] = sum_k c_k E_Poisson(lambda)[Delta^k f(n)], k = 0, 2, 3, 4,
//!
//! where c_k are the hypergeometric's factorial moments about lambda, in the closed forms of [`coefficients`] (no
//! cancellation), the Poisson means are tabulated over log lambda, and counts above 64 are gathered in bins 15 % wide,
//! each replaced by the two nodes that keep its first four moments (0 to 3).

use std::sync::OnceLock;

use crate::entropy::Estimator;
use crate::fingerprint::Fingerprint;
use crate::{Error, Result};

/// Exact sums are taken up to this many terms (about 10 ms).
const EXACT_TERMS: f64 = 2e6;

/// E[H_XY] in nats under independence with these margins. NaN where there are no pairs.
///
/// Fails for an estimator that is not a sum over symbols, and for margins of different totals.
pub fn expected_joint_entropy(estimator: Estimator, x: &Fingerprint, y: &Fingerprint) -> Result<f64> {
    let null = Null::of(estimator)?;
    let pairs = same_total(x, y)?;
    if pairs == 0 {
        return Ok(f64::NAN);
    }
    let sum = if exact_terms(x, y) <= EXACT_TERMS {
        null.exact_sum(&nodes_of(x), &nodes_of(y), pairs as f64)
    } else {
        null.expanded_sum(x, y)
    };
    Ok((pairs as f64).ln() - sum)
}

/// The same, summed exactly whatever it costs: the oracle.
pub fn expected_joint_entropy_exact(estimator: Estimator, x: &Fingerprint, y: &Fingerprint) -> Result<f64> {
    let null = Null::of(estimator)?;
    let pairs = same_total(x, y)? as f64;
    Ok(pairs.ln() - null.exact_sum(&nodes_of(x), &nodes_of(y), pairs))
}

fn same_total(x: &Fingerprint, y: &Fingerprint) -> Result<u64> {
    if x.total() != y.total() {
        let found = format!("{} and {} pairs", x.total(), y.total());
        return Err(Error::invalid("margins", found, "two margins of the same pairs"));
    }
    Ok(x.total())
}

/// A marginal count and how many symbols have it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    count: f64,
    symbols: f64,
}

fn nodes_of(fingerprint: &Fingerprint) -> Vec<Node> {
    fingerprint.iter().map(|(count, symbols)| Node { count: count as f64, symbols: symbols as f64 }).collect()
}

/// Terms of the exact sum: the width of a cell's distribution, 12 standard deviations to either side.
fn exact_terms(x: &Fingerprint, y: &Fingerprint) -> f64 {
    let pairs = x.total() as f64;
    let cells = x.iter().len() as f64 * y.iter().len() as f64;
    if cells > EXACT_TERMS {
        return cells;
    }
    let width = |a: u64, b: u64| (a.min(b) as f64).min(24.0 * (a as f64 * b as f64 / pairs).sqrt() + 24.0) + 4.0;
    x.iter().map(|(a, _)| y.iter().map(|(b, _)| width(a, b)).sum::<f64>()).sum()
}

const BIN_FROM: u64 = 64;
const BIN_WIDTH: f64 = 0.15;

/// Counts up to 64 as they are; above, bins that keep number, mean, variance and skewness (two Gauss nodes a bin). Counts
/// above half the total are left out: see [`Null::expanded_sum`].
fn binned(fingerprint: &Fingerprint) -> Vec<Node> {
    let half = fingerprint.total() / 2;
    let mut nodes = Vec::new();
    let mut bin: Vec<Node> = Vec::new();
    let mut number = 0;
    for (count, symbols) in fingerprint.iter().take_while(|&(count, _)| count <= half) {
        let node = Node { count: count as f64, symbols: symbols as f64 };
        if count <= BIN_FROM {
            nodes.push(node);
            continue;
        }
        let its_bin = ((count as f64 / BIN_FROM as f64).ln() / BIN_WIDTH) as i64;
        if its_bin != number {
            close_bin(&mut bin, &mut nodes);
            number = its_bin;
        }
        bin.push(node);
    }
    close_bin(&mut bin, &mut nodes);
    nodes
}

fn close_bin(bin: &mut Vec<Node>, nodes: &mut Vec<Node>) {
    if bin.len() <= 2 {
        nodes.append(bin);
        return;
    }
    let symbols: f64 = bin.iter().map(|node| node.symbols).sum();
    let mean = bin.iter().map(|node| node.symbols * node.count).sum::<f64>() / symbols;
    let moment =
        |power: i32| bin.iter().map(|node| node.symbols * (node.count - mean).powi(power)).sum::<f64>() / symbols;
    let deviation = moment(2).sqrt();
    let half_skew = 0.5 * moment(3) / deviation.powi(3);
    let root = (1.0 + half_skew * half_skew).sqrt();
    for sign in [-1.0, 1.0] {
        nodes.push(Node {
            count: mean + deviation * (half_skew + sign * root),
            symbols: symbols * 0.5 * (1.0 - sign * half_skew / root),
        });
    }
    bin.clear();
}

/// g of one estimator, with its Poisson means.
struct Null {
    g: fn(u64) -> f64,
    /// g(1), g(2), ..., as far as it is worth keeping.
    table: Vec<f64>,
    means: PoissonMeans,
}

impl Null {
    fn of(estimator: Estimator) -> Result<&'static Null> {
        static NULLS: OnceLock<Vec<(Estimator, Null)>> = OnceLock::new();
        let nulls = NULLS.get_or_init(|| {
            let additive = |&estimator: &Estimator| estimator.summand().map(|g| (estimator, g));
            let build = |(estimator, g): (Estimator, fn(u64) -> f64)| {
                (estimator, Null { g, table: (1..=1 << 16).map(g).collect(), means: PoissonMeans::new(g) })
            };
            Estimator::ALL.iter().filter_map(additive).map(build).collect()
        });
        nulls.iter().find(|(known, _)| *known == estimator).map(|(_, null)| null).ok_or_else(|| {
            let known: Vec<_> = nulls.iter().map(|(estimator, _)| estimator.name()).collect();
            Error::invalid(
                "estimator",
                format!("{:?}, which is not a sum over symbols and has no exact null", estimator.name()),
                format!("one of {}, or null \"none\"", known.join(", ")),
            )
        })
    }

    /// (1/N) sum of E[n g(n)], each expectation summed over the support.
    fn exact_sum(&self, x: &[Node], y: &[Node], pairs: f64) -> f64 {
        let mut total = 0.0;
        for a in x {
            let row: f64 =
                y.iter().map(|b| b.symbols * b.count * self.mean_hypergeometric(a.count, b.count, pairs)).sum();
            total += a.symbols * (a.count / pairs) * row;
        }
        total / pairs
    }

    /// (1/N) sum of E[n g(n)], by the expansion about the Poisson law. Where a symbol holds a good part of all pairs, its
    /// cells are far from Poisson, and G's alternation between odd and even n shows: above N/2 (at most one symbol
    /// a side) cells are summed exactly, above N/64 those with small counts of the other side are.
    fn expanded_sum(&self, x: &Fingerprint, y: &Fingerprint) -> f64 {
        let total = x.total();
        let pairs = total as f64;
        let dominant = |margin: &Fingerprint| {
            let heavy = margin.iter().find(|&(count, _)| count > total / 2);
            heavy.map(|(count, symbols)| [Node { count: count as f64, symbols: symbols as f64 }])
        };
        let (dominant_x, dominant_y) = (dominant(x), dominant(y));
        let mut sum = 0.0;
        if let Some(a) = &dominant_x {
            sum += self.exact_sum(a, &nodes_of(y), pairs);
        }
        if let Some(b) = &dominant_y {
            let others: Vec<Node> = nodes_of(x).into_iter().filter(|node| node.count <= pairs / 2.0).collect();
            sum += self.exact_sum(&others, b, pairs);
        }
        sum + self.poisson_sum(&binned(x), &binned(y), pairs)
    }

    fn poisson_sum(&self, x: &[Node], y: &[Node], pairs: f64) -> f64 {
        let logs: Vec<f64> = y.iter().map(|node| node.count.ln() - pairs.ln()).collect();
        let (heavy, small) = (pairs / 64.0, BIN_FROM as f64);
        let mut total = 0.0;
        for a in x {
            let log_a = a.count.ln();
            let mut row = 0.0;
            for (b, log_b) in y.iter().zip(&logs) {
                let mean = if (a.count > heavy && b.count <= small) || (b.count > heavy && a.count <= small) {
                    self.mean_hypergeometric(a.count, b.count, pairs)
                } else {
                    let lambda = a.count * b.count / pairs;
                    let [c2, c3, c4] = coefficients(a.count, b.count, pairs);
                    let [e0, e2, e3, e4] = self.means.at(log_a + log_b, lambda);
                    let scale = 1.0 / (1.0 + lambda);
                    e0 + scale * (c2 * e2 + scale * (c3 * e3 + scale * c4 * e4))
                };
                row += b.symbols * b.count * mean;
            }
            total += a.symbols * (a.count / pairs) * row;
        }
        total / pairs
    }

    /// g(m + 1)
    #[inline]
    fn after(&self, m: f64) -> f64 {
        self.table.get(m as usize).copied().unwrap_or_else(|| (self.g)(m as u64 + 1))
    }

    /// E[n g(n)] / lambda of a hypergeometric n (a marked, b drawn, of `pairs`) = E[g(m + 1)] with m hypergeometric
    /// (a - 1, b - 1, pairs - 1). Weights run from the mode both ways and are normalised by their sum: no log-gamma.
    fn mean_hypergeometric(&self, a: f64, b: f64, pairs: f64) -> f64 {
        let (a, b, rest) = (a - 1.0, b - 1.0, pairs - 1.0);
        let lowest = (a + b - rest).max(0.0);
        let highest = a.min(b);
        let mode = ((a + 1.0) * (b + 1.0) / (rest + 2.0)).floor().clamp(lowest, highest);
        const NEGLIGIBLE: f64 = 1e-20;
        let (mut weights, mut sum) = (1.0, self.after(mode));
        let (mut m, mut weight) = (mode, 1.0);
        while m < highest && weight > NEGLIGIBLE {
            weight *= (a - m) * (b - m) / ((m + 1.0) * (rest - a - b + m + 1.0));
            m += 1.0;
            weights += weight;
            sum += weight * self.after(m);
        }
        (m, weight) = (mode, 1.0);
        while m > lowest && weight > NEGLIGIBLE {
            weight *= m * (rest - a - b + m) / ((a - m + 1.0) * (b - m + 1.0));
            m -= 1.0;
            weights += weight;
            sum += weight * self.after(m);
        }
        sum / weights
    }
}

/// c_2/lambda, c_3/lambda, c_4/lambda: (1/k!) E[sum_j (-1)^(k-j) binom(k, j) lambda^(k-j) n_(j)] of the hypergeometric law.
///
/// With u_j = (a-j)(b-j)/(N-j) the factorial moments are lambda u_1 ... u_(k-1). Written with e_j = u_j - lambda and the
/// second and third differences of u in closed form, R = (N-a)(N-b): no two large terms are subtracted.
fn coefficients(a: f64, b: f64, pairs: f64) -> [f64; 3] {
    let lambda = a * b / pairs;
    let cross = a * b - pairs * (a + b);
    let e = |j: f64| j * (cross + j * pairs) / (pairs * (pairs - j));
    let (e1, e2, e3) = (e(1.0), e(2.0), e(3.0));
    let remainder = (pairs - a) * (pairs - b);
    let second = 2.0 * remainder / (pairs * (pairs - 1.0) * (pairs - 2.0));
    let third = 3.0 * second / (pairs - 3.0);
    [
        e1 / 2.0,
        (lambda * second + e1 * e2) / 6.0,
        (lambda * lambda * third + lambda * (e1 * e3 + e2 * e3 - 3.0 * e1 * e2) + e1 * e2 * e3) / 24.0,
    ]
}

/// E[g(n+1)] = E[f]/lambda and (1 + lambda)^(k-1) E[Delta^k f] for k = 2, 3, 4 under a Poisson law, over u = log lambda: a grid
/// with exact slopes (d/dlambda E[h] = E[Delta h]) and cubic interpolation, error below 1e-9; above it the leading terms.
struct PoissonMeans {
    /// [value, slope in u, times the grid's step] of the four functions at every grid point.
    grid: Vec<[[f64; 2]; 4]>,
    /// E[f] - lambda log lambda at the end of the grid.
    constant: f64,
}

const LOG_FIRST: f64 = -32.0;
const LOG_LAST: f64 = 11.0;
const STEPS_PER_UNIT: f64 = 32.0;

impl PoissonMeans {
    fn new(g: fn(u64) -> f64) -> Self {
        let largest = LOG_LAST.exp();
        let reach = (largest + 14.0 * largest.sqrt()) as usize + 16;
        let g: Vec<f64> = (1..reach as u64).map(g).collect();
        // f(n) = n g(n) and its differences up to the fifth.
        let f: Vec<f64> = std::iter::once(0.0).chain(g.iter().enumerate().map(|(i, g)| (i + 1) as f64 * g)).collect();
        let difference = |values: &[f64]| values.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<f64>>();
        let mut deltas = vec![difference(&f)];
        for order in 1..5 {
            deltas.push(difference(&deltas[order - 1]));
        }
        let slope_g = difference(&g);
        let points = ((LOG_LAST - LOG_FIRST) * STEPS_PER_UNIT) as usize + 1;
        let grid: Vec<[[f64; 2]; 4]> = (0..points)
            .map(|point| {
                let lambda = (LOG_FIRST + point as f64 / STEPS_PER_UNIT).exp();
                let means = poisson_means(lambda, [&g, &slope_g, &deltas[1], &deltas[2], &deltas[3], &deltas[4]]);
                let [e0, slope0, d2, d3, d4, d5] = means;
                let step = lambda / STEPS_PER_UNIT;
                let scale = 1.0 + lambda;
                let scaled = |k: i32, this: f64, next: f64| {
                    let slope = next * scale.powi(k - 1) + (k - 1) as f64 * this * scale.powi(k - 2);
                    [this * scale.powi(k - 1), slope * step]
                };
                [[e0, slope0 * step], scaled(2, d2, d3), scaled(3, d3, d4), scaled(4, d4, d5)]
            })
            .collect();
        let last = LOG_LAST.exp();
        let constant = last * (grid[points - 1][0][0] - LOG_LAST);
        Self { grid, constant }
    }

    #[inline]
    fn at(&self, log_lambda: f64, lambda: f64) -> [f64; 4] {
        let place = (log_lambda - LOG_FIRST) * STEPS_PER_UNIT;
        if place < 0.0 {
            return self.grid[0].map(|[value, _]| value);
        }
        let index = place as usize;
        if index + 1 >= self.grid.len() {
            let last = self.grid[self.grid.len() - 1];
            return [log_lambda + self.constant / lambda, last[1][0], last[2][0], last[3][0]];
        }
        let t = place - index as f64;
        let (left, right) = (&self.grid[index], &self.grid[index + 1]);
        std::array::from_fn(|k| {
            let ([y0, s0], [y1, s1]) = (left[k], right[k]);
            let rise = y1 - y0;
            y0 + t * (s0 + t * (3.0 * rise - 2.0 * s0 - s1 + t * (s0 + s1 - 2.0 * rise)))
        })
    }
}

/// Poisson means of several functions given as tables over n.
fn poisson_means<const K: usize>(lambda: f64, functions: [&[f64]; K]) -> [f64; K] {
    let mode = lambda.floor();
    let mut sums = functions.map(|values| values[mode as usize]);
    let mut weights = 1.0;
    let mut add = |n: f64, weight: f64| {
        weights += weight;
        for (sum, values) in sums.iter_mut().zip(functions) {
            *sum += weight * values[n as usize];
        }
        weight > 1e-20
    };
    let (mut n, mut weight) = (mode, 1.0);
    loop {
        weight *= lambda / (n + 1.0);
        n += 1.0;
        if !add(n, weight) {
            break;
        }
    }
    (n, weight) = (mode, 1.0);
    while n > 0.0 {
        weight *= n / lambda;
        n -= 1.0;
        if !add(n, weight) {
            break;
        }
    }
    sums.map(|sum| sum / weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn margin(counts: impl IntoIterator<Item = u64>) -> Fingerprint {
        Fingerprint::from_counts(counts).unwrap()
    }

    /// Zipf-Mandelbrot counts that sum to `total`.
    fn zipf(symbols: u64, total: u64) -> Fingerprint {
        let weights: Vec<f64> = (0..symbols).map(|rank| 1.0 / (rank as f64 + 2.7)).collect();
        let sum: f64 = weights.iter().sum();
        let mut counts: Vec<u64> = weights.iter().map(|weight| (weight / sum * total as f64) as u64 + 1).collect();
        let mut surplus = counts.iter().sum::<u64>() as i64 - total as i64;
        for count in counts.iter_mut() {
            let taken = surplus.min(*count as i64 - 1).max(-(total as i64));
            *count = (*count as i64 - taken) as u64;
            surplus -= taken;
        }
        margin(counts)
    }

    #[test]
    fn two_coins_of_two_and_two() {
        // The four cells of a 2 x 2 table with margins (2, 2), (2, 2) are 1,1,1,1 with probability 4/6 and 2,0,0,2 else:
        // plug-in joint entropy log 4 or log 2.
        let coins = margin([2, 2]);
        let expected = 4.0 / 6.0 * 4f64.ln() + 2.0 / 6.0 * 2f64.ln();
        let value = expected_joint_entropy(Estimator::PlugIn, &coins, &coins).unwrap();
        assert!((value - expected).abs() < 1e-15, "{value}");
    }

    #[test]
    fn the_expansion_agrees_with_the_exact_sum_from_a_million_pairs_on() {
        // The worst case asked for is N = 1e6; 1e-6 nats is what the estimate may be off by.
        let share = |p: f64| {
            let first = (p * 1e6) as u64;
            margin([first].into_iter().chain(std::iter::repeat_n((1_000_000 - first) / 1000, 1000)))
        };
        let cases = [
            (zipf(3000, 1_000_000), zipf(2500, 1_000_000)),
            (zipf(100_000, 1_000_000), zipf(100_000, 1_000_000)),
            (margin([500_000, 300_000, 200_000]), zipf(300, 1_000_000)),
            (margin([10_000; 100]), margin([50_000; 20])),
            (margin([999_000, 1000]), zipf(500, 1_000_000)),
            (margin([999_000, 1000]), zipf(100_000, 1_000_000)),
            (share(0.5), zipf(100_000, 1_000_000)),
            (zipf(100_000, 1_000_000), share(0.2)),
            (share(0.06), zipf(100_000, 1_000_000)),
            (margin(std::iter::repeat_n(1, 1_000_000)), zipf(1000, 1_000_000)),
        ];
        for (x, y) in &cases {
            for estimator in [Estimator::Grassberger, Estimator::PlugIn] {
                let null = Null::of(estimator).unwrap();
                let exact = null.exact_sum(&nodes_of(x), &nodes_of(y), 1e6);
                let expanded = null.expanded_sum(x, y);
                assert!((expanded - exact).abs() < 5e-7, "{estimator}: {:e}", expanded - exact);
            }
        }
    }

    #[test]
    fn bins_keep_their_moments() {
        let fingerprint = margin((1..5000).map(|i| 3 * i));
        let (all, few) = (nodes_of(&fingerprint), binned(&fingerprint));
        assert!(few.len() < 150, "{}", few.len());
        for power in 0..4 {
            let moment = |nodes: &[Node]| nodes.iter().map(|node| node.symbols * node.count.powi(power)).sum::<f64>();
            assert!((moment(&few) / moment(&all) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn margins_of_different_totals_are_refused() {
        assert!(expected_joint_entropy(Estimator::PlugIn, &margin([2]), &margin([3])).is_err());
    }
}
