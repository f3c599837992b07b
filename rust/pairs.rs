//! Joint counts of token pairs at many distances, without hashing.
//!
//! A task is (distances, range of first ranks). For two distances at a time it appends to the list of every first token of its
//! range the successors of that token, block by block of the corpus ([`blocks`], [`lists`]), and counts each list
//! in a dense array of counters that stays in the cache ([`tally`]). What comes out are fingerprints and, for the jackknife, by how much
//! sum f(n) shrinks without each group: integers, so results of tasks add to the same bytes however the work was cut.
//!
//! Alphabets of up to 256 ids use one dense table ([`dense`]).

mod blocks;
mod dense;
mod increments;
mod lists;
mod pages;
mod plan;
mod tally;

use std::ops::Range;

use crate::corpus::{Ranked, Ranks};
use crate::entropy::Estimator;
use crate::fingerprint::Fingerprint;
use crate::memory::give_back_freed;
use crate::monitor::Monitor;
use crate::{Error, Result};
use increments::Increments;
pub use increments::REMOVED_UNIT;
use lists::Task;
pub use plan::{DENSE, Walk, least_bytes, plan, resident_bytes};

/// Counts of the pairs at one distance whose first token is in a task's range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JointCounts {
    pub fingerprint: Fingerprint,
    /// By group g: sum over pairs of f(n) - f(n - n_g) in units of 2^-28, n_g of the n coming from the group.
    pub removed: Vec<i128>,
}

impl JointCounts {
    fn none(groups: usize) -> Self {
        Self { removed: vec![0; groups], ..Self::default() }
    }

    /// Counts over the union of two disjoint ranges.
    pub fn merge(&self, other: &Self) -> Result<Self> {
        let removed = self.removed.iter().zip(&other.removed).map(|(a, b)| a + b).collect();
        Ok(Self { fingerprint: self.fingerprint.merge(&other.fingerprint)?, removed })
    }
}

/// Count the pairs at these distances whose first rank is in `range`.
///
/// Each thread of the pool holds the lists of one piece of [`plan`] at a time, within `budget` bytes. `estimator`: whose f
/// the jackknife needs; none, or one group only: no jackknife. The monitor advances by pairs.
pub fn count(
    corpus: &Ranked,
    distances: &[usize],
    range: Range<usize>,
    estimator: Option<Estimator>,
    budget: u64,
    monitor: &Monitor,
) -> Result<Vec<JointCounts>> {
    give_back_freed();
    let grouped = estimator.is_some() && corpus.groups > 1;
    let walks = plan(corpus, range.clone(), distances.len(), grouped, budget, rayon::current_num_threads())?;
    let firsts: u64 =
        walks.iter().flat_map(|walk| &walk.pieces).flat_map(|piece| &corpus.first.frequencies[piece.clone()]).sum();
    monitor.set_total(firsts * distances.len() as u64);
    let increments = match estimator {
        Some(estimator) if corpus.groups > 1 => Some(Increments::new(summand(estimator)?)),
        _ => None,
    };
    let increments = increments.as_ref();
    match &corpus.ranks {
        Ranks::Bytes(sides) => {
            let task = Task { corpus, first: &sides.first, second: sides.second(), increments, monitor };
            match walks.as_slice() {
                [walk] => task.dense(distances, &walk.pieces[0]),
                _ => Ok(vec![JointCounts::none(corpus.groups); distances.len()]),
            }
        }
        Ranks::Narrow(sides) => {
            Task { corpus, first: &sides.first, second: sides.second(), increments, monitor }.count(distances, &walks)
        }
        Ranks::Wide(sides) => {
            Task { corpus, first: &sides.first, second: sides.second(), increments, monitor }.count(distances, &walks)
        }
    }
}

fn summand(estimator: Estimator) -> Result<fn(u64) -> f64> {
    estimator.summand().ok_or_else(|| {
        Error::invalid("estimator", format!("{:?}", estimator.name()), "one that is a sum over symbols, or groups=None")
    })
}

#[cfg(test)]
mod tests;
