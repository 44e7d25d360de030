//! The connection of this process, and facts about it.

use std::path::PathBuf;

use plasmon::Options;
use plasmon::binding::{Connection, Launch};
use plasmon_protocol::error::Error;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::OrRaise;
use crate::inside::Apart;

/// Connects; see `plasmon.init`. `options`, for an agent of its own, is JSON with the names of the command line's flags as keys.
#[pyfunction]
#[pyo3(signature = (executable, worker, agent, address, temp_dir, options, local))]
#[expect(clippy::too_many_arguments, reason = "called by the package alone")]
pub(crate) fn connect<'py>(
    py: Python<'py>,
    executable: PathBuf,
    worker: Vec<String>,
    agent: Vec<String>,
    address: Option<PathBuf>,
    temp_dir: Option<PathBuf>,
    options: Option<String>,
    local: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let mut wanted = Options::new().launch(Launch { executable, worker, agent });
    if local {
        wanted = wanted.local();
    }
    if let Some(address) = address {
        wanted = wanted.address(address);
    }
    if let Some(directory) = temp_dir {
        wanted = wanted.temp_dir(directory);
    }
    if let Some(text) = options {
        let options = serde_json::from_str(&text).map_err(|error| Error::invalid("options of init()", text, error.to_string()));
        wanted = wanted.agent(options.or_raise(py)?);
    }
    py.apart(|| wanted.init()).or_raise(py)?;
    facts(py)
}

/// Ends the connection; see `plasmon.shutdown`.
#[pyfunction]
pub(crate) fn disconnect(py: Python<'_>) -> PyResult<()> {
    py.detach(plasmon::shutdown).or_raise(py)
}

/// Whether this process is connected.
#[pyfunction]
pub(crate) fn is_connected() -> bool {
    plasmon::is_initialized()
}

/// The connection's facts: `node`, `job`, `process`, `agent_pid`, `version`, `session`, `capacity` (bytes), `started`, `worker`.
#[pyfunction]
pub(crate) fn facts(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    // Who connects or ends the connection at this moment may wait for the interpreter.
    let info = py.apart(plasmon::info).or_raise(py)?;
    let connection = Connection::current().or_raise(py)?;
    let facts = PyDict::new(py);
    facts.set_item("node", info.node.hex())?;
    facts.set_item("job", connection.job())?;
    facts.set_item("process", info.process.0)?;
    facts.set_item("agent_pid", info.agent_pid)?;
    facts.set_item("version", env!("CARGO_PKG_VERSION"))?;
    facts.set_item("session", info.session.display().to_string())?;
    facts.set_item("capacity", info.capacity)?;
    facts.set_item("started", info.started)?;
    facts.set_item("worker", connection.is_worker())?;
    Ok(facts)
}

/// The task that this thread works for: its id in hexadecimal, and its function's name; `None` outside of any.
#[pyfunction]
pub(crate) fn current_task() -> Option<(String, String)> {
    let (task, name) = Connection::current().ok()?.current_task()?;
    Some((task.hex(), name.into()))
}

/// The connection; makes one with `plasmon.init()` where none was made yet.
pub(crate) fn current(py: Python<'_>) -> PyResult<Connection> {
    match Connection::current() {
        Ok(connection) => Ok(connection),
        Err(error @ Error::NotConnected { .. }) => {
            // It raises where a connection was ended, or left behind by a fork.
            py.import("plasmon._init")?.call_method1("connect_on_first_use", (error.to_string(),))?;
            Connection::current().or_raise(py)
        }
        Err(error) => Err(crate::error::raise(py, &error)),
    }
}
