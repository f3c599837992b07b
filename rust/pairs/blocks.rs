//! The corpus in blocks that fit the second-level cache, and where each token occurs inside them.

use std::ops::Range;

use rayon::prelude::*;

use crate::Result;
use crate::corpus::{Rank, Segment, find};
use crate::monitor::Monitor;

/// Most positions of a block: an offset takes 16 bits, and the successors of a block at two distances 256 KB.
pub const BLOCK: usize = 1 << 16;

/// Neighbouring first tokens of one group.
#[derive(Debug)]
pub struct Block {
    pub span: Range<usize>,
    /// Those that overlap the block.
    pub segments: Range<usize>,
    pub group: usize,
}

/// Cut the segments into blocks; no block holds two groups.
pub fn blocks(segments: &[Segment]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let mut start = segment.start;
        while start < segment.end {
            match blocks.last_mut() {
                Some(block) if block.group == segment.group && start < block.span.start + BLOCK => {
                    start = segment.end.min(block.span.start + BLOCK);
                    block.span.end = start;
                    block.segments.end = index + 1;
                }
                _ => {
                    blocks.push(Block { span: start..start, segments: index..index + 1, group: segment.group });
                }
            }
        }
    }
    blocks
}

impl Block {
    /// The first tokens of the block, segment by segment.
    pub fn spans<'a>(&'a self, segments: &'a [Segment]) -> impl Iterator<Item = (Range<usize>, &'a Segment)> {
        segments[self.segments.clone()].iter().map(|segment| {
            let start = segment.start.max(self.span.start);
            (start..segment.end.min(self.span.end).max(start), segment)
        })
    }

    /// Write the successors of each first token at these distances, or the sentinel where its document ends before.
    pub fn write_successors<T: Rank, const W: usize>(
        &self,
        segments: &[Segment],
        second: &[T],
        distances: [usize; W],
        sentinel: T,
        successors: &mut [[T; W]],
    ) {
        let reach = distances.iter().max().copied().unwrap_or(0);
        for (span, segment) in self.spans(segments) {
            let rows = &mut successors[span.start - self.span.start..span.end - self.span.start];
            let inside = segment.limit.saturating_sub(reach).clamp(span.start, span.end) - span.start;
            let (full, rest) = rows.split_at_mut(inside);
            if inside > 0 {
                let sources = distances.map(|distance| &second[span.start + distance..][..inside]);
                for (index, row) in full.iter_mut().enumerate() {
                    *row = std::array::from_fn(|lane| sources[lane][index]);
                }
            }
            for (position, row) in (span.start + inside..).zip(rest) {
                *row = distances.map(|distance| match position + distance {
                    successor if successor < segment.limit => second[successor],
                    _ => sentinel,
                });
            }
        }
    }
}

/// Consecutive entries of a block's offsets that belong to one token.
#[derive(Debug, Clone, Copy)]
pub struct Run<T> {
    pub rank: T,
    /// the number of entries less one
    last: u16,
}

impl<T> Run<T> {
    pub fn len(&self) -> usize {
        self.last as usize + 1
    }
}

/// The positions of a block, by token.
#[derive(Debug)]
pub struct Sorted<T> {
    /// Ascending ranks.
    pub runs: Vec<Run<T>>,
    /// From the start of the block; for every run in turn, ascending. A few zeros follow.
    pub offsets: Vec<u16>,
}

/// Offsets behind the last run, so that a reader may take a few too many.
pub const SPARE: usize = 3;

/// Above this many tokens, those of a block are sorted; up to it, a sweep over all counters finds them in order.
const SWEPT: usize = 1 << 18;

/// Sort the positions of every block by token, for the tokens of `range`.
pub fn sort_blocks<T: Rank>(
    blocks: &[Block],
    segments: &[Segment],
    first: &[T],
    range: &Range<usize>,
    monitor: &Monitor,
) -> Result<Vec<Sorted<T>>> {
    blocks
        .par_iter()
        .map_init(
            || vec![0u32; range.len()],
            |counts, block| {
                monitor.advance(0)?;
                Ok(sort_block(block, segments, first, range, counts))
            },
        )
        .collect()
}

/// `counts`: zero before and after.
fn sort_block<T: Rank>(
    block: &Block,
    segments: &[Segment],
    first: &[T],
    range: &Range<usize>,
    counts: &mut [u32],
) -> Sorted<T> {
    let mut number = 0;
    let mut touched = Vec::new();
    for (span, _) in block.spans(segments) {
        for token in &first[span] {
            if let Some(count) = counts.get_mut(token.index().wrapping_sub(range.start)) {
                if range.len() > SWEPT && *count == 0 {
                    touched.push(token.index() - range.start);
                }
                *count += 1;
                number += 1;
            }
        }
    }
    let mut start = 0;
    let mut runs = Vec::new();
    if range.len() > SWEPT {
        touched.sort_unstable();
        runs.reserve_exact(touched.len());
        for &local in &touched {
            runs.push(Run { rank: T::new(range.start + local), last: (counts[local] - 1) as u16 });
            start += std::mem::replace(&mut counts[local], start);
        }
    } else {
        runs.reserve_exact(counts.iter().filter(|&&count| count > 0).count());
        for (local, count) in counts.iter_mut().enumerate() {
            if *count > 0 {
                runs.push(Run { rank: T::new(range.start + local), last: (*count - 1) as u16 });
                start += std::mem::replace(count, start);
            }
        }
    }
    let mut offsets = vec![0; number + SPARE];
    for (span, _) in block.spans(segments) {
        for (position, token) in span.clone().zip(&first[span]) {
            if let Some(cursor) = counts.get_mut(token.index().wrapping_sub(range.start)) {
                offsets[*cursor as usize] = (position - block.span.start) as u16;
                *cursor += 1;
            }
        }
    }
    runs.iter().for_each(|run| counts[run.rank.index() - range.start] = 0);
    Sorted { runs, offsets }
}

/// Where in every block the tokens of `range` are: a fraction of the memory of sorting, which serves as well where lists are short.
pub fn list_blocks<T: Rank>(
    blocks: &[Block],
    segments: &[Segment],
    first: &[T],
    range: &Range<usize>,
    monitor: &Monitor,
) -> Result<Vec<Vec<u16>>> {
    let list = |block: &Block, offsets: &mut Vec<u16>| {
        let mut number = 0;
        for (span, _) in block.spans(segments) {
            let start = span.start - block.span.start;
            let found = find(&first[span], range, &mut offsets[number..]);
            offsets[number..number + found].iter_mut().for_each(|offset| *offset += start as u16);
            number += found;
        }
        offsets[..number].to_vec()
    };
    blocks
        .par_iter()
        .map_init(
            || vec![0; BLOCK],
            |offsets, block| {
                monitor.advance(0)?;
                Ok(list(block, offsets))
            },
        )
        .collect()
}
