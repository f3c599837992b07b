//! Standard normals by counter: sequence k of a seed has a stream of its own, so that it never depends on how many
//! sequences are drawn, on which thread, or on which machine. One 64-bit word makes one normal.
//!
//! The quantile function (Wichura 1988) needs IEEE arithmetic and, in the tails, `libm`'s logarithm only: both give the
//! same bits everywhere. Its central part (85 % of the values) is branch-free over a block, so that it vectorises.

use rand_philox::Philox;

/// Normals made at a time, per sequence.
const BLOCK: usize = 128;

/// The noise of `W` sequences side by side.
pub struct Noise<const W: usize> {
    streams: [Philox; W],
    block: Vec<[f64; W]>,
    used: usize,
}

impl<const W: usize> Noise<W> {
    /// Sequences `first`, `first + 1`, ... of `seed`.
    pub fn new(seed: u64, first: u64) -> Self {
        let streams = std::array::from_fn(|lane| Philox::from_u64_seed_stream(seed, first.wrapping_add(lane as u64)));
        Self { streams, block: vec![[0.0; W]; BLOCK], used: BLOCK }
    }

    /// The next normals of every sequence.
    pub fn fill(&mut self, mut target: &mut [[f64; W]]) {
        while !target.is_empty() {
            if self.used == BLOCK {
                self.refill();
            }
            let count = target.len().min(BLOCK - self.used);
            let (now, later) = target.split_at_mut(count);
            now.copy_from_slice(&self.block[self.used..self.used + count]);
            self.used += count;
            target = later;
        }
    }

    fn refill(&mut self) {
        let mut words = [0u32; 2 * BLOCK];
        let mut normals = [0.0; BLOCK];
        for (lane, stream) in self.streams.iter_mut().enumerate() {
            stream.fill_u32(&mut words);
            quantiles(&words, &mut normals);
            for (row, normal) in self.block.iter_mut().zip(normals) {
                row[lane] = normal;
            }
        }
        self.used = 0;
    }
}

/// Normals from pairs of words (low, high).
fn quantiles(words: &[u32; 2 * BLOCK], normals: &mut [f64; BLOCK]) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        /// The same operations, four at a time; Rust never contracts them to fused ones, so the bits are the same.
        #[target_feature(enable = "avx2")]
        fn wide(words: &[u32; 2 * BLOCK], normals: &mut [f64; BLOCK]) {
            quantiles_of(words, normals);
        }
        // SAFETY: the processor has AVX2.
        return unsafe { wide(words, normals) };
    }
    quantiles_of(words, normals);
}

#[inline(always)]
fn quantiles_of(words: &[u32; 2 * BLOCK], normals: &mut [f64; BLOCK]) {
    let mut centred = [0.0; BLOCK];
    for i in 0..BLOCK {
        // The top 52 bits as the fraction of a number in [1, 2), moved to the middle of its cell and centred: in (-1/2, 1/2),
        // never 0, symmetric. A conversion from integers would not vectorise.
        let word = u64::from(words[2 * i]) | u64::from(words[2 * i + 1]) << 32;
        centred[i] = (f64::from_bits(0x3ff << 52 | word >> 12) - 1.5) + f64::EPSILON / 2.0;
    }
    for i in 0..BLOCK {
        normals[i] = centre(centred[i]);
    }
    for i in 0..BLOCK {
        if centred[i].abs() > 0.425 {
            normals[i] = tail(centred[i]);
        }
    }
}

#[inline(always)]
fn polynomial(x: f64, coefficients: [f64; 8]) -> f64 {
    coefficients.into_iter().reduce(|sum, coefficient| sum * x + coefficient).unwrap_or(0.0)
}

// Wichura, M. J. (1988), "Algorithm AS 241: The Percentage Points of the Normal Distribution", Applied Statistics 37,
// 477-484 (PPND16, relative error about 1e-16). The argument is the probability minus one half.

#[inline(always)]
fn centre(q: f64) -> f64 {
    let r = 0.180_625 - q * q;
    let above = [
        2.509_080_928_730_122_7e3,
        3.343_057_558_358_813e4,
        6.726_577_092_700_87e4,
        4.592_195_393_154_987e4,
        1.373_169_376_550_946e4,
        1.971_590_950_306_551_3e3,
        1.331_416_678_917_843_8e2,
        3.387_132_872_796_366_5,
    ];
    let below = [
        5.226_495_278_852_854e3,
        2.872_908_573_572_194_3e4,
        3.930_789_580_009_271e4,
        2.121_379_430_158_659_7e4,
        5.394_196_021_424_751e3,
        6.871_870_074_920_579e2,
        4.231_333_070_160_091e1,
        1.0,
    ];
    q * polynomial(r, above) / polynomial(r, below)
}

fn tail(q: f64) -> f64 {
    let r = (-libm::log(0.5 - q.abs())).sqrt();
    let size = if r <= 5.0 {
        let above = [
            7.745_450_142_783_414e-4,
            2.272_384_498_926_918_4e-2,
            2.417_807_251_774_506e-1,
            1.270_458_252_452_368_4,
            3.647_848_324_763_204_5,
            5.769_497_221_460_691,
            4.630_337_846_156_546,
            1.423_437_110_749_683_5,
        ];
        let below = [
            1.050_750_071_644_416_9e-9,
            5.475_938_084_995_345e-4,
            1.519_866_656_361_645_7e-2,
            1.481_039_764_274_800_8e-1,
            6.897_673_349_851e-1,
            1.676_384_830_183_803_8,
            2.053_191_626_637_759,
            1.0,
        ];
        polynomial(r - 1.6, above) / polynomial(r - 1.6, below)
    } else {
        let above = [
            2.010_334_399_292_288_1e-7,
            2.711_555_568_743_487_6e-5,
            1.242_660_947_388_078_4e-3,
            2.653_218_952_657_612_4e-2,
            2.965_605_718_285_048_7e-1,
            1.784_826_539_917_291_3,
            5.463_784_911_164_114,
            6.657_904_643_501_103,
        ];
        let below = [
            2.044_263_103_389_939_8e-15,
            1.421_511_758_316_446e-7,
            1.846_318_317_510_054_8e-5,
            7.868_691_311_456_133e-4,
            1.487_536_129_085_061_5e-2,
            1.369_298_809_227_358e-1,
            5.998_322_065_558_88e-1,
            1.0,
        ];
        polynomial(r - 5.0, above) / polynomial(r - 5.0, below)
    };
    size.copysign(q)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the error function: Phi(quantile(p)) = p. Near the middle both are good to a few units in the last place.
    #[test]
    fn the_quantile_inverts_the_distribution() {
        for step in 1..1000 {
            let q = f64::from(step) / 2000.0;
            let normal = if q > 0.425 { tail(q) } else { centre(q) };
            let upper = 0.5 * libm::erfc(normal / std::f64::consts::SQRT_2);
            assert!((upper - (0.5 - q)).abs() < 4e-16, "{q}: {normal}");
        }
        for exponent in 5..53 {
            let p = 0.5_f64.powi(exponent);
            let normal = tail(0.5 - p);
            let upper = 0.5 * libm::erfc(normal / std::f64::consts::SQRT_2);
            // d ln p / d z = -z, so an error of 2e-16 in z is one of z^2 2e-16 in ln p.
            assert!((upper / p - 1.0).abs() < 1e-13, "2^-{exponent}: {normal}");
        }
    }

    #[test]
    fn the_extreme_words_give_finite_opposite_normals() {
        let mut words = [0u32; 2 * BLOCK];
        (words[0], words[1]) = (u32::MAX, u32::MAX); // the largest word; the smallest is 0
        let mut normals = [0.0; BLOCK];
        quantiles(&words, &mut normals);
        assert_eq!(normals[0], -normals[1]);
        assert!((8.2..8.3).contains(&normals[0]), "{}", normals[0]);
    }

    #[test]
    fn a_stream_is_the_same_alone_or_beside_others_and_in_any_pieces() {
        let mut four = vec![[0.0; 4]; 300];
        Noise::<4>::new(7, 10).fill(&mut four);
        let mut one = vec![[0.0; 1]; 300];
        let mut noise = Noise::<1>::new(7, 12);
        for piece in one.chunks_mut(7) {
            noise.fill(piece);
        }
        assert!(four.iter().zip(&one).all(|(row, alone)| row[2] == alone[0]));
    }
}
