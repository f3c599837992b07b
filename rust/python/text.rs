//! Text functions for Python.

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use crate::text;

#[pyfunction]
fn shingle_hashes<'py>(py: Python<'py>, text: &str, width: usize, bound: u64) -> Bound<'py, PyArray1<u64>> {
    py.detach(|| text::shingle_hashes(text, width, bound)).into_pyarray(py)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(shingle_hashes, module)?)
}
