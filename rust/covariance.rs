//! Products of the pair matrix with vectors, by streaming over the tokens: what a singular value decomposition asks for.
//!
//! With P(x, y; d) = n(x, y; d) / N the token covariance is C(d) = P(d) - p q^T, where p and q are the margins of the same
//! pairs. `P v` needs no table of pairs: every pair adds v\[y\] to the place of x.

use std::ops::Range;

use rayon::prelude::*;

use crate::corpus::{Rank, Ranked, Ranks, Segment};
use crate::monitor::Monitor;
use crate::{Error, Result};

/// First tokens between two looks at the monitor.
const PIECE: usize = 1 << 20;

/// How many vectors a walk may carry.
pub const WIDTHS: [usize; 4] = [1, 2, 4, WIDEST];
const WIDEST: usize = 8;

/// `sum over pairs of e_x v_y^T` at every distance, or `e_y v_x^T` if `transposed`. `vectors` holds a (symbols, width) matrix a
/// distance, one after the other, and so does the result. One thread takes a distance, so sums do not depend on threads.
/// `within`: v less its mean over the pairs of a segment, which is a document or a block of one.
pub fn products(
    corpus: &Ranked,
    distances: &[usize],
    vectors: &[f64],
    width: usize,
    transposed: bool,
    within: bool,
    monitor: &Monitor,
) -> Result<Vec<f64>> {
    check(corpus, distances, vectors, width, "vectors")?;
    match &corpus.ranks {
        Ranks::Bytes(sides) => {
            streams(corpus, &sides.first, sides.second(), distances, vectors, width, transposed, within, monitor)
        }
        Ranks::Narrow(sides) => {
            streams(corpus, &sides.first, sides.second(), distances, vectors, width, transposed, within, monitor)
        }
        Ranks::Wide(sides) => {
            streams(corpus, &sides.first, sides.second(), distances, vectors, width, transposed, within, monitor)
        }
    }
}

/// By distance and group: pairs, and sums over them of the `width` values u\[x\], of v\[y\], and of all products
/// u_i\[x\] v_j\[y\], row by row. `within`: of u and v less their means over the pairs of a segment; the sums of u and v are then 0.
pub fn group_sums(
    corpus: &Ranked,
    distances: &[usize],
    left: &[f64],
    right: &[f64],
    width: usize,
    within: bool,
    monitor: &Monitor,
) -> Result<Vec<f64>> {
    check(corpus, distances, left, width, "left")?;
    check(corpus, distances, right, width, "right")?;
    match &corpus.ranks {
        Ranks::Bytes(sides) => {
            sums(corpus, &sides.first, sides.second(), distances, left, right, width, within, monitor)
        }
        Ranks::Narrow(sides) => {
            sums(corpus, &sides.first, sides.second(), distances, left, right, width, within, monitor)
        }
        Ranks::Wide(sides) => {
            sums(corpus, &sides.first, sides.second(), distances, left, right, width, within, monitor)
        }
    }
}

fn check(corpus: &Ranked, distances: &[usize], values: &[f64], width: usize, name: &'static str) -> Result<()> {
    if !WIDTHS.contains(&width) {
        return Err(Error::invalid("width", width.to_string(), format!("one of {WIDTHS:?}")));
    }
    let expected = distances.len() * corpus.first.len() * width;
    if values.len() != expected || corpus.first.len() != corpus.second().len() {
        return Err(Error::invalid(name, format!("{} numbers", values.len()), format!("{expected}, of one alphabet")));
    }
    Ok(())
}

/// The pieces of a segment that have a successor at this distance.
fn pieces(segment: &Segment, distance: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let firsts = segment.firsts(distance);
    firsts.clone().step_by(PIECE).map(move |start| start..(start + PIECE).min(firsts.end))
}

#[allow(clippy::too_many_arguments)] // one job, called twice
fn streams<T: Rank>(
    corpus: &Ranked,
    first: &[T],
    second: &[T],
    distances: &[usize],
    vectors: &[f64],
    width: usize,
    transposed: bool,
    within: bool,
    monitor: &Monitor,
) -> Result<Vec<f64>> {
    let size = corpus.first.len() * width;
    let mut result = vec![0.0; vectors.len()];
    if size == 0 {
        return Ok(result);
    }
    distances.par_iter().zip(vectors.par_chunks(size)).zip(result.par_chunks_mut(size)).try_for_each(
        |((&distance, vectors), sums)| {
            for segment in &corpus.segments {
                let sides = |firsts: Range<usize>| {
                    let seconds = &second[firsts.start + distance..firsts.end + distance];
                    let firsts = &first[firsts];
                    if transposed { (seconds, firsts) } else { (firsts, seconds) }
                };
                let mut means = [0.0; WIDEST];
                if within {
                    for firsts in pieces(segment, distance) {
                        let (_, from) = sides(firsts);
                        for row in from.iter().map(|token| &vectors[token.index() * width..][..width]) {
                            means.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                        }
                        monitor.advance(from.len() as u64)?;
                    }
                    let pairs = segment.firsts(distance).len().max(1) as f64;
                    means.iter_mut().for_each(|sum| *sum /= pairs);
                }
                for firsts in pieces(segment, distance) {
                    let (to, from) = sides(firsts);
                    match width {
                        1 => add::<T, 1>(to, from, vectors, &means, sums, within),
                        2 => add::<T, 2>(to, from, vectors, &means, sums, within),
                        4 => add::<T, 4>(to, from, vectors, &means, sums, within),
                        _ => add::<T, WIDEST>(to, from, vectors, &means, sums, within),
                    }
                    monitor.advance(to.len() as u64)?;
                }
            }
            Ok(())
        },
    )?;
    Ok(result)
}

fn add<T: Rank, const WIDTH: usize>(
    to: &[T],
    from: &[T],
    vectors: &[f64],
    means: &[f64; WIDEST],
    sums: &mut [f64],
    within: bool,
) {
    let (vectors, _) = vectors.as_chunks::<WIDTH>();
    let (sums, _) = sums.as_chunks_mut::<WIDTH>();
    if within {
        for (to, from) in to.iter().zip(from) {
            let (row, sum) = (&vectors[from.index()], &mut sums[to.index()]);
            for column in 0..WIDTH {
                sum[column] += row[column] - means[column];
            }
        }
    } else {
        for (to, from) in to.iter().zip(from) {
            let (row, sum) = (&vectors[from.index()], &mut sums[to.index()]);
            for column in 0..WIDTH {
                sum[column] += row[column];
            }
        }
    }
}

#[allow(clippy::too_many_arguments)] // one job, called twice
fn sums<T: Rank>(
    corpus: &Ranked,
    first: &[T],
    second: &[T],
    distances: &[usize],
    left: &[f64],
    right: &[f64],
    width: usize,
    within: bool,
    monitor: &Monitor,
) -> Result<Vec<f64>> {
    let (size, columns) = (corpus.first.len() * width, 1 + 2 * width + width * width);
    let mut result = vec![0.0; distances.len() * corpus.groups * columns];
    if size == 0 {
        return Ok(result);
    }
    let of_distance = result.par_chunks_mut(corpus.groups * columns);
    distances.par_iter().zip(left.par_chunks(size)).zip(right.par_chunks(size)).zip(of_distance).try_for_each(
        |(((&distance, left), right), groups)| {
            for segment in &corpus.segments {
                let mut sums = vec![0.0; columns];
                for firsts in pieces(segment, distance) {
                    let seconds = &second[firsts.start + distance..firsts.end + distance];
                    let firsts = &first[firsts];
                    match width {
                        1 => add_products::<T, 1>(firsts, seconds, left, right, &mut sums),
                        2 => add_products::<T, 2>(firsts, seconds, left, right, &mut sums),
                        4 => add_products::<T, 4>(firsts, seconds, left, right, &mut sums),
                        _ => add_products::<T, WIDEST>(firsts, seconds, left, right, &mut sums),
                    }
                    sums[0] += seconds.len() as f64;
                    monitor.advance(seconds.len() as u64)?;
                }
                if within && sums[0] > 0.0 {
                    let pairs = sums[0];
                    let (of_both, products) = sums[1..].split_at_mut(2 * width);
                    let (of_u, of_v) = of_both.split_at(width);
                    for (row, u) in products.chunks_mut(width).zip(of_u) {
                        row.iter_mut().zip(of_v).for_each(|(sum, v)| *sum -= u * v / pairs);
                    }
                    of_both.fill(0.0);
                }
                groups[segment.group * columns..][..columns].iter_mut().zip(sums).for_each(|(all, own)| *all += own);
            }
            Ok(())
        },
    )?;
    Ok(result)
}

/// The sums of u\[x\], of v\[y\] and of their products, in registers where they fit.
fn add_products<T: Rank, const WIDTH: usize>(first: &[T], second: &[T], left: &[f64], right: &[f64], sums: &mut [f64]) {
    let (left, _) = left.as_chunks::<WIDTH>();
    let (right, _) = right.as_chunks::<WIDTH>();
    let (mut of_u, mut of_v, mut products) = ([0.0; WIDTH], [0.0; WIDTH], [[0.0; WIDTH]; WIDTH]);
    for (x, y) in first.iter().zip(second) {
        let (u, v) = (&left[x.index()], &right[y.index()]);
        for column in 0..WIDTH {
            of_u[column] += u[column];
            of_v[column] += v[column];
            for other in 0..WIDTH {
                products[column][other] += u[column] * v[other];
            }
        }
    }
    let own = of_u.iter().chain(&of_v).chain(products.as_flattened());
    sums[1..].iter_mut().zip(own).for_each(|(sum, value)| *sum += value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::Arrangement;

    /// Documents of small ids, side by side, a group each.
    fn corpus(documents: &[Vec<u8>]) -> (Vec<u8>, Ranked) {
        let tokens: Vec<u8> = documents.concat();
        let mut start = 0;
        let segments: Vec<Segment> = documents
            .iter()
            .enumerate()
            .map(|(group, document)| {
                let end = start + document.len();
                let segment = Segment { start, end, limit: end, group };
                start = end;
                segment
            })
            .collect();
        let ranked =
            Ranked::new(&tokens, &segments, documents.len(), Arrangement::Given, &Monitor::new()).expect("a corpus");
        (tokens, ranked)
    }

    proptest! {
        #[test]
        fn products_and_sums_are_those_of_the_pairs_one_by_one(
            documents in prop::collection::vec(prop::collection::vec(0u8..7, 1..40), 1..5),
            distance in 1usize..5,
            width in prop::sample::select(WIDTHS.to_vec()),
            transposed: bool,
            within: bool,
        ) {
            let (_, ranked) = corpus(&documents);
            let symbols = ranked.first.len();
            // Whole numbers: sums are exact in any order.
            let vectors: Vec<f64> = (0..symbols * width).map(|i| (i * 37 % 11) as f64 - 5.0).collect();
            let rank = |id: u8| ranked.first.keys.iter().position(|&key| key == u64::from(id)).expect("an id that occurs");
            let mut expected = vec![0.0; symbols * width];
            let columns = 1 + 2 * width + width * width;
            let mut by_group = vec![0.0; documents.len() * columns];
            for (group, document) in documents.iter().enumerate() {
                let pairs: Vec<(usize, usize)> = document
                    .iter()
                    .zip(document.iter().skip(distance))
                    .map(|(&x, &y)| (rank(x), rank(y)))
                    .collect();
                let value = |token: usize, column: usize| vectors[token * width + column];
                let mean = |column: usize, second: bool| {
                    let sum: f64 = pairs.iter().map(|&(x, y)| value(if second { y } else { x }, column)).sum();
                    if within { sum / pairs.len() as f64 } else { 0.0 }
                };
                let sums = &mut by_group[group * columns..];
                for &(x, y) in &pairs {
                    let (to, from) = if transposed { (y, x) } else { (x, y) };
                    sums[0] += 1.0;
                    for column in 0..width {
                        expected[to * width + column] += value(from, column) - mean(column, !transposed);
                        let u = value(x, column) - mean(column, false);
                        sums[1 + column] += u;
                        sums[1 + width + column] += 2.0 * (value(y, column) - mean(column, true));
                        for other in 0..width {
                            sums[1 + 2 * width + column * width + other] += 2.0 * u * (value(y, other) - mean(other, true));
                        }
                    }
                }
            }
            let close = |found: &[f64], expected: &[f64]| {
                // Whole numbers below 6 over at most 160 pairs; their means round.
                found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9)
            };
            let monitor = Monitor::new();
            let found = products(&ranked, &[distance, distance], &[vectors.clone(), vectors.clone()].concat(), width, transposed, within, &monitor)?;
            prop_assert!(close(&found[..symbols * width], &expected));
            prop_assert!(close(&found[symbols * width..], &expected));
            let doubled: Vec<f64> = vectors.iter().map(|value| 2.0 * value).collect();
            prop_assert!(close(&group_sums(&ranked, &[distance], &vectors, &doubled, width, within, &monitor)?, &by_group));
        }
    }
}
