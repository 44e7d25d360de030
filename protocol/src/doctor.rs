//! What a machine allows and what would make it better: what `plasmon doctor` prints and the dashboard's *Node* shows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{NodeRow, Severity};

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// What: `open files`.
    pub subject: String,
    /// `info` when it is as it should be, `warning` when it could be better, `error` when something will not work.
    pub severity: Severity,
    /// What is so, in one line.
    pub fact: String,
    /// What would make it better, in one line; empty when nothing has to be done.
    pub advice: String,
    /// How much of a limit is used, where it is one.
    pub used: Option<u64>,
    /// That limit; in bytes where `bytes` says so.
    pub limit: Option<u64>,
    /// Whether `used` and `limit` are bytes.
    pub bytes: bool,
}

impl Check {
    /// A check that found nothing wrong.
    #[must_use]
    pub fn new(subject: impl Into<String>, fact: impl Into<String>) -> Self {
        Self { subject: subject.into(), fact: fact.into(), ..Self::default() }
    }

    /// The same, with how much of its limit is used.
    #[must_use]
    pub fn of(self, used: u64, limit: u64) -> Self {
        Self { used: Some(used), limit: Some(limit), ..self }
    }

    /// The same, with something that could be better.
    #[must_use]
    pub fn advise(self, severity: Severity, advice: impl Into<String>) -> Self {
        Self { severity, advice: advice.into(), ..self }
    }
}

/// A node, its limits, and what would make it better.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeDetail {
    /// The node.
    pub node: NodeRow,
    /// The store's capacity, bytes; 0 when no agent was asked.
    pub capacity_bytes: u64,
    /// Where it spills to, a directory or a URL each.
    pub spill_places: Vec<Arc<str>>,
    /// What was looked at, the worst first.
    pub checks: Vec<Check>,
}

/// The checks as `plasmon doctor` prints them: a mark, the subject, what is so; below it what would make it
/// better; in the end how many could be.
#[must_use]
pub fn text(checks: &[Check]) -> String {
    let wide = checks.iter().map(|check| check.subject.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        text.push_str(&format!("{:2} {:wide$}  {}\n", mark(check.severity), check.subject, check.fact));
        if !check.advice.is_empty() {
            text.push_str(&format!("   {:wide$}  hint: {}\n", "", check.advice));
        }
    }
    let count = |severity| checks.iter().filter(|check| check.severity == severity).count();
    let (bad, warned) = (count(Severity::Error), count(Severity::Warning));
    text.push_str(&match (bad, warned) {
        (0, 0) => "nothing would make it better\n".to_owned(),
        (0, _) => format!("{warned} could be better\n"),
        (_, 0) => format!("{bad} will not work\n"),
        _ => format!("{bad} will not work, {warned} could be better\n"),
    });
    text
}

/// How a check went, in a sign that needs no colour.
#[must_use]
pub fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "ok",
        Severity::Warning => "!",
        Severity::Error => "x",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_better_stands_below_its_fact() {
        let checks = [
            Check::new("huge pages", "never for shared memory").advise(Severity::Warning, "echo advise"),
            Check::new("cpus", "2").of(2, 2),
        ];
        let expected = "!  huge pages  never for shared memory\n               hint: echo advise\nok cpus        2\n1 could be better\n";
        assert_eq!(text(&checks), expected);
        assert!(text(&[]).starts_with("nothing"));
    }
}
