//! What a pair adds to sum f(n) of a fingerprint, in whole numbers, so that sums over tasks are exact.

/// One unit of `JointCounts::removed`.
pub const REMOVED_UNIT: f64 = 1.0 / (1u64 << 28) as f64;

/// Counts from this on have no entry in the table of increments.
pub const HUGE: usize = 1 << 16;

/// f(n) - f(n - 1) for f(n) = n g(n), in units of 2^-28.
pub struct Increments {
    g: fn(u64) -> f64,
    table: Box<[i64; HUGE]>,
    /// of the table up to and with n
    sums: Box<[i64; HUGE]>,
}

impl Increments {
    pub fn new(g: fn(u64) -> f64) -> Self {
        let (mut table, mut sums) = (Box::new([0; HUGE]), Box::new([0; HUGE]));
        let mut before = 0.0;
        for n in 1..HUGE {
            let after = n as f64 * g(n as u64);
            table[n] = fixed(after - before) as i64;
            sums[n] = sums[n - 1] + table[n];
            before = after;
        }
        Self { g, table, sums }
    }

    /// Of a count; 0 for a huge one, see `sum`.
    #[inline(always)]
    pub fn at(&self, n: u64) -> i64 {
        self.table.get(n as usize).copied().unwrap_or(0)
    }

    /// Of `removed` counts from n down, those that are not huge.
    pub fn sum_of_small(&self, n: u64, removed: u64) -> i128 {
        let sum = |n: u64| self.sums[n.min(HUGE as u64 - 1) as usize] as i128;
        sum(n) - sum(n - removed)
    }

    /// Of `removed` counts from n down, the huge ones.
    pub fn sum_of_huge(&self, n: u64, removed: u64) -> i128 {
        let left = (n - removed).max(HUGE as u64 - 1);
        if n > left { fixed(n as f64 * (self.g)(n) - left as f64 * (self.g)(left)) } else { 0 }
    }

    /// f(n) - f(n - removed)
    pub fn sum(&self, n: u64, removed: u64) -> i128 {
        self.sum_of_small(n, removed) + self.sum_of_huge(n, removed)
    }
}

fn fixed(value: f64) -> i128 {
    (value / REMOVED_UNIT).round() as i128
}
