//! Rows folded by one column.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::column::{Cell, Column};
use crate::error::Error;
use crate::stream::{GroupRow, Sort, Totals};
use hashbrown::HashMap;

use crate::window::Tally;
use crate::window::row::Shown;

/// The order of groups.
#[derive(Clone, Copy)]
pub(super) struct Grouping {
    by: By,
    ascending: bool,
}

#[derive(Clone, Copy)]
enum By {
    Key,
    Rows,
    Bytes,
    Objects,
    UniqueBytes,
}

impl Grouping {
    /// The order that `sort` names, of groups by the column called `group`; most bytes first when it names none.
    pub(super) fn of(sort: Option<&Sort>, group: &str) -> Result<Self, Error> {
        let Some(sort) = sort else { return Ok(Self { by: By::Bytes, ascending: false }) };
        let name = sort.column.to_ascii_lowercase();
        let by = match name.as_str() {
            name if name == "key" || name == group => By::Key,
            "rows" | "references" => By::Rows,
            "bytes" | "size" | "held" => By::Bytes,
            "objects" | "unique_objects" => By::Objects,
            "unique_bytes" => By::UniqueBytes,
            _ => {
                let cause = format!("groups sort by key, {group}, rows, references, bytes, size, held, objects or unique_bytes");
                return Err(Error::invalid("column", &sort.column, cause));
            }
        };
        Ok(Self { by, ascending: sort.ascending })
    }

    /// A number that puts groups in order as far as it differs.
    pub(super) fn rank(self, group: &GroupRow) -> u64 {
        let number = match self.by {
            By::Key => return 0,
            By::Rows => group.rows,
            By::Bytes => group.bytes,
            By::Objects => group.unique.unique_objects,
            By::UniqueBytes => group.unique.unique_bytes,
        };
        if self.ascending { number } else { !number }
    }

    /// Ties in the order go to the group with more rows, then to the smaller key.
    pub(super) fn compare(self, a: &GroupRow, b: &GroupRow) -> Ordering {
        let order = match self.by {
            By::Key => compare_keys(&a.key, &b.key),
            By::Rows => a.rows.cmp(&b.rows),
            By::Bytes => a.bytes.cmp(&b.bytes),
            By::Objects => a.unique.unique_objects.cmp(&b.unique.unique_objects),
            By::UniqueBytes => a.unique.unique_bytes.cmp(&b.unique.unique_bytes),
        };
        let order = if self.ascending { order } else { order.reverse() };
        order.then_with(|| b.rows.cmp(&a.rows)).then_with(|| compare_keys(&a.key, &b.key))
    }
}

/// The order of groups by their keys: numbers by value and before words.
#[must_use]
pub fn compare_keys(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

/// The groups of `rows` in no order; adds them to `totals`.
pub(super) fn grouped<R: Shown>(rows: &[&R], column: &Column<R>, totals: &mut Totals) -> Vec<GroupRow> {
    let mut groups: Vec<GroupRow> = Vec::new();
    let mut places: HashMap<Cow<'_, str>, usize, foldhash::fast::RandomState> = HashMap::default();
    let (mut by_group, mut overall) = (Tally::default(), Tally::default());
    for row in rows {
        let place = *places.entry(text((column.cell)(row))).or_insert_with_key(|key| {
            groups.push(GroupRow { key: key.clone().into_owned(), ..GroupRow::default() });
            groups.len() - 1
        });
        let Some(group) = groups.get_mut(place) else { continue };
        group.rows += 1;
        group.bytes = group.bytes.saturating_add(row.bytes());
        by_group.add(*row, place as u32, &mut group.unique);
        if let Some(count) = row.reference_type().and_then(|kind| group.by_type.get_mut(kind)) {
            *count += 1;
        }
        totals.bytes = totals.bytes.saturating_add(row.bytes());
        overall.add(*row, 0, &mut totals.unique);
    }
    totals.groups = groups.len() as u64;
    groups
}

/// The group that a cell belongs to.
pub(super) fn text(cell: Cell<'_>) -> Cow<'_, str> {
    match cell {
        Cell::None => Cow::Borrowed("-"),
        Cell::Text(text) => text,
        Cell::Bytes(number) | Cell::Count(number) | Cell::Since(number) => Cow::Owned(number.to_string()),
        Cell::Growth(number) => Cow::Owned(number.to_string()),
        Cell::Number(number) => Cow::Owned(number.to_string()),
    }
}
