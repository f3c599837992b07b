//! Miller-Madow: the plug-in plus the leading term of its bias, (K - 1) / 2N with K the symbols that occurred.
//!
//! Source: G. A. Miller, "Note on the bias of information estimates" (1955). Standard error: that of the plug-in.

use super::{Entropy, additive};
use crate::fingerprint::Fingerprint;

pub fn estimate(fingerprint: &Fingerprint) -> Entropy {
    let plug_in = additive(fingerprint, |_| 0.0, 0.0);
    let correction = (fingerprint.distinct() - 1) as f64 / (2.0 * fingerprint.total() as f64);
    Entropy { value: plug_in.value + correction, ..plug_in }
}
