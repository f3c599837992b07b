//! The successors of every first token, token by token: appended block by block, then counted list by list.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rayon::prelude::*;

use super::JointCounts;
use super::blocks::{BLOCK, Block, SPARE, Sorted, blocks, list_blocks, sort_blocks};
use super::increments::Increments;
use super::pages::Records;
use super::plan::{Index, Walk};
use super::tally::{Counters, Tally};
use crate::Result;
use crate::corpus::{Rank, Ranked, Segment, find, keep};
use crate::monitor::Monitor;

pub struct Task<'a, T> {
    pub corpus: &'a Ranked,
    pub first: &'a [T],
    pub second: &'a [T],
    pub increments: Option<&'a Increments>,
    pub monitor: &'a Monitor,
}

impl<T: Rank> Task<'_, T> {
    pub fn count(&self, distances: &[usize], walks: &[Walk]) -> Result<Vec<JointCounts>> {
        let blocks = blocks(&self.corpus.segments);
        let mut counts = vec![JointCounts::none(self.corpus.groups); distances.len()];
        for walk in walks {
            let range = walk.pieces[0].start..walk.pieces[walk.pieces.len() - 1].end;
            let segments = &self.corpus.segments;
            let found = match walk.index {
                Index::None => Found::None,
                Index::Listed => Found::Listed(list_blocks(&blocks, segments, self.first, &range, self.monitor)?),
                Index::Sorted => Found::Sorted(sort_blocks(&blocks, segments, self.first, &range, self.monitor)?),
            };
            let source = Source { blocks: &blocks, range, found };
            let pairs = if walk.distances == 2 { distances.len() / 2 * 2 } else { 0 };
            let (twos, ones) = distances.split_at(pairs);
            let (twos, ones) = (twos.as_chunks::<2>().0, ones.as_chunks::<1>().0);
            let parts =
                self.walk(&source, twos, &walk.pieces)?.into_iter().chain(self.walk(&source, ones, &walk.pieces)?);
            for (sum, part) in counts.iter_mut().zip(parts) {
                *sum = sum.merge(&part)?;
            }
        }
        Ok(counts)
    }

    /// Every thread takes the next piece at the next `W` distances.
    fn walk<const W: usize>(
        &self,
        source: &Source<T>,
        distances: &[[usize; W]],
        pieces: &[Range<usize>],
    ) -> Result<Vec<JointCounts>> {
        let units = distances.len() * pieces.len();
        let next = AtomicUsize::new(0);
        let counted: Vec<Vec<_>> = (0..rayon::current_num_threads().min(units))
            .into_par_iter()
            .with_max_len(1)
            .map(|_| {
                let mut worker = Worker::<T, W>::new(self, pieces)?;
                let mut counted = Vec::new();
                loop {
                    let unit = next.fetch_add(1, Relaxed);
                    if unit >= units {
                        return Ok(counted);
                    }
                    let (chunk, piece) = (unit / pieces.len(), &pieces[unit % pieces.len()]);
                    worker.append(source, distances[chunk], piece.clone())?;
                    counted.push((chunk, worker.count()?));
                }
            })
            .collect::<Result<_>>()?;
        let mut sums = vec![JointCounts::none(self.corpus.groups); W * distances.len()];
        for (chunk, counts) in counted.into_iter().flatten() {
            for (sum, part) in sums[chunk * W..].iter_mut().zip(counts) {
                *sum = sum.merge(&part)?;
            }
        }
        Ok(sums)
    }
}

/// The corpus in blocks, and where the tokens of a walk's range are in each.
struct Source<'a, T> {
    blocks: &'a [Block],
    range: Range<usize>,
    found: Found<T>,
}

enum Found<T> {
    None,
    Listed(Vec<Vec<u16>>),
    Sorted(Vec<Sorted<T>>),
}

/// One thread's lists and counters.
struct Worker<'a, T, const W: usize> {
    task: &'a Task<'a, T>,
    /// The first tokens whose lists are held.
    piece: Range<usize>,
    records: Records<T, W>,
    /// Where the next record of each token of the piece goes.
    cursors: Vec<usize>,
    /// By group, the cursors at its end; empty where there is one group.
    ends: Vec<usize>,
    /// The group whose cursors come next.
    group: usize,
    /// Of the tokens of a block.
    successors: Vec<[T; W]>,
    counters: Counters<W>,
    /// (end, group) of the runs of records of one group in the list at hand
    runs: Vec<(usize, usize)>,
}

impl<'a, T: Rank, const W: usize> Worker<'a, T, W> {
    fn new(task: &'a Task<'a, T>, pieces: &[Range<usize>]) -> Result<Self> {
        let lists = pieces.iter().map(Range::len).max().unwrap_or(0);
        let room = |piece: &Range<usize>| {
            task.corpus.first.frequencies[piece.clone()].iter().sum::<u64>() as usize + piece.len() * SPARE
        };
        Ok(Self {
            task,
            piece: 0..0,
            records: Records::new(pieces.iter().map(room).max().unwrap_or(0))?,
            // Exact: a vector that grows would leave its smaller selves behind.
            cursors: Vec::with_capacity(lists),
            ends: Vec::with_capacity(if task.increments.is_some() { lists * task.corpus.groups } else { 0 }),
            group: 0,
            successors: vec![[T::new(0); W]; BLOCK],
            counters: Counters::new(task.corpus.second().len()),
            runs: Vec::new(),
        })
    }

    /// Where each list of the piece starts. A list has room for a few records more than it gets.
    fn starts(&self) -> impl Iterator<Item = usize> + use<'a, T, W> {
        let frequencies = &self.task.corpus.first.frequencies[self.piece.clone()];
        frequencies.iter().scan(0, |next, &frequency| {
            let start = *next;
            *next += frequency as usize + SPARE;
            Some(start)
        })
    }

    /// Append to the list of every token of the piece its successors at these distances, in the order of the corpus.
    fn append(&mut self, source: &Source<T>, distances: [usize; W], piece: Range<usize>) -> Result<()> {
        self.piece = piece;
        let starts = self.starts();
        self.cursors.clear();
        self.cursors.extend(starts);
        self.ends.clear();
        self.group = 0;
        for (index, block) in source.blocks.iter().enumerate() {
            self.end_groups_before(block.group);
            match &source.found {
                Found::Sorted(sorted) => self.append_sorted(block, &sorted[index], distances),
                Found::Listed(offsets) => self.append_listed(block, &offsets[index], &source.range, distances),
                Found::None => self.append_scanned(block, distances),
            }
            self.task.monitor.advance(0)?;
        }
        self.end_groups_before(self.task.corpus.groups);
        Ok(())
    }

    fn end_groups_before(&mut self, group: usize) {
        if self.task.increments.is_some() {
            for _ in self.group..group {
                self.ends.extend_from_slice(&self.cursors);
            }
            self.group = group;
        }
    }

    fn append_sorted(&mut self, block: &Block, sorted: &Sorted<T>, distances: [usize; W]) {
        let runs = &sorted.runs;
        let low = runs.partition_point(|run| run.rank.index() < self.piece.start);
        let high = low + runs[low..].partition_point(|run| run.rank.index() < self.piece.end);
        if low == high {
            return;
        }
        let task = self.task;
        let sentinel = T::new(task.corpus.second().len());
        let successors = self.successors.as_mut_slice();
        block.write_successors(&task.corpus.segments, task.second, distances, sentinel, successors);
        let successors: &[[T; W]; BLOCK] = successors[..BLOCK].try_into().expect("a block");
        let mut offset = runs[..low].iter().map(|run| run.len()).sum::<usize>();
        for (index, run) in runs[low..high].iter().enumerate() {
            if let Some(ahead) = runs.get(low + index + AHEAD) {
                let local = ahead.rank.index() - self.piece.start;
                if let Some(&cursor) = self.cursors.get(local) {
                    prefetch(self.records.get().as_ptr().wrapping_add(cursor));
                }
            }
            let cursor = &mut self.cursors[run.rank.index() - self.piece.start];
            let mut to = *cursor;
            let mut from = offset;
            offset += run.len();
            *cursor += run.len();
            // Four at a time: most runs are shorter, and their lengths would be mispredicted. What is written beyond the run
            // is written over, or lies behind the list.
            loop {
                let records: &mut [[T; W]; 4] = (&mut self.records.get_mut()[to..to + 4]).try_into().expect("four");
                let offsets: &[u16; 4] = sorted.offsets[from..from + 4].try_into().expect("four");
                *records = offsets.map(|offset| successors[offset as usize]);
                (to, from) = (to + 4, from + 4);
                if from >= offset {
                    break;
                }
            }
        }
    }

    fn append_scanned(&mut self, block: &Block, distances: [usize; W]) {
        let mut hits: [u16; CHUNK] = std::array::from_fn(|offset| offset as u16);
        let whole = self.piece.len() == self.task.corpus.first.len();
        for (span, segment) in block.spans(&self.task.corpus.segments) {
            for start in span.clone().step_by(CHUNK) {
                let firsts = &self.task.first[start..span.end.min(start + CHUNK)];
                let number = if whole { firsts.len() } else { find(firsts, &self.piece, &mut hits) };
                self.append_hits(&hits[..number], start, segment, distances);
            }
        }
    }

    /// `listed`: where the tokens of `range` are in the block.
    fn append_listed(&mut self, block: &Block, listed: &[u16], range: &Range<usize>, distances: [usize; W]) {
        let mut hits = [0; CHUNK];
        let (first, base) = (self.task.first, block.span.start);
        let mut rest = listed;
        for (span, segment) in block.spans(&self.task.corpus.segments) {
            let (inside, beyond) = rest.split_at(rest.partition_point(|&offset| base + (offset as usize) < span.end));
            rest = beyond;
            for listed in inside.chunks(CHUNK) {
                if self.piece == *range {
                    self.append_hits(listed, base, segment, distances);
                } else {
                    let number = keep(listed.iter().copied(), &mut hits, |offset| {
                        first[base + offset as usize].index().wrapping_sub(self.piece.start) < self.piece.len()
                    });
                    self.append_hits(&hits[..number], base, segment, distances);
                }
            }
        }
    }

    /// Append the successors of the tokens at these offsets from `base`, all of one segment.
    #[inline(always)]
    fn append_hits(&mut self, hits: &[u16], base: usize, segment: &Segment, distances: [usize; W]) {
        let Self { task, records, cursors, piece, .. } = self;
        let records = records.get_mut();
        let second = task.second;
        let sentinel = T::new(task.corpus.second().len());
        let Some(&last) = hits.last() else { return };
        let end = base + last as usize + 1;
        let firsts = &task.first[base..end];
        // The places of all, then the records: a record written where a cursor has just said holds up the next cursors'
        // loads, which might read what it writes (60 % more time).
        let mut places = [0; CHUNK];
        for (place, &offset) in places.iter_mut().zip(hits) {
            let cursor = &mut cursors[firsts[offset as usize].index() - piece.start];
            *place = *cursor;
            *cursor += 1;
            prefetch(records.as_ptr().wrapping_add(*place));
        }
        let places = places.iter().zip(hits);
        if end + distances.iter().max().copied().unwrap_or(0) <= segment.limit {
            let sources = distances.map(|distance| &second[base + distance..end + distance]);
            for (&place, &offset) in places {
                records[place] = sources.map(|source| source[offset as usize]);
            }
        } else {
            for (&place, &offset) in places {
                let position = base + offset as usize;
                records[place] = distances.map(|distance| match position + distance {
                    successor if successor < segment.limit => second[successor],
                    _ => sentinel,
                });
            }
        }
    }

    /// What the lists hold, by distance.
    fn count(&mut self) -> Result<Vec<JointCounts>> {
        let Task { corpus, increments, monitor, .. } = *self.task;
        let mut tallies: [Tally; W] = std::array::from_fn(|_| Tally::new(corpus.groups));
        let lists = self.cursors.len();
        let starts = self.starts();
        for (local, start) in starts.enumerate() {
            let end = self.cursors[local];
            let list = &self.records.get()[start..end];
            if list.is_empty() {
                continue;
            }
            let groups = increments.map(|increments| {
                self.runs.clear();
                let mut last = 0;
                for group in 0..corpus.groups {
                    let end = self.ends[group * lists + local] - start;
                    if end > last {
                        self.runs.push((end, group));
                        last = end;
                    }
                }
                (increments, &self.runs[..])
            });
            self.counters.add(list, groups, &mut tallies);
            monitor.advance((list.len() * W) as u64)?;
        }
        tallies.into_iter().map(Tally::finish).collect()
    }
}

/// Hits whose places are kept in the first-level cache.
const CHUNK: usize = 512;

/// How many records ahead their place is fetched.
const AHEAD: usize = 12;

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
