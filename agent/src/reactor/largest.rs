//! The first rows of long tables, for recordings: chosen by a walk, without making rows of all.

use std::cmp::{Ordering, Reverse};

use plasmon_protocol::column::Table;
use plasmon_protocol::id::ObjectKey;
use plasmon_protocol::record::ReferenceTotals;
use plasmon_protocol::recording::Taken;
use plasmon_protocol::stream::{Rows, Totals};

use super::Core;
use crate::store::object::Object;
use crate::telemetry::tables::fetch;

impl Core {
    /// See [`crate::telemetry::tables::Tables::take`].
    pub(super) fn taken(&self, table: Table, limit: usize) -> Taken {
        let (rows, length) = match table {
            Table::References => (self.counters.rows, self.counters.rows as usize),
            Table::Objects => (self.counters.objects, self.counters.objects as usize),
            Table::Tasks => (self.tasks.len() as u64, self.tasks.len()),
            _ => (0, 0),
        };
        if length <= limit {
            return Taken { table, rows: fetch(self, table), totals: None };
        }
        let mut totals = Totals { rows, matched: rows, ..Totals::default() };
        let rows = match table {
            Table::References => {
                let mut rows = Vec::with_capacity(limit);
                for (_, object) in self.largest_objects(limit, |object| {
                    let bytes = object.size().unwrap_or(0);
                    totals.bytes = totals.bytes.saturating_add(bytes.saturating_mul(u64::from(object.rows)));
                    if object.rows > 0 {
                        count(object, &mut totals.unique);
                    }
                }) {
                    let holders = self.references.holders(object.first_row).take(object.rows as usize);
                    rows.extend(holders.take(limit - rows.len()).map(|row| self.reference_row(row, object)));
                }
                Rows::References(rows)
            }
            Table::Objects => {
                let largest = self.largest_objects(limit, |object| count(object, &mut totals.unique));
                totals.bytes = totals.unique.unique_bytes;
                Rows::Objects(largest.into_iter().map(|(key, object)| self.object_row(key, object)).collect())
            }
            _ => {
                let oldest =
                    first(self.tasks.values(), limit, |one, other| (one.submitted_ms, one.key).cmp(&(other.submitted_ms, other.key)));
                Rows::Tasks(oldest.into_iter().map(|task| self.task_row(task)).collect())
            }
        };
        Taken { table, rows, totals: Some(totals) }
    }

    /// The largest visible objects, largest first; those without a size come last. Each object of all is told to `see`.
    fn largest_objects(&self, limit: usize, mut see: impl FnMut(&Object)) -> Vec<(ObjectKey, &Object)> {
        let seen = self.visible().inspect(|(_, object)| see(object));
        first(seen, limit, |one, other| (Reverse(one.1.size()), one.0).cmp(&(Reverse(other.1.size()), other.0)))
    }
}

/// Adds an object to totals.
fn count(object: &Object, totals: &mut ReferenceTotals) {
    totals.references += u64::from(object.rows);
    totals.unique_objects += 1;
    totals.unique_bytes = totals.unique_bytes.saturating_add(object.size().unwrap_or(0));
}

/// The first `limit` of `items`, in order. Never more than twice as many are kept.
fn first<T>(items: impl Iterator<Item = T>, limit: usize, order: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for item in items {
        kept.push(item);
        if kept.len() >= 2 * limit.max(1) {
            kept.select_nth_unstable_by(limit, &order);
            kept.truncate(limit);
        }
    }
    kept.sort_unstable_by(order);
    kept.truncate(limit);
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::first;

    proptest! {
        #[test]
        fn the_first_are_those_of_the_whole_order(items in proptest::collection::vec(0_u32..50, 0..200), limit in 0_usize..20) {
            let mut whole = items.clone();
            whole.sort_unstable();
            whole.truncate(limit);
            prop_assert_eq!(first(items.into_iter(), limit, u32::cmp), whole);
        }
    }
}
