//! Tokens as the kernels read them: ids replaced by frequency ranks, documents in the order of their jackknife groups.
//!
//! Rank 0 is the most frequent id. Small numbers for frequent tokens keep the counters in use close together; 8 bits suffice for
//! up to 256 different ids, and 16 bits for up to 65,535, whatever the vocabulary.

use std::collections::HashMap;
use std::ops::{AddAssign, Range};

use rand_philox::Philox;
use rayon::prelude::*;

use crate::memory::in_large_pages;
use crate::monitor::Monitor;
use crate::{Error, Result};

/// A token id of any integer type. `key` keeps the order and is unsigned.
pub trait Id: Copy + Ord + Send + Sync {
    /// The smallest and the largest id.
    const RANGE: [Self; 2];
    fn key(self) -> u64;
}

macro_rules! id {
    ($sign:expr, $($t:ty),*) => { $(impl Id for $t {
        const RANGE: [Self; 2] = [<$t>::MIN, <$t>::MAX];
        #[inline(always)]
        fn key(self) -> u64 { self as u64 ^ $sign }
    })* }
}
id!(0, u8, u16, u32, u64);
id!(1 << 63, i8, i16, i32, i64);

/// A rank as it is stored: u8 or u16 where that suffices, else u32. The largest value of 16 and 32 bits is kept free for "no
/// successor".
pub trait Rank: Copy + Send + Sync + Eq + 'static {
    const LIMIT: usize;
    fn new(rank: usize) -> Self;
    fn index(self) -> usize;
}

impl Rank for u8 {
    const LIMIT: usize = 1 << 8;
    #[inline(always)]
    fn new(rank: usize) -> Self {
        rank as u8
    }
    #[inline(always)]
    fn index(self) -> usize {
        self as usize
    }
}

impl Rank for u16 {
    const LIMIT: usize = u16::MAX as usize;
    #[inline(always)]
    fn new(rank: usize) -> Self {
        rank as u16
    }
    #[inline(always)]
    fn index(self) -> usize {
        self as usize
    }
}

impl Rank for u32 {
    const LIMIT: usize = u32::MAX as usize;
    #[inline(always)]
    fn new(rank: usize) -> Self {
        rank as u32
    }
    #[inline(always)]
    fn index(self) -> usize {
        self as usize
    }
}

/// The ids that occur, in an order that gives them ranks, and how often each occurs.
#[derive(Debug, Clone, Default)]
pub struct Alphabet {
    pub keys: Vec<u64>,
    pub frequencies: Vec<u64>,
    smallest: u64,
    lookup: Lookup,
}

#[derive(Debug, Clone)]
enum Lookup {
    /// rank of smallest + index
    Table(Vec<u32>),
    /// for ids spread over a range much larger than the corpus
    Map(HashMap<u64, u32>),
}

impl Default for Lookup {
    fn default() -> Self {
        Lookup::Table(Vec::new())
    }
}

impl Alphabet {
    /// Of the tokens in these spans, the most frequent id first (ties: smaller id first).
    pub fn by_frequency<I: Id>(tokens: &[I], spans: &[Range<usize>], monitor: &Monitor) -> Result<Self> {
        Self::of(tokens, spans, true, monitor)
    }

    /// Of the tokens in these spans, in the order of their ids.
    pub fn by_id<I: Id>(tokens: &[I], spans: &[Range<usize>], monitor: &Monitor) -> Result<Self> {
        Self::of(tokens, spans, false, monitor)
    }

    fn of<I: Id>(tokens: &[I], spans: &[Range<usize>], by_frequency: bool, monitor: &Monitor) -> Result<Self> {
        let slices: Vec<&[I]> = spans.iter().flat_map(|span| tokens[span.clone()].chunks(1 << 20)).collect();
        let number: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        if number == 0 {
            return Ok(Self::default());
        }
        // Many tokens of a narrow type: a table of all its values is small beside them.
        let [smallest, largest] = if size_of::<I>() <= 2 && number >= 1 << 16 {
            I::RANGE
        } else {
            slices
                .par_iter()
                .map(|slice| slice.iter().fold([slice[0]; 2], |[low, high], &id| [low.min(id), high.max(id)]))
                .reduce(|| [slices[0][0]; 2], |a, b| [a[0].min(b[0]), a[1].max(b[1])])
        }
        .map(Id::key);
        monitor.advance(0)?;
        let span = (largest - smallest).saturating_add(1);
        let tabled = span <= (4 * number).max(1 << 16);
        let mut counted: Vec<(u64, u64)> = if tabled {
            // Half the bytes of a counter keep twice the ids in the cache.
            match u32::try_from(number) {
                Ok(_) => occurrences::<I, u32>(&slices, smallest, span as usize),
                Err(_) => occurrences::<I, u64>(&slices, smallest, span as usize),
            }
        } else {
            let mut keys: Vec<u64> = slices.iter().copied().flatten().map(|token| token.key()).collect();
            keys.par_sort_unstable();
            keys.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64)).collect()
        };
        monitor.advance(0)?;
        if by_frequency {
            counted.par_sort_unstable_by_key(|&(key, count)| (std::cmp::Reverse(count), key));
        }
        if counted.len() >= u32::LIMIT {
            return Err(Error::invalid(
                "tokens",
                format!("{} different ids", counted.len()),
                "fewer than 2^32 - 1 different ids",
            ));
        }
        let (keys, frequencies): (Vec<u64>, Vec<u64>) = counted.into_iter().unzip();
        let lookup = if tabled {
            let mut table = vec![0; span as usize];
            for (rank, key) in keys.iter().enumerate() {
                table[(key - smallest) as usize] = rank as u32;
            }
            Lookup::Table(table)
        } else {
            Lookup::Map(keys.iter().enumerate().map(|(rank, &key)| (key, rank as u32)).collect())
        };
        Ok(Self { keys, frequencies, smallest, lookup })
    }

    /// How many different ids occur.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Memory of the tables.
    pub fn bytes(&self) -> u64 {
        let lookup = match &self.lookup {
            Lookup::Table(table) => 4 * table.len(),
            Lookup::Map(map) => 24 * map.len(),
        };
        (16 * self.len() + lookup) as u64
    }

    fn write_ranks<I: Id, T: Rank>(&self, tokens: &[I], ranks: &mut [T]) {
        match &self.lookup {
            Lookup::Table(table) => {
                for (rank, token) in ranks.iter_mut().zip(tokens) {
                    *rank = T::new(table[(token.key() - self.smallest) as usize] as usize);
                }
            }
            Lookup::Map(map) => {
                for (rank, token) in ranks.iter_mut().zip(tokens) {
                    *rank = T::new(map[&token.key()] as usize);
                }
            }
        }
    }

    /// The tokens of these spans, in this order, as ranks.
    pub fn ranks<I: Id, T: Rank>(&self, tokens: &[I], spans: &[Range<usize>], monitor: &Monitor) -> Result<Vec<T>> {
        const PIECE: usize = 1 << 20;
        let mut ranks = vec![T::new(0); spans.iter().map(Range::len).sum()];
        in_large_pages(&mut ranks);
        let mut pieces = Vec::new();
        let mut rest = ranks.as_mut_slice();
        for span in spans {
            let mut start = span.start;
            while start < span.end {
                let length = PIECE.min(span.end - start);
                let (piece, remaining) = std::mem::take(&mut rest).split_at_mut(length);
                pieces.push((start, piece));
                rest = remaining;
                start += length;
            }
        }
        pieces.into_par_iter().try_for_each(|(start, piece)| {
            self.write_ranks(&tokens[start..start + piece.len()], piece);
            monitor.advance(0)
        })?;
        Ok(ranks)
    }
}

/// How often each id occurs, in the order of ids, by a table of those from `smallest` on.
fn occurrences<I: Id, C>(slices: &[&[I]], smallest: u64, span: usize) -> Vec<(u64, u64)>
where
    C: Copy + Default + AddAssign + From<u8> + Into<u64> + Send,
{
    // A table a thread while the tables stay small beside the tokens; else one table for all.
    let number: usize = slices.iter().map(|slice| slice.len()).sum();
    let tables = (number / (4 * span)).clamp(1, rayon::current_num_threads());
    let counts = slices
        .par_chunks(slices.len().div_ceil(tables))
        .map(|slices| {
            let mut counts = vec![C::default(); span];
            for slice in slices {
                for token in *slice {
                    counts[(token.key() - smallest) as usize] += C::from(1);
                }
            }
            counts
        })
        .reduce_with(|mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        })
        .unwrap_or_default();
    let counts = counts.into_iter().map(Into::into).enumerate().filter(|&(_, count)| count > 0);
    counts.map(|(index, count)| (index as u64 + smallest, count)).collect()
}

/// Write where in `tokens` those of `range` are; returns how many.
#[inline(always)]
pub fn find<T: Rank>(tokens: &[T], range: &Range<usize>, hits: &mut [u16]) -> usize {
    let offsets = (0..tokens.len()).map(|offset| offset as u16);
    keep(offsets, hits, |offset| tokens[offset as usize].index().wrapping_sub(range.start) < range.len())
}

/// Write the offsets that are wanted; returns how many.
#[inline(always)]
pub fn keep(offsets: impl Iterator<Item = u16>, kept: &mut [u16], wanted: impl Fn(u16) -> bool) -> usize {
    let mut number = 0;
    // No branch on whether one is wanted: it would be mispredicted every few tokens.
    for offset in offsets {
        kept[number] = offset;
        number += usize::from(wanted(offset));
    }
    number
}

/// First tokens `start..end` of one document (or a block of it) in one jackknife group; a successor lies before `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub start: usize,
    pub end: usize,
    pub limit: usize,
    pub group: usize,
}

impl Segment {
    /// First tokens that have a successor at this distance.
    pub fn firsts(&self, shift: usize) -> Range<usize> {
        self.start..self.end.min(self.limit.saturating_sub(shift)).max(self.start)
    }
}

/// Ranks of both sides of a pair: 8 bits wide where neither side has more than 256 ids, else 16 or 32.
#[derive(Debug)]
pub enum Ranks {
    Bytes(Sides<u8>),
    Narrow(Sides<u16>),
    Wide(Sides<u32>),
}

/// The tokens that come first in a pair, and those that come second where they are another sequence.
#[derive(Debug)]
pub struct Sides<T> {
    pub first: Vec<T>,
    pub second: Option<Vec<T>>,
}

impl<T> Sides<T> {
    pub fn second(&self) -> &[T] {
        self.second.as_deref().unwrap_or(&self.first)
    }
}

/// A corpus ready to be counted: ranks, alphabets, segments ordered by group.
#[derive(Debug)]
pub struct Ranked {
    pub ranks: Ranks,
    pub first: Alphabet,
    /// None: the alphabet of the first tokens.
    second: Option<Alphabet>,
    pub segments: Vec<Segment>,
    pub groups: usize,
}

/// What happens to the tokens before they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// As they are.
    Given,
    /// Blocks of so many tokens shuffled within every document, the last one shorter; 1: the tokens.
    Shuffled { seed: u64, block: usize },
    /// The second token of every pair is drawn anew from the other documents.
    CrossDocument { seed: u64 },
}

impl Ranked {
    /// `segments`: first tokens in corpus coordinates, ordered by group and, inside a group, by position; segments of one
    /// document follow each other and share `limit`. Documents are laid side by side in that order.
    pub fn new<I: Id>(
        tokens: &[I],
        segments: &[Segment],
        groups: usize,
        arrangement: Arrangement,
        monitor: &Monitor,
    ) -> Result<Self> {
        for segment in segments {
            let Segment { start, end, limit, group } = *segment;
            if start > end || end > limit || limit > tokens.len() || group >= groups {
                return Err(Error::invalid("segments", format!("{segment:?}"), "start <= end <= limit <= tokens"));
            }
        }
        // Documents in the order in which their first segment appears; the segments of one document follow each other.
        let mut documents: Vec<Range<usize>> = Vec::new();
        let mut moved = Vec::with_capacity(segments.len());
        let (mut length, mut end) = (0, 0);
        for segment in segments {
            match documents.last_mut() {
                Some(document) if document.end == segment.limit && segment.start >= end => {}
                _ => {
                    length += documents.last().map_or(0, Range::len);
                    documents.push(segment.start..segment.limit);
                }
            }
            end = segment.end;
            let start = documents[documents.len() - 1].start;
            let shift = |position: usize| position - start + length;
            moved.push(Segment {
                start: shift(segment.start),
                end: shift(segment.end),
                limit: shift(segment.limit),
                group: segment.group,
            });
        }
        let alphabet = Alphabet::by_frequency(tokens, &documents, monitor)?;
        let ranks = match alphabet.len() {
            ids if ids <= u8::LIMIT => Ranks::Bytes(arrange(&alphabet, tokens, &documents, arrangement, monitor)?),
            ids if ids <= u16::LIMIT => Ranks::Narrow(arrange(&alphabet, tokens, &documents, arrangement, monitor)?),
            _ => Ranks::Wide(arrange(&alphabet, tokens, &documents, arrangement, monitor)?),
        };
        Ok(Self { ranks, first: alphabet, second: None, segments: moved, groups })
    }

    /// Two sequences side by side: pair i is (x[i], y[i]). `groups` contiguous blocks of equal length.
    pub fn paired<I: Id, J: Id>(x: &[I], y: &[J], groups: usize, monitor: &Monitor) -> Result<Self> {
        if x.len() != y.len() {
            return Err(Error::invalid("y", format!("{} values", y.len()), format!("{}, as many as x", x.len())));
        }
        let everything = 0..x.len();
        let all = std::slice::from_ref(&everything);
        let (first, second) = (Alphabet::by_frequency(x, all, monitor)?, Alphabet::by_frequency(y, all, monitor)?);
        let ranks = match first.len().max(second.len()) {
            ids if ids <= u8::LIMIT => Ranks::Bytes(side_by_side(&first, x, &second, y, monitor)?),
            ids if ids <= u16::LIMIT => Ranks::Narrow(side_by_side(&first, x, &second, y, monitor)?),
            _ => Ranks::Wide(side_by_side(&first, x, &second, y, monitor)?),
        };
        let bound = |group: usize| (x.len() as u128 * group as u128 / groups as u128) as usize;
        let segments = (0..groups)
            .map(|group| Segment { start: bound(group), end: bound(group + 1), limit: x.len(), group })
            .collect();
        Ok(Self { ranks, first, second: Some(second), segments, groups })
    }

    pub fn second(&self) -> &Alphabet {
        self.second.as_ref().unwrap_or(&self.first)
    }

    /// How often each first and second token occurs at distance 0, where there is one group that holds all of them.
    pub fn frequencies(&self) -> Option<(&[u64], &[u64])> {
        let drawn = self.second.is_none() && self.sided();
        let all = self.segments.iter().map(|segment| segment.end - segment.start).sum::<usize>() == self.len();
        (self.groups == 1 && all && !drawn).then(|| (&self.first.frequencies[..], &self.second().frequencies[..]))
    }

    /// Whether second tokens are another sequence than first ones.
    pub fn sided(&self) -> bool {
        match &self.ranks {
            Ranks::Bytes(sides) => sides.second.is_some(),
            Ranks::Narrow(sides) => sides.second.is_some(),
            Ranks::Wide(sides) => sides.second.is_some(),
        }
    }

    /// Tokens that are laid out.
    pub fn len(&self) -> usize {
        match &self.ranks {
            Ranks::Bytes(sides) => sides.first.len(),
            Ranks::Narrow(sides) => sides.first.len(),
            Ranks::Wide(sides) => sides.first.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn side_by_side<I: Id, J: Id, T: Rank>(
    first: &Alphabet,
    x: &[I],
    second: &Alphabet,
    y: &[J],
    monitor: &Monitor,
) -> Result<Sides<T>> {
    let everything = 0..x.len();
    let all = std::slice::from_ref(&everything);
    Ok(Sides { first: first.ranks(x, all, monitor)?, second: Some(second.ranks(y, all, monitor)?) })
}

fn arrange<I: Id, T: Rank>(
    alphabet: &Alphabet,
    tokens: &[I],
    documents: &[Range<usize>],
    arrangement: Arrangement,
    monitor: &Monitor,
) -> Result<Sides<T>> {
    let mut first: Vec<T> = alphabet.ranks(tokens, documents, monitor)?;
    match arrangement {
        Arrangement::Given => Ok(Sides { first, second: None }),
        Arrangement::Shuffled { seed, block } => {
            let mut pieces = Vec::with_capacity(documents.len());
            let mut rest = first.as_mut_slice();
            for document in documents {
                let (piece, remaining) = std::mem::take(&mut rest).split_at_mut(document.len());
                // The stream is named by where the document stands in the corpus: the same for any grouping.
                pieces.push((document.start as u64, piece));
                rest = remaining;
            }
            pieces.into_par_iter().try_for_each(|(stream, piece)| {
                if block <= 1 {
                    return shuffle(piece, seed, stream, monitor);
                }
                let mut blocks: Vec<&[T]> = piece.chunks(block).collect();
                shuffle(&mut blocks, seed, stream, monitor)?;
                let moved = blocks.concat();
                piece.copy_from_slice(&moved);
                Ok(())
            })?;
            Ok(Sides { first, second: None })
        }
        Arrangement::CrossDocument { seed } => {
            if documents.iter().filter(|document| !document.is_empty()).count() < 2 {
                return Err(Error::invalid("corpus", "one document", "two or more for the cross-document check"));
            }
            let mut second = Vec::with_capacity(first.len());
            let mut start = 0;
            for document in documents {
                let others = (first.len() - document.len()) as u64;
                let mut random = Philox::from_u64_seed_stream(seed, document.start as u64);
                for _ in 0..document.len() {
                    let drawn = ((random.next_u64() as u128 * others as u128) >> 64) as usize;
                    second.push(first[if drawn < start { drawn } else { drawn + document.len() }]);
                }
                start += document.len();
                monitor.advance(0)?;
            }
            Ok(Sides { first, second: Some(second) })
        }
    }
}

/// Fisher-Yates with a counter-based generator: the same order for the same (seed, stream) everywhere.
fn shuffle<T: Copy>(items: &mut [T], seed: u64, stream: u64, monitor: &Monitor) -> Result<()> {
    let mut random = Philox::from_u64_seed_stream(seed, stream);
    for last in (1..items.len()).rev() {
        let bound = last as u64 + 1;
        let other = match u32::try_from(bound) {
            Ok(bound) => random.bounded(bound) as usize,
            Err(_) => ((random.next_u64() as u128 * bound as u128) >> 64) as usize,
        };
        items.swap(last, other);
        if last % (1 << 20) == 0 {
            monitor.advance(0)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(tokens: usize) -> [Segment; 1] {
        [Segment { start: 0, end: tokens, limit: tokens, group: 0 }]
    }

    fn firsts(corpus: &Ranked) -> Vec<u64> {
        let ranks: Vec<usize> = match &corpus.ranks {
            Ranks::Bytes(sides) => sides.first.iter().map(|rank| rank.index()).collect(),
            Ranks::Narrow(sides) => sides.first.iter().map(|rank| rank.index()).collect(),
            Ranks::Wide(sides) => sides.first.iter().map(|rank| rank.index()).collect(),
        };
        ranks.into_iter().map(|rank| corpus.first.keys[rank]).collect()
    }

    #[test]
    fn ranks_lead_back_to_the_ids_and_fall_in_frequency() {
        for tokens in [vec![7u32, 7, 3, 7, 3, 9], vec![4_000_000_000, 5, 4_000_000_000, 4_294_967_295]] {
            let corpus = Ranked::new(&tokens, &whole(tokens.len()), 1, Arrangement::Given, &Monitor::new()).unwrap();
            assert_eq!(firsts(&corpus), tokens.iter().map(|&id| id as u64).collect::<Vec<_>>());
            assert!(corpus.first.frequencies.is_sorted_by(|a, b| a >= b));
        }
    }

    #[test]
    fn signs_and_spans_of_ids_do_not_matter() {
        fn keys<I: Id>(tokens: Vec<I>) -> Vec<u64> {
            let all = 0..tokens.len();
            let alphabet = Alphabet::by_frequency(&tokens, std::slice::from_ref(&all), &Monitor::new()).unwrap();
            let ranks: Vec<u16> = alphabet.ranks(&tokens, std::slice::from_ref(&all), &Monitor::new()).unwrap();
            for (rank, token) in ranks.iter().zip(&tokens) {
                assert_eq!(alphabet.keys[rank.index()], token.key());
            }
            alphabet.keys
        }
        // Few tokens look for their range; many of a narrow type take all of it.
        for number in [100, 100_000] {
            let number = 0..number;
            assert_eq!(keys(number.clone().map(|i| [i16::MIN, 3, i16::MAX][i % 3]).collect()).len(), 3);
            assert_eq!(keys(number.clone().map(|i| [i8::MIN, -1, 0, i8::MAX][i % 4]).collect()).len(), 4);
            assert_eq!(keys(number.clone().map(|i| [0, u16::MAX][i % 2]).collect()), [0, u64::from(u16::MAX)]);
            assert_eq!(keys(number.clone().map(|i| [i64::MIN, -1, i64::MAX][i % 3]).collect()).len(), 3);
            assert_eq!(keys(number.map(|i| -(i as i32 % 7)).collect()).len(), 7);
        }
    }

    #[test]
    fn documents_follow_their_groups_and_keep_their_bounds() {
        let tokens = [10u16, 11, 20, 21, 22, 30];
        let segments = [
            Segment { start: 2, end: 5, limit: 5, group: 0 },
            Segment { start: 0, end: 2, limit: 2, group: 1 },
            Segment { start: 5, end: 6, limit: 6, group: 1 },
        ];
        let corpus = Ranked::new(&tokens, &segments, 2, Arrangement::Given, &Monitor::new()).unwrap();
        assert_eq!(firsts(&corpus), [20, 21, 22, 10, 11, 30]);
        let bounds: Vec<_> = corpus.segments.iter().map(|s| (s.start, s.end, s.limit, s.group)).collect();
        assert_eq!(bounds, [(0, 3, 3, 0), (3, 5, 5, 1), (5, 6, 6, 1)]);
    }

    #[test]
    fn a_shuffle_stays_inside_its_document() {
        let tokens: Vec<u16> = (0..100).map(|i| if i < 50 { i } else { 1000 + i }).collect();
        let segments =
            [Segment { start: 0, end: 50, limit: 50, group: 0 }, Segment { start: 50, end: 100, limit: 100, group: 0 }];
        let shuffled = |seed| {
            let arrangement = Arrangement::Shuffled { seed, block: 1 };
            firsts(&Ranked::new(&tokens, &segments, 1, arrangement, &Monitor::new()).unwrap())
        };
        let ids: Vec<u64> = tokens.iter().map(|&id| id as u64).collect();
        let (once, again, other) = (shuffled(1), shuffled(1), shuffled(2));
        assert_eq!(once, again);
        assert!(once != other && once != ids);
        let mut sorted = once.clone();
        sorted[..50].sort_unstable();
        sorted[50..].sort_unstable();
        assert_eq!(sorted, ids);
    }

    #[test]
    fn a_shuffle_of_blocks_moves_them_whole() {
        let tokens: Vec<u16> = (0..203).collect();
        let segments = [
            Segment { start: 0, end: 100, limit: 100, group: 0 },
            Segment { start: 100, end: 203, limit: 203, group: 0 },
        ];
        let arrangement = Arrangement::Shuffled { seed: 1, block: 10 };
        let shuffled = firsts(&Ranked::new(&tokens, &segments, 1, arrangement, &Monitor::new()).unwrap());
        assert_ne!(shuffled, (0..203).collect::<Vec<_>>());
        for document in [&shuffled[..100], &shuffled[100..]] {
            let starts = document.iter().filter(|&&id| (id as usize % 100).is_multiple_of(10) || id == 200);
            assert_eq!(starts.count(), document.len().div_ceil(10));
            for pair in document.windows(2) {
                assert!(pair[1] == pair[0] + 1 || pair[1] % 10 == 0, "a block was cut: {pair:?}");
            }
        }
        let mut sorted = shuffled.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..203).collect::<Vec<_>>());
    }

    #[test]
    fn a_partner_is_never_from_the_same_document() {
        let tokens: Vec<u16> = [1, 2, 3].into_iter().flat_map(|id| [id; 40]).collect();
        let segments: Vec<_> =
            (0..3).map(|d| Segment { start: 40 * d, end: 40 * d + 40, limit: 40 * d + 40, group: d }).collect();
        let corpus =
            Ranked::new(&tokens, &segments, 3, Arrangement::CrossDocument { seed: 5 }, &Monitor::new()).unwrap();
        let Ranks::Bytes(sides) = &corpus.ranks else { panic!("three ids take bytes") };
        assert!(sides.first.iter().zip(sides.second()).all(|(a, b)| a != b));
    }
}
