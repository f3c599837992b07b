//! What a curve must be to be fitted: checked here and nowhere else.

use crate::{Error, Result};

/// A curve as it comes from outside.
#[derive(Debug, Clone, Copy, Default)]
pub struct Curve<'a> {
    pub x: &'a [f64],
    pub y: &'a [f64],
    pub stderr: Option<&'a [f64]>,
    /// points x points, row by row.
    pub covariance: Option<&'a [f64]>,
    /// groups x points, row by row.
    pub replicates: Option<&'a [f64]>,
    /// The fraction of the data in each group.
    pub shares: Option<&'a [f64]>,
}

/// What the fit takes the logarithm of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Logarithm {
    None,
    /// Of y, and of the replicates.
    Values,
    /// Of y - C with C above this bound.
    Above(f64),
}

impl Curve<'_> {
    /// `parameters`: of the law to fit.
    pub fn check(&self, parameters: usize, logarithm: Logarithm) -> Result<()> {
        let points = self.x.len();
        finite("x", self.x)?;
        positive("x", self.x)?;
        enough_different(self.x, parameters)?;
        finite("y", self.y)?;
        if self.y.iter().all(|y| *y == self.y[0]) {
            return Err(Error::invalid(
                "y",
                format!("all {points} values are {}", shown(self.y[0])),
                "values that differ",
            ));
        }
        if let Some(stderr) = self.stderr {
            finite("stderr", stderr)?;
            positive("stderr", stderr)?;
        }
        if let Some(covariance) = self.covariance {
            finite("covariance", covariance)?;
            symmetric(covariance, points)?;
            inverse_cholesky(covariance, points)?;
        }
        if let Some(replicates) = self.replicates {
            finite("replicates", replicates)?;
        }
        if let Some(shares) = self.shares {
            refuse("group_weights", shares, |share| !(share > 0.0 && share < 1.0), "fractions between 0 and 1")?;
            let sum: f64 = shares.iter().sum();
            if (sum - 1.0).abs() > 1e-6 {
                return Err(Error::invalid("group_weights", format!("a sum of {}", shown(sum)), "1"));
            }
        }
        match logarithm {
            Logarithm::None => Ok(()),
            Logarithm::Values => {
                let advice = "positive values for a fit in log-log (method='nonlinear', 'wls' or offset=True take any)";
                refuse("y", self.y, |y| y <= 0.0, advice)?;
                refuse("replicates", self.replicates.unwrap_or_default(), |y| y <= 0.0, advice)
            }
            Logarithm::Above(low) => {
                refuse("y", self.y, |y| y <= low, &format!("values above the offset's lower bound {}", shown(low)))
            }
        }
    }
}

pub(super) fn finite(name: &'static str, values: &[f64]) -> Result<()> {
    refuse(name, values, |value| !value.is_finite(), "finite numbers")
}

pub(super) fn positive(name: &'static str, values: &[f64]) -> Result<()> {
    refuse(name, values, |value| value <= 0.0, "positive numbers")
}

pub(super) fn enough_different(x: &[f64], parameters: usize) -> Result<()> {
    let mut sorted = x.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.dedup();
    if sorted.len() >= parameters {
        return Ok(());
    }
    let found = match (sorted.len(), x.len()) {
        (_, points) if points < parameters => format!("{points} {}", if points == 1 { "point" } else { "points" }),
        (different, points) => format!("{different} different values in {points} points"),
    };
    Err(Error::invalid("x", found, format!("at least {parameters}, the parameters of the curve")))
}

pub(super) fn ordered(low: f64, high: f64) -> Result<()> {
    if low <= high {
        return Ok(());
    }
    Err(Error::invalid("offset_bounds", format!("({}, {})", shown(low), shown(high)), "low <= high"))
}

/// To 1e-8 of the entries; a mean of groups differs from its transpose by rounding.
fn symmetric(matrix: &[f64], points: usize) -> Result<()> {
    let turned = |i: usize, j: usize| (matrix[i * points + j] - matrix[j * points + i]).abs();
    let differs = |i: usize, j: usize| turned(i, j) > 1e-8 * matrix[j * points + i].abs();
    if (0..points).any(|i| (0..points).any(|j| differs(i, j))) {
        return Err(Error::invalid("covariance", "not symmetric", "a symmetric positive definite matrix"));
    }
    Ok(())
}

/// Names the values that are bad, the first five of them.
fn refuse(name: &'static str, values: &[f64], bad: impl Fn(f64) -> bool, expected: &str) -> Result<()> {
    let places: Vec<usize> = (0..values.len()).filter(|&i| bad(values[i])).collect();
    if places.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = places.iter().take(5).map(|&i| format!("{} at position {i}", shown(values[i]))).collect();
    let more = if places.len() > 5 { format!(" and {} more", places.len() - 5) } else { String::new() };
    Err(Error::invalid(name, format!("{}{more}", named.join(", ")), expected))
}

/// Six digits, as C writes %g.
fn shown(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    let size = value.abs();
    if !value.is_finite() || size == 0.0 {
        return value.to_string();
    }
    if !(1e-4..1e6).contains(&size) {
        let text = format!("{value:.5e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
        return format!("{digits}e{exponent}");
    }
    let decimals = (5 - size.log10().floor() as i32).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// Row by row, the inverse of the lower Cholesky factor.
pub(super) fn inverse_cholesky(covariance: &[f64], points: usize) -> Result<Vec<f64>> {
    let wrong = |found: String| Error::invalid("covariance", found, "a symmetric positive definite matrix");
    if covariance.len() != points * points {
        return Err(wrong(format!("{} values for {points} points", covariance.len())));
    }
    let factor = cholesky(covariance, points).ok_or_else(|| wrong("a matrix that is not positive definite".into()))?;
    let mut inverse = vec![0.0; points * points];
    for j in 0..points {
        inverse[j * points + j] = 1.0 / factor[j * points + j];
        for i in j + 1..points {
            let sum: f64 = (j..i).map(|k| factor[i * points + k] * inverse[k * points + j]).sum();
            inverse[i * points + j] = -sum / factor[i * points + i];
        }
    }
    Ok(inverse)
}

/// The lower Cholesky factor, row by row; none where the matrix is not positive definite (to rounding).
pub fn cholesky(matrix: &[f64], points: usize) -> Option<Vec<f64>> {
    let mut factor = vec![0.0; points * points];
    for i in 0..points {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| factor[i * points + k] * factor[j * points + k]).sum();
            let rest = matrix[i * points + j] - sum;
            if i == j {
                // A pivot this small is rounding: the matrix is singular.
                if rest <= 1e-14 * matrix[i * points + i] || rest.is_nan() {
                    return None;
                }
                factor[i * points + i] = rest.sqrt();
            } else {
                factor[i * points + j] = rest / factor[j * points + j];
            }
        }
    }
    Some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(curve: Curve<'_>, parameters: usize, logarithm: Logarithm) -> String {
        curve.check(parameters, logarithm).unwrap_err().to_string()
    }

    #[test]
    fn bad_curves_are_named() {
        let curve = Curve { x: &[1.0, 2.0, 4.0], y: &[1.0, 2.0, 3.0], ..Curve::default() };
        assert!(curve.check(3, Logarithm::Values).is_ok());
        assert!(
            message(Curve { x: &[1.0, -2.0, 4.0], ..curve }, 2, Logarithm::None).starts_with("x: -2 at position 1;")
        );
        let wild = [f64::NAN, 2.0, f64::INFINITY];
        let found = message(Curve { y: &wild, ..curve }, 2, Logarithm::None);
        assert!(found.starts_with("y: nan at position 0, inf at position 2; expected finite"), "{found}");
        assert!(
            message(Curve { x: &[1.0, 1.0, 4.0], ..curve }, 3, Logarithm::None).contains("2 different values in 3")
        );
        assert!(message(Curve { y: &[0.5, 2.0, 3.0], ..curve }, 2, Logarithm::Above(0.75)).contains("bound 0.75"));
        assert!(
            message(Curve { replicates: Some(&[1.0, -1.0]), ..curve }, 2, Logarithm::Values).contains("replicates")
        );
        assert!(message(Curve { shares: Some(&[0.5, 0.4]), ..curve }, 2, Logarithm::None).contains("a sum of 0.9;"));
        let lopsided = [1.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert!(message(Curve { covariance: Some(&lopsided), ..curve }, 2, Logarithm::None).contains("not symmetric"));
    }

    #[test]
    fn numbers_are_written_as_c_writes_them() {
        for (value, text) in [
            (-2.0, "-2"),
            (0.1, "0.1"),
            (1.1, "1.1"),
            (123456.0, "123456"),
            (1e6, "1e6"),
            (-1.5e-7, "-1.5e-7"),
            (f64::INFINITY, "inf"),
            (0.0, "0"),
            (1.0 / 3.0, "0.333333"),
        ] {
            assert_eq!(shown(value), text);
        }
    }
}
