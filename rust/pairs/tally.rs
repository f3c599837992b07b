//! Counting one list of successors, and what all lists of a distance add up to.

use std::collections::BTreeMap;

use super::JointCounts;
use super::increments::Increments;
use crate::Result;
use crate::corpus::Rank;
use crate::fingerprint::Fingerprint;

/// Counts below this have a counter each in a tally.
const SMALL: usize = 1 << 10;

/// Fingerprint and removals of one distance, while lists are added.
pub struct Tally {
    /// Pairs in all: those that occurred once are what the others leave.
    pairs: u64,
    /// small[n]: pairs that occurred n times, n > 1; two counters in turn.
    small: Vec<[u64; 2]>,
    heavy: Vec<u64>,
    heaviest: BTreeMap<u64, u64>,
    removed: Vec<i128>,
}

impl Tally {
    pub fn new(groups: usize) -> Self {
        Self {
            pairs: 0,
            small: vec![[0; 2]; SMALL],
            heavy: Vec::new(),
            heaviest: BTreeMap::new(),
            removed: vec![0; groups],
        }
    }

    /// Add counts above 1.
    fn add<C: Counter>(&mut self, counts: &[C]) {
        for two in counts.chunks(2) {
            // Equal counts follow each other: one counter would wait for its own store.
            for (turn, n) in two.iter().enumerate() {
                let n = n.get();
                match self.small.get_mut(n as usize) {
                    Some(symbols) => symbols[turn] += 1,
                    None => self.heavy.push(n),
                }
            }
        }
        if self.heavy.len() > 1 << 16 {
            self.fold_heavy();
        }
    }

    fn fold_heavy(&mut self) {
        self.heavy.sort_unstable();
        for run in self.heavy.chunk_by(|a, b| a == b) {
            *self.heaviest.entry(run[0]).or_default() += run.len() as u64;
        }
        self.heavy.clear();
    }

    pub fn finish(mut self) -> Result<JointCounts> {
        self.fold_heavy();
        let small = self.small.iter().enumerate().map(|(n, symbols)| (n as u64, symbols.iter().sum()));
        let several = Fingerprint::from_entries(small.chain(self.heaviest))?;
        let once = Fingerprint::from_entries([(1, self.pairs - several.total())])?;
        Ok(JointCounts { fingerprint: once.merge(&several)?, removed: self.removed })
    }
}

/// A counter of 16, 32 or 64 bits.
pub trait Counter: Copy + Default {
    fn get(self) -> u64;
    fn next(self) -> Self;
}

macro_rules! counter {
    ($($t:ty),*) => { $(impl Counter for $t {
        #[inline(always)]
        fn get(self) -> u64 { self as u64 }
        #[inline(always)]
        fn next(self) -> Self { self.wrapping_add(1) }
    })* }
}
counter!(u16, u32, u64);

/// A counter for each second token and one for the sentinel.
pub struct Table<C>(Vec<C>);

impl<C: Counter> Table<C> {
    #[inline(always)]
    fn of<T: Rank>(&mut self, y: T) -> &mut C {
        debug_assert!(y.index() < self.0.len());
        // SAFETY: lists hold ranks of the second alphabet or the sentinel, and there is a counter for each of them.
        unsafe { self.0.get_unchecked_mut(y.index()) }
    }
}

/// One thread's counters, for each lane; all zero between lists.
pub struct Counters<C, const W: usize> {
    /// of a list
    all: [Table<C>; W],
    /// of its records from one group
    group: [Table<C>; W],
    /// Counts that were read from a part of a list, those above 1 first.
    found: [[C; FOUND]; W],
}

/// Counts that are read before those above 1 are added to a tally.
const FOUND: usize = 1 << 12;

impl<C: Counter, const W: usize> Counters<C, W> {
    pub fn new(seconds: usize) -> Self {
        let tables = || std::array::from_fn(|_| Table(vec![C::default(); seconds + 1]));
        Self { all: tables(), group: tables(), found: [[C::default(); FOUND]; W] }
    }
}

/// Add a list to the tallies of its lanes. `jackknife`: with (end, group) of the runs of records of one group.
#[inline(never)]
pub fn add_list<T: Rank, C: Counter, const W: usize>(
    list: &[[T; W]],
    counters: &mut Counters<C, W>,
    jackknife: Option<(&Increments, &[(usize, usize)])>,
    tallies: &mut [Tally; W],
) {
    let Counters { all, group: in_group, found } = counters;
    let sentinel = all[0].0.len() - 1;
    for row in list {
        for lane in 0..W {
            let counter = all[lane].of(row[lane]);
            *counter = counter.next();
        }
    }
    if let Some((increments, runs)) = jackknife {
        let mut start = 0;
        for &(end, group) in runs {
            let mut removed = [0i64; W];
            for row in &list[start..end] {
                for lane in 0..W {
                    let within = in_group[lane].of(row[lane]);
                    let before = *within;
                    *within = before.next();
                    removed[lane] += increments.at(all[lane].of(row[lane]).get() - before.get());
                }
            }
            for lane in 0..W {
                tallies[lane].removed[group] += removed[lane] as i128;
                let absent = in_group[lane].0[sentinel].get();
                if absent > 0 {
                    tallies[lane].removed[group] -= increments.sum(all[lane].0[sentinel].get(), absent);
                }
            }
            if end - start > sentinel {
                in_group.iter_mut().for_each(|table| table.0.fill(C::default()));
            } else {
                for row in &list[start..end] {
                    for lane in 0..W {
                        *in_group[lane].of(row[lane]) = C::default();
                    }
                }
            }
            start = end;
        }
    }
    for lane in 0..W {
        let absent = std::mem::take(&mut all[lane].0[sentinel]).get();
        tallies[lane].pairs += list.len() as u64 - absent;
    }
    // Read and clear without a branch on what a counter holds: whether a pair occurred before is as good as random.
    if list.len() > sentinel / 2 {
        for lane in 0..W {
            let found = &mut found[lane];
            for counters in all[lane].0.chunks_mut(FOUND - 1) {
                let mut number = 0;
                for counter in counters {
                    let n = std::mem::take(counter);
                    found[number & (FOUND - 1)] = n;
                    number += usize::from(n.get() > 1);
                }
                tallies[lane].add(&found[..number]);
            }
        }
    } else {
        for rows in list.chunks(FOUND - 1) {
            let mut numbers = [0; W];
            for row in rows {
                for lane in 0..W {
                    let n = std::mem::take(all[lane].of(row[lane]));
                    found[lane][numbers[lane] & (FOUND - 1)] = n;
                    numbers[lane] += usize::from(n.get() > 1);
                }
            }
            for lane in 0..W {
                tallies[lane].add(&found[lane][..numbers[lane]]);
            }
        }
    }
}
