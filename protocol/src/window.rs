//! What a view shows: the rows of a table that match, in order, of those a window; and exact totals over all that match. The agent
//! serves viewers by it, and a replay of a recording its dashboard.
//!
//! - [`group`]: rows folded by a column.
//! - [`row`]: what windows must know of each kind of row beyond its columns.
//! - [`text`]: windows as the JSON that frames carry.
//! - [`sent`]: what somebody has of a window, and what is new to him.
//! - [`live`]: windows over long tables, by what changes in them.

mod group;
pub mod live;
mod row;
mod sent;
mod text;

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::column::{Cell, Column, Table};
use crate::error::Error;
use crate::filter::{Filter, is_volatile};
use crate::id::ObjectId;
use crate::record::{
    ActorRow, EventRow, ObjectRow, PostMortemRow, ProcessRow, ReferenceRow, ReferenceTotals, SiteRow, SpillFileRow, StoreRow, TaskRow,
};
use crate::stream::{GroupRow, MAX_WINDOW, Rows, Sort, Totals, View};
use hashbrown::HashSet;

pub use group::compare_keys;
pub use row::{Shown, TABLES, count, join, name};
pub use sent::{Print, Prints, Rendered, SENT_ROW, Sent};
pub use text::{ENVELOPE, MAX_TEXT, Payload, RowText, clip, fitting, write_row, write_rows};

use group::{Grouping, grouped};

/// What a view shows at one instant.
#[derive(Clone, PartialEq, Debug)]
pub struct Window {
    /// Exact totals over the table and over all that matches.
    pub totals: Totals,
    /// The first row's place in the order.
    pub start: u64,
    /// The rows in order; groups when the view is grouped.
    pub rows: Rows,
}

/// A view that has been found valid, with its filter read and its columns found.
pub struct Query {
    view: View,
    plan: Box<dyn Evaluate>,
}

impl Query {
    /// Reads a view.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the filter is malformed, a column is unknown or the window is longer than [`MAX_WINDOW`].
    pub fn prepare(view: View) -> Result<Self, Error> {
        if view.window.len > MAX_WINDOW {
            let cause = format!("a window has at most {MAX_WINDOW} rows");
            return Err(Error::invalid("window length", view.window.len.to_string(), cause));
        }
        Self::of(view)
    }

    /// All of a table, in its own order.
    ///
    /// # Errors
    /// None that could come about.
    pub fn whole(table: Table) -> Result<Self, Error> {
        Self::of(crate::recording::whole(table))
    }

    fn of(view: View) -> Result<Self, Error> {
        let plan: Box<dyn Evaluate> = match view.table {
            Table::References => Box::new(Plan::<ReferenceRow>::of(&view)?),
            Table::Objects => Box::new(Plan::<ObjectRow>::of(&view)?),
            Table::Sites => Box::new(Plan::<SiteRow>::of(&view)?),
            Table::Processes => Box::new(Plan::<ProcessRow>::of(&view)?),
            Table::Tasks => Box::new(Plan::<TaskRow>::of(&view)?),
            Table::Actors => Box::new(Plan::<ActorRow>::of(&view)?),
            Table::PostMortem => Box::new(Plan::<PostMortemRow>::of(&view)?),
            Table::Events => Box::new(Plan::<EventRow>::of(&view)?),
            Table::SpillFiles => Box::new(Plan::<SpillFileRow>::of(&view)?),
            Table::Store => Box::new(Plan::<StoreRow>::of(&view)?),
        };
        Ok(Self { view, plan })
    }

    /// The view as it was asked for.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Fields of a row to send, the key's included; empty means all.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        self.plan.fields()
    }

    /// Whether what it shows can change while the table does not.
    #[must_use]
    pub fn depends_on_time(&self) -> bool {
        self.plan.depends_on_time()
    }

    /// Whether what it shows, and in which order, hangs on columns that change while nothing about their rows does ([`Record::VOLATILE`]):
    /// no order that is kept up by changes is any good for it.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        self.plan.is_volatile()
    }

    /// What it shows of `rows`, which are all rows of its table. `now_ms` is the clock that ages are taken by.
    #[must_use]
    pub fn window(&self, rows: &Rows, now_ms: u64) -> Window {
        self.plan.window(rows, now_ms, &self.view)
    }

    /// Of which part each row is when the parts, every one in this order already, are put together: rows that the order takes for equal stay
    /// in the order of the parts, and those of one part in its own. Nothing when the rows are groups, or of other tables.
    #[must_use]
    pub fn interleave(&self, parts: &[&Rows]) -> Vec<usize> {
        self.plan.interleave(parts)
    }

    /// The view's window of groups, which are all that there are and stand in no order, and the first one's place. Nothing of a view that
    /// is not of groups.
    pub fn window_of_groups(&self, groups: &mut [Cow<'_, GroupRow>]) -> (u64, Vec<GroupRow>) {
        self.plan.window_of_groups(groups, &self.view)
    }
}

/// [`Plan`] without its row type.
trait Evaluate: Send + Sync {
    fn fields(&self) -> &[String];
    fn depends_on_time(&self) -> bool;
    fn is_volatile(&self) -> bool;
    fn window(&self, rows: &Rows, now_ms: u64, view: &View) -> Window;
    fn interleave(&self, parts: &[&Rows]) -> Vec<usize>;
    fn window_of_groups(&self, groups: &mut [Cow<'_, GroupRow>], view: &View) -> (u64, Vec<GroupRow>);
}

struct Plan<R: Shown> {
    filter: Filter<R>,
    fields: Vec<String>,
    order: Order<R>,
}

enum Order<R: Shown> {
    Rows { column: &'static Column<R>, ascending: bool },
    Groups { column: &'static Column<R>, grouping: Grouping },
}

impl<R: Shown> Plan<R> {
    fn of(view: &View) -> Result<Self, Error> {
        let filter = Filter::<R>::parse(&view.filter).map_err(Error::from)?;
        let order = match &view.group {
            Some(name) => {
                let column = column::<R>(name)?;
                Order::Groups { column, grouping: Grouping::of(view.sort.as_ref(), column.name)? }
            }
            None => {
                let Sort { column: name, ascending } =
                    view.sort.clone().unwrap_or_else(|| Sort { column: R::DEFAULT_SORT.to_owned(), ascending: false });
                Order::Rows { column: column::<R>(&name)?, ascending }
            }
        };
        Ok(Self { filter, fields: fields::<R>(&view.columns)?, order })
    }
}

fn column<R: Shown>(name: &str) -> Result<&'static Column<R>, Error> {
    R::column(name).ok_or_else(|| {
        let known: Vec<_> = R::columns().iter().map(|column| column.name).collect();
        Error::invalid("column", name, format!("the table has {}", known.join(", ")))
    })
}

/// The fields to send: those asked for that exist, and those of the key.
fn fields<R: Shown>(asked: &[String]) -> Result<Vec<String>, Error> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let row = serde_json::to_value(R::default())
        .map_err(|cause| Error::Encode { kind: std::any::type_name::<R>().to_owned(), cause: cause.to_string() })?;
    let known: Vec<&str> = row.as_object().map(|row| row.keys().map(String::as_str).collect()).unwrap_or_default();
    let mut fields: Vec<String> = R::KEY_FIELDS.iter().map(|field| (*field).to_owned()).collect();
    for field in asked {
        if !known.contains(&field.as_str()) {
            return Err(Error::invalid("field", field, format!("a row has {}", known.join(", "))));
        }
        if !fields.contains(field) {
            fields.push(field.clone());
        }
    }
    Ok(fields)
}

impl<R: Shown> Evaluate for Plan<R> {
    fn fields(&self) -> &[String] {
        &self.fields
    }

    fn depends_on_time(&self) -> bool {
        self.filter.depends_on_age()
    }

    fn is_volatile(&self) -> bool {
        let (Order::Rows { column, .. } | Order::Groups { column, .. }) = &self.order;
        self.filter.is_volatile() || is_volatile(column)
    }

    fn window(&self, rows: &Rows, now_ms: u64, view: &View) -> Window {
        let rows = R::of(rows).unwrap_or_default();
        let matched: Vec<&R> = if self.filter.is_empty() {
            rows.iter().collect()
        } else {
            rows.iter().filter(|row| self.filter.matches(row, now_ms)).collect()
        };
        let mut totals = Totals { rows: rows.len() as u64, matched: matched.len() as u64, ..Totals::default() };
        let (start, rows) = match &self.order {
            Order::Rows { column, ascending } => {
                let mut tally = Tally::default();
                for row in &matched {
                    tally.add(*row, 0, &mut totals.unique);
                    totals.bytes = totals.bytes.saturating_add(row.bytes());
                }
                let mut places: Vec<(Cell<'_>, &R)> = matched.into_iter().map(|row| ((column.cell)(row), row)).collect();
                let (start, shown) =
                    arrange(&mut places, view, |a, b| compare(&a.0, &b.0, *ascending).then_with(|| a.1.tie().cmp(&b.1.tie())));
                (start, R::rows(shown.iter().map(|(_, row)| (*row).clone()).collect()))
            }
            Order::Groups { column, grouping } => {
                let mut groups = grouped(&matched, column, &mut totals);
                let (start, shown) = arrange(&mut groups, view, |a, b| grouping.compare(a, b));
                (start, Rows::Groups(shown.to_vec()))
            }
        };
        Window { totals, start, rows }
    }

    fn interleave(&self, parts: &[&Rows]) -> Vec<usize> {
        let Order::Rows { column, ascending } = &self.order else { return Vec::new() };
        let mut parts: Vec<_> =
            parts.iter().map(|rows| R::of(rows).unwrap_or_default().iter().map(|row| (column.cell)(row)).peekable()).collect();
        let mut order = Vec::new();
        loop {
            let mut least: Option<(usize, &Cell<'_>)> = None;
            for (number, part) in parts.iter_mut().enumerate() {
                let Some(cell) = part.peek() else { continue };
                if least.is_none_or(|(_, least)| compare(cell, least, *ascending).is_lt()) {
                    least = Some((number, cell));
                }
            }
            let Some((number, _)) = least else { return order };
            parts[number].next();
            order.push(number);
        }
    }

    fn window_of_groups(&self, groups: &mut [Cow<'_, GroupRow>], view: &View) -> (u64, Vec<GroupRow>) {
        let Order::Groups { grouping, .. } = &self.order else { return (0, Vec::new()) };
        let (start, shown) = arrange(groups, view, |a, b| grouping.compare(a, b));
        (start, shown.iter().map(|group| GroupRow::clone(group)).collect())
    }
}

/// Unknown cells come last in either direction.
fn compare(a: &Cell<'_>, b: &Cell<'_>, ascending: bool) -> Ordering {
    match (a, b) {
        (Cell::None, Cell::None) => Ordering::Equal,
        (Cell::None, _) => Ordering::Greater,
        (_, Cell::None) => Ordering::Less,
        (a, b) if ascending => a.compare(b),
        (a, b) => b.compare(a),
    }
}

/// The view's window of `items` in order, and its start. Only the window is sorted; the rest is merely told apart from it.
fn arrange<'a, T>(items: &'a mut [T], view: &View, order: impl Fn(&T, &T) -> Ordering) -> (u64, &'a [T]) {
    let len = (view.window.len as usize).min(items.len());
    let latest = items.len() - len;
    let start = usize::try_from(view.window.start).unwrap_or(usize::MAX).min(latest);
    if start > 0 && start < items.len() {
        items.select_nth_unstable_by(start, &order);
    }
    let rest = items.get_mut(start..).unwrap_or_default();
    if len < rest.len() {
        rest.select_nth_unstable_by(len, &order);
    }
    let window = rest.get_mut(..len).unwrap_or_default();
    window.sort_unstable_by(order);
    (start as u64, window)
}

/// Counts distinct objects, by group.
#[derive(Default)]
pub(super) struct Tally {
    seen: HashSet<(u32, ObjectId), foldhash::fast::RandomState>,
}

impl Tally {
    /// Adds a row to the totals of its group.
    pub(super) fn add<R: Shown>(&mut self, row: &R, group: u32, totals: &mut ReferenceTotals) {
        let Some((object, references)) = row.object() else { return };
        totals.references = totals.references.saturating_add(references);
        if R::ONE_ROW_PER_OBJECT || self.seen.insert((group, object)) {
            totals.unique_objects += 1;
            totals.unique_bytes = totals.unique_bytes.saturating_add(row.bytes());
        }
    }
}
