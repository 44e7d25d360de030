//! Plasmon's errors as Python's exceptions: `plasmon.exceptions` decides of which class.

use plasmon::Error;
use plasmon_tui::command::Failure;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

static EXCEPTION_OF: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception for an error.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let (name, value, pid) = match error {
        Error::TaskFailed { name, value, pid, .. } => (name.as_str(), &**value, *pid),
        Error::WorkerCrashed { name, pid, .. } | Error::OutOfMemory { name, pid, .. } => (name.as_str(), &[][..], *pid),
        Error::ActorDied { class, pid, .. } => (class.as_str(), &[][..], *pid),
        _ => ("", &[][..], 0),
    };
    let printed = match error {
        Error::TaskFailed { message, .. } => message.as_str(),
        _ => "",
    };
    exception(py, error.code(), &error.to_string(), error.hint(), (name, printed, pid, value))
}

/// The exception for what keeps an agent from being asked, with its own hint.
pub(crate) fn unasked(py: Python<'_>, failure: &Failure) -> PyErr {
    exception(py, "connect", &failure.message, &failure.hint, ("", "", 0, &[]))
}

fn exception(py: Python<'_>, code: &str, message: &str, hint: &str, (name, printed, pid, value): (&str, &str, u32, &[u8])) -> PyErr {
    let made = EXCEPTION_OF
        .import(py, "plasmon.exceptions", "_exception_of")
        .and_then(|make| make.call1((code, message, hint, name, printed, pid, PyBytes::new(py, value))));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(_) => PyRuntimeError::new_err(message.to_owned()),
    }
}

/// For results whose error is Plasmon's.
pub(crate) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Error> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raise(py, &error))
    }
}
