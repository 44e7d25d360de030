//! What an agent shows, asked for once: for `plasmon.memory_summary`, `plasmon.state` and `python -m plasmon memory`.

use std::time::Duration;

use plasmon_agent::session::{Address, find_live, temp_dir};
use plasmon_protocol::error::Error;
use plasmon_protocol::filter::Filter;
use plasmon_protocol::report::{GroupBy, Report, ReportOptions, SortBy, Units};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::OrRaise;

/// Where an agent is asked: its stream, and the token.
struct Source {
    url: String,
    token: Option<String>,
}

impl Source {
    /// The stream at `url` with the token in `token_file`; without an address, this process's agent, else this user's newest live one.
    fn find(url: Option<String>, token_file: Option<String>) -> Result<Self, Error> {
        if let Some(url) = url {
            let url = if url.contains("://") { url } else { format!("ws://{url}") };
            return Ok(Self { url, token: token_file.as_deref().map(read_token).transpose()? });
        }
        let address = match plasmon::info() {
            Ok(info) => {
                let sessions = info.session.parent().and_then(std::path::Path::parent).unwrap_or(&info.session);
                let own = find_live(sessions)?.into_iter().find(|found| found.path == info.session);
                own.ok_or_else(|| missing(&info.session.display().to_string()))?.address
            }
            Err(_) => {
                let directory = temp_dir();
                find_live(&directory)?.into_iter().next().ok_or_else(|| missing(&directory.display().to_string()))?.address
            }
        };
        Self::of(&address, token_file)
    }

    fn of(address: &Address, token_file: Option<String>) -> Result<Self, Error> {
        let file = token_file.unwrap_or_else(|| address.token_file.display().to_string());
        Ok(Self { url: format!("ws://{}", address.listen), token: Some(read_token(&file)?) })
    }

    fn report(&self) -> Result<Report, Error> {
        plasmon_tui::fetch_report(&self.url, self.token.as_deref()).map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &plasmon_tui::Error) -> Error {
        Error::Connect { action: format!("ask the agent at {}", self.url), cause: error.to_string() }
    }
}

fn missing(directory: &str) -> Error {
    Error::Connect { action: format!("find an agent under {directory}"), cause: "no agent of this user is running there".to_owned() }
}

fn read_token(file: &str) -> Result<String, Error> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::system(format!("read the token file {file}"), error))?;
    let token = text.trim();
    if token.is_empty() { Err(Error::invalid("token file", file, "it is empty")) } else { Ok(token.to_owned()) }
}

/// An agent's report.
#[pyclass(module = "plasmon", frozen, name = "Report")]
pub(crate) struct Snapshot {
    source: Source,
    report: Report,
}

#[pymethods]
impl Snapshot {
    #[new]
    #[pyo3(signature = (url=None, token_file=None))]
    fn new(py: Python<'_>, url: Option<String>, token_file: Option<String>) -> PyResult<Self> {
        let fetched = py.detach(|| Source::find(url, token_file).and_then(|source| Ok((source.report()?, source))));
        let (report, source) = fetched.or_raise(py)?;
        Ok(Self { source, report })
    }

    /// The references that match alone.
    fn filtered(&self, expression: &str) -> PyResult<Self> {
        let filter = Filter::parse(expression).map_err(|error| PyValueError::new_err(format!("{error}\nhint: {}", error.hint)))?;
        let source = Source { url: self.source.url.clone(), token: self.source.token.clone() };
        Ok(Self { source, report: self.report.clone().filtered(&filter) })
    }

    /// How many references there are.
    fn __len__(&self) -> usize {
        self.report.references().len()
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

    /// The creation sites that keep more and more all through `seconds` and match: a line for each.
    fn growth(&self, py: Python<'_>, seconds: f64, expression: &str) -> PyResult<Vec<String>> {
        let filter = Filter::parse(expression).map_err(|error| PyValueError::new_err(format!("{error}\nhint: {}", error.hint)))?;
        let time = Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let source = &self.source;
        let grown = py.detach(|| {
            plasmon_tui::watch_growth(&source.url, source.token.as_deref(), time, &filter).map_err(|error| source.refused(&error))
        });
        let line = |site: plasmon_tui::Grown| format!("{} holds {} B", site.site(), site.row.held_bytes);
        Ok(grown.or_raise(py)?.into_iter().map(line).collect())
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
