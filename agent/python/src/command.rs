//! `python -m plasmon agent`.

use std::ffi::OsString;
use std::process::ExitCode;

use pyo3::prelude::*;

/// Runs an agent until it is told to end; `arguments` are those of `plasmon agent`. The exit code.
#[pyfunction]
pub(crate) fn agent_command(py: Python<'_>, arguments: Vec<OsString>) -> i32 {
    let all = std::iter::once(OsString::from("python -m plasmon agent")).chain(arguments);
    let code = py.detach(|| plasmon_agent::command::main(all));
    if code == ExitCode::SUCCESS { 0 } else { 2 }
}
