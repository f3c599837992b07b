//! Counting, entropies, power-law fits and Gaussian ground truth for mutual-information scaling laws.
//!
//! Symbols, as in Chen et al., "L²M: Mutual Information Scaling Law for Long-Context Language Modeling"
//! (NeurIPS 2025, arXiv 2503.04725):
//!
//! | symbol | meaning | here |
//! | --- | --- | --- |
//! | `W_1..W_L` | tokens of one document | [`corpus`] |
//! | `I_TP(d)` | two-point mutual information at distance `d` | [`pairs`], [`null_model`] |
//! | `H_G` | Grassberger's entropy estimate | [`entropy`] |
//! | `A L^beta`, `B d^-alpha` | the two laws | [`power_law`], [`bootstrap`] |
//! | `I_BP(l; L)` | bipartite mutual information, exact for the Gaussian language | [`gaussian`] |
//!
//! All logarithms are natural; information is in nats. Nothing here knows Python except `python`, which is compiled
//! with the feature of that name only.
//!
//! Modules, from data to result:
//!
//! - [`corpus`]: tokens and document bounds, ids to frequency ranks
//! - [`words`]: words of text and their ids
//! - [`near_duplicates`]: sketches of documents, and which repeat a larger one
//! - [`fingerprint`]: "how many symbols occurred n times", the currency between counting and entropies
//! - [`pairs`], [`ngrams`]: counting, as tasks over ranges of first tokens whose results add
//! - [`covariance`]: products of the pair matrix with vectors, for its singular values
//! - [`margins`]: how often each token comes first and second in a pair
//! - [`null_model`]: the expected information of independent sequences with the observed margins
//! - [`entropy`]: one estimator per file
//! - [`power_law`], [`bootstrap`]: fits of curves and their intervals
//! - [`gaussian`]: the hierarchical Gaussian language
//! - `memory`: hints to the system about ours
//! - [`monitor`], [`error`]: progress and cancellation of long work; what can go wrong

pub mod bootstrap;
pub mod corpus;
pub mod covariance;
pub mod entropy;
pub mod error;
pub mod fingerprint;
pub mod gaussian;
pub mod margins;
mod memory;
pub mod monitor;
pub mod near_duplicates;
pub mod ngrams;
pub mod null_model;
pub mod pairs;
pub mod power_law;
#[cfg(feature = "python")]
mod python;
pub mod words;

pub use error::{Error, Result};
