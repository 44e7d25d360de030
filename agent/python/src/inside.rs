//! Threads that are in the native half. When the interpreter ends it ends every other thread where that next waits for its lock, which a
//! thread must not be in the middle of this half then: the process would be aborted. So whoever ends waits until nobody is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Longer than it takes any call to notice that the connection has ended, and to come back.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(1);
/// In a row, without anybody.
const LOOKS: u32 = 10;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// This thread is in the native half, and gives the interpreter's lock away here and there.
pub(crate) struct Inside(());

impl Inside {
    /// From here on.
    #[inline]
    pub(crate) fn begin() -> Self {
        THREADS.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        // A forked child has begun anew meanwhile.
        let _ = THREADS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |threads| threads.checked_sub(1));
    }
}

/// Runs what waits or copies much.
pub(crate) trait Apart {
    /// Without the interpreter's lock, which this thread has again when it returns.
    fn apart<T: Send>(self, work: impl FnOnce() -> T + Send) -> T;
}

impl Apart for Python<'_> {
    fn apart<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        let _inside = Inside::begin();
        self.detach(work)
    }
}

/// Waits until no thread is in the native half, for some seconds at most. There is no connection any more that one of them could wait for:
/// each comes once more and is told so, which is why it is looked several times.
#[pyfunction]
pub(crate) fn await_threads(py: Python<'_>) {
    let until = Instant::now() + PATIENCE;
    let mut quiet = 0;
    while quiet < LOOKS && Instant::now() < until {
        py.detach(|| std::thread::sleep(LOOK));
        quiet = if THREADS.load(Ordering::SeqCst) == 0 { quiet + 1 } else { 0 };
    }
}

/// This is a forked child: of all threads it has only the one that forked.
#[pyfunction]
pub(crate) fn forget_threads() {
    THREADS.store(0, Ordering::SeqCst);
}
