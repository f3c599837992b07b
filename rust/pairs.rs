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
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rayon::prelude::*;

use crate::corpus::{Rank, Ranked, Ranks};
use crate::entropy::Estimator;
use crate::fingerprint::Fingerprint;
use crate::monitor::Monitor;
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

/// Count the pairs at these distances whose first rank is in `range`.
///
/// Each thread of the pool holds the lists of one piece of [`plan`] at a time, within `budget` bytes. `estimator`: whose f
/// the jackknife needs; none, or one group only: no jackknife. The monitor advances by pairs.
pub fn count(
    corpus: &Ranked,
    distances: &[usize],
    range: Range<usize>,
    estimator: Option<Estimator>,
    budget: u64,
    monitor: &Monitor,
) -> Result<Vec<JointCounts>> {
    let grouped = estimator.is_some() && corpus.groups > 1;
    let walks = plan(corpus, range.clone(), distances.len(), grouped, budget)?;
    let firsts: u64 =
        walks.iter().flat_map(|walk| walk.pieces.iter().cloned()).map(|piece| firsts(corpus, piece)).sum();
    monitor.set_total(firsts * distances.len() as u64);
    if corpus.groups > u16::MAX as usize {
        return Err(Error::invalid("groups", corpus.groups.to_string(), "at most 65535"));
    }
    let increments = match estimator {
        Some(estimator) if corpus.groups > 1 => Some(Increments::new(summand(estimator)?)),
        _ => None,
    };
    let increments = increments.as_ref();
    let mut counts = vec![JointCounts { removed: vec![0; corpus.groups], ..Default::default() }; distances.len()];
    for walk in &walks {
        for (index, some) in distances.chunks(walk.distances).enumerate() {
            let counted = match &corpus.ranks {
                Ranks::Narrow(sides) => {
                    let task = Task { corpus, first: &sides.first, second: sides.second(), increments };
                    if is_dense(corpus) {
                        let range = &walk.pieces[0];
                        some.par_iter().map(|&distance| task.dense(distance, range, monitor)).collect()
                    } else {
                        task.lists(some, &walk.pieces, monitor)
                    }
                }
                Ranks::Wide(sides) => {
                    let task = Task { corpus, first: &sides.first, second: sides.second(), increments };
                    task.lists(some, &walk.pieces, monitor)
                }
            };
            for (sum, part) in counts[index * walk.distances..].iter_mut().zip(counted?) {
                *sum = sum.merge(&part)?;
            }
        }
    }
    Ok(counts)
}

fn firsts(corpus: &Ranked, piece: Range<usize>) -> u64 {
    corpus.first.frequencies[piece].iter().sum()
}

fn summand(estimator: Estimator) -> Result<fn(u64) -> f64> {
    estimator.summand().ok_or_else(|| {
        Error::invalid("estimator", format!("{:?}", estimator.name()), "one that is a sum over symbols, or groups=None")
    })
}

/// Alphabets of up to this many ids are counted in one table of id pairs.
pub const DENSE: usize = 256;

/// Most entries of a row: successors at that many distances, one of the entries being the group where there are groups.
const WIDEST: usize = 16;

/// Entries of a row for this many distances: 1, 2, 4, 8 or 16, so that rows are transposed in registers.
fn row_width(distances: usize, grouped: bool) -> usize {
    (distances + usize::from(grouped)).next_power_of_two().min(WIDEST)
}

/// Distances that one walk over the corpus can take.
fn distances_per_walk(grouped: bool) -> usize {
    WIDEST - usize::from(grouped)
}

/// Bytes of one row of a list, by whether ranks are wide.
fn row_bytes(corpus: &Ranked, distances: usize, grouped: bool) -> u64 {
    let bytes = match &corpus.ranks {
        Ranks::Narrow(_) => 2,
        Ranks::Wide(_) => 4,
    };
    row_width(distances, grouped) as u64 * bytes
}

/// Distances to take in one walk, and the ranges of first ranks whose lists a thread holds at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    pub distances: usize,
    pub pieces: Vec<Range<usize>>,
}

/// Cut `range` so that every thread's lists and counters stay within `budget` bytes: all distances in one walk where the
/// lists fit; the commonest tokens, whose lists do not, with fewer distances at a time.
pub fn plan(corpus: &Ranked, range: Range<usize>, distances: usize, grouped: bool, budget: u64) -> Result<Vec<Walk>> {
    let frequencies = &corpus.first.frequencies;
    let range = range.start.min(frequencies.len())..range.end.min(frequencies.len());
    if range.is_empty() || distances == 0 {
        return Ok(Vec::new());
    }
    if is_dense(corpus) {
        return Ok(vec![Walk { distances, pieces: vec![range] }]);
    }
    let mut walks = Vec::new();
    let mut end = range.end;
    let mut at_once = distances.min(distances_per_walk(grouped));
    loop {
        let fixed = thread_bytes(corpus, at_once);
        let row = row_bytes(corpus, at_once, grouped);
        let room = budget.saturating_sub(fixed);
        // Frequencies fall: those that fit are a suffix.
        let fits = |rank: usize| frequencies[rank] * row + 8 <= room;
        let start = range.start + (range.start..end).take_while(|&rank| !fits(rank)).count();
        let mut pieces = Vec::new();
        let (mut piece, mut bytes) = (start, 0);
        for rank in start..end {
            let list = frequencies[rank] * row + 8;
            if bytes + list > room {
                pieces.push(piece..rank);
                (piece, bytes) = (rank, 0);
            }
            bytes += list;
        }
        if piece < end {
            pieces.push(piece..end);
        }
        if !pieces.is_empty() {
            walks.push(Walk { distances: at_once, pieces });
        }
        end = start;
        if end == range.start {
            return Ok(walks);
        }
        if at_once == 1 {
            return Err(Error::Memory { budget, needed: fixed + frequencies[range.start] * row + 8 });
        }
        at_once = (row_width(at_once, grouped) / 2 - usize::from(grouped)).max(1);
    }
}

fn is_dense(corpus: &Ranked) -> bool {
    corpus.first.len() <= DENSE && corpus.second().len() <= DENSE
}

/// Bytes a thread needs besides the lists: counters, tallies, scratch.
fn thread_bytes(corpus: &Ranked, distances: usize) -> u64 {
    if is_dense(corpus) {
        let cells = (corpus.first.len() * corpus.second().len()) as u64;
        return cells * (8 * corpus.groups as u64 + 16);
    }
    6 * (corpus.second().len() as u64 + 1) + distances as u64 * (8 * (LIGHT as u64 + (1 << 12))) + (1 << 20)
}

/// The smallest budget of [`plan`]: the commonest token's list at one distance.
pub fn least_bytes(corpus: &Ranked, grouped: bool) -> u64 {
    let most = corpus.first.frequencies.first().copied().unwrap_or(0);
    let list = if is_dense(corpus) { 0 } else { most * row_bytes(corpus, 1, grouped) + 8 };
    thread_bytes(corpus, 1) + list
}

/// Bytes that stay while a corpus is counted: ranks and alphabets.
pub fn resident_bytes(corpus: &Ranked) -> u64 {
    let (width, sequences) = match &corpus.ranks {
        Ranks::Narrow(sides) => (2, 1 + u64::from(sides.second.is_some())),
        Ranks::Wide(sides) => (4, 1 + u64::from(sides.second.is_some())),
    };
    corpus.len() as u64 * width * sequences
        + corpus.first.bytes()
        + if sequences > 1 { corpus.second().bytes() } else { 0 }
}

/// Lists shorter than this are counted in 16 bits, and their fingerprint grows with the counters.
const LIGHT: usize = 1 << 16;

struct Task<'a, T> {
    corpus: &'a Ranked,
    first: &'a [T],
    second: &'a [T],
    increments: Option<&'a Increments>,
}

impl<T: Rank> Task<'_, T> {
    /// One table of all id pairs a group.
    fn dense(&self, distance: usize, range: &Range<usize>, monitor: &Monitor) -> Result<JointCounts> {
        let columns = self.corpus.second().len();
        let groups = if self.increments.is_some() { self.corpus.groups } else { 1 };
        let size = self.corpus.first.len() * columns;
        let mut tables = vec![0u64; groups * size];
        // Four copies: equal pairs that follow each other would wait for the counter to be written back.
        let mut copies = vec![[0u32; 4]; size];
        let mut pending = 0;
        let mut flush = |copies: &mut [[u32; 4]], group: usize| {
            for (count, copies) in tables[group * size..][..size].iter_mut().zip(copies) {
                *count += copies.iter().map(|&copy| copy as u64).sum::<u64>();
                *copies = [0; 4];
            }
        };
        let mut group = 0;
        for segment in &self.corpus.segments {
            if groups > 1 && segment.group != group {
                flush(&mut copies, group);
                (group, pending) = (segment.group, 0);
            }
            let firsts = segment.firsts(distance);
            for start in firsts.clone().step_by(1 << 22) {
                let end = firsts.end.min(start + (1 << 22));
                let xs = self.first[start..end].chunks_exact(4);
                let ys = self.second[start + distance..end + distance].chunks_exact(4);
                for (x, y) in xs.remainder().iter().zip(ys.remainder()) {
                    copies[x.index() * columns + y.index()][0] += 1;
                }
                for (x, y) in xs.zip(ys) {
                    for copy in 0..4 {
                        copies[x[copy].index() * columns + y[copy].index()][copy] += 1;
                    }
                }
                pending += end - start;
                if pending > 1 << 31 {
                    flush(&mut copies, group);
                    pending = 0;
                }
                monitor.advance((end - start) as u64)?;
            }
        }
        flush(&mut copies, group);
        let cells = || range.start * columns..range.end * columns;
        let total = |cell: usize| tables.chunks_exact(size).map(|table| table[cell]).sum::<u64>();
        let mut counts = JointCounts {
            fingerprint: Fingerprint::from_counts(cells().map(total))?,
            removed: vec![0; self.corpus.groups],
        };
        if let Some(increments) = self.increments {
            for cell in cells() {
                let n = total(cell);
                for (removed, table) in counts.removed.iter_mut().zip(tables.chunks_exact(size)) {
                    *removed += increments.sum(n, table[cell]);
                }
            }
        }
        Ok(counts)
    }

    fn lists(&self, distances: &[usize], pieces: &[Range<usize>], monitor: &Monitor) -> Result<Vec<JointCounts>> {
        match row_width(distances.len(), self.increments.is_some()) {
            1 => self.walk::<1>(distances, pieces, monitor),
            2 => self.walk::<2>(distances, pieces, monitor),
            4 => self.walk::<4>(distances, pieces, monitor),
            8 => self.walk::<8>(distances, pieces, monitor),
            _ => self.walk::<WIDEST>(distances, pieces, monitor),
        }
    }

    fn walk<const W: usize>(
        &self,
        distances: &[usize],
        pieces: &[Range<usize>],
        monitor: &Monitor,
    ) -> Result<Vec<JointCounts>> {
        let longest = pieces.iter().map(|piece| firsts(self.corpus, piece.clone()) as usize).max().unwrap_or(0);
        let next = AtomicUsize::new(0);
        let workers = rayon::current_num_threads().min(pieces.len()).max(1);
        (0..workers)
            .into_par_iter()
            .with_max_len(1)
            .map(|_| {
                let mut worker = Worker::<T, W>::new(self, distances, longest);
                while let Some(piece) = pieces.get(next.fetch_add(1, Relaxed)) {
                    worker.gather(piece.clone(), monitor)?;
                    worker.count(monitor)?;
                }
                worker.tallies.into_iter().map(Tally::finish).collect::<Result<Vec<_>>>()
            })
            .try_reduce_with(|a, b| a.iter().zip(&b).map(|(a, b)| a.merge(b)).collect())
            .unwrap_or_else(|| Ok(vec![JointCounts::default(); distances.len()]))
    }
}

/// One thread's lists and counters.
struct Worker<'a, T, const W: usize> {
    task: &'a Task<'a, T>,
    distances: &'a [usize],
    rows: Vec<[T; W]>,
    /// Where the next row of each token of the piece goes; at last, where its list ends.
    cursors: Vec<usize>,
    narrow: Vec<u16>,
    wide: Vec<u32>,
    /// for lists of 2^32 rows or more; empty until there is one
    widest: Vec<u64>,
    tallies: Vec<Tally>,
    lanes: Vec<T>,
    /// (end, group) of the runs of rows of one group in the list at hand
    runs: Vec<(usize, usize)>,
}

impl<'a, T: Rank, const W: usize> Worker<'a, T, W> {
    fn new(task: &'a Task<'a, T>, distances: &'a [usize], longest: usize) -> Self {
        let seconds = task.corpus.second().len();
        Self {
            task,
            distances,
            rows: vec![[T::new(0); W]; longest],
            cursors: Vec::new(),
            narrow: vec![0; seconds + 1],
            wide: vec![0; seconds + 1],
            widest: Vec::new(),
            tallies: distances.iter().map(|_| Tally::new(task.corpus.groups)).collect(),
            lanes: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Append, for every first token in the piece, its row to its list: successors by distance (the sentinel where the
    /// document ends before), then the group.
    fn gather(&mut self, piece: Range<usize>, monitor: &Monitor) -> Result<()> {
        let Self { task, distances, rows, cursors, .. } = self;
        let (first, second) = (task.first, task.second);
        let sentinel = T::new(task.corpus.second().len());
        let frequencies = &task.corpus.first.frequencies[piece.clone()];
        let mut total = 0;
        cursors.clear();
        cursors.extend(frequencies.iter().map(|&frequency| {
            total += frequency as usize;
            total - frequency as usize
        }));
        // Lanes beyond the distances repeat the first and are never read.
        let shifts: [usize; W] = std::array::from_fn(|lane| distances.get(lane).copied().unwrap_or(distances[0]));
        let reach = distances.iter().max().copied().unwrap_or(0);
        let grouped = task.increments.is_some();
        const CHUNK: usize = 4096;
        let mut hits = [0u16; CHUNK];
        for segment in &task.corpus.segments {
            let group = T::new(segment.group);
            for start in (segment.start..segment.end).step_by(CHUNK) {
                let end = segment.end.min(start + CHUNK);
                // No branch on whether a token is in the piece: it would be mispredicted every few tokens.
                let mut number = 0;
                for (offset, token) in first[start..end].iter().enumerate() {
                    let local = token.index().wrapping_sub(piece.start);
                    hits[number] = offset as u16;
                    number += usize::from(local < frequencies.len());
                }
                let hits = &hits[..number];
                let inside = end + reach <= segment.limit;
                for (place, &offset) in hits.iter().enumerate() {
                    if let Some(&ahead) = hits.get(place + 12) {
                        let local = first[start + ahead as usize].index() - piece.start;
                        prefetch(rows.as_ptr().wrapping_add(cursors[local]));
                    }
                    let position = start + offset as usize;
                    let cursor = &mut cursors[first[position].index() - piece.start];
                    let row = &mut rows[*cursor];
                    *cursor += 1;
                    if inside {
                        for lane in 0..W {
                            // SAFETY: position < end, and end + reach <= limit <= second.len().
                            row[lane] = unsafe { *second.get_unchecked(position + shifts[lane]) };
                        }
                    } else {
                        for lane in 0..W {
                            let successor = position + shifts[lane];
                            row[lane] = if successor < segment.limit { second[successor] } else { sentinel };
                        }
                    }
                    if grouped {
                        row[W - 1] = group;
                    }
                }
                monitor.advance(0)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, monitor: &Monitor) -> Result<()> {
        let mut start = 0;
        for end in std::mem::take(&mut self.cursors) {
            let list = &mut self.rows[start..end];
            if list.is_empty() {
                continue;
            }
            start = end;
            self.runs.clear();
            if self.task.increments.is_some() {
                let ends = list.chunk_by(|a, b| a[W - 1] == b[W - 1]).scan(0, |end, run| {
                    *end += run.len();
                    Some((*end, run[0][W - 1].index()))
                });
                self.runs.extend(ends);
            }
            if W > 1 {
                list.chunks_mut(TILE).for_each(|tile| transpose(tile, &mut self.lanes));
            }
            let list = &*list;
            for (lane, tally) in self.tallies.iter_mut().enumerate() {
                let lane = Lane { list, lane };
                if list.len() < LIGHT {
                    tally.add(lane, &mut self.narrow, self.task.increments, &self.runs);
                } else if u32::try_from(list.len()).is_ok() {
                    tally.add(lane, &mut self.wide, self.task.increments, &self.runs);
                } else {
                    self.widest.resize(self.wide.len(), 0);
                    tally.add(lane, &mut self.widest, self.task.increments, &self.runs);
                }
                if list.len() > LIGHT {
                    monitor.advance(0)?;
                }
            }
            monitor.advance((list.len() * self.tallies.len()) as u64)?;
        }
        Ok(())
    }
}

/// Hint that this address will be written soon.
#[inline(always)]
fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; any address may be given, and SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Rows that are transposed together: a lane of a tile is long enough to be read as a stream. (With tiles of 32 rows, one
/// cache line a lane, the long lists of the commonest tokens took three times as long: a miss a line.)
const TILE: usize = 2048;

/// Rearrange a tile in place so that each lane's entries lie side by side; `lanes` is scratch.
///
/// Counting lane by lane straight from the rows costs a cache miss an entry once a list leaves the first-level cache.
fn transpose<T: Rank, const W: usize>(tile: &mut [[T; W]], lanes: &mut Vec<T>) {
    const BLOCK: usize = 32;
    let length = tile.len();
    lanes.resize(W * (TILE + BLOCK), T::new(0)); // lanes a power of two apart would share their cache sets
    let mut block = [[T::new(0); BLOCK]; W];
    for (index, rows) in tile.chunks(BLOCK).enumerate() {
        for (place, row) in rows.iter().enumerate() {
            for lane in 0..W {
                block[lane][place] = row[lane];
            }
        }
        for lane in 0..W {
            let start = lane * (TILE + BLOCK) + index * BLOCK;
            lanes[start..start + BLOCK].copy_from_slice(&block[lane]);
        }
    }
    let flat = tile.as_flattened_mut();
    for lane in 0..W {
        let start = lane * (TILE + BLOCK);
        flat[lane * length..(lane + 1) * length].copy_from_slice(&lanes[start..start + length]);
    }
}

/// One distance of a list of transposed tiles.
#[derive(Clone, Copy)]
struct Lane<'a, T, const W: usize> {
    list: &'a [[T; W]],
    lane: usize,
}

impl<T: Rank, const W: usize> Lane<'_, T, W> {
    /// Calls `visit` with the entries of rows start..end, in pieces.
    #[inline(always)]
    fn entries(self, start: usize, end: usize, mut visit: impl FnMut(&[T])) {
        let mut row = start;
        while row < end {
            let first = row - row % TILE;
            let tile = &self.list[first..self.list.len().min(first + TILE)];
            let stop = end.min(first + tile.len());
            let lane = &tile.as_flattened()[self.lane * tile.len()..(self.lane + 1) * tile.len()];
            visit(&lane[row - first..stop - first]);
            row = stop;
        }
    }
}

/// A counter of 16, 32 or 64 bits.
trait Counter: Copy {
    fn get(self) -> u64;
    fn up(&mut self);
    fn down(&mut self);
    fn clear(&mut self);
}

macro_rules! counter {
    ($($t:ty),*) => { $(impl Counter for $t {
        #[inline(always)]
        fn get(self) -> u64 { self as u64 }
        #[inline(always)]
        fn up(&mut self) { *self += 1 }
        #[inline(always)]
        fn down(&mut self) { *self -= 1 }
        #[inline(always)]
        fn clear(&mut self) { *self = 0 }
    })* }
}
counter!(u16, u32, u64);

struct Counters<'a, C>(&'a mut [C]);

impl<C> Counters<'_, C> {
    #[inline(always)]
    fn of<T: Rank>(&mut self, y: &T) -> &mut C {
        debug_assert!(y.index() < self.0.len());
        // SAFETY: rows hold ranks of the second alphabet or the sentinel, and there is a counter for each of them.
        unsafe { self.0.get_unchecked_mut(y.index()) }
    }
}

/// Fingerprint and removals of one distance, while lists are added.
struct Tally {
    /// rises[n]: how often a counter went from n to n + 1, that is, pairs that occurred more than n times
    rises: Vec<u64>,
    /// fingerprint of the long lists, up to 4,095 and above
    long: Vec<u64>,
    heavy: BTreeMap<u64, u64>,
    removed: Vec<i128>,
}

impl Tally {
    fn new(groups: usize) -> Self {
        Self { rises: vec![0; LIGHT], long: vec![0; 1 << 12], heavy: BTreeMap::new(), removed: vec![0; groups] }
    }

    /// `counters`: one a second rank and one for the sentinel, zero before and after.
    #[inline(never)]
    fn add<T: Rank, C: Counter, const W: usize>(
        &mut self,
        lane: Lane<'_, T, W>,
        counters: &mut [C],
        increments: Option<&Increments>,
        runs: &[(usize, usize)],
    ) {
        let sentinel = counters.len() - 1;
        let rows = lane.list.len();
        let mut counters = Counters(counters);
        if rows < LIGHT {
            let rises = &mut self.rises[..LIGHT];
            lane.entries(0, rows, |ys| {
                for y in ys {
                    let counter = counters.of(y);
                    rises[counter.get() as usize & (LIGHT - 1)] += 1;
                    counter.up();
                }
            });
            for n in 0..counters.0[sentinel].get() {
                rises[n as usize] -= 1;
            }
        } else {
            lane.entries(0, rows, |ys| ys.iter().for_each(|y| counters.of(y).up()));
            for n in counters.0[..sentinel].iter().map(|counter| counter.get()) {
                match self.long.get_mut(n as usize) {
                    Some(symbols) => *symbols += 1,
                    None => *self.heavy.entry(n).or_default() += 1,
                }
            }
        }
        if let Some(increments) = increments {
            let mut start = 0;
            for &(end, group) in runs {
                let absent = counters.0[sentinel].get();
                let mut removed: i64 = 0;
                lane.entries(start, end, |ys| {
                    for y in ys {
                        let counter = counters.of(y);
                        removed += increments.at(counter.get());
                        counter.down();
                    }
                });
                self.removed[group] += removed as i128;
                let left = counters.0[sentinel].get();
                if left < absent {
                    self.removed[group] -= increments.sum(absent, absent - left);
                }
                lane.entries(start, end, |ys| ys.iter().for_each(|y| counters.of(y).up()));
                start = end;
            }
        }
        if rows > counters.0.len() / 2 {
            counters.0.iter_mut().for_each(C::clear);
        } else {
            lane.entries(0, rows, |ys| ys.iter().for_each(|y| counters.of(y).clear()));
        }
    }

    fn finish(self) -> Result<JointCounts> {
        let next = self.rises.iter().skip(1).chain(std::iter::once(&0));
        let light = self.rises.iter().zip(next).enumerate().map(|(n, (above, next))| (n as u64 + 1, above - next));
        let long = self.long.iter().enumerate().map(|(n, &symbols)| (n as u64, symbols));
        let fingerprint = Fingerprint::from_entries(light.chain(long).chain(self.heavy))?;
        Ok(JointCounts { fingerprint, removed: self.removed })
    }
}

#[cfg(test)]
mod tests;
