//! What can go wrong, as data. A message names the argument, what it held and what is expected.

/// Every error of the crate. `Cancelled` is not a fault: the caller asked to stop.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("{argument}: {found}; expected {expected}")]
    Invalid { argument: &'static str, found: String, expected: String },
    #[error("memory: {budget} bytes; this work needs at least {needed} bytes")]
    Memory { budget: u64, needed: u64 },
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// The common case: `argument` held `found`, `expected` was wanted.
    pub fn invalid(argument: &'static str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Error::Invalid { argument, found: found.into(), expected: expected.into() }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
