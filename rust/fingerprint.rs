//! "How many symbols occurred n times": enough for every entropy estimator, tiny, and additive over disjoint key ranges.

use crate::{Error, Result};

/// Pairs (n, how many symbols occurred n times), n ascending, both positive. Zero counts are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint {
    entries: Vec<(u64, u64)>,
}

/// Counts below this are looked up by themselves: most symbols of a text are rare, and sorting all counts took a tenth of the time of
/// error bars.
pub const SMALL: usize = 1 << 10;

/// Add the counts below `SMALL` to `small`; what comes with the others is returned.
pub fn add_small<L>(small: &mut [u64; SMALL], counts: impl IntoIterator<Item = (u64, L)>) -> Vec<L> {
    let mut large = Vec::new();
    for (count, label) in counts {
        match small.get_mut(count as usize) {
            Some(symbols) => *symbols += 1,
            None => large.push(label),
        }
    }
    large
}

impl Fingerprint {
    /// Of a count table, one entry per symbol; zeros are ignored.
    pub fn from_counts(counts: impl IntoIterator<Item = u64>) -> Result<Self> {
        let mut small = [0; SMALL];
        let large = add_small(&mut small, counts.into_iter().map(|count| (count, count)));
        Self::from_small_and_large(&small, large)
    }

    /// `small[n]`: how many symbols occurred n times; `large`: the other counts, one entry per symbol.
    pub fn from_small_and_large(small: &[u64; SMALL], mut large: Vec<u64>) -> Result<Self> {
        large.sort_unstable();
        let small = (0..).zip(small.iter().copied());
        Self::from_entries(small.chain(large.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64))))
    }

    /// Of (n, symbols) in any order; equal n add, entries with a zero are ignored.
    ///
    /// Fails where the total number of samples does not fit 64 bits.
    pub fn from_entries(entries: impl IntoIterator<Item = (u64, u64)>) -> Result<Self> {
        let mut entries: Vec<(u64, u64)> =
            entries.into_iter().filter(|&(count, symbols)| count > 0 && symbols > 0).collect();
        // Mostly in order already, which a sort passes over once.
        entries.sort_by_key(|entry| entry.0);
        let mut total: u64 = 0;
        for &(count, symbols) in &entries {
            total = count
                .checked_mul(symbols)
                .and_then(|samples| total.checked_add(samples))
                .ok_or_else(|| Error::invalid("counts", "a sum above 2^64", "at most 2^64 - 1 samples"))?;
        }
        entries.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        Ok(Self { entries })
    }

    /// The fingerprint of two tables over disjoint symbols.
    pub fn merge(&self, other: &Self) -> Result<Self> {
        Self::from_entries(self.iter().chain(other.iter()))
    }

    /// (n, symbols), n ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.entries.iter().copied()
    }

    /// N, the number of samples.
    pub fn total(&self) -> u64 {
        self.iter().map(|(count, symbols)| count * symbols).sum()
    }

    /// How many different symbols occurred.
    pub fn distinct(&self) -> u64 {
        self.iter().map(|(_, symbols)| symbols).sum()
    }

    /// How many symbols occurred exactly `count` times.
    pub fn occurring(&self, count: u64) -> u64 {
        self.entries.binary_search_by_key(&count, |entry| entry.0).map_or(0, |place| self.entries[place].1)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_become_counts_of_counts() {
        let fingerprint = Fingerprint::from_counts([3, 1, 0, 1, 3, 7]).unwrap();
        assert_eq!(fingerprint.iter().collect::<Vec<_>>(), [(1, 2), (3, 2), (7, 1)]);
        assert_eq!((fingerprint.total(), fingerprint.distinct()), (15, 5));
    }

    #[test]
    fn too_many_samples_are_refused() {
        assert!(Fingerprint::from_counts([u64::MAX, 1]).is_err());
        assert!(Fingerprint::from_entries([(u64::MAX, 2)]).is_err());
    }

    proptest! {
        #[test]
        fn parts_over_disjoint_symbols_add(counts in prop::collection::vec(0u64..20, 0..200), cut in 0usize..200) {
            let cut = cut.min(counts.len());
            let (left, right) = counts.split_at(cut);
            let merged = Fingerprint::from_counts(left.iter().copied()).unwrap()
                .merge(&Fingerprint::from_counts(right.iter().copied()).unwrap()).unwrap();
            prop_assert_eq!(merged, Fingerprint::from_counts(counts).unwrap());
        }
    }
}
