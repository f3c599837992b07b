//! Text before it is tokens: shingles for finding near-duplicate documents.

/// Multiplier of the rolling polynomial hash (odd; from L'Ecuyer's table of multiplicative generators modulo 2^64).
const BASE: u64 = 0x27BB_2EE6_87B0_B0FD;

/// Sorted distinct hashes, at most `bound`, of all runs of `width` bytes of `text` with ASCII white space left out, so that
/// text wrapped or indented otherwise has the same shingles. A text shorter than `width` has one hash, of the whole,
/// kept whatever the bound.
pub fn shingle_hashes(text: &str, width: usize, bound: u64) -> Vec<u64> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if bytes.len() <= width {
        let whole = bytes.iter().fold(bytes.len() as u64, |hash, &byte| push(hash, byte));
        return vec![mix(whole)];
    }
    let leaving = BASE.wrapping_pow(width as u32);
    let mut rolling = bytes[..width].iter().fold(0, |hash, &byte| push(hash, byte));
    let mut hashes = Vec::new();
    for next in width..=bytes.len() {
        let hash = mix(rolling);
        if hash <= bound {
            hashes.push(hash);
        }
        if next < bytes.len() {
            rolling = push(rolling, bytes[next]).wrapping_sub(leaving.wrapping_mul(bytes[next - width] as u64 + 1));
        }
    }
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

fn push(hash: u64, byte: u8) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(byte as u64 + 1)
}

/// Finaliser of splitmix64: the low bits of a polynomial modulo 2^64 are weak, a bound needs good high bits.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Every shingle cut out and hashed alone.
    fn obvious(text: &str, width: usize, bound: u64) -> Vec<u64> {
        let bytes: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let hashes: BTreeSet<u64> =
            bytes.windows(width).map(|run| mix(run.iter().fold(0, |hash, &byte| push(hash, byte)))).collect();
        hashes.into_iter().filter(|&hash| hash <= bound).collect()
    }

    proptest! {
        #[test]
        fn rolling_equals_cut_out(text in "[a-c \n]{12,80}é", width in 1usize..6, bound in any::<u64>()) {
            let letters = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).count();
            prop_assume!(letters > width);
            prop_assert_eq!(shingle_hashes(&text, width, bound), obvious(&text, width, bound));
        }
    }

    #[test]
    fn a_short_text_has_one_hash_and_wrapping_does_not_matter() {
        assert_eq!(shingle_hashes("ab", 48, 0), shingle_hashes(" a\nb", 48, 0));
        assert_ne!(shingle_hashes("ab", 48, 0), shingle_hashes("ba", 48, 0));
        assert_eq!(shingle_hashes("", 48, 0).len(), 1);
    }
}
