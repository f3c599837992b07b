//! Alphabets of up to 256 ids: one table of all id pairs.

use std::ops::Range;

use rayon::prelude::*;

use super::JointCounts;
use super::lists::Task;
use crate::Result;
use crate::fingerprint::Fingerprint;

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
        let columns = self.corpus.second().len();
        let size = self.corpus.first.len() * columns;
        distances
            .par_iter()
            .map(|&distance| {
                let tables = self.tables(distance)?;
                let cells = || range.start * columns..range.end * columns;
                let total = |cell: usize| tables.chunks_exact(size).map(|table| table[cell]).sum::<u64>();
                let fingerprint = Fingerprint::from_counts(cells().map(total))?;
                let mut counts = JointCounts { fingerprint, removed: vec![0; self.corpus.groups] };
                if let Some(increments) = self.increments {
                    for cell in cells() {
                        let n = total(cell);
                        for (removed, table) in counts.removed.iter_mut().zip(tables.chunks_exact(size)) {
                            *removed += increments.sum(n, table[cell]);
                        }
                    }
                }
                Ok(counts)
            })
            .collect()
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
