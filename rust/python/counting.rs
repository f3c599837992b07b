//! Counting for Python: one frozen class owns the ranked corpus; each heavy method releases the GIL.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use super::run::{ONE, Threads, interruptible, with_threads};
use crate::corpus::{Arrangement, Id, Ranked, Ranks, Segment};
use crate::entropy::Estimator;
use crate::fingerprint::Fingerprint;
use crate::monitor::Monitor;
use crate::ngrams::{Coded, Entry};
use crate::{Error, Result, covariance, margins, ngrams, null_model, pairs};

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

/// (distances at once, ranges of first ranks)
type WalkOf = (usize, Vec<(usize, usize)>);
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
    /// `segments`: start, end, limit and group of first tokens, ordered by group. `block`: tokens that a shuffle keeps together.
    #[allow(clippy::too_many_arguments)] // the signature Python sees
    #[new]
    #[pyo3(signature = (tokens, segments, groups, arrangement, seed, threads=None, progress=None, block=1))]
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
        threads: Option<Threads>,
        progress: Option<&Bound<'_, PyAny>>,
        block: usize,
    ) -> PyResult<Self> {
        let arrangement = match arrangement {
            "given" => Arrangement::Given,
            "shuffled" => Arrangement::Shuffled { seed, block },
            "cross-document" => Arrangement::CrossDocument { seed },
            other => return Err(Error::invalid("arrangement", other, "given, shuffled or cross-document").into()),
        };
        let sides = [&segments.0, &segments.1, &segments.2, &segments.3].map(|side| side.as_array());
        let number = sides[0].len();
        if sides.iter().any(|side| side.len() != number || side.iter().any(|&position| position < 0)) {
            let found = format!("arrays of lengths {:?}", sides.map(|side| side.len()));
            return Err(Error::invalid("segments", found, "four of one length, without negative entries").into());
        }
        let segments: Vec<Segment> = (0..number)
            .map(|i| {
                let [start, end, limit, group] = sides.map(|side| side[i] as usize);
                Segment { start, end, limit, group }
            })
            .collect();
        fn build<I: Id>(
            tokens: &[I],
            segments: &[Segment],
            groups: usize,
            arrangement: Arrangement,
            threads: Option<Threads>,
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
        threads: Option<Threads>,
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

    /// How many tokens are laid out.
    #[getter]
    fn length(&self) -> usize {
        self.corpus.len()
    }

    /// Whether ranks take 16 bits or less.
    #[getter]
    fn narrow(&self) -> bool {
        !matches!(self.corpus.ranks, Ranks::Wide(_))
    }

    /// Bytes that a thread needs at least: the commonest token at one distance.
    fn least(&self, grouped: bool) -> u64 {
        pairs::least_bytes(&self.corpus, grouped)
    }

    /// Bytes that stay while counting, and bytes that `margins` needs on this many threads.
    fn bytes(&self, threads: usize) -> (u64, u64) {
        (pairs::resident_bytes(&self.corpus), margins::margin_bytes(&self.corpus, threads))
    }

    /// Walks over the corpus: (distances at once, ranges of first ranks that a thread holds at a time).
    fn plan(
        &self,
        low: usize,
        high: usize,
        distances: usize,
        grouped: bool,
        budget: u64,
        threads: usize,
    ) -> PyResult<Vec<WalkOf>> {
        let walks = pairs::plan(&self.corpus, low..high, distances, grouped, budget, threads)?;
        let pieces = |walk: pairs::Walk| walk.pieces.into_iter().map(|piece| (piece.start, piece.end)).collect();
        Ok(walks.into_iter().map(|walk| (walk.distances, pieces(walk))).collect())
    }

    /// By distance, over first ranks low..high: (n, pairs of tokens that occurred n times), and what each group removes
    /// from sum f(n). `budget`: bytes a thread may take.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (distances, low, high, budget, estimator=None, threads=None, progress=None))]
    fn count<'py>(
        &self,
        py: Python<'py>,
        distances: Vec<usize>,
        low: usize,
        high: usize,
        budget: u64,
        estimator: Option<&str>,
        threads: Option<Threads>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<(Entries<'py>, Vec<i128>)>> {
        let estimator: Option<Estimator> = estimator.map(str::parse).transpose()?;
        let counts = interruptible(py, progress, |monitor| {
            with_threads(threads, || pairs::count(&self.corpus, &distances, low..high, estimator, budget, monitor))
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
        threads: Option<Threads>,
    ) -> PyResult<Vec<MarginsOf<'py>>> {
        let estimator: Estimator = estimator.parse()?;
        let counted = interruptible(py, None, |monitor| {
            with_threads(threads, || margins::margins(&self.corpus, &distances, estimator, with_null, monitor))
        })?;
        Ok(counted
            .into_iter()
            .map(|margins| {
                let levels =
                    margins.levels.iter().map(|level| (level.entropy_x, level.entropy_y, level.null_joint)).collect();
                (entries(py, &margins.x), entries(py, &margins.y), margins.pairs, levels)
            })
            .collect())
    }

    /// Sums over the pairs at each distance: `e_x v_y^T`, or `e_y v_x^T` if `transposed`. `vectors`: a (distinct, width) matrix
    /// of each distance, by rank, one after the other; so is the result. `within`: v less its mean over a segment's pairs.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (distances, vectors, width, transposed, within=false, threads=None, progress=None))]
    fn products<'py>(
        &self,
        py: Python<'py>,
        distances: Vec<usize>,
        vectors: PyReadonlyArray1<'py, f64>,
        width: usize,
        transposed: bool,
        within: bool,
        threads: Option<Threads>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let vectors = vectors.as_slice().map_err(|_| contiguous("vectors"))?;
        let sums = interruptible(py, progress, |monitor| {
            with_threads(threads, || {
                covariance::products(&self.corpus, &distances, vectors, width, transposed, within, monitor)
            })
        })?;
        Ok(sums.into_pyarray(py))
    }

    /// By distance and group, one after the other: pairs, and sums over them of the `width` values u[x],
    /// of v[y], and of all products u_i[x] v_j[y].
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (distances, left, right, width, within=false, threads=None))]
    fn group_sums<'py>(
        &self,
        py: Python<'py>,
        distances: Vec<usize>,
        left: PyReadonlyArray1<'py, f64>,
        right: PyReadonlyArray1<'py, f64>,
        width: usize,
        within: bool,
        threads: Option<Threads>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let left = left.as_slice().map_err(|_| contiguous("left"))?;
        let right = right.as_slice().map_err(|_| contiguous("right"))?;
        let sums = interruptible(py, None, |monitor| {
            with_threads(threads, || {
                covariance::group_sums(&self.corpus, &distances, left, right, width, within, monitor)
            })
        })?;
        Ok(sums.into_pyarray(py))
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

#[pyclass(frozen)]
struct NgramCounter {
    corpus: Coded,
}

/// n-grams as ids side by side, and their counts.
type TableOf<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>);

fn table<'py>(py: Python<'py>, entries: Vec<Entry>) -> TableOf<'py> {
    let counts: Vec<u64> = entries.iter().map(|entry| entry.count).collect();
    let ids: Vec<u64> = entries.into_iter().flat_map(|entry| entry.ids).collect();
    (ids.into_pyarray(py), counts.into_pyarray(py))
}

#[pymethods]
impl NgramCounter {
    #[new]
    #[pyo3(signature = (tokens, offsets, threads=None))]
    fn new(
        py: Python<'_>,
        tokens: &Bound<'_, PyAny>,
        offsets: PyReadonlyArray1<'_, i64>,
        threads: Option<Threads>,
    ) -> PyResult<Self> {
        let offsets: Vec<usize> =
            offsets.as_array().iter().map(|&offset| usize::try_from(offset).unwrap_or(usize::MAX)).collect();
        let corpus = with_ids!(tokens, "tokens", |ids| interruptible(py, None, |monitor| {
            with_threads(threads, || Coded::new(ids, offsets, monitor))
        })?);
        Ok(Self { corpus })
    }

    /// How many different ids occur.
    #[getter]
    fn distinct(&self) -> usize {
        self.corpus.alphabet.len()
    }

    /// How often each of them occurs, in the order of ids.
    #[getter]
    fn frequencies<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        self.corpus.alphabet.frequencies.clone().into_pyarray(py)
    }

    /// Bytes that stay while counting.
    fn bytes(&self) -> u64 {
        self.corpus.resident_bytes()
    }

    /// Bytes that a thread needs at least: the commonest token's list.
    fn least(&self, n: usize) -> u64 {
        self.corpus.least_bytes(n)
    }

    /// How many n-grams there are.
    fn total(&self, n: usize) -> u64 {
        self.corpus.total(n)
    }

    /// Ranges of first ids whose lists take at most `budget` bytes.
    fn plan(&self, n: usize, budget: u64) -> PyResult<Vec<(usize, usize)>> {
        Ok(self.corpus.plan(n, budget)?.into_iter().map(|piece| (piece.start, piece.end)).collect())
    }

    /// Fingerprints of the orders 1..=n over first ids low..high, `budget` bytes a thread.
    #[allow(clippy::too_many_arguments)]
    #[pyo3(signature = (n, low, high, budget, threads=None, progress=None))]
    fn fingerprints<'py>(
        &self,
        py: Python<'py>,
        n: usize,
        low: usize,
        high: usize,
        budget: u64,
        threads: Option<Threads>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Entries<'py>>> {
        let fingerprints = interruptible(py, progress, |monitor| {
            with_threads(threads, || self.corpus.fingerprints(n, low..high, budget, monitor))
        })?;
        Ok(fingerprints.iter().map(|fingerprint| entries(py, fingerprint)).collect())
    }

    /// The table of one order over first ids low..high, sorted.
    fn table<'py>(&self, py: Python<'py>, n: usize, low: usize, high: usize) -> PyResult<TableOf<'py>> {
        let entries =
            interruptible(py, None, |monitor| with_threads(ONE, || self.corpus.table(n, low..high, monitor)))?;
        Ok(table(py, entries))
    }

    /// The k most frequent n-grams, `budget` bytes a thread.
    #[pyo3(signature = (n, k, budget, threads=None))]
    fn most_common<'py>(
        &self,
        py: Python<'py>,
        n: usize,
        k: usize,
        budget: u64,
        threads: Option<Threads>,
    ) -> PyResult<TableOf<'py>> {
        let entries = interruptible(py, None, |monitor| {
            with_threads(threads, || self.corpus.most_common(n, k, budget, monitor))
        })?;
        Ok(table(py, entries))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NgramCounter>()?;
    module.add_class::<PairCounter>()?;
    module.add("DENSE", pairs::DENSE)?;
    module.add("REMOVED_UNIT", pairs::REMOVED_UNIT)?;
    module.add("LONGEST_NGRAM", ngrams::LONGEST)?;
    module.add_function(wrap_pyfunction!(expected_joint_entropy, module)?)
}
