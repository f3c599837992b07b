//! The exact one-step prediction, one value at a time. State and work are O(L) and O(1) a value on average.
//!
//! All copies of a layer stand at the same position. Each holds what it predicts for its next value (`mean`) and for the one
//! after, should the next come as predicted (`ahead` = E[Z_{t+1} | Z_<t]). A layer's row is passed down once both mixed
//! values of its last boundary are seen.

use std::sync::Arc;

use super::passes::{impossible, is_possible, mixed, unmixed};
use super::{Law, Layer};
use crate::{Error, Result};

/// Reads `sequences` independent sequences of one law side by side.
#[derive(Debug, Clone)]
pub struct Filter {
    law: Arc<Law>,
    levels: Vec<Level>,
}

#[derive(Debug, Clone)]
struct Level {
    position: usize,
    copies: Vec<Node>,
    /// What is passed to the level below, kept to spare the allocation.
    passed: Vec<f64>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// The current row's entries 1 to 3 before mixing, as far as they are known.
    entries: [f64; 3],
    /// The mixed entry 4 of the current row.
    last: f64,
    mean: f64,
    ahead: f64,
}

impl Filter {
    pub fn new(law: Arc<Law>, sequences: usize) -> Self {
        let mut copies = sequences;
        let mut levels: Vec<Level> = law
            .layers
            .iter()
            .rev()
            .map(|layer| {
                let level = vec![Node::default(); copies];
                copies *= layer.children;
                Level { position: 0, copies: level, passed: vec![0.0; copies] }
            })
            .collect();
        levels.reverse();
        Self { law, levels }
    }

    fn top(&self) -> &Level {
        &self.levels[self.levels.len() - 1]
    }

    /// How many values of each sequence were read.
    pub fn position(&self) -> usize {
        self.top().position
    }

    /// E[Z_t | Z_<t] of the next value of every sequence; None after the last.
    pub fn mean(&self) -> Option<Vec<f64>> {
        (self.position() < self.law.length()).then(|| self.top().copies.iter().map(|copy| copy.mean).collect())
    }

    /// Read the next value of every sequence.
    pub fn step(&mut self, z: &[f64]) -> Result<()> {
        if self.position() == self.law.length() {
            let length = self.law.length();
            return Err(Error::invalid(
                "z",
                format!("value {} of the sequence", length + 1),
                format!("{length} values"),
            ));
        }
        if z.len() != self.top().copies.len() {
            let expected = format!("one for each of the {} sequences", self.top().copies.len());
            return Err(Error::invalid("z", format!("{} values", z.len()), expected));
        }
        if let Some(row) = z.iter().position(|&value| !is_possible(value)) {
            return Err(impossible(row, self.position(), z[row]));
        }
        observe(&self.law.layers, &mut self.levels, z);
        Ok(())
    }
}

fn observe(layers: &[Layer], levels: &mut [Level], z: &[f64]) {
    let (Some((layer, lower_layers)), Some((level, lower_levels))) = (layers.split_last(), levels.split_last_mut())
    else {
        return;
    };
    let children = layer.children;
    let (row, column) = (level.position / 4, level.position % 4);
    for (x, (copy, &value)) in level.copies.iter_mut().zip(z).enumerate() {
        match column {
            0 if row > 0 => {
                let (a, b) = layer.rows[row - 1].unmix(copy.last, value);
                let [y1, y2, y3] = copy.entries;
                level.passed[x * children..(x + 1) * children].copy_from_slice(&unmixed([y1, y2, y3, a])[..children]);
                copy.entries[0] = b;
            }
            3 => {
                copy.mean = copy.ahead + layer.rows[row].gain * (value - copy.mean);
                copy.last = value;
            }
            _ => copy.entries[column] = value,
        }
    }
    if column == 0 && row > 0 {
        observe(lower_layers, lower_levels, &level.passed);
    }
    level.position += 1;
    if level.position == 4 * layer.rows.len() {
        return;
    }
    let below = lower_levels.last().map_or(&[][..], |level| &level.copies);
    for (x, copy) in level.copies.iter_mut().enumerate() {
        let below = below.get(x * children..(x + 1) * children).unwrap_or(&[]);
        predict(layer, row, column + 1, copy, below);
    }
}

/// Set `mean` and `ahead` of a copy of which `known` entries of `row` are read; `below` are its copies in the layer below.
fn predict(layer: &Layer, row: usize, known: usize, copy: &mut Node, below: &[Node]) {
    let coefficients = &layer.rows[row];
    let k = &coefficients.regression;
    let mut prediction = [0.0; 4];
    for (value, lower) in prediction.iter_mut().zip(below) {
        *value = lower.mean;
    }
    let prior = mixed(prediction);
    // M times the prediction of the next row, once this one has the given entries.
    let next_row = |entries: [f64; 4]| {
        let row = unmixed(entries);
        let mut next = [0.0; 4];
        for j in 0..below.len() {
            next[j] = below[j].ahead + coefficients.lower_gain * (row[j] - below[j].mean);
        }
        mixed(next)
    };
    let [y1, mut y2, mut y3] = copy.entries;
    let (p, q) = (coefficients.p, coefficients.q);
    if known == 4 {
        // `mean` is set; the next value as predicted gives both sides of the boundary back.
        let (a, b) = coefficients.unmix(copy.last, copy.mean);
        let next = next_row([y1, y2, y3, a]);
        copy.ahead = next[1] + layer.rows[row + 1].regression[0] * (b - next[0]);
        return;
    }
    let d1 = y1 - prior[0];
    if known == 1 {
        y2 = prior[1] + k[0] * d1;
    }
    let d2 = y2 - prior[1];
    if known <= 2 {
        y3 = prior[2] + (k[1] * d1 + k[2] * d2);
    }
    if known == 1 {
        (copy.mean, copy.ahead) = (y2, y3);
        return;
    }
    let d3 = y3 - prior[2];
    let a = prior[3] + (k[3] * d1 + k[4] * d2 + k[5] * d3);
    let b = next_row([y1, y2, y3, a])[0];
    (copy.mean, copy.ahead) = if known == 2 { (y3, p * a + q * b) } else { (p * a + q * b, q * a + p * b) };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gaussian::{Boundary, Shape};
    use crate::monitor::Monitor;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Three ways to the same means: with the sample, from the whole sequence, one value at a time.
        #[test]
        fn all_passes_agree(children in prop::collection::vec(1usize..=3, 0..4), printed: bool, seed: u64) {
            let law = Arc::new(Law::new(&children, if printed { Boundary::Printed } else { Boundary::Weighted }).unwrap());
            let n = law.length();
            let (mut z, mut mean) = (vec![0.0_f64; n], vec![0.0_f64; n]);
            let shape = Shape { groups: 1, channels: 1, head: 0 };
            law.sample(shape, seed, 0, &mut z, &mut mean, &Monitor::new()).unwrap();
            let whole = law.conditional_mean(&z, false, &Monitor::new()).unwrap();
            let mut filter = Filter::new(Arc::clone(&law), 1);
            for t in 0..n {
                let stepped = filter.mean().unwrap()[0];
                // Rounding through at most 4 layers, as in tests/test_gaussian.py.
                prop_assert!((whole[t] - mean[t]).abs() < 1e-12 && (stepped - mean[t]).abs() < 1e-12);
                filter.step(&z[t..=t]).unwrap();
            }
            prop_assert!(filter.mean().is_none() && filter.step(&[0.0]).is_err());
        }
    }
}
