//! Alphabets of up to 256 ids: one table of all id pairs.

use std::ops::Range;

use super::JointCounts;
use super::lists::Task;
use crate::Result;
use crate::corpus::Rank;
use crate::fingerprint::Fingerprint;

impl<T: Rank> Task<'_, T> {
    /// One table of all id pairs a group.
    pub fn dense(&self, distance: usize, range: &Range<usize>) -> Result<JointCounts> {
        let columns = self.corpus.second().len();
        let groups = if self.increments.is_some() { self.corpus.groups } else { 1 };
        let size = self.corpus.first.len() * columns;
        let mut tables = vec![0u64; groups * size];
        // Four copies: equal pairs that follow each other would wait for the counter to be written back.
        let mut copies = vec![[0u32; 4]; size];
        let mut pending = 0;
        let mut flush = |copies: &mut [[u32; 4]], group: usize| {
            for (count, copies) in tables[group * size..][..size].iter_mut().zip(copies) {
                *count += copies.iter().map(|&copy| copy as u64).sum::<u64>();
                *copies = [0; 4];
            }
        };
        let mut group = 0;
        for segment in &self.corpus.segments {
            if groups > 1 && segment.group != group {
                flush(&mut copies, group);
                (group, pending) = (segment.group, 0);
            }
            let firsts = segment.firsts(distance);
            for start in firsts.clone().step_by(1 << 22) {
                let end = firsts.end.min(start + (1 << 22));
                let xs = self.first[start..end].chunks_exact(4);
                let ys = self.second[start + distance..end + distance].chunks_exact(4);
                for (x, y) in xs.remainder().iter().zip(ys.remainder()) {
                    copies[x.index() * columns + y.index()][0] += 1;
                }
                for (x, y) in xs.zip(ys) {
                    for copy in 0..4 {
                        copies[x[copy].index() * columns + y[copy].index()][copy] += 1;
                    }
                }
                pending += end - start;
                if pending > 1 << 31 {
                    flush(&mut copies, group);
                    pending = 0;
                }
                self.monitor.advance((end - start) as u64)?;
            }
        }
        flush(&mut copies, group);
        let cells = || range.start * columns..range.end * columns;
        let total = |cell: usize| tables.chunks_exact(size).map(|table| table[cell]).sum::<u64>();
        let mut counts = JointCounts {
            fingerprint: Fingerprint::from_counts(cells().map(total))?,
            removed: vec![0; self.corpus.groups],
        };
        if let Some(increments) = self.increments {
            for cell in cells() {
                let n = total(cell);
                for (removed, table) in counts.removed.iter_mut().zip(tables.chunks_exact(size)) {
                    *removed += increments.sum(n, table[cell]);
                }
            }
        }
        Ok(counts)
    }
}
