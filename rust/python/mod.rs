//! The extension module `l2m._core`. Glue only: conversion, classes, registration.

use pyo3::prelude::*;

mod counting;
mod entropy;
mod errors;
mod fits;
mod gaussian;
mod run;
mod text;

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    counting::register(module)?;
    entropy::register(module)?;
    fits::register(module)?;
    gaussian::register(module)?;
    text::register(module)
}
