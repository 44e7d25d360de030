//! What generators yield, as their callers get it.

use plasmon::binding::{Next, Raw, Results as Inner};
use pyo3::prelude::*;

use crate::error::OrRaise;
use crate::inside::Apart;
use crate::objects::{SIGNALS, Seconds, Signals, seconds};
use crate::reference::New;

/// The results of a generator that runs elsewhere. It runs at most a few values ahead, and stops at its next one when this is gone.
#[pyclass(module = "plasmon", frozen)]
pub(crate) struct Results(pub(crate) Inner<Raw>);

#[pymethods]
impl Results {
    /// The next result; waits for it. ``None`` after the last one. A task's error is in its place: ``get`` of that reference raises it.
    ///
    /// Raises:
    ///     TimeoutError: it was not there in time.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<New>> {
        let limit = seconds("timeout", timeout)?;
        let mut signals = Signals::default();
        match py.apart(|| self.0.next(limit, SIGNALS, &mut || signals.arrived())).or_raise(py)? {
            Next::Result(reference) => Ok(Some(New::of(reference))),
            Next::End => Ok(None),
            Next::NotYet if signals.has_arrived() => Err(signals.raised()),
            Next::NotYet => Err(pyo3::exceptions::PyTimeoutError::new_err("the next value was not there in time")),
        }
    }

    /// The reference that comes next, whether its object is there or not; ``None`` after the last one.
    fn front(&self, py: Python<'_>) -> Option<New> {
        py.apart(|| self.0.front()).map(New::of)
    }

    /// Whether the last one was taken, as far as is known at this moment.
    fn is_finished(&self, py: Python<'_>) -> PyResult<bool> {
        py.apart(|| self.0.is_finished()).or_raise(py)
    }
}
