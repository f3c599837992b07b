//! How a count is cut so that every thread stays within its memory.

use std::ops::Range;

use super::blocks::{BLOCK, SPARE};
use super::dense::COUNTER_BYTES;
use super::tally::table_bytes;
use crate::corpus::{Rank, Ranked, Ranks};
use crate::{Error, Result};

/// What is made of the blocks before a walk, to find the first tokens of its range at every distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    None,
    Listed,
    Sorted,
}

/// Distances to take in one walk over the corpus, and the ranges of first ranks whose lists a thread holds at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    pub distances: usize,
    pub index: Index,
    pub pieces: Vec<Range<usize>>,
}

/// Alphabets of up to this many ids are counted in one table of id pairs.
pub const DENSE: usize = u8::LIMIT;

pub fn is_dense(corpus: &Ranked) -> bool {
    matches!(corpus.ranks, Ranks::Bytes(_))
}

fn rank_bytes(corpus: &Ranked) -> u64 {
    match &corpus.ranks {
        Ranks::Bytes(_) => 1,
        Ranks::Narrow(_) => 2,
        Ranks::Wide(_) => 4,
    }
}

/// Bytes of the list of one first token.
fn list_bytes(corpus: &Ranked, frequency: u64, distances: usize, grouped: bool) -> u64 {
    let ends = if grouped { 8 * corpus.groups as u64 } else { 0 };
    (frequency + SPARE as u64) * distances as u64 * rank_bytes(corpus) + 8 + ends
}

/// Bytes of a position in a block.
const OFFSET: u64 = 2;

/// Bytes that the listed blocks take, for the tokens in `range`.
fn listed_bytes(corpus: &Ranked, range: Range<usize>) -> u64 {
    let blocks = corpus.len().div_ceil(BLOCK) as u64 + corpus.groups as u64;
    OFFSET * corpus.first.frequencies[range].iter().sum::<u64>() + blocks * 64
}

/// Bytes that the sorted blocks take, for the tokens in `range`.
fn sorted_bytes(corpus: &Ranked, range: Range<usize>) -> u64 {
    let blocks = corpus.len().div_ceil(BLOCK) as u64 + corpus.groups as u64;
    let frequencies = &corpus.first.frequencies[range];
    let runs: u64 = frequencies.iter().map(|&frequency| frequency.min(blocks)).sum();
    // Each vector of a block may take a page of 4 KB more.
    OFFSET * frequencies.iter().sum::<u64>() + runs * 2 * rank_bytes(corpus) + blocks * (8 << 10)
}

/// With fewer distances, an index costs more than it saves.
const WORTH_INDEXING: usize = 4;

/// Cut `range` so that the lists and counters of each of `threads` threads stay within `budget` bytes: two distances in one walk
/// where the lists fit; the commonest tokens, whose lists do not, with one. The blocks are sorted where there is room.
pub fn plan(
    corpus: &Ranked,
    range: Range<usize>,
    distances: usize,
    grouped: bool,
    budget: u64,
    threads: usize,
) -> Result<Vec<Walk>> {
    let frequencies = &corpus.first.frequencies;
    let range = range.start.min(frequencies.len())..range.end.min(frequencies.len());
    if range.is_empty() || distances == 0 {
        return Ok(Vec::new());
    }
    if is_dense(corpus) {
        return Ok(vec![Walk { distances, index: Index::None, pieces: vec![range] }]);
    }
    let needed = thread_bytes(corpus, 1, grouped) + list_bytes(corpus, frequencies[range.start], 1, grouped);
    if needed > budget {
        return Err(Error::Memory { budget, needed });
    }
    let pieces = |range: Range<usize>, at_once: usize, room: u64| {
        // Two units of work a thread, so that none waits long for the last.
        cut(corpus, range, at_once, grouped, room, (2 * (threads - 1)).div_ceil(distances.div_ceil(at_once)))
    };
    let lists_bytes = |piece: Range<usize>, at_once: usize| {
        frequencies[piece].iter().map(|&frequency| list_bytes(corpus, frequency, at_once, grouped)).sum::<u64>()
    };
    let mut walks = Vec::new();
    let mut end = range.end;
    for at_once in [2, 1] {
        let room = budget.saturating_sub(thread_bytes(corpus, at_once, grouped));
        if at_once > distances || end == range.start {
            continue;
        }
        // Frequencies fall: those that fit are a suffix.
        let fits = |&rank: &usize| list_bytes(corpus, frequencies[rank], at_once, grouped) <= room;
        let start = (range.start..end).find(fits).unwrap_or(end);
        if start < end {
            let whole = pieces(start..end, at_once, room);
            if distances < WORTH_INDEXING || whole.len() == 1 {
                walks.push(Walk { distances: at_once, index: Index::None, pieces: whole });
            } else {
                // So few pieces that every thread has work: each reads all of the corpus again.
                let together = threads.div_ceil(distances.div_ceil(at_once));
                let record = at_once as u64 * rank_bytes(corpus) * threads as u64;
                let lists =
                    room.saturating_sub(listed_bytes(corpus, 0..0)) * record / (record + OFFSET * together as u64);
                for pieces in pieces(start..end, at_once, lists).chunks(together) {
                    let range = pieces[0].start..pieces[pieces.len() - 1].end;
                    let records = pieces.iter().map(|piece| lists_bytes(piece.clone(), at_once)).max().unwrap_or(0);
                    let fits = listed_bytes(corpus, range).div_ceil(threads as u64) + records <= room;
                    let index = if fits { Index::Listed } else { Index::None };
                    walks.push(Walk { distances: at_once, index, pieces: pieces.to_vec() });
                }
            }
        }
        end = start;
    }
    if distances >= WORTH_INDEXING {
        let sorted = sorted_bytes(corpus, range.clone()).div_ceil(threads as u64);
        let room = budget.saturating_sub(sorted + thread_bytes(corpus, 2, grouped));
        if list_bytes(corpus, frequencies[range.start], 2, grouped) <= room {
            let pieces = pieces(range, 2, room);
            // A walk over sorted blocks takes half the time of one that looks for the tokens of its piece.
            if pieces.len() <= 2 * walks.iter().map(|walk| walk.pieces.len()).sum::<usize>() {
                return Ok(vec![Walk { distances: 2, index: Index::Sorted, pieces }]);
            }
        }
    }
    Ok(walks)
}

/// Cut `range` into as few pieces as `room` allows, but at least so many, of about the same size. Every list fits.
fn cut(
    corpus: &Ranked,
    range: Range<usize>,
    distances: usize,
    grouped: bool,
    room: u64,
    least: usize,
) -> Vec<Range<usize>> {
    let list = |rank: usize| list_bytes(corpus, corpus.first.frequencies[rank], distances, grouped);
    let all: u64 = range.clone().map(list).sum();
    let even = all.div_ceil(all.div_ceil(room.max(1)).max(least as u64).max(1));
    let mut pieces = Vec::new();
    let (mut start, mut bytes) = (range.start, 0);
    for rank in range.clone() {
        let own = list(rank);
        if bytes >= even || bytes + own > room {
            pieces.push(start..rank);
            (start, bytes) = (rank, 0);
        }
        bytes += own;
    }
    pieces.push(start..range.end);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Bytes of a thread's tallies and increments, of its stack, and of what the allocator keeps.
const SCRATCH: u64 = 2 << 20;

/// Bytes a thread needs besides the lists: counters, tallies, scratch.
fn thread_bytes(corpus: &Ranked, at_once: usize, grouped: bool) -> u64 {
    if is_dense(corpus) {
        let cells = (corpus.first.len() * corpus.second().len()) as u64;
        return cells * 8 * corpus.groups as u64 + COUNTER_BYTES;
    }
    let longest = corpus.first.frequencies.first().copied().unwrap_or(0);
    at_once as u64 * (table_bytes(corpus.second().len(), longest, grouped) + rank_bytes(corpus) * BLOCK as u64)
        + SCRATCH
}

/// The smallest budget of [`plan`]: the commonest token's list at one distance.
pub fn least_bytes(corpus: &Ranked, grouped: bool) -> u64 {
    let most = corpus.first.frequencies.first().copied().unwrap_or(0);
    let list = if is_dense(corpus) { 0 } else { list_bytes(corpus, most, 1, grouped) };
    thread_bytes(corpus, 1, grouped) + list
}

/// Bytes that stay while a corpus is counted: ranks and alphabets.
pub fn resident_bytes(corpus: &Ranked) -> u64 {
    let sequences = 1 + u64::from(corpus.sided());
    corpus.len() as u64 * rank_bytes(corpus) * sequences
        + corpus.first.bytes()
        + if sequences > 1 { corpus.second().bytes() } else { 0 }
}
