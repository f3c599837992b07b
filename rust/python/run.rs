//! Heavy work without the GIL, that still answers Ctrl-C and reports progress.

use std::sync::LazyLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt};

use crate::monitor::Monitor;
use crate::{Error, Result};

/// Run `work` on a thread of its own with the GIL released. Ten times a second the calling thread looks for signals
/// (a pending Ctrl-C cancels the work) and calls `progress(done, total)`.
pub fn interruptible<T: Send>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Monitor) -> Result<T> + Send,
) -> PyResult<T> {
    let monitor = Monitor::new();
    let (sender, receiver) = channel::<()>();
    std::thread::scope(|scope| {
        let run = || {
            let _finished = sender; // dropped when the work ends, also by a panic: wakes the receiver
            work(&monitor)
        };
        let worker = std::thread::Builder::new()
            .spawn_scoped(scope, run)
            .map_err(|error| Error::invalid("threads", error.to_string(), "a system that can start one more thread"))?;
        let mut interruption = None;
        // `Receiver` is not `Sync`; handing it over by value and back keeps `detach` happy.
        let mut receiver = receiver;
        loop {
            let (timed_out, returned) = py.detach(move || {
                let waited = receiver.recv_timeout(Duration::from_millis(100));
                (waited == Err(RecvTimeoutError::Timeout), receiver)
            });
            receiver = returned;
            if !timed_out {
                break;
            }
            if interruption.is_some() {
                continue;
            }
            let answered = py.check_signals().and_then(|()| match progress {
                Some(callback) => callback.call1(monitor.progress()).map(|_| ()),
                None => Ok(()),
            });
            if let Err(error) = answered {
                monitor.cancel();
                interruption = Some(error);
            }
        }
        let outcome = py.detach(|| worker.join());
        match (interruption, outcome) {
            (Some(error), _) => Err(error),
            (None, Ok(result)) => Ok(result?),
            (None, Err(_)) => {
                Err(PyErr::from(Error::invalid("l2m", "a worker thread panicked", "a report of this bug")))
            }
        }
    })
}

/// A number of threads as Python gives it: a whole number, from 1 to four for each core of this machine (64 at least).
#[derive(Debug, Clone, Copy)]
pub struct Threads(usize);

impl FromPyObject<'_, '_> for Threads {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        // Asked once: it reads files of the system, which takes longer than small work.
        static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
        let most = (4 * *CORES).max(64);
        let number = if given.is_instance_of::<PyInt>() && !given.is_instance_of::<PyBool>() {
            given.extract::<usize>().ok().filter(|number| (1..=most).contains(number))
        } else {
            None
        };
        number.map(Self).ok_or_else(|| {
            let found = given.repr().map_or_else(|_| "another object".to_owned(), |repr| repr.to_string());
            Error::invalid("threads", found, format!("a whole number from 1 to {most}")).into()
        })
    }
}

/// Run `work` in a pool of `threads` threads (all cores where none is given).
pub fn with_threads<T: Send>(threads: Option<Threads>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.map_or(0, |threads| threads.0))
        .build()
        .map_err(|error| Error::invalid("threads", error.to_string(), "a number of threads this system can start"))?
        .install(work)
}

/// One thread, for work that streams.
pub const ONE: Option<Threads> = Some(Threads(1));
