//! What a sorted list of packed followers holds: runs of equal prefixes.

use std::collections::BTreeMap;

use super::keys::{Key, Layout};
use crate::Result;
use crate::fingerprint::Fingerprint;

/// A sorted list of packed followers, whatever their width.
pub trait List {
    /// The n-grams of the list's order, sorted: (codes of the followers, count).
    fn ngrams(&self, visit: &mut dyn FnMut(&[usize], u64));
    /// Add the n-grams of every order to the tallies.
    fn add_to(&self, tallies: &mut Tallies);
}

pub struct Sorted<'a, K> {
    pub keys: &'a [K],
    pub layout: Layout,
}

impl<K: Key> List for Sorted<'_, K> {
    fn ngrams(&self, visit: &mut dyn FnMut(&[usize], u64)) {
        let Layout { followers, .. } = self.layout;
        let mut codes = [0; super::LONGEST];
        let codes = &mut codes[..followers];
        for run in self.keys.chunk_by(|a, b| a == b) {
            codes.iter_mut().enumerate().for_each(|(follower, code)| *code = self.layout.code(run[0], follower));
            // Otherwise a document ended here.
            if codes.last().is_none_or(|&code| code != 0) {
                visit(codes, run.len() as u64);
            }
        }
    }

    fn add_to(&self, tallies: &mut Tallies) {
        let Tallies { orders, bounds } = tallies;
        orders[0].add(self.keys.len() as u64);
        for (follower, tally) in orders[1..].iter_mut().enumerate() {
            add_runs(self.keys, self.layout, follower, bounds, tally);
        }
    }
}

/// Add the counts above 1 of the n-grams that end with this follower.
#[inline(never)]
fn add_runs<K: Key>(keys: &[K], layout: Layout, follower: usize, bounds: &mut Bounds, tally: &mut Tally) {
    let bit = layout.shift(follower);
    let (mut open, mut number, mut start) = (false, 0, 0);
    while start < keys.len() {
        let end = keys.len().min(start + CHUNK);
        // The first and the last key of every run of two or more, in turn. No branch: whether the next key differs is as good as
        // random.
        for (index, pair) in keys[start..(end + 1).min(keys.len())].windows(2).enumerate() {
            let same = pair[0].agrees(pair[1], bit);
            bounds[number] = start + index;
            number += usize::from(same != open);
            open = same;
        }
        if end == keys.len() && open {
            bounds[number] = end - 1;
            number += 1;
        }
        let (runs, rest) = bounds[..number].as_chunks::<2>();
        for &[first, last] in runs {
            // Otherwise a document ended before.
            if layout.code(keys[first], follower) != 0 {
                tally.add((last + 1 - first) as u64);
            }
        }
        let rest = rest.first().copied();
        number = rest.into_iter().len();
        bounds[0] = rest.unwrap_or_default();
        start = end;
    }
}

/// Keys between two looks at the runs found.
const CHUNK: usize = 1 << 9;

type Bounds = [usize; CHUNK + 2];

/// Tallies of the orders from 1 on, while lists are added.
pub struct Tallies {
    orders: Vec<Tally>,
    bounds: Bounds,
}

impl Tallies {
    pub fn new(longest: usize) -> Self {
        Self { orders: vec![Tally::default(); longest], bounds: [0; CHUNK + 2] }
    }

    /// Fingerprints without the n-grams, of order 2 and above, that occurred once.
    pub fn finish(self) -> impl Iterator<Item = Result<Fingerprint>> {
        self.orders.into_iter().map(Tally::finish)
    }
}

/// Counts of counts of one order.
#[derive(Debug, Clone)]
struct Tally {
    small: Vec<[u64; 2]>,
    /// which of two counters is next: equal counts follow each other, and one would wait for its own store
    turn: usize,
    large: BTreeMap<u64, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { small: vec![[0; 2]; 1 << 10], turn: 0, large: BTreeMap::new() }
    }
}

impl Tally {
    #[inline(always)]
    fn add(&mut self, count: u64) {
        match self.small.get_mut(count as usize) {
            Some(symbols) => {
                symbols[self.turn & 1] += 1;
                self.turn += 1;
            }
            None => *self.large.entry(count).or_default() += 1,
        }
    }

    fn finish(self) -> Result<Fingerprint> {
        let small = self.small.iter().enumerate().map(|(count, symbols)| (count as u64, symbols.iter().sum()));
        Fingerprint::from_entries(small.chain(self.large))
    }
}
