//! What a viewer is subscribed to, and what it may lack of it.

use tokio::time::Instant;

use plasmon_protocol::column::Table;
use plasmon_protocol::explain::Subject as Explained;
use plasmon_protocol::filter::MAX_TERMS;
use plasmon_protocol::stream::{Target, View};
use plasmon_protocol::window::TABLES;

use crate::telemetry::desk::Versions;
use crate::telemetry::subscription::{ViewState, WatchState};

/// A view or a watch without what follows, bytes.
const SUBSCRIPTION: usize = 512;
/// A word of a filter as it is kept, without its text.
const WORD: usize = 192;
/// A field that is asked for, without its name.
const FIELD: usize = 96;

/// A filter as it was read, bytes.
pub(super) fn filter_cost(filter: &str) -> usize {
    // A word has a letter, and a space behind it.
    filter.len().div_ceil(2).min(MAX_TERMS) * WORD + 4 * filter.len()
}

/// A view as it was read.
fn cost_of(view: &View) -> usize {
    let names = view.group.iter().map(String::len).chain(view.sort.iter().map(|sort| sort.column.len()));
    let fields: usize = view.columns.iter().map(|field| FIELD + 2 * field.len()).sum();
    filter_cost(&view.filter) + fields + 2 * names.sum::<usize>()
}

/// What one of a viewer's numbers stands for.
pub(super) enum Subject {
    /// A window over a table.
    View(ViewState),
    /// One thing in detail.
    Watch(Target, WatchState),
}

/// One of a viewer's numbers.
pub(super) struct Subscription {
    pub(super) subject: Subject,
    /// When it was asked for: nothing older is shown.
    pub(super) born: Instant,
    /// The versions last seen; none at first.
    pub(super) seen: Option<Versions>,
    /// Whether the viewer may lack something.
    pub(super) stale: bool,
    /// Not looked at again before this.
    pub(super) not_before: Instant,
    /// When it was last made into a frame or found to be the same.
    pub(super) looked: Instant,
    /// The last frame that it was sent in; the longest-waiting comes first.
    pub(super) last_sent: u64,
}

impl Subscription {
    pub(super) fn new(subject: Subject, now: Instant) -> Self {
        Self { subject, born: now, seen: None, stale: true, not_before: now, looked: now, last_sent: 0 }
    }

    /// What it takes of the agent's memory, bytes, counted rather too high; what is remembered of rows not included.
    pub(super) fn cost(&self) -> usize {
        SUBSCRIPTION
            + match &self.subject {
                Subject::View(view) => cost_of(view.query().view()),
                Subject::Watch(Target::Explain(Explained::Named(name)), _) => 4 * name.len(),
                Subject::Watch(..) => 0,
            }
    }

    /// How many rows the viewer has of it.
    pub(super) fn rows(&self) -> usize {
        if let Subject::View(view) = &self.subject { view.rows() } else { 0 }
    }

    /// Whether rows of it were left out for want of room in what the viewer may have.
    pub(super) fn lacks_rows(&self) -> bool {
        if let Subject::View(view) = &self.subject { view.lacks_rows() } else { false }
    }

    /// Whether time alone can change what it shows.
    pub(super) fn depends_on_time(&self) -> bool {
        match &self.subject {
            Subject::View(view) => view.query().depends_on_time(),
            Subject::Watch(..) => false,
        }
    }

    /// Whether what it shows may have changed since it was last seen, which it is now; the first time nothing has.
    pub(super) fn sees_change(&mut self, now: &Versions) -> bool {
        let Some(seen) = self.seen.replace(*now) else { return false };
        match &self.subject {
            Subject::View(view) => {
                let table = view.query().view().table as usize;
                seen[table] != now[table]
            }
            // Details draw on every table but that of events.
            Subject::Watch(..) => TABLES.iter().any(|table| *table != Table::Events && seen[*table as usize] != now[*table as usize]),
        }
    }
}
