use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use super::run::interruptible;
use crate::bootstrap::{Resample, Source};
use crate::power_law::{Curve, Fitter, HUBER, Law, Logarithm, Model, NORMAL_MAD, Noise, Scratch};
use crate::{Error, Result};

/// A curve's abscissae, errors and model, prepared once and fitted to many ordinates.
#[pyclass(frozen, module = "l2m._core")]
struct CurveFitter {
    fitter: Fitter,
}

#[pymethods]
impl CurveFitter {
    #[new]
    #[pyo3(signature = (x, model, *, weights=None, covariance=None, bounds=(f64::NEG_INFINITY, f64::INFINITY), robust=false))]
    fn new(
        x: PyReadonlyArray1<'_, f64>,
        model: &str,
        weights: Option<PyReadonlyArray1<'_, f64>>,
        covariance: Option<PyReadonlyArray2<'_, f64>>,
        bounds: (f64, f64),
        robust: bool,
    ) -> PyResult<Self> {
        let (low, high) = bounds;
        let model = match model {
            "log-log" => Model::LogLog,
            "linear" => Model::Linear,
            "linear-offset" => Model::LinearOffset { low, high },
            "log-offset" => Model::LogOffset { low, high },
            other => {
                return Err(Error::invalid("model", other, "log-log, linear, linear-offset or log-offset").into());
            }
        };
        let x: Vec<f64> = x.as_array().to_vec();
        let noise = match (weights, covariance) {
            (_, Some(covariance)) => Noise::Covariance(covariance.as_array().iter().copied().collect()),
            (Some(weights), None) => Noise::Weights(weights.as_array().to_vec()),
            (None, None) => Noise::Weights(vec![1.0; x.len()]),
        };
        Ok(Self { fitter: Fitter::new(&x, model, &noise, robust)? })
    }

    /// (rows, 3): amplitude, exponent, offset of each row of `y` (rows, points); logarithms for "log-log". Rows without a
    /// fit are nan.
    fn fit<'py>(&self, py: Python<'py>, y: PyReadonlyArray2<'py, f64>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let y = y.as_array();
        if y.ncols() != self.fitter.points() {
            let expected = format!("{}, the points of x", self.fitter.points());
            return Err(Error::invalid("y", format!("{} points", y.ncols()), expected).into());
        }
        let rows: Vec<Vec<f64>> = y.outer_iter().map(|row| row.to_vec()).collect();
        let laws = py.detach(|| {
            let mut scratch = Scratch::default();
            rows.iter().map(|row| self.fitter.fit(row, None, &mut scratch)).collect::<Vec<_>>()
        });
        to_array(py, laws)
    }

    /// (replicates, 3): refits of resampled curves. `resample`: "pairs", "residuals" (needs `residuals`, standardised, and
    /// `scale`), "normal" (`scale`) or "correlated" (`covariance`).
    #[pyo3(signature = (y, fitted, *, resample, replicates, seed, base=0.0, residuals=None, scale=None, covariance=None))]
    #[allow(clippy::too_many_arguments)]
    fn bootstrap<'py>(
        &self,
        py: Python<'py>,
        y: PyReadonlyArray1<'py, f64>,
        fitted: PyReadonlyArray1<'py, f64>,
        resample: &str,
        replicates: usize,
        seed: u64,
        base: f64,
        residuals: Option<PyReadonlyArray1<'py, f64>>,
        scale: Option<PyReadonlyArray1<'py, f64>>,
        covariance: Option<PyReadonlyArray2<'py, f64>>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let points = self.fitter.points();
        let vector = |name: &'static str, values: Option<PyReadonlyArray1<'py, f64>>| -> Result<Vec<f64>> {
            let values = values.map(|values| values.as_array().to_vec()).unwrap_or_default();
            if values.len() == points {
                return Ok(values);
            }
            Err(Error::invalid(name, format!("{} values", values.len()), format!("{points}, the points of x")))
        };
        let resample = match resample {
            "pairs" => Resample::Pairs,
            "residuals" => {
                Resample::Residuals { residuals: vector("residuals", residuals)?, scale: vector("scale", scale)? }
            }
            "normal" => Resample::Normal { scale: vector("scale", scale)? },
            "correlated" => {
                let covariance: Vec<f64> =
                    covariance.map(|matrix| matrix.as_array().iter().copied().collect()).unwrap_or_default();
                if covariance.len() != points * points {
                    let found = format!("{} values", covariance.len());
                    return Err(Error::invalid("covariance", found, format!("{points} x {points}")).into());
                }
                Resample::Correlated { covariance }
            }
            other => return Err(Error::invalid("resample", other, "pairs, residuals, normal or correlated").into()),
        };
        let (y, fitted) = (vector("y", Some(y))?, vector("fitted", Some(fitted))?);
        let source = Source { fitter: &self.fitter, y, fitted, base, resample };
        let run = |monitor: &_| source.bootstrap(replicates, seed, monitor);
        let laws =
            if replicates <= 100_000 { py.detach(|| run(&Default::default()))? } else { interruptible(py, None, run)? };
        to_array(py, laws)
    }
}

/// (laws, 3), in the memory of `laws`.
fn to_array(py: Python<'_>, laws: Vec<Law>) -> PyResult<Bound<'_, PyArray2<f64>>> {
    let mut laws = std::mem::ManuallyDrop::new(laws);
    let (start, length, capacity) = (laws.as_mut_ptr(), laws.len(), laws.capacity());
    // SAFETY: `Law` is repr(C) of three f64, so alignment and size in bytes agree; `laws` is forgotten above.
    let flat = unsafe { Vec::from_raw_parts(start.cast::<f64>(), 3 * length, 3 * capacity) };
    flat.into_pyarray(py).reshape([length, 3])
}

/// Refuse a curve that cannot be fitted. `logarithm_above`: y - C is fitted in logarithms, C above this bound; `logarithm`:
/// log y is.
#[pyfunction]
#[pyo3(signature = (x, y, parameters, *, stderr=None, covariance=None, replicates=None, shares=None, logarithm=false,
    logarithm_above=None))]
#[allow(clippy::too_many_arguments)]
fn check_curve(
    x: PyReadonlyArray1<'_, f64>,
    y: PyReadonlyArray1<'_, f64>,
    parameters: usize,
    stderr: Option<PyReadonlyArray1<'_, f64>>,
    covariance: Option<PyReadonlyArray2<'_, f64>>,
    replicates: Option<PyReadonlyArray2<'_, f64>>,
    shares: Option<PyReadonlyArray1<'_, f64>>,
    logarithm: bool,
    logarithm_above: Option<f64>,
) -> PyResult<()> {
    let vector = |values: Option<PyReadonlyArray1<'_, f64>>| values.map(|values| values.as_array().to_vec());
    let matrix =
        |values: Option<PyReadonlyArray2<'_, f64>>| values.map(|values| values.as_array().iter().copied().collect());
    let (x, y) = (x.as_array().to_vec(), y.as_array().to_vec());
    let (stderr, shares): (Option<Vec<f64>>, Option<Vec<f64>>) = (vector(stderr), vector(shares));
    let (covariance, replicates): (Option<Vec<f64>>, Option<Vec<f64>>) = (matrix(covariance), matrix(replicates));
    let logarithm = match logarithm_above {
        Some(low) => Logarithm::Above(low),
        None if logarithm => Logarithm::Values,
        None => Logarithm::None,
    };
    let curve = Curve {
        x: &x,
        y: &y,
        stderr: stderr.as_deref(),
        covariance: covariance.as_deref(),
        replicates: replicates.as_deref(),
        shares: shares.as_deref(),
    };
    Ok(curve.check(parameters, logarithm)?)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("HUBER", HUBER)?;
    module.add("NORMAL_MAD", NORMAL_MAD)?;
    module.add_function(wrap_pyfunction!(check_curve, module)?)?;
    module.add_class::<CurveFitter>()
}
