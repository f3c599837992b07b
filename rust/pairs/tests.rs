use super::*;
use crate::corpus::{Arrangement, Segment};
use proptest::prelude::*;

/// Every pair inside a document, in a map: (count, counts by group).
fn reference(documents: &[Vec<u64>], groups: usize, distance: usize) -> BTreeMap<(u64, u64), Vec<u64>> {
    let mut counts = BTreeMap::new();
    for (index, document) in documents.iter().enumerate() {
        for (&x, &y) in document.iter().zip(document.iter().skip(distance)) {
            counts.entry((x, y)).or_insert_with(|| vec![0; groups])[index * groups / documents.len()] += 1;
        }
    }
    counts
}

/// A list too long for 32 bits does not fit a test: here its counters count what those of 32 bits do.
#[test]
fn counters_of_64_bits_count_what_those_of_32_do() {
    let list: Vec<[u16; 1]> = (0..LIGHT as u64 * 3).map(|i| [(i * i % 97 % 40) as u16]).collect();
    let increments = Increments::new(Estimator::Grassberger.summand().unwrap());
    let runs = [(list.len() / 3, 0), (list.len(), 1)];
    let lane = Lane { list: &list, lane: 0 };
    let mut tallies = [Tally::new(2), Tally::new(2)];
    tallies[0].add(lane, &mut [0u32; 41], Some(&increments), &runs);
    tallies[1].add(lane, &mut vec![0u64; 41], Some(&increments), &runs);
    let [narrow, wide] = tallies.map(|tally| tally.finish().unwrap());
    assert_eq!(narrow.fingerprint.total(), list.len() as u64);
    assert_eq!(narrow, wide);
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
    ) {
        // `extra` ids that occur once leave the dense table, and make the ranks wide.
        let mut documents = documents;
        documents.push((0..extra).map(|id| 10 + id).collect());
        let distances: Vec<usize> = distances.into_iter().collect();
        let tokens = documents.concat();
        let mut start = 0;
        let segments: Vec<Segment> = documents.iter().enumerate().map(|(index, document)| {
            start += document.len();
            let group = index * groups / documents.len();
            Segment { start: start - document.len(), end: start, limit: start, group }
        }).collect();
        let corpus = Ranked::new(&tokens, &segments, groups, Arrangement::Given, &Monitor::new()).unwrap();
        let estimator = Estimator::Grassberger;
        let middle = (corpus.first.len() as f64 * cut) as usize;
        let least = least_bytes(&corpus, groups > 1);
        // With the least budget every walk holds a few lists: 70,000 of them would take minutes.
        for budget in [if extra > 300 { least << 4 } else { least }, u64::MAX] {
            let part = |range| count(&corpus, &distances, range, Some(estimator), budget, &Monitor::new()).unwrap();
            let (low, high) = (part(0..middle), part(middle..usize::MAX));
            for ((distance, low), high) in distances.iter().zip(&low).zip(&high) {
                let counts = low.merge(high).unwrap();
                let expected = reference(&documents, groups, *distance);
                let totals = expected.values().map(|by_group| by_group.iter().sum::<u64>());
                prop_assert_eq!(&counts.fingerprint, &Fingerprint::from_counts(totals).unwrap());
                if groups > 1 {
                    let g = estimator.summand().unwrap();
                    let f = |n: u64| if n == 0 { 0.0 } else { n as f64 * g(n) };
                    for group in 0..groups {
                        let removed: f64 = expected.values().map(|by_group| {
                            let n = by_group.iter().sum::<u64>();
                            f(n) - f(n - by_group[group])
                        }).sum();
                        let found = counts.removed[group] as f64 * REMOVED_UNIT;
                        // Each pair is rounded to the unit.
                        prop_assert!((found - removed).abs() <= (tokens.len() as f64 + 1.0) * REMOVED_UNIT);
                    }
                }
            }
        }
        if !is_dense(&corpus) {
            let small = plan(&corpus, 0..usize::MAX, distances.len(), groups > 1, least - 1);
            let needs = |result| matches!(result, Err(Error::Memory { needed, .. }) if needed == least);
            prop_assert!(needs(small));
        }
    }
}
