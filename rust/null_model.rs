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
//! where c_k are the hypergeometric's factorial moments about lambda, in the closed forms of [`Hypergeometric::coefficients`] (no
//! cancellation), the Poisson means are tabulated over log lambda, and counts above 8 are gathered in bins half a unit of the
//! logarithm wide, each replaced by the three nodes of its Gauss quadrature, which keep its moments 0 to 5.

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

/// Beside a symbol that holds a good part of all pairs, counts up to this one are summed exactly.
const FEW: usize = 64;
/// Counts up to this one are nodes of their own.
const SINGLE: u64 = 8;
/// Of the logarithm of a count. The error of a bin grows with the sixth power: below 2e-7 of what it holds.
const BIN_WIDTH: f64 = 0.5;

/// Counts up to `SINGLE` as they are; above, the nodes of bins, none of them across `FEW`. Counts above half the total are left out:
/// see [`Null::expanded_sum`].
fn binned(fingerprint: &Fingerprint) -> Vec<Node> {
    let half = fingerprint.total() / 2;
    let mut nodes = Vec::new();
    let mut bin: Vec<Node> = Vec::new();
    // Bins end whole widths away from `FEW`, and at it exactly: steps by a product of rounded widths might miss it.
    let below = ((FEW as f64 / SINGLE as f64).ln() / BIN_WIDTH) as i32;
    let mut ends = (-below..).map(|bin| FEW as f64 * (BIN_WIDTH * bin as f64).exp());
    let mut end = 0.0;
    for (count, symbols) in fingerprint.iter().take_while(|&(count, _)| count <= half) {
        let node = Node { count: count as f64, symbols: symbols as f64 };
        if count <= SINGLE {
            nodes.push(node);
            continue;
        }
        while node.count > end {
            close_bin(&mut bin, &mut nodes);
            end = ends.next().unwrap_or(f64::INFINITY);
        }
        bin.push(node);
    }
    close_bin(&mut bin, &mut nodes);
    nodes
}

/// Gauss quadrature of a bin: the roots of its third orthogonal polynomial, in units of the standard deviation about the mean.
fn close_bin(bin: &mut Vec<Node>, nodes: &mut Vec<Node>) {
    if bin.len() <= 3 {
        nodes.append(bin);
        return;
    }
    let symbols: f64 = bin.iter().map(|node| node.symbols).sum();
    let mean_of = |f: &dyn Fn(f64) -> f64| bin.iter().map(|node| node.symbols * f(node.count)).sum::<f64>() / symbols;
    let mean = mean_of(&|count| count);
    let deviation = mean_of(&|count| (count - mean).powi(2)).sqrt();
    let standard = |count: f64| (count - mean) / deviation;
    // p_1 = t, p_2 = (t - skew) t - 1, p_3 = (t - shift) p_2 - size t: three terms each, as of all orthogonal polynomials.
    let skew = mean_of(&|count| standard(count).powi(3));
    let second = |t: f64| (t - skew) * t - 1.0;
    let size = mean_of(&|count| second(standard(count)).powi(2));
    let shift = mean_of(&|count| standard(count) * second(standard(count)).powi(2)) / size;
    let middle = (skew + shift) / 3.0;
    let [first, constant] = [skew * shift - 1.0 - size, shift];
    // p_3 = s^3 - 3 radius^2 s + ..., s = t - middle.
    let radius = (middle * middle - first / 3.0).sqrt();
    let at_middle = middle * (first - 2.0 * middle * middle) + constant;
    let angle = (-at_middle / (2.0 * radius.powi(3))).clamp(-1.0, 1.0).acos();
    for turn in [1.0, 2.0, 0.0] {
        let t = middle + 2.0 * radius * ((angle + std::f64::consts::TAU * turn) / 3.0).cos();
        let weight = 1.0 / (1.0 + t * t + second(t).powi(2) / size);
        nodes.push(Node { count: mean + deviation * t, symbols: symbols * weight });
    }
    bin.clear();
}

/// Cells of counts above this one with counts up to `FEW` are far from Poisson.
fn heavy(pairs: f64) -> f64 {
    (pairs / 64.0).max(FEW as f64)
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
        let (nodes_x, nodes_y) = (binned(x), binned(y));
        sum += self.sum_of_few(x, &nodes_y, pairs) + self.sum_of_few(y, &nodes_x, pairs);
        sum + self.poisson_sum(&nodes_x, &nodes_y, pairs)
    }

    /// The cells that [`Null::sum_of_few`] leaves.
    fn poisson_sum(&self, x: &[Node], y: &[Node], pairs: f64) -> f64 {
        let law = Hypergeometric::new(pairs);
        let logs: Vec<f64> = y.iter().map(|node| node.count.ln() - pairs.ln()).collect();
        let (few, heavy) = (FEW as f64, heavy(pairs));
        let [few_y, heavy_y] = [few, heavy].map(|most| y.partition_point(|node| node.count <= most));
        let mut total = 0.0;
        for a in x {
            let low = if a.count > heavy { few_y } else { 0 };
            let high = if a.count <= few { heavy_y } else { y.len() };
            let log_a = a.count.ln();
            let mut row = 0.0;
            for (b, log_b) in y[low..high].iter().zip(&logs[low..high]) {
                let lambda = a.count * b.count * law.per_pair;
                let [c2, c3, c4] = law.coefficients(a.count, b.count);
                let [e0, e2, e3, e4] = self.means.at(log_a + log_b, lambda);
                let scale = 1.0 / (1.0 + lambda);
                let mean = e0 + scale * (c2 * e2 + scale * (c3 * e3 + scale * c4 * e4));
                row += b.symbols * b.count * mean;
            }
            total += a.symbols * (a.count / pairs) * row;
        }
        total / pairs
    }

    /// The cells of small counts beside heavy nodes of the other side.
    fn sum_of_few(&self, one: &Fingerprint, other: &[Node], pairs: f64) -> f64 {
        let few: Vec<(u64, u64)> = one.iter().take_while(|&(count, _)| count <= FEW as u64).collect();
        let of_heavy = |node: &Node| {
            let means = self.means_of_few(node.count, pairs);
            let row = few.iter().map(|&(count, symbols)| (count * symbols) as f64 * means[count as usize - 1]);
            node.symbols * (node.count / pairs) * row.sum::<f64>()
        };
        other.iter().filter(|node| node.count > heavy(pairs)).map(of_heavy).sum::<f64>() / pairs
    }

    /// E[n g(n)] / lambda of hypergeometric n: a marked of `pairs`, and 1, 2, ... drawn. Each law follows from the one before, by
    /// whether the next that is drawn is marked: no division a term.
    #[inline]
    fn means_of_few(&self, a: f64, pairs: f64) -> [f64; FEW] {
        // As in `mean_hypergeometric`: E[g(m + 1)], one less of each.
        let (marked, all) = (a - 1.0, pairs - 1.0);
        let mut law = [0.0; FEW];
        law[0] = 1.0;
        std::array::from_fn(|drawn| {
            let mean = law.iter().zip(&self.table).take(drawn + 1).map(|(weight, g)| weight * g).sum();
            let each = 1.0 / (all - drawn as f64);
            let others = all - marked - drawn as f64;
            let before = law;
            law[0] *= each * others;
            for (m, pair) in before.windows(2).enumerate().take(drawn + 1) {
                law[m + 1] = each * (pair[1] * (others + (m + 1) as f64) + pair[0] * (marked - m as f64));
            }
            mean
        })
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

/// The hypergeometric law of a cell, and what its moments share among all cells of so many pairs.
struct Hypergeometric {
    pairs: f64,
    /// 1/N
    per_pair: f64,
    /// j / (N (N - j)), j = 1, 2, 3
    falls: [f64; 3],
    /// 2 / (N (N-1) (N-2)) and 6 / (N (N-1) (N-2) (N-3))
    differences: [f64; 2],
}

impl Hypergeometric {
    fn new(pairs: f64) -> Self {
        let second = 2.0 / (pairs * (pairs - 1.0) * (pairs - 2.0));
        Self {
            pairs,
            per_pair: 1.0 / pairs,
            falls: [1.0, 2.0, 3.0].map(|j| j / (pairs * (pairs - j))),
            differences: [second, 3.0 * second / (pairs - 3.0)],
        }
    }

    /// c_2/lambda, c_3/lambda, c_4/lambda: (1/k!) E[sum_j (-1)^(k-j) binom(k, j) lambda^(k-j) n_(j)].
    ///
    /// With u_j = (a-j)(b-j)/(N-j) the factorial moments are lambda u_1 ... u_(k-1). Written with e_j = u_j - lambda and the
    /// second and third differences of u in closed form, R = (N-a)(N-b): no two large terms are subtracted.
    #[inline]
    fn coefficients(&self, a: f64, b: f64) -> [f64; 3] {
        let lambda = a * b * self.per_pair;
        let cross = a * b - self.pairs * (a + b);
        let e = |j: usize| self.falls[j - 1] * (cross + j as f64 * self.pairs);
        let (e1, e2, e3) = (e(1), e(2), e(3));
        let remainder = (self.pairs - a) * (self.pairs - b);
        let [second, third] = self.differences.map(|difference| remainder * difference);
        [
            e1 * (1.0 / 2.0),
            (lambda * second + e1 * e2) * (1.0 / 6.0),
            (lambda * lambda * third + lambda * (e1 * e3 + e2 * e3 - 3.0 * e1 * e2) + e1 * e2 * e3) * (1.0 / 24.0),
        ]
    }
}

/// E[g(n+1)] = E[f]/lambda and (1 + lambda)^(k-1) E[Delta^k f] for k = 2, 3, 4 under a Poisson law, over u = log lambda: a grid
/// with exact slopes (d/dlambda E[h] = E[Delta h]) and cubic interpolation, error below 1e-9; above it the leading terms.
struct PoissonMeans {
    /// Of every interval of the grid: the coefficients of 1, t, t^2, t^3 of the four functions, t from 0 to 1 over the interval.
    cubics: Vec<[[f64; 4]; 4]>,
    /// The functions at the end of the grid.
    last: [f64; 4],
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
        // Value and slope in u, times the grid's step.
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
        let last = grid[points - 1].map(|[value, _]| value);
        let constant = LOG_LAST.exp() * (last[0] - LOG_LAST);
        let of_interval = |ends: &[[[f64; 2]; 4]]| {
            let of_function = |k: usize| {
                let ([y0, s0], [y1, s1]) = (ends[0][k], ends[1][k]);
                let rise = y1 - y0;
                [y0, s0, 3.0 * rise - 2.0 * s0 - s1, s0 + s1 - 2.0 * rise]
            };
            std::array::from_fn(|power| std::array::from_fn(|k| of_function(k)[power]))
        };
        Self { cubics: grid.windows(2).map(of_interval).collect(), last, constant }
    }

    #[inline]
    fn at(&self, log_lambda: f64, lambda: f64) -> [f64; 4] {
        // Below the grid: the values at its beginning.
        let place = ((log_lambda - LOG_FIRST) * STEPS_PER_UNIT).max(0.0);
        let index = place as usize;
        let Some([c0, c1, c2, c3]) = self.cubics.get(index) else {
            return [log_lambda + self.constant / lambda, self.last[1], self.last[2], self.last[3]];
        };
        let t = place - index as f64;
        std::array::from_fn(|k| c0[k] + t * (c1[k] + t * (c2[k] + t * c3[k])))
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
        assert!(few.len() < 60, "{}", few.len());
        for power in 0..6 {
            let moment = |nodes: &[Node]| nodes.iter().map(|node| node.symbols * node.count.powi(power)).sum::<f64>();
            assert!((moment(&few) / moment(&all) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn margins_of_different_totals_are_refused() {
        assert!(expected_joint_entropy(Estimator::PlugIn, &margin([2]), &margin([3])).is_err());
    }
}
