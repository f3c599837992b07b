//! The margins of token pairs: how often each token comes first and second at a distance, and what that says without each
//! jackknife group.
//!
//! At distance d both margins are the counts of all tokens, corrected at the ends of the documents: that costs d tokens a
//! document instead of all of them.

use std::ops::Range;

use rayon::prelude::*;

use crate::Result;
use crate::corpus::{Rank, Ranked, Ranks, Segment, Sides};
use crate::entropy::Estimator;
use crate::fingerprint::Fingerprint;
use crate::monitor::Monitor;
use crate::null_model::expected_joint_entropy;

/// Bytes that `margins` needs on this many threads.
pub fn margin_bytes(corpus: &Ranked, threads: usize) -> u64 {
    let both = (corpus.first.len() + corpus.second().len()) as u64;
    both * 8 * (corpus.groups as u64 + 4 * threads as u64)
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
    match &corpus.ranks {
        Ranks::Bytes(sides) => margins_of(corpus, sides, distances, estimator, with_null, monitor),
        Ranks::Narrow(sides) => margins_of(corpus, sides, distances, estimator, with_null, monitor),
        Ranks::Wide(sides) => margins_of(corpus, sides, distances, estimator, with_null, monitor),
    }
}

fn margins_of<T: Rank>(
    corpus: &Ranked,
    sides: &Sides<T>,
    distances: &[usize],
    estimator: Estimator,
    with_null: bool,
    monitor: &Monitor,
) -> Result<Vec<Margins>> {
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
    let (first, second) = (&sides.first, sides.second());
    let mut segments = vec![Vec::new(); corpus.groups];
    corpus.segments.iter().for_each(|segment| segments[segment.group].push(*segment));
    let regardless: Vec<MarginCounts> = match corpus.frequencies() {
        Some((x, y)) => vec![MarginCounts { x: x.to_vec(), y: y.to_vec() }],
        None => segments
            .par_iter()
            .map(|segments| MarginCounts::regardless_of_distance(corpus, sides, segments, monitor))
            .collect::<Result<_>>()?,
    };
    distances
        .par_iter()
        .map(|&distance| {
            let at_distance = |group: usize| {
                let mut counts = regardless[group].clone();
                counts.correct(first, second, &segments[group], distance);
                counts
            };
            let mut total = MarginCounts::new(corpus);
            let mut pairs = Vec::with_capacity(corpus.groups);
            for group in 0..corpus.groups {
                let counts = at_distance(group);
                pairs.push(counts.x.iter().sum());
                total.add(&counts);
                monitor.advance(0)?;
            }
            let (x, y) = (
                Fingerprint::from_counts(total.x.iter().copied())?,
                Fingerprint::from_counts(total.y.iter().copied())?,
            );
            let mut levels = vec![level(&x, &y)?];
            if corpus.groups > 1 {
                let replicates = (0..corpus.groups).into_par_iter().map(|group| {
                    let part = at_distance(group);
                    let left = |all: &[u64], part: &[u64]| {
                        Fingerprint::from_counts(all.iter().zip(part).map(|(all, part)| all - part))
                    };
                    level(&left(&total.x, &part.x)?, &left(&total.y, &part.y)?)
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

    /// All tokens of the segments, as both margins at distance 0.
    fn regardless_of_distance<T: Rank>(
        corpus: &Ranked,
        sides: &Sides<T>,
        segments: &[Segment],
        monitor: &Monitor,
    ) -> Result<Self> {
        let mut counts = Self::new(corpus);
        for segment in segments {
            for start in (segment.start..segment.end).step_by(1 << 22) {
                let span = start..segment.end.min(start + (1 << 22));
                change(&mut counts.x, &sides.first, span.clone(), 1);
                if let Some(second) = &sides.second {
                    change(&mut counts.y, second, span, 1);
                }
                monitor.advance(0)?;
            }
        }
        if sides.second.is_none() {
            counts.y.copy_from_slice(&counts.x);
        }
        Ok(counts)
    }

    /// From distance 0 to `distance`, at the ends of the segments.
    fn correct<T: Rank>(&mut self, first: &[T], second: &[T], segments: &[Segment], distance: usize) {
        for segment in segments {
            let all = segment.start..segment.end;
            let firsts = segment.firsts(distance);
            change(&mut self.x, first, firsts.end..all.end, -1);
            if firsts.is_empty() {
                change(&mut self.y, second, all, -1);
            } else if distance >= all.len() {
                change(&mut self.y, second, all, -1);
                change(&mut self.y, second, firsts.start + distance..firsts.end + distance, 1);
            } else {
                change(&mut self.y, second, all.start..all.start + distance, -1);
                change(&mut self.y, second, all.end..firsts.end + distance, 1);
            }
        }
    }
}

fn change<T: Rank>(counts: &mut [u64], tokens: &[T], span: Range<usize>, by: i64) {
    for token in &tokens[span] {
        let count = &mut counts[token.index()];
        *count = count.wrapping_add_signed(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Arrangement;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn margins_are_those_of_the_pairs_in_a_list(
            documents in prop::collection::vec(prop::collection::vec(0u32..5, 0..40), 1..8),
            distance in 1usize..45,
            groups in 1usize..4,
        ) {
            let tokens = documents.concat();
            let group_of = |index: usize| index * groups / documents.len();
            let mut start = 0;
            let segments: Vec<Segment> = documents.iter().enumerate().map(|(index, document)| {
                start += document.len();
                Segment { start: start - document.len(), end: start, limit: start, group: group_of(index) }
            }).collect();
            let corpus = Ranked::new(&tokens, &segments, groups, Arrangement::Given, &Monitor::new()).unwrap();
            let found = margins(&corpus, &[distance], Estimator::Grassberger, false, &Monitor::new()).unwrap().remove(0);
            let fingerprints = |left_out: Option<usize>| {
                let mut counts = [[0u64; 5]; 2];
                let kept = documents.iter().enumerate().filter(|(index, _)| Some(group_of(*index)) != left_out);
                for (x, y) in kept.flat_map(|(_, ids)| ids.iter().zip(ids.iter().skip(distance))) {
                    counts[0][*x as usize] += 1;
                    counts[1][*y as usize] += 1;
                }
                counts.map(|side| Fingerprint::from_counts(side).unwrap())
            };
            let [x, y] = fingerprints(None);
            prop_assert_eq!((&found.x, &found.y), (&x, &y));
            prop_assert_eq!(found.pairs.iter().sum::<u64>(), x.total());
            for (group, level) in found.levels.iter().skip(1).enumerate() {
                let [x, y] = fingerprints(Some(group));
                if x.is_empty() {
                    prop_assert!(level.entropy_x.is_nan());
                } else {
                    let entropy = |side: &Fingerprint| Estimator::Grassberger.estimate(side, None).unwrap().value;
                    prop_assert_eq!((level.entropy_x, level.entropy_y), (entropy(&x), entropy(&y)));
                }
            }
        }
    }
}
