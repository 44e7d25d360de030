//! The first rows of tables that can be long, for recordings: chosen by a walk, without making rows of all.

use std::cmp::{Ordering, Reverse};

use plasmon_protocol::column::Table;
use plasmon_protocol::id::{ObjectKey, SiteId};
use plasmon_protocol::record::ReferenceTotals;
use plasmon_protocol::recording::Taken;
use plasmon_protocol::stream::{Rows, Totals};

use super::{Core, Process};
use crate::references::sites::Figures;
use crate::store::object::Object;
use crate::telemetry::tables::fetch;

impl Core {
    /// See [`crate::telemetry::tables::Tables::take`].
    pub(super) fn taken(&self, table: Table, limit: usize) -> Taken {
        let (rows, length) = match table {
            Table::References => (self.counters.rows, self.counters.rows as usize),
            Table::Objects => (self.counters.objects, self.counters.objects as usize),
            Table::Tasks => (self.tasks.len() as u64, self.tasks.len()),
            Table::Actors => (self.actors.len() as u64, self.actors.len()),
            Table::Processes => {
                let processes = self.living_processes().count();
                (processes as u64, processes)
            }
            Table::Sites => return self.taken_sites(limit),
            // At most so many events, as many of the dead as are kept, and a file for each 100 MiB on disk.
            Table::Events | Table::PostMortem | Table::SpillFiles | Table::Store => (0, 0),
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
            Table::Actors => {
                let all = self.actors.values().map(|actor| (self.worker_of_actor(actor), actor));
                let all = all.inspect(|(worker, _)| totals.bytes += worker.map_or(0, |worker| worker.held_bytes));
                let heap = |worker: Option<&Process>| Reverse(worker.map_or(0, |worker| worker.usage.heap_bytes()));
                let largest = first(all, limit, |one, other| (heap(one.0), one.1.key).cmp(&(heap(other.0), other.1.key)));
                Rows::Actors(largest.into_iter().map(|(_, actor)| self.actor_row(actor)).collect())
            }
            Table::Processes => {
                let all = self.living_processes().inspect(|(_, process)| totals.bytes += process.held_bytes);
                let heap = |process: &Process| Reverse(process.usage.heap_bytes());
                let largest = first(all, limit, |one, other| (heap(one.1), one.0).cmp(&(heap(other.1), other.0)));
                Rows::Processes(largest.into_iter().map(|(id, process)| self.process_row(id, process)).collect())
            }
            _ => {
                let oldest =
                    first(self.tasks.values(), limit, |one, other| (one.submitted_ms, one.key).cmp(&(other.submitted_ms, other.key)));
                Rows::Tasks(oldest.into_iter().map(|task| self.task_row(task)).collect())
            }
        };
        Taken { table, rows, totals: Some(totals) }
    }

    /// The sites that hold most.
    fn taken_sites(&self, limit: usize) -> Taken {
        let mut totals = Totals::default();
        let all = (0..).map(SiteId).zip(self.sites.figures(self.now_ms)).filter(|(_, figures)| figures.held.objects > 0);
        let all = all.inspect(|(_, figures)| {
            totals.rows += 1;
            totals.bytes = totals.bytes.saturating_add(figures.own.bytes);
        });
        let held = |figures: &Figures| Reverse(figures.held.bytes);
        let largest = first(all, limit, |one, other| (held(&one.1), one.0).cmp(&(held(&other.1), other.0)));
        let rows = Rows::Sites(largest.iter().map(|(id, figures)| self.site_row(*id, figures)).collect());
        totals.matched = totals.rows;
        Taken { table: Table::Sites, rows, totals: (totals.rows > largest.len() as u64).then_some(totals) }
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
