//! Whole sequences: samples with their conditional means, and the innovations of given sequences. O(L) a sequence.
//!
//! A pass goes depth first through the tree of copies, so that all but the largest layers stay in the cache, and carries
//! `W` sequences side by side (the innermost index): coefficients are read once for all of them and the arithmetic
//! vectorises. The results of a sequence do not depend on its company.
//!
//! Memory: a node of 4 n values works in a scratch of 4 n, as four columns of n. While column j is made, column 4, whose
//! noise is drawn last, is the scratch of the child; so one scratch of L serves the whole tree.

use rayon::prelude::*;

use super::noise::Noise;
use super::{G, Law, Layer, R};
use crate::monitor::Monitor;
use crate::{Error, Result};

/// Sequences carried side by side.
const WIDTH: usize = 4;
/// Steps collected before they are written out: rows of many sequences lie a power of two apart, and writing them
/// value by value would fall on the same cache sets.
const STAGE: usize = 64;
/// Values up to which a call is not worth waking threads for (it takes a fraction of a millisecond).
pub const SMALL: usize = 1 << 14;
/// The normal tail beyond this is below the smallest positive double: no value of the law can be there.
const IMPOSSIBLE: f64 = 40.0;

/// Output and input precision. Arithmetic is in f64.
pub trait Real: Copy + Send + Sync + Default {
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
}

impl Real for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

/// How sampled sequences lie in memory: `groups` blocks, in each `head` empty steps and then L steps of `channels` values,
/// one a sequence. Plain rows are groups of one channel and no head; tokens for a model have a zero head as BOS.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub groups: usize,
    pub channels: usize,
    pub head: usize,
}

impl Law {
    /// Fill `z` (groups, head + L, channels) with sequences `first`, `first + 1`, ... of `seed`, and `mean`
    /// (groups, L, channels) with their conditional means E[Z_t | Z_<t]. The head is left as it is. The monitor counts values.
    pub fn sample<T: Real>(
        &self,
        shape: Shape,
        seed: u64,
        first: u64,
        z: &mut [T],
        mean: &mut [T],
        monitor: &Monitor,
    ) -> Result<()> {
        let Shape { groups, channels, head } = shape;
        let length = self.length();
        let (block, values) = ((head + length) * channels, groups * channels * length);
        if (z.len(), mean.len()) != (groups * block, values) {
            let found = format!("{} and {} values", z.len(), mean.len());
            return Err(Error::invalid("z, mean", found, format!("{} and {values}", groups * block)));
        }
        if values == 0 {
            return Ok(());
        }
        monitor.set_total(values as u64);
        // A group of one channel is one row; WIDTH rows are done together. Groups of many channels are done one by one.
        let together = if channels == 1 { WIDTH } else { 1 };
        let strides = if channels == 1 { (head + length, length, 1) } else { (1, 1, channels) };
        let one = |(chunk, (z, mean)): (usize, (&mut [T], &mut [T]))| {
            let lanes = if channels == 1 { z.len() / block } else { channels };
            let origin = first.wrapping_add((chunk * together * channels) as u64);
            let mut lane = 0;
            while lane < lanes {
                let z = &mut z[lane * strides.0 + head * channels..];
                let mean = &mut mean[lane * strides.1..];
                let from = origin.wrapping_add(lane as u64);
                lane += if lanes - lane >= WIDTH {
                    self.sample_lanes::<WIDTH, T>(z, mean, strides, seed, from, monitor)?
                } else {
                    self.sample_lanes::<1, T>(z, mean, strides, seed, from, monitor)?
                };
            }
            Ok(())
        };
        let (z_chunk, mean_chunk) = (block * together, length * channels * together);
        if values <= SMALL {
            z.chunks_mut(z_chunk).zip(mean.chunks_mut(mean_chunk)).enumerate().try_for_each(one)
        } else {
            z.par_chunks_mut(z_chunk).zip(mean.par_chunks_mut(mean_chunk)).enumerate().try_for_each(one)
        }
    }

    fn sample_lanes<const W: usize, T: Real>(
        &self,
        z: &mut [T],
        mean: &mut [T],
        (z_lane, mean_lane, step): (usize, usize, usize),
        seed: u64,
        first: u64,
        monitor: &Monitor,
    ) -> Result<usize> {
        let length = self.length();
        let mut noise = Noise::<W>::new(seed, first);
        let mut scratch = (vec![[0.0; W]; length], vec![[0.0; W]; length]);
        generate(&self.layers, &mut noise, &mut scratch.0, &mut scratch.1, monitor)?;
        let mut stage = Vec::with_capacity(STAGE);
        let mut written = 0;
        combine(&self.layers[self.layers.len() - 1], &scratch.0, &scratch.1, |value, innovation| {
            stage.push((value, innovation));
            if stage.len() == STAGE || written + stage.len() == length {
                for lane in 0..W {
                    for (offset, (value, innovation)) in stage.iter().enumerate() {
                        let at = (written + offset) * step;
                        z[lane * z_lane + at] = T::from_f64(value[lane]);
                        mean[lane * mean_lane + at] = T::from_f64(value[lane] - innovation[lane]);
                    }
                }
                written += stage.len();
                stage.clear();
            }
        });
        monitor.advance((W * length) as u64)?;
        Ok(W)
    }

    /// The conditional means E[Z_t | Z_<t] of rows of L values; `reversed` reads each row from its end (the law is symmetric
    /// under reversal), and the means lie where their values lie.
    pub fn conditional_mean<T: Real>(&self, z: &[T], reversed: bool, monitor: &Monitor) -> Result<Vec<T>> {
        let length = self.length();
        if !z.len().is_multiple_of(length) {
            return Err(Error::invalid("z", format!("{} values", z.len()), format!("rows of {length}")));
        }
        if let Some(at) = z.iter().position(|value| !is_possible(value.to_f64())) {
            return Err(impossible(at / length, at % length, z[at].to_f64()));
        }
        monitor.set_total(z.len() as u64);
        let mut mean = vec![T::default(); z.len()];
        let one = |(z, mean): (&[T], &mut [T])| {
            if z.len() == WIDTH * length {
                return self.mean_lanes::<WIDTH, T>(z, mean, reversed, monitor);
            }
            z.chunks(length)
                .zip(mean.chunks_mut(length))
                .try_for_each(|(z, mean)| self.mean_lanes::<1, T>(z, mean, reversed, monitor))
        };
        let chunk = WIDTH * length;
        if z.len() <= SMALL {
            z.chunks(chunk).zip(mean.chunks_mut(chunk)).try_for_each(one)?;
        } else {
            z.par_chunks(chunk).zip(mean.par_chunks_mut(chunk)).try_for_each(one)?;
        }
        Ok(mean)
    }

    fn mean_lanes<const W: usize, T: Real>(
        &self,
        z: &[T],
        mean: &mut [T],
        reversed: bool,
        monitor: &Monitor,
    ) -> Result<()> {
        let length = self.length();
        let at = |lane: usize, t: usize| lane * length + if reversed { length - 1 - t } else { t };
        let mut work: Vec<[f64; W]> =
            (0..length).map(|t| std::array::from_fn(|lane| z[at(lane, t)].to_f64())).collect();
        let mut scratch = vec![[0.0; W]; length];
        innovations(&self.layers, &mut work, &mut scratch, monitor)?;
        for lane in 0..W {
            for t in 0..length {
                mean[at(lane, t)] = T::from_f64(z[at(lane, t)].to_f64() - work[t][lane]);
            }
        }
        monitor.advance((W * length) as u64)
    }
}

pub fn is_possible(value: f64) -> bool {
    value.abs() <= IMPOSSIBLE // false for NaN
}

pub fn impossible(row: usize, position: usize, value: f64) -> Error {
    Error::invalid(
        "z",
        format!("{value} at row {row}, position {position}"),
        format!("finite values of unit variance, none beyond {IMPOSSIBLE} in size"),
    )
}

/// Values of a node above which it looks for cancellation: about a millisecond of work.
const REPORT: usize = 1 << 14;

/// Make the four columns of one node in `z`, and the innovations of those that are copies in `e`.
fn generate<const W: usize>(
    layers: &[Layer],
    noise: &mut Noise<W>,
    z: &mut [[f64; W]],
    e: &mut [[f64; W]],
    monitor: &Monitor,
) -> Result<()> {
    let Some((layer, lower)) = layers.split_last() else { return Ok(()) };
    let n = layer.rows.len();
    for copy in 0..layer.children {
        let ((z, z_scratch), (e, e_scratch)) = (z.split_at_mut(3 * n), e.split_at_mut(3 * n));
        generate(lower, noise, z_scratch, e_scratch, monitor)?;
        let (z, e) = (&mut z[copy * n..(copy + 1) * n], &mut e[copy * n..(copy + 1) * n]);
        let mut at = 0;
        combine(&lower[lower.len() - 1], z_scratch, e_scratch, |value, innovation| {
            (z[at], e[at]) = (value, innovation);
            at += 1;
        });
    }
    noise.fill(&mut z[layer.children * n..4 * n]);
    if 4 * n >= REPORT { monitor.advance(0) } else { Ok(()) }
}

/// Replace the values of one node by their innovations Z_t - E[Z_t | Z_<t]; `scratch` has the node's length.
fn innovations<const W: usize>(
    layers: &[Layer],
    z: &mut [[f64; W]],
    scratch: &mut [[f64; W]],
    monitor: &Monitor,
) -> Result<()> {
    let Some((layer, lower)) = layers.split_last() else { return Ok(()) };
    let n = layer.rows.len();
    unmix(layer, z, scratch);
    for copy in 0..layer.children {
        innovations(lower, &mut scratch[copy * n..(copy + 1) * n], &mut z[..n], monitor)?;
    }
    if 4 * n >= REPORT {
        monitor.advance(0)?;
    }
    let mut at = 0;
    // The values combined from the scratch mean nothing here; they are not used, and the compiler drops them.
    combine(layer, scratch, scratch, |_, innovation| {
        z[at] = innovation;
        at += 1;
    });
    Ok(())
}

/// From the four columns of a node, values `u` and innovations `w` (equal, and read from `u`, where a column is noise),
/// the node's values and innovations in order.
fn combine<const W: usize>(layer: &Layer, u: &[[f64; W]], w: &[[f64; W]], emit: impl FnMut([f64; W], [f64; W])) {
    match layer.children {
        0 => combine_copies::<W, 0>(layer, u, w, emit),
        1 => combine_copies::<W, 1>(layer, u, w, emit),
        2 => combine_copies::<W, 2>(layer, u, w, emit),
        _ => combine_copies::<W, 3>(layer, u, w, emit),
    }
}

#[inline(always)]
fn combine_copies<const W: usize, const C: usize>(
    layer: &Layer,
    u: &[[f64; W]],
    w: &[[f64; W]],
    mut emit: impl FnMut([f64; W], [f64; W]),
) {
    let n = layer.rows.len();
    let column = |j: usize| -> (&[[f64; W]], &[[f64; W]]) {
        let u = &u[j * n..(j + 1) * n];
        (u, if j < C { &w[j * n..(j + 1) * n] } else { u })
    };
    let (u1, w1) = column(0);
    let (u2, w2) = column(1);
    let (u3, w3) = column(2);
    let (u4, w4) = column(3);
    // Value and innovation of the last entry of the row before, unmixed.
    let (mut a, mut alpha) = ([0.0; W], [0.0; W]);
    for i in 0..n {
        let row = &layer.rows[i];
        let k = &row.regression;
        let (mut y, mut e) = ([[0.0; W]; 4], [[0.0; W]; 4]);
        for lane in 0..W {
            let value = mixed([u1[i][lane], u2[i][lane], u3[i][lane], u4[i][lane]]);
            let d = mixed([w1[i][lane], w2[i][lane], w3[i][lane], w4[i][lane]]);
            for j in 0..4 {
                y[j][lane] = value[j];
            }
            e[0][lane] = d[0];
            e[1][lane] = d[1] - k[0] * d[0];
            e[2][lane] = d[2] - (k[1] * d[0] + k[2] * d[1]);
            e[3][lane] = d[3] - (k[3] * d[0] + k[4] * d[1] + k[5] * d[2]);
        }
        if i > 0 {
            let before = &layer.rows[i - 1];
            let (p, q) = (before.p, before.q);
            let (to_last, to_next) = (p + q * before.carry(C), q + p * before.carry(C));
            let (mut last, mut last_innovation) = ([0.0; W], [0.0; W]);
            for lane in 0..W {
                let (b, beta) = (y[0][lane], e[0][lane]);
                last[lane] = p * a[lane] + q * b;
                y[0][lane] = q * a[lane] + p * b;
                last_innovation[lane] = to_last * alpha[lane] + q * beta;
                e[0][lane] = to_next * alpha[lane] + p * beta - before.gain * last_innovation[lane];
            }
            emit(last, last_innovation);
        }
        for j in 0..3 {
            emit(y[j], e[j]);
        }
        (a, alpha) = (y[3], e[3]);
    }
    emit(a, alpha);
}

/// M times a column.
#[inline(always)]
pub fn mixed(u: [f64; 4]) -> [f64; 4] {
    let (u1, u2, u3, u4) = (G * u[0], G * u[1], G * u[2], R * u[3]);
    [(u1 + u2) + (u3 + u4), (u2 - u1) + (u4 - u3), (u3 - u1) + (u4 - u2), (u1 - u2) + (u4 - u3)]
}

/// M^-1 times a column: the columns of M are orthogonal, of squared norms 5/4, 5/4, 5/4, 1/4.
#[inline(always)]
pub fn unmixed(y: [f64; 4]) -> [f64; 4] {
    const INVERSE: f64 = 0.8 * G;
    let [y1, y2, y3, y4] = y;
    [
        INVERSE * ((y1 - y2) + (y4 - y3)),
        INVERSE * ((y1 + y2) - (y3 + y4)),
        INVERSE * ((y1 - y2) + (y3 - y4)),
        (y1 + y2) + (y3 + y4),
    ]
}

/// The four columns of a node (lower copies, then noise) from its values.
fn unmix<const W: usize>(layer: &Layer, z: &[[f64; W]], columns: &mut [[f64; W]]) {
    let n = layer.rows.len();
    for i in 0..n {
        for lane in 0..W {
            let mut y = [z[4 * i][lane], z[4 * i + 1][lane], z[4 * i + 2][lane], z[4 * i + 3][lane]];
            if i > 0 {
                y[0] = layer.rows[i - 1].unmix(z[4 * i - 1][lane], y[0]).1;
            }
            if i + 1 < n {
                y[3] = layer.rows[i].unmix(y[3], z[4 * i + 4][lane]).0;
            }
            for (j, value) in unmixed(y).into_iter().enumerate() {
                columns[j * n + i][lane] = value;
            }
        }
    }
}
