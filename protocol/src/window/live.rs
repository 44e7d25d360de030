//! Windows over a long table that is not looked at as a whole: a replica of its rows, kept up by what changes, with an order for each
//! filter and sort that somebody looks at. What a change and a window cost does not depend on how long the table is.
//!
//! - [`store`]: the rows, by places, compactly; [`task`] is how those of tasks are kept.
//! - [`index`]: one order over them, for one filter, with exact totals. [`sorted`] is an order of places, [`groups`] one of groups,
//!   [`labels`] makes texts numbers, [`places`] is a set.

mod groups;
mod index;
mod labels;
mod places;
mod sorted;
mod store;
mod sums;
mod task;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::{Plan, Window};
use crate::column::Table;
use crate::error::Error;
use crate::record::{ActorRow, ObjectRow, ProcessRow, ReferenceRow, SiteRow, TaskRow};
use crate::stream::{Rows, View};

use index::Index;
use places::Places;
use store::{Replicated, Store};

/// Orders that a replica keeps up; the one that was not looked at for longest goes first.
pub const MAX_INDEXES: usize = 16;

/// What changed in a table that is followed by places. A row keeps its place for as long as it lives; then another may get it.
#[derive(Debug)]
pub struct Changed {
    /// The clock, milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Places that there is no row at any more, or that nobody should see.
    pub gone: Vec<u32>,
    /// Places of the rows below.
    pub places: Vec<u32>,
    /// Rows that are new or other than before, at these places. No two places have one of these vectors twice.
    pub rows: Rows,
    /// All places lie below this.
    pub end: u32,
    /// Whether with this everything is told: the replica is the table of this instant.
    pub complete: bool,
}

/// A replica without its row type.
pub trait Live: Send {
    /// Takes in what changed.
    fn apply(&mut self, changed: &Changed);

    /// What a view of the table shows at this time, milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// As [`super::Query::prepare`].
    fn window(&mut self, view: &View, now_ms: u64) -> Result<Window, Error>;

    /// Whether a view finds its order made.
    fn has_order(&self, view: &View) -> bool;

    /// So many rows, from the first place on; and the place to go on from, unless these were the last.
    fn rows(&self, from: u32, most: usize) -> (Rows, Option<u32>);

    /// How many rows it has.
    fn len(&self) -> usize;

    /// Whether it has none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that rows and orders take of memory.
    fn bytes(&self) -> usize;

    /// Orders that nobody has looked at since the last call go.
    fn drop_unused(&mut self);
}

/// An empty replica of a table, if it is one that can be long.
#[must_use]
pub fn live(table: Table) -> Option<Box<dyn Live>> {
    match table {
        Table::References => Some(Box::new(Replica::<ReferenceRow>::default())),
        Table::Objects => Some(Box::new(Replica::<ObjectRow>::default())),
        Table::Tasks => Some(Box::new(Replica::<TaskRow>::default())),
        Table::Sites => Some(Box::new(Replica::<SiteRow>::default())),
        Table::Actors => Some(Box::new(Replica::<ActorRow>::default())),
        Table::Processes => Some(Box::new(Replica::<ProcessRow>::default())),
        Table::Store | Table::Events | Table::PostMortem | Table::SpillFiles => None,
    }
}

struct Replica<R: Replicated> {
    store: Store<R>,
    /// With when each was last looked at, in looks.
    indexes: Vec<(u64, Index<R>)>,
    looks: u64,
    /// The looks at the last call of [`Live::drop_unused`].
    seen: u64,
}

impl<R: Replicated> Default for Replica<R> {
    fn default() -> Self {
        Self { store: Store::default(), indexes: Vec::new(), looks: 0, seen: 0 }
    }
}

impl<R: Replicated> Live for Replica<R> {
    fn apply(&mut self, changed: &Changed) {
        if changed.end > self.store.end() {
            self.store.reserve(changed.end);
        }
        let rows = R::of(&changed.rows).unwrap_or_default();
        let mut fresh = Vec::with_capacity(rows.len());
        let mut told = Places::default();
        for (place, row) in changed.places.iter().zip(rows) {
            let kept = self.store.keep(row);
            if self.store.kept(*place) != Some(&kept) && !told.has(*place) {
                told.add(*place);
                fresh.push((*place, row, kept));
            }
        }
        let left: Vec<u32> = changed.gone.iter().copied().filter(|place| self.store.kept(*place).is_some()).collect();
        if left.is_empty() && fresh.is_empty() {
            return;
        }
        for (_, index) in &mut self.indexes {
            index.advance(changed.now_ms, &self.store);
            index.begin(left.len() + fresh.len());
        }
        // Everything that changes goes first: what is left is true before and after, so that no two rows contradict each other.
        for place in left.into_iter().chain(fresh.iter().map(|(place, ..)| *place)) {
            if !self.indexes.is_empty()
                && let Some(row) = self.store.row(place)
            {
                self.indexes.iter_mut().for_each(|(_, index)| index.remove(place, &row, &self.store));
            }
            self.store.remove(place);
        }
        for (place, row, kept) in fresh {
            self.store.insert(place, kept);
            self.indexes.iter_mut().for_each(|(_, index)| index.insert(place, row, &self.store));
        }
        self.indexes.iter_mut().for_each(|(_, index)| index.finish(&self.store));
    }

    fn window(&mut self, view: &View, now_ms: u64) -> Result<Window, Error> {
        self.looks += 1;
        let at = match self.indexes.iter().position(|(_, index)| index.serves(view)) {
            Some(at) => at,
            None => {
                let index = Index::build(view.clone(), Plan::<R>::of(view)?, &self.store, now_ms);
                if self.indexes.len() >= MAX_INDEXES
                    && let Some((at, _)) = self.indexes.iter().enumerate().min_by_key(|(_, (looked, _))| *looked)
                {
                    self.indexes.swap_remove(at);
                }
                self.indexes.push((0, index));
                self.indexes.len() - 1
            }
        };
        let (looked, index) = &mut self.indexes[at];
        *looked = self.looks;
        index.advance(now_ms, &self.store);
        Ok(index.window(view.window, &self.store))
    }

    fn has_order(&self, view: &View) -> bool {
        self.indexes.iter().any(|(_, index)| index.serves(view))
    }

    fn rows(&self, from: u32, most: usize) -> (Rows, Option<u32>) {
        let mut rows = Vec::with_capacity(most.min(self.store.len()));
        for place in from..self.store.end() {
            if rows.len() == most {
                return (R::rows(rows), Some(place));
            }
            rows.extend(self.store.row(place).map(Cow::into_owned));
        }
        (R::rows(rows), None)
    }

    fn len(&self) -> usize {
        self.store.len()
    }

    fn bytes(&self) -> usize {
        self.store.bytes() + self.indexes.iter().map(|(_, index)| index.bytes()).sum::<usize>()
    }

    fn drop_unused(&mut self) {
        let seen = std::mem::replace(&mut self.seen, self.looks);
        self.indexes.retain(|(looked, _)| *looked > seen);
    }
}
