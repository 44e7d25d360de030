//! Groups of rows and what they add up to.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use foldhash::fast::FixedState;

use super::{GroupBy, ReportOptions, SortBy, compare};
use crate::id::ObjectId;
use crate::record::{ReferenceRow, ReferenceTotals, ReferenceType, Site, SiteKind};

/// Rows and bytes; an object that several rows hold counts in each of them, except in `unique`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Sums {
    pub(super) references: u64,
    pub(super) bytes: u64,
    /// Rows and bytes of each type, in the order of [`ReferenceType::ALL`].
    by_type: [(u64, u64); ReferenceType::ALL.len()],
    /// The distinct objects with their bytes.
    unique: HashMap<ObjectId, u64, FixedState>,
}

impl Sums {
    pub(super) fn of<'a>(rows: impl IntoIterator<Item = &'a ReferenceRow>) -> Self {
        let mut sums = Self::default();
        for row in rows {
            sums.add(row);
        }
        sums
    }

    fn add(&mut self, row: &ReferenceRow) {
        let bytes = row.size_bytes.unwrap_or(0);
        self.references += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        let (count, total) = &mut self.by_type[row.reference_type as usize];
        *count += 1;
        *total = total.saturating_add(bytes);
        let known = self.unique.entry(row.object_id).or_default();
        *known = bytes.max(*known);
    }

    pub(super) fn of_type(&self, kind: ReferenceType) -> (u64, u64) {
        self.by_type[kind as usize]
    }

    pub(super) fn totals(&self) -> ReferenceTotals {
        ReferenceTotals {
            references: self.references,
            unique_objects: self.unique.len() as u64,
            unique_bytes: self.unique.values().fold(0, |sum, bytes| sum.saturating_add(*bytes)),
        }
    }
}

/// A call site with all that it was called from. Places are compared, not numbers, so that sites of several agents meet.
#[derive(Clone, Copy, Debug)]
struct Stack<'a>(&'a Site);

impl<'a> Stack<'a> {
    fn places(self) -> impl Iterator<Item = (SiteKind, &'a str, &'a str, u32)> {
        self.0.frames().map(|frame| (frame.kind, &*frame.function, &*frame.file, frame.line))
    }
}

impl Ord for Stack<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.places().cmp(other.places())
    }
}

impl PartialOrd for Stack<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Stack<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0) || self.cmp(other).is_eq()
    }
}

impl Eq for Stack<'_> {}

impl Hash for Stack<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.places().for_each(|place| place.hash(state));
    }
}

/// What the rows of one group have in common.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Key<'a> {
    Node(&'a str),
    Stack(Stack<'a>),
    Pid(u32),
    Type(ReferenceType),
}

impl<'a> Key<'a> {
    fn of(by: GroupBy, row: &'a ReferenceRow) -> Self {
        match by {
            GroupBy::NodeAddress => Self::Node(&row.node_ip),
            GroupBy::StackTrace => Self::Stack(Stack(&row.call_site)),
            GroupBy::Pid => Self::Pid(row.pid),
            GroupBy::ReferenceType => Self::Type(row.reference_type),
        }
    }
}

/// One group, its rows in order; there is at least one.
pub(super) struct Group<'a> {
    key: Key<'a>,
    pub(super) sums: Sums,
    pub(super) rows: Vec<&'a ReferenceRow>,
}

impl<'a> Group<'a> {
    /// The rows that are shown.
    pub(super) fn shown(&self, options: &ReportOptions) -> &[&'a ReferenceRow] {
        &self.rows[..self.rows.len().min(options.limit.unwrap_or(usize::MAX))]
    }
}

/// The groups in order: by bytes when rows are ordered by size, and otherwise as their first rows are.
pub(super) fn groups<'a>(references: &'a [ReferenceRow], options: &ReportOptions) -> Vec<Group<'a>> {
    let mut sorted: Vec<&ReferenceRow> = references.iter().collect();
    sorted.sort_by(|a, b| compare(options.sort_by, options.reverse, a, b));
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut places = HashMap::new();
    for row in sorted {
        let key = Key::of(options.group_by, row);
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Group { key, sums: Sums::default(), rows: Vec::new() });
            groups.len() - 1
        });
        groups[place].sums.add(row);
        groups[place].rows.push(row);
    }
    if options.sort_by == SortBy::ObjectSize {
        groups.sort_by(|a, b| {
            let bytes = b.sums.bytes.cmp(&a.sums.bytes);
            if options.reverse { bytes.reverse() } else { bytes }.then_with(|| a.key.cmp(&b.key))
        });
    }
    groups
}
