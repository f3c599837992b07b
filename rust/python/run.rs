//! Heavy work without the GIL, that still answers Ctrl-C and reports progress.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::prelude::*;

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
        let worker = scope.spawn(|| {
            let _finished = sender; // dropped when the work ends, also by a panic: wakes the receiver
            work(&monitor)
        });
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

/// Run `work` in a pool of `threads` threads (all cores where none is given).
pub fn with_threads<T: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if threads == Some(0) {
        return Err(Error::invalid("threads", "0", "at least 1"));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(0))
        .build()
        .map_err(|error| Error::invalid("threads", error.to_string(), "a number of threads this system can start"))?
        .install(work)
}
