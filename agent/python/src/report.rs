//! What an agent shows, asked for once: for `plasmon.memory_summary` and `plasmon.state`.

use std::path::Path;

use plasmon_agent::session::{find_live, temp_dir};
use plasmon_protocol::error::Error;
use plasmon_protocol::report::{GroupBy, Report, ReportOptions, SortBy, Units};
use plasmon_tui::command::{Failure, read_token};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{OrRaise, unasked};
use crate::inside::Apart;

/// Where an agent is asked: its stream, and the token.
pub(crate) struct Source {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
}

impl Source {
    /// This process's agent, else this user's newest live one; the token is in `token_file`, or where the agent says.
    pub(crate) fn newest(token_file: Option<&Path>) -> Result<Self, Failure> {
        let address = match plasmon::info() {
            Ok(info) => {
                let sessions = info.session.parent().and_then(Path::parent).unwrap_or(&info.session);
                let own = find_live(sessions)?.into_iter().find(|found| found.path == info.session);
                own.ok_or_else(|| missing(&info.session.display().to_string()))?.address
            }
            Err(_) => {
                let directory = temp_dir();
                find_live(&directory)?.into_iter().next().ok_or_else(|| missing(&directory.display().to_string()))?.address
            }
        };
        let token = read_token(token_file.unwrap_or(&address.token_file))?;
        Ok(Self { url: format!("ws://{}", address.listen), token: Some(token) })
    }

    fn report(&self) -> Result<Report, Error> {
        plasmon_tui::fetch_report(&self.url, self.token.as_deref()).map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &plasmon_tui::Error) -> Error {
        Error::Connect { action: format!("ask the agent at {}", self.url), cause: error.to_string() }
    }
}

fn missing(directory: &str) -> Failure {
    Failure {
        message: format!("no agent of this user is running under {directory}"),
        hint: "plasmon.init() starts one, and so does `python -m plasmon agent`".to_owned(),
    }
}

/// An agent's report.
#[pyclass(module = "plasmon", frozen, name = "Report")]
pub(crate) struct Snapshot {
    report: Report,
}

#[pymethods]
impl Snapshot {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let fetched = py.apart(|| Source::newest(None).map(|source| source.report()));
        let report = fetched.map_err(|failure| unasked(py, &failure))?;
        Ok(Self { report: report.or_raise(py)? })
    }

    #[expect(clippy::too_many_arguments, reason = "called by the package alone")]
    fn text(
        &self,
        py: Python<'_>,
        group_by: &str,
        sort_by: &str,
        reverse: bool,
        units: &str,
        limit: Option<usize>,
        stats_only: bool,
        no_format: bool,
        width: Option<usize>,
    ) -> PyResult<String> {
        Ok(self.report.text(&ReportOptions {
            group_by: group_by.parse::<GroupBy>().or_raise(py)?,
            sort_by: sort_by.parse::<SortBy>().or_raise(py)?,
            reverse,
            units: units.parse::<Units>().or_raise(py)?,
            limit,
            stats_only,
            no_format,
            width: width.unwrap_or(usize::MAX),
        }))
    }

    fn json(&self) -> PyResult<String> {
        serde_json::to_string_pretty(&self.report).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// The node: `node`, `node_ip`, `pid`, `version`, `total` and `available` (resources by name), and what runs on it.
    fn node<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let store = self.report.store();
        let node = &store.node;
        let facts = PyDict::new(py);
        facts.set_item("node", node.node.hex())?;
        facts.set_item("node_ip", &*node.node_ip)?;
        facts.set_item("listen", &*node.listen)?;
        facts.set_item("pid", node.pid)?;
        facts.set_item("version", &*node.version)?;
        facts.set_item("machine", (node.machine_total_bytes, node.machine_available_bytes))?;
        facts.set_item("capacity", store.ledger.capacity_bytes)?;
        facts.set_item("used", store.ledger.used_bytes())?;
        // As the stream tells them: amounts by name.
        let told = |resources| serde_json::to_string(resources).map_err(|error| PyValueError::new_err(error.to_string()));
        facts.set_item("resources", told(&node.resources)?)?;
        facts.set_item("reserved", told(&node.reserved)?)?;
        Ok(facts)
    }
}
