//! The floor of counting: read both tokens of every in-document pair at 14 distances and increment one counter, one thread.
//!
//!     cargo bench --bench floor -- CORPUS          a folder made by `l2m tokenize`, of at most 65,536 ids

use std::path::Path;
use std::time::Instant;

/// The body of a version 1 .npy file of one axis, and the size of its items.
fn read(path: &Path) -> (Vec<u8>, usize) {
    let bytes = std::fs::read(path).expect("the corpus has this file");
    let header = 10 + u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let text = String::from_utf8_lossy(&bytes[10..header]).into_owned();
    let size = text.split("'<").nth(1).and_then(|rest| rest[1..2].parse().ok()).unwrap_or(1);
    (bytes[header..].to_vec(), size)
}

fn main() {
    let folder = std::env::args().nth(1).filter(|name| !name.starts_with("--")).expect("expected a corpus folder");
    let (tokens, size) = read(&Path::new(&folder).join("tokens.npy"));
    assert_eq!(size, 2, "expected 16-bit ids");
    let tokens: Vec<u16> = tokens.chunks_exact(2).map(|id| u16::from_le_bytes([id[0], id[1]])).collect();
    let (offsets, _) = read(&Path::new(&folder).join("offsets.npy"));
    let offsets: Vec<usize> =
        offsets.chunks_exact(8).map(|at| u64::from_le_bytes(at.try_into().expect("8 bytes")) as usize).collect();
    let mut counters = vec![0u32; 1 << 16];
    let mut seconds = Vec::new();
    let mut pairs = 0;
    for _ in 0..5 {
        let start = Instant::now();
        pairs = 0;
        for distance in (0..14).map(|k| 1usize << k) {
            for document in offsets.windows(2) {
                let tokens = &tokens[document[0]..document[1]];
                let seconds = tokens.get(distance..).unwrap_or(&[]);
                for (x, y) in tokens.iter().zip(seconds) {
                    // A table that the second-level cache holds, as the cheapest counter of a pair can be.
                    counters[(x.wrapping_mul(64) ^ y) as usize] += 1;
                }
                pairs += seconds.len();
            }
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    assert_eq!(counters.iter().map(|&n| n as usize).sum::<usize>(), 5 * pairs);
    seconds.sort_by(f64::total_cmp);
    println!("| floor, 1 thread | 5 | {:.2} | {:.1} | | |", seconds[2], pairs as f64 / seconds[2] / 1e6);
}
