//! Plug-in (maximum likelihood): H = log N - (1/N) sum n log n.
//!
//! Biased low by about (K - 1) / 2N. Standard error: Basharin (1959).

/// g(n) = log n.
pub fn g(count: u64) -> f64 {
    libm::log(count as f64)
}
