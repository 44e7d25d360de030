//! `plasmon memory --fail-on`: conditions that make the exit code 1, for scripts and continuous integration.

use std::io::Write;
use std::str::FromStr;
use std::time::Duration;

use plasmon_protocol::filter::{Filter, FilterError};
use plasmon_protocol::record::{ReferenceRow, SiteRow};
use plasmon_protocol::report::{Report, harmless};
use plasmon_protocol::size::Bytes;

use super::{Failure, Found};

/// How many that match are named.
const NAMED: usize = 10;
/// The word that asks for sites that grow.
const GROWTH: &str = "growth";

/// What must not be.
#[derive(Clone, Debug)]
pub(crate) enum FailOn {
    /// A reference that matches.
    Reference(Filter<ReferenceRow>),
    /// A site that grows, and matches.
    Growth(Filter<SiteRow>),
}

impl FromStr for FailOn {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let rest = text.trim_start().strip_prefix(GROWTH);
        match rest.filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            // Blanks in place of the word: a fault is shown where it is.
            Some(rest) => Filter::parse(&format!("{}{rest}", " ".repeat(text.len() - rest.len()))).map(Self::Growth),
            None => Filter::parse(text).map(Self::Reference),
        }
    }
}

/// The filter that the agent is asked by: through it comes all that is shown, and all that must not be. Empty where that is everything,
/// or too much for one filter.
pub(crate) fn asked(shown: &Filter<ReferenceRow>, conditions: &[FailOn]) -> String {
    let references = conditions.iter().filter_map(|condition| match condition {
        FailOn::Reference(filter) => Some(filter),
        FailOn::Growth(_) => None,
    });
    let all: Vec<&Filter<ReferenceRow>> = std::iter::once(shown).chain(references).collect();
    if all.iter().any(|filter| filter.is_empty()) {
        return String::new();
    }
    let text = all.iter().map(|filter| format!("({})", filter.text())).collect::<Vec<_>>().join(" | ");
    Filter::<ReferenceRow>::parse(&text).map_or_else(|_| String::new(), |_| text)
}

/// Whether one of the conditions holds; each that does is told on stderr.
pub(crate) fn holds(conditions: &[FailOn], report: &Report, found: &Found, time: Duration) -> Result<bool, Failure> {
    let mut any = false;
    for condition in conditions {
        let told = match condition {
            FailOn::Reference(filter) => references(filter, report),
            FailOn::Growth(filter) => growth(filter, found, time)?,
        };
        any |= told.is_some();
        // Nobody to tell: the exit code says it.
        let _ = std::io::stderr().write_all(told.unwrap_or_default().as_bytes());
    }
    Ok(any)
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn more(lines: &mut String, all: usize) {
    if all > NAMED {
        lines.push_str(&format!("  … {} more\n", all - NAMED));
    }
}

fn references(filter: &Filter<ReferenceRow>, report: &Report) -> Option<String> {
    let matched = report.clone().filtered(filter);
    let rows = matched.references();
    if rows.is_empty() {
        return None;
    }
    let totals = matched.totals();
    let mut lines = format!(
        "fail-on: {} to {}, {} ({} B), match '{}'\n",
        count(totals.references, "reference"),
        count(totals.unique_objects, "unique object"),
        Bytes(totals.unique_bytes),
        totals.unique_bytes,
        harmless(filter.text()),
    );
    for row in rows.iter().take(NAMED) {
        let size = row.size_bytes.map_or_else(|| "size unknown".to_owned(), |bytes| Bytes(bytes).to_string());
        let site = row.call_site.to_string();
        lines.push_str(&format!("  {} {} {size} held by {} at {}\n", row.object_id.hex(), row.reference_type, row.pid, harmless(&site)));
    }
    more(&mut lines, rows.len());
    Some(lines)
}

fn growth(filter: &Filter<SiteRow>, found: &Found, time: Duration) -> Result<Option<String>, Failure> {
    let grown = crate::watch_growth(&found.url, found.token.as_deref(), time, filter)?;
    if grown.is_empty() {
        return Ok(None);
    }
    let bytes = grown.iter().fold(0_u64, |sum, site| sum.saturating_add(site.gained_bytes()));
    let sites = count(grown.len() as u64, "site");
    let mut lines = format!("fail-on: {sites} grew all through {time:?}, by {} ({bytes} B)\n", Bytes(bytes));
    for site in grown.iter().take(NAMED) {
        let [first, .., last] = site.floors;
        let (held, objects) = (site.row.held_bytes, count(site.row.objects, "object"));
        lines.push_str(&format!(
            "  {} held at least {}, in the end at least {}: now {} in {objects}\n",
            harmless(&site.site().to_string()),
            Bytes(first),
            Bytes(last),
            Bytes(held),
        ));
    }
    more(&mut lines, grown.len());
    Ok(Some(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_and_faults_are_shown_where_they_are() {
        let growth = |text: &str| match text.parse() {
            Ok(FailOn::Growth(filter)) => Some(filter.is_empty()),
            Ok(FailOn::Reference(_)) => None,
            Err(error) => panic!("{text}: {error}"),
        };
        assert_eq!(growth("growth"), Some(true));
        assert_eq!(growth(" growth site:cache.rs held>1m "), Some(false));
        assert_eq!((growth("site:cache.rs size>100m"), growth("growths"), growth("\"growth\"")), (None, None, None));
        assert_eq!("growth sise>1".parse::<FailOn>().unwrap_err().offset, 7);
        assert_eq!("sise>1".parse::<FailOn>().unwrap_err().offset, 0);
    }
}
