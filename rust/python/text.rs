//! Words and near-duplicates for Python.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

use crate::Error;
use crate::near_duplicates::Sketches;
use crate::words::WordTable as Table;

#[pyclass(module = "l2m._core")]
#[derive(Default)]
struct WordTable(Table);

#[pymethods]
impl WordTable {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[allow(clippy::type_complexity)]
    fn encode<'py>(
        &mut self,
        py: Python<'py>,
        texts: Vec<PyBackedStr>,
    ) -> PyResult<(Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<i64>>)> {
        let (ids, offsets) = py.detach(|| {
            let mut ids = Vec::with_capacity(texts.iter().map(|text| text.len() / 4).sum());
            let mut offsets = vec![0];
            for text in &texts {
                self.0.encode(text, &mut ids)?;
                offsets.push(ids.len() as i64);
            }
            Ok::<_, Error>((ids, offsets))
        })?;
        Ok((ids.into_pyarray(py), offsets.into_pyarray(py)))
    }

    fn add<'py>(&mut self, py: Python<'py>, words: Vec<PyBackedStr>) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let ids: Vec<u32> = py.detach(|| words.iter().map(|word| self.0.id(word)).collect::<crate::Result<_>>())?;
        Ok(ids.into_pyarray(py))
    }

    fn words(&self) -> Vec<&str> {
        self.0.words().collect()
    }
}

#[pyclass(name = "Sketches", module = "l2m._core")]
#[derive(Default)]
struct PySketches(Sketches);

#[pymethods]
impl PySketches {
    #[new]
    #[pyo3(signature = (bound=None, sizes=None, hashes=None))]
    fn new(
        bound: Option<u64>,
        sizes: Option<PyReadonlyArray1<'_, u32>>,
        hashes: Option<PyReadonlyArray1<'_, u64>>,
    ) -> PyResult<Self> {
        let (Some(bound), Some(sizes), Some(hashes)) = (bound, sizes, hashes) else {
            return Ok(Self::default());
        };
        let (sizes, hashes) = (sizes.as_array().to_vec(), hashes.as_array().to_vec());
        let held: u64 = sizes.iter().map(|&size| size as u64).sum();
        if held != hashes.len() as u64 {
            let found = format!("{held} in all for {} hashes", hashes.len());
            return Err(Error::invalid("sizes", found, "the number of hashes of each document").into());
        }
        Ok(Self(Sketches::from_parts(bound, sizes, hashes)))
    }

    fn add_texts(&mut self, py: Python<'_>, texts: Vec<PyBackedStr>, width: usize) {
        py.detach(|| {
            let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
            self.0.add_texts(&texts, width);
        });
    }

    fn add_ids(&mut self, py: Python<'_>, documents: Vec<PyReadonlyArray1<'_, u32>>, width: usize) {
        let documents: Vec<Vec<u32>> = documents.iter().map(|ids| ids.as_array().to_vec()).collect();
        py.detach(|| {
            let documents: Vec<&[u32]> = documents.iter().map(Vec::as_slice).collect();
            self.0.add_ids(&documents, width);
        });
    }

    fn absorb(&mut self, py: Python<'_>, other: &Self) {
        let other = other.0.clone();
        py.detach(|| self.0.absorb(other));
    }

    #[allow(clippy::type_complexity)]
    fn parts<'py>(&self, py: Python<'py>) -> (u64, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u64>>) {
        let sizes = PyArray1::from_slice(py, self.0.sizes());
        (self.0.bound(), sizes, PyArray1::from_slice(py, self.0.hashes()))
    }

    fn find(&self, py: Python<'_>, threshold: f64) -> Vec<(u32, u32)> {
        py.detach(|| self.0.find(threshold))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<WordTable>()?;
    module.add_class::<PySketches>()
}
