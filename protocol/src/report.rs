//! Rows to the report, as text and as JSON. Pure: the same rows, time and options give the same report.

use std::cmp::{Ordering, Reverse};

pub use clock::utc;
pub use harmless::{harmless, is_harmful, is_plain};
pub use options::{GroupBy, ReportOptions, SortBy, Units};

use crate::filter::Filter;
use crate::record::{ReferenceRow, ReferenceTotals, StoreRow};
use crate::stream::PostMortem;
use sums::Sums;

mod clock;
mod harmless;
mod json;
mod options;
mod page;
mod post_mortem;
mod storage;
mod sums;
mod table;
mod text;

/// Every reference of a node and its store at one instant, and what processes held that died shortly before.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    store: StoreRow,
    /// Largest object first, then by pid and object.
    references: Vec<ReferenceRow>,
    /// The latest death first.
    post_mortem: Vec<PostMortem>,
    now_ms: u64,
    /// What the references are of, when they are not all.
    filter: Option<Filtered>,
    /// Whether the references are not all that there are.
    partial: bool,
}

/// Which references a report was cut down to.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Filtered {
    text: String,
    /// Both totals before.
    of: ReferenceTotals,
}

impl Report {
    /// A report of `references`, in any order, taken at `now_ms` milliseconds since the Unix epoch by the agent's clock.
    #[must_use]
    pub fn new(store: StoreRow, mut references: Vec<ReferenceRow>, now_ms: u64) -> Self {
        references.sort_by(|a, b| compare(SortBy::ObjectSize, false, a, b));
        Self { store, references, post_mortem: Vec::new(), now_ms, filter: None, partial: false }
    }

    /// With the processes that died as they should not have, in any order. They count in no total.
    #[must_use]
    pub fn with_post_mortem(mut self, mut post_mortem: Vec<PostMortem>) -> Self {
        post_mortem.sort_by_key(|dead| (Reverse(dead.process.died_ms), dead.process.process));
        self.post_mortem = post_mortem;
        self
    }

    /// The references are those only that will be asked for; the store knows the totals of all.
    #[must_use]
    pub fn partial(self) -> Self {
        Self { partial: true, ..self }
    }

    /// With the references that match only; the report says so beside its totals. The store and the dead stay as they are. An empty filter
    /// changes nothing.
    #[must_use]
    pub fn filtered(mut self, filter: &Filter<ReferenceRow>) -> Self {
        if !filter.is_empty() {
            let of = if self.partial { self.store.totals } else { self.totals() };
            self.filter = Some(Filtered { text: filter.text().to_owned(), of });
            self.references.retain(|row| filter.matches(row, self.now_ms));
        }
        self
    }

    /// Processes that died as they should not have, the latest death first.
    #[must_use]
    pub fn post_mortem(&self) -> &[PostMortem] {
        &self.post_mortem
    }

    /// The store at that instant.
    #[must_use]
    pub fn store(&self) -> &StoreRow {
        &self.store
    }

    /// When it was taken, milliseconds since the Unix epoch by the agent's clock.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        self.now_ms
    }

    /// The rows, largest object first, then by pid and object.
    #[must_use]
    pub fn references(&self) -> &[ReferenceRow] {
        &self.references
    }

    /// Both totals, counted from the rows.
    #[must_use]
    pub fn totals(&self) -> ReferenceTotals {
        Sums::of(&self.references).totals()
    }

    /// The report as text, every line ended. With a width of 80 or more, a line is longer only where a size or a pid is of
    /// unheard-of length; nothing in it comes from a program unescaped (see [`harmless`]).
    #[must_use]
    pub fn text(&self, options: &ReportOptions) -> String {
        text::text(self, options)
    }

    /// The report as JSON, the same as its `Serialize`; writing it out directly saves this copy.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        json::value(self)
    }
}

/// The order of rows. Unknown sizes come last either way; ties are by pid and object, smallest first, either way.
fn compare(by: SortBy, reverse: bool, a: &ReferenceRow, b: &ReferenceRow) -> Ordering {
    let unknown = |row: &ReferenceRow| by == SortBy::ObjectSize && row.size_bytes.is_none();
    let first = match by {
        SortBy::ObjectSize => Reverse(a.size_bytes).cmp(&Reverse(b.size_bytes)),
        SortBy::Pid => Reverse(a.pid).cmp(&Reverse(b.pid)),
        SortBy::ReferenceType => a.reference_type.cmp(&b.reference_type),
        SortBy::Age => a.since_ms.cmp(&b.since_ms),
    };
    let first = if reverse { first.reverse() } else { first };
    unknown(a).cmp(&unknown(b)).then(first).then_with(|| (a.pid, a.object_id).cmp(&(b.pid, b.object_id)))
}

#[cfg(test)]
mod tests;
