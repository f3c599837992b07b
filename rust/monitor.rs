//! Progress and cancellation of long work, shared between the threads that do it and the one that waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::{Error, Result};

/// Counts units of work done; the waiting thread reads it and may cancel.
#[derive(Debug, Default)]
pub struct Monitor {
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
}

impl Monitor {
    pub fn new() -> Self {
        Self::default()
    }

    /// Announce the units of work to come; called once the amount is known.
    pub fn set_total(&self, units: u64) {
        self.total.store(units, Relaxed);
    }

    /// Report `units` more as done; fails once [`Monitor::cancel`] was called. Workers call it at least every 100 ms.
    pub fn advance(&self, units: u64) -> Result<()> {
        self.done.fetch_add(units, Relaxed);
        if self.cancelled.load(Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    pub fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
    }

    /// (done, total) in the work's own units.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.load(Relaxed), self.total.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_monitor_stops_the_worker_and_keeps_count() {
        let monitor = Monitor::new();
        monitor.set_total(3);
        assert_eq!(monitor.advance(1), Ok(()));
        monitor.cancel();
        assert_eq!(monitor.advance(1), Err(Error::Cancelled));
        assert_eq!(monitor.progress(), (2, 3));
    }
}
