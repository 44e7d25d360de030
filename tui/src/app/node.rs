//! The view of the node: what was looked at on its machine, each check in lines that can be selected as one.

use plasmon_protocol::column::RowKey;
use plasmon_protocol::doctor::{Check, NodeDetail};
use plasmon_protocol::stream::Detail;

use super::App;
use super::subscribe::Slot;
use super::why::folded;

/// Lines of facts above the checks, their title included.
pub const FACTS: u16 = 5;
/// Cells before the words of a check.
pub const INDENT: u16 = 22;

/// One line on the screen, of the check with this number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Row {
    /// What was looked at, and what is so.
    Fact(usize),
    /// A part of what would make it better.
    Advice(usize, String),
}

/// The lines on a screen so wide.
#[must_use]
pub fn rows(checks: &[Check], width: u16) -> Vec<Row> {
    let room = usize::from(width.saturating_sub(INDENT + 2)).max(20);
    let mut rows = Vec::new();
    for (number, check) in checks.iter().enumerate() {
        rows.push(Row::Fact(number));
        if !check.advice.is_empty() {
            rows.extend(folded(&check.advice, room).into_iter().map(|line| Row::Advice(number, line)));
        }
    }
    rows
}

/// The checks that can be selected.
#[must_use]
pub fn keys(checks: &[Check]) -> Vec<RowKey> {
    // Several disks are several checks of one name.
    checks.iter().enumerate().map(|(number, check)| format!("{number}-{}", check.subject)).collect()
}

impl App {
    /// The node that this place shows, once it has come.
    #[must_use]
    pub fn node(&self) -> Option<&NodeDetail> {
        match self.detail(Slot::Main)? {
            Detail::Node(node) => Some(node),
            _ => None,
        }
    }

    /// The selected check.
    pub(super) fn selected_check(&self) -> Option<&Check> {
        self.node()?.checks.get(usize::try_from(self.place().list.cursor).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use plasmon_protocol::record::Severity;

    use super::*;

    #[test]
    fn advice_is_folded_below_its_check() {
        let checks = [
            Check::new("huge pages", "never").advise(Severity::Warning, "as root: echo advise somewhere, and then again"),
            Check::new("swap", "none"),
        ];
        let rows = rows(&checks, 50);
        assert_eq!(rows[0], Row::Fact(0));
        assert!(matches!(&rows[1], Row::Advice(0, text) if text.starts_with("as root")));
        assert!(matches!(&rows[2], Row::Advice(0, _)));
        assert_eq!(rows.last(), Some(&Row::Fact(1)));
        assert_eq!(keys(&checks), ["0-huge pages", "1-swap"]);
    }
}
