//! The one mapping from core errors to Python exceptions.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::import_exception;
use pyo3::prelude::*;

use crate::Error;

import_exception!(l2m.errors, InputError);

impl From<Error> for PyErr {
    fn from(error: Error) -> PyErr {
        match error {
            Error::Cancelled => PyKeyboardInterrupt::new_err(()),
            Error::Invalid { .. } | Error::Memory { .. } => InputError::new_err(error.to_string()),
        }
    }
}
