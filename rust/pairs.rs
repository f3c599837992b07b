//! Joint counts of token pairs at many distances, without hashing.
//!
//! A task is (distances, range of first ranks). It walks over the corpus once and appends, for every first token of its
//! range, one row with the successors at all distances to that token's list. A list is then counted distance by distance in a
//! dense array of counters that stays in the cache. What comes out are fingerprints and, for the jackknife, by how much
//! sum f(n) shrinks without each group: integers, so results of tasks add to the same bytes however the work was cut.
//!
//! Alphabets of up to 256 ids use one dense table.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use crate::corpus::{Rank, Ranked, Ranks, Segment};
use crate::entropy::Estimator;
use crate::fingerprint::Fingerprint;
use crate::monitor::Monitor;
use crate::null_model::expected_joint_entropy;
use crate::{Error, Result};

/// Counts of the pairs at one distance whose first token is in a task's range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JointCounts {
    pub fingerprint: Fingerprint,
    /// By group g: sum over pairs of f(n) - f(n - n_g) in units of 2^-28, n_g of the n coming from the group.
    pub removed: Vec<i128>,
}

impl JointCounts {
    /// Counts over the union of two disjoint ranges.
    pub fn merge(&self, other: &Self) -> Result<Self> {
        let removed = self.removed.iter().zip(&other.removed).map(|(a, b)| a + b).collect();
        Ok(Self { fingerprint: self.fingerprint.merge(&other.fingerprint)?, removed })
    }
}

/// One unit of `JointCounts::removed`.
pub const REMOVED_UNIT: f64 = 1.0 / (1u64 << 28) as f64;

/// f(n) - f(n - 1) for f(n) = n g(n), in units of 2^-28: a table as far as it is worth keeping, computed beyond.
struct Increments {
    g: fn(u64) -> f64,
    table: Vec<i64>,
}

impl Increments {
    fn new(g: fn(u64) -> f64) -> Self {
        let f = |n: u64| if n == 0 { 0.0 } else { n as f64 * g(n) };
        Self { g, table: std::iter::once(0).chain((1..1 << 16).map(|n| fixed(f(n) - f(n - 1)))).collect() }
    }

    #[inline(always)]
    fn at(&self, n: u64) -> i64 {
        match self.table.get(n as usize) {
            Some(&increment) => increment,
            // n g(n) - (n-1) g(n-1) without the cancellation
            None => fixed((self.g)(n) + (n - 1) as f64 * ((self.g)(n) - (self.g)(n - 1))),
        }
    }

    /// f(n) - f(n - removed)
    fn sum(&self, n: u64, removed: u64) -> i128 {
        (n - removed + 1..=n).map(|n| self.at(n) as i128).sum()
    }
}

fn fixed(value: f64) -> i64 {
    (value / REMOVED_UNIT).round() as i64
}

/// A task: count the pairs at these distances whose first rank is in `range`.
///
/// `estimator`: whose f the jackknife needs; none, or one group only: no jackknife. The monitor advances by pairs.
pub fn count(
    corpus: &Ranked,
    distances: &[usize],
    range: Range<usize>,
    estimator: Option<Estimator>,
    monitor: &Monitor,
) -> Result<Vec<JointCounts>> {
    let range = range.start.min(corpus.first.len())..range.end.min(corpus.first.len());
    monitor.set_total(corpus.first.frequencies[range.clone()].iter().sum::<u64>() * distances.len() as u64);
    let increments = match estimator {
        Some(estimator) if corpus.groups > 1 => Some(Increments::new(summand(estimator)?)),
        _ => None,
    };
    match &corpus.ranks {
        Ranks::Narrow(sides) => {
            let task = Task { corpus, first: &sides.first, second: sides.second(), distances, range, increments };
            if corpus.first.len() <= 256 && corpus.second().len() <= 256 {
                task.dense(monitor)
            } else {
                task.lists(monitor)
            }
        }
        Ranks::Wide(sides) => {
            Task { corpus, first: &sides.first, second: sides.second(), distances, range, increments }.lists(monitor)
        }
    }
}

fn summand(estimator: Estimator) -> Result<fn(u64) -> f64> {
    estimator.summand().ok_or_else(|| {
        Error::invalid("estimator", format!("{:?}", estimator.name()), "one that is a sum over symbols, or groups=None")
    })
}

struct Task<'a, T> {
    corpus: &'a Ranked,
    first: &'a [T],
    second: &'a [T],
    distances: &'a [usize],
    range: Range<usize>,
    increments: Option<Increments>,
}

impl<T: Rank> Task<'_, T> {
    fn dense(&self, monitor: &Monitor) -> Result<Vec<JointCounts>> {
        let columns = self.corpus.second().len();
        let groups = self.corpus.groups;
        self.distances
            .iter()
            .map(|&distance| {
                let mut tables = vec![vec![0u64; self.corpus.first.len() * columns]; groups];
                for segment in &self.corpus.segments {
                    let table = &mut tables[segment.group];
                    let firsts = segment.firsts(distance);
                    for start in firsts.clone().step_by(1 << 20) {
                        let end = firsts.end.min(start + (1 << 20));
                        let pairs = self.first[start..end].iter().zip(&self.second[start + distance..end + distance]);
                        for (x, y) in pairs {
                            table[x.index() * columns + y.index()] += 1;
                        }
                        monitor.advance((end - start) as u64)?;
                    }
                }
                let cells = self.range.start * columns..self.range.end * columns;
                let total = |cell: usize| tables.iter().map(|table| table[cell]).sum::<u64>();
                let mut counts = JointCounts {
                    fingerprint: Fingerprint::from_counts(cells.clone().map(total))?,
                    removed: vec![0; groups],
                };
                if let Some(increments) = &self.increments {
                    for cell in cells {
                        let n = total(cell);
                        for (removed, table) in counts.removed.iter_mut().zip(&tables) {
                            *removed += increments.sum(n, table[cell]);
                        }
                    }
                }
                Ok(counts)
            })
            .collect()
    }

    fn lists(&self, monitor: &Monitor) -> Result<Vec<JointCounts>> {
        let lanes = self.distances.len();
        let grouped = self.increments.is_some();
        let width = lanes + usize::from(grouped);
        let sentinel = self.corpus.second().len();
        let frequencies = &self.corpus.first.frequencies[self.range.clone()];
        let mut cursors: Vec<usize> = frequencies
            .iter()
            .scan(0, |start, &frequency| {
                let this = *start;
                *start += frequency as usize;
                Some(this)
            })
            .collect();
        let total: usize = frequencies.iter().sum::<u64>() as usize;
        let mut rows = vec![T::new(0); total * width];
        for segment in &self.corpus.segments {
            for start in (segment.start..segment.end).step_by(1 << 16) {
                for i in start..segment.end.min(start + (1 << 16)) {
                    let rank = self.first[i].index();
                    if !self.range.contains(&rank) {
                        continue;
                    }
                    let cursor = &mut cursors[rank - self.range.start];
                    let row = &mut rows[*cursor * width..(*cursor + 1) * width];
                    *cursor += 1;
                    for (entry, distance) in row.iter_mut().zip(self.distances) {
                        let j = i + distance;
                        *entry = if j < segment.limit { self.second[j] } else { T::new(sentinel) };
                    }
                    if grouped {
                        row[lanes] = T::new(segment.group);
                    }
                }
                monitor.advance(0)?;
            }
        }
        let mut counters = vec![0u32; sentinel + 1];
        let mut tallies: Vec<Tally> = (0..lanes).map(|_| Tally::new(self.corpus.groups)).collect();
        let mut start = 0;
        for end in cursors {
            let list = &rows[start * width..end * width];
            start = end;
            for (lane, tally) in tallies.iter_mut().enumerate() {
                tally.add(list, width, lane, &mut counters, self.increments.as_ref(), lanes);
            }
            monitor.advance((list.len() / width * lanes) as u64)?;
        }
        tallies.into_iter().map(Tally::finish).collect()
    }
}

/// Fingerprint and removals of one distance, while lists are added.
struct Tally {
    /// rises[n]: how often a counter went from n to n + 1, that is, pairs that occurred more than n times
    rises: Vec<u64>,
    /// fingerprint of the lists with more than 65,535 rows
    heavy: BTreeMap<u64, u64>,
    removed: Vec<i128>,
}

impl Tally {
    fn new(groups: usize) -> Self {
        Self { rises: vec![0; 1 << 16], heavy: BTreeMap::new(), removed: vec![0; groups] }
    }

    fn add<T: Rank>(
        &mut self,
        list: &[T],
        width: usize,
        lane: usize,
        counters: &mut [u32],
        increments: Option<&Increments>,
        group_lane: usize,
    ) {
        let sentinel = counters.len() - 1;
        let successors = || list.iter().skip(lane).step_by(width);
        if list.len() / width < 1 << 16 {
            for y in successors() {
                let n = counters[y.index()];
                self.rises[n as usize] += 1;
                counters[y.index()] = n + 1;
            }
            for n in 0..counters[sentinel] {
                self.rises[n as usize] -= 1;
            }
        } else {
            successors().for_each(|y| counters[y.index()] += 1);
            for &n in counters[..sentinel].iter().filter(|&&n| n > 0) {
                *self.heavy.entry(n as u64).or_default() += 1;
            }
        }
        if let Some(increments) = increments {
            let count = list.len() / width;
            let mut piece_start = 0;
            let group_of = |row: usize| list[row * width + group_lane].index();
            while piece_start < count {
                let group = group_of(piece_start);
                let mut piece_end = piece_start;
                while piece_end < count && group_of(piece_end) == group {
                    piece_end += 1;
                }
                let piece = || (piece_start..piece_end).map(|row| list[row * width + lane].index());
                let absent = counters[sentinel];
                let mut removed: i64 = 0;
                for y in piece() {
                    removed += increments.at(counters[y] as u64);
                    counters[y] -= 1;
                }
                self.removed[group] += removed as i128;
                self.removed[group] -= increments.sum(absent as u64, (absent - counters[sentinel]) as u64);
                piece().for_each(|y| counters[y] += 1);
                piece_start = piece_end;
            }
        }
        successors().for_each(|y| counters[y.index()] = 0);
    }

    fn finish(self) -> Result<JointCounts> {
        let next = self.rises.iter().skip(1).chain(std::iter::once(&0));
        let light = self.rises.iter().zip(next).enumerate().map(|(n, (above, next))| (n as u64 + 1, above - next));
        let fingerprint = Fingerprint::from_entries(light.chain(self.heavy))?;
        Ok(JointCounts { fingerprint, removed: self.removed })
    }
}

/// What the margins of the pairs at one distance say, for all pairs and without each group.
#[derive(Debug, Clone, PartialEq)]
pub struct Margins {
    pub x: Fingerprint,
    pub y: Fingerprint,
    /// By group; their sum is the number of pairs.
    pub pairs: Vec<u64>,
    /// All pairs first, then without group 0, 1, ... (only where there is more than one group).
    pub levels: Vec<MarginLevel>,
}

/// NaN where no pair is left, and where the estimator has no exact null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarginLevel {
    pub entropy_x: f64,
    pub entropy_y: f64,
    /// E[H_XY] under independence.
    pub null_joint: f64,
}

/// Margins at every distance; `with_null` asks for E[H_XY].
pub fn margins(
    corpus: &Ranked,
    distances: &[usize],
    estimator: Estimator,
    with_null: bool,
    monitor: &Monitor,
) -> Result<Vec<Margins>> {
    let by_group: Vec<Vec<MarginCounts>> = (0..corpus.groups)
        .into_par_iter()
        .map(|group| match &corpus.ranks {
            Ranks::Narrow(sides) => group_margins(corpus, &sides.first, sides.second(), group, distances, monitor),
            Ranks::Wide(sides) => group_margins(corpus, &sides.first, sides.second(), group, distances, monitor),
        })
        .collect::<Result<_>>()?;
    (0..distances.len())
        .into_par_iter()
        .map(|lane| {
            let mut total = MarginCounts::new(corpus);
            by_group.iter().for_each(|lanes| total.add(&lanes[lane]));
            let pairs: Vec<u64> = by_group.iter().map(|lanes| lanes[lane].x.iter().sum()).collect();
            let without = |group: Option<usize>| -> Result<(Fingerprint, Fingerprint)> {
                let left = |all: &[u64], part: Option<&Vec<u64>>| match part {
                    None => Fingerprint::from_counts(all.iter().copied()),
                    Some(part) => Fingerprint::from_counts(all.iter().zip(part).map(|(all, part)| all - part)),
                };
                let part = group.map(|group| &by_group[group][lane]);
                Ok((left(&total.x, part.map(|part| &part.x))?, left(&total.y, part.map(|part| &part.y))?))
            };
            let level = |x: &Fingerprint, y: &Fingerprint| -> Result<MarginLevel> {
                monitor.advance(0)?;
                if x.is_empty() {
                    return Ok(MarginLevel { entropy_x: f64::NAN, entropy_y: f64::NAN, null_joint: f64::NAN });
                }
                Ok(MarginLevel {
                    entropy_x: estimator.estimate(x, None)?.value,
                    entropy_y: estimator.estimate(y, None)?.value,
                    null_joint: if with_null { expected_joint_entropy(estimator, x, y)? } else { f64::NAN },
                })
            };
            let (x, y) = without(None)?;
            let mut levels = vec![level(&x, &y)?];
            if corpus.groups > 1 {
                let replicates = (0..corpus.groups).into_par_iter().map(|group| {
                    let (x, y) = without(Some(group))?;
                    level(&x, &y)
                });
                levels.extend(replicates.collect::<Result<Vec<_>>>()?);
            }
            Ok(Margins { x, y, pairs, levels })
        })
        .collect()
}

#[derive(Clone)]
struct MarginCounts {
    x: Vec<u64>,
    y: Vec<u64>,
}

impl MarginCounts {
    fn new(corpus: &Ranked) -> Self {
        Self { x: vec![0; corpus.first.len()], y: vec![0; corpus.second().len()] }
    }

    fn add(&mut self, other: &Self) {
        self.x.iter_mut().zip(&other.x).for_each(|(sum, count)| *sum += count);
        self.y.iter_mut().zip(&other.y).for_each(|(sum, count)| *sum += count);
    }
}

/// Margins of one group at every distance: counted once without regard to distance, then corrected at the ends of its
/// segments, which costs d tokens a document instead of all of them.
fn group_margins<T: Rank>(
    corpus: &Ranked,
    first: &[T],
    second: &[T],
    group: usize,
    distances: &[usize],
    monitor: &Monitor,
) -> Result<Vec<MarginCounts>> {
    let segments = || corpus.segments.iter().filter(|segment: &&Segment| segment.group == group);
    let mut base = MarginCounts::new(corpus);
    for segment in segments() {
        change(&mut base.x, first, segment.start..segment.end, 1);
        change(&mut base.y, second, segment.start..segment.end, 1);
        monitor.advance(0)?;
    }
    distances
        .iter()
        .map(|&distance| {
            let mut counts = base.clone();
            for segment in segments() {
                let all = segment.start..segment.end;
                let firsts = segment.firsts(distance);
                change(&mut counts.x, first, firsts.end..all.end, -1);
                if firsts.is_empty() {
                    change(&mut counts.y, second, all, -1);
                } else if distance >= all.len() {
                    change(&mut counts.y, second, all, -1);
                    change(&mut counts.y, second, firsts.start + distance..firsts.end + distance, 1);
                } else {
                    change(&mut counts.y, second, all.start..all.start + distance, -1);
                    change(&mut counts.y, second, all.end..firsts.end + distance, 1);
                }
            }
            monitor.advance(0)?;
            Ok(counts)
        })
        .collect()
}

fn change<T: Rank>(counts: &mut [u64], tokens: &[T], span: Range<usize>, by: i64) {
    for token in &tokens[span] {
        let count = &mut counts[token.index()];
        *count = count.wrapping_add_signed(by);
    }
}
