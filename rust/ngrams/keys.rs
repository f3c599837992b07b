//! Followers of a token packed into one integer.

/// How followers are packed: the nearest in the highest bits.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub followers: usize,
    pub bits: usize,
}

impl Layout {
    /// The lowest bit of this follower's code, counted from 0.
    pub fn shift(self, follower: usize) -> usize {
        (self.followers - 1 - follower) * self.bits
    }

    pub fn code<K: Key>(self, key: K, follower: usize) -> usize {
        (key.shifted(self.shift(follower)) & ((1 << self.bits) - 1)) as usize
    }
}

/// A packed sequence of codes.
pub trait Key: Copy + Ord + Default + Send + Sync {
    fn push(self, code: usize, bits: usize) -> Self;
    /// The lowest 64 bits after a shift to the right.
    fn shifted(self, by: usize) -> u64;
    /// Whether two keys differ in none of the bits from this one upwards.
    fn agrees(self, other: Self, bit: usize) -> bool;
}

macro_rules! key {
    ($($t:ty),*) => { $(impl Key for $t {
        #[inline(always)]
        fn push(self, code: usize, bits: usize) -> Self { (self << bits) | code as $t }
        #[inline(always)]
        fn shifted(self, by: usize) -> u64 { (self >> by) as u64 }
        #[inline(always)]
        fn agrees(self, other: Self, bit: usize) -> bool { (self ^ other) >> bit == 0 }
    })* }
}
key!(u64, u128);

/// 256 bits: the widest alphabet at order 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Long {
    high: u128,
    low: u128,
}

impl Key for Long {
    fn push(self, code: usize, bits: usize) -> Self {
        Self { high: (self.high << bits) | (self.low >> (128 - bits)), low: (self.low << bits) | code as u128 }
    }

    fn shifted(self, by: usize) -> u64 {
        match by {
            0 => self.low as u64,
            1..=127 => ((self.low >> by) | (self.high << (128 - by))) as u64,
            _ => (self.high >> (by - 128)) as u64,
        }
    }

    fn agrees(self, other: Self, bit: usize) -> bool {
        let (high, low) = (self.high ^ other.high, self.low ^ other.low);
        if bit < 128 { high == 0 && low >> bit == 0 } else { high >> (bit - 128) == 0 }
    }
}
