use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use crate::entropy::Estimator;
use crate::fingerprint::Fingerprint;

/// (name of the estimator, value, stderr) in nats of a fingerprint given as (n, symbols).
#[pyfunction]
#[pyo3(signature = (counts, symbols, estimator, alphabet=None))]
fn entropy(
    py: Python<'_>,
    counts: PyReadonlyArray1<'_, u64>,
    symbols: PyReadonlyArray1<'_, u64>,
    estimator: &str,
    alphabet: Option<u64>,
) -> PyResult<(&'static str, f64, f64)> {
    let estimator: Estimator = estimator.parse()?;
    let (counts, symbols) = (counts.as_array(), symbols.as_array());
    let entries = counts.iter().copied().zip(symbols.iter().copied());
    let fingerprint = Fingerprint::from_entries(entries)?;
    let entropy = py.detach(|| estimator.estimate(&fingerprint, alphabet))?;
    Ok((estimator.name(), entropy.value, entropy.stderr))
}

/// (name, whether it uses the alphabet) of every estimator, the default first.
#[pyfunction]
fn entropy_estimators() -> Vec<(&'static str, bool)> {
    Estimator::ALL.map(|estimator| (estimator.name(), estimator.uses_alphabet())).to_vec()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(entropy, module)?)?;
    module.add_function(wrap_pyfunction!(entropy_estimators, module)?)
}
