//! What the agent shows, asked for once: for `plasmon.memory_summary` and `plasmon.state`.

use plasmon_agent::session::find_live;
use plasmon_protocol::error::Error;
use plasmon_protocol::report::{GroupBy, Report, ReportOptions, SortBy, Units};
use pyo3::prelude::*;

use crate::connection::current;
use crate::error::OrRaise;

/// The report of this process's agent as text; see `plasmon.memory_summary`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called by the package alone")]
pub(crate) fn report_text(
    py: Python<'_>,
    group_by: &str,
    sort_by: &str,
    reverse: bool,
    units: &str,
    limit: Option<usize>,
    stats_only: bool,
    no_format: bool,
) -> PyResult<String> {
    let options = ReportOptions {
        group_by: group_by.parse::<GroupBy>().or_raise(py)?,
        sort_by: sort_by.parse::<SortBy>().or_raise(py)?,
        reverse,
        units: units.parse::<Units>().or_raise(py)?,
        limit,
        stats_only,
        no_format,
        width: usize::MAX,
    };
    current(py)?;
    Ok(py.detach(fetch).or_raise(py)?.text(&options))
}

/// The report of this process's agent as JSON.
#[pyfunction]
pub(crate) fn report_json(py: Python<'_>) -> PyResult<String> {
    current(py)?;
    let report = py.detach(fetch).or_raise(py)?;
    let encoded = serde_json::to_string(&report);
    encoded.map_err(|error| Error::Protocol { who: "this process".to_owned(), cause: error.to_string() }).or_raise(py)
}

fn fetch() -> Result<Report, Error> {
    let session = plasmon::info()?.session;
    let sessions = session.parent().and_then(std::path::Path::parent).unwrap_or(&session);
    let found = find_live(sessions)?.into_iter().find(|found| found.path == session);
    let lost = |cause: String| Error::Connect { action: format!("ask the agent of {} for its report", session.display()), cause };
    let address = found.ok_or_else(|| lost("it is gone".to_owned()))?.address;
    let token = std::fs::read_to_string(&address.token_file)
        .map_err(|error| Error::system(format!("read the token file {}", address.token_file.display()), error))?;
    let url = format!("ws://{}", address.listen);
    plasmon_tui::fetch_report(&url, Some(token.trim())).map_err(|error| lost(error.to_string()))
}
