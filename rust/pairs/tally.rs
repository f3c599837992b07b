//! Counting one list of successors, and what all lists of a distance add up to.

use std::collections::BTreeMap;

use super::JointCounts;
use super::increments::{HUGE, Increments};
use crate::Result;
use crate::corpus::Rank;
use crate::fingerprint::Fingerprint;

/// A counter's lowest byte wraps after so many pairs, which is noted apart.
const WRAP: usize = 1 << 8;

/// Records that follow each other note their rises apart: most counters rise from 0 or 1, and would wait for each other's store.
const TURNS: usize = 4;

/// Fingerprint and removals of one distance, while lists are added.
pub struct Tally {
    /// rises[turn][n]: how often the lowest byte of a counter rose from n to n + 1 or wrapped
    rises: [[u64; WRAP]; TURNS],
    /// how often one wrapped
    wraps: u64,
    /// left[n]: counters that are not to be read off `rises` and ended with n in their lowest byte
    left: [u64; WRAP],
    /// counts of at least `WRAP`
    large: Vec<u64>,
    largest: BTreeMap<u64, u64>,
    removed: Vec<i128>,
}

impl Tally {
    pub fn new(groups: usize) -> Self {
        Self {
            rises: [[0; WRAP]; TURNS],
            wraps: 0,
            left: [0; WRAP],
            large: Vec::new(),
            largest: BTreeMap::new(),
            removed: vec![0; groups],
        }
    }

    fn fold_large(&mut self) {
        self.large.sort_unstable();
        for run in self.large.chunk_by(|a, b| a == b) {
            *self.largest.entry(run[0]).or_default() += run.len() as u64;
        }
        self.large.clear();
    }

    pub fn finish(mut self) -> Result<JointCounts> {
        self.fold_large();
        // above[n]: counters above n that never wrapped
        let mut above = [0; WRAP + 1];
        let mut left = 0;
        for n in (0..WRAP).rev() {
            above[n] = self.rises.iter().map(|rises| rises[n]).sum::<u64>() - self.wraps - left;
            left += self.left[n];
        }
        let small = (1..WRAP).map(|n| (n as u64, above[n - 1] - above[n]));
        let fingerprint = Fingerprint::from_entries(small.chain(self.largest))?;
        Ok(JointCounts { fingerprint, removed: self.removed })
    }
}

/// A counter of 8, 16, 32 or 64 bits; 8 suffice where only its lowest byte is read.
pub trait Counter: Copy + Default {
    fn get(self) -> u64;
    fn low(self) -> u8;
    fn next(self) -> Self;
    fn previous(self) -> Self;
}

macro_rules! counter {
    ($($t:ty),*) => { $(impl Counter for $t {
        #[inline(always)]
        fn get(self) -> u64 { self as u64 }
        #[inline(always)]
        fn low(self) -> u8 { self as u8 }
        #[inline(always)]
        fn next(self) -> Self { self.wrapping_add(1) }
        #[inline(always)]
        fn previous(self) -> Self { self.wrapping_sub(1) }
    })* }
}
counter!(u8, u16, u32, u64);

/// One thread's counters at one distance, one for each second token and one for the sentinel; all zero between lists.
pub struct Table<C> {
    counts: Vec<C>,
    /// Tokens whose lowest byte wrapped, as often as it did.
    wrapped: Vec<usize>,
}

#[inline(always)]
fn at<T: Rank, C>(counts: &mut [C], y: T) -> &mut C {
    debug_assert!(y.index() < counts.len());
    // SAFETY: lists hold ranks of the second alphabet or the sentinel, and there is a counter for each of them.
    unsafe { counts.get_unchecked_mut(y.index()) }
}

impl<C: Counter> Table<C> {
    pub fn new(seconds: usize) -> Self {
        Self { counts: vec![C::default(); seconds + 1], wrapped: Vec::new() }
    }

    /// Tell the tally what its rises do not: which counters wrapped, and how many tokens have no successor.
    fn settle(&mut self, tally: &mut Tally) {
        let Self { counts, wrapped } = self;
        let sentinel = counts.len() - 1;
        tally.wraps += wrapped.len() as u64;
        wrapped.sort_unstable();
        for run in wrapped.chunk_by(|a, b| a == b) {
            if run[0] != sentinel {
                let low = counts[run[0]].low() as usize;
                tally.left[low] += 1;
                tally.large.push((run.len() * WRAP + low) as u64);
            }
        }
        wrapped.clear();
        tally.left[counts[sentinel].low() as usize] += 1;
        if tally.large.len() > 1 << 16 {
            tally.fold_large();
        }
    }
}

/// One thread's tables, for each lane; made when a list needs them.
pub struct Counters<const W: usize> {
    /// How many different second tokens there are.
    seconds: usize,
    narrowest: Option<[Table<u8>; W]>,
    narrow: Option<[Table<u16>; W]>,
    wide: Option<[Table<u32>; W]>,
    widest: Option<[Table<u64>; W]>,
}

impl<const W: usize> Counters<W> {
    pub fn new(seconds: usize) -> Self {
        Self { seconds, narrowest: None, narrow: None, wide: None, widest: None }
    }

    /// Add a list to the tallies of its lanes.
    pub fn add<T: Rank>(&mut self, list: &[[T; W]], groups: Groups, tallies: &mut [Tally; W]) {
        match (groups, list.len()) {
            (None, _) => add(list, tables(&mut self.narrowest, self.seconds), None, tallies),
            (_, 0..=0xffff) => add(list, tables(&mut self.narrow, self.seconds), groups, tallies),
            (_, 0x1_0000..=0xffff_ffff) => add(list, tables(&mut self.wide, self.seconds), groups, tallies),
            _ => add(list, tables(&mut self.widest, self.seconds), groups, tallies),
        }
    }
}

/// Bytes of the tables of one lane, where the longest list has so many records.
pub fn table_bytes(seconds: usize, longest: u64, grouped: bool) -> u64 {
    let counter = match (grouped, longest) {
        (false, _) => 1,
        (true, 0..=0xffff) => 2,
        (true, 0x1_0000..=0xffff_ffff) => 2 + 4,
        (true, _) => 2 + 4 + 8,
    };
    counter * (seconds as u64 + 1)
}

fn tables<C: Counter, const W: usize>(tables: &mut Option<[Table<C>; W]>, seconds: usize) -> &mut [Table<C>; W] {
    tables.get_or_insert_with(|| std::array::from_fn(|_| Table::new(seconds)))
}

/// What the jackknife needs of a list: increments of f, and (end, group) of the runs of records of one group.
pub type Groups<'a> = Option<(&'a Increments, &'a [(usize, usize)])>;

#[inline(never)]
pub fn add<T: Rank, C: Counter, const W: usize>(
    list: &[[T; W]],
    tables: &mut [Table<C>; W],
    groups: Groups,
    tallies: &mut [Tally; W],
) {
    count(list, tables, tallies);
    if let Some((increments, runs)) = groups {
        remove_groups(list, tables, increments, runs, tallies);
    }
    for (table, tally) in tables.iter_mut().zip(tallies) {
        table.settle(tally);
    }
    clear(list, tables);
}

#[inline(always)]
fn count<T: Rank, C: Counter, const W: usize>(list: &[[T; W]], tables: &mut [Table<C>; W], tallies: &mut [Tally; W]) {
    // Slices, not vectors, whose addresses the compiler reads again after every store.
    let mut lanes = tables.each_mut().map(|table| (table.counts.as_mut_slice(), &mut table.wrapped));
    let rises = tallies.each_mut().map(|tally| &mut tally.rises);
    let mut add = |row: &[T; W], turn: usize| {
        for lane in 0..W {
            let (counts, wrapped) = &mut lanes[lane];
            let counter = at(counts, row[lane]);
            let low = counter.low();
            *counter = counter.next();
            rises[lane][turn][low as usize] += 1;
            if low == u8::MAX {
                wrapped.push(row[lane].index());
            }
        }
    };
    let (fours, rest) = list.as_chunks::<TURNS>();
    for rows in fours {
        for turn in 0..TURNS {
            add(&rows[turn], turn);
        }
    }
    rest.iter().for_each(|row| add(row, 0));
}

/// Increments whose sum fits 64 bits.
const SAFE: usize = 1 << 28;

/// Take each group out of the counters and put it back: one table to keep in the cache, where counters of the group
/// beside those of the list would be two (1.5 times the time).
#[inline(always)]
fn remove_groups<T: Rank, C: Counter, const W: usize>(
    list: &[[T; W]],
    tables: &mut [Table<C>; W],
    increments: &Increments,
    runs: &[(usize, usize)],
    tallies: &mut [Tally; W],
) {
    let sentinel = tables[0].counts.len() - 1;
    // (token, count) where the table of increments has no entry
    let huge = tables.each_mut().map(|Table { counts, wrapped }| {
        wrapped.sort_unstable();
        let tokens = wrapped.chunk_by(|a, b| a == b).map(|run| (run[0], counts[run[0]].get()));
        tokens.filter(|&(token, n)| n >= HUGE as u64 && token != sentinel).collect::<Vec<_>>()
    });
    let counts = tables.each_mut().map(|table| table.counts.as_mut_slice());
    let absent = counts.each_ref().map(|counts| counts[sentinel].get());
    let mut start = 0;
    for &(end, group) in runs {
        for rows in list[start..end].chunks(SAFE) {
            let mut removed = [0; W];
            for row in rows {
                for lane in 0..W {
                    let counter = at(counts[lane], row[lane]);
                    removed[lane] += increments.at(counter.get());
                    *counter = counter.previous();
                }
            }
            for lane in 0..W {
                tallies[lane].removed[group] += removed[lane] as i128;
            }
        }
        for lane in 0..W {
            let taken = |token: usize, n: u64| n - counts[lane][token].get();
            let huge = huge[lane].iter().map(|&(token, n)| increments.sum_of_huge(n, taken(token, n))).sum::<i128>();
            let absent = increments.sum_of_small(absent[lane], taken(sentinel, absent[lane]));
            tallies[lane].removed[group] += huge - absent;
        }
        for row in &list[start..end] {
            for lane in 0..W {
                let counter = at(counts[lane], row[lane]);
                *counter = counter.next();
            }
        }
        start = end;
    }
}

/// Clearing all counters takes as long as clearing those of a list of their number by this.
const SWEEP: usize = 8;

#[inline(always)]
fn clear<T: Rank, C: Counter, const W: usize>(list: &[[T; W]], tables: &mut [Table<C>; W]) {
    if list.len() > tables[0].counts.len() / SWEEP {
        tables.iter_mut().for_each(|table| table.counts.fill(C::default()));
    } else {
        let counts = tables.each_mut().map(|table| table.counts.as_mut_slice());
        for row in list {
            for lane in 0..W {
                *at(counts[lane], row[lane]) = C::default();
            }
        }
    }
}
