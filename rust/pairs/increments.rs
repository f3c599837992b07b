//! What a pair adds to sum f(n) of a fingerprint, in whole numbers, so that sums over tasks are exact.

/// One unit of `JointCounts::removed`.
pub const REMOVED_UNIT: f64 = 1.0 / (1u64 << 28) as f64;

/// f(n) - f(n - 1) for f(n) = n g(n), in units of 2^-28: a table as far as it is worth keeping, computed beyond.
pub struct Increments {
    g: fn(u64) -> f64,
    table: Vec<i64>,
}

impl Increments {
    pub fn new(g: fn(u64) -> f64) -> Self {
        let f = |n: u64| if n == 0 { 0.0 } else { n as f64 * g(n) };
        Self { g, table: std::iter::once(0).chain((1..1 << 16).map(|n| fixed(f(n) - f(n - 1)))).collect() }
    }

    #[inline(always)]
    pub fn at(&self, n: u64) -> i64 {
        match self.table.get(n as usize) {
            Some(&increment) => increment,
            // n g(n) - (n-1) g(n-1) without the cancellation
            None => fixed((self.g)(n) + (n - 1) as f64 * ((self.g)(n) - (self.g)(n - 1))),
        }
    }

    /// f(n) - f(n - removed)
    pub fn sum(&self, n: u64, removed: u64) -> i128 {
        (n - removed + 1..=n).map(|n| self.at(n) as i128).sum()
    }
}

fn fixed(value: f64) -> i64 {
    (value / REMOVED_UNIT).round() as i64
}
