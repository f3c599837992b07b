//! Asymptotic NSB: H = gamma - log 2 + 2 log N - psi(D), D = N - K the coincidences; for samples in which most symbols occur
//! once. Standard error sqrt(psi'(D)).
//!
//! Source: I. Nemenman, "Coincidences and estimation of entropies of random variables with large cardinalities", Entropy 13
//! (2011), equations 29 and 30.

use std::f64::consts::LN_2;

use super::Entropy;
use super::special::{digamma, trigamma};
use crate::fingerprint::Fingerprint;
use crate::{Error, Result};

const GAMMA: f64 = 0.577_215_664_901_532_9;

pub fn estimate(fingerprint: &Fingerprint) -> Result<Entropy> {
    let coincidences = (fingerprint.total() - fingerprint.distinct()) as f64;
    if coincidences == 0.0 {
        return Err(Error::invalid(
            "counts",
            "no symbol that occurred twice",
            "coincidences, on which the estimator 'ansb' rests",
        ));
    }
    let value = GAMMA - LN_2 + 2.0 * libm::log(fingerprint.total() as f64) - digamma(coincidences);
    Ok(Entropy { value, stderr: trigamma(coincidences).sqrt() })
}
