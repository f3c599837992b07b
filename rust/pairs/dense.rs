//! Alphabets of up to 256 ids: one table of all id pairs.

use std::ops::Range;

use rayon::prelude::*;

use super::JointCounts;
use super::increments::Increments;
use super::lists::Task;
use crate::Result;
use crate::fingerprint::Fingerprint;
use crate::monitor::Monitor;

/// Cells of the largest table: their number takes 16 bits.
const CELLS: usize = 1 << 16;

/// Counters of a cell, in turn: pairs that repeat would wait for the counter to be written back. Two stay in the second-level cache
/// where four do not.
const COPIES: usize = 2;

/// Bytes of the counters of one thread.
pub const COUNTER_BYTES: u64 = (CELLS * COPIES * 4) as u64;

/// Pairs whose cells are computed before they are counted.
const AHEAD: usize = 512;

impl Task<'_, u8> {
    /// Counts of the pairs whose first rank is in `range`, by distance: one table of all id pairs a group.
    pub fn dense(&self, distances: &[usize], range: &Range<usize>) -> Result<Vec<JointCounts>> {
        let groups = self.corpus.groups;
        let prefix = self.increments.map(prefix_sums).unwrap_or_default();
        let counted: Vec<(JointCounts, Vec<Removal>)> = distances
            .par_iter()
            .map(|&distance| {
                let size = self.corpus.first.len() * self.corpus.second().len();
                let tables = self.tables(distance)?;
                let cells = || range.start * self.corpus.second().len()..range.end * self.corpus.second().len();
                let total = |cell: usize| tables.chunks_exact(size).map(|table| table[cell]).sum::<u64>();
                let fingerprint = Fingerprint::from_counts(cells().map(total))?;
                let mut counts = JointCounts { fingerprint, removed: vec![0; groups] };
                let mut heavy = Vec::new();
                if self.increments.is_some() {
                    for (cell, n) in cells().map(|cell| (cell, total(cell))).filter(|&(_, n)| n > 0) {
                        for (group, table) in tables.chunks_exact(size).enumerate() {
                            let rest = n - table[cell];
                            match prefix.get(n as usize) {
                                Some(sum) => counts.removed[group] += i128::from(sum - prefix[rest as usize]),
                                None => heavy.push(Removal { n, rest, group }),
                            }
                        }
                    }
                }
                Ok((counts, heavy))
            })
            .collect::<Result<_>>()?;
        let (mut counts, heavy): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
        if let Some(increments) = self.increments {
            remove(&mut counts, heavy, increments, self.monitor)?;
        }
        Ok(counts)
    }

    /// Counts of all id pairs at this distance, a table a group.
    fn tables(&self, distance: usize) -> Result<Vec<u64>> {
        let columns = self.corpus.second().len();
        let groups = if self.increments.is_some() { self.corpus.groups } else { 1 };
        let size = self.corpus.first.len() * columns;
        let mut tables = vec![0u64; groups * size];
        let mut counters: Box<[[u32; COPIES]; CELLS]> =
            vec![[0; COPIES]; CELLS].into_boxed_slice().try_into().expect("as many as were made");
        let mut flush = |counters: &mut [[u32; COPIES]; CELLS], group: usize| {
            for (count, copies) in tables[group * size..][..size].iter_mut().zip(counters) {
                *count += copies.iter().map(|&copy| u64::from(copy)).sum::<u64>();
                *copies = [0; COPIES];
            }
        };
        let mut cells = [0u16; AHEAD];
        let (mut group, mut pending) = (0, 0);
        for segment in &self.corpus.segments {
            if groups > 1 && segment.group != group {
                flush(&mut counters, group);
                (group, pending) = (segment.group, 0);
            }
            let firsts = segment.firsts(distance);
            for start in firsts.clone().step_by(1 << 22) {
                let end = firsts.end.min(start + (1 << 22));
                let xs = self.first[start..end].chunks(AHEAD);
                let ys = self.second[start + distance..end + distance].chunks(AHEAD);
                for (x, y) in xs.zip(ys) {
                    // A loop of its own, of whole vectors: 40 % less time in all.
                    let cells = &mut cells[..x.len()];
                    for ((cell, x), y) in cells.iter_mut().zip(x).zip(y) {
                        *cell = u16::from(*x) * columns as u16 + u16::from(*y);
                    }
                    let (rows, rest) = cells.as_chunks::<COPIES>();
                    for row in rows {
                        for copy in 0..COPIES {
                            counters[row[copy] as usize][copy] += 1;
                        }
                    }
                    for cell in rest {
                        counters[*cell as usize][0] += 1;
                    }
                }
                pending += end - start;
                if pending > 1 << 31 {
                    flush(&mut counters, group);
                    pending = 0;
                }
                self.monitor.advance((end - start) as u64)?;
            }
        }
        flush(&mut counters, group);
        Ok(tables)
    }
}

/// A cell whose count falls from `n` to `rest` without a group.
struct Removal {
    n: u64,
    rest: u64,
    group: usize,
}

/// Sums of the first 0, 1, 2, ... increments.
fn prefix_sums(increments: &Increments) -> Vec<i64> {
    std::iter::once(0)
        .chain((1..1 << 16).map(|n| increments.at(n)))
        .scan(0, |sum, increment| {
            *sum += increment;
            Some(*sum)
        })
        .collect()
}

/// Take the removals off in one walk over n: adding up the increments of each by itself takes as long as there are pairs times groups.
fn remove(
    counts: &mut [JointCounts],
    removals: Vec<Vec<Removal>>,
    increments: &Increments,
    monitor: &Monitor,
) -> Result<()> {
    let mut ends: Vec<(u64, i128, usize, usize)> = Vec::new();
    for (index, Removal { n, rest, group }) in removals
        .into_iter()
        .enumerate()
        .flat_map(|(index, removals)| removals.into_iter().map(move |removal| (index, removal)))
    {
        ends.extend([(n, 1, index, group), (rest, -1, index, group)]);
    }
    ends.sort_unstable_by_key(|end| end.0);
    let (mut reached, mut sum) = (0, 0i128);
    for (n, sign, index, group) in ends {
        while reached < n {
            reached += 1;
            sum += i128::from(increments.at(reached));
            if reached % (1 << 20) == 0 {
                monitor.advance(0)?;
            }
        }
        counts[index].removed[group] += sign * sum;
    }
    Ok(())
}
