//! n-gram counts for n = 1..8, all orders in one go, without hashing.
//!
//! A task is (orders, range of first ids). It walks over the corpus once and appends, for every first token of its range, the
//! codes of the following n - 1 tokens, packed into one integer, to that token's list; a code is the id's place among
//! the ids that occur, plus one, and 0 after the document's end. A sorted list holds the n-grams of every order as
//! runs of equal prefixes, in the order of their ids, so one sort serves all orders, tables stream in sorted order, and fingerprints of
//! disjoint ranges add.

mod keys;
mod runs;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rayon::prelude::*;

use self::keys::{Key, Layout, Long};
use self::runs::{List, Sorted, Tallies};
use crate::corpus::{Alphabet, Id, Rank, find};
use crate::fingerprint::Fingerprint;
use crate::memory::in_large_pages;
use crate::monitor::Monitor;
use crate::{Error, Result};

/// The largest order.
pub const LONGEST: usize = 8;

/// A corpus ready for n-gram counts: ids by their place among those that occur.
#[derive(Debug)]
pub struct Coded {
    places: Places,
    pub alphabet: Alphabet,
    offsets: Vec<usize>,
}

#[derive(Debug)]
enum Places {
    Narrow(Vec<u16>),
    Wide(Vec<u32>),
}

impl Places {
    fn at(&self, position: usize) -> usize {
        match self {
            Places::Narrow(places) => places[position].index(),
            Places::Wide(places) => places[position].index(),
        }
    }
}

/// An n-gram as ids, and how often it occurred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub ids: Vec<u64>,
    pub count: u64,
}

impl Coded {
    /// `offsets`: documents + 1 bounds, from 0 to the number of tokens.
    pub fn new<I: Id>(tokens: &[I], offsets: Vec<usize>, monitor: &Monitor) -> Result<Self> {
        let spans = offsets.first() == Some(&0) && offsets.last() == Some(&tokens.len());
        if !spans || !offsets.is_sorted() {
            return Err(Error::invalid("offsets", "other bounds", format!("0 to {}, not decreasing", tokens.len())));
        }
        let everything = 0..tokens.len();
        let everything = std::slice::from_ref(&everything);
        let alphabet = Alphabet::by_id(tokens, everything, monitor)?;
        let places = if alphabet.len() < u16::LIMIT {
            Places::Narrow(alphabet.ranks(tokens, everything, monitor)?)
        } else {
            Places::Wide(alphabet.ranks(tokens, everything, monitor)?)
        };
        Ok(Self { places, alphabet, offsets })
    }

    /// How many n-grams of this order there are.
    pub fn total(&self, order: usize) -> u64 {
        self.offsets.windows(2).map(|bounds| (bounds[1] - bounds[0] + 1).saturating_sub(order) as u64).sum()
    }

    /// Bytes that stay while the corpus is counted.
    pub fn resident_bytes(&self) -> u64 {
        let places = match &self.places {
            Places::Narrow(places) => 2 * places.len(),
            Places::Wide(places) => 4 * places.len(),
        };
        places as u64 + self.alphabet.bytes() + 8 * self.offsets.len() as u64
    }

    /// Bits of one code.
    fn bits(&self) -> usize {
        (usize::BITS - self.alphabet.len().leading_zeros()) as usize
    }

    /// Bytes of a packed n-gram without its first token.
    fn key_bytes(&self, order: usize) -> u64 {
        match (order - 1) * self.bits() {
            0..=64 => 8,
            65..=128 => 16,
            _ => 32,
        }
    }

    /// The smallest budget of [`Coded::plan`].
    pub fn least_bytes(&self, order: usize) -> u64 {
        let most = self.alphabet.frequencies.iter().max().copied().unwrap_or(0);
        most * self.key_bytes(order.clamp(1, LONGEST)) + 8 + (1 << 20)
    }

    /// Ranges of first ids whose lists take at most `budget` bytes each: as few as that allows, of about the same size.
    pub fn plan(&self, order: usize, budget: u64) -> Result<Vec<Range<usize>>> {
        check(order)?;
        let key = self.key_bytes(order);
        let room = budget.saturating_sub(1 << 20);
        let lists = || self.alphabet.frequencies.iter().map(|frequency| frequency * key + 8);
        if let Some(list) = lists().find(|&list| list > room) {
            return Err(Error::Memory { budget, needed: list + (1 << 20) });
        }
        let total: u64 = lists().sum();
        let even = total.div_ceil(total.div_ceil(room.max(1)).max(1));
        let mut pieces = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (place, list) in lists().enumerate() {
            if bytes >= even || bytes + list > room {
                pieces.push(start..place);
                (start, bytes) = (place, 0);
            }
            bytes += list;
        }
        if start < self.alphabet.len() {
            pieces.push(start..self.alphabet.len());
        }
        Ok(pieces)
    }

    /// Fingerprints of the orders 1..=longest over the n-grams whose first id has its place in `range`.
    pub fn fingerprints(
        &self,
        longest: usize,
        range: Range<usize>,
        budget: u64,
        monitor: &Monitor,
    ) -> Result<Vec<Fingerprint>> {
        let pieces: Vec<_> = clipped(self.plan(longest, budget)?, &range);
        let tokens: u64 = pieces.iter().flat_map(|piece| &self.alphabet.frequencies[piece.clone()]).sum();
        monitor.set_total(tokens);
        let tallies = self.each_piece(
            longest,
            &pieces,
            monitor,
            || Tallies::new(longest),
            |tallies, _, list| list.add_to(tallies),
        )?;
        let mut sums = vec![Fingerprint::default(); longest];
        for tallies in tallies {
            for (sum, part) in sums.iter_mut().zip(tallies.finish()) {
                *sum = sum.merge(&part?)?;
            }
        }
        // Those that occurred once are what the others leave.
        let range = pieces.first().map_or(0, |piece| piece.start)..pieces.last().map_or(0, |piece| piece.end);
        for (sum, total) in sums.iter_mut().zip(self.totals(longest, range)) {
            *sum = sum.merge(&Fingerprint::from_entries([(1, total - sum.total())])?)?;
        }
        Ok(sums)
    }

    /// How many n-grams of the orders 1..=longest have a first id with its place in `range`.
    fn totals(&self, longest: usize, range: Range<usize>) -> Vec<u64> {
        let mut totals = vec![self.tokens_of(range.clone()) as u64; longest];
        for bounds in self.offsets.windows(2) {
            let last = bounds[1].saturating_sub(longest - 1).max(bounds[0])..bounds[1];
            for position in last.filter(|&position| range.contains(&self.places.at(position))) {
                totals[bounds[1] - position..].iter_mut().for_each(|total| *total -= 1);
            }
        }
        totals
    }

    /// The n-grams of one order whose first id has its place in `range`, sorted by their ids.
    pub fn table(&self, order: usize, range: Range<usize>, monitor: &Monitor) -> Result<Vec<Entry>> {
        check(order)?;
        let range = range.start.min(self.alphabet.len())..range.end.min(self.alphabet.len());
        let found = self.each_piece(order, &[range], monitor, Vec::new, |entries, first, list| {
            list.ngrams(&mut |codes, count| entries.push(self.entry(first, codes, count)));
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The k most frequent n-grams of one order, ties by ids.
    pub fn most_common(&self, order: usize, k: usize, budget: u64, monitor: &Monitor) -> Result<Vec<Entry>> {
        let pieces = self.plan(order, budget)?;
        monitor.set_total(self.alphabet.frequencies.iter().sum());
        // The least of those kept is on top: (count, reversed codes).
        type Kept = Reverse<(u64, Reverse<(usize, Vec<usize>)>)>;
        let heaps = self.each_piece(order, &pieces, monitor, BinaryHeap::<Kept>::new, |heap, first, list| {
            list.ngrams(&mut |codes, count| {
                if heap.len() == k && heap.peek().is_none_or(|Reverse((least, _))| count < *least) {
                    return;
                }
                heap.push(Reverse((count, Reverse((first, codes.to_vec())))));
                if heap.len() > k {
                    heap.pop();
                }
            });
        })?;
        let mut all: Vec<_> = heaps.into_iter().flatten().map(|Reverse(entry)| entry).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.truncate(k);
        let entry =
            |(count, Reverse((first, codes))): (u64, Reverse<(usize, Vec<usize>)>)| self.entry(first, &codes, count);
        Ok(all.into_iter().map(entry).collect())
    }

    fn entry(&self, first: usize, codes: &[usize], count: u64) -> Entry {
        let places = std::iter::once(first).chain(codes.iter().map(|code| code - 1));
        let ids = places.map(|place| self.alphabet.keys[place]);
        Entry { ids: ids.collect(), count }
    }

    /// Sorted lists of all first ids, piece by piece on the pool's threads; `visit(state, first place, list)` in the order of
    /// ids within a piece. Returns the threads' states.
    fn each_piece<S: Send>(
        &self,
        order: usize,
        pieces: &[Range<usize>],
        monitor: &Monitor,
        state: impl Fn() -> S + Sync,
        visit: impl Fn(&mut S, usize, &dyn List) + Sync,
    ) -> Result<Vec<S>> {
        check(order)?;
        match (&self.places, self.key_bytes(order)) {
            (Places::Narrow(places), 8) => self.each::<_, u64, _>(places, order, pieces, monitor, state, visit),
            (Places::Narrow(places), _) => self.each::<_, u128, _>(places, order, pieces, monitor, state, visit),
            (Places::Wide(places), 8) => self.each::<_, u64, _>(places, order, pieces, monitor, state, visit),
            (Places::Wide(places), 16) => self.each::<_, u128, _>(places, order, pieces, monitor, state, visit),
            (Places::Wide(places), _) => self.each::<_, Long, _>(places, order, pieces, monitor, state, visit),
        }
    }

    fn each<T: Rank, K: Key, S: Send>(
        &self,
        places: &[T],
        order: usize,
        pieces: &[Range<usize>],
        monitor: &Monitor,
        state: impl Fn() -> S + Sync,
        visit: impl Fn(&mut S, usize, &dyn List) + Sync,
    ) -> Result<Vec<S>> {
        let next = AtomicUsize::new(0);
        let workers = rayon::current_num_threads().min(pieces.len()).max(1);
        let layout = Layout { followers: order - 1, bits: self.bits() };
        let largest = pieces.iter().map(|piece| self.tokens_of(piece.clone())).max().unwrap_or(0);
        (0..workers)
            .into_par_iter()
            .with_max_len(1)
            .map(|_| {
                let mut state = state();
                let mut keys = vec![K::default(); largest];
                in_large_pages(&mut keys);
                let mut ends = Vec::new();
                while let Some(piece) = pieces.get(next.fetch_add(1, Relaxed)) {
                    self.gather(places, piece, layout, &mut keys, &mut ends, monitor)?;
                    let mut start = 0;
                    for (index, &end) in ends.iter().enumerate() {
                        let list = &mut keys[start..end];
                        start = end;
                        if layout.followers > 0 {
                            sort(list, monitor)?;
                        }
                        visit(&mut state, piece.start + index, &Sorted { keys: list, layout });
                        monitor.advance(list.len() as u64)?;
                    }
                }
                Ok(state)
            })
            .collect()
    }

    fn tokens_of(&self, piece: Range<usize>) -> usize {
        self.alphabet.frequencies[piece].iter().sum::<u64>() as usize
    }

    /// Append the followers of every first token of the piece to its list.
    fn gather<T: Rank, K: Key>(
        &self,
        places: &[T],
        piece: &Range<usize>,
        layout: Layout,
        keys: &mut [K],
        cursors: &mut Vec<usize>,
        monitor: &Monitor,
    ) -> Result<()> {
        let mut total = 0;
        cursors.clear();
        cursors.extend(self.alphabet.frequencies[piece.clone()].iter().map(|&frequency| {
            total += frequency as usize;
            total - frequency as usize
        }));
        let append = match layout.followers {
            0 => append::<T, K, 0>,
            1 => append::<T, K, 1>,
            2 => append::<T, K, 2>,
            3 => append::<T, K, 3>,
            4 => append::<T, K, 4>,
            5 => append::<T, K, 5>,
            6 => append::<T, K, 6>,
            _ => append::<T, K, 7>,
        };
        for bounds in self.offsets.windows(2) {
            let inside = bounds[1].saturating_sub(layout.followers).max(bounds[0]);
            for start in (bounds[0]..inside).step_by(CHUNK) {
                let end = inside.min(start + CHUNK);
                append(&places[start..end + layout.followers], piece, layout.bits, cursors, keys);
                monitor.advance(0)?;
            }
            for first in inside..bounds[1] {
                if let Some(cursor) = cursors.get_mut(places[first].index().wrapping_sub(piece.start)) {
                    let code = |position: usize| if position < bounds[1] { places[position].index() + 1 } else { 0 };
                    let followers = first + 1..first + 1 + layout.followers;
                    keys[*cursor] = followers.fold(K::default(), |key, follower| key.push(code(follower), layout.bits));
                    *cursor += 1;
                }
            }
        }
        Ok(())
    }
}

/// First tokens at a time: their offsets take 16 bits, and stay in the first-level cache.
const CHUNK: usize = 512;

/// Append the followers of those tokens that are in the piece to their lists; `F` further tokens end `places`. (With the number of
/// followers known only when it runs, this takes a third longer.)
fn append<T: Rank, K: Key, const F: usize>(
    places: &[T],
    piece: &Range<usize>,
    bits: usize,
    cursors: &mut [usize],
    keys: &mut [K],
) {
    let mut hits = [0u16; CHUNK];
    let number = find(&places[..places.len() - F], piece, &mut hits);
    let hits = &hits[..number];
    // The places of all, then the keys: a key written where a cursor has just said holds up the next cursors' loads, which might
    // read what it writes. (4 % of the whole; fetching the lines of the keys in between gains nothing.)
    let mut to = [0; CHUNK];
    for (to, &offset) in to.iter_mut().zip(hits) {
        let cursor = &mut cursors[places[offset as usize].index() - piece.start];
        *to = *cursor;
        *cursor += 1;
    }
    for (&to, &offset) in to.iter().zip(hits) {
        let followers = &places[offset as usize + 1..][..F];
        keys[to] = followers.iter().fold(K::default(), |key, place| key.push(place.index() + 1, bits));
    }
}

/// Sort, in pieces of a size that still answers a cancellation.
fn sort<K: Key>(keys: &mut [K], monitor: &Monitor) -> Result<()> {
    const AT_ONCE: usize = 1 << 22;
    if keys.len() <= AT_ONCE {
        keys.sort_unstable();
        return Ok(());
    }
    for chunk in keys.chunks_mut(AT_ONCE) {
        chunk.sort_unstable();
        monitor.advance(0)?;
    }
    keys.sort(); // a merge of sorted runs
    monitor.advance(0)
}

fn check(order: usize) -> Result<()> {
    if (1..=LONGEST).contains(&order) {
        return Ok(());
    }
    Err(Error::invalid("n", order.to_string(), format!("1 to {LONGEST}")))
}

fn clipped(pieces: Vec<Range<usize>>, range: &Range<usize>) -> Vec<Range<usize>> {
    let clip = |piece: Range<usize>| piece.start.max(range.start)..piece.end.min(range.end);
    pieces.into_iter().map(clip).filter(|piece| piece.start < piece.end).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    /// Every n-gram inside a document, in a map.
    fn reference(documents: &[Vec<u64>], order: usize) -> BTreeMap<Vec<u64>, u64> {
        let mut counts = BTreeMap::new();
        for ngram in documents.iter().flat_map(|document| document.windows(order)) {
            *counts.entry(ngram.to_vec()).or_default() += 1;
        }
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn tables_fingerprints_and_the_most_common_are_those_of_a_map(
            documents in prop::collection::vec(prop::collection::vec(0u64..5, 0..40), 1..6),
            spread in prop::sample::select(vec![1u64, 1 << 40]),
            extra in prop::sample::select(vec![0u64, 0, 0, 70_000]),
            repeats in prop::sample::select(vec![1, 1, 20]),
            order in 1usize..=8,
        ) {
            // `extra` ids that occur once make the places wide, and the keys 128 or 256 bits.
            let mut documents: Vec<Vec<u64>> =
                documents.into_iter().map(|ids| ids.into_iter().map(|id| id * spread).collect()).collect();
            // Repeated, lists take several chunks, and some runs as well.
            documents.iter_mut().for_each(|ids| *ids = ids.repeat(repeats));
            documents.push((0..extra).map(|id| 10 * spread + id).collect());
            let mut offsets = vec![0];
            documents.iter().for_each(|document| offsets.push(offsets[offsets.len() - 1] + document.len()));
            let coded = Coded::new(&documents.concat(), offsets, &Monitor::new()).unwrap();
            let counts = reference(&documents, order);
            let table = coded.table(order, 0..usize::MAX, &Monitor::new()).unwrap();
            prop_assert!(table.iter().map(|entry| (&entry.ids, entry.count)).eq(counts.iter().map(|(ids, &n)| (ids, n))));
            let smallest = 8 + (1 << 20) + coded.alphabet.frequencies.iter().max().unwrap_or(&0) * 32;
            for budget in [smallest, u64::MAX] {
                let fingerprints = coded.fingerprints(order, 0..usize::MAX, budget, &Monitor::new()).unwrap();
                for (index, fingerprint) in fingerprints.iter().enumerate() {
                    let expected = reference(&documents, index + 1).into_values();
                    prop_assert_eq!(fingerprint, &Fingerprint::from_counts(expected).unwrap());
                    prop_assert_eq!(fingerprint.total(), coded.total(index + 1));
                }
                let mut sorted: Vec<_> = counts.iter().map(|(ids, &count)| (Reverse(count), ids.clone())).collect();
                sorted.sort_unstable();
                let common = coded.most_common(order, 7, budget, &Monitor::new()).unwrap();
                let common: Vec<_> = common.into_iter().map(|entry| (Reverse(entry.count), entry.ids)).collect();
                prop_assert_eq!(&common[..], &sorted[..sorted.len().min(7)]);
            }
            let half = coded.alphabet.len() / 2;
            let part = |range| coded.fingerprints(order, range, u64::MAX, &Monitor::new()).unwrap();
            for ((low, high), whole) in part(0..half).iter().zip(part(half..usize::MAX)).zip(part(0..usize::MAX)) {
                prop_assert_eq!(low.merge(&high).unwrap(), whole);
            }
        }
    }

    #[test]
    fn orders_beyond_eight_and_budgets_below_a_list_are_refused() {
        let coded = Coded::new(&[1u16; 200_000], vec![0, 200_000], &Monitor::new()).unwrap();
        assert!(coded.fingerprints(9, 0..1, u64::MAX, &Monitor::new()).is_err());
        assert!(matches!(coded.plan(2, 1 << 20), Err(Error::Memory { needed, .. }) if needed == 1_600_008 + (1 << 20)));
    }
}
