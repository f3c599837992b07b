use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::corpus::{Arrangement, Segment};

type Table = HashMap<(u64, u64), Vec<u64>>;

fn group_of(index: usize, documents: usize, groups: usize) -> usize {
    index * groups / documents
}

/// Every pair inside a document, in a map: counts by group.
fn reference(documents: &[Vec<u64>], groups: usize, distance: usize) -> Table {
    let mut counts = Table::new();
    for (index, document) in documents.iter().enumerate() {
        for (&x, &y) in document.iter().zip(document.iter().skip(distance)) {
            let by_group = counts.entry((x, y)).or_insert_with(|| vec![0; groups]);
            by_group[group_of(index, documents.len(), groups)] += 1;
        }
    }
    counts
}

fn ranked(documents: &[Vec<u64>], groups: usize) -> Ranked {
    let mut start = 0;
    let segments: Vec<Segment> = documents
        .iter()
        .enumerate()
        .map(|(index, document)| {
            start += document.len();
            let group = group_of(index, documents.len(), groups);
            Segment { start: start - document.len(), end: start, limit: start, group }
        })
        .collect();
    Ranked::new(&documents.concat(), &segments, groups, Arrangement::Given, &Monitor::new()).unwrap()
}

/// As `count`, cut at a rank, on so many threads.
fn counted(corpus: &Ranked, distances: &[usize], middle: usize, budget: u64, threads: usize) -> Vec<JointCounts> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let part = |range| {
        pool.install(|| count(corpus, distances, range, Some(Estimator::Grassberger), budget, &Monitor::new())).unwrap()
    };
    part(0..middle).iter().zip(part(middle..usize::MAX)).map(|(low, high)| low.merge(&high).unwrap()).collect()
}

fn check(counts: &JointCounts, expected: &Table, groups: usize) -> std::result::Result<(), TestCaseError> {
    let totals = || expected.values().map(|by_group| by_group.iter().sum::<u64>());
    prop_assert_eq!(&counts.fingerprint, &Fingerprint::from_counts(totals()).unwrap());
    if groups > 1 {
        let g = Estimator::Grassberger.summand().unwrap();
        let f = |n: u64| if n == 0 { 0.0 } else { n as f64 * g(n) };
        for group in 0..groups {
            let removed: f64 = expected
                .values()
                .map(|by_group| {
                    let n = by_group.iter().sum::<u64>();
                    f(n) - f(n - by_group[group])
                })
                .sum();
            let found = counts.removed[group] as f64 * REMOVED_UNIT;
            // Each pair is rounded to the unit; the sum of floats to its 53 bits.
            let tolerance = (totals().sum::<u64>() as f64 + 1.0) * REMOVED_UNIT;
            prop_assert!((found - removed).abs() <= tolerance + removed.abs() * 1e-12);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn counts_and_removals_are_those_of_a_map(
        documents in prop::collection::vec(prop::collection::vec(0u64..6, 0..60), 1..9),
        extra in prop::sample::select(vec![0u64, 0, 300, 70_000]),
        distances in prop::collection::btree_set(1usize..90, 1..20),
        groups in 1usize..4,
        cut in 0.0f64..1.0,
        threads in 1usize..4,
    ) {
        // `extra` ids that occur once leave the dense table, and make the ranks wide.
        let mut documents = documents;
        documents.push((0..extra).map(|id| 10 + id).collect());
        let distances: Vec<usize> = distances.into_iter().collect();
        let corpus = ranked(&documents, groups);
        let middle = (corpus.first.len() as f64 * cut) as usize;
        let least = least_bytes(&corpus, groups > 1);
        // With the least budget every walk holds a few lists: 70,000 of them would take minutes.
        for budget in [if extra > 300 { least << 4 } else { least }, 1 << 40] {
            for (counts, &distance) in counted(&corpus, &distances, middle, budget, threads).iter().zip(&distances) {
                check(counts, &reference(&documents, groups, distance), groups)?;
            }
        }
        if !plan::is_dense(&corpus) {
            let small = plan(&corpus, 0..usize::MAX, distances.len(), groups > 1, least - 1, threads);
            let needs = |result| matches!(result, Err(Error::Memory { needed, .. }) if needed == least);
            prop_assert!(needs(small));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    /// Documents across the bounds of blocks, lists and cells of over 65,536 pairs, and every way of cutting the work.
    #[test]
    fn counts_of_long_documents_are_those_of_a_map(
        lengths in prop::collection::vec(0usize..100_000, 2..6),
        ids in prop::sample::select(vec![200u64, 300, 3_000, 200_000]),
        distances in prop::collection::btree_set(1usize..70_000, 1..6),
        groups in 1usize..4,
        cut in 0.0f64..0.02,
        seed in any::<u64>(),
    ) {
        let mut state = seed | 1;
        let mut draw = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        // One id in two tokens; the rest fall off as one over their number.
        let mut token = || if draw() < 0.5 { 0 } else { (ids as f64).powf(draw()) as u64 };
        let documents: Vec<Vec<u64>> = lengths.iter().map(|&length| (0..length).map(|_| token()).collect()).collect();
        let distances: Vec<usize> = distances.into_iter().collect();
        let corpus = ranked(&documents, groups);
        let middle = (corpus.first.len() as f64 * cut) as usize;
        let least = least_bytes(&corpus, groups > 1);
        let references: Vec<_> = distances.iter().map(|&distance| reference(&documents, groups, distance)).collect();
        for (budget, threads) in [(least, 2), (least + (1 << 20), 1), (least + (1 << 22), 2), (1 << 40, 1), (1 << 40, 3)] {
            // With the least budget, a walk for every few of many tokens would take minutes.
            if budget == least && corpus.first.len() > 5_000 {
                continue;
            }
            let counts = counted(&corpus, &distances, middle, budget, threads);
            for (counts, expected) in counts.iter().zip(&references) {
                check(counts, expected, groups)?;
            }
        }
    }
}

/// Block subsamples of one document: the positions beyond a segment are second tokens only.
#[test]
fn first_tokens_are_those_of_the_segments() {
    let tokens: Vec<u64> = (0..2_000u64).map(|i| i * i % 701).collect();
    let segments = [
        Segment { start: 100, end: 400, limit: 1_000, group: 0 },
        Segment { start: 700, end: 900, limit: 1_000, group: 1 },
        Segment { start: 1_500, end: 1_600, limit: 2_000, group: 1 },
    ];
    let corpus = Ranked::new(&tokens, &segments, 2, Arrangement::Given, &Monitor::new()).unwrap();
    let distances = [1, 50, 250, 450, 1_200];
    let counts = counted(&corpus, &distances, 13, 1 << 40, 2);
    for (counts, &distance) in counts.iter().zip(&distances) {
        let mut expected = Table::new();
        for segment in &segments {
            for position in segment.firsts(distance) {
                let pair = (tokens[position], tokens[position + distance]);
                expected.entry(pair).or_insert_with(|| vec![0; 2])[segment.group] += 1;
            }
        }
        check(counts, &expected, 2).unwrap();
    }
}

/// A list too long for 32 bits does not fit a test: here its counters count what those of 32 bits do, and those of 8.
#[test]
fn counters_of_all_widths_count_the_same() {
    // 5,000 of a token, and more than the table of increments holds.
    for tokens in [40, 2] {
        let list: Vec<[u16; 1]> = (0..200_000u64).map(|i| [(i * i % 97 % tokens) as u16]).collect();
        let increments = Increments::new(Estimator::Grassberger.summand().unwrap());
        let runs = [(list.len() / 3, 0), (list.len(), 1)];
        let groups: tally::Groups = Some((&increments, &runs));
        let [mut eight, mut wide, mut widest] = std::array::from_fn(|_| [tally::Tally::new(2)]);
        tally::add(&list, &mut [tally::Table::<u8>::new(40)], None, &mut eight);
        tally::add(&list, &mut [tally::Table::<u32>::new(40)], groups, &mut wide);
        tally::add(&list, &mut [tally::Table::<u64>::new(40)], groups, &mut widest);
        let [eight, wide, widest] = [eight, wide, widest].map(|[tally]| tally.finish().unwrap());
        assert_eq!(eight.fingerprint, wide.fingerprint);
        assert_eq!(wide, widest);
        let mut expected = Table::new();
        for (index, [y]) in list.iter().enumerate() {
            expected.entry((0, *y as u64)).or_insert_with(|| vec![0; 2])[usize::from(index >= runs[0].0)] += 1;
        }
        check(&wide, &expected, 2).unwrap();
    }
}
