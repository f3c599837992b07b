//! Near-duplicate documents: shingles, a sketch of each document, and which documents repeat a larger one.

use hashbrown::HashMap;
use rayon::prelude::*;

/// Multiplier of the rolling polynomial hash (odd; from L'Ecuyer's table of multiplicative generators modulo 2^64).
const BASE: u64 = 0x27BB_2EE6_87B0_B0FD;
/// Hashes of all documents together before the bound is halved; 32 MB.
const MOST_HASHES: usize = 4_000_000;
/// Of every document at least so many hashes stay, the smallest.
const FEWEST_HASHES: usize = 16;
/// Of the documents that share a shingle, so many of the largest are compared with the others; equal ones always are.
const MOST_PARTNERS: usize = 8;
/// Texts sketched in parallel before the bound is looked at again: their hashes are all in memory once.
const GROUP_SYMBOLS: usize = 4 << 20;

/// Sketches of documents, in the order in which they were added.
///
/// A document's sketch is its distinct shingle hashes up to `bound`, the same for all, and at least its
/// `FEWEST_HASHES` smallest (FracMinHash, Irber et al. 2022, with the floor of a bottom-k sketch, Broder 1997).
/// `bound` is the largest of 2^64 - 1, 2^63 - 1, ... at which all documents together have at most `MOST_HASHES` hashes
/// up to it: a property of the documents, whatever the order and the parts in which they come.
#[derive(Debug, Clone, PartialEq)]
pub struct Sketches {
    bound: u64,
    below: usize,
    most: usize,
    hashes: Vec<u64>,
    sizes: Vec<u32>,
}

impl Default for Sketches {
    fn default() -> Self {
        Self::with_most(MOST_HASHES)
    }
}

impl Sketches {
    fn with_most(most: usize) -> Self {
        Self { bound: u64::MAX, below: 0, most, hashes: Vec::new(), sizes: Vec::new() }
    }

    /// From what [`Sketches::bound`], [`Sketches::sizes`] and [`Sketches::hashes`] gave.
    pub fn from_parts(bound: u64, sizes: Vec<u32>, hashes: Vec<u64>) -> Self {
        let below = hashes.iter().filter(|&&hash| hash <= bound).count();
        Self { bound, below, most: MOST_HASHES, hashes, sizes }
    }

    pub fn bound(&self) -> u64 {
        self.bound
    }

    /// How many hashes each document has.
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// The hashes of all documents side by side, sorted inside each.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Add texts; shingles of `width` bytes.
    pub fn add_texts(&mut self, texts: &[&str], width: usize) {
        self.add(
            texts,
            |text| text.len(),
            |text, bound, most| {
                let bytes: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
                shingle_hashes(&bytes, width, bound, most)
            },
        );
    }

    /// Add documents of token ids; shingles of `width` ids.
    pub fn add_ids(&mut self, documents: &[&[u32]], width: usize) {
        self.add(documents, |ids| ids.len(), |ids, bound, most| shingle_hashes(ids, width, bound, most));
    }

    fn add<T: Copy + Sync>(
        &mut self,
        documents: &[T],
        symbols: impl Fn(T) -> usize,
        sketch: impl Fn(T, u64, usize) -> (u64, Vec<u64>) + Sync,
    ) {
        let mut rest = documents;
        while !rest.is_empty() {
            let mut held = 0;
            let mut group = 0;
            while group < rest.len() && held < GROUP_SYMBOLS {
                held += symbols(rest[group]);
                group += 1;
            }
            let (bound, most) = (self.bound, self.most);
            let sketches: Vec<(u64, Vec<u64>)> =
                rest[..group].par_iter().map(|&document| sketch(document, bound, most)).collect();
            for (bound, hashes) in sketches {
                self.lower(bound);
                let (below, kept) = kept(&hashes, self.bound);
                self.below += below;
                self.sizes.push(kept as u32);
                self.hashes.extend(&hashes[..kept]);
            }
            self.reduce();
            rest = &rest[group..];
        }
    }

    /// Add the sketches of other documents behind these.
    pub fn absorb(&mut self, mut other: Sketches) {
        let bound = self.bound.min(other.bound);
        self.lower(bound);
        other.lower(bound);
        self.below += other.below;
        self.hashes.extend(other.hashes);
        self.sizes.extend(other.sizes);
        self.reduce();
    }

    fn reduce(&mut self) {
        while self.below > self.most && self.bound > 0 {
            self.lower(self.bound / 2);
        }
    }

    fn lower(&mut self, bound: u64) {
        if bound >= self.bound {
            return;
        }
        self.bound = bound;
        self.below = 0;
        let (mut read, mut written) = (0, 0);
        for size in &mut self.sizes {
            let hashes = &self.hashes[read..read + *size as usize];
            let (below, kept) = kept(hashes, bound);
            self.below += below;
            self.hashes.copy_within(read..read + kept, written);
            read += *size as usize;
            written += kept;
            *size = kept as u32;
        }
        self.hashes.truncate(written);
        if self.hashes.capacity() > 2 * self.most.max(written) {
            self.hashes.shrink_to(written);
        }
    }

    /// (copy, original): documents of which more than `threshold` of the sketch stands in that of one document that is kept
    /// and has at least as large a sketch; sorted by the copy's place.
    pub fn find(&self, threshold: f64) -> Vec<(u32, u32)> {
        // Ranks by size: 0 has the most hashes; of equal ones the earlier is the original.
        let mut by_size: Vec<u32> = (0..self.sizes.len() as u32).collect();
        by_size.sort_by_key(|&document| std::cmp::Reverse(self.sizes[document as usize]));
        let mut rank = vec![0u32; by_size.len()];
        for (place, &document) in by_size.iter().enumerate() {
            rank[document as usize] = place as u32;
        }

        let owners = self.sizes.iter().zip(&rank).flat_map(|(&size, &rank)| std::iter::repeat_n(rank, size as usize));
        let mut entries: Vec<(u64, u32)> = self.hashes.iter().copied().zip(owners).collect();
        entries.par_sort_unstable();
        // Equal documents have equal sketches, and are found by those: their shingles may all stand in larger ones too.
        let first_equal = self.first_equal(&by_size);
        let pair = |smaller: u32, larger: u32| (smaller as u64) << 32 | larger as u64;
        let equal = (0..).zip(&first_equal).filter(|(rank, first)| rank != *first);
        let mut pairs: Vec<u64> = equal.map(|(rank, &first)| pair(rank, first)).collect();
        for run in entries.chunk_by(|left, right| left.0 == right.0) {
            for (place, &(_, smaller)) in run.iter().enumerate() {
                let partners = &run[..place.min(MOST_PARTNERS)];
                pairs.extend(partners.iter().map(|&(_, larger)| pair(smaller, larger)));
            }
        }
        drop(entries);
        pairs.par_sort_unstable();

        let mut left_out = vec![false; self.sizes.len()];
        let mut copies = Vec::new();
        for shared in pairs.chunk_by(|left, right| left == right) {
            let (smaller, larger) = ((shared[0] >> 32) as usize, shared[0] as u32);
            let (copy, original) = (by_size[smaller], by_size[larger as usize]);
            let size = self.sizes[copy as usize] as usize;
            let shingles = if first_equal[smaller] == larger { size } else { shared.len() };
            let enough = shingles as f64 > threshold * size as f64;
            if enough && !left_out[copy as usize] && !left_out[original as usize] {
                left_out[copy as usize] = true;
                copies.push((copy, original));
            }
        }
        copies.sort_unstable();
        copies
    }

    /// For each rank in `by_size`, the rank of the first document with the same sketch.
    fn first_equal(&self, by_size: &[u32]) -> Vec<u32> {
        let starts: Vec<usize> =
            self.sizes.iter().scan(0, |end, &size| Some(std::mem::replace(end, *end + size as usize))).collect();
        let mut first = HashMap::with_capacity(by_size.len());
        (0..)
            .zip(by_size)
            .map(|(rank, &document)| {
                let start = starts[document as usize];
                let sketch = &self.hashes[start..start + self.sizes[document as usize] as usize];
                *first.entry(sketch).or_insert(rank)
            })
            .collect()
    }
}

/// Of a document's sorted hashes: how many lie up to `bound`, how many are kept.
fn kept(hashes: &[u64], bound: u64) -> (usize, usize) {
    let below = hashes.partition_point(|&hash| hash <= bound);
    (below, below.max(FEWEST_HASHES.min(hashes.len())))
}

/// Sorted distinct hashes of all runs of `width` symbols: those up to the bound, and at least the `FEWEST_HASHES`
/// smallest. The bound comes first: `bound`, halved while the document alone has more than `most` hashes up to it.
fn shingle_hashes<S: Copy + Into<u64>>(symbols: &[S], width: usize, mut bound: u64, most: usize) -> (u64, Vec<u64>) {
    let mut hashes = Vec::new();
    for hash in shingles(symbols, width) {
        if hash <= bound {
            hashes.push(hash);
            if hashes.len() > 2 * most.max(1 << 10) {
                halve(&mut hashes, &mut bound, most);
            }
        }
    }
    halve(&mut hashes, &mut bound, most);
    if hashes.len() < FEWEST_HASHES && bound < u64::MAX {
        hashes.clear();
        for hash in shingles(symbols, width) {
            if let Err(place) = hashes.binary_search(&hash)
                && place < FEWEST_HASHES
            {
                hashes.insert(place, hash);
                hashes.truncate(FEWEST_HASHES);
            }
        }
    }
    (bound, hashes)
}

/// Sort, leave each hash once, and halve the bound while more than `most` hashes lie up to it.
fn halve(hashes: &mut Vec<u64>, bound: &mut u64, most: usize) {
    hashes.sort_unstable();
    hashes.dedup();
    while hashes.len() > most && *bound > 0 {
        *bound /= 2;
        hashes.truncate(hashes.partition_point(|hash| hash <= bound));
    }
}

/// The hashes of all runs of `width` symbols, by a rolling polynomial; of fewer symbols one hash, of the whole, which no run
/// of `width` symbols has.
fn shingles<S: Copy + Into<u64>>(symbols: &[S], width: usize) -> impl Iterator<Item = u64> {
    let hash_of = |symbols: &[S], start| symbols.iter().fold(start, |hash, &symbol| push(hash, symbol.into()));
    let short = symbols.len() < width;
    let start = if short { symbols.len() as u64 } else { 0 };
    let mut rolling = hash_of(&symbols[..width.min(symbols.len())], start);
    let leaving = BASE.wrapping_pow(width as u32);
    let last = if short { width } else { symbols.len() };
    (width..=last).map(move |next| {
        let hash = mix(rolling);
        if next < symbols.len() {
            let left: u64 = symbols[next - width].into();
            rolling = push(rolling, symbols[next].into()).wrapping_sub(leaving.wrapping_mul(left + 1));
        }
        hash
    })
}

fn push(hash: u64, symbol: u64) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(symbol + 1)
}

/// Finaliser of splitmix64: the low bits of a polynomial modulo 2^64 are weak, a bound needs good high bits.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn shingles_of_text(text: &str, width: usize, bound: u64) -> Vec<u64> {
        let mut sketches = Sketches { bound, ..Sketches::with_most(usize::MAX) };
        sketches.add_texts(&[text], width);
        sketches.hashes
    }

    /// Every shingle cut out and hashed alone.
    fn obvious(symbols: &[u64], width: usize, bound: u64) -> Vec<u64> {
        let all: BTreeSet<u64> =
            symbols.windows(width).map(|run| mix(run.iter().fold(0, |hash, &symbol| push(hash, symbol)))).collect();
        all.into_iter().enumerate().filter(|&(place, hash)| hash <= bound || place < 16).map(|(_, hash)| hash).collect()
    }

    proptest! {
        #[test]
        fn rolling_equals_cut_out(text in "[a-c \n]{12,80}é", width in 1usize..6, bound in any::<u64>()) {
            let bytes: Vec<u64> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(u64::from).collect();
            prop_assume!(bytes.len() >= width);
            prop_assert_eq!(shingles_of_text(&text, width, bound), obvious(&bytes, width, bound));
        }

        /// The order and the parts in which documents come change neither the bound nor any sketch.
        #[test]
        fn parts_make_the_whole(
            documents in prop::collection::vec(prop::collection::vec(0u32..50, 0..200), 1..12),
            cut in 0usize..12,
            most in 1usize..400,
        ) {
            let documents: Vec<&[u32]> = documents.iter().map(Vec::as_slice).collect();
            let cut = cut.min(documents.len());
            let mut whole = Sketches::with_most(most);
            whole.add_ids(&documents, 3);
            let (mut front, mut back) = (Sketches::with_most(most), Sketches::with_most(most));
            for document in &documents[..cut] {
                front.add_ids(&[document], 3);
            }
            back.add_ids(&documents[cut..], 3);
            front.absorb(back);
            prop_assert_eq!(front, whole);
        }

        /// Few documents: every pair compared as sets.
        #[test]
        fn copies_are_those_of_all_pairs(
            documents in prop::collection::vec(prop::collection::vec(0u32..4, 0..30), 1..8),
            threshold in 0.05f64..0.95,
        ) {
            let slices: Vec<&[u32]> = documents.iter().map(Vec::as_slice).collect();
            let mut sketches = Sketches::default();
            sketches.add_ids(&slices, 2);
            let sets: Vec<BTreeSet<u64>> = slices
                .iter()
                .map(|ids| shingle_hashes(ids, 2, u64::MAX, usize::MAX).1.into_iter().collect())
                .collect();
            let mut order: Vec<usize> = (0..sets.len()).collect();
            order.sort_by_key(|&document| std::cmp::Reverse(sets[document].len()));
            let mut expected = BTreeMap::new();
            for (place, &copy) in order.iter().enumerate() {
                let original = order[..place].iter().copied().find(|original| {
                    let shared = sets[copy].intersection(&sets[*original]).count();
                    !expected.contains_key(&(*original as u32)) && shared as f64 > threshold * sets[copy].len() as f64
                });
                if let Some(original) = original {
                    expected.insert(copy as u32, original as u32);
                }
            }
            prop_assert_eq!(sketches.find(threshold), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn equal_documents_are_found_whatever_larger_ones_share_with_them() {
        let ids = |seed: u32| (0..400).map(move |place| seed * 1000 + place).collect::<Vec<u32>>();
        let copied = ids(0);
        // Each run of 100 ids, those across its cuts included, stands in nine larger documents, which share a fourth with it.
        let mut documents: Vec<Vec<u32>> = (0..36)
            .map(|number| {
                let from = (number as usize % 4) * 90;
                [ids(number + 1), copied[from..from + 130].to_vec(), ids(number + 50)].concat()
            })
            .collect();
        documents.extend([copied.clone(), copied.clone(), copied]);
        let mut sketches = Sketches::default();
        sketches.add_ids(&documents.iter().map(Vec::as_slice).collect::<Vec<_>>(), 12);
        assert_eq!(sketches.find(0.5), [(37, 36), (38, 36)]);
    }

    #[test]
    fn a_text_of_exactly_one_shingle_is_found_in_a_larger_one() {
        let text = "exactly-forty-eight-bytes-of-text-without-spaces";
        assert_eq!(text.len(), 48);
        let mut sketches = Sketches::default();
        sketches.add_texts(&[text, &text[1..], &format!("before {text} after it")], 48);
        assert_eq!(sketches.find(0.2), [(0, 2)]);
    }

    #[test]
    fn a_short_text_has_one_hash_and_wrapping_does_not_matter() {
        assert_eq!(shingles_of_text("ab", 48, 0), shingles_of_text(" a\nb", 48, 0));
        assert_ne!(shingles_of_text("ab", 48, 0), shingles_of_text("ba", 48, 0));
        assert_eq!(shingles_of_text("", 48, 0).len(), 1);
    }
}
