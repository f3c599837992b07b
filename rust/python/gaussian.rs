//! The hierarchical Gaussian language as a frozen class. Arrays go in and out flat; `l2m.truth.gaussian` gives them their shape.

use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::prelude::*;

use super::run::{Threads, interruptible, with_threads};
use crate::gaussian::{Boundary, Filter, Law, Real, SMALL, Shape};
use crate::monitor::Monitor;
use crate::{Error, Result};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<GaussianLaw>()?;
    module.add_class::<GaussianFilter>()
}

type Array<'py> = Bound<'py, PyArray1<f64>>;

#[pyclass(frozen, module = "l2m._core")]
struct GaussianLaw(Arc<Law>);

#[pymethods]
impl GaussianLaw {
    #[new]
    fn new(py: Python<'_>, children: Vec<usize>, boundary: &str) -> PyResult<Self> {
        let boundary = match boundary {
            "weighted" => Boundary::Weighted,
            "printed" => Boundary::Printed,
            other => {
                return Err(Error::invalid("boundary", format!("{other:?}"), "'weighted' or 'printed'").into());
            }
        };
        Ok(Self(Arc::new(py.detach(|| Law::new(&children, boundary))?)))
    }

    #[getter]
    fn length(&self) -> usize {
        self.0.length()
    }

    fn conditional_std<'py>(&self, py: Python<'py>) -> Array<'py> {
        self.0.conditional_std().into_pyarray(py)
    }

    fn half_information<'py>(&self, py: Python<'py>) -> Array<'py> {
        self.0.half_information().to_vec().into_pyarray(py)
    }

    fn bipartite_information<'py>(&self, py: Python<'py>) -> Array<'py> {
        py.detach(|| self.0.bipartite_information()).into_pyarray(py)
    }

    fn correlation<'py>(
        &self,
        py: Python<'py>,
        i: PyReadonlyArray1<'py, i64>,
        j: PyReadonlyArray1<'py, i64>,
    ) -> PyResult<Array<'py>> {
        let (i, j) = (i.as_slice()?, j.as_slice()?);
        Ok(py.detach(|| self.0.correlations(i, j))?.into_pyarray(py))
    }

    #[pyo3(signature = (distances, threads=None, progress=None))]
    fn two_point<'py>(
        &self,
        py: Python<'py>,
        distances: Vec<usize>,
        threads: Option<Threads>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Array<'py>, Array<'py>)> {
        let values = distances.len().saturating_mul(self.0.length());
        let (correlation, information) =
            run(py, values, threads, progress, |monitor| self.0.two_point(&distances, monitor))?;
        Ok((correlation.into_pyarray(py), information.into_pyarray(py)))
    }

    /// `z` and `mean` are written during the call: do not touch them from another thread meanwhile.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (z, mean, groups, channels, head, seed, first, threads=None, progress=None))]
    fn sample<'py>(
        &self,
        py: Python<'py>,
        z: &Bound<'py, PyAny>,
        mean: &Bound<'py, PyAny>,
        groups: usize,
        channels: usize,
        head: usize,
        seed: u64,
        first: u64,
        threads: Option<Threads>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let shape = Shape { groups, channels, head };
        if let Ok(z) = z.extract::<PyReadwriteArray1<'py, f32>>() {
            return self.fill(py, z, mean.extract()?, shape, (seed, first), threads, progress);
        }
        self.fill::<f64>(py, z.extract()?, mean.extract()?, shape, (seed, first), threads, progress)
    }

    /// `z` is borrowed for the call: do not write to it from another thread meanwhile.
    #[pyo3(signature = (z, reverse, threads=None, progress=None))]
    fn conditional_mean<'py>(
        &self,
        py: Python<'py>,
        z: &Bound<'py, PyAny>,
        reverse: bool,
        threads: Option<Threads>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(z) = z.extract::<PyReadonlyArray1<'py, f32>>() {
            return self.means(py, z.as_slice()?, reverse, threads, progress);
        }
        self.means(py, z.extract::<PyReadonlyArray1<'py, f64>>()?.as_slice()?, reverse, threads, progress)
    }

    fn filter(&self, sequences: usize) -> GaussianFilter {
        GaussianFilter(Filter::new(Arc::clone(&self.0), sequences))
    }
}

impl GaussianLaw {
    #[allow(clippy::too_many_arguments)]
    fn fill<'py, T: Real + numpy::Element>(
        &self,
        py: Python<'py>,
        mut z: PyReadwriteArray1<'py, T>,
        mut mean: PyReadwriteArray1<'py, T>,
        shape: Shape,
        (seed, first): (u64, u64),
        threads: Option<Threads>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let (z, mean) = (z.as_slice_mut()?, mean.as_slice_mut()?);
        run(py, mean.len(), threads, progress, |monitor| self.0.sample(shape, seed, first, z, mean, monitor))
    }

    fn means<'py, T: Real + numpy::Element>(
        &self,
        py: Python<'py>,
        z: &[T],
        reverse: bool,
        threads: Option<Threads>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mean = run(py, z.len(), threads, progress, |monitor| self.0.conditional_mean(z, reverse, monitor))?;
        Ok(mean.into_pyarray(py).into_any())
    }
}

/// Small work stays on this thread: starting others would take longer.
fn run<T: Send>(
    py: Python<'_>,
    values: usize,
    threads: Option<Threads>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Monitor) -> Result<T> + Send,
) -> PyResult<T> {
    if values <= SMALL {
        return Ok(py.detach(|| work(&Monitor::new()))?);
    }
    interruptible(py, progress, |monitor| with_threads(threads, || work(monitor)))
}

#[pyclass(module = "l2m._core")]
struct GaussianFilter(Filter);

#[pymethods]
impl GaussianFilter {
    #[getter]
    fn position(&self) -> usize {
        self.0.position()
    }

    fn mean<'py>(&self, py: Python<'py>) -> Option<Array<'py>> {
        self.0.mean().map(|mean| mean.into_pyarray(py))
    }

    fn step(&mut self, z: PyReadonlyArray1<'_, f64>) -> PyResult<()> {
        Ok(self.0.step(z.as_slice()?)?)
    }

    fn copy(&self) -> GaussianFilter {
        GaussianFilter(self.0.clone())
    }
}
