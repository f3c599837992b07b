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
use crate::fingerprint::{Fingerprint, SMALL, add_small};
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
    let mut segments = vec![Vec::new(); corpus.groups];
    corpus.segments.iter().for_each(|segment| segments[segment.group].push(*segment));
    let known = corpus.frequencies();
    let counts_x = Counts::new(&sides.first, corpus.first.len(), &segments, known.map(|(x, _)| x), monitor)?;
    let of_second =
        |second: &Vec<T>| Counts::new(second, corpus.second().len(), &segments, known.map(|(_, y)| y), monitor);
    let counts_y = sides.second.as_ref().map(of_second).transpose()?;
    let x = Side { tokens: &sides.first, counts: &counts_x, changes: without_successor };
    let y =
        Side { tokens: sides.second(), counts: counts_y.as_ref().unwrap_or(&counts_x), changes: from_first_to_second };
    distances
        .par_iter()
        .map(|&distance| {
            let (x, y) = (x.at(distance, &corpus.segments), y.at(distance, &corpus.segments));
            monitor.advance(0)?;
            let (all_x, all_y) = (x.fingerprint()?, y.fingerprint()?);
            let mut levels = vec![level(&all_x, &all_y)?];
            if corpus.groups > 1 {
                let replicates = segments.par_iter().enumerate().map_init(Vec::new, |scratch, (group, segments)| {
                    level(&x.without(group, segments, scratch)?, &y.without(group, segments, scratch)?)
                });
                levels.extend(replicates.collect::<Result<Vec<_>>>()?);
            }
            let of_group = |segments: &Vec<Segment>| segments.iter().map(|s| s.firsts(distance).len() as u64).sum();
            Ok(Margins { x: all_x, y: all_y, pairs: segments.iter().map(of_group).collect(), levels })
        })
        .collect()
}

/// How often each token of the segments occurs: its counts on either side of a pair at distance 0.
struct Counts {
    all: Vec<u64>,
    /// By group, where there is more than one: (rank, count), ranks ascending, without zeros.
    groups: Vec<Vec<(u32, u64)>>,
}

impl Counts {
    /// `known`: the counts of all, where they are known.
    fn new<T: Rank>(
        tokens: &[T],
        alphabet: usize,
        segments: &[Vec<Segment>],
        known: Option<&[u64]>,
        monitor: &Monitor,
    ) -> Result<Self> {
        if let Some(known) = known {
            return Ok(Self { all: known.to_vec(), groups: Vec::new() });
        }
        let of_group = |counts: &mut Vec<u64>, segments: &Vec<Segment>| {
            counts.resize(alphabet, 0);
            for segment in segments {
                for start in (segment.start..segment.end).step_by(1 << 22) {
                    change(counts, tokens, start..segment.end.min(start + (1 << 22)), 1);
                    monitor.advance(0)?;
                }
            }
            let occurring = counts.iter_mut().enumerate().filter(|(_, count)| **count > 0);
            Ok(occurring.map(|(rank, count)| (rank as u32, std::mem::take(count))).collect())
        };
        let mut groups = segments.par_iter().map_init(Vec::new, of_group).collect::<Result<Vec<Vec<_>>>>()?;
        let mut all = vec![0; alphabet];
        groups.iter().flatten().for_each(|&(rank, count)| all[rank as usize] += count);
        if groups.len() == 1 {
            groups.clear();
        }
        Ok(Self { all, groups })
    }
}

/// One side of the pairs. `changes`: what a distance takes from a segment's counts at distance 0, and what it adds.
struct Side<'a, T> {
    tokens: &'a [T],
    counts: &'a Counts,
    changes: Changes,
}

type Changes = fn(&Segment, usize) -> [(Range<usize>, i64); 2];

/// Tokens at the end of a segment come first in no pair.
fn without_successor(segment: &Segment, distance: usize) -> [(Range<usize>, i64); 2] {
    [(segment.firsts(distance).end..segment.end, -1), (0..0, 1)]
}

/// Second tokens lie `distance` after the first ones, up to the end of the document.
fn from_first_to_second(segment: &Segment, distance: usize) -> [(Range<usize>, i64); 2] {
    let firsts = segment.firsts(distance);
    let seconds = firsts.start + distance..firsts.end + distance;
    if firsts.is_empty() {
        [(segment.start..segment.end, -1), (0..0, 1)]
    } else if seconds.start >= segment.end {
        [(segment.start..segment.end, -1), (seconds, 1)]
    } else {
        [(segment.start..seconds.start, -1), (segment.end..seconds.end, 1)]
    }
}

impl<T: Rank> Side<'_, T> {
    fn at<'a>(&'a self, distance: usize, segments: &[Segment]) -> SideAt<'a, T> {
        let mut counts = self.counts.all.clone();
        for (span, by) in segments.iter().flat_map(|segment| (self.changes)(segment, distance)) {
            change(&mut counts, self.tokens, span, by);
        }
        let mut small = [0; SMALL];
        let large = add_small(&mut small, counts.iter().copied().zip(0..));
        SideAt { side: self, distance, counts, small, large }
    }
}

/// One side of the pairs at a distance: how often each token comes there.
struct SideAt<'a, T> {
    side: &'a Side<'a, T>,
    distance: usize,
    counts: Vec<u64>,
    /// How many tokens come n times, and the ranks of those that come more often.
    small: [u64; SMALL],
    large: Vec<usize>,
}

impl<T: Rank> SideAt<'_, T> {
    fn fingerprint(&self) -> Result<Fingerprint> {
        Fingerprint::from_small_and_large(&self.small, self.large.iter().map(|&rank| self.counts[rank]).collect())
    }

    /// Without a group's pairs. Tokens that the group does not hold keep their counts, and are not looked at. `part`: zeros, or empty.
    fn without(&self, group: usize, segments: &[Segment], part: &mut Vec<u64>) -> Result<Fingerprint> {
        part.resize(part.len().max(self.counts.len()), 0);
        let occurring = &self.side.counts.groups[group];
        occurring.iter().for_each(|&(rank, count)| part[rank as usize] = count);
        // Second tokens may lie in another group's segment of the document.
        let mut others = Vec::new();
        for (span, by) in segments.iter().flat_map(|segment| (self.side.changes)(segment, self.distance)) {
            if by > 0 {
                others.extend(
                    self.side.tokens[span.clone()].iter().map(|token| token.index()).filter(|&rank| part[rank] == 0),
                );
            }
            change(part, self.side.tokens, span, by);
        }
        let mut small = self.small;
        for rank in occurring.iter().map(|&(rank, _)| rank as usize).chain(others) {
            let count = self.counts[rank] as usize;
            if count < SMALL {
                // Zero when a rank comes again.
                let left = count - std::mem::take(&mut part[rank]) as usize;
                small[count] -= 1;
                small[left] += 1;
            }
        }
        let left = self.large.iter().map(|&rank| self.counts[rank] - std::mem::take(&mut part[rank]));
        let large = add_small(&mut small, left.map(|left| (left, left)));
        Fingerprint::from_small_and_large(&small, large)
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

    /// Against the pairs in a list. Two segments a document, cut at this share: second tokens of one group may be first tokens of
    /// the next.
    fn check(documents: &[Vec<u32>], distance: usize, groups: usize, cut: f64) {
        let tokens = documents.concat();
        let group_of = |segment: usize| segment * groups / (2 * documents.len());
        let mut segments = Vec::new();
        let mut start = 0;
        for document in documents {
            let (middle, limit) = (start + (cut * document.len() as f64) as usize, start + document.len());
            for (start, end) in [(start, middle), (middle, limit)] {
                segments.push(Segment { start, end, limit, group: group_of(segments.len()) });
            }
            start = limit;
        }
        let corpus = Ranked::new(&tokens, &segments, groups, Arrangement::Given, &Monitor::new()).unwrap();
        let found = margins(&corpus, &[distance], Estimator::Grassberger, false, &Monitor::new()).unwrap().remove(0);
        let fingerprints = |left_out: Option<usize>| {
            let mut counts = [[0u64; 5]; 2];
            let kept = segments.iter().filter(|segment| Some(segment.group) != left_out);
            for position in kept.flat_map(|segment| segment.firsts(distance)) {
                counts[0][tokens[position] as usize] += 1;
                counts[1][tokens[position + distance] as usize] += 1;
            }
            counts.map(|side| Fingerprint::from_counts(side).unwrap())
        };
        let [x, y] = fingerprints(None);
        assert_eq!((&found.x, &found.y), (&x, &y));
        assert_eq!(found.pairs.iter().sum::<u64>(), x.total());
        for (group, level) in found.levels.iter().skip(1).enumerate() {
            let [x, y] = fingerprints(Some(group));
            if x.is_empty() {
                assert!(level.entropy_x.is_nan());
            } else {
                let entropy = |side: &Fingerprint| Estimator::Grassberger.estimate(side, None).unwrap().value;
                assert_eq!((level.entropy_x, level.entropy_y), (entropy(&x), entropy(&y)));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn margins_are_those_of_the_pairs_in_a_list(
            documents in prop::collection::vec(prop::collection::vec(0u32..5, 0..40), 1..8),
            distance in 1usize..45,
            groups in 1usize..4,
            cut in 0.0..1.0f64,
        ) {
            check(&documents, distance, groups, cut);
        }
    }

    #[test]
    fn counts_on_both_sides_of_what_is_looked_up() {
        // The ids occur 464 to 3,940 times: without a group, some fall below 1,024.
        let documents: Vec<Vec<u32>> = (0..4u64)
            .map(|document| {
                (0..2_000u64).map(|i| (1 + (i * i + document) % 1_009).ilog2().saturating_sub(5) % 5).collect()
            })
            .collect();
        for (distance, groups) in [(1, 4), (700, 3), (1_500, 2), (2_500, 4)] {
            check(&documents, distance, groups, 0.4);
        }
    }
}
