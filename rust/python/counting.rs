//! Counting for Python: one frozen class owns the ranked corpus; each heavy method releases the GIL.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use super::run::{interruptible, with_threads};
use crate::corpus::{Arrangement, Id, Ranked, Segment};
use crate::entropy::Estimator;
use crate::fingerprint::Fingerprint;
use crate::monitor::Monitor;
use crate::{Error, Result, null_model, pairs};

/// Calls a generic function with the slice of whatever integer type a numpy array holds.
macro_rules! with_ids {
    ($array:expr, $name:literal, |$ids:ident| $body:expr) => {
        with_ids!(@try $array, $name, $ids, $body, u16, u32, u8, u64, i64, i32, i16, i8)
    };
    (@try $array:expr, $name:literal, $ids:ident, $body:expr, $($t:ty),*) => {{
        $(if let Ok(array) = $array.extract::<PyReadonlyArray1<'_, $t>>() {
            let $ids = array.as_slice().map_err(|_| contiguous($name))?;
            $body
        } else)* {
            return Err(contiguous($name).into());
        }
    }};
}

fn contiguous(name: &'static str) -> Error {
    Error::invalid(name, "an array of another kind", "a contiguous one-dimensional array of native integers")
}

type Entries<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>);

type MarginsOf<'py> = (Entries<'py>, Entries<'py>, Vec<u64>, Vec<(f64, f64, f64)>);

fn entries<'py>(py: Python<'py>, fingerprint: &Fingerprint) -> Entries<'py> {
    let (counts, symbols): (Vec<u64>, Vec<u64>) = fingerprint.iter().unzip();
    (counts.into_pyarray(py), symbols.into_pyarray(py))
}

fn fingerprint(counts: &PyReadonlyArray1<'_, u64>, symbols: &PyReadonlyArray1<'_, u64>) -> Result<Fingerprint> {
    Fingerprint::from_entries(counts.as_array().iter().copied().zip(symbols.as_array().iter().copied()))
}

#[pyclass(frozen)]
struct PairCounter {
    corpus: Ranked,
}

#[pymethods]
impl PairCounter {
    /// `segments`: start, end, limit and group of first tokens, ordered by group.
    #[allow(clippy::too_many_arguments)] // the signature Python sees
    #[new]
    #[pyo3(signature = (tokens, segments, groups, arrangement, seed, threads=None, progress=None))]
    fn new(
        py: Python<'_>,
        tokens: &Bound<'_, PyAny>,
        segments: (
            PyReadonlyArray1<'_, i64>,
            PyReadonlyArray1<'_, i64>,
            PyReadonlyArray1<'_, i64>,
            PyReadonlyArray1<'_, i64>,
        ),
        groups: usize,
        arrangement: &str,
        seed: u64,
        threads: Option<usize>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let arrangement = match arrangement {
            "given" => Arrangement::Given,
            "shuffled" => Arrangement::Shuffled { seed },
            "cross-document" => Arrangement::CrossDocument { seed },
            other => return Err(Error::invalid("arrangement", other, "given, shuffled or cross-document").into()),
        };
        let (start, end, limit, group) =
            (segments.0.as_array(), segments.1.as_array(), segments.2.as_array(), segments.3.as_array());
        let segments: Vec<Segment> = (0..start.len())
            .map(|i| Segment {
                start: start[i] as usize,
                end: end[i] as usize,
                limit: limit[i] as usize,
                group: group[i] as usize,
            })
            .collect();
        fn build<I: Id>(
            tokens: &[I],
            segments: &[Segment],
            groups: usize,
            arrangement: Arrangement,
            threads: Option<usize>,
            monitor: &Monitor,
        ) -> Result<Ranked> {
            with_threads(threads, || Ranked::new(tokens, segments, groups, arrangement, monitor))
        }
        let corpus = with_ids!(tokens, "tokens", |ids| interruptible(py, progress, |monitor| build(
            ids,
            &segments,
            groups,
            arrangement,
            threads,
            monitor
        ))?);
        Ok(Self { corpus })
    }

    /// Two arrays of equal length, any integer types, as pairs (x[i], y[i]) in `groups` contiguous blocks.
    #[staticmethod]
    #[pyo3(signature = (x, y, groups, threads=None))]
    fn paired(
        py: Python<'_>,
        x: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        groups: usize,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let corpus = with_ids!(x, "x", |x| with_ids!(y, "y", |y| interruptible(py, None, |monitor| {
            with_threads(threads, || Ranked::paired(x, y, groups, monitor))
        })?));
        Ok(Self { corpus })
    }

    /// How many different first tokens there are.
    #[getter]
    fn distinct(&self) -> usize {
        self.corpus.first.len()
    }

    /// How often each of them occurs, by rank.
    #[getter]
    fn frequencies<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        self.corpus.first.frequencies.clone().into_pyarray(py)
    }

    /// By distance: (n, pairs of tokens that occurred n times), and what each group removes from sum f(n).
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (distances, low, high, estimator=None, threads=None, progress=None))]
    fn count<'py>(
        &self,
        py: Python<'py>,
        distances: Vec<usize>,
        low: usize,
        high: usize,
        estimator: Option<&str>,
        threads: Option<usize>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<(Entries<'py>, Vec<i128>)>> {
        let estimator: Option<Estimator> = estimator.map(str::parse).transpose()?;
        let counts = interruptible(py, progress, |monitor| {
            with_threads(threads, || pairs::count(&self.corpus, &distances, low..high, estimator, monitor))
        })?;
        Ok(counts.into_iter().map(|counts| (entries(py, &counts.fingerprint), counts.removed)).collect())
    }

    /// By distance: fingerprints of both margins, pairs by group, and rows (entropy_x, entropy_y, null_joint) for all pairs and
    /// without each group.
    #[pyo3(signature = (distances, estimator, with_null, threads=None))]
    fn margins<'py>(
        &self,
        py: Python<'py>,
        distances: Vec<usize>,
        estimator: &str,
        with_null: bool,
        threads: Option<usize>,
    ) -> PyResult<Vec<MarginsOf<'py>>> {
        let estimator: Estimator = estimator.parse()?;
        let margins = interruptible(py, None, |monitor| {
            with_threads(threads, || pairs::margins(&self.corpus, &distances, estimator, with_null, monitor))
        })?;
        Ok(margins
            .into_iter()
            .map(|margins| {
                let levels =
                    margins.levels.iter().map(|level| (level.entropy_x, level.entropy_y, level.null_joint)).collect();
                (entries(py, &margins.x), entries(py, &margins.y), margins.pairs, levels)
            })
            .collect())
    }
}

/// E[H_XY] in nats of independent sequences with these margins, given as (n, symbols); `exact`: the slow oracle.
#[pyfunction]
#[pyo3(signature = (x, y, estimator, exact=false))]
fn expected_joint_entropy(
    py: Python<'_>,
    x: (PyReadonlyArray1<'_, u64>, PyReadonlyArray1<'_, u64>),
    y: (PyReadonlyArray1<'_, u64>, PyReadonlyArray1<'_, u64>),
    estimator: &str,
    exact: bool,
) -> PyResult<f64> {
    let estimator: Estimator = estimator.parse()?;
    let (x, y) = (fingerprint(&x.0, &x.1)?, fingerprint(&y.0, &y.1)?);
    let expected = if exact { null_model::expected_joint_entropy_exact } else { null_model::expected_joint_entropy };
    Ok(py.detach(|| expected(estimator, &x, &y))?)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PairCounter>()?;
    module.add_function(wrap_pyfunction!(expected_joint_entropy, module)?)
}
