//! A mark in time: what every table had then, so that it shows what grew since.
//!
//! Each table is read once when the mark is set, one window after the other, and what it had is kept here. Rows that do not grow
//! (references, tasks, events) are new or not; the others are compared by their weight.

use std::collections::{BTreeMap, HashMap};

use plasmon_protocol::column::{RowKey, Table};
use plasmon_protocol::record::StoreRow;
use plasmon_protocol::stream::{MAX_WINDOW, Sort, Totals, View, Window};

use super::subscribe::Slot;
use super::{App, Mood};
use crate::model;
use crate::model::window::{Tabled, weights};

/// A table, and the column that its rows are folded by.
pub type Sheet = (Table, Option<&'static str>);

/// What is read of each table when a mark is set, and the fields that it takes.
pub const SHEETS: &[(Sheet, &[&str])] = &[
    ((Table::Sites, None), &["held_bytes"]),
    ((Table::Processes, None), &["heap_bytes"]),
    ((Table::Actors, None), &["held_bytes"]),
    ((Table::SpillFiles, None), &["live_bytes"]),
    ((Table::References, None), &["size_bytes"]),
    ((Table::References, Some("type")), &[]),
    ((Table::References, Some("created")), &[]),
    ((Table::References, Some("pid")), &[]),
    ((Table::References, Some("node")), &[]),
    ((Table::Tasks, None), &["age"]),
    ((Table::Tasks, Some("name")), &[]),
    ((Table::Tasks, Some("status")), &[]),
    ((Table::Tasks, Some("pid")), &[]),
    ((Table::Actors, Some("class")), &[]),
    ((Table::Actors, Some("status")), &[]),
    ((Table::Actors, Some("job")), &[]),
];

/// Tables that are read at a time: more windows together than a viewer may have would be cut.
const AT_A_TIME: usize = 4;
/// Rows of a table that are read at most.
const MOST: usize = 10_000;

/// What a table had.
#[derive(Clone, PartialEq, Debug, Default)]
struct Base {
    weights: HashMap<RowKey, u64>,
    /// How many rows the first window told of, and whether a later one told of more or less: rows then came or went while they were read,
    /// and others moved to places that had been read already.
    count: Option<u64>,
    moved: bool,
    /// Whether those are all rows that there were.
    whole: bool,
    totals: Totals,
}

/// A mark.
#[derive(Clone, PartialEq, Debug)]
pub struct Mark {
    /// When it was set, on the agent's clock.
    pub at_ms: u64,
    /// The store then.
    pub store: Option<StoreRow>,
    bases: BTreeMap<Sheet, Base>,
    /// Sheets that have yet to come, or to come whole, with what of them is here and the place of the first row that is not.
    pending: BTreeMap<u8, (u64, Base)>,
}

impl Mark {
    /// Whether every table that can be has been read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.pending.is_empty()
    }
}

/// What became of a row since the mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    /// It was not there; its bytes, where it has any.
    New(Option<u64>),
    /// It weighs so many bytes more, or less.
    Bytes(i64),
    /// It has so many rows more, or less.
    Rows(i64),
    /// It was there.
    Old,
    /// Nobody knows: too many rows were there, or its table has not come yet.
    Unknown,
}

impl Since {
    /// How much there is more, for an order; what is not known is nothing.
    #[must_use]
    pub fn growth(self) -> i64 {
        match self {
            Self::New(bytes) => bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(0),
            Self::Bytes(more) | Self::Rows(more) => more,
            Self::Old | Self::Unknown => 0,
        }
    }
}

/// What tells rows of a table apart and stays as it is, so that no row changes its place while the table is read.
fn lasting(table: Table, group: Option<&str>) -> Option<&'static str> {
    match (group, table) {
        (Some(_), _) => Some("key"),
        (None, Table::Sites) => Some("id"),
        (None, Table::Processes) => Some("pid"),
        (None, Table::Actors) => Some("actor"),
        (None, Table::SpillFiles) => Some("file"),
        (None, _) => None,
    }
}

/// What reads a sheet from a row on.
fn view(number: u8, start: u64) -> Option<View> {
    let ((table, group), fields) = SHEETS.get(usize::from(number))?;
    let sort = lasting(*table, *group).map(|column| Sort { column: column.to_owned(), ascending: true });
    // Of rows that are new or not, the totals are enough.
    let len = if sort.is_some() { MAX_WINDOW } else { 1 };
    let columns = if *table == Table::Tasks { Vec::new() } else { fields.iter().map(|field| (*field).to_owned()).collect() };
    Some(View { columns, group: group.map(str::to_owned), sort, window: Window { start, len }, ..View::of(*table) })
}

fn difference(now: u64, then: u64) -> i64 {
    i64::try_from(i128::from(now) - i128::from(then)).unwrap_or(if now > then { i64::MAX } else { i64::MIN })
}

impl App {
    /// The mark, if one is set.
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        self.mark.as_deref()
    }

    /// Marks now: every table shows what grew since.
    pub(super) fn set_mark(&mut self) {
        if self.frozen.is_some() {
            return self.flash(Mood::Refused, "the picture stands still: let it go on to mark now");
        }
        let pending = (0..SHEETS.len()).filter_map(|number| Some((u8::try_from(number).ok()?, (0, Base::default())))).collect();
        let at_ms = self.agent_now_ms();
        self.mark = Some(Box::new(Mark { at_ms, store: self.live.store.clone(), bases: BTreeMap::new(), pending }));
        self.flash(Mood::Done, "marked: every table shows what grew since · d marks anew, D drops the mark");
    }

    /// Shows what there is again, not what grew.
    pub(super) fn drop_mark(&mut self) {
        match self.mark.take() {
            Some(_) => self.flash(Mood::Done, "the mark is gone"),
            None => self.flash(Mood::Refused, "no mark is set: d sets one"),
        }
    }

    /// What reads the sheets that have yet to come, by their numbers; those of the table that is looked at first.
    pub(super) fn pending_sheets(&self) -> impl Iterator<Item = (u8, View)> + '_ {
        let tables = self.place().route.tables();
        let mut pending: Vec<(u8, u64)> =
            self.mark.iter().flat_map(|mark| mark.pending.iter().map(|(number, (at, _))| (*number, *at))).collect();
        // What is on its way goes on: another would only begin anew.
        let is_later = |number: u8| SHEETS.get(usize::from(number)).is_none_or(|((table, _), _)| !tables.contains(table));
        pending.sort_by_key(|(number, _)| (self.subscriptions.id(Slot::Sheet(*number)).is_none(), is_later(*number)));
        pending.into_iter().take(AT_A_TIME).filter_map(|(number, at)| Some((number, view(number, at)?)))
    }

    /// Keeps what of a table has come; the rest of it is asked for next.
    pub(super) fn keep_sheet(&mut self, number: u8, window: &model::Window) {
        let (Some(mark), Some((sheet, _))) = (&mut self.mark, SHEETS.get(usize::from(number))) else { return };
        let Some((next, base)) = mark.pending.get_mut(&number) else { return };
        base.weights.extend(window.keys.iter().cloned().zip(weights(&window.rows, sheet.0)));
        base.totals = window.totals;
        base.moved |= *base.count.get_or_insert(window.count()) != window.count();
        // What the last window leaves out is not here at all; of several agents it is not counted either.
        base.whole = !base.moved && window.totals.cut == 0 && base.weights.len() as u64 >= window.count();
        let end = window.start + window.keys.len() as u64;
        let is_listed = lasting(sheet.0, sheet.1).is_some();
        if is_listed && *next < end && end < window.count() && base.weights.len() < MOST {
            *next = end;
        } else if let Some((_, base)) = mark.pending.remove(&number) {
            mark.bases.insert(*sheet, base);
        }
    }

    /// A table that the agent does not serve.
    pub(super) fn drop_sheet(&mut self, number: u8) {
        if let Some(mark) = &mut self.mark {
            mark.pending.remove(&number);
        }
    }

    /// What became of a row of a table since the mark; `None` without a mark.
    #[must_use]
    pub fn since<R: Tabled>(&self, slot: Slot, table: Table, row: &R) -> Option<Since> {
        let mark = self.mark.as_deref()?;
        if let Some(born_ms) = row.born_ms() {
            return Some(if born_ms >= mark.at_ms { Since::New(row.weight(table)) } else { Since::Old });
        }
        let list = self.list(slot);
        let group = if R::GROUPED { list.group } else { None };
        // Groups of filtered rows are others than those that were read.
        if R::GROUPED && !list.filter.is_empty() {
            return Some(Since::Unknown);
        }
        let Some(base) = mark.bases.get(&(table, group)) else { return Some(Since::Unknown) };
        let Some(then) = base.weights.get(&row.row_key()).copied().or(base.whole.then_some(0)) else { return Some(Since::Unknown) };
        let more = difference(row.weight(table).unwrap_or(0), then);
        // As they are weighed.
        Some(if R::GROUPED && table == Table::Tasks { Since::Rows(more) } else { Since::Bytes(more) })
    }

    /// How many rows and bytes a whole table has more than when it was marked; `None` where nobody knows.
    #[must_use]
    pub fn since_totals(&self, slot: Slot) -> Option<(i64, i64)> {
        let (mark, table) = (self.mark.as_deref()?, self.table(slot)?);
        let base = mark.bases.get(&(table, None)).filter(|_| self.list(slot).filter.is_empty())?;
        let totals = &self.window(slot)?.totals;
        let bytes = |totals: &Totals| if table == Table::References { totals.unique.unique_bytes } else { totals.bytes };
        Some((difference(totals.matched, base.totals.matched), difference(bytes(totals), bytes(&base.totals))))
    }
}
